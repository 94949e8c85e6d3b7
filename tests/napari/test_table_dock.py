"""What a person does and sees in the table dock, in a real window."""

from __future__ import annotations

import csv
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QGuiApplication
from skimage import measure

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.live import add_live, plan_live, start_live
from napari_omezarr_cloud.napari.region_features import merged_features
from napari_omezarr_cloud.napari.visible import visible_region
from napari_omezarr_cloud.napari.widgets.region_view import RegionView, value_text
from napari_omezarr_cloud.napari.widgets.table_dock import TableDock
from napari_omezarr_cloud.process import Step, whole_measuring
from napari_omezarr_cloud.process.table import Column, Table
from tests.fixtures.images import pattern, pyramid, squares, write_directly

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer

PLUGIN = "napari-omezarr-cloud"


@pytest.fixture
def dock(viewer: Any, qtbot: Any) -> TableDock:
    dock = TableDock(viewer)
    viewer.window.add_dock_widget(dock, name="Measure", area="right")
    qtbot.waitUntil(dock.isVisible)
    return dock


@pytest.fixture
def cells(viewer: Any) -> Any:
    """Twelve squares of 16 by 16 pixels of half a µm, with grey values below them."""
    where: dict[str, Any] = {"scale": (0.5, 0.5), "translate": (10, 20), "units": ["µm", "µm"]}
    viewer.add_image(pattern((72, 96)), name="cells: nuclei", **where)
    layer = viewer.add_labels(squares((72, 96)).astype(np.int64), name="cells: labels", **where)
    viewer.scene.camera.zoom *= 0.5
    return layer


@pytest.fixture
def remote(viewer: Any, qtbot: Any) -> Callable[..., Any]:
    """``remote(link)`` opens an image and returns its labels layer when both are complete."""

    def show(link: str) -> Any:
        viewer.open(link, plugin=PLUGIN)
        qtbot.waitUntil(lambda: any("labels" in x.name for x in viewer.layers), timeout=20000)
        layer = next(x for x in viewer.layers if "labels" in x.name)
        layer.visible = True
        qtbot.waitUntil(lambda: is_settled(layer), timeout=20000)
        return layer

    return show


def is_settled(layer: Any) -> bool:
    behind = display_of(layer)
    return behind is not None and behind.look is not None and behind.missing == 0


def measured(dock: TableDock, qtbot: Any) -> Table:
    with qtbot.waitSignal(dock.measured, timeout=30000):
        dock.measure()
    return dock.table


def failure(dock: TableDock, qtbot: Any) -> str:
    with qtbot.waitSignal(dock.failed, timeout=30000) as told:
        dock.measure()
    return str(told.args[0])


def click(viewer: Any, layer: Any, at: tuple[float, ...], *, drag_px: float = 0) -> None:
    """Press and release the mouse at data coordinates of a layer, as napari tells of it."""
    from napari.utils.interactions import (
        mouse_move_callbacks,
        mouse_press_callbacks,
        mouse_release_callbacks,
    )

    event = SimpleNamespace(
        type="mouse_press",
        button=1,
        modifiers=(),
        pos=(50.0, 50.0),
        position=tuple(layer.data_to_world(at)),
        view_direction=None,
        dims_displayed=list(viewer.dims.displayed),
        is_dragging=False,
        handled=False,
    )
    mouse_press_callbacks(viewer, event)
    if drag_px:
        event.type, event.is_dragging, event.pos = "mouse_move", True, (50.0 + drag_px, 50.0)
        mouse_move_callbacks(viewer, event)
    event.type = "mouse_release"
    mouse_release_callbacks(viewer, event)


