"""What a person does and sees in the Process dock, in a real window."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.layers import Labels
from skimage import filters, measure

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.visible import visible_region
from napari_omezarr_cloud.napari.widgets.process_dock import ProcessDock
from tests.fixtures.images import pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.images import Written
    from tests.fixtures.slow_http import SlowServer

PLUGIN = "napari-omezarr-cloud"


@pytest.fixture
def dock(viewer: Any, qtbot: Any) -> ProcessDock:
    dock = ProcessDock(viewer)
    viewer.window.add_dock_widget(dock, name="Process", area="right")
    qtbot.waitUntil(dock.isVisible)
    return dock


@pytest.fixture
def shown(viewer: Any, qtbot: Any) -> Callable[..., Any]:
    """``shown(image, zoom=4)`` opens an image, zooms in, waits, and returns its first layer."""

    def show(image: Written | str, zoom: float = 1.0) -> Any:
        place = image if isinstance(image, str) else str(image.path)
        layer = viewer.open(place, plugin=PLUGIN)[0]
        viewer.scene.camera.zoom *= zoom
        qtbot.waitUntil(lambda: is_settled(layer), timeout=20000)
        qtbot.wait(50)  # a paint: the level follows the camera when the canvas is drawn
        qtbot.waitUntil(lambda: is_settled(layer), timeout=20000)
        return layer

    return show


def is_settled(layer: Any) -> bool:
    behind = display_of(layer)
    return behind is not None and behind.look is not None and behind.missing == 0


def from_afar(viewer: Any) -> None:
    """Zoom out: the canvas is narrower than when the layer came, and would cut it."""
    viewer.scene.camera.zoom *= 0.5


def apply(dock: ProcessDock, qtbot: Any) -> Any:
    with qtbot.waitSignal(dock.applied, timeout=30000) as told:
        dock.apply()
    return told.args[0]


def failure(dock: ProcessDock, qtbot: Any) -> str:
    with qtbot.waitSignal(dock.failed, timeout=30000) as told:
        dock.apply()
    return str(told.args[0])


def corners(layer: Any) -> np.ndarray[Any, Any]:
    """Return the corners of a single-scale layer's outermost voxels, in the world."""
    last = np.array(layer.data.shape[: layer.ndim]) - 0.5
    return np.array([layer.data_to_world(np.full(layer.ndim, -0.5)), layer.data_to_world(last)])


def place_of(layer: Any, seen: Any) -> np.ndarray[Any, Any]:
    """Return the corners of a visible region of a layer, in the world."""
    to_data = seen.level.to_data
    ends = [np.array(seen.region.start) - 0.5, np.array(seen.region.stop) - 0.5]
    return np.array([layer.data_to_world(np.array(to_data.scale) * e + to_data.translation)
                     for e in ends])  # fmt: skip


def test_the_result_is_scikit_image_on_the_visible_pixels_and_lies_over_them(
    viewer: Any, dock: ProcessDock, shown: Any, stack: Written, qtbot: Any
) -> None:
    layer = shown(stack, zoom=3)
    seen = visible_region(viewer, layer)
    dock.choose("gaussian", layer=layer, sigma=0.5)

    result = apply(dock, qtbot)

    level = stack.levels[seen.level.number][:, 0]  # the first channel
    pixels = level[seen.region.slices]
    sigma = 0.5 / np.array(stack.scales[seen.level.number][-2:])
    expected = filters.gaussian(pixels[0, 0], sigma, preserve_range=True)
    np.testing.assert_array_equal(result.data[0, 0], expected)
    assert isinstance(result.data, np.ndarray)
    assert result.data.ndim == layer.ndim
    np.testing.assert_allclose(corners(result), place_of(layer, seen))
    assert result.units == layer.units
    assert result.axis_labels == layer.axis_labels
    assert result.name == "Gaussian blur (sigma 0.5 µm) of stack: channel 0"


