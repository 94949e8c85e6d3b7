"""What `peek` paints, compared with a plain loop over voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_omezarr_cloud.chunks import ChunkCache, compose
from napari_omezarr_cloud.pyramid import ABSENT, Grid, Region, Transform, new_key


class Still:
    """A level of which the test decides what is in memory."""

    def __init__(self, voxels: Any, chunks: tuple[int, ...], transform: Transform) -> None:
        self.key = new_key()
        self.voxels = voxels
        self.grid = Grid(voxels.shape, chunks, voxels.dtype, voxels.dtype.type(7))
        self.transform = transform


@st.composite
def scenes(draw: st.DrawFn) -> tuple[list[Still], ChunkCache, Region, tuple[int, ...]]:
    """Draw three levels of odd sizes and scales, some of whose chunks are here or absent."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    levels = []
    for number in range(3):
        shape = tuple(draw(st.integers(1, 24 // (number + 1))) for _ in range(2))
        chunks = tuple(draw(st.integers(1, 9)) for _ in range(2))
        scale = tuple(draw(st.sampled_from([1.0, 1.9, 2.0, 3.1])) ** number for _ in range(2))
        shift = tuple(draw(st.sampled_from([0.0, 0.5, -1.3])) * number for _ in range(2))
        levels.append(Still(rng.integers(10, 99, shape), chunks, Transform(scale, shift)))
    cache = ChunkCache(1 << 20)
    for level in levels:
        for index in level.grid.touching(Region.whole(level.grid.shape)):
            fate = draw(st.sampled_from(["here", "away", "absent"]))
            voxels = level.voxels[level.grid.region_of(index).slices]
            if fate != "away":
                chunk = voxels if fate == "here" else ABSENT
                cache.put(level.key, index, chunk, is_derived=False)
    shape = levels[0].grid.shape
    start = tuple(draw(st.integers(0, n - 1)) for n in shape)
    stop = tuple(draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True))
    stride = tuple(draw(st.integers(1, 4)) for _ in shape)
    return levels, cache, Region(start, stop), stride


def one_voxel(levels: list[Still], cache: ChunkCache, place: tuple[int, ...]) -> int:
    """Return what a voxel should show: the finest level that has the place, else the fill value."""
    for number, level in enumerate(levels):
        across = levels[0].transform.to(level.transform)
        at = tuple(
            int(across.nearest(axis, np.array([p]), n)[0])
            for axis, (p, n) in enumerate(zip(place, level.grid.shape, strict=True))
        )
        at = place if number == 0 else at
        chunk = cache.get(
            level.key, tuple(p // c for p, c in zip(at, level.grid.chunks, strict=True))
        )
        if chunk is ABSENT:
            return int(level.grid.fill_value)
        if chunk is not None:
            return int(level.voxels[at])
    return 7


@given(scenes())
@settings(deadline=None)
def test_each_voxel_is_the_finest_that_is_here(scene: Any) -> None:
    levels, cache, region, stride = scene

    found = compose.peek(cache, levels, 0, region, stride)

    rows, columns = (
        range(a, b, s) for a, b, s in zip(region.start, region.stop, stride, strict=True)
    )
    expected = [[one_voxel(levels, cache, (y, x)) for x in columns] for y in rows]
    np.testing.assert_array_equal(found.pixels, expected)
    away = [i for i in levels[0].grid.touching(region) if cache.get(levels[0].key, i) is None]
    assert found.missing == len(away)


@given(scenes())
@settings(deadline=None)
def test_regions_of_very_many_chunks_are_painted_alike(scene: Any) -> None:
    levels, cache, region, stride = scene
    usual = compose.peek(cache, levels, 0, region, stride)

    many, compose._MANY = compose._MANY, 0
    try:
        found = compose.peek(cache, levels, 0, region, stride)
    finally:
        compose._MANY = many

    np.testing.assert_array_equal(found.pixels, usual.pixels)
    assert found.missing == usual.missing
