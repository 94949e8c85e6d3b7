"""A plate in a real window: wells in their places, dark between them, labels over them."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pytest
from napari.utils.interactions import mouse_double_click_callbacks
from qtpy.QtCore import Qt
from skimage.filters import gaussian

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.live import add_live, plan_live, start_live
from napari_omezarr_cloud.napari.open_url import show_dialog
from napari_omezarr_cloud.napari.plate_clicks import plate_behind
from napari_omezarr_cloud.napari.widgets.plate_dock import PlateDock
from napari_omezarr_cloud.process import Step
from napari_omezarr_cloud.store.remote import GATE
from tests.fixtures.plates import (
    field_pixels,
    row_names,
    write_bare_plate,
    write_field,
    write_plate,
)
from tests.fixtures.rounds import rounds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer

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


def test_a_wide_plate_fits_the_canvas_beside_the_docks(
    viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    """napari shows the controls of a first layer, which take room, after it has fitted the view."""
    write_bare_plate(tmp_path / "plate.zarr", 2, 12)
    viewer.window.add_plugin_dock_widget(PLUGIN, "Plate")

    (layer,) = viewer.open(str(tmp_path / "plate.zarr"), plugin=PLUGIN)

    length = layer.extent.world[1][-1]
    qtbot.waitUntil(
        lambda: 0.8 < length * viewer.scene.camera.zoom / viewer.canvas.size[-1] <= 1, timeout=5000
    )


def write_two_fields(path: Path) -> None:
    """Write three wells: their first fields are 50, 51, 52 throughout, the second 100, 101, 102."""
    wells = {
        well: [np.full((2, 64, 64), 50 + n, "u2"), np.full((2, 64, 64), 100 + n, "u2")]
        for n, well in enumerate(("A/1", "A/3", "B/2"))
    }
    write_plate(path, wells, chunk=64)


@pytest.fixture
def dock(viewer: Any, qtbot: Any, tmp_path: Path) -> PlateDock:
    """The dock beside a plate of three wells with two fields each, which differ."""
    write_two_fields(tmp_path / "plate.zarr")
    # As the menu does: with a wrapper of the viewer, which nobody keeps.
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Plate")
    layers = list(viewer.open(str(tmp_path / "plate.zarr"), plugin=PLUGIN))
    qtbot.waitUntil(lambda: all(map(is_settled, layers)), timeout=20000)
    return dock


def choose(box: Any, data: Any) -> None:
    """Choose from a drop-down as a person does."""
    box.setCurrentIndex(box.findData(data))
    box.activated.emit(box.currentIndex())


def test_another_field_keeps_contrast_colours_visibility_and_camera(
    viewer: Any, qtbot: Any, dock: PlateDock
) -> None:
    layers = list(viewer.layers)
    assert dock.said.text() == "3 wells (2 rows, 3 columns), up to 2 fields each."
    layers[0].contrast_limits = (7, 77)
    layers[0].colormap = "magma"
    layers[1].visible = False
    viewer.scene.camera.zoom *= 3
    viewer.scene.camera.center = (0, 5, 9)

    choose(dock.field, 1)
    qtbot.waitUntil(lambda: int(np.asarray(layers[0].data[0][0, 0])) == 100, timeout=20000)
    qtbot.waitUntil(lambda: is_settled(layers[0]), timeout=20000)

    assert list(viewer.layers) == layers
    assert tuple(layers[0].contrast_limits) == (7, 77)
    assert layers[0].colormap.name == "magma"
    assert not layers[1].visible
    assert viewer.scene.camera.center[-2:] == pytest.approx((5, 9))
    assert dock.field.currentData() == 1
    assert dock.status.text() == ""
    assert layers[0].get_value((1, 1)) == (layers[0].data_level, 100)


def test_all_fields_take_the_place_of_one_with_its_looks_and_the_same_wells_in_view(
    viewer: Any, qtbot: Any, dock: PlateDock
) -> None:
    first, second = viewer.layers
    first.contrast_limits = (7, 77)
    second.visible = False
    dock.well.setText("B2")
    dock.go.click()
    looked_at = viewer.scene.camera.center[-2:]

    choose(dock.field, "all")
    qtbot.waitUntil(lambda: first not in viewer.layers and len(viewer.layers) == 2, timeout=20000)
    qtbot.waitUntil(lambda: is_settled(viewer.layers[0]), timeout=20000)

    shown = viewer.layers[0]
    assert tuple(shown.contrast_limits) == (7, 77)
    assert [layer.visible for layer in viewer.layers] == [True, False]
    assert [layer.name for layer in viewer.layers] == ["plate: channel 0", "plate: channel 1"]
    assert dock.field.currentData() == "all"
    assert set(np.unique(np.asarray(shown.data[0]))) == {0, 50, 51, 52, 100, 101, 102}
    middle = viewer.scene.camera.center[-2:]
    plate = plate_behind(shown)
    assert plate is not None
    assert plate.well_at(*middle).path == "B/2"
    assert tuple(middle) != pytest.approx(looked_at)


def test_what_is_computed_from_a_plate_follows_to_another_field(
    viewer: Any, qtbot: Any, dock: PlateDock
) -> None:
    viewer.layers[1].visible = False
    source = viewer.layers[0]
    plan = plan_live(Step("gaussian", {"sigma": 2.0}), [source])
    live = add_live(viewer, plan, start_live(plan).result(10))
    qtbot.waitUntil(lambda: is_settled(live), timeout=20000)
    level = live.data_level
    seen = np.asarray(live.data[level])
    pixels = np.asarray(source.data[level]).astype(float)
    truth = gaussian(pixels, sigma=2.0 / source.scale[0] / 2**level)
    np.testing.assert_allclose(seen, truth, atol=0.01)
    viewer.layers.selection.active = live
    assert dock.map.isVisibleTo(dock)

    choose(dock.field, 1)
    qtbot.waitUntil(lambda: int(np.asarray(source.data[0][5, 5])) == 100, timeout=20000)
    qtbot.waitUntil(lambda: is_settled(live), timeout=20000)

    assert np.asarray(live.data[0]).max() > 1.5 * seen.max()
    assert dock.status.text() == ""


@pytest.mark.parametrize("text", ["B2", "b02", "B/2"])
def test_the_dock_brings_a_well_into_view_by_its_name(
    viewer: Any, dock: PlateDock, text: str
) -> None:
    dock.well.setText(text)
    dock.go.click()

    assert_in_view(viewer, 1, 1)
    assert dock.well.text() == "B2"


def assert_in_view(viewer: Any, row: int, column: int) -> None:
    layer = viewer.layers[0]
    pitch = np.array(layer.data[0].shape) * layer.scale / (2, 3)
    middle = tuple(pitch * (row + 0.5, column + 0.5))
    assert viewer.scene.camera.center[-2:] == pytest.approx(middle, abs=1)
    height, width = viewer.canvas.size
    assert viewer.scene.camera.zoom * pitch.max() > 0.6 * min(height, width)


def test_a_well_that_does_not_exist_is_named(viewer: Any, dock: PlateDock) -> None:
    before = viewer.scene.camera.center
    dock.well.setText("Q7")
    dock.go.click()

    assert "no well Q7" in dock.status.text()
    assert viewer.scene.camera.center == before


def test_a_double_click_in_the_map_of_wells_goes_there(
    viewer: Any, qtbot: Any, dock: PlateDock
) -> None:
    index = dock.map.model().index(0, 2)
    spot = dock.map.visualRect(index).center()
    area = dock.map.viewport()
    qtbot.mouseClick(area, Qt.MouseButton.LeftButton, pos=spot)
    assert dock.well.text() == "A3"

    qtbot.mouseDClick(area, Qt.MouseButton.LeftButton, pos=spot)

    assert_in_view(viewer, 0, 2)


def double_click(viewer: Any, y: float, x: float) -> None:
    """Click twice at a place of the world, as the canvas reports it."""
    event = SimpleNamespace(
        position=(y, x), modifiers=(), camera_zoom=viewer.scene.camera.zoom, handled=False
    )
    mouse_double_click_callbacks(viewer, event)


def test_a_double_click_on_a_well_in_the_picture_goes_there(viewer: Any, dock: PlateDock) -> None:
    layer = viewer.layers[0]
    pitch = np.array(layer.data[0].shape) * layer.scale / (2, 3)
    viewer.scene.camera.zoom /= 4

    double_click(viewer, *(pitch * (1.3, 1.8)))

    assert_in_view(viewer, 1, 1)
    zoom = viewer.scene.camera.zoom
    double_click(viewer, *(pitch * (1.3, 1.8)))  # it fills the window: closer, as anywhere else
    assert viewer.scene.camera.zoom == pytest.approx(2 * zoom)


def test_hovering_names_the_well_and_the_field(viewer: Any, dock: PlateDock) -> None:
    layer = viewer.layers[0]
    pitch = np.array(layer.data[0].shape) * layer.scale / (2, 3)

    def said(row: float, column: float) -> str:
        place = tuple(pitch * (row, column))
        return str(layer.get_status(place, world=True)["coordinates"])

    assert "well B2, field 0" in said(1.5, 1.5)
    assert "well A3, field 0" in said(0.2, 2.2)
    assert "well" not in said(1.5, 0.5)  # B1 is not listed


def test_names_of_wells_lie_on_them_where_they_fit_and_go_at_a_click(
    viewer: Any, qtbot: Any, dock: PlateDock
) -> None:
    active = viewer.layers.selection.active

    dock.named.click()

    names = viewer.layers["wells"]
    assert len(viewer.layers) == 3
    qtbot.waitUntil(lambda: len(names.data) == 3, timeout=5000)
    layer = viewer.layers[0]
    pitch = np.array(layer.data[0].shape) * layer.scale / (2, 3)
    places = dict(zip(names.features["well"], (names.data // pitch).tolist(), strict=True))
    assert places == {"A1": [0, 0], "A3": [0, 2], "B2": [1, 1]}
    assert viewer.layers.selection.active is active

    viewer.scene.camera.zoom /= 40  # a well is a few pixels: rows and columns are named
    qtbot.waitUntil(lambda: "A1" not in set(names.features["well"]), timeout=5000)
    dock.named.click()
    assert "wells" not in viewer.layers


def test_the_dock_says_what_to_do_when_its_plate_is_gone(dock: PlateDock, viewer: Any) -> None:
    assert "3 wells" in dock.said.text()

    viewer.layers.clear()

    assert "Open a plate" in dock.said.text()
    assert dock.rows.isHidden()


def test_the_dock_says_what_to_do_where_there_is_no_plate(viewer: Any) -> None:
    dock = PlateDock(viewer)
    viewer.add_image(np.zeros((8, 8)))

    assert "Open a plate" in dock.said.text()
    assert dock.rows.isHidden()


def test_what_is_found_of_wells_later_is_told_in_the_dock_and_the_layers(
    viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    write_bare_plate(tmp_path / "plate.zarr", 2, 3, present=["A/1", "B/2"])
    dock = PlateDock(viewer)
    viewer.window.add_dock_widget(dock, name="Plate")

    (layer,) = viewer.open(str(tmp_path / "plate.zarr"), plugin=PLUGIN)

    def is_told(text: str) -> bool:
        return text.startswith("Not there, and blank") and all(n in text for n in ("A2", "B3"))

    qtbot.waitUntil(lambda: is_told(dock.found.text()), timeout=20000)
    qtbot.waitUntil(lambda: any(map(is_told, layer.metadata["omezarr"]["notes"])), timeout=5000)


@pytest.mark.parametrize(("text", "values"), [("1", {0, 100, 101, 102}), ("", {0, 50, 51, 52})])
def test_the_dialog_opens_the_field_that_was_typed(
    viewer: Any, qtbot: Any, tmp_path: Path, text: str, values: set[int]
) -> None:
    write_two_fields(tmp_path / "plate.zarr")
    dialog = show_dialog(viewer)
    dialog.link.setEditText(str(tmp_path / "plate.zarr"))
    dialog.field.setText(text)
    dialog.open_button.click()

    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=20000)
    assert set(np.unique(np.asarray(viewer.layers[0].data[0]))) == values


def test_the_dialog_says_that_a_field_is_no_number(viewer: Any, tmp_path: Path) -> None:
    dialog = show_dialog(viewer)
    dialog.link.setEditText(str(tmp_path / "plate.zarr"))
    dialog.field.setText("left")
    dialog.open_button.click()

    assert "'left' is no number" in dialog.status.text().replace("\u200b", "")


def test_without_the_dock_a_double_click_goes_to_a_well_too(
    viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    write_two_fields(tmp_path / "plate.zarr")
    layers = list(viewer.open(str(tmp_path / "plate.zarr"), plugin=PLUGIN))
    qtbot.waitUntil(lambda: all(map(is_settled, layers)), timeout=20000)
    pitch = np.array(layers[0].data[0].shape) * layers[0].scale / (2, 3)
    viewer.scene.camera.zoom /= 4

    double_click(viewer, *(pitch * (0.3, 2.8)))

    assert_in_view(viewer, 0, 2)


# ---- large plates -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], Path]:
    """``bare(rows, columns)`` is the folder of a plate of as many wells, written once."""
    folder = tmp_path_factory.mktemp("bare")

    def write(rows: int, columns: int) -> Path:
        place = folder / f"{rows} x {columns}"
        if not place.exists():
            write_bare_plate(place / "plate.zarr", rows, columns)
        return place

    return write


@pytest.fixture
def serve(
    slow_server: Any, bare: Callable[[int, int], Path]
) -> Callable[[int, int], tuple[SlowServer, str]]:
    """``serve(rows, columns)`` gives a slow server and its link to a plate of as many wells."""

    def start(rows: int, columns: int) -> tuple[SlowServer, str]:
        server = slow_server(bare(rows, columns), latency_s=0.1)
        return server, f"{server.url}/plate.zarr"

    return start


def wells_asked(server: SlowServer) -> set[str]:
    places = (path.partition("plate.zarr/")[2].split("/") for path in server.paths)
    return {f"{p[0]}/{p[1]}" for p in places if len(p) > 2 and p[1].isdigit()}


def test_the_first_picture_of_a_plate_is_five_round_trips_deep(
    viewer: Any, qtbot: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GATE, "slots", 200)  # so that nothing waits but for an answer
    monkeypatch.setattr(GATE, "line", None)
    server, link = serve(6, 8)
    server.latency_s = 0.5

    (layer,) = viewer.open(link, plugin=PLUGIN)
    qtbot.waitUntil(lambda: is_settled(layer), timeout=20000)

    assert rounds(server.log) <= 5


def test_1536_wells_cost_four_requests_each_from_the_middle_and_few_at_once(
    viewer: Any, qtbot: Any, serve: Any
) -> None:
    server, link = serve(32, 48)
    server.latency_s = 0.01

    (layer,) = viewer.open(link, plugin=PLUGIN)
    qtbot.waitUntil(lambda: is_settled(layer), timeout=120000)

    assert max(exchange.in_flight for exchange in server.log) <= GATE.slots
    assert len(wells_asked(server)) == 1536
    # Of each well its document, the field's, the coarsest level's and one chunk of it.
    assert len(server.log) <= 25 + 1536 * 4
    assert {path.split("/")[-4] for path in server.paths if "/c/" in path} == {"2"}
    order = [p.partition("plate.zarr/")[2].split("/") for p in server.paths if "/c/" in p]
    rows = {name: number for number, name in enumerate(row_names(32))}
    distances = [np.hypot(rows[p[0]] - 15.5, int(p[1]) - 24.5) for p in order]
    assert np.mean(distances[:200]) < 0.6 * np.mean(distances[-200:])
    assert len(np.unique(np.asarray(layer.data[-1]))) > 100


def test_zooming_to_a_well_gives_up_what_the_whole_plate_asked_for(
    viewer: Any, qtbot: Any, serve: Any
) -> None:
    server, link = serve(32, 48)
    server.latency_s = 0.6  # so that a busy machine clicks before all is asked for
    dock = PlateDock(viewer)
    viewer.window.add_dock_widget(dock, name="Plate")
    (layer,) = viewer.open(link, plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(wells_asked(server)) > 50, timeout=20000)

    before = len(wells_asked(server))
    dock.well.setText("AF48")
    dock.go.click()
    qtbot.waitUntil(lambda: is_settled(layer), timeout=20000)

    assert "AF/48" in wells_asked(server)
    assert before <= len(wells_asked(server)) < min(before + 400, 1536)
    server.clear_log()
    qtbot.wait(400)
    assert len(wells_asked(server)) < 40  # its neighbours, at most


def test_a_link_that_leads_to_four_wells_asks_for_no_others(
    viewer: Any, qtbot: Any, serve: Any
) -> None:
    server, link = serve(32, 48)
    state = {
        "layers": [{"name": "plate", "type": "image", "source": f"zarr://{link}"}],
        "position": [4 * 524, 8 * 524],  # where H4, H5, I4 and I5 meet; x, then y
        "crossSectionScale": 1,
        "layout": "xy",
    }

    place = quote(json.dumps(state))
    viewer.open(f"https://neuroglancer-demo.appspot.com/#!{place}", plugin=PLUGIN)
    (layer,) = viewer.layers
    qtbot.waitUntil(lambda: is_settled(layer), timeout=20000)

    assert layer.visible
    shown = {f"{row}/{column}" for row in "HI" for column in (4, 5)}
    asked = {
        path.partition("plate.zarr/")[2]
        for path in server.paths
        if "/labels/" not in path  # a few wells are asked for those
    }
    wells = {"/".join(path.split("/")[:2]) for path in asked if path[:1].isupper()}
    assert shown <= wells
    # The first well says what a well is like; what loads ahead comes when all on screen is here.
    around = {f"{row}/{column}" for row in "GHIJ" for column in (3, 4, 5, 6)}
    assert wells - {"A/1"} <= around
    assert len(asked) < 150


def test_a_plate_is_shown_whole_with_little_memory(
    viewer: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bare_plate(tmp_path / "plate.zarr", 12, 16, size=1024, chunk=512, levels=1)
    cache = engine().cache
    monkeypatch.setattr(cache, "max_bytes", 2**24)  # of 192 wells, 16 would fill it
    for row, column in ((0, 0), (11, 15)):
        chunk = tmp_path / "plate.zarr" / row_names(12)[row] / str(column + 1) / "0" / "0" / "c"
        for n in range(4):
            (chunk / str(n // 2)).mkdir(parents=True, exist_ok=True)
            (chunk / str(n // 2) / str(n % 2)).write_bytes(bytes([250]) * 512**2)

    (layer,) = viewer.open(str(tmp_path / "plate.zarr"), plugin=PLUGIN)
    qtbot.waitUntil(lambda: is_settled(layer), timeout=60000)

    pixels = np.asarray(layer.data[-1])
    assert max(pixels.shape) <= 2048
    height, width = pixels.shape[0] // 12, pixels.shape[1] // 16
    middles = pixels[height // 2 :: height, width // 2 :: width]
    expected = 40 + np.add.outer(7 * np.arange(12), 13 * np.arange(16)) % 150
    expected[0, 0] = expected[11, 15] = 250
    np.testing.assert_array_equal(middles, expected)
    assert cache.nbytes <= 2**24


def test_labels_of_one_well_are_found_when_it_is_looked_at(
    viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    wells = {
        f"{row}/{column}": [np.full((1, 700, 700), 100, "u2")] for row in "ABCD" for column in "123"
    }
    path = tmp_path / "plate.zarr"
    write_plate(path, wells, rows="ABCD", chunk=700)
    labels = path / "D" / "3" / "0" / "labels"
    write_field(labels / "cells", np.full((1, 700, 700), 7, "u2"), chunk=700)
    listing = {"zarr_format": 3, "node_type": "group"}
    (labels / "zarr.json").write_text(
        json.dumps({**listing, "attributes": {"ome": {"version": "0.5", "labels": ["cells"]}}})
    )
    dock = PlateDock(viewer)
    viewer.window.add_dock_widget(dock, name="Plate")
    (layer,) = viewer.open(str(path), plugin=PLUGIN)
    qtbot.waitUntil(lambda: is_settled(layer), timeout=20000)

    dock.well.setText("D3")
    dock.go.click()

    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=20000)
    found = viewer.layers[1]
    assert found.name == "plate: labels cells"
    assert set(np.unique(np.asarray(found.data[-1]))) == {0, 7}
    assert [str(unit) for unit in found.units] == ["micrometer", "micrometer"]