def test_the_table_is_scikit_image_on_the_visible_pixels_in_world_units(
    viewer: Any, dock: TableDock, cells: Any, qtbot: Any
) -> None:
    viewer.scene.camera.zoom *= 4
    viewer.scene.camera.center = (0, 25, 40)
    seen = visible_region(viewer, cells).region

    table = measured(dock, qtbot)

    assert seen.size < cells.data.size, "only a part is in view"
    labels, image = cells.data[seen.slices], viewer.layers["cells: nuclei"].data[seen.slices]
    expected = measure.regionprops_table(
        labels,
        image,
        properties=["label", "area", "centroid", "intensity_mean", "solidity", "perimeter"],
        spacing=(0.5, 0.5),
    )
    np.testing.assert_array_equal(table["label"], expected["label"])
    np.testing.assert_allclose(table["area"], expected["area"])
    np.testing.assert_allclose(table["mean_nuclei"], expected["intensity_mean"])
    np.testing.assert_allclose(table["solidity"], expected["solidity"])
    np.testing.assert_allclose(table["perimeter"], expected["perimeter"])
    start = np.array(seen.start) * 0.5 + (10, 20)
    np.testing.assert_allclose(table["centroid_y"], expected["centroid-0"] + start[0])
    np.testing.assert_allclose(table["centroid_x"], expected["centroid-1"] + start[1])
    assert "area (µm²)" in table.to_dict()
    assert table["touches_edge"].any()
    assert not table["touches_edge"].all()


def test_remote_labels_are_measured_with_the_channels_of_their_image(
    viewer: Any, dock: TableDock, remote: Any, ome_zarr: Any, qtbot: Any
) -> None:
    written = ome_zarr("v05 with labels")
    layer = remote(str(written.path))
    dock.choose(layer, level=0, properties=["size", "intensity"])

    table = measured(dock, qtbot)

    seen = visible_region(viewer, layer, 0)
    z = int(viewer.dims.current_step[0])
    labels = written.labels["cells"][0][z][seen.region.slices[1:]]
    image = written.levels[0][1, z][seen.region.slices[1:]]
    expected = measure.regionprops_table(labels, image, properties=["label", "intensity_max"])
    np.testing.assert_array_equal(table["label"], expected["label"])
    np.testing.assert_array_equal(table["max_membranes"], expected["intensity_max"])
    assert "mean_nuclei" in table.names
    assert dock.region.text().startswith("Level 0 of 3 · 0.25 µm pixels")


def test_live_labels_are_measured_as_they_are_shown(
    viewer: Any, dock: TableDock, qtbot: Any, tmp_path: Path
) -> None:
    spots = np.where(squares((128, 128)) > 0, 900, 100).astype(np.uint16)
    spots[30:34, 20:40] = 900  # one of another shape, over a border between chunks
    written = write_directly(tmp_path / "spots.zarr", "yx", pyramid(spots, 2), chunks=(32, 32))
    source = viewer.open(str(written.path), plugin=PLUGIN)[0]
    viewer.scene.camera.zoom *= 0.5
    plan = plan_live(Step("label", {"threshold": 500.0}), [source])
    layer = add_live(viewer, plan, start_live(plan).result(20))
    qtbot.waitUntil(lambda: is_settled(layer), timeout=20000)
    dock.choose(layer, images=[source], level=0)

    table = measured(dock, qtbot)

    labels = measure.label(spots > 500)
    expected = measure.regionprops_table(
        labels, spots, properties=["area", "intensity_mean"], spacing=(0.25, 0.25)
    )
    np.testing.assert_allclose(np.sort(table["area"]), np.sort(expected["area"]))
    assert set(table["mean_spots"]) == {900}
    dock.go_to_row(3)
    assert layer.selected_label == table["label"][3]


def test_a_volume_is_measured_as_a_whole_in_3d(
    viewer: Any, dock: TableDock, remote: Any, ome_zarr: Any, qtbot: Any
) -> None:
    layer = remote(str(ome_zarr("v05 with labels").path))
    viewer.dims.ndisplay = 3
    dock.choose(layer, images=[], properties=["size", "position"], level=0)

    table = measured(dock, qtbot)

    assert table.to_dict()["volume (µm³)"][0] == 4 * 16 * 16 * 2 * 0.25 * 0.25
    assert table["centroid_z"][0] == pytest.approx(3.0)


