"""What would be written: chosen well where nothing is said, refused in words where it cannot be."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from napari_omezarr_cloud.errors import WriteError
from napari_omezarr_cloud.ngff import Axis
from napari_omezarr_cloud.pyramid import Grid, Transform
from napari_omezarr_cloud.write.plan import Plan, plan_image

TYPES = {"t": "time", "c": "channel"}


def plan(
    shape: tuple[int, ...], axes: str, scale: tuple[float, ...], dtype: str = "u2", **options: Any
) -> Plan:
    named = tuple(
        Axis(a, TYPES.get(a, "space"), None if a in TYPES else "micrometer") for a in axes
    )
    grid = Grid(shape, (1,) * len(shape), np.dtype(dtype))
    return plan_image(grid, named, Transform(scale, (0.0,) * len(shape)), **options)


def test_levels_go_down_to_a_thumbnail_with_half_pixel_translations() -> None:
    found = plan((2, 1000, 2000), "cyx", (1, 0.5, 0.5))

    assert [level.shape for level in found.levels] == [
        (2, 1000, 2000),
        (2, 500, 1000),
        (2, 250, 500),
        (2, 125, 250),
    ]
    assert [level.translation for level in found.levels] == [
        (0, 0, 0),
        (0, 0.25, 0.25),
        (0, 0.75, 0.75),
        (0, 1.75, 1.75),
    ]


def test_voxels_become_cubes_before_depth_is_given_up() -> None:
    found = plan((40, 2048, 2048), "zyx", (2.0, 0.5, 0.5))

    assert [level.factors for level in found.levels[1:]] == [(1, 2, 2), (1, 2, 2), (2, 2, 2)]
    assert found.levels[-1].scale == (4, 4, 4)


def test_sampling_methods_leave_the_first_voxel_where_it_was() -> None:
    for method in ("nearest", "gaussian"):
        found = plan((1024, 1024), "yx", (1, 1), method=method)
        assert {level.translation for level in found.levels} == {(0, 0)}


@pytest.mark.parametrize(
    ("shape", "axes", "scale", "dtype"),
    [
        ((4096, 4096), "yx", (1, 1), "u1"),
        ((3, 2, 10, 900, 900), "tczyx", (1, 1, 1, 1, 1), "f4"),
        ((500, 2000, 2000), "zyx", (1, 1, 1), "u2"),
        ((7, 5), "yx", (1, 1), "u2"),
    ],
)
def test_chunks_are_worth_a_request_and_no_longer_than_the_image(
    shape: tuple[int, ...], axes: str, scale: tuple[float, ...], dtype: str
) -> None:
    found = plan(shape, axes, scale, dtype)

    for level in found.levels:
        assert all(c <= n for c, n in zip(level.chunks, level.shape, strict=True))
        assert math.prod(level.chunks) * np.dtype(dtype).itemsize <= 2**21
    if math.prod(shape) > 10**6:
        assert found.chunk_nbytes >= 2**18


def test_many_objects_become_shards_and_few_do_not() -> None:
    many = plan((500, 2000, 2000), "zyx", (1, 1, 1))
    few = plan((50, 1000, 1000), "zyx", (1, 1, 1))

    shards = many.levels[0].shards
    assert shards is not None
    assert many.object_count < 300
    assert all(s % c == 0 for s, c in zip(shards, many.levels[0].chunks, strict=True))
    assert few.levels[0].shards is None
    assert plan((500, 2000, 2000), "zyx", (1, 1, 1), version="0.4").levels[0].shards is None


def test_a_plan_travels_as_json() -> None:
    found = plan((2, 500, 900, 900), "czyx", (1, 1, 1, 1), method="gaussian", name="cells")

    assert Plan.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"version": "0.3"}, "0.3 cannot be written"),
        ({"method": "median"}, "no method 'median'"),
        ({"codec": "jpeg"}, "no codec 'jpeg'"),
        ({"version": "0.4", "shards": (8, 8)}, "0.4 has no shards"),
        ({"chunks": (8, 8), "shards": (12, 8)}, "no whole number of chunks"),
        ({"chunks": (0, 8)}, "chunks (0, 8)"),
        ({"level_count": 0}, "0 levels"),
        ({"is_labels": True, "method": "mean"}, "labels would be mixed"),
        ({"dtype": "c8"}, "complex64"),
        ({"dtype": "f4", "is_labels": True}, "whole numbers"),
        ({"axes": "xy", "shape": (0, 8)}, "does not fit the axes"),
        ({"axes": "tc"}, "two or three axes of space"),
        ({"axes": "xx"}, "its axes are called x, x"),
        ({"axes": "yxc", "shape": (8, 8, 3), "scale": (1, 1, 1)}, "time, then channel"),
    ],
)
def test_what_cannot_be_is_refused_in_words(options: dict[str, Any], words: str) -> None:
    given = {"shape": (64, 64), "axes": "yx", "scale": (1, 1), **options}

    with pytest.raises(WriteError) as caught:
        plan(**given)

    assert words in str(caught.value)
