"""neuroglancer in a headless Chromium: what one first view asks the server for.

``python -m benchmarks.browser TASK``, TASK being JSON (url, image, canvas, px_per_unit, quiet),
prints one JSON line: what the server's log says. neuroglancer's own page comes from a server of its
own, so that all that is in the log is the image.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from typing import Any

from benchmarks.lines import reset, traffic, wait_for_quiet

__all__ = ["missing"]

BROWSERS = ("chromium", "google-chrome")
UNIT_M = 1e-6
"""What one unit of napari's world is: a micrometre."""

OPTIONS = (
    "--headless",
    "--no-sandbox",  # it does not start for root otherwise; the page is our own
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # WebGL without a graphics card, as napari draws here too.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--remote-debugging-port=0",  # keeps a headless browser open
)


def find() -> str | None:
    """Return the browser's program, if there is one."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def missing() -> str:
    """Return what is missing to run it, in words; empty if nothing is."""
    if find_spec("neuroglancer") is None:
        return "The package neuroglancer is not installed: pip install -e '.[bench]'."
    if find() is None:
        return f"There is no {' or '.join(BROWSERS)}: install it, or run `make bench`."
    return ""


def look(task: dict[str, Any]) -> dict[str, float]:
    """Show the image as napari has shown it, and return what that took."""
    import neuroglancer

    program = find()
    assert program is not None
    neuroglancer.set_server_bind_address("127.0.0.1")
    viewer = neuroglancer.Viewer()
    viewer.set_state(_state(task))
    with viewer.config_state.txn() as config:
        config.show_ui_controls = config.show_panel_borders = False
        config.viewer_size = task["canvas"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        reset(task["url"])
        running = subprocess.Popen(
            [program, *OPTIONS, f"--user-data-dir={profile}", viewer.get_viewer_url()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            log = wait_for_quiet(task["url"], task["quiet"])
        finally:
            running.terminate()
            running.wait()
    return traffic(log)


def _state(task: dict[str, Any]) -> dict[str, Any]:
    """Return neuroglancer's state: both channels over each other, as large as in napari."""
    pixel = [0.1 * UNIT_M, "m"]  # as the images are written
    layers = [
        {
            "type": "image",
            "name": color,
            "source": f"zarr://{task['url']}/{task['image']}/",
            "localPosition": [number],
            "blend": "additive",
            "shader": f"void main() {{ emitRGB(toNormalized(getDataValue()) * {color}); }}",
        }
        for number, color in enumerate(("vec3(0.0, 3.0, 0.0)", "vec3(3.0, 0.0, 3.0)"))
    ]
    return {
        "dimensions": {"x": pixel, "y": pixel},
        "crossSectionScale": 1 / (0.1 * task["px_per_unit"]),
        "layout": "xy",
        "showSlices": False,
        "layers": layers,
    }


if __name__ == "__main__":
    print(json.dumps(look(json.loads(sys.argv[1]))), flush=True)
