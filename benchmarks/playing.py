"""Whether a time series plays: five time points a second, of less than 2 MB each.

``python -m benchmarks.playing TASK``, TASK being JSON (those of `benchmarks.window`, seconds),
prints one JSON line. Each pixel of the series says to which time point it belongs, so that what is
on the canvas can be compared with where the slider stands.
"""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import child
from benchmarks.images import FRAMES, frame_of
from benchmarks.table import MISSING, Row, middle
from benchmarks.viewing import COLUMNS
from benchmarks.window import BASELINE, MEMORY, OURS, leave, open_window, pump

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.lines import Line
    from benchmarks.setup import Setup

__all__ = ["COLUMNS", "ask"]

FPS = 5
GRACE_S = 1.0
"""The start may stutter."""


@dataclass(frozen=True)
class Shown:
    """What was on the canvas from a moment on."""

    at: float
    slider: int
    frames: frozenset[int]
    """Time points whose pixels were seen; -1 for pixels of none."""
    is_whole: bool
    """Whether it was the finest level."""

    @property
    def is_right(self) -> bool:
        """Whether all of it was what the slider says, at full resolution."""
        return self.is_whole and self.frames == {self.slider}

    @property
    def is_stale(self) -> bool:
        """Whether any of it was of another time point."""
        return bool(self.frames - {self.slider, -1})


def judge(seen: Sequence[Shown], start: float, stop: float) -> dict[str, float]:
    """Return what a person saw between two moments.

    ``fps``: new complete pictures a second; ``stale``, ``coarse``: shares of the time in which the
    picture was of another time point than the slider, or not yet complete; ``skipped``: time points
    the slider passed that were never seen complete; ``longest_s`` between two complete pictures.
    """
    spans = [
        (each, max(each.at, start), min(after, stop))
        for each, after in zip(seen, [*(s.at for s in seen[1:]), stop], strict=True)
    ]
    spans = [span for span in spans if span[2] > span[1]]
    whole = stop - start
    shown: list[tuple[float, int]] = []
    for each in seen:
        if start <= each.at < stop and each.is_right and (not shown or shown[-1][1] != each.slider):
            shown.append((each.at, each.slider))
    moments = [start, *(at for at, _ in shown), stop]
    first, last = spans[0][0].slider, spans[-1][0].slider
    passed = (last - first) % FRAMES
    numbers = {(number - first) % FRAMES for _, number in shown}
    return {
        "fps": len(shown) / whole,
        "stale": sum(b - a for each, a, b in spans if each.is_stale) / whole,
        "coarse": sum(b - a for each, a, b in spans if not each.is_right) / whole,
        # The last one may still be on its way.
        "skipped": len(set(range(1, passed)) - numbers),
        "longest_s": max(b - a for a, b in pairwise(moments)),
    }


def measure(task: dict[str, Any]) -> dict[str, float]:
    """Play, and return what was seen after the first second."""
    viewer, watch, show = open_window(task)
    watch.during(lambda: show(task["image"]))
    watch.during(lambda: viewer.dims.set_current_step(0, 0))
    side = viewer.layers[0].data[0].shape[-1]
    seen: list[Shown] = []
    drawn: list[Shown] = []

    def on_draw(event: Any = None) -> None:
        drawn[:] = [_seen(viewer, side)]

    def on_swapped() -> None:
        seen.extend(drawn)
        drawn.clear()

    scene = viewer.window._qt_viewer.canvas._scene_canvas
    scene.events.draw.connect(on_draw, position="first")
    scene.native.frameSwapped.connect(on_swapped)
    dims = viewer.window._qt_viewer.dims
    started = time.perf_counter()
    dims.play(0, FPS)
    pump(task["seconds"])
    dims.stop()
    return judge(seen, started + GRACE_S, time.perf_counter())


def _seen(viewer: Any, side: int) -> Shown:
    frames: set[int] = set()
    is_whole = True
    for layer in viewer.layers:
        pixels = np.asarray(layer._slice.image.raw)
        # Of each chunk a few: this must not take the time that is measured.
        frames |= set(np.unique(frame_of(pixels[..., ::32, ::32])).tolist())
        is_whole &= pixels.shape[-1] == side
    step = viewer.dims.current_step[0]
    return Shown(time.perf_counter(), step, frozenset(frames), is_whole)


def ask(url: str, line: Line, setup: Setup) -> Iterator[Row]:
    """Yield how a series plays on a line, this plugin's measured in turn with the others."""
    task = {
        "url": url, "folder": str(setup.folder), "image": "series.zarr", "warm": "tiny.zarr",
        "quiet": setup.quiet_s, "seconds": 2.0 if setup.quick else 7.0,
    }  # fmt: skip
    runs: dict[str, list[dict[str, float]]] = {who: [] for who in setup.ways}
    for _ in range(setup.rounds):
        for who, found in runs.items():
            found.append(child.run("playing", {**task, "who": who}, OMEZARR_DISK_CACHE_MB="0"))

    def each(figure: str) -> list[float]:
        order = (OURS, MEMORY, BASELINE)
        return [middle(run[figure] for run in runs.get(who, ())) for who in order]

    def row(question: str, values: list[float], form: str, target: str, is_met: bool | None) -> Row:
        answers = tuple(MISSING if math.isnan(each) else form.format(each) for each in values)
        return Row(f"{question}, {line.name}", answers, target, is_met)

    fps, longest, skipped, stale = each("fps"), each("longest_s"), each("skipped"), each("stale")
    # What pixels in memory do on this machine; where that is unknown, what was asked for.
    best, shortest = (FPS, 1 / FPS) if math.isnan(fps[1]) else (fps[1], longest[1])
    least, most = 0.9 * min(best, FPS), shortest + 0.1
    yield row("complete pictures a second", fps, "{:.1f}", f"≥ {least:.1f}", fps[0] >= least)
    yield row("longest time without a new one", longest, "{:.2f} s", f"{most:.2f} s",
              longest[0] <= most)  # fmt: skip
    yield row("time points never seen complete", skipped, "{:.0f}", "0", skipped[0] == 0)
    yield row("of the time: another time point than the slider's", stale, "{:.0%}", "0%",
              stale[0] < 0.005)  # fmt: skip
    yield row("of the time: not complete", each("coarse"), "{:.0%}", "", None)


if __name__ == "__main__":
    leave(measure(json.loads(sys.argv[1])))
