"""A plate in a real window: wells in their places, dark between them, labels over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.widgets.plate_dock import PlateDock
from tests.fixtures.plates import field_pixels, write_plate

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = "napari-omezarr-cloud"


def is_settled(layer: Any) -> bool:
    behind = display_of(layer)
    return behind is not None and behind.look is not None and behind.missing == 0


@pytest.mark.parametrize("size", [(2, 64, 64), (2, 601, 430)])
def test_a_plate_is_shown_with_its_wells_in_their_places(
    viewer: Any, qtbot: Any, tmp_path: Path, size: tuple[int, int, int]
) -> None:
    wells = {path: [np.full_like(field_pixels(1, size), 150)] for path in ("A/1", "A/3", "B/2")}
    write_plate(tmp_path / "plate.zarr", wells, listed=[*wells, "B/3"], chunk=64, levels=3)

    layers = list(viewer.open(str(tmp_path / "plate.zarr"), plugin=PLUGIN))
    qtbot.waitUntil(lambda: all(map(is_settled, layers)), timeout=20000)

    assert [layer.name for layer in layers] == ["plate: channel 0", "plate: channel 1"]
    assert [str(unit) for unit in layers[0].units] == ["micrometer", "micrometer"]
    for layer in layers:
        layer.contrast_limits = (0, 200)
    viewer.reset_view()
    viewer.scene.camera.zoom *= 0.9
    qtbot.wait(100)
    qtbot.waitUntil(lambda: all(map(is_settled, layers)), timeout=20000)
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3].max(axis=-1)
    assert 0.2 < (picture > 50).mean() < 0.6
    height, width = (int(n) for n in picture.shape)
    center, zoom = viewer.scene.camera.center[1:], viewer.scene.camera.zoom
    pitch = np.array(layers[0].data[0].shape) * layers[0].scale / (2, 3)
    for row in range(2):
        for column in range(3):
            middle = (np.array([row, column]) + 0.45) * pitch
            y, x = ((middle - center) * zoom + (height / 2, width / 2)).astype(int)
            is_there = f"{'AB'[row]}/{column + 1}" in wells
            assert (picture[y, x] > 50) == is_there


@pytest.fixture
def dock(viewer: Any, qtbot: Any, tmp_path: Path) -> PlateDock:
    """The dock beside a plate of three wells with two fields each, which differ."""
    wells = {
        path: [np.full((2, 64, 64), 50 + n, "u2"), np.full((2, 64, 64), 100 + n, "u2")]
        for n, path in enumerate(("A/1", "A/3", "B/2"))
    }
    write_plate(tmp_path / "plate.zarr", wells, chunk=64)
    dock = PlateDock(viewer)
    viewer.window.add_dock_widget(dock, name="Plate")
    layers = list(viewer.open(str(tmp_path / "plate.zarr"), plugin=PLUGIN))
    qtbot.waitUntil(lambda: all(map(is_settled, layers)), timeout=20000)
    return dock


def test_the_dock_shows_another_field_in_place_of_the_first(
    viewer: Any, qtbot: Any, dock: PlateDock
) -> None:
    before = list(viewer.layers)
    assert dock.said.text() == "3 wells, up to 2 fields each"
    assert (dock.field.minimum(), dock.field.maximum()) == (0, 1)

    dock.field.setValue(1)
    dock.show_button.click()

    def is_replaced() -> bool:
        return len(viewer.layers) == 2 and not set(viewer.layers) & set(before)

    qtbot.waitUntil(is_replaced, timeout=20000)
    assert int(np.asarray(viewer.layers[0].data[0][0, 0])) == 100
    assert dock.field.value() == 1
    assert dock.status.text() == ""


def test_the_dock_brings_a_well_into_view(viewer: Any, qtbot: Any, dock: PlateDock) -> None:
    dock.well.setCurrentText("B2")
    dock.go.click()

    layer = viewer.layers[0]
    pitch = np.array(layer.data[0].shape) * layer.scale / (2, 3)
    assert viewer.scene.camera.center[-2:] == pytest.approx(tuple(pitch * (1.5, 1.5)), abs=1)
    height, width = viewer.canvas.size
    assert viewer.scene.camera.zoom * pitch.max() > 0.6 * min(height, width)


def test_the_dock_says_what_to_do_where_there_is_no_plate(viewer: Any) -> None:
    dock = PlateDock(viewer)
    viewer.add_image(np.zeros((8, 8)))

    assert "Open a plate" in dock.said.text()
    assert dock.rows.isHidden()
