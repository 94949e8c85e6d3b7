"""Saving a part from a real window: what is in view, a rectangle, numbers; as folder and file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.napari.widgets.save_dock import SaveDock
from tests.fixtures.images import pattern

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = pattern((4, 6, 200, 240))
PLACE = {
    "scale": (1, 2, 0.5, 0.5),
    "translate": (0, 0, 10, 20),
    "units": ("s", "um", "um", "um"),
    "axis_labels": ("t", "z", "y", "x"),
}


@pytest.fixture
def dock(viewer: Any, qtbot: Any) -> SaveDock:
    viewer.add_image(PIXELS, name="cells", contrast_limits=(0, 9000), **PLACE)
    viewer.dims.set_current_step(0, 2)
    viewer.dims.set_current_step(1, 4)
    dock = SaveDock(viewer)
    viewer.window.add_dock_widget(dock, name="Save", area="right")
    qtbot.waitUntil(dock.isVisible)
    return dock


def save(dock: SaveDock, qtbot: Any) -> None:
    with qtbot.waitSignal(dock.saved, timeout=30000):
        QTest.mouseClick(dock.run_bar.apply_button, Qt.MouseButton.LeftButton)


def name(dock: SaveDock, target: Path) -> None:
    dock.rows.target.setText(str(target))
    dock.rows.target.textEdited.emit(str(target))


def test_a_rectangle_and_the_labels_in_it(
    viewer: Any, dock: SaveDock, qtbot: Any, tmp_path: Path
) -> None:
    coarse = np.zeros((3, 100, 120), "u1")  # twice as large along y and x, without time
    coarse[1, 30:40, 50:60] = 3
    viewer.add_labels(
        coarse,
        name="drawn",
        scale=(4, 1, 1),
        translate=(1, 10.25, 20.25),
        units=("um", "um", "um"),
        axis_labels=("z", "y", "x"),
    )
    rectangle = [[30, 60], [30, 100], [60, 100], [60, 60]]  # µm, of voxels' centres
    viewer.add_shapes([rectangle], shape_type="rectangle", name="box", units=("um", "um"))
    dock.checks.choose([viewer.layers["cells"], viewer.layers["drawn"]])
    name(dock, tmp_path / "part.zarr")

    dock.part.take_box.setCurrentText("Rectangle in “box”")
    rows = dock.part.planes
    assert (rows["t"].span, rows["z"].span) == ((2, 3), (4, 5))
    rows["z"].first.setValue(1)
    rows["t"].last.setValue(3)
    save(dock, qtbot)

    saved = noc.open(tmp_path / "part.zarr")
    assert (saved.read(0) == PIXELS[2:4, 1:5, 40:101, 80:161]).all()
    assert saved.levels[0].translation == (2, 2, 30, 60)
    assert (saved.opened.image.default_t, saved.opened.image.default_z) == (0, 3)
    (labels,) = saved.labels
    assert (labels.read(0) == coarse[0:3, 20:51, 40:81]).all()
    assert labels.levels[0].translation == (1, 30.25, 60.25)


def test_numbers_of_voxels_into_an_ome_tiff(dock: SaveDock, qtbot: Any, tmp_path: Path) -> None:
    name(dock, tmp_path / "part.ome.tif")
    assert dock.rows.version.currentData() == "tiff"

    dock.part.take_box.setCurrentText("Numbers of voxels")
    for axis, (first, last) in {"y": (10, 59), "x": (0, 99), "t": (0, 3)}.items():
        dock.part.planes[axis].last.setValue(last)
        dock.part.planes[axis].first.setValue(first)
    assert "OME-TIFF, tzyx, uint16, deflate: 1 level, one file" in dock.plan.text()
    save(dock, qtbot)

    with tifffile.TiffFile(tmp_path / "part.ome.tif") as file:
        assert (file.asarray() == PIXELS[:, 4:5, 10:60, :100].squeeze()).all()
        assert 'PhysicalSizeX="0.5"' in (file.ome_metadata or "")
    assert not dock.open_button.isVisible()


def test_the_whole_in_one_file_with_levels_as_told(
    viewer: Any, dock: SaveDock, qtbot: Any, tmp_path: Path
) -> None:
    name(dock, tmp_path / "a.ome.zarr")
    dock.rows.version.setCurrentIndex(dock.rows.version.findData("ozx"))
    assert dock.rows.target.text() == str(tmp_path / "a.ozx")
    dock.rows.options.factors.setText("1 1 2 2")
    dock.rows.options.levels.setValue(3)

    save(dock, qtbot)

    saved = noc.open(tmp_path / "a.ozx")
    assert (saved.read(0) == PIXELS).all()
    assert [level.shape[2:] for level in saved.levels] == [(200, 240), (100, 120), (50, 60)]
    QTest.mouseClick(dock.run_bar.apply_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.question is not None, timeout=30000)
    assert "there is the image “cells” (tzyx 4 × 6 × 200 × 240). Overwrite it?" in (
        dock.question.text()
    )
    QTest.keyClick(dock.question, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: dock.run is None, timeout=30000)


def test_from_napari_s_own_menu(viewer: Any, tmp_path: Path) -> None:
    layer = viewer.add_image(pattern((40, 50)), name="small")

    assert viewer.layers.save(str(tmp_path / "a.ozx"))

    assert (noc.open(tmp_path / "a.ozx").read(0) == layer.data).all()


def test_what_is_in_view_follows_the_camera(viewer: Any, dock: SaveDock, qtbot: Any) -> None:
    dock.part.take_box.setCurrentText("What is in view")
    viewer.scene.camera.center = (0, 60, 80)

    viewer.scene.camera.zoom = 40
    qtbot.waitUntil(lambda: "200 x 240" not in dock.plan.text(), timeout=10000)
    small = dock.plan.text()
    viewer.scene.camera.zoom = 20

    qtbot.waitUntil(lambda: dock.plan.text() != small, timeout=10000)
    assert "0: 1 x 1 x " in dock.plan.text()
