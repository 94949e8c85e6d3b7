"""Which voxels are on screen, for every way a layer can lie in a viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.napari.region_text import position_text, region_text
from napari_omezarr_cloud.napari.visible import VisibleRegion, visible_region
from tests.fixtures.images import pattern, pyramid, write_directly

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.images import Written

HEIGHT, WIDTH = 600, 800


def viewer_at(center: tuple[float, ...], zoom: float) -> ViewerModel:
    viewer = ViewerModel()
    viewer.canvas.size = (HEIGHT, WIDTH)
    viewer.scene.camera.center = center
    viewer.scene.camera.zoom = zoom
    return viewer


def move(viewer: ViewerModel, center: tuple[float, ...], zoom: float) -> None:
    viewer.scene.camera.center = (0.0, *center)
    viewer.scene.camera.zoom = zoom


def region_of(viewer: ViewerModel, layer: Any, level: int | None = None) -> VisibleRegion:
    found = visible_region(viewer, layer, level)
    assert found is not None
    return found


def add_ours(viewer: ViewerModel, image: Written) -> Any:
    data, attributes, _ = noc.to_layers(noc.open(str(image.path)))[0]
    return viewer.add_image(data, **attributes)


numbers = st.floats(-3, 3).map(lambda n: round(n, 3))
sizes = st.floats(0.1, 5).map(lambda n: round(n, 3))


@settings(deadline=None, max_examples=50)  # a viewer each
@given(st.tuples(sizes, sizes), st.tuples(numbers, numbers), st.tuples(numbers, numbers), sizes)
def test_it_is_the_smallest_box_that_covers_what_the_canvas_shows(
    scale: tuple[float, float],
    translate: tuple[float, float],
    center: tuple[float, float],
    zoom: float,
) -> None:
    viewer = ViewerModel()
    viewer.canvas.size = (HEIGHT, WIDTH)
    layer = viewer.add_image(np.zeros((90, 70), "u1"), scale=scale, translate=translate)
    middle = [c * 20 + t + s * n / 2 for c, t, s, n in
              zip(center, translate, scale, (90, 70), strict=True)]  # fmt: skip
    move(viewer, tuple(middle), zoom * 10)

    found = visible_region(viewer, layer)

    for axis, extent in enumerate((HEIGHT, WIDTH)):
        half = extent / 2 / (zoom * 10)
        low = (middle[axis] - half - translate[axis]) / scale[axis] + 0.5  # edges of voxels
        high = (middle[axis] + half - translate[axis]) / scale[axis] + 0.5
        if found is None:
            continue
        start, stop = found.region.start[axis], found.region.stop[axis]
        assert start <= max(low, 0) + 1e-3
        assert stop >= min(high, layer.data.shape[axis]) - 1e-3
        assert start > low - 1 - 1e-3 or start == 0
        assert stop < high + 1 + 1e-3 or stop == layer.data.shape[axis]


def test_a_coarser_level_is_cut_where_its_own_transform_says(tmp_path: Path) -> None:
    # 513 and 257 voxels: the ratio of the shapes is no factor of two, the scale is.
    image = write_directly(tmp_path / "a.zarr", "yx", pyramid(pattern((513, 385))), chunks=(64, 64))
    viewer = ViewerModel()
    viewer.canvas.size = (200, 200)
    layer = add_ours(viewer, image)
    move(viewer, (100.0, 60.0), 10.0)  # 20 by 20 µm: y 90 to 110, x 50 to 70

    found = region_of(viewer, layer, level=2)

    scale, shift = np.array(image.scales[2]), np.array(image.translations[2])
    low = (np.array((90.0, 50.0)) - shift) / scale + 0.5
    high = (np.array((110.0, 70.0)) - shift) / scale + 0.5
    assert found.region.start == tuple(np.floor(low).astype(int))
    assert found.region.stop == tuple(np.ceil(high).astype(int))
    assert found.pixel_um == tuple(scale)


def test_a_layer_that_is_turned_gives_the_box_around_the_view() -> None:
    viewer = ViewerModel()
    viewer.canvas.size = (100, 100)
    layer = viewer.add_image(np.zeros((50, 50), "u1"), rotate=45)
    move(viewer, tuple(layer.data_to_world((25, 25))), 10.0)

    found = region_of(viewer, layer)

    half = 10 * np.sqrt(2) / 2
    assert found.region.start == (int(25.5 - half),) * 2
    assert found.region.stop == (int(np.ceil(25.5 + half)),) * 2


def test_sliders_choose_one_plane_and_the_axes_may_be_in_any_order() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((3, 10, 40, 50), "u1"), scale=(1, 2, 1, 1))
    viewer.dims.set_current_step(0, 2)
    viewer.dims.order = (0, 2, 1, 3)
    viewer.dims.set_current_step(2, 7)
    move(viewer, (10.0, 25.0), 1.0)

    found = region_of(viewer, layer)

    assert found.displayed == (1, 3)
    assert found.region.slices == (slice(2, 3), slice(0, 10), slice(7, 8), slice(0, 50))


def test_a_plane_in_a_taller_world_is_the_whole_of_its_own_axes() -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((3, 10, 40, 50), "u1"))
    layer = viewer.add_image(np.zeros((40, 50), "u1"))
    viewer.dims.set_current_step(1, 9)

    assert region_of(viewer, layer).region.shape == (40, 50)


def test_what_ends_before_the_slider_or_the_canvas_is_not_visible() -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((10, 20, 20), "u1"))
    short = viewer.add_image(np.zeros((2, 20, 20), "u1"))
    viewer.dims.set_current_step(0, 1)

    assert visible_region(viewer, short) is not None
    viewer.dims.set_current_step(0, 5)
    assert visible_region(viewer, short) is None
    viewer.dims.set_current_step(0, 1)
    move(viewer, (1e4, 0.0), 1.0)
    assert visible_region(viewer, short) is None


def test_in_3d_the_whole_volume_of_the_level_counts() -> None:
    viewer = ViewerModel()
    levels = [np.zeros((2, 8, 40, 40), "u1"), np.zeros((2, 8, 20, 20), "u1")]
    layer = viewer.add_image(levels, multiscale=True)
    viewer.dims.set_current_step(0, 1)
    viewer.dims.ndisplay = 3
    move(viewer, (1e4, 0.0), 50.0)

    found = region_of(viewer, layer)

    assert found.level.number == 1
    assert found.displayed == (1, 2, 3)
    assert found.region.slices == (slice(1, 2), slice(0, 8), slice(0, 20), slice(0, 20))


def test_colours_are_no_axis_on_screen() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((30, 40, 3), "u1"), rgb=True)

    found = region_of(viewer, layer)

    assert found.displayed == (0, 1)
    assert found.shape == (30, 40, 3)
    assert found.nbytes == 30 * 40 * 3


def test_in_a_grid_each_cell_shows_its_layer_around_the_same_point() -> None:
    viewer = ViewerModel()
    viewer.canvas.size = (100, 200)
    layers = [viewer.add_image(np.zeros((400, 400), "u1")) for _ in range(2)]
    viewer.canvas.grid.enabled = True
    viewer.canvas.grid.shape = (1, 2)
    move(viewer, (200.0, 200.0), 1.0)

    for layer in layers:
        assert region_of(viewer, layer).shape == (101, 101)


def test_a_level_of_others_lies_where_napari_puts_it() -> None:
    viewer = ViewerModel()
    viewer.canvas.size = (40, 40)
    levels = [np.zeros((100, 100), "u1"), np.zeros((25, 25), "u1")]
    layer = viewer.add_image(levels, multiscale=True)
    move(viewer, (49.5, 49.5), 1.0)  # voxels 30 to 70, by their edges

    found = region_of(viewer, layer, level=1)

    assert found.region.slices == (slice(7, 18), slice(7, 18))


@pytest.mark.parametrize("unit", ["nanometer", "micrometer", "millimeter", "pixel"])
def test_sizes_are_told_in_micrometres_where_there_is_a_length(unit: str) -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((100, 200), "u2"), scale=(0.5, 0.25), units=(unit, unit))
    move(viewer, (25.0, 25.0), 1.0)

    told = region_text(region_of(viewer, layer), 40_000)

    size = {"nanometer": " (0.05 × 0.05 µm)", "micrometer": " (50 × 50 µm)",
            "millimeter": " (50000 × 50000 µm)", "pixel": ""}[unit]  # fmt: skip
    assert told == f"Level 0 · 200 × 100 px{size} · 40.0 kB"


def test_the_place_is_told_axis_by_axis() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((4, 5, 60, 70), "u1"))
    viewer.dims.set_current_step(0, 3)
    viewer.dims.set_current_step(1, 2)

    assert position_text(region_of(viewer, layer)) == "x 0–70 · y 0–60 · z 2 · t 3"


def test_every_kind_of_image_is_wholly_visible_from_afar(any_image: Written) -> None:
    viewer = ViewerModel()
    layer = add_ours(viewer, any_image)
    viewer.canvas.size = (HEIGHT, WIDTH)
    viewer.reset_view()

    for level in range(len(any_image.levels)):
        found = region_of(viewer, layer, level)
        shape = dict(zip(any_image.axes, any_image.levels[level].shape, strict=True))
        shown = [found.shape[axis] for axis in found.displayed]
        assert shown == [shape["y"], shape["x"]]