def test_another_level_can_be_chosen_and_says_what_it_costs(
    viewer: Any, dock: TableDock, remote: Any, ome_zarr: Any, qtbot: Any
) -> None:
    layer = remote(str(ome_zarr("v05 with labels").path))
    dock.choose(layer, images=[], properties=["size"], level=1)

    coarse = measured(dock, qtbot)

    assert "Level 1 of 3 · 0.5 µm pixels" in dock.region.text()
    assert "Not the finest level" in dock.note.text()
    texts = [dock.choices.level_box.itemText(i) for i in range(dock.choices.level_box.count())]
    assert texts[0] == "The level on screen"
    assert texts[1].startswith("Level 0 · 0.25 µm pixels · ")
    assert coarse["area"].max() == 8 * 8 * 0.5 * 0.5


def test_a_derived_image_of_another_size_is_measured_under_the_labels(
    viewer: Any, dock: TableDock, cells: Any, qtbot: Any
) -> None:
    half = viewer.add_image(
        np.repeat([[7.0, 11.0]], 36, 0).repeat(24, 1),
        name="half",
        scale=(1, 1),
        translate=(10.25, 20.25),
        units=["µm", "µm"],
    )
    dock.choose(cells, images=[half], properties=["intensity"])

    table = measured(dock, qtbot)

    assert table["mean_half"].tolist() == [7, 7, 11, 11] * 3


def test_choosing_a_row_brings_its_object_into_view_and_selects_its_label(
    viewer: Any, dock: TableDock, cells: Any, qtbot: Any
) -> None:
    table = measured(dock, qtbot)
    zoom = viewer.scene.camera.zoom
    label = int(table["label"][7])

    dock.view.selectRow(7)

    y, x = table["centroid_y"][7], table["centroid_x"][7]
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (y, x))
    assert viewer.scene.camera.zoom == zoom, "16 pixels of it can be seen as they are"
    assert cells.selected_label == label
    assert not cells.show_selected_label


@pytest.mark.parametrize("factor", [1 / 50, 50], ids=["too small to see", "larger than the canvas"])
def test_going_to_an_object_zooms_only_where_it_cannot_be_seen(
    viewer: Any, dock: TableDock, cells: Any, qtbot: Any, factor: float
) -> None:
    measured(dock, qtbot)
    viewer.scene.camera.zoom *= factor

    dock.go_to_row(4)

    on_screen = 8 * viewer.scene.camera.zoom
    assert 20 <= on_screen <= min(viewer.canvas.size)


def test_going_to_an_object_of_another_plane_moves_the_slider(
    viewer: Any, dock: TableDock, qtbot: Any
) -> None:
    stack = np.zeros((9, 40, 40), int)
    stack[2, 5:15, 5:15] = 4
    viewer.add_labels(stack, scale=(2, 1, 1), translate=(100, 0, 0))
    viewer.dims.set_current_step(0, 2)
    measured(dock, qtbot)
    viewer.dims.set_current_step(0, 7)

    dock.go_to_row(0)

    assert viewer.dims.current_step[0] == 2
    assert viewer.dims.point[0] == 104


def test_clicking_an_object_selects_its_row_and_leaves_the_camera_alone(
    viewer: Any, dock: TableDock, cells: Any, qtbot: Any
) -> None:
    table = measured(dock, qtbot)
    center = viewer.scene.camera.center
    viewer.layers.selection.active = viewer.layers["cells: nuclei"]

    click(viewer, cells, (30, 30))

    rows = dock.view.selected_rows()
    assert table["label"][rows].tolist() == [int(cells.data[30, 30])]
    assert cells.selected_label == cells.data[30, 30]
    assert viewer.scene.camera.center == center


