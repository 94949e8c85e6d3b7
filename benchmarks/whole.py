"""Recipes on a whole volume, beside what somebody who knows dask well writes for it by hand."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from benchmarks import child, volumes
from benchmarks.table import Row, as_ratio, as_seconds, middle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.setup import Setup

__all__ = ["COLUMNS", "ask"]

COLUMNS = ("this plugin", "its memory", "dask, by hand", "its memory")

_SHARE = 0.8


def ask(setup: Setup, gib: float) -> Iterator[Row]:
    """Yield how long each of both takes, with the coarser levels of its result; the medians."""
    source = volumes.cells(setup.folder, gib, quick=setup.quick)
    for name, operation in volumes.OPERATIONS:
        found: dict[str, list[dict[str, float]]] = {"run": [], "by-hand": []}
        for _ in range(setup.rounds):
            for way, measured in found.items():
                target = setup.folder / "computed.zarr"
                # Coarser labels are samples here, since by hand nobody counts the most frequent.
                options = {"method": "nearest"} if operation == "label" and way == "run" else {}
                task = {"way": way, "operation": operation, "options": options}
                places = {"source": str(source), "target": str(target)}
                measured.append(child.run("whole_work", {**task, **places}))
                shutil.rmtree(target)
        seconds = {way: middle(each["seconds"] for each in found[way]) for way in found}
        memory = {way: middle(each["megabytes"] for each in found[way]) for way in found}
        answers = (
            as_seconds(seconds["run"]),
            f"{memory['run']:.0f} MB",
            as_ratio(seconds["by-hand"], seconds["run"]),
            f"{memory['by-hand']:.0f} MB",
        )
        is_met = seconds["by-hand"] / seconds["run"] >= _SHARE
        yield Row(f"{name}, {gib:g} GiB", answers, f"{_SHARE}×", is_met)
