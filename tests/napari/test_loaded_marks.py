"""The bars on the sliders: on which positions the picture is in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_omezarr_cloud.napari.play_hook import sliders_of
from napari_omezarr_cloud.napari.widgets.loaded_bar import LoadedBar
from tests.fixtures.images import pattern, pyramid, write_directly
from tests.napari.test_display import complete

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLUGIN = "napari-omezarr-cloud"


@pytest.fixture
def opened(viewer: Any, tmp_path: Path, qtbot: Any) -> Callable[..., Any]:
    """``opened("name")`` shows six time points of four planes, on the first plane of the first."""
    omero = {
        "channels": [{"window": {"start": 0, "end": 60000, "min": 0, "max": 60000}}],
        "rdefs": {"defaultT": 0, "defaultZ": 0},
    }

    def show(name: str) -> Any:
        levels = pyramid(pattern((6, 4, 96, 128)), 3)
        path = tmp_path / f"{name}.zarr"
        write_directly(path, "tzyx", levels, chunks=(1, 1, 64, 64), omero=omero)
        layer = viewer.open(str(path), plugin=PLUGIN)[0]
        qtbot.waitUntil(lambda: complete(layer), timeout=20000)
        return layer

    return show


def bar_of(viewer: Any, axis: int) -> LoadedBar | None:
    bar = sliders_of(viewer).slider_widgets[axis].slider.findChild(LoadedBar)
    return bar if bar is not None and bar.isVisible() else None


def marked(viewer: Any, axis: int) -> list[tuple[int, int]] | None:
    bar = bar_of(viewer, axis)
    return None if bar is None else bar.runs


def step(viewer: Any, qtbot: Any, axis: int, *positions: int) -> None:
    for position in positions:
        viewer.dims.set_current_step(axis, position)
        qtbot.waitUntil(lambda: all(complete(each) for each in viewer.layers), timeout=20000)


def test_what_was_looked_at_is_marked_and_said(opened: Any, viewer: Any, qtbot: Any) -> None:
    film = opened("film")
    qtbot.waitUntil(lambda: marked(viewer, 0) == [(0, 1)], timeout=20000)
    assert marked(viewer, 2) is None, "no slider"

    step(viewer, qtbot, 0, 1, 4)
    step(viewer, qtbot, 1, 1)
    qtbot.waitUntil(lambda: marked(viewer, 1) == [(0, 2)], timeout=20000)
    step(viewer, qtbot, 1, 0)
    qtbot.waitUntil(lambda: marked(viewer, 0) == [(0, 2), (4, 5)], timeout=20000)

    slider = sliders_of(viewer).slider_widgets[0].slider
    assert slider.toolTip() == "Loaded: 3 of 6 frames in this view"
    bar = bar_of(viewer, 0)
    middles = ((bar.edges()[:-1] + bar.edges()[1:]) / 2).astype(int)
    picture = slider.grab().toImage()
    colours = [picture.pixelColor(int(x), slider.height() - 2).name() for x in middles]
    ink = colours[0]
    assert [colour == ink for colour in colours] == [True, True, False, False, True, False]

    film.locked_data_level = 1  # of that level no other frame was looked at
    qtbot.waitUntil(lambda: marked(viewer, 0) == [(4, 5)], timeout=20000)


def test_all_visible_layers_count_and_new_sliders_are_marked_too(
    opened: Any, viewer: Any, qtbot: Any
) -> None:
    film = opened("film")
    step(viewer, qtbot, 0, 1, 2)
    other = opened("other")
    step(viewer, qtbot, 0, 2, 3)
    qtbot.waitUntil(lambda: marked(viewer, 0) == [(2, 4)], timeout=20000)
    other.visible = False
    qtbot.waitUntil(lambda: marked(viewer, 0) == [(0, 4)], timeout=20000)

    place = {"scale": [1, *film.scale], "units": ["pixel", *film.units]}
    viewer.add_image(np.zeros((2, 6, 4, 96, 128), "u1"), visible=False, **place)
    qtbot.waitUntil(lambda: marked(viewer, 1) == [(0, 4)], timeout=20000)
    assert marked(viewer, 0) == [(0, 2)], "along an axis that the film does not have all is here"
    viewer.dims.order = (0, 4, 1, 2, 3)
    qtbot.waitUntil(lambda: marked(viewer, 4) is not None, timeout=20000)

    film.visible = False
    qtbot.waitUntil(lambda: marked(viewer, 1) is None, timeout=20000)
    assert sliders_of(viewer).slider_widgets[1].slider.toolTip() == ""