def test_dragging_background_and_painting_select_no_row(
    viewer: Any, dock: TableDock, cells: Any, qtbot: Any
) -> None:
    measured(dock, qtbot)

    click(viewer, cells, (30, 30), drag_px=30)
    click(viewer, cells, (20, 20))
    viewer.layers.selection.active = cells
    cells.mode = "fill"
    viewer.layers.selection.active = cells
    before = cells.data.copy()
    click(viewer, cells, (30, 30))

    assert len(dock.view.selected_rows()) == 0
    np.testing.assert_array_equal(cells.data, before), "no click of ours painted"


def test_an_object_that_was_not_measured_is_said_to_be_missing(
    viewer: Any, dock: TableDock, cells: Any, qtbot: Any
) -> None:
    measured(dock, qtbot)
    cells.data[60:70, 80:96] = 99
    cells.refresh()

    click(viewer, cells, (65, 90))

    assert dock.run_bar.message.text() == "Object 99 is not in the table."


def test_stand_in_pixels_are_neither_picked_nor_measured(
    viewer: Any, dock: TableDock, ome_zarr: Any, slow_server: Any, qtbot: Any
) -> None:
    path = ome_zarr("v05 with labels").path
    server: SlowServer = slow_server(path.parent)
    server.fault(f"{path.name}/labels/cells/s0/c/", "short")
    viewer.open(f"{server.url}/{path.name}".replace(" ", "%20"), plugin=PLUGIN)
    qtbot.waitUntil(lambda: any("labels" in x.name for x in viewer.layers), timeout=20000)
    layer = next(x for x in viewer.layers if "labels" in x.name)
    layer.visible = True
    qtbot.waitUntil(lambda: engine().has_failures and not engine().jobs_under_way, timeout=20000)
    dock.choose(layer, images=[], level=1, properties=["size"])
    before = measured(dock, qtbot)

    z = int(viewer.dims.current_step[0])
    click(viewer, layer, (z, 30, 30))
    assert len(dock.view.selected_rows()) == 0, "what is seen there is a coarser level's"
    dock.choose(level=0)
    sentence = failure(dock, qtbot)

    assert "labels/cells" in sentence
    assert "s0/c/" in sentence
    assert dock.run_bar.message.text() == sentence
    assert dock.table is before


def test_features_of_the_file_stay_and_the_measured_ones_are_replaced(
    viewer: Any, dock: TableDock, cells: Any, qtbot: Any
) -> None:
    cells.features = {"index": [1, 2, 77], "class": ["a", "b", "c"], "area (µm²)": [0, 0, 0]}
    dock.choose(cells, properties=["size", "intensity"])
    measured(dock, qtbot)
    dock.choose(properties=["size"])
    table = measured(dock, qtbot)

    features = cells.features.set_index("index")
    assert features.loc[2, "class"] == "b"
    assert features.loc[77, "class"] == "c"
    assert features.loc[2, "area (µm²)"] == 0
    assert features.loc[2, "area (µm²) (measured)"] == 64
    assert not [name for name in features if "mean" in name]
    assert set(table["label"]) <= set(features.index)
    tip = cells._get_tooltip_text(np.array(cells.data_to_world((8, 30))), world=True)
    assert "class: b" in tip
    assert "area (µm²) (measured): 64" in tip


def test_features_keep_numbers_that_no_float_holds() -> None:
    import pandas as pd

    numbers = np.array([5, 2**63 + 1], np.uint64)
    table = Table((Column("label", "", numbers), Column("area", "", np.array([1.0, 2.0]))))
    kept = pd.DataFrame({"index": np.array([5, -1]), "class": ["a", "b"]})

    merged, added = merged_features(kept, table)

    assert set(merged["index"]) == {5, -1, 2**63 + 1}
    assert added == {"area"}
    assert merged.set_index("index").loc[2**63 + 1, "area"] == 2


