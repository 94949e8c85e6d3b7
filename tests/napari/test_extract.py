"""Extracting what is in view or in a box, in a real window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari._app_model import get_app_model
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QProgressDialog, QPushButton
from skimage import filters

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.napari import extract_plan
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.extract import extract_now
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY
from napari_omezarr_cloud.napari.live import add_live, plan_live, start_live
from napari_omezarr_cloud.napari.visible import visible_region
from napari_omezarr_cloud.napari.widgets.extract_dock import ExtractDock
from napari_omezarr_cloud.napari.wipe import canvas_of
from napari_omezarr_cloud.process import Step
from tests.fixtures.images import pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.images import Written
    from tests.fixtures.slow_http import SlowServer

PLUGIN = "napari-omezarr-cloud"


@pytest.fixture
def dock(viewer: Any, qtbot: Any) -> ExtractDock:
    dock = ExtractDock(viewer)
    viewer.window.add_dock_widget(dock, name="Extract", area="right")
    qtbot.waitUntil(dock.isVisible)
    return dock


@pytest.fixture
def shown(viewer: Any, qtbot: Any) -> Callable[..., Any]:
    """``shown(image, zoom=4)`` opens an image, zooms in, waits, and returns its layers."""

    def show(image: Written | str, zoom: float = 1.0) -> list[Any]:
        layers = viewer.open(image if isinstance(image, str) else str(image.path), plugin=PLUGIN)
        viewer.scene.camera.zoom *= zoom
        for _ in range(2):  # a paint between: the level follows the camera when it is drawn
            qtbot.waitUntil(lambda: all(is_settled(layer) for layer in layers), timeout=20000)
            qtbot.wait(50)
        return list(layers)

    return show


def is_settled(layer: Any) -> bool:
    behind = display_of(layer)
    return behind is not None and behind.look is not None and behind.missing == 0


def added(viewer: Any, action: Callable[[], Any], qtbot: Any, count: int = 1) -> list[Any]:
    """Return the layers that an action brings, lowest first."""
    before = list(viewer.layers)
    action()
    qtbot.waitUntil(lambda: len(viewer.layers) == len(before) + count, timeout=20000)
    qtbot.wait(60)
    assert len(viewer.layers) == len(before) + count
    return [layer for layer in viewer.layers if layer not in before]


def take(viewer: Any, qtbot: Any, count: int = 1) -> list[Any]:
    return added(viewer, lambda: extract_now(viewer), qtbot, count)


def draw(viewer: Any, low: tuple[float, float], high: tuple[float, float], **more: Any) -> Any:
    """Draw a rectangle, in the world of the two axes on screen, and select only its layer."""
    corners = np.array([low, (low[0], high[1]), high, (high[0], low[1])], float)
    units = viewer.layers[0].units[-2:]
    shapes = viewer.add_shapes([corners], shape_type="rectangle", units=units, **more)
    viewer.layers.selection = {shapes}
    return shapes


def picture(viewer: Any, qtbot: Any) -> np.ndarray[Any, Any]:
    qtbot.wait(50)
    return np.asarray(viewer.screenshot(canvas_only=True, flash=False))


def test_the_key_takes_the_exact_pixels_in_view_and_lays_them_over_their_source(
    viewer: Any, shown: Any, stack: Written, qtbot: Any, told: list[str]
) -> None:
    layer = shown(stack, zoom=3)[0]
    viewer.layers.selection.active = layer
    seen = visible_region(viewer, layer)
    canvas = canvas_of(viewer)

    (made,) = added(viewer, lambda: QTest.keyClick(canvas, Qt.Key.Key_X, Qt.KeyboardModifier.AltModifier), qtbot)  # fmt: skip  # noqa: E501

    number = seen.level.number
    expected = stack.levels[number][:, 0][seen.region.slices]
    assert type(made.data) is np.ndarray
    assert not made.multiscale
    np.testing.assert_array_equal(made.data, expected)
    assert made.name == f"{layer.name} (extract, level {number})"
    for end in (np.zeros(layer.ndim), np.array(made.data.shape) - 1):
        at_source = seen.level.to_data.scale * (end + seen.region.start)
        world = layer.data_to_world(at_source + seen.level.to_data.translation)
        np.testing.assert_allclose(made.data_to_world(end), world)
    assert made.units == layer.units
    about = made.metadata[METADATA_KEY]
    assert about["extracted_from"] == layer.name
    assert about["level"] == number
    assert (about["start"], about["stop"]) == (list(seen.region.start), list(seen.region.stop))
    assert about["source"] == str(stack.path)
    assert f"level {number} of “{layer.name}”" in told[-1]
    assert viewer.layers.selection.active is layer, "the next press takes the same layer again"


def test_a_coarse_level_is_taken_where_it_is_on_screen(
    viewer: Any, shown: Any, stack: Written, qtbot: Any
) -> None:
    layer = shown(stack, zoom=0.2)[0]
    viewer.layers.selection.active = layer
    assert layer.data_level == 1

    (made,) = take(viewer, qtbot)

    t, z = viewer.dims.current_step[:2]
    np.testing.assert_array_equal(made.data, stack.levels[1][t : t + 1, 0, z : z + 1])


def test_it_looks_as_before_and_keeps_the_look_of_its_source(
    viewer: Any, shown: Any, stack: Written, qtbot: Any
) -> None:
    first, second = shown(stack, zoom=2)
    first.gamma, first.contrast_limits = 0.7, (100, 30000)
    second.opacity = 0.8
    viewer.layers.selection = set()
    before = picture(viewer, qtbot)

    one, two = take(viewer, qtbot, 2)

    after = picture(viewer, qtbot)
    assert np.abs(after.astype(int) - before).max() <= 2
    assert one.colormap.name == first.colormap.name
    assert (one.gamma, tuple(one.contrast_limits)) == (0.7, (100, 30000))
    assert tuple(one.contrast_limits_range) == tuple(first.contrast_limits_range)
    assert (two.opacity, str(two.blending)) == (0.8, "additive")


def test_without_a_selection_all_visible_layers_are_taken_but_no_extracts(
    viewer: Any, qtbot: Any, told: list[str]
) -> None:
    image = viewer.add_image(pattern((40, 30)), name="cells")
    hidden = viewer.add_image(pattern((40, 30)), visible=False)
    viewer.add_points([[1, 1]])
    viewer.scene.camera.zoom *= 0.5
    viewer.layers.selection = set()

    (made,) = take(viewer, qtbot)
    (again,) = take(viewer, qtbot)

    for extract in (made, again):
        np.testing.assert_array_equal(extract.data, image.data)
    assert made.name == "cells (extract)"
    assert "all visible" in told[-1]
    viewer.layers.selection = {hidden}
    (shown_now,) = take(viewer, qtbot)
    assert shown_now.visible


def test_labels_stay_labels_with_their_colours_and_features(
    viewer: Any, shown: Any, ome_zarr: Any, qtbot: Any
) -> None:
    shown(ome_zarr("v05 with labels"))
    qtbot.waitUntil(lambda: any(isinstance(x, Labels) for x in viewer.layers))
    labels = next(layer for layer in viewer.layers if isinstance(layer, Labels))
    labels.visible = True
    viewer.layers.selection.active = labels
    qtbot.waitUntil(lambda: is_settled(labels))

    (made,) = take(viewer, qtbot)

    assert isinstance(made, Labels)
    assert made.data.dtype == labels.dtype
    ids = np.unique(made.data)
    assert ids.any()
    np.testing.assert_array_equal(
        [made.get_color(int(n)) for n in ids if n], [labels.get_color(int(n)) for n in ids if n]
    )
    assert made.features.equals(labels.features)
    assert made.opacity == labels.opacity


def test_colours_stay_colours(viewer: Any, shown: Any, ome_zarr: Any, qtbot: Any) -> None:
    image = ome_zarr("RGB, channels last")
    (layer,) = shown(image)
    seen = visible_region(viewer, layer)

    (made,) = take(viewer, qtbot)

    assert made.rgb
    assert made.data.shape == seen.shape
    assert made.data.shape[-1] == 3
    np.testing.assert_array_equal(
        made.data, np.asarray(layer.data[seen.level.number])[seen.region.slices]
    )


def test_a_live_layer_is_extracted_like_any_other(
    viewer: Any, shown: Any, stack: Written, qtbot: Any
) -> None:
    source = shown(stack, zoom=2)[0]
    plan = plan_live(Step("gaussian", {"sigma": 0.5}, dims="plane"), [source])
    future = start_live(plan)
    qtbot.waitUntil(future.done, timeout=20000)
    live = add_live(viewer, plan, future.result())
    viewer.layers.selection = {live}

    (made,) = take(viewer, qtbot)  # not waiting for the picture: what is on screen is a stand-in

    seen = visible_region(viewer, live)
    t, z = viewer.dims.current_step[:2]
    blurred = filters.gaussian(stack.levels[0][t, 0, z], 2.0, preserve_range=True)
    np.testing.assert_allclose(made.data[0, 0], blurred[seen.region.slices[2:]], rtol=1e-3)


def test_a_rectangle_bounds_what_is_taken(
    viewer: Any, shown: Any, stack: Written, qtbot: Any, told: list[str]
) -> None:
    layer = shown(stack, zoom=1)[0]
    assert layer.data_level == 0
    # From the middle of a pixel to the middle of another; pixels are 0.25 µm.
    shapes = draw(viewer, (2.5, 5.0), (10.0, 7.5), name="box")
    viewer.layers.selection = {shapes, layer}

    (made,) = take(viewer, qtbot)

    t, z = viewer.dims.current_step[:2]
    box = stack.levels[0][t : t + 1, 0, z : z + 1, 10:41, 20:31]
    np.testing.assert_array_equal(made.data, box)
    np.testing.assert_allclose(made.translate[-2:], (2.5, 5.0))
    assert "rectangle of “box”" in told[-1]


def test_the_last_rectangle_counts_unless_one_is_selected_and_is_clipped_to_the_image(
    viewer: Any, qtbot: Any
) -> None:
    image = viewer.add_image(pattern((40, 30)))
    shapes = draw(viewer, (2, 3), (9, 8))
    shapes.add_rectangles(np.array([[30, 20], [30, 99], [99, 99], [99, 20]]))
    shapes.add_ellipses(np.array([[1, 1], [1, 3], [3, 3], [3, 1]]))
    shapes.selected_data = set()

    (last,) = take(viewer, qtbot)
    np.testing.assert_array_equal(last.data, image.data[30:, 20:])
    shapes.selected_data = {0}
    (selected,) = take(viewer, qtbot)
    np.testing.assert_array_equal(selected.data, image.data[2:10, 3:9])


def test_a_box_on_turned_axes_is_the_box_on_screen(viewer: Any, qtbot: Any) -> None:
    image = viewer.add_image(pattern((10, 20, 30)))
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_current_step(1, 7)
    corners = np.array([[2, 7, 4], [2, 7, 9], [6, 7, 9], [6, 7, 4]])
    shapes = viewer.add_shapes([corners], shape_type="rectangle")
    viewer.layers.selection = {shapes, image}

    (made,) = take(viewer, qtbot)

    np.testing.assert_array_equal(made.data, image.data[2:7, 7:8, 4:10])

    # On the usual axes again it is the box that was drawn, through all that it does not bound.
    viewer.layers.remove(made)
    viewer.dims.order = (0, 1, 2)
    viewer.layers.selection = {shapes, image}
    (turned,) = take(viewer, qtbot)
    np.testing.assert_array_equal(turned.data, image.data[2:7, :, 4:10])


def test_in_3d_it_is_the_whole_volume_or_what_lies_behind_the_rectangle(
    viewer: Any, qtbot: Any
) -> None:
    image = viewer.add_image(pattern((10, 20, 30)))
    viewer.dims.ndisplay = 3
    (whole,) = take(viewer, qtbot)
    np.testing.assert_array_equal(whole.data, image.data)

    corners = np.array([[5, 2, 4], [5, 2, 9], [5, 6, 9], [5, 6, 4]])
    viewer.layers.selection = {viewer.add_shapes([corners], shape_type="rectangle"), image}
    (box,) = take(viewer, qtbot)

    np.testing.assert_array_equal(box.data, image.data[:, 2:7, 4:10])


def test_who_can_take_nothing_is_told_why(viewer: Any, qtbot: Any, told: list[str]) -> None:
    assert extract_now(viewer) is None
    assert "nothing to extract" in told[-1]

    image = viewer.add_image(pattern((40, 30)), name="cells")
    shapes = viewer.add_shapes([[[1, 1], [5, 5]]], shape_type="line", name="lines")
    viewer.layers.selection = {shapes}
    assert extract_now(viewer) is None
    assert "o rectangle is drawn in “lines”" in told[-1]

    viewer.layers.selection = {draw(viewer, (100, 100), (110, 110), name="far"), image}
    assert extract_now(viewer) is None
    assert "Nothing of “cells” is in the rectangle of “far”" in told[-1]

    viewer.layers.selection = {image}
    viewer.scene.camera.center = (0, 1e5, 1e5)
    assert extract_now(viewer) is None
    assert "Nothing of “cells” is in view" in told[-1]
    assert len(viewer.layers) == 3


def test_too_much_is_refused_with_the_way_out(
    viewer: Any, dock: ExtractDock, qtbot: Any, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert extract_plan.MAX_BYTES == 2e9
    monkeypatch.setattr(extract_plan, "MAX_BYTES", 2_000_000)  # napari itself takes long over more
    levels = [np.broadcast_to(np.uint8(1), (40, n, n)) for n in (1_900, 480, 32)]
    layer = viewer.add_image(levels, multiscale=True, contrast_limits=(0, 2))
    layer.locked_data_level = 0
    viewer.scene.camera.zoom *= 0.5

    assert extract_now(viewer) is None

    assert "3.6 MB" in told[-1]
    assert "2.0 MB" in told[-1]
    assert "Level 1 would fit" in told[-1]
    assert len(viewer.layers) == 1
    qtbot.waitUntil(lambda: "3.6 MB" in dock.region.text())
    assert not dock.run_bar.apply_button.isEnabled()
    assert "(too much)" in dock.level_box.itemText(1)
    assert "(too much)" not in dock.level_box.itemText(2)
    dock.level_box.setCurrentIndex(2)
    assert dock.run_bar.apply_button.isEnabled()
    dock.planes_box.setCurrentIndex(1)
    assert "9.2 MB" in dock.region.text()
    assert not dock.run_bar.apply_button.isEnabled()


def test_the_dock_takes_the_chosen_level_and_planes(
    viewer: Any, dock: ExtractDock, shown: Any, stack: Written, qtbot: Any
) -> None:
    first, second = shown(stack, zoom=1)
    viewer.layers.selection = {first, second}
    qtbot.waitUntil(lambda: dock.level_box.count() == 4)
    assert dock.level_box.itemText(0).startswith("On screen (0): 192 × 256 px · 197 kB")
    assert dock.level_box.itemText(2).startswith("1: 96 × 128 px · 49.2 kB")
    choices = [dock.planes_box.itemText(i) for i in range(dock.planes_box.count())]
    assert choices == ["This one", "All t", "All z", "All t and z"]

    viewer.dims.set_current_step(0, 1)
    dock.level_box.setCurrentIndex(2)
    dock.planes_box.setCurrentIndex(2)
    one, two = added(viewer, dock.run_bar.apply_button.click, qtbot, 2)

    np.testing.assert_array_equal(one.data, stack.levels[1][1:2, 0])
    np.testing.assert_array_equal(two.data, stack.levels[1][1:2, 1])
    for z in range(4):
        viewer.dims.set_current_step(1, z)
        assert visible_region(viewer, one).region.start[1] == z
    dock.planes_box.setCurrentIndex(3)
    viewer.layers.selection = {first}
    (everything,) = added(viewer, dock.run_bar.apply_button.click, qtbot)
    np.testing.assert_array_equal(everything.data, stack.levels[1][:, 0])


def test_a_2d_array_lies_where_its_plane_does(
    viewer: Any, dock: ExtractDock, shown: Any, stack: Written, qtbot: Any
) -> None:
    layer = shown(stack, zoom=2)[0]
    viewer.layers.selection = {layer}
    (full,) = added(viewer, dock.run_bar.apply_button.click, qtbot)

    dock.flat.setChecked(True)
    (flat,) = added(viewer, dock.run_bar.apply_button.click, qtbot)

    np.testing.assert_array_equal(flat.data, full.data[0, 0])
    np.testing.assert_allclose(flat.extent.world, full.extent.world[:, -2:])
    assert flat.units == full.units[-2:]
    assert tuple(flat.axis_labels) == tuple(full.axis_labels[-2:])


def test_the_dock_follows_view_and_selection_and_a_drawn_box(
    viewer: Any, dock: ExtractDock, qtbot: Any
) -> None:
    assert "nothing to extract" in dock.region.text()
    assert not dock.run_bar.apply_button.isEnabled()
    one = viewer.add_image(pattern((40, 30)), name="one")
    viewer.add_image(pattern((40, 30)), name="two")
    assert dock.layers.text() == "two"

    viewer.layers.selection = {one}
    assert dock.layers.text() == "one"
    shapes = draw(viewer, (2, 3), (9, 8), name="box")
    assert dock.take_box.currentText() == "Rectangle in “box”"
    assert "all visible" in dock.layers.text()
    assert "6 × 8 px" in dock.region.text()
    shapes.data = [np.array([[2, 3], [2, 5], [4, 5], [4, 3]])]
    qtbot.waitUntil(lambda: "3 × 3 px" in dock.region.text())
    viewer.layers.remove(shapes)

    assert dock.take_box.currentText() == "What is in view"


def test_cancel_ends_the_requests_and_adds_nothing(
    viewer: Any, dock: ExtractDock, shown: Any, stack: Written, slow_server: Any, qtbot: Any
) -> None:
    server: SlowServer = slow_server(stack.path.parent)
    shown(f"{server.url}/stack.zarr")
    server.fault("stack.zarr/0/c/0/", "hang")
    dock.level_box.setCurrentIndex(1)
    dock.planes_box.setCurrentIndex(3)
    layers = list(viewer.layers)

    dock.run_bar.apply_button.click()
    assert server.wait_until(lambda s: any(e.end is None for e in s.log))
    assert dock.is_running
    dock.run_bar.cancel_button.click()

    assert not dock.is_running
    assert dock.run_bar.apply_button.isEnabled()
    assert server.wait_until(lambda s: all(e.end is not None for e in s.log), timeout_s=10)
    qtbot.waitUntil(lambda: engine().jobs_under_way == 0)
    assert list(viewer.layers) == layers


def test_what_takes_long_shows_how_far_it_is_and_can_be_cancelled(
    viewer: Any, shown: Any, stack: Written, slow_server: Any, qtbot: Any
) -> None:
    server: SlowServer = slow_server(stack.path.parent)
    layer = shown(f"{server.url}/stack.zarr", zoom=1)[0]
    viewer.layers.selection.active = layer
    server.fault("stack.zarr/0/c/1/", "hang")
    viewer.dims.set_current_step(0, 1)
    layers = list(viewer.layers)

    extraction = extract_now(viewer)

    assert extraction is not None
    qtbot.waitUntil(lambda: any(dialog.isVisible() for dialog in dialogs()), timeout=5000)
    (dialog,) = dialogs()
    assert dialog.maximum() == extraction.chunks > 1
    assert not dialog.isModal(), "the window stays usable"
    dialog.findChild(QPushButton).click()
    qtbot.waitUntil(lambda: not dialogs())
    viewer.dims.set_current_step(0, 0)  # the display wants its plane as well, as long as it shows
    assert server.wait_until(lambda s: all(e.end is not None for e in s.log), timeout_s=10)
    assert list(viewer.layers) == layers


def dialogs() -> list[QProgressDialog]:
    return [w for w in QApplication.topLevelWidgets() if isinstance(w, QProgressDialog)]


def test_a_broken_chunk_is_named_and_nothing_is_made_up(
    viewer: Any, shown: Any, stack: Written, slow_server: Any, qtbot: Any, told: list[str]
) -> None:
    server: SlowServer = slow_server(stack.path.parent)
    layer = shown(f"{server.url}/stack.zarr", zoom=1)[0]
    viewer.layers.selection.active = layer
    server.fault("stack.zarr/0/c/1/0/0/0/1", "truncate")
    viewer.dims.set_current_step(0, 1)
    layers = list(viewer.layers)

    extraction = extract_now(viewer)

    assert extraction is not None
    with qtbot.waitSignal(extraction.failed, timeout=20000):
        pass
    assert any("0/c/1/0/0/0/1" in sentence for sentence in told)
    assert list(viewer.layers) == layers


def test_closing_the_viewer_meanwhile_is_quiet(
    make_napari_viewer: Any, stack: Written, slow_server: Any, qtbot: Any
) -> None:
    server: SlowServer = slow_server(stack.path.parent)
    viewer = make_napari_viewer(show=True)
    viewer.open(f"{server.url}/stack.zarr", plugin=PLUGIN)
    server.fault("stack.zarr/0/c/", "hang")
    extract_now(viewer)
    qtbot.wait(700)

    viewer.close()
    server.clear_faults()
    qtbot.wait(100)

    assert not dialogs()


def test_the_menu_has_both(viewer: Any, qtbot: Any) -> None:
    viewer.add_image(pattern((40, 30)))

    (made,) = added(
        viewer, lambda: get_app_model().commands.execute_command(f"{PLUGIN}.extract"), qtbot
    )
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Extract…")

    assert isinstance(made, Image)
    assert isinstance(widget, ExtractDock)
