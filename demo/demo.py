"""The whole road in one command: an S3 server far away, a link, a picture, a filter.

Starts a real S3 server on this machine that answers as late as one in the cloud, puts demo images
into a bucket that anybody may read, opens napari on the link and applies a first filter to what is
visible. Without a screen it does the same on a virtual one, writes ``demo.png`` and ends. Closing
the window or Ctrl+C stops the server; nothing is left running.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "demo.png"
LATENCY_S = 0.08
STEP_S = 120.0
"""The longest that one step may take, also on a busy machine with software graphics."""


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(text, flush=True)


class Clock:
    """Says how long things took."""

    def __init__(self) -> None:
        self.started = time.perf_counter()

    def lap(self, text: str) -> None:
        """Print what was done since the last lap, and in what time."""
        now = time.perf_counter()
        say(f"{now - self.started:7.2f} s  {text}")
        self.started = now


def has_screen() -> bool:
    """Tell whether a window could be seen here."""
    return sys.platform != "linux" or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


@contextlib.contextmanager
def virtual_screen() -> Iterator[None]:
    """Make a virtual screen this process's display."""
    if not shutil.which("Xvfb"):
        raise SystemExit("There is no screen, and no Xvfb to stand in: run `make demo`.")
    read_end, write_end = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write_end), "-screen", "0", "1400x1000x24", "-nolisten", "tcp"],
        pass_fds=[write_end],
        stderr=subprocess.DEVNULL,
    )
    os.close(write_end)
    try:
        with os.fdopen(read_end) as answer:
            os.environ["DISPLAY"] = f":{answer.readline().strip()}"
        os.environ["LIBGL_ALWAYS_SOFTWARE"] = "1"
        yield
    finally:
        server.terminate()
        server.wait()


def fill_bucket(s3: Any, clock: Clock) -> tuple[str, list[str]]:
    """Write the demo images into the bucket; return the volume's link and the pictures'."""
    from napari_omezarr_cloud.sample import write_cell_volume, write_microscopy

    with tempfile.TemporaryDirectory(prefix="omezarr-demo-images-") as folder:
        pictures = write_microscopy(Path(folder))
        volume = write_cell_volume(Path(folder) / "spheroids.ome.zarr")
        clock.lap("wrote three pictures of scikit-image's and a synthetic time-lapse volume")
        stored = [s3.put_folder(path) for path in [volume, *pictures.values()]]
        count, nbytes = (sum(numbers) for numbers in zip(*stored, strict=True))
        clock.lap(f"uploaded {count} objects, {nbytes / 1e6:.0f} MB (empty chunks are not stored)")
    return s3.link(volume.name), [s3.link(path.name) for path in pictures.values()]