@pytest.mark.parametrize("kind", ["scales are no shape ratios", "v04 by ome-zarr-py"])
@pytest.mark.parametrize("zoom", [0.4, 1, 7], ids=["small", "fitted", "close"])
def test_an_unchanged_result_cannot_be_told_from_its_source(
    viewer: Any, dock: ProcessDock, shown: Any, ome_zarr: Any, qtbot: Any, kind: str, zoom: float
) -> None:
    layer = shown(ome_zarr(kind), zoom)
    canvas = viewer.window._qt_viewer.canvas.native
    canvas.setFixedSize(canvas.size())  # docks that grow with what they say would take of it
    before = viewer.screenshot(flash=False)
    dock.choose("gaussian", layer=layer, sigma=0.0)

    apply(dock, qtbot)
    qtbot.wait(50)

    after = viewer.screenshot(flash=False)
    assert len(np.unique(before.reshape(-1, 4), axis=0)) > 20, "there is something to see"
    # Where a screen pixel falls between two voxels, either may be drawn; half a voxel off is half
    # of all pixels.
    assert (before != after).any(axis=-1).mean() < 0.05


def test_a_turned_and_moved_layer_of_another_plugin_works_too(
    viewer: Any, dock: ProcessDock, qtbot: Any
) -> None:
    image = pattern((60, 80), "uint8")
    layer = viewer.add_image(image, scale=(2, 3), rotate=30, translate=(7, 9), shear=[0.2])
    dock.choose("median", layer=layer, radius=1.0)
    seen = visible_region(viewer, layer)

    result = apply(dock, qtbot)

    expected = filters.median(
        image[seen.region.slices], np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    )
    np.testing.assert_array_equal(result.data, expected)
    np.testing.assert_allclose(corners(result), place_of(layer, seen))


def test_difference_takes_the_next_channel_by_itself(
    viewer: Any, dock: ProcessDock, shown: Any, stack: Written, qtbot: Any
) -> None:
    layer = shown(stack)
    dock.choose("difference", layer=layer)

    result = apply(dock, qtbot)

    assert dock.choices.other_boxes[0].isVisible()
    assert dock.choices.other_boxes[0].layer is viewer.layers["stack: channel 1"]
    one, two = (stack.levels[0][0, c, 1].astype(int) for c in (0, 1))
    assert viewer.dims.current_step[:2] == (0, 1)
    seen = visible_region(viewer, layer)
    inside = seen.region.slices[2:]
    np.testing.assert_array_equal(result.data[0, 0], (one - two)[inside])


def test_a_result_can_be_taken_from_its_source_after_moving_on(
    viewer: Any, dock: ProcessDock, qtbot: Any
) -> None:
    image = pattern((400, 300))
    layer = viewer.add_image(image, scale=(0.5, 0.5))
    viewer.scene.camera.zoom *= 2
    dock.choose("gaussian", layer=layer, sigma=2.0)
    blurred = apply(dock, qtbot)
    viewer.scene.camera.center = (0, 110, 80)
    dock.choose("difference", layer=layer, other=blurred)

    result = apply(dock, qtbot)

    first = np.round((np.array(result.translate) - layer.translate) / 0.5).astype(int)
    box = tuple(slice(a, a + n) for a, n in zip(first, result.data.shape, strict=True))
    start = np.round(np.array(blurred.translate) / 0.5).astype(int)
    under = tuple(slice(a, a + n) for a, n in zip(first - start, result.data.shape, strict=True))
    np.testing.assert_array_equal(result.data, image[box] - blurred.data[under])
    assert result.data.size < visible_region(viewer, layer).region.size, "only where both are"


