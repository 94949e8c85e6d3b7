"""Boxes, chunks and transforms: arithmetic that everything else stands on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_omezarr_cloud.chunks import chunk_count, nearest_chunks
from napari_omezarr_cloud.errors import RegionError
from napari_omezarr_cloud.pyramid import Grid, Region, Transform

sizes = st.integers(1, 40)
axes = st.integers(1, 3)


@st.composite
def grids(draw: st.DrawFn) -> tuple[Grid, Region]:
    ndim = draw(axes)
    shape = tuple(draw(sizes) for _ in range(ndim))
    chunks = tuple(draw(sizes) for _ in range(ndim))
    start = tuple(draw(st.integers(0, n - 1)) for n in shape)
    stop = tuple(draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True))
    return Grid(shape, chunks, np.dtype("u1")), Region(start, stop)


@given(grids())
def test_the_chunks_of_a_region_cover_it_once(case: tuple[Grid, Region]) -> None:
    grid, region = case
    covered = np.zeros(grid.shape, int)

    for index in grid.touching(region):
        covered[grid.region_of(index).intersect(region).slices] += 1

    assert (covered[region.slices] == 1).all()
    assert covered.sum() == region.size


@given(grids())
def test_chunks_are_counted_without_visiting_them(case: tuple[Grid, Region]) -> None:
    grid, region = case

    assert chunk_count(region, grid.chunks) == len(list(grid.touching(region)))


@given(grids(), st.integers(1, 30))
def test_the_nearest_chunks_are_of_the_region_and_sorted(
    case: tuple[Grid, Region], most: int
) -> None:
    grid, region = case
    everyone = set(grid.touching(region))

    found = nearest_chunks(region, grid.chunks, most)

    assert len(found) <= most
    assert {tuple(row[:-1]) for row in found.tolist()} <= everyone
    assert len(found) == min(most, len(everyone)) or len(everyone) > 4 * most
    assert (np.diff(found[:, -1]) >= 0).all()


def test_the_nearest_of_a_billion_chunks_come_at_once() -> None:
    region = Region((0, 0, 0), (10**6, 10**6, 10**6))

    found = nearest_chunks(region, (1000, 1000, 1000), 64)

    assert len(found) == 64
    assert np.abs(found[:, :3] - 500).max() <= 3


@given(grids())
def test_a_part_lies_in_its_whole_where_it_says(case: tuple[Grid, Region]) -> None:
    grid, region = case
    everything = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    whole = Region.whole(grid.shape)

    part = everything[whole.slices][region.relative_to(whole)]

    np.testing.assert_array_equal(part, everything[region.slices])


@pytest.mark.parametrize(
    ("index", "problem"),
    [
        ((slice(0, 2),), "1 axes"),
        ((slice(0, 4, 2), 0), "step"),
        ((0, 7), "index 7"),
        ((0, -8), "index -8"),
    ],
    ids=["too few axes", "a step", "beyond the end", "before the start"],
)
def test_an_index_that_is_no_box_is_refused_by_name(index: tuple[object], problem: str) -> None:
    with pytest.raises(RegionError, match=problem):
        Region.from_slices(index, (5, 7))  # type: ignore[arg-type]


positive = st.floats(0.01, 100)
shifts = st.floats(-1000, 1000)


@given(positive, shifts, positive, shifts, st.integers(0, 1000))
def test_a_map_between_levels_goes_through_the_world(
    scale: float, shift: float, other_scale: float, other_shift: float, voxel: int
) -> None:
    fine, coarse = Transform((scale,), (shift,)), Transform((other_scale,), (other_shift,))

    across = fine.to(coarse)

    there = across.scale[0] * voxel + across.translation[0]
    assert other_scale * there + other_shift == pytest.approx(scale * voxel + shift, abs=1e-6)


def test_halves_fall_to_the_lower_voxel() -> None:
    halved = Transform((1.0,), (0.0,)).to(Transform((2.0,), (0.0,)))

    found = halved.nearest(0, np.arange(6), 3)

    np.testing.assert_array_equal(found, [0, 0, 1, 1, 2, 2])


@given(positive, shifts, st.integers(0, 30), st.integers(1, 30), st.integers(1, 60))
def test_what_covers_a_region_holds_all_its_nearest_voxels(
    scale: float, shift: float, start: int, length: int, size: int
) -> None:
    across = Transform((scale,), (shift,))

    box = across.covering(Region((start,), (start + length,)), (size,))

    nearest = across.nearest(0, np.arange(start, start + length), size)
    assert box.start[0] == nearest.min()
    assert box.stop[0] == nearest.max() + 1
