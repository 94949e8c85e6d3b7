"""What loading ahead is good for: the same session, with and without it.

``python -m benchmarks.ahead TASK``, TASK being JSON (those of `benchmarks.window`), prints one JSON
line: per kind of step the seconds until the picture was complete, summed, chunks and bytes asked
for, and how many chunks had been loaded before they were first looked at. After each step the
person looks at the complete picture for a second.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from benchmarks import child
from benchmarks.table import Row, as_share, middle
from benchmarks.window import OURS, leave, open_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.lines import Line
    from benchmarks.setup import Setup

__all__ = ["COLUMNS", "ask"]

COLUMNS = ("loading ahead", "without")
SESSION = {"pan right": 5, "zoom in": 2, "z + 1": 5, "t + 1": 5}
"""How often each is done, one after the other."""
QUICK = dict.fromkeys(SESSION, 1)


def measure(task: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Go through the session, and return what it took."""
    from napari_omezarr_cloud.chunks import engine

    viewer, watch, show = open_window(task)
    watch.during(lambda: show(task["image"]))
    viewer.dims.set_current_step(0, 0)
    viewer.dims.set_current_step(1, 1)
    camera = viewer.scene.camera
    layer = viewer.layers[0]
    width = layer.data[0].shape[-1] * layer.scale[-1]
    camera.zoom *= 3
    camera.center = (0, width / 2, width / 4)
    watch.during(lambda: None)

    def pan() -> None:
        z, y, x = camera.center
        seen = viewer.window._qt_viewer.canvas.size[1] / camera.zoom
        camera.center = (z, y, x + seen / 3)

    def step(axis: int) -> None:
        viewer.dims.set_current_step(axis, viewer.dims.current_step[axis] + 1)

    actions: dict[str, Callable[[], object]] = {
        "pan right": pan,
        "zoom in": lambda: setattr(camera, "zoom", camera.zoom * 2),
        "z + 1": lambda: step(1),
        "t + 1": lambda: step(0),
    }
    ahead = engine().cache.ahead
    found: dict[str, dict[str, float]] = {}
    for kind, count in task["session"].items():
        sums: Counter[str] = Counter()
        for _ in range(count):
            loaded, used = ahead.loaded, ahead.used
            seen = watch.during(actions[kind])
            early = ahead.loaded - loaded
            sums.update({
                "complete_s": seen["complete_s"],
                "nbytes": seen["nbytes"],
                "chunks": seen["chunks"],
                "ahead": early,
                "hit": ahead.used - used,
                # What was not loaded ahead was loaded because it was looked at.
                "late": seen["chunks"] - early,
            })  # fmt: skip
        found[kind] = dict(sums)
    return found


def ask(url: str, line: Line, setup: Setup) -> Iterator[Row]:
    """Yield for each kind of step, and for all, what loading ahead was good for."""
    session = QUICK if setup.quick else SESSION
    task = {"url": url, "folder": "", "image": "journey.zarr", "warm": "tiny.zarr", "who": OURS,
            "quiet": setup.quiet_s, "session": session}  # fmt: skip
    runs: dict[bool, list[Any]] = {True: [], False: []}
    for _ in range(setup.rounds):
        for is_on, found in runs.items():
            variables = {"OMEZARR_PREFETCH": str(int(is_on)), "OMEZARR_DISK_CACHE_MB": "0"}
            found.append(child.run("ahead", task, **variables))

    def total(is_on: bool, figure: str, *kinds: str) -> float:
        return middle(sum(run[kind][figure] for kind in kinds) for run in runs[is_on])

    for kind, count in session.items():
        seconds = [total(is_on, "complete_s", kind) / count for is_on in runs]
        name = f"{kind}, {count} times at {line.name}"
        yield Row(
            f"{name}: picture complete, on average",
            tuple(f"{each:.2f} s" for each in seconds),
            "",
        )
        yield _hits(f"{name}: chunks that were there", [
            (total(is_on, "hit", kind), total(is_on, "late", kind)) for is_on in runs
        ])  # fmt: skip
    kinds = tuple(session)
    shares = [(total(is_on, "hit", *kinds), total(is_on, "late", *kinds)) for is_on in runs]
    yield _hits("all steps: chunks that were there", shares)
    ahead, hit = total(True, "ahead", *kinds), total(True, "hit", *kinds)
    nbytes, chunks = total(True, "nbytes", *kinds), total(True, "chunks", *kinds)
    wasted = (ahead - hit) * nbytes / max(chunks, 1) / 1e6
    yield Row("all steps: loaded ahead and never looked at",
              (f"{as_share(ahead - hit, ahead)}, {wasted:.1f} MB", ""))  # fmt: skip
    received = [total(is_on, "nbytes", *kinds) / 1e6 for is_on in runs]
    yield Row("all steps: received", tuple(f"{each:.1f} MB" for each in received))


def _hits(question: str, counts: list[tuple[float, float]]) -> Row:
    """Return how many of the chunks that came to be looked at had come before."""
    return Row(question, tuple(as_share(hit, hit + late) for hit, late in counts))


if __name__ == "__main__":
    leave(measure(json.loads(sys.argv[1])))