def test_the_dock_says_when_the_table_is_of_another_place_and_does_not_measure_by_itself(
    viewer: Any, dock: TableDock, cells: Any, qtbot: Any
) -> None:
    table = measured(dock, qtbot)
    assert not dock.stale.isVisible()

    viewer.scene.camera.zoom *= 8
    qtbot.waitUntil(dock.stale.isVisible)

    assert dock.stale.text() == "Measured at another place: x 0–96 · y 0–72"
    assert dock.table is table
    viewer.scene.camera.zoom /= 8
    qtbot.waitUntil(lambda: not dock.stale.isVisible())


def test_numbers_are_sorted_as_numbers_and_the_selection_stays(
    viewer: Any, dock: TableDock, cells: Any, qtbot: Any
) -> None:
    table = measured(dock, qtbot)
    dock.view.selectRow(3)
    column = table.names.index("mean_nuclei")

    dock.view.sortByColumn(column, Qt.SortOrder.DescendingOrder)

    shown = [dock.view.regions.row_in_table(row) for row in range(len(table))]
    assert (np.diff(table["mean_nuclei"][shown]) <= 0).all()
    assert dock.view.selected_rows().tolist() == [3]


def test_what_is_no_number_comes_last_either_way(qtbot: Any) -> None:
    view = RegionView()
    qtbot.addWidget(view)
    values = np.array([3.0, np.nan, 20.0, 100.0])
    view.show_table(Table((Column("label", "", np.arange(4)), Column("it", "", values))))

    view.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    up = [view.regions.row_in_table(row) for row in range(4)]
    view.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    down = [view.regions.row_in_table(row) for row in range(4)]

    assert (up, down) == ([0, 2, 3, 1], [3, 2, 0, 1])