class Tour:
    """What happens in the window, step by step, while its event loop runs."""

    def __init__(self, viewer: Any, link: str, clock: Clock, on_end: Callable[[str], None]) -> None:
        from qtpy.QtCore import QTimer

        self._viewer, self._link, self._clock, self._on_end = viewer, link, clock, on_end
        self._steps = self._walk()
        self._wait_for: Callable[[], bool] = lambda: True
        self._deadline = time.monotonic() + STEP_S
        self._timer = QTimer()
        self._timer.setInterval(20)
        self._timer.timeout.connect(self._step)
        self._timer.start()

    def _step(self) -> None:
        try:
            if self._wait_for():
                self._wait_for = next(self._steps)
                self._deadline = time.monotonic() + STEP_S
            elif time.monotonic() > self._deadline:
                self._end("a step of the demo took too long")
        except StopIteration:
            self._end("")
        except Exception as error:  # the demo ends with a sentence, whatever went wrong
            self._end(f"{type(error).__name__}: {error}")

    def _end(self, trouble: str) -> None:
        self._timer.stop()
        self._on_end(trouble)

    def _walk(self) -> Iterator[Callable[[], bool]]:
        """Do the steps; each yields what must be true before the next."""
        viewer = self._viewer
        _, process = viewer.window.add_plugin_dock_widget(
            "napari-omezarr-cloud", "Process what is visible"
        )
        self._clock.lap("napari is open, with the Process dock")
        self._timer.stop()  # a second step must not begin inside viewer.open
        layers = viewer.open(self._link, plugin="napari-omezarr-cloud")
        self._timer.start()
        self._clock.lap(f"opened {self._link}: {len(layers)} layers")
        yield self._is_complete
        self._clock.lap("first picture complete")
        camera = viewer.scene.camera
        z, y, x = camera.center
        camera.center = (z, y * 0.7, x * 0.72)  # from the middle, which is empty, to a spheroid
        camera.zoom *= 3
        yield lambda: False if viewer.layers[0].data_level == 2 else self._is_complete()
        self._clock.lap("zoomed in, and complete again")
        ended: list[str] = []
        process.applied.connect(lambda layer: ended.append(layer.name))
        process.failed.connect(ended.append)
        process.choose("voronoi_otsu", layer=viewer.layers[0])
        process.add_live()
        yield lambda: bool(ended) and self._is_complete()
        self._clock.lap(f"a live layer where one looks: {ended[0]}")
        for layer in list(viewer.layers):
            layer.visible = "labels" not in layer.name  # the file's own, under ours
        process.form.set_values({"spot_sigma": 2.5})  # as a slider does: the layer follows
        camera.zoom *= 1.3
        drawn = time.monotonic() + 0.3  # napari sees the new zoom when it draws
        yield lambda: time.monotonic() > drawn and self._is_complete()
        self._clock.lap("moved a slider, zoomed on, and computed anew")

    def _is_complete(self) -> bool:
        from napari_omezarr_cloud.napari.display import display_of

        shown = [display_of(layer) for layer in self._viewer.layers if layer.visible]
        return all(d.look is not None and d.missing == 0 for d in shown if d is not None)


def show(link: str, clock: Clock, *, headless: bool) -> str:
    """Open the window and take the tour; return what went wrong, or an empty text."""
    import napari
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer(title="napari: OME-Zarr in the cloud")
    viewer.window.resize(1380, 960)
    app = QApplication.instance()
    troubles: list[str] = []

    def on_end(trouble: str) -> None:
        troubles.append(trouble)
        if trouble:
            say(f"The demo stopped: {trouble}")
        if headless:
            if not trouble:
                viewer.screenshot(str(PICTURE), canvas_only=False, flash=False)
                clock.lap(f"wrote {PICTURE.name}")
            viewer.close()
            app.quit()

    tour = Tour(viewer, link, clock, on_end)
    signal.signal(signal.SIGINT, lambda *_: app.quit())
    signal.signal(signal.SIGTERM, lambda *_: app.quit())
    # Python sees a signal only when it runs; Qt's loop lets it run for a timer.
    awake = QTimer()
    awake.timeout.connect(lambda: None)
    awake.start(200)
    napari.run()
    del tour
    return "" if not headless else (troubles or ["the window was closed"])[0]


def main() -> int:
    """Return 0 when all went well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--headless", action="store_true", help="use a virtual screen, and end")
    headless = parser.parse_args().headless or not has_screen()
    sys.path.insert(0, str(Path(__file__).parent))
    from server import DemoS3

    clock = Clock()
    with contextlib.ExitStack() as stack:
        if headless:
            stack.enter_context(virtual_screen())
        s3 = stack.enter_context(DemoS3(latency_s=LATENCY_S))
        clock.lap(f"started an S3 server, {LATENCY_S * 1000:.0f} ms away")
        link, pictures = fill_bucket(s3, clock)
        for picture in pictures:
            say(f"           also there: {picture}")
        trouble = show(link, clock, headless=headless)
    clock.lap("stopped the server")
    return 1 if trouble else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("Stopped; nothing is left running.")
        sys.exit(130)
