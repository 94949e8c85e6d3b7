"""How long each operation keeps other threads from running: in a thread, and in a process.

While an operation runs on a picture of the size of a window, the main thread does what a window
does, 1000 times a second: it wakes up and looks at the clock. What it sees between two looks is
how long a click would have to wait.
"""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from napari_omezarr_cloud.process import Operation

    Array = np.ndarray[Any, Any]

__all__ = ["ask", "show"]

SHAPE = (950, 1300)
QUICK = (95, 130)
PLANES = 16
TICK_S = 0.001
PATIENCE_S = 30.0
"""What took so long in all is not run again."""

LIMIT_S = 0.05
"""A window that does not answer for longer is felt: three frames."""

SLOW_S = 1.0
"""What takes longer must be killed when it is cancelled, and a thread cannot be."""


@dataclass(frozen=True)
class Run:
    """What it took, of that the way there and back, and what the main thread saw."""

    total_s: float
    transfer_s: float
    longest_s: float
    usual_s: float
    """99 of 100 looks came sooner than this."""

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Run:
        """Return the least of each number: what other programs do only ever adds to it."""
        names = (field.name for field in fields(cls))
        return cls(*(min(getattr(run, name) for run in runs) for name in names))


NOTHING = Run(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Row:
    """One operation, both ways, or why it does not run on this picture."""

    operation: Operation
    thread: Run
    process: Run
    refusal: str = ""

    @property
    def needs_process(self) -> bool:
        """Whether it needs one, as measured now."""
        return self.thread.longest_s > LIMIT_S or self.thread.total_s > SLOW_S


def timed_result(op: Operation, arrays: Sequence[Array], rgb: bool) -> tuple[float, Array]:
    """Return the seconds that an operation took, and its result."""
    from napari_omezarr_cloud.process import run

    started = time.perf_counter()
    result = run(op, arrays, {}, rgb=rgb)
    return time.perf_counter() - started, result


def ask(rounds: int, *, quick: bool = False, names: Sequence[str] = ()) -> Iterator[Row]:
    """Measure these operations, or all of the registry, with their default values."""
    from napari_omezarr_cloud.chunks import Pools
    from napari_omezarr_cloud.errors import OperationError
    from napari_omezarr_cloud.process import operations
    from napari_omezarr_cloud.store import io_thread

    small = _pictures(QUICK)
    pictures = small if quick else _pictures(SHAPE)
    pools, io = Pools(), io_thread()
    thread = ThreadPoolExecutor(1)

    def in_thread(*call: Any) -> Future[Any]:
        return thread.submit(timed_result, *call)

    def in_process(*call: Any) -> Future[Any]:
        return io.submit(pools.compute(timed_result, *call, in_process=True))

    try:
        for op in [operations()[name] for name in names or operations()]:
            rgb = op.colours == "together"
            arrays = _inputs(op, pictures, rgb=rgb)
            seen: dict[Callable[..., Future[Any]], list[Run]] = {in_thread: [], in_process: []}
            for start in seen:  # imports, and other costs of a first use
                with contextlib.suppress(OperationError):
                    start(op, _inputs(op, small, rgb=rgb), rgb).result()
            try:
                for start, runs in seen.items():
                    while len(runs) < rounds and sum(run.total_s for run in runs) < PATIENCE_S:
                        runs.append(_watched(partial(start, op, arrays, rgb)))
            except OperationError as error:
                yield Row(op, NOTHING, NOTHING, str(error))
            else:
                yield Row(op, Run.of(seen[in_thread]), Run.of(seen[in_process]))
    finally:
        pools.close()
        thread.shutdown()


def _watched(start: Callable[[], Future[tuple[float, Array]]]) -> Run:
    gaps = []
    started = last = time.perf_counter()
    future = start()
    while not future.done():
        time.sleep(TICK_S)
        now = time.perf_counter()
        gaps.append(now - last)
        last = now
    computed_s, _ = future.result()
    total_s = time.perf_counter() - started
    usual_s = float(np.percentile(gaps, 99)) if gaps else 0.0
    return Run(total_s, total_s - computed_s, max(gaps, default=0.0), usual_s)


def _pictures(shape: tuple[int, int]) -> dict[str, Array]:
    """Return nuclei as a camera sees them (uint16), their labels, a mask and a colour picture."""
    from scipy import ndimage
    from skimage import measure

    rng = np.random.default_rng(0)
    nuclei = np.zeros(shape)
    count = nuclei.size // 1500
    places = tuple(rng.integers(0, n, count) for n in shape)
    nuclei[places] = rng.uniform(0.5, 1.0, count)
    nuclei = ndimage.gaussian_filter(nuclei, 7) * 2 * np.pi * 49
    mask = nuclei > 0.35
    # Soft edges, and a bright and a dark peak in the histogram.
    light = 300 + 3000 / (1 + np.exp(-25 * (nuclei - 0.35)))
    image = rng.poisson(light).clip(0, 65535).astype(np.uint16)
    tissue = np.stack([255 - image // 24, 255 - image // 32, 255 - image // 60], axis=-1)
    return {
        "image": image,
        "any": image,
        "labels": measure.label(mask).astype(np.int32),
        "mask": mask,
        "rgb": tissue.astype(np.uint8),
    }


def _inputs(op: Operation, pictures: dict[str, Array], *, rgb: bool) -> list[Array]:
    planes = [pictures["rgb" if rgb else each.kind] for each in op.inputs]
    if op.kind == "projection":
        return [np.stack([plane] * PLANES) for plane in planes]
    return planes


def show(rounds: int, *, quick: bool = False, names: Sequence[str] = ()) -> None:
    """Print a table as its rows come."""
    print(f"\n### Threads\n\nThe least of {rounds}.\n")
    print("| operation | in a thread | longest gap | 99 % of gaps | in a process "
          "| of that transfer | longest gap | runs in a |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for row in ask(rounds, quick=quick, names=names):
        print("| " + " | ".join(_cells(row)) + " |", flush=True)


def _cells(row: Row) -> list[str]:
    where = "process" if row.operation.holds_gil else "thread"
    if row.refusal:
        return [row.operation.name, row.refusal, "", "", "", "", "", where]
    # One that no longer needs its process does no harm there.
    odd = " **(should be a process)**" if row.needs_process and where == "thread" else ""
    thread, process = row.thread, row.process
    return [
        row.operation.name,
        f"{thread.total_s:.2f} s",
        f"{thread.longest_s * 1000:.0f} ms",
        f"{thread.usual_s * 1000:.0f} ms",
        f"{process.total_s:.2f} s",
        f"{process.transfer_s * 1000:.0f} ms",
        f"{process.longest_s * 1000:.0f} ms",
        where + odd,
    ]