def test_of_very_many_rows_only_those_on_screen_are_asked_for(qtbot: Any) -> None:
    view = RegionView()
    qtbot.addWidget(view)
    count = 300_000
    table = Table((Column("label", "", np.arange(count)), Column("a", "µm", np.ones(count))))
    asked: set[int] = set()
    own_data = view.regions.data
    view.regions.data = lambda index, *role: (asked.add(index.row()), own_data(index, *role))[1]  # type: ignore[method-assign]
    view.show()
    qtbot.waitExposed(view)

    view.show_table(table)
    view.sortByColumn(0, Qt.SortOrder.DescendingOrder)
    assert view.select(count // 2)
    qtbot.wait(50)

    assert count // 2 - 1 in asked
    assert len(asked) < 1000


def test_headers_have_units_and_explain_themselves(
    viewer: Any, dock: TableDock, cells: Any, qtbot: Any
) -> None:
    table = measured(dock, qtbot)
    model, column = dock.view.regions, table.names.index("solidity")

    tip = model.headerData(column, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
    titles = [model.headerData(c, Qt.Orientation.Horizontal) for c in range(model.columnCount())]

    assert "convex hull" in tip
    assert "area\n(µm²)" in titles
    assert all(table.columns[c].help for c in range(len(titles)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1 / 3, "0.3333"),
        (54321.4, "54321"),
        (np.uint64(10**12), "1000000000000"),
        (np.nan, ""),
        (np.True_, "yes"),
        (1.5e-7, "1.5e-07"),
    ],
)
def test_values_are_shown_with_sensible_digits(value: Any, text: str) -> None:
    assert value_text(value) == text


def test_csv_is_written_with_units_and_asks_before_it_replaces(
    viewer: Any, dock: TableDock, cells: Any, tmp_path: Path, qtbot: Any
) -> None:
    table = measured(dock, qtbot)
    file = tmp_path / "cells.csv"

    with qtbot.waitSignal(dock.exported):
        dock.export(str(file))
    with qtbot.waitSignal(dock.failed) as told:
        dock.export(str(file))

    with file.open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    assert [int(row["label"]) for row in rows] == table["label"].tolist()
    assert [float(row["area (µm²)"]) for row in rows] == table["area"].tolist()
    assert "already" in told.args[0]


def test_a_name_without_ending_gets_one_and_a_file_of_that_name_is_asked_about(
    viewer: Any,
    dock: TableDock,
    cells: Any,
    tmp_path: Path,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from qtpy.QtWidgets import QFileDialog, QMessageBox

    measured(dock, qtbot)
    (tmp_path / "cells.csv").write_text("mine")
    offered: list[str] = []

    def choose(parent: Any, title: str, name: str, kinds: str) -> tuple[str, str]:
        offered.append(name)
        return str(tmp_path / "cells"), kinds

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.No)
    cells.name = "https://host/cells.zarr?X-Amz-Signature=secret: nuclei"
    qtbot.mouseClick(dock.export_button, Qt.MouseButton.LeftButton)
    assert (tmp_path / "cells.csv").read_text() == "mine"

    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    with qtbot.waitSignal(dock.exported):
        qtbot.mouseClick(dock.export_button, Qt.MouseButton.LeftButton)

    assert (tmp_path / "cells.csv").read_text(encoding="utf-8").startswith("label,")
    assert offered[0].endswith(".csv")
    assert "secret" not in offered[0]


def test_selected_rows_are_copied_for_a_spreadsheet(
    viewer: Any, dock: TableDock, cells: Any, qtbot: Any
) -> None:
    table = measured(dock, qtbot)
    dock.view.select(int(table["label"][2]))

    clipboard = QGuiApplication.clipboard()
    assert clipboard is not None
    clipboard.setText("before")
    qtbot.mouseClick(dock.copy_button, Qt.MouseButton.LeftButton)

    qtbot.waitUntil(lambda: clipboard.text() != "before")
    header, row = clipboard.text().splitlines()
    assert header.split("\t") == list(table.to_dict())
    assert row.split("\t")[0] == str(table["label"][2])


def test_without_labels_the_dock_says_what_is_needed(
    viewer: Any, dock: TableDock, qtbot: Any
) -> None:
    viewer.add_image(pattern((30, 30)))

    assert "There are no labels to measure" in dock.region.text()
    assert not dock.run_bar.apply_button.isEnabled()
    assert dock.choices.labels_box.count() == 0
    assert not dock.choices.level_box.isVisible()


def test_without_a_ticked_image_the_dock_says_that_no_intensity_is_measured(
    viewer: Any, dock: TableDock, cells: Any, qtbot: Any
) -> None:
    dock.choose(cells, images=[])

    table = measured(dock, qtbot)

    assert "No image is ticked" in dock.note.text()
    assert "area" in table.names
    assert not [name for name in table.names if name.startswith("mean")]


def test_the_person_ticks_images_and_they_stay_ticked(
    viewer: Any, dock: TableDock, cells: Any, qtbot: Any
) -> None:
    other = viewer.add_image(pattern((72, 96)), name="other", scale=(0.5, 0.5), units=["µm"] * 2)
    colours = viewer.add_image(np.zeros((72, 96, 3), "u1"), rgb=True)
    box = dock.choices.image_checks.box_of(viewer.layers["cells: nuclei"])
    assert colours not in dock.choices.image_checks.layers

    box.setChecked(True)
    dock.choices.image_checks.box_of(other).setChecked(False)
    viewer.add_image(pattern((72, 96)), name="late")

    assert dock.choices.image_checks.layers == [viewer.layers["cells: nuclei"]]


def test_rotated_layers_are_measured_along_their_own_axes_and_it_is_said(
    viewer: Any, dock: TableDock, qtbot: Any
) -> None:
    labels = squares((72, 96)).astype(np.int32)
    layer = viewer.add_labels(labels, scale=(2, 2), rotate=30, units=["µm", "µm"])
    viewer.scene.camera.zoom *= 0.3

    table = measured(dock, qtbot)
    dock.go_to_row(5)

    assert table["area"].tolist() == [1024.0] * 12
    assert "rotated" in dock.notes.text()
    middle = np.argwhere(labels == table["label"][5]).mean(0)
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], layer.data_to_world(middle))