def test_a_threshold_gives_labels_and_names_what_it_measured(
    viewer: Any, dock: ProcessDock, qtbot: Any
) -> None:
    image = pattern((60, 60))
    layer = viewer.add_image(image, name="cells")
    from_afar(viewer)
    dock.choose("threshold_otsu", layer=layer)

    result = apply(dock, qtbot)

    threshold = filters.threshold_otsu(image)
    assert isinstance(result, Labels)
    np.testing.assert_array_equal(result.data, image > threshold)
    assert result.name == f"Otsu threshold ({threshold}) of cells"
    assert dock.form.values == {"threshold": None}, "it is measured again next time"


def test_objects_of_a_mask_are_counted_whatever_its_numbers(
    viewer: Any, dock: ProcessDock, qtbot: Any
) -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[2:9, 2:9] = mask[20:30, 20:30] = 7
    layer = viewer.add_labels(mask)
    from_afar(viewer)
    dock.choose("label", layer=layer)

    result = apply(dock, qtbot)

    np.testing.assert_array_equal(result.data, measure.label(mask > 0))


def test_a_projection_shows_at_every_plane_and_only_at_its_own_time(
    viewer: Any, dock: ProcessDock, shown: Any, stack: Written, qtbot: Any
) -> None:
    layer = shown(stack)
    viewer.dims.set_current_step(0, 1)
    dock.choose("max_projection", layer=layer, axis="z")
    assert "4 planes along z" in dock.region.text()

    result = apply(dock, qtbot)

    seen = visible_region(viewer, layer)
    expected = stack.levels[seen.level.number][1, 0].max(0)[seen.region.slices[2:]]
    np.testing.assert_array_equal(result.data, expected[None, None])
    for t, z in [(0, 0), (1, 0), (1, 3), (0, 2)]:
        viewer.dims.set_current_step([0, 1], [t, z])
        assert (visible_region(viewer, result) is not None) == (t == 1)


def test_colours_are_treated_one_by_one_or_refused_in_words(
    viewer: Any, dock: ProcessDock, shown: Any, ome_zarr: Any, qtbot: Any
) -> None:
    layer = shown(ome_zarr("RGB, channels last"))
    dock.choose("median", layer=layer, radius=0.25)

    result = apply(dock, qtbot)
    dock.choose("label")

    assert result.rgb
    assert result.data.dtype == np.uint8
    assert "one value per pixel" in dock.region.text()
    assert not dock.run_bar.apply_button.isEnabled()


def test_the_form_says_what_is_in_view_and_follows_it(
    viewer: Any, dock: ProcessDock, shown: Any, stack: Written, qtbot: Any
) -> None:
    assert dock.region.text() == "There is no image to work on. Open one first."
    assert not dock.run_bar.apply_button.isEnabled()

    shown(stack)
    qtbot.waitUntil(lambda: dock.region.text().startswith("Level 0 · 192 × 256 px (48 × 64 µm)"))
    viewer.scene.camera.zoom *= 10

    qtbot.waitUntil(lambda: "192 × 256" not in dock.region.text())
    viewer.scene.camera.center = (0, 1e5, 1e5)
    qtbot.waitUntil(lambda: "in view" in dock.region.text())
    assert not dock.run_bar.apply_button.isEnabled()


def test_lengths_suit_the_pixels_until_the_person_sets_them(
    viewer: Any, dock: ProcessDock, qtbot: Any
) -> None:
    fine = viewer.add_image(np.zeros((64, 64), "u1"), scale=(0.01, 0.01), units=["µm"] * 2)
    dock.choose("gaussian", layer=fine)
    assert dock.form.values == {"sigma": 0.02}

    coarse = viewer.add_image(np.zeros((64, 64), "u1"), scale=(3, 3), units=["µm"] * 2)
    dock.choose(layer=coarse)
    assert dock.form.values == {"sigma": 6.0}

    dock.form.set_values({"sigma": 1.4})
    assert "Too coarse to preview" in dock.note.text()
    dock.choose(layer=fine)
    assert dock.form.values == {"sigma": 1.4}


