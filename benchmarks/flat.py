"""Whether memory grows with the image: a run over one four times as large, mostly empty."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from benchmarks import child, volumes
from benchmarks.table import Row, middle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.setup import Setup

__all__ = ["COLUMNS", "ask"]

COLUMNS = ("memory, small", "memory, four times as large", "said before", "seconds")

_MORE = 1.3
"""Times as much counts as the same: when threads meet is left to chance, and differs as much from
run to run over one volume."""


def ask(setup: Setup, gib: float) -> Iterator[Row]:
    """Yield the memory that runs over a volume, and over one of four times the size, take."""
    sizes = (gib, 4 * gib)
    sources = [volumes.sparse(setup.folder, size, quick=setup.quick) for size in sizes]
    for name, operation in volumes.OPERATIONS[: 1 if setup.quick else None]:
        peaks, said, seconds = [], 0.0, []
        for source in sources:
            target = setup.folder / "computed.zarr"
            task = {"operation": operation, "source": str(source), "target": str(target)}
            said = child.run("whole_work", {**task, "way": "estimate"})["megabytes"]
            measured = []
            for _ in range(setup.rounds):
                measured.append(child.run("whole_work", {**task, "way": "run"}))
                shutil.rmtree(target)
            peaks.append(middle(each["megabytes"] for each in measured))
            seconds.append(middle(each["seconds"] for each in measured))
        answers = (
            *(f"{peak:.0f} MB" for peak in peaks),
            f"{said:.0f} MB",
            " and ".join(f"{each:.0f}" for each in seconds),
        )
        is_met = peaks[1] <= _MORE * peaks[0]
        yield Row(f"{name}, {sizes[0]:g} and {sizes[1]:g} GiB", answers, "the same", is_met)