def test_sheared_layers_and_layers_without_units(viewer: Any, dock: TableDock, qtbot: Any) -> None:
    viewer.add_labels(squares((72, 96)).astype(np.int32), shear=[0.5])
    assert "sheared" in dock.region.text()
    viewer.layers.clear()
    viewer.add_labels(squares((72, 96)).astype(np.int32))
    viewer.scene.camera.zoom *= 0.5

    table = measured(dock, qtbot)

    assert "area (px²)" in table.to_dict()
    assert "no length unit" in dock.notes.text()


class GatedArray:
    """A lazy array of a third party that gives its pixels when it is allowed to."""

    def __init__(self, pixels: np.ndarray[Any, Any]) -> None:
        self.pixels, self.gate = pixels, threading.Event()
        self.shape, self.dtype = pixels.shape, pixels.dtype
        self.ndim, self.size = pixels.ndim, pixels.size

    def __getitem__(self, item: Any) -> np.ndarray[Any, Any]:
        if threading.current_thread() is not threading.main_thread():
            assert self.gate.wait(20)
        return self.pixels[item]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return self.pixels


@pytest.fixture
def slow(viewer: Any, cells: Any) -> GatedArray:
    slow = GatedArray(pattern((72, 96)))
    viewer.add_image(slow, name="slow", contrast_limits=(0, 1), scale=(0.5, 0.5), units=["µm"] * 2)
    return slow


def test_cancelling_keeps_the_table_that_is_there(
    viewer: Any, dock: TableDock, cells: Any, slow: GatedArray, qtbot: Any
) -> None:
    dock.choose(cells, images=[])
    before = measured(dock, qtbot)
    dock.choose(images=[viewer.layers["slow"]])
    dock.measure()
    assert dock.run_bar.cancel_button.isEnabled()

    dock.run_bar.cancel_button.click()
    slow.gate.set()
    qtbot.wait(100)

    assert dock.table is before
    assert dock.run_bar.message.text() == "Cancelled."


def test_labels_that_are_removed_meanwhile_get_no_table(
    viewer: Any, dock: TableDock, cells: Any, slow: GatedArray, qtbot: Any
) -> None:
    dock.choose(cells, images=[viewer.layers["slow"]])
    dock.measure()

    viewer.layers.remove(cells)
    slow.gate.set()

    qtbot.waitUntil(lambda: not dock.is_running)
    assert len(dock.table) == 0


def test_a_table_outlives_its_labels_and_says_so(
    viewer: Any, dock: TableDock, cells: Any, qtbot: Any
) -> None:
    table = measured(dock, qtbot)

    viewer.layers.remove(cells)
    dock.view.selectRow(2)

    qtbot.waitUntil(lambda: "removed" in dock.stale.text())
    assert dock.table is table


def test_too_much_for_memory_is_refused_before_it_starts(
    viewer: Any, dock: TableDock, qtbot: Any
) -> None:
    fine = GatedArray(np.broadcast_to(np.zeros((1, 1), "u1"), (40_000, 40_000)))
    layer = viewer.add_labels([fine, np.zeros((2000, 2000), "u1")], multiscale=True)
    viewer.reset_view()
    dock.choose(layer)
    assert dock.run_bar.apply_button.isEnabled()
    assert dock.choices.level_box.itemText(1).endswith("too large, zoom in")

    dock.choose(level=0)

    assert "too large" in dock.region.text()
    assert "coarser level" in dock.region.text()
    assert not dock.run_bar.apply_button.isEnabled()