def test_the_layer_follows_the_active_one_until_one_is_chosen(
    viewer: Any, dock: ProcessDock, qtbot: Any
) -> None:
    first, second = (viewer.add_image(pattern((40, 40)), name=name) for name in ("one", "two"))
    assert dock.choices.source_box.layer is second
    viewer.layers.selection.active = first
    assert dock.choices.source_box.layer is first

    dock.choose("sobel")
    result = apply(dock, qtbot)
    assert dock.choices.source_box.layer is first, "a result is not filtered again unasked"

    dock.choose(layer=second)
    viewer.layers.selection.active = first
    assert dock.choices.source_box.layer is second
    viewer.layers.remove(second)
    assert dock.choices.source_box.layer in (first, result)


def test_a_second_run_adds_a_layer_unless_it_may_replace_the_last(
    viewer: Any, dock: ProcessDock, qtbot: Any
) -> None:
    layer = viewer.add_image(pattern((60, 60)))
    from_afar(viewer)
    dock.choose("gaussian", layer=layer, sigma=1.0)
    first = apply(dock, qtbot)
    second = apply(dock, qtbot)
    second.contrast_limits = (5, 50)
    assert len(viewer.layers) == 3

    dock.replace.setChecked(True)
    dock.choose(sigma=3.0)
    third = apply(dock, qtbot)

    assert third is second
    assert third is not first
    assert tuple(third.contrast_limits) == (5, 50)
    assert "sigma 3" in third.name
    expected = filters.gaussian(layer.data, 3, preserve_range=True)
    np.testing.assert_array_equal(third.data, expected)


def test_cancel_while_loading_ends_the_requests_and_adds_nothing(
    viewer: Any, dock: ProcessDock, shown: Any, stack: Written, slow_server: Any, qtbot: Any
) -> None:
    server: SlowServer = slow_server(stack.path.parent)
    layer = shown(f"{server.url}/stack.zarr")
    server.fault("stack.zarr/0/c/", "hang")
    viewer.layers.remove(viewer.layers["stack: channel 1"])
    dock.choose("max_projection", layer=layer, axis="z")
    layers = len(viewer.layers)

    dock.apply()
    assert server.wait_until(lambda s: any(e.end is None for e in s.log))
    assert dock.run_bar.cancel_button.isEnabled()
    dock.run_bar.cancel_button.click()

    assert not dock.is_running
    assert dock.run_bar.apply_button.isEnabled()
    assert server.wait_until(lambda s: all(e.end is not None for e in s.log), timeout_s=10)
    qtbot.waitUntil(lambda: engine().jobs_under_way == 0)
    assert len(viewer.layers) == layers


class GatedArray:
    """A lazy array of a third party that gives its pixels when it is allowed to."""

    def __init__(self, pixels: np.ndarray[Any, Any]) -> None:
        self.pixels, self.gate = pixels, threading.Event()
        self.shape, self.dtype = pixels.shape, pixels.dtype
        self.ndim, self.size = pixels.ndim, pixels.size
        self.gate.set()

    def __getitem__(self, item: Any) -> np.ndarray[Any, Any]:
        if threading.current_thread() is not threading.main_thread():
            assert self.gate.wait(20)
        return self.pixels[item]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return self.pixels


def test_what_was_cancelled_in_a_thread_never_arrives(
    viewer: Any, dock: ProcessDock, qtbot: Any
) -> None:
    slow = GatedArray(pattern((50, 50)))
    layer = viewer.add_image(slow, contrast_limits=(0, 65535), multiscale=False)
    dock.choose("sobel", layer=layer)
    slow.gate.clear()
    dock.apply()
    dock.cancel()

    slow.gate.set()
    result = apply(dock, qtbot)
    qtbot.wait(100)

    assert list(viewer.layers) == [layer, result]


