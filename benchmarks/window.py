"""A real napari window, in a process of its own, and what a person waits for in it.

``python -m benchmarks.window TASK``, TASK being JSON (who, url, folder, image, warm, quiet, steps),
prints one JSON line: per step the seconds until new pixels were first and last on screen, the
longest time in which the window did not answer, the level shown, and what the server's log says.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.lines import log_of, reset, traffic

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BASELINE", "MEMORY", "OURS", "Watch", "leave", "open_window", "pump"]

OURS, MEMORY, BASELINE = "napari-omezarr-cloud", "memory", "napari-ome-zarr"
LIMIT_S = 60.0


class Watch:
    """Notes when new pixels were on screen, and how long the event loop was away."""

    def __init__(self, viewer: Any, server: str, quiet_s: float) -> None:
        from qtpy.QtCore import QTimer
        from qtpy.QtWidgets import QApplication

        self._viewer = viewer
        self._server = server
        self._quiet_s = quiet_s
        self._pump = QApplication.processEvents
        self._changed = self._ticked = time.perf_counter()
        self._first: float | None = None
        self._gap = 0.0
        self._is_new = self._is_drawing_new = False
        viewer.layers.events.inserted.connect(self._on_inserted)
        # napari has no public event for "the canvas has been drawn".
        scene = viewer.window._qt_viewer.canvas._scene_canvas
        scene.events.draw.connect(self._on_draw, position="first")
        # A draw only queues commands; software OpenGL works them off when Qt composes the window.
        scene.native.frameSwapped.connect(self._on_swapped)
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(2)

    def _on_inserted(self, event: Any) -> None:
        self._on_pixels()
        event.value.events.set_data.connect(self._on_pixels)

    def _on_pixels(self, event: Any = None) -> None:
        self._is_new = True

    def _on_draw(self, event: Any = None) -> None:
        # napari may slice within a draw, whose pixels are seen in the next one only.
        self._is_drawing_new |= self._is_new
        self._is_new = False

    def _on_swapped(self) -> None:
        if self._is_drawing_new:
            self._is_drawing_new = False
            self._changed = time.perf_counter()
            self._first = self._first or self._changed

    def _tick(self) -> None:
        now = time.perf_counter()
        self._gap = max(self._gap, now - self._ticked)
        self._ticked = now

    def during(self, action: Callable[[], object]) -> dict[str, Any]:
        """Do it, wait until all is quiet, and return what was seen."""
        reset(self._server)
        started = self._changed = self._ticked = time.perf_counter()
        self._gap, self._first = 0.0, None
        action()
        self._tick()
        asked_at = time.perf_counter()
        while time.perf_counter() - started < LIMIT_S:
            self._pump()
            time.sleep(0.001)
            now = time.perf_counter()
            is_drawn = not (self._is_new or self._is_drawing_new)
            is_quiet = is_drawn and now - max(self._changed, started) > self._quiet_s
            if is_quiet and now - asked_at > self._quiet_s * 0.3:
                gap = self._gap
                log = log_of(self._server)
                self._gap, self._ticked, asked_at = gap, time.perf_counter(), time.perf_counter()
                if all(exchange["end"] is not None for exchange in log):
                    break
        layer = self._viewer.layers[0]
        return {
            "first_s": (self._first or started) - started,
            "complete_s": self._changed - started,
            "gap_s": self._gap,
            "level": layer.data_level,
            **traffic([e for e in log_of(self._server) if e["end"] is not None]),
        }


def open_window(task: dict[str, Any]) -> tuple[Any, Watch, Callable[[str], object]]:
    """Return a viewer, its watch, and what opens an image in it as ``task["who"]`` does.

    Imports and first-use costs, which every way pays alike, are over by then.
    """
    import napari

    viewer = napari.Viewer()
    viewer.window.resize(1300, 950)
    watch = Watch(viewer, task["url"], task["quiet"])
    show = _opener(viewer, task)
    show(task["warm"])
    viewer.layers.clear()
    pump(0.5)
    return viewer, watch, show


def pump(seconds: float) -> None:
    """Let the window live for a while."""
    from qtpy.QtWidgets import QApplication

    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        QApplication.processEvents()
        time.sleep(0.001)


def leave(found: Any) -> None:
    """Print what was found and end; nothing of napari's closing is of interest."""
    print(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)


def _opener(viewer: Any, task: dict[str, Any]) -> Callable[[str], object]:
    """Return what opens an image: a plugin's reader, or the same pixels from memory."""
    if task["who"] != MEMORY:
        return lambda name: viewer.open(f"{task['url']}/{name}", plugin=task["who"])
    from npe2 import DynamicPlugin

    from benchmarks.images import load

    names = (task["warm"], task["image"])
    loaded = {name: load(Path(task["folder"]) / name) for name in names}
    # Through a reader too: opening costs napari time of its own, whatever is read.
    plugin = DynamicPlugin(MEMORY)

    @plugin.contribute.reader(filename_patterns=["memory://*"])
    def get_reader(path: str) -> Callable[[str], list[Any]]:
        return lambda path: _layers_of(*loaded[path.rpartition("/")[2]])

    plugin.register()
    return lambda name: viewer.open(f"memory://here/{name}", plugin=MEMORY)


def _layers_of(axes: str, levels: list[Any]) -> list[Any]:
    """Return each channel of a pyramid in memory as napari takes layers from readers."""
    shown = axes.replace("c", "")
    scale = [0.1 if axis in "yx" else 1.0 for axis in shown]
    about = {"multiscale": True, "contrast_limits": [0, 20000], "scale": scale}
    if "c" not in axes:
        return [(levels, about, "image")]
    at = axes.index("c")
    return [
        (
            [level.take(number, axis=at) for level in levels],
            {**about, "colormap": color, "blending": "additive"},
            "image",
        )
        for number, color in enumerate(("green", "magenta"))
    ]


def main() -> None:
    """Run the steps that the command line names."""
    task = json.loads(sys.argv[1])
    viewer, watch, show = open_window(task)

    def pan() -> None:
        camera = viewer.scene.camera
        z, y, x = camera.center
        for step in range(1, 13):
            camera.center = (z, y, x + step * 180 / camera.zoom)
            pump(0.05)

    def volume() -> None:
        viewer.dims.ndisplay = 3
        if task["who"] == MEMORY:
            # Left alone it would show the coarsest, and be compared with a finer picture.
            for layer in viewer.layers:
                layer.locked_data_level = task["level"]

    steps: dict[str, Callable[[], object]] = {
        "open": lambda: show(task["image"]),
        "zoom": lambda: setattr(viewer.scene.camera, "zoom", viewer.scene.camera.zoom * 6),
        "pan": pan,
        "back": lambda: setattr(viewer.scene.camera, "zoom", viewer.scene.camera.zoom / 6),
        "z": lambda: viewer.dims.set_current_step(0, viewer.dims.current_step[0] + 17),
        "3d": volume,
    }
    found: dict[str, Any] = {name: watch.during(steps[name]) for name in task["steps"]}
    height, width = viewer.window._qt_viewer.canvas.size
    found["canvas"] = [int(width), int(height)]
    found["px_per_unit"] = float(viewer.scene.camera.zoom)
    if task["who"] == OURS:
        from napari_omezarr_cloud.store.disk import disk_cache

        disk_cache().info()  # waits until all that came is written
    leave(found)


if __name__ == "__main__":
    main()
