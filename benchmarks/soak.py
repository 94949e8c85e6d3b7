"""Under fire: a long session in a real window over a line that fails in every way.

Each minute all layers are removed and what is left is counted. A picture that differs from the
file, one that never completes, or a crash ends the session and is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import itertools
import json
import os
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.table import Row, middle
from tests.fixtures.slow_http import SlowServer
from tests.fixtures.soak import Player, script
from tests.fixtures.soak_images import faulty_line, read_truth, write_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["COLUMNS", "ask"]

COLUMNS = ("this plugin over a faulty line", "in memory")
ROOT = Path(__file__).resolve().parents[1]
LATENCY_S = 0.02
_WIDTH, _QUICK_WIDTH = 1024, 512
_CACHE_MB = "33"
_REST_S = 60.0


# ---- the window, in a process of its own --------------------------------------------------------


class Gaps:
    """How long the event loop was away, between two looks at it."""

    def __init__(self) -> None:
        from qtpy.QtCore import QTimer

        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(2)
        self.begin()

    def begin(self) -> None:
        """Forget what was before."""
        self._ticked, self._worked = time.perf_counter(), time.thread_time()
        self._longest = self._busiest = 0.0

    def _tick(self) -> None:
        now, worked = time.perf_counter(), time.thread_time()
        self._longest = max(self._longest, now - self._ticked)
        self._busiest = max(self._busiest, worked - self._worked)
        self._ticked, self._worked = now, worked

    def end(self) -> tuple[float, float]:
        """Return the longest time in which the window did not answer, and its thread's own work.

        The longest of each, in seconds; on a busy machine the thread often waits for its turn.
        """
        self._tick()
        return self._longest, self._busiest


def left_behind() -> dict[str, Any]:
    """Return what this process holds while nothing is shown."""
    import psutil
    from qtpy.QtWidgets import QApplication

    from napari_omezarr_cloud.chunks import engine
    from napari_omezarr_cloud.napari import display, live
    from napari_omezarr_cloud.store.remote import GATE

    process = psutil.Process()
    here: Any = engine()
    return {
        "rss_mb": process.memory_info().rss / 2**20,
        "threads": process.num_threads(),
        "connections": len([c for c in process.net_connections("tcp") if c.raddr]),
        "files": process.num_fds(),
        "tasks": _tasks(here.io),
        "jobs": here.jobs_under_way,
        "failures": len(here._jobs.failures),
        "wishes": len(here._wishes._views),
        "gate": GATE.inside + GATE.queued,
        "cache_mb": here.cache.nbytes / 2**20,
        "displays": len(display.displays) + len(live._lives),
        "widgets": len(QApplication.allWidgets()),
        "objects": len(gc.get_objects()),
    }


def _tasks(io: Any) -> int:
    async def count() -> int:
        return len(asyncio.all_tasks()) - 1

    return int(io.wait(count()))


def play(task: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
    """Do what the script says in a new viewer; ``say`` gets one record per minute, and the last."""
    import napari
    from qtpy.QtCore import QEvent
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer()
    viewer.window.resize(1300, 950)
    gaps = Gaps()

    def pump() -> None:
        QApplication.processEvents()
        # Qt deletes when the event loop is back at the top, where this stands.
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        time.sleep(0.001)

    truth = read_truth(Path(task["folder"]))
    player = Player(viewer, task["url"], truth, pump)
    longest: dict[str, list[tuple[float, float]]] = defaultdict(list)
    started = rested = time.perf_counter()
    types: list[Counter[str]] = []

    def rest() -> None:
        viewer.layers.clear()
        viewer.dims.ndisplay = 2
        until = time.perf_counter() + task["rest_s"]
        while time.perf_counter() < until:
            pump()
        gc.collect()
        types.append(Counter(type(each).__qualname__ for each in gc.get_objects()))
        say({"minute": (time.perf_counter() - started) / 60, **left_behind()})

    rest()
    steps = 0
    for step in itertools.islice(script(task["seed"]), task.get("steps")):
        if not viewer.layers and step.action != "add":
            continue
        gaps.begin()
        player.do(step)
        player.settle()
        longest[step.action].append(gaps.end())
        player.truth.check()
        steps += 1
        now = time.perf_counter()
        if now - rested > _REST_S:
            rest()
            rested = time.perf_counter()
        if now - started > task.get("seconds", float("inf")):
            break
    rest()
    grown = (types[-1] - types[1]).most_common(25)
    say({"steps": steps, "counts": player.counts, "gaps": longest, "grown": grown})


def main() -> None:
    """Play the task that the command line holds, as JSON; print records."""
    faulthandler.enable()
    task = json.loads(sys.argv[1])
    from napari.qt import get_qapp
    from qtpy.QtCore import QTimer

    application = get_qapp()
    status = []

    def say(record: dict[str, Any]) -> None:
        print(json.dumps(record), flush=True)

    def begin() -> None:
        try:
            play(task, say)
            status.append(0)
        except Exception:  # Qt would abort
            traceback.print_exc()
        application.quit()

    QTimer.singleShot(0, begin)  # inside the event loop, as a person's clicks are
    application.exec()
    sys.stdout.flush()
    os._exit(0 if status else 1)  # nothing of napari's closing is of interest


# ---- asking -------------------------------------------------------------------------------------


def ask(folder: Path, minutes: float, seed: int, *, quick: bool) -> Iterator[Row]:
    """Yield what a session over a faulty line was like, and the same steps from memory.

    Raises
    ------
    SystemExit
        If it ended early: a wrong pixel, a picture that never completed, or a crash.
    """
    images = folder / "soak"
    if not images.exists():
        images.mkdir(parents=True)
        write_images(images, _QUICK_WIDTH if quick else _WIDTH)
    line = faulty_line(seed)
    task = {"folder": str(images), "seed": seed, "rest_s": 0.1 if quick else 3.0}
    with SlowServer(images, latency_s=LATENCY_S, line=line) as server, forgetful(server):
        *rests, ours = session({**task, "url": server.url, "seconds": minutes * 60})
    *own_rests, memory = session({**task, "url": None, "steps": ours["steps"]})
    compared = f"{ours['counts']['pictures compared']}, all as in the file"
    yield Row("steps, pictures compared", (f"{ours['steps']}, {compared}", f"{memory['steps']}"))
    went_wrong = ", ".join(f"{kind} {count}" for kind, count in line.counts.most_common())
    yield Row("answers that went wrong", (went_wrong, "–"))
    asked = ours["counts"].get("asked again", 0)
    yield Row("times that it was asked again for what failed", (str(asked), "–"))
    for name, unit in (("rss_mb", " MB"), ("threads", ""), ("connections", ""), ("widgets", "")):
        cells = (_course(rests, name, unit), _course(own_rests, name, unit))
        yield Row(f"{_WORDS[name]} while nothing is shown, from minute to minute", cells)
    for action in sorted(ours["gaps"].keys() & memory["gaps"].keys() - {"spoilt"}):
        yield _gap_row(action, ours["gaps"][action], memory["gaps"][action])


def _gap_row(action: str, ours: list[list[float]], memory: list[list[float]]) -> Row:
    """Return how long the window did not answer: medians over all steps of this kind."""
    (here, work), (there, own_work) = (
        (1000 * middle(wall for wall, _ in gaps), 1000 * middle(cpu for _, cpu in gaps))
        for gaps in (ours, memory)
    )
    cells = (f"{here:.0f} ms, work {work:.0f}", f"{there:.0f} ms, work {own_work:.0f}")
    target = there + 20
    name = f"{action}: longest gap, and longest work of the GUI thread"
    return Row(name, cells, f"{target:.0f} ms", here <= target)


_WORDS = {
    "rss_mb": "memory",
    "threads": "threads",
    "connections": "connections",
    "widgets": "Qt widgets, napari's notifications among them,",
}


def _course(rests: list[dict[str, Any]], name: str, unit: str) -> str:
    return " · ".join(f"{rest[name]:.0f}" for rest in rests[1:]) + unit


@contextlib.contextmanager
def forgetful(server: SlowServer) -> Iterator[None]:
    """Empty the server's log now and then, which would fill the memory."""
    ended = threading.Event()

    def empty() -> None:
        while not ended.wait(5):
            server.clear_log()

    thread = threading.Thread(target=empty)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def session(task: dict[str, Any], **environment: str) -> list[dict[str, Any]]:
    """Return the records of one session; ``environment`` may add settings."""
    program = [sys.executable, "-m", "benchmarks.soak", json.dumps(task)]
    # A small memory: what was looked at is lost and asked for again, all the time.
    there = {**os.environ, "OMEZARR_CACHE_MB": _CACHE_MB, **environment}
    done = subprocess.run(
        program, cwd=ROOT, env=there, stdout=subprocess.PIPE, text=True, check=False
    )
    records = [json.loads(row) for row in done.stdout.splitlines() if row.startswith("{")]
    if done.returncode or not records or "steps" not in records[-1]:
        raise SystemExit(f"The session ended early, with {done.returncode}: {records[-1:]}")
    return records


if __name__ == "__main__":
    main()
