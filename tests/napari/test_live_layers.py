"""Living layers in a real window: at once, where one looks, as the slider moves, and in chains."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from skimage import filters, measure, morphology

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.live import add_live, change, live_of, plan_live, start_live
from napari_omezarr_cloud.napari.live_recipe import (
    add_recipe,
    recipe_of,
    start_recipe,
    suggested_layers,
)
from napari_omezarr_cloud.napari.snippet import as_python
from napari_omezarr_cloud.napari.visible import visible_region
from napari_omezarr_cloud.process import Recipe, RecipeInput, Step
from tests.fixtures.images import pattern, pyramid, write_directly

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.images import Written
    from tests.fixtures.slow_http import SlowServer

PLUGIN = "napari-omezarr-cloud"


@pytest.fixture
def plane(tmp_path: Path) -> Written:
    """Two channels of blobs, in two levels."""
    rng = np.random.default_rng(3)
    smooth = filters.gaussian(rng.random((2, 384, 320)), 4, channel_axis=0)
    image = (4000 * (smooth - smooth.min()) / np.ptp(smooth)).astype("u2")
    return write_directly(tmp_path / "plane.zarr", "cyx", pyramid(image, 2), chunks=(1, 100, 100))


@pytest.fixture
def volume(tmp_path: Path) -> Written:
    levels = pyramid(pattern((6, 64, 72)), 2)
    return write_directly(tmp_path / "volume.zarr", "zyx", levels, chunks=(3, 32, 32))


@pytest.fixture
def opened(viewer: Any, qtbot: Any) -> Callable[[Any], list[Any]]:
    def show(image: Written | str) -> list[Any]:
        place = image if isinstance(image, str) else str(image.path)
        layers = list(viewer.open(place, plugin=PLUGIN))
        qtbot.waitUntil(lambda: all(is_settled(layer) for layer in layers), timeout=20000)
        return layers

    return show


@pytest.fixture
def live(viewer: Any, qtbot: Any) -> Callable[..., Any]:
    """``live("gaussian", layer, sigma=2.0)`` adds a live layer and waits for its picture."""

    def make(operation: str, *layers: Any, dims: Any = "plane", **values: Any) -> Any:
        plan = plan_live(Step(operation, values, dims=dims), layers)
        future = start_live(plan)
        qtbot.waitUntil(future.done, timeout=20000)
        layer = add_live(viewer, plan, future.result())
        qtbot.waitUntil(lambda: is_settled(layer), timeout=20000)
        qtbot.wait(50)
        qtbot.waitUntil(lambda: is_settled(layer), timeout=20000)
        return layer

    return make


def is_settled(layer: Any) -> bool:
    shown = display_of(layer)
    return (
        shown is not None
        and shown.look is not None
        and not shown.missing
        and not shown.is_stale
        and not shown._is_holding
    )


def on_screen(layer: Any) -> np.ndarray[Any, Any]:
    """What napari hands to the graphics card."""
    return np.asarray(layer._slice.image.raw)


def level_0(image: Written, channel: int | None = None) -> np.ndarray[Any, Any]:
    return image.levels[0] if channel is None else image.levels[0][channel]


def to_pixels(viewer: Any, layer: Any, qtbot: Any) -> None:
    """Zoom so far in that level 0 is shown whole."""
    viewer.scene.camera.zoom *= 2.5
    qtbot.wait(80)
    qtbot.waitUntil(lambda: is_settled(layer), timeout=20000)


# ---- what is shown -------------------------------------------------------------------------------


def test_a_live_layer_lies_over_its_source_and_is_the_operation(
    opened: Any, live: Any, plane: Written
) -> None:
    source = opened(plane)[0]

    result = live("gaussian", source, sigma=1.0)

    assert result.name == "plane: channel 0 → Gaussian blur"
    np.testing.assert_array_equal(result.extent.world, source.extent.world)
    assert tuple(result.contrast_limits) == tuple(source.contrast_limits)
    pixel = plane.scales[0][-1]
    expected = filters.gaussian(level_0(plane, 0), 1.0 / pixel, preserve_range=True)
    np.testing.assert_allclose(np.asarray(result.data[0]), expected, rtol=1e-6)


def test_it_is_painted_without_waiting_and_computes_only_what_is_in_view(
    viewer: Any, opened: Any, live: Any, plane: Written, qtbot: Any
) -> None:
    source = opened(plane)[0]
    viewer.scene.camera.zoom *= 8
    qtbot.wait(80)
    result = live("gaussian", source, sigma=1.0)

    shown = display_of(result)
    keys = [level.key for level in shown.view.pyramid.levels]
    computed = [len(engine().cache.indices(key)) for key in keys]
    assert result.data_level == 0
    assert 0 < computed[0] < shown.view.level(0).grid.chunk_counts[0] * 4
    expected = filters.gaussian(level_0(plane, 0), 1.0 / plane.scales[0][-1], preserve_range=True)
    low, high = shown.look.region.start, shown.look.region.stop
    part = expected[low[0] : high[0], low[1] : high[1]]
    np.testing.assert_allclose(on_screen(result), part, rtol=1e-6)


def test_it_follows_the_slider(
    viewer: Any, opened: Any, live: Any, volume: Written, qtbot: Any
) -> None:
    (source,) = opened(volume)
    result = live("median", source, radius=1.0)

    for z in (0, 5):
        viewer.dims.set_point(0, z * float(source.scale[0]))
        qtbot.waitUntil(lambda: is_settled(result), timeout=20000)
        level = result.data_level
        radius = 1.0 / volume.scales[level][-1]
        near = display_of(result).look.region.start[0]
        expected = filters.median(volume.levels[level][near], ellipse(radius))
        np.testing.assert_array_equal(on_screen(result), expected)


def ellipse(radius: float) -> np.ndarray[Any, Any]:
    from napari_omezarr_cloud.process.halo import ellipsoid

    return ellipsoid((radius, radius))


def test_a_mask_and_objects_are_labels(opened: Any, live: Any, plane: Written) -> None:
    source = opened(plane)[0]

    mask = live("threshold_otsu", source)
    objects = live("label", mask)

    threshold = live_of(mask).applied.step.values["threshold"]
    assert type(mask).__name__ == type(objects).__name__ == "Labels"
    expected = measure.label(level_0(plane, 0) > threshold, connectivity=2)
    np.testing.assert_array_equal(np.asarray(mask.data[0]), expected > 0)
    np.testing.assert_array_equal(np.asarray(objects.data[0]), expected)


def test_objects_on_screen_are_those_of_the_visible_part(
    viewer: Any, opened: Any, live: Any, plane: Written, qtbot: Any
) -> None:
    source = opened(plane)[0]
    viewer.scene.camera.zoom *= 6
    qtbot.wait(80)
    mask = live("threshold_otsu", source, threshold=2000.0)
    objects = live("label", mask)

    region = display_of(objects).look.region
    part = level_0(plane, 0)[region.slices]
    assert objects.data_level == 0 and part.size < level_0(plane, 0).size
    np.testing.assert_array_equal(on_screen(objects), measure.label(part > 2000, connectivity=2))
    # Hovering tells the number that is shown.
    middle = [(a + b) // 2 for a, b in zip(region.start, region.stop, strict=True)]
    position = objects.data_to_world(middle)
    at = tuple(np.subtract(middle, region.start))
    assert objects.get_value(position, world=True)[1] == on_screen(objects)[at]


def test_two_channels_can_be_combined(opened: Any, live: Any, plane: Written) -> None:
    one, two = opened(plane)

    result = live("difference", one, two)

    both = level_0(plane).astype("i4")
    np.testing.assert_array_equal(np.asarray(result.data[0]), both[0] - both[1])


def test_a_projection_shows_at_every_plane(
    viewer: Any, opened: Any, live: Any, volume: Written, qtbot: Any
) -> None:
    (source,) = opened(volume)

    result = live("max_projection", source, axis="z")

    for z in (0, 5):
        viewer.dims.set_point(0, z * float(source.scale[0]))
        qtbot.waitUntil(lambda: is_settled(result), timeout=20000)
        np.testing.assert_array_equal(
            on_screen(result), volume.levels[result.data_level].max(axis=0)
        )


def test_an_ordinary_layer_can_be_a_source_and_is_followed_when_it_is_painted(
    viewer: Any, live: Any, qtbot: Any
) -> None:
    labels = viewer.add_labels(np.zeros((60, 70), "u1"))
    labels.data[20:30, 20:30] = 1
    result = live("label", labels)
    assert np.asarray(result.data[0]).max() == 1

    labels.data_setitem((np.array([50, 50]), np.array([60, 61])), 1)
    labels.events.paint(value=[])

    qtbot.waitUntil(lambda: np.asarray(result.data[0]).max() == 2, timeout=5000)


def test_what_is_too_coarse_to_see_shows_the_source_and_says_so(
    viewer: Any, opened: Any, live: Any, plane: Written, qtbot: Any
) -> None:
    source = opened(plane)[0]
    viewer.scene.camera.zoom /= 4
    qtbot.wait(80)
    pixel = plane.scales[1][-1]

    result = live("white_tophat", source, radius=pixel * 0.4)

    assert result.data_level == 1
    np.testing.assert_array_equal(on_screen(result), plane.levels[1][0])
    assert "too coarse to preview" in display_of(result).progress
    # Who takes the data gets the operation: a top-hat by one pixel is black.
    assert np.asarray(result.data[1]).max() == 0


# ---- sliders -------------------------------------------------------------------------------------


def test_a_changed_value_is_what_is_shown_in_the_end_and_no_older_one(
    viewer: Any, opened: Any, live: Any, plane: Written, qtbot: Any
) -> None:
    source = opened(plane)[0]
    result = live("gaussian", source, sigma=0.5)
    arrays = result.data

    painted = []
    result.events.set_data.connect(lambda _: painted.append(on_screen(result).copy()))
    for sigma in np.linspace(0.5, 3.0, 12):
        change(result, {"sigma": float(sigma)})
        qtbot.wait(5)
    qtbot.waitUntil(lambda: is_settled(result), timeout=20000)
    qtbot.wait(300)

    level = result.data_level
    sigma = 3.0 / plane.scales[level][-1]
    expected = filters.gaussian(plane.levels[level][0], sigma, preserve_range=True)
    region = display_of(result).look.region
    np.testing.assert_allclose(on_screen(result), expected[region.slices], rtol=1e-6)
    np.testing.assert_allclose(
        np.asarray(result.data[1]),
        filters.gaussian(plane.levels[1][0], 3.0 / plane.scales[1][-1], preserve_range=True),
        rtol=1e-6,
    )
    assert result.data is not arrays
    # Nothing black in between: the former picture stays until the new one is here.
    assert painted and all(picture.min() > 0 for picture in painted)


def test_memory_stays_within_the_cache_however_long_a_slider_is_moved(
    opened: Any, live: Any, plane: Written, qtbot: Any
) -> None:
    result = live("gaussian", opened(plane)[0], sigma=0.5)
    qtbot.wait(100)
    before = engine().cache.nbytes

    for number in range(20):
        change(result, {"sigma": 0.5 + number / 14})
        qtbot.waitUntil(lambda: is_settled(result), timeout=20000)

    gc.collect()
    assert engine().cache.nbytes < before + 2 * level_0(plane, 0).size * 8
    assert engine().jobs_under_way == 0


def test_a_change_goes_through_the_chain(
    opened: Any, live: Any, plane: Written, qtbot: Any
) -> None:
    blurred = live("gaussian", opened(plane)[0], sigma=0.5)
    mask = live("threshold_otsu", blurred)
    first = live_of(mask).applied.step.values["threshold"]

    change(blurred, {"sigma": 4.0})

    # An automatic threshold is that of the new picture.
    qtbot.waitUntil(lambda: live_of(mask).applied.step.values["threshold"] != first, timeout=20000)
    threshold = live_of(mask).applied.step.values["threshold"]
    pixels = filters.gaussian(level_0(plane, 0), 4.0 / plane.scales[0][-1], preserve_range=True)
    assert threshold == pytest.approx(filters.threshold_otsu(pixels), rel=1e-6)
    np.testing.assert_array_equal(np.asarray(mask.data[0]), pixels > threshold)


def test_a_pinned_threshold_stays(opened: Any, live: Any, plane: Written, qtbot: Any) -> None:
    blurred = live("gaussian", opened(plane)[0], sigma=0.5)
    mask = live("threshold_otsu", blurred, threshold=1234.0)

    change(blurred, {"sigma": 4.0})
    qtbot.waitUntil(lambda: is_settled(mask), timeout=20000)

    assert live_of(mask).applied.step.values["threshold"] == 1234.0
    assert live_of(mask).applied.measured.values == {}


def test_a_value_that_is_not_allowed_changes_nothing(
    opened: Any, live: Any, plane: Written
) -> None:
    result = live("gaussian", opened(plane)[0], sigma=0.5)

    with pytest.raises(OperationError, match="at least 0"):
        change(result, {"sigma": -1.0})

    assert live_of(result).applied.step.values == {"sigma": 0.5}


# ---- who looks -----------------------------------------------------------------------------------


def test_what_nobody_looks_at_is_not_computed(
    opened: Any, live: Any, plane: Written, qtbot: Any
) -> None:
    result = live("gaussian", opened(plane)[0], sigma=0.5)
    result.visible = False

    change(result, {"sigma": 1.0})
    qtbot.wait(200)

    assert engine().jobs_under_way == 0
    keys = [level.key for level in display_of(result).view.pyramid.levels]
    assert not any(engine().cache.indices(key) for key in keys)

    result.visible = True
    qtbot.waitUntil(lambda: is_settled(result), timeout=20000)
    level = result.data_level
    sigma = 1.0 / plane.scales[level][-1]
    expected = filters.gaussian(plane.levels[level][0], sigma, preserve_range=True)
    region = display_of(result).look.region
    np.testing.assert_allclose(on_screen(result), expected[region.slices], rtol=1e-6)


def test_removing_a_live_layer_frees_what_it_computed(
    viewer: Any, opened: Any, live: Any, plane: Written, qtbot: Any
) -> None:
    result = live("gaussian", opened(plane)[0], sigma=0.5)
    keys = [level.key for level in display_of(result).view.pyramid.levels]

    viewer.layers.remove(result)

    assert not any(engine().cache.indices(key) for key in keys)


def test_a_live_layer_outlives_its_source(
    viewer: Any, opened: Any, live: Any, plane: Written, qtbot: Any
) -> None:
    source = opened(plane)[0]
    result = live("gaussian", source, sigma=0.5)
    viewer.layers.remove(source)

    change(result, {"sigma": 2.0})
    qtbot.waitUntil(lambda: is_settled(result), timeout=20000)

    sigma = 2.0 / plane.scales[0][-1]
    expected = filters.gaussian(level_0(plane, 0), sigma, preserve_range=True)
    np.testing.assert_allclose(np.asarray(result.data[0]), expected, rtol=1e-6)
    assert recipe_of(result).steps[0].values == {"sigma": 2.0}


def test_a_live_layer_over_a_slow_server_comes_to_its_end(
    viewer: Any, live: Any, plane: Written, slow_server: Callable[..., SlowServer], qtbot: Any
) -> None:
    server = slow_server(plane.path.parent, latency_s=0.3)
    (source, _) = viewer.open(f"{server.url}/plane.zarr", plugin=PLUGIN)
    plan = plan_live(Step("gaussian", {"sigma": 1.0}), [source])
    future = start_live(plan)
    qtbot.waitUntil(future.done)

    result = add_live(viewer, plan, future.result())

    qtbot.waitUntil(lambda: is_settled(result), timeout=20000)


# ---- recipes -------------------------------------------------------------------------------------


def test_a_chain_is_a_recipe_and_a_recipe_a_chain(
    viewer: Any, opened: Any, live: Any, plane: Written, qtbot: Any
) -> None:
    one, two = opened(plane)
    blurred = live("gaussian", two, sigma=1.0)
    minus = live("difference", one, blurred)
    objects = live("label", minus, threshold=10.0)

    recipe = recipe_of(objects)
    text = recipe.to_yaml()

    assert recipe.inputs == (RecipeInput("image", 0), RecipeInput("image 2", 1))
    assert [step.operation for step in recipe.steps] == ["gaussian", "difference", "label"]
    assert "plane" not in text.replace("dims: plane", ""), "no name of a layer or a file"

    again = Recipe.from_yaml(text)
    layers = suggested_layers(again, viewer, one)
    assert layers == [one, two]
    future = start_recipe(again, layers)
    qtbot.waitUntil(future.done, timeout=20000)
    added = add_recipe(viewer, again, layers, future.result())

    assert [layer.visible for layer in added] == [False, False, True]
    np.testing.assert_array_equal(np.asarray(added[-1].data[0]), np.asarray(objects.data[0]))
    change(added[0], {"sigma": 3.0})
    assert recipe_of(added[-1]).steps[0].values == {"sigma": 3.0}


def test_copied_python_computes_what_is_shown(
    viewer: Any, opened: Any, live: Any, plane: Written, qtbot: Any
) -> None:
    one, two = opened(plane)
    viewer.scene.camera.zoom *= 6
    qtbot.wait(80)
    blurred = live("gaussian", two, sigma=1.0)
    result = live("difference", one, blurred)

    text = as_python(viewer, result)

    names: dict[str, Any] = {}
    exec(compile(text, "copied", "exec"), names)
    level = result.data_level
    seen = visible_region(viewer, result).region
    assert f"level={level}" in text and seen.size < plane.levels[level][0].size
    whole = np.asarray(result.data[level])
    np.testing.assert_array_equal(names["pixels"], whole[seen.slices])


def test_copied_python_runs_on_a_layer_in_memory(viewer: Any, live: Any) -> None:
    image = pattern((40, 50))
    layer = viewer.add_image(image, name='a "quoted" name', scale=(0.5, 0.5))
    result = live("median", layer, radius=1.0)

    text = as_python(viewer, result).replace("napari.current_viewer()", "given")
    names: dict[str, Any] = {"given": viewer}
    exec(compile(text, "copied", "exec"), names)

    expected = filters.median(image, morphology.disk(1))  # without units lengths are pixels
    np.testing.assert_array_equal(names["result"].read(), expected)
    np.testing.assert_array_equal(np.asarray(result.data[0]), expected)


def test_copied_python_holds_no_secret(
    viewer: Any, live: Any, plane: Written, slow_server: Callable[..., SlowServer], qtbot: Any
) -> None:
    server = slow_server(plane.path.parent)
    link = f"{server.url}/plane.zarr?X-Amz-Signature=s3cr3t"
    viewer.open(link, plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=10000)
    result = live("gaussian", viewer.layers[0], sigma=1.0)

    text = as_python(viewer, result) + recipe_of(result).to_yaml() + str(result.metadata)

    assert "s3cr3t" not in text
