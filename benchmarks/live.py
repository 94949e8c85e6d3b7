"""What a live layer costs beyond the operation itself: ``python -m benchmarks --only live``.

Run as a module with a JSON task (url, image, quiet, rounds, moves), it prints one JSON line: per
round the seconds of scikit-image alone on the visible region, and of the live layer until the
picture of a changed parameter was on screen.
"""

from __future__ import annotations

import gc
import json
import resource
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks import child
from benchmarks.table import Row
from benchmarks.window import Watch, leave

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.setup import Setup

__all__ = ["COLUMNS", "ask"]

COLUMNS = ("this plugin", "scikit-image alone")
MOVES = 200


def ask(url: str, setup: Setup) -> Iterator[Row]:
    """Yield the rows: the picture after a slider was moved, the window's gap, memory."""
    task = {
        "url": url, "image": "plane04.zarr", "quiet": setup.quiet_s, "rounds": setup.rounds,
        "moves": 10 if setup.quick else MOVES,
    }  # fmt: skip
    found = child.run("live", task, OMEZARR_DISK_CACHE_MB="0")
    shape = " × ".join(map(str, found["shape"]))
    for question in ("slider", "pan"):
        alone = statistics.median(each["alone_s"] for each in found[question])
        live = statistics.median(each["live_s"] for each in found[question])
        target = 1.25 * alone + 0.03
        yield Row(
            f"gaussian live on {shape}, picture after a {question} move",
            (f"{live * 1000:.0f} ms", f"{alone * 1000:.0f} ms"),
            f"{target * 1000:.0f} ms",
            live <= target,
        )
    gap = statistics.median(each["gap_s"] for each in found["slider"])
    bare = statistics.median(found["bare_gap_s"])
    yield Row(
        "longest time the window did not answer meanwhile",
        (f"{gap * 1000:.0f} ms", f"panning: {bare * 1000:.0f} ms"),
        f"{bare * 1000 + 20:.0f} ms",
        gap <= bare + 0.02,
    )
    yield Row(
        f"memory after {task['moves']} slider moves",
        (f"{found['grown_mb']:.0f} MB more; cache {found['cache_mb']:.0f} MB", ""),
        f"cache of {found['bound_mb']:.0f} MB",
        found["cache_mb"] <= found["bound_mb"] and found["grown_mb"] <= found["bound_mb"],
    )


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Return what one window shows: in a process of its own."""
    import napari
    import numpy as np
    from qtpy.QtWidgets import QApplication
    from skimage import filters

    from napari_omezarr_cloud.chunks import engine
    from napari_omezarr_cloud.napari.display import display_of
    from napari_omezarr_cloud.napari.live import add_live, change, plan_live, start_live
    from napari_omezarr_cloud.process import Step

    viewer = napari.Viewer()
    for dock in (
        viewer.window._qt_viewer.dockLayerList,
        viewer.window._qt_viewer.dockLayerControls,
    ):
        dock.hide()
    viewer.window._qt_window.resize(1380, 990)
    watch = Watch(viewer, task["url"], task["quiet"])
    watch.during(
        lambda: viewer.open(f"{task['url']}/{task['image']}", plugin="napari-omezarr-cloud")
    )
    source, *others = viewer.layers
    for layer in others:
        layer.visible = False
    zoom = viewer.scene.camera.zoom * 5
    watch.during(lambda: setattr(viewer.scene.camera, "zoom", zoom))
    moved = [0.0]

    def pan(by: float) -> None:
        moved[0] += by
        x, y = viewer.scene.camera.center[2], viewer.scene.camera.center[1]
        viewer.scene.camera.center = (0, y, x + by * float(source.scale[-1]))

    for by in (300, -300):  # what will be looked at is in memory from now on
        watch.during(lambda by=by: pan(by))
    bare = [watch.during(lambda by=by: pan(by))["gap_s"] for by in (300, -300) * 3]

    pixel = float(source.scale[-1]) * 2**source.data_level
    plan = plan_live(Step("gaussian", {"sigma": 2 * pixel}), [source])
    applied = start_live(plan).result()
    watch.during(lambda: add_live(viewer, plan, applied))
    result = viewer.layers[-1]
    source.visible = False
    shown = display_of(result)
    assert shown is not None and shown.look is not None
    level, region = shown.look.number, shown.look.region
    pixels = np.asarray(source.data[level][region.slices])

    def alone(sigma: float) -> float:
        started = time.perf_counter()
        filters.gaussian(pixels, sigma, preserve_range=True)
        return time.perf_counter() - started

    alone(2.0)
    slider, pans = [], []
    for number in range(task["rounds"] * 3):
        sigma = 2.0 + 0.1 * (number % 7 + 1) + 0.001 * number
        seconds = alone(sigma)
        seen = watch.during(lambda sigma=sigma: change(result, {"sigma": sigma * pixel}))
        seconds = (seconds + alone(sigma)) / 2
        slider.append({"alone_s": seconds, "live_s": seen["complete_s"], "gap_s": seen["gap_s"]})
    for number in range(task["rounds"] * 2):
        # A new value of which nothing is there yet, looked at somewhere else: a pan.
        change(result, {"sigma": (3 + 0.01 * number) * pixel})
        watch.during(lambda: None)
        seconds = alone(3.0)
        seen = watch.during(lambda by=300 * (-1) ** number: pan(by))
        pans.append({"alone_s": seconds, "live_s": seen["complete_s"], "gap_s": seen["gap_s"]})

    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(task["moves"]):
        change(result, {"sigma": (1 + 0.01 * number) * pixel})
        until = time.perf_counter() + 0.05
        while time.perf_counter() < until:
            QApplication.processEvents()
    watch.during(lambda: None)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "shape": pixels.shape,
        "slider": slider,
        "pan": pans,
        "bare_gap_s": bare,
        "grown_mb": (after - before) / 1024,
        "cache_mb": engine().cache.nbytes / 2**20,
        "bound_mb": engine().cache.max_bytes / 2**20,
    }


if __name__ == "__main__":
    leave(measure(json.loads(sys.argv[1])))