def test_closing_the_viewer_while_it_measures_is_quiet(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer(show=True)
    dock = TableDock(viewer)
    viewer.window.add_dock_widget(dock)
    slow = GatedArray(squares((72, 96)))
    viewer.add_labels(slow, multiscale=False)
    dock.measure()

    viewer.close()
    slow.gate.set()

    qtbot.wait(100)


def test_a_dock_that_is_taken_away_leaves_the_canvas_alone(
    viewer: Any, cells: Any, qtbot: Any
) -> None:
    before = list(viewer.mouse_drag_callbacks)
    dock = TableDock(viewer)
    window = viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(dock.isVisible)
    measured(dock, qtbot)
    assert len(viewer.mouse_drag_callbacks) == len(before) + 1

    viewer.window.remove_dock_widget(window)
    dock.deleteLater()
    qtbot.wait(50)

    assert list(viewer.mouse_drag_callbacks) == before
    click(viewer, cells, (30, 30))


def test_the_dock_is_found_in_the_plugin_menu(viewer: Any, qtbot: Any) -> None:
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Measure what is visible")

    assert isinstance(widget, TableDock)
    qtbot.waitUntil(widget.isVisible)
    layer = viewer.add_labels(squares((72, 96)).astype(np.int32))
    assert widget.choices.labels_box.layer is layer


def test_a_real_click_on_the_canvas_reaches_the_dock(
    viewer: Any, dock: TableDock, cells: Any, qtbot: Any
) -> None:
    measured(dock, qtbot)
    dock.go_to_row(5)
    qtbot.wait(100)
    canvas = viewer.window._qt_viewer.canvas.native
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)

    qtbot.mouseMove(canvas, middle)
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=middle)

    qtbot.waitUntil(lambda: dock.view.selected_rows().tolist() == [5])


def test_all_objects_of_an_image_wherever_they_are(
    viewer: Any, dock: TableDock, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_measuring, "BLOCK_VOXELS", 1)
    rng = np.random.default_rng(4)
    grey = sum(np.roll(rng.integers(0, 999, (8, 60, 70)), n, n % 3) for n in range(6)).astype("u2")
    objects = measure.label(grey > 3300).astype("u4")
    place = {"scale": (2, 0.5, 0.5), "unit": "micrometer"}
    image = noc.save(
        noc.from_array(grey, "zyx", name="cells", **place), tmp_path / "i.zarr", chunks=(3, 20, 20)
    )
    noc.save_labels(noc.from_array(objects, "zyx", **place), image, "found", chunks=(4, 16, 30))
    viewer.open(str(tmp_path / "i.zarr"), plugin=PLUGIN)
    qtbot.waitUntil(lambda: any("found" in x.name for x in viewer.layers), timeout=20000)
    labels = next(x for x in viewer.layers if "found" in x.name)
    viewer.scene.camera.zoom = 40
    dock.choose(labels, images=[viewer.layers[0]], properties=["size", "intensity"], whole=True)
    assert "blocks" in dock.region.text()

    table = measured(dock, qtbot)

    names = ["label", "area", "intensity_mean", "centroid"]
    spacing = (2, 0.5, 0.5)
    expected = measure.regionprops_table(objects, grey, properties=names, spacing=spacing)
    assert (table["label"] == expected["label"]).all()
    np.testing.assert_allclose(table["volume"], expected["area"])
    mean = next(name for name in table.names if name.startswith("mean_"))
    np.testing.assert_allclose(table[mean], expected["intensity_mean"])
    assert len(labels.features) == len(table)
    row = int(np.argmax(expected["centroid-0"]))
    dock.go_to_row(row)
    assert labels.selected_label == expected["label"][row]
    assert abs(viewer.dims.point[0] - expected["centroid-0"][row]) <= 8
    with qtbot.waitSignal(dock.exported, timeout=30000):
        dock.export(str(tmp_path / "table.parquet"))
    assert len(pd.read_parquet(tmp_path / "table.parquet")) == len(table)

    dock.choices.by_plane.setChecked(True)
    planes = measured(dock, qtbot)
    assert planes.names[:2] == ("label", "z")
    assert len(planes) > len(table)


def test_an_image_moved_on_screen_is_not_measured_under_all_labels(
    viewer: Any, dock: TableDock, cells: Any
) -> None:
    dock.choose(cells, whole=True)
    assert dock.run_bar.apply_button.isEnabled()
    viewer.layers[0].rotate = 20
    dock.choose(cells, whole=True)
    assert "moved, scaled or rotated on screen" in dock.region.text()
    assert not dock.run_bar.apply_button.isEnabled()
