"""How long a person waits for the picture, and how long the window does not answer."""

from __future__ import annotations

import math
import tempfile
from typing import TYPE_CHECKING, Any

from benchmarks import child
from benchmarks.table import MISSING, Row, as_ratio, as_seconds, middle
from benchmarks.window import BASELINE, MEMORY, OURS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.lines import Line
    from benchmarks.setup import Setup

__all__ = ["COLUMNS", "SCENES", "ask"]

COLUMNS = ("this plugin", "in memory", "napari-ome-zarr")
SCENES = {
    "plane04.zarr": ("open", "zoom", "pan", "back"),
    "plane05.zarr": ("open", "zoom", "pan", "back"),
    "sharded.zarr": ("open", "zoom", "pan", "back"),
    "stack.zarr": ("open", "z", "3d"),
    "plate.zarr": ("open",),
}
METADATA_ROUNDS = {"plate.zarr": 4}
"""How many answers must be waited for before chunks can be asked for; two for an image.

Those of a plate are so many that they, too, are more than one round of 64."""

MANY_MINUTES = {"plate.zarr"}
"""What napari-ome-zarr opens for minutes; it is measured once."""


def ask(url: str, line: Line, setup: Setup, scenes: list[str]) -> Iterator[Row]:
    """Yield the rows of each scene, measured in interleaved processes.

    Parameters
    ----------
    url, line
        The slow server, and what lies before it.
    setup
        How it is measured.
    scenes
        Images to open.
    """
    for image in scenes:
        steps = SCENES[image]
        task = {
            "url": url, "folder": str(setup.folder), "image": image, "warm": "tiny.zarr",
            "quiet": setup.quiet_s,
        }  # fmt: skip
        runs: dict[str, list[Any]] = {who: [] for who in setup.ways}
        again: list[Any] = []
        for number in range(setup.rounds):
            with tempfile.TemporaryDirectory(prefix="omezarr-bench-") as cache:
                for who, found in runs.items():
                    if who == BASELINE and image in MANY_MINUTES and number:
                        continue
                    found.append(_run({**task, "who": who, "steps": steps}, cache))
                    if who == OURS:
                        task["level"] = found[-1][steps[-1]]["level"]
                again.append(_run({**task, "who": OURS, "steps": ["open"]}, cache))
        for step in steps:
            yield from _rows(image, step, line.latency_s, runs)
        yield from _again(image, runs, again)


def _run(task: dict[str, Any], cache: str) -> Any:
    variables = {
        "OMEZARR_CACHE_DIR": cache,
        "OMEZARR_DISK_CACHE_MB": "2000",
        "OMEZARR_PREFETCH": "0",  # its requests are none for what is looked at; see `ahead`
    }
    return child.run("window", task, **variables)


def _again(image: str, runs: dict[str, list[Any]], again: list[Any]) -> Iterator[Row]:
    """Yield what a second program waits for, to which the disk cache gives what the first saw."""
    name = f"{image.removesuffix('.zarr')}: open in the next program"
    ours = middle(run["open"]["complete_s"] for run in again)
    memory = middle(run["open"]["complete_s"] for run in runs.get(MEMORY, ()))
    yield Row(f"{name}, picture complete", (f"{ours:.2f} s", as_seconds(memory), ""))
    chunks = middle(run["open"]["chunks"] for run in again)
    requests = middle(run["open"]["requests"] for run in again)
    yield Row(f"{name}, requests", (f"{requests:.0f}", "", ""), "0 chunks", chunks == 0)


def _rows(image: str, step: str, latency_s: float, runs: dict[str, list[Any]]) -> Iterator[Row]:
    def each(figure: str) -> tuple[float, float, float]:
        ours, memory, baseline = (
            middle(run[step][figure] for run in runs.get(who, ()))
            for who in (OURS, MEMORY, BASELINE)
        )
        return ours, memory, baseline

    def timed(question: str, times: tuple[float, float, float], target: float | None) -> Row:
        ours, memory, baseline = times
        return Row(
            f"{name}, {question}",
            (f"{ours:.2f} s", as_seconds(memory), as_ratio(baseline, ours) + note),
            "" if target is None or math.isnan(target) else f"{target:.2f} s",
            None if target is None or math.isnan(target) else ours <= target,
        )

    name = f"{image.removesuffix('.zarr')}: {step}"
    levels, chunks, complete = each("level"), each("chunks")[0], each("complete_s")
    first, gap = each("first_s"), each("gap_s")
    note = f", level {levels[2]:.0f} instead of {levels[0]:.0f}" if levels[0] < levels[2] else ""
    many = each("requests")[0] if image in METADATA_ROUNDS else chunks
    waves = latency_s * math.ceil(many / 64)
    if step == "open":
        yield timed("first pixels", first, None)
        metadata = METADATA_ROUNDS.get(image, 2) * latency_s
        target = metadata + max(complete[1], waves) + 0.06
    else:
        yield timed("first pixels", first, first[1] + 0.02)
        target = complete[1] + waves + 0.06
    yield timed("picture complete", complete, target)
    yield timed("longest gap", gap, gap[1] + 0.02)
    yield _counted(name, each, note, image, step)


def _counted(name: str, each: Any, note: str, image: str, step: str) -> Row:
    """Return the row of what was asked for."""
    requests, nbytes, rounds = each("requests"), each("nbytes"), each("rounds")

    def words(at: int) -> str:
        if math.isnan(requests[at]):
            return MISSING
        return f"{requests[at]:.0f} in {rounds[at]:.0f} rounds, {nbytes[at] / 1e6:.1f} MB"

    target, is_met = "", None
    if step == "back":
        target, is_met = "0 chunks", each("chunks")[0] == 0
    elif image in METADATA_ROUNDS:
        most = METADATA_ROUNDS[image] + 1 + requests[0] // 64
        target, is_met = f"{most:.0f} rounds", rounds[0] <= most
    return Row(f"{name}, requests", (words(0), "", words(2) + note), target, is_met)
