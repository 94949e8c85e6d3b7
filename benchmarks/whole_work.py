"""One way of saving or computing a whole image, in a process of its own: seconds and memory."""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["main"]

_SIGMA = 2.0


def main(task: dict[str, Any]) -> dict[str, float]:
    """Do a task, and return its seconds, and the MB by which memory has grown at its most.

    What is imported and opened before counts as nothing: of that everybody has enough.
    """
    if task["way"] == "estimate":
        return {"megabytes": _planned(task).estimate().memory / 2**20}
    work = _WAYS[task["way"]](task)
    _reset_peak()
    before = _memory("VmRSS")
    started, worked = time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    grown = (_memory("VmHWM") - before) / 2**20
    return {"seconds": seconds, "cpu_seconds": cpu, "megabytes": grown}


def _saved(task: dict[str, Any]) -> Callable[[], object]:
    import napari_omezarr_cloud as noc

    image = noc.open(task["source"])
    _warmed(image)
    return lambda: noc.save(image, task["target"], **task.get("options", {}))


def _ran(task: dict[str, Any]) -> Callable[[], object]:
    import napari_omezarr_cloud as noc

    image = noc.open(task["source"])
    _warmed(image)
    return lambda: noc.run(image, _step(task), task["target"], **task.get("options", {}))


def _planned(task: dict[str, Any]) -> Any:
    import napari_omezarr_cloud as noc

    return noc.plan_run(noc.open(task["source"]), _step(task), task["target"])


def _step(task: dict[str, Any]) -> Any:
    import napari_omezarr_cloud as noc

    values = {"sigma": _SIGMA} if task["operation"] == "gaussian" else {}
    return noc.Step(task["operation"], values, dims="volume")


def _warmed(image: Any) -> None:
    """Load what is loaded with the first chunk and the first operation."""
    _load()
    image.read(0, (slice(0, 1), slice(0, 1), slice(0, 1)))


def _load() -> None:
    import numpy as np
    import scipy.sparse.csgraph  # noqa: F401
    from skimage import filters, measure

    small = np.zeros((8, 8, 8), np.uint16)
    small[0, 0, 0] = 1
    filters.gaussian(small, 1.0)
    filters.threshold_otsu(small)
    measure.label(small > 0)


def _by_ome_zarr(task: dict[str, Any]) -> Callable[[], object]:
    import dask.array as da
    import zarr
    from ome_zarr.scale import Methods
    from ome_zarr.writer import write_image

    image = da.from_zarr(zarr.open_group(task["source"], mode="r")["0"])
    options = {"method": Methods[task["method"]]} if "method" in task else {}

    def work() -> None:
        store: Any = task["target"]
        if str(store).startswith("s3://"):
            store = _s3_store(store, task["endpoint"])
        write_image(image, zarr.open_group(store, mode="w"), axes="zyx", **options)

    return work


def _s3_store(target: str, endpoint: str) -> Any:
    from obstore.store import S3Store
    from zarr.storage import ObjectStore

    bucket, _, prefix = target.removeprefix("s3://").partition("/")
    store = S3Store(bucket, prefix=prefix, endpoint=endpoint, client_options={"allow_http": True})
    return ObjectStore(store)


def _by_hand(task: dict[str, Any]) -> Callable[[], object]:
    from benchmarks import by_hand

    _load()
    if task["operation"] == "gaussian":
        return lambda: by_hand.gaussian(task["source"], task["target"], _SIGMA)
    return lambda: by_hand.otsu_label(task["source"], task["target"])


_WAYS: dict[str, Callable[[dict[str, Any]], Callable[[], object]]] = {
    "save": _saved,
    "run": _ran,
    "ome-zarr": _by_ome_zarr,
    "by-hand": _by_hand,
}


def _reset_peak() -> None:
    peak = Path("/proc/self/clear_refs")
    if peak.exists():
        peak.write_text("5")


def _memory(what: str) -> int:
    """Return what this process has, or had at most, in bytes."""
    status = Path("/proc/self/status")
    if not status.exists():  # the most since it began
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (line,) = [line for line in status.read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    if not str(given["target"]).startswith("s3://"):
        shutil.rmtree(given["target"], ignore_errors=True)
    print(json.dumps(main(given)))