def test_a_source_that_is_removed_meanwhile_gets_no_result(
    viewer: Any, dock: ProcessDock, qtbot: Any
) -> None:
    slow = GatedArray(pattern((50, 50)))
    layer = viewer.add_image(slow, contrast_limits=(0, 65535), multiscale=False)
    dock.choose("sobel", layer=layer)
    slow.gate.clear()
    dock.apply()

    viewer.layers.remove(layer)
    slow.gate.set()

    qtbot.waitUntil(lambda: not dock.is_running)
    assert not viewer.layers


def test_a_broken_chunk_is_named_and_the_next_run_works(
    viewer: Any, dock: ProcessDock, shown: Any, stack: Written, slow_server: Any, qtbot: Any
) -> None:
    server: SlowServer = slow_server(stack.path.parent)
    layer = shown(f"{server.url}/stack.zarr")
    layers = len(viewer.layers)
    server.fault("stack.zarr/0/c/0/0/1", "truncate")
    dock.choose("max_projection", layer=layer, axis="z")

    sentence = failure(dock, qtbot)

    assert "stack.zarr" in sentence
    assert "0/c/0/0/1" in sentence
    assert "Traceback" not in sentence
    assert dock.run_bar.message.text() == sentence
    assert len(viewer.layers) == layers
    server.clear_faults()
    assert apply(dock, qtbot).data.max() == stack.levels[0][0, 0].max()


def test_a_function_that_refuses_says_so_in_its_own_words(
    viewer: Any, dock: ProcessDock, qtbot: Any
) -> None:
    layer = viewer.add_image(np.full((30, 30), np.nan, "f4"), contrast_limits=(0, 1))
    dock.choose("threshold_otsu", layer=layer)

    assert "no finite value" in failure(dock, qtbot)


def test_too_much_for_memory_is_refused_before_it_starts(
    viewer: Any, dock: ProcessDock, qtbot: Any
) -> None:
    layer = viewer.add_image(np.broadcast_to(np.zeros((64, 64), "u1"), (600_000, 64, 64)))
    dock.choose("mean_projection", layer=layer, axis="z")

    assert "too large" in dock.region.text()
    assert "600000 planes along z" in dock.region.text()
    assert not dock.run_bar.apply_button.isEnabled()


def test_a_hidden_dock_does_nothing_and_catches_up_when_shown(
    viewer: Any, dock: ProcessDock, shown: Any, stack: Written, qtbot: Any
) -> None:
    layer = shown(stack)
    dock.choose(layer=layer)
    window = dock.parent()
    window.hide()
    before = dock.region.text()

    viewer.scene.camera.zoom *= 10
    viewer.dims.set_current_step(0, 1)
    layer.name = "renamed"
    qtbot.wait(200)
    assert dock.region.text() == before
    assert "renamed" not in dock.choices.source_box.currentText()

    window.show()
    qtbot.waitUntil(lambda: dock.region.text() != before)
    assert dock.choices.source_box.currentText() == "renamed"


def test_closing_the_viewer_while_it_works_is_quiet(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer(show=True)
    dock = ProcessDock(viewer)
    viewer.window.add_dock_widget(dock)
    slow = GatedArray(pattern((50, 50)))
    layer = viewer.add_image(slow, contrast_limits=(0, 65535), multiscale=False)
    dock.choose("sobel", layer=layer)
    slow.gate.clear()

    dock.apply()
    viewer.close()
    slow.gate.set()

    qtbot.wait(100)


def test_the_dock_is_found_in_the_plugin_menu(viewer: Any, qtbot: Any) -> None:
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Process what is visible")

    assert isinstance(widget, ProcessDock)
    qtbot.waitUntil(widget.isVisible)
    layer = viewer.add_image(pattern((40, 40)))
    assert widget.choices.source_box.layer is layer


def test_a_script_need_not_show_the_dock(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer(show=True)
    dock = ProcessDock(viewer)
    qtbot.addWidget(dock)
    layer = viewer.add_image(pattern((40, 40)))
    dock.choose("sobel")

    result = apply(dock, qtbot)

    np.testing.assert_array_equal(result.data, filters.sobel(layer.data.astype(float)))
