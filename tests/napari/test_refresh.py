"""How often the window is painted while chunks arrive: as seldom as shows all of them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.napari.display import display_of
from tests.fixtures.images import pattern, pyramid, write_directly
from tests.napari.test_display import complete

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer

PLUGIN = "napari-omezarr-cloud"


@pytest.fixture
def plane(tmp_path: Path, slow_server: Any) -> SlowServer:
    """Two channels that are both shown, in many chunks."""
    window = {"window": {"start": 0, "end": 60000, "min": 0, "max": 60000}}
    levels = pyramid(pattern((2, 2048, 2048)), 4)
    omero = {"channels": [window, window]}
    write_directly(tmp_path / "plane.zarr", "cyx", levels, chunks=(1, 256, 256), omero=omero)
    server: SlowServer = slow_server(tmp_path, latency_s=0.02)
    return server


def wait_without_painting() -> None:
    """Wait until all that is wanted has come, while the window answers nothing."""
    engine().io.submit(asyncio.sleep(0)).result()  # what is wished for is under way from now on
    patience = time.monotonic() + 20
    while engine().jobs_under_way and time.monotonic() < patience:
        time.sleep(0.005)


def test_what_comes_while_layers_are_added_is_in_the_first_picture(
    viewer: Any, plane: SlowServer
) -> None:
    missing_when_painted = []

    def painted(event: Any) -> None:
        shown = [display_of(layer) for layer in viewer.layers]
        if len(shown) == 2:
            missing_when_painted.append(sum(each.missing for each in shown))

    # Connected when the layers are watched already, so that this waits for what they asked for.
    viewer.open(f"{plane.url}/plane.zarr", plugin=PLUGIN)
    viewer.layers.clear()
    plane.latency_s = 0.15
    viewer.layers.events.inserted.connect(lambda event: wait_without_painting(), position="last")
    scene = viewer.window._qt_viewer.canvas._scene_canvas
    scene.events.draw.connect(painted)

    viewer.open(f"{plane.url}/plane.zarr", plugin=PLUGIN)

    assert missing_when_painted[:1] == [0], "not a picture with holes, and another one at once"


def test_layers_that_are_complete_are_painted_together(
    viewer: Any, qtbot: Any, plane: SlowServer
) -> None:
    layers = viewer.open(f"{plane.url}/plane.zarr", plugin=PLUGIN)
    qtbot.waitUntil(lambda: all(map(complete, layers)), timeout=20000)
    story: list[str] = []
    scene = viewer.window._qt_viewer.canvas._scene_canvas

    plane.latency_s = 0.5
    viewer.scene.camera.zoom *= 8
    qtbot.waitUntil(lambda: all(layer.data_level == 0 for layer in layers), timeout=20000)
    assert any(display_of(layer).missing for layer in layers), "they have begun to load"
    for layer in layers:
        layer.events.set_data.connect(lambda event: story.append("new pixels"))
    scene.events.draw.connect(lambda event: story.append("painting"))
    wait_without_painting()
    qtbot.waitUntil(lambda: all(map(complete, layers)), timeout=20000)
    qtbot.waitUntil(lambda: story[-1:] == ["painting"], timeout=20000)

    since = story.index("new pixels")  # a painting of the stand-ins may have come before
    assert story[since : since + 3] == ["new pixels", "new pixels", "painting"]
    for number, layer in enumerate(layers):
        box = display_of(layer).look.region.slices
        truth = pattern((2, 2048, 2048))[number][box]
        np.testing.assert_array_equal(layer._slice.image.raw, truth)
