"""How fast a volume becomes a pyramid in OME-Zarr, on disk and in S3, beside ome-zarr-py."""

from __future__ import annotations

import contextlib
import math
import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from benchmarks import child, volumes
from benchmarks.table import MISSING, Row, as_ratio, as_seconds, middle
from demo.server import DemoS3, find_juicefs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benchmarks.setup import Setup

__all__ = ["COLUMNS", "ask"]

COLUMNS = ("this plugin", "its memory", "ome-zarr-py", "ome-zarr-py, local mean")

_FASTER, _MOST_MB = 1.5, 500
_WAYS: dict[str, dict[str, Any]] = {
    "ours": {"way": "save"},
    "theirs": {"way": "ome-zarr"},
    "theirs, mean": {"way": "ome-zarr", "method": "LOCAL_MEAN"},
}


def ask(setup: Setup, gib: float) -> Iterator[Row]:
    """Yield how long saving takes on disk and in S3, by who does it; the medians."""
    source = volumes.cells(setup.folder, gib, quick=setup.quick)
    yield _row(f"{gib:g} GiB to disk", _on_disk(setup, source))
    options = {"shards": (64, 512, 1024)}
    shards = _on_disk(setup, source, ours_alone=True, options=options)
    yield _row(f"{gib:g} GiB in shards to disk", shards)
    yield _row(f"{gib:g} GiB to S3 on this machine", _in_s3(setup, source))


def _on_disk(
    setup: Setup, source: Path, *, ours_alone: bool = False, options: Any = None
) -> dict[str, list[dict[str, float]]]:
    target = setup.folder / "saved.zarr"
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(setup.rounds):
        for name, way in _asked(setup, ours_alone=ours_alone).items():
            task = {**way, "source": str(source), "target": str(target), "options": options or {}}
            found.setdefault(name, []).append(child.run("whole_work", task))
            shutil.rmtree(target)
    return found


def _in_s3(setup: Setup, source: Path) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {}
    with contextlib.suppress(FileNotFoundError):
        find_juicefs()
        for _ in range(setup.rounds):
            for name, way in _asked(setup).items():
                with DemoS3(latency_s=0.0) as server:
                    place = {"source": str(source), "target": f"s3://demo/{name}.zarr"}
                    endpoint = {"endpoint": server.direct_endpoint}
                    options = {"options": endpoint} if name == "ours" else endpoint
                    task = {**way, **place, **options}
                    measured = child.run("whole_work", task, **server.environment)
                found.setdefault(name, []).append(measured)
    return found


def _asked(setup: Setup, *, ours_alone: bool = False) -> dict[str, dict[str, Any]]:
    alone = ours_alone or setup.is_alone or not find_spec("ome_zarr")
    return {"ours": _WAYS["ours"]} if alone else _WAYS


def _row(question: str, found: Mapping[str, list[dict[str, float]]]) -> Row:
    seconds = {name: middle(each["seconds"] for each in found.get(name, ())) for name in _WAYS}
    memory = middle(each["megabytes"] for each in found.get("ours", ()))
    theirs, ours = seconds["theirs"], seconds["ours"]
    if math.isnan(ours):
        return Row(question, (MISSING,) * len(COLUMNS))
    answers = [as_seconds(ours), f"{memory:.0f} MB", "", ""]
    target, is_met = f"{_MOST_MB} MB", memory <= _MOST_MB
    if "theirs" in found:
        answers[2:] = [as_ratio(theirs, ours), as_ratio(seconds["theirs, mean"], ours)]
        target, is_met = f"{_FASTER:g}×, {target}", is_met and theirs / ours >= _FASTER
    return Row(question, tuple(answers), target, is_met)
