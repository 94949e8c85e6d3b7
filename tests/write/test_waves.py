"""How a write is cut into blocks: within bounds, whole chunks of the source, each voxel once."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_omezarr_cloud.pyramid import Grid, Transform
from napari_omezarr_cloud.write import waves as cutting
from napari_omezarr_cloud.write.plan import plan_image
from napari_omezarr_cloud.write.waves import blocks_at_once, waves

from .conftest import axes

if TYPE_CHECKING:
    from napari_omezarr_cloud.write.plan import Plan


def planned(shape: tuple[int, ...], names: str, source: tuple[int, ...], **options: Any) -> Plan:
    grid = Grid(shape, source, np.dtype("u2"))
    place = Transform((1.0,) * len(shape), (0.0,) * len(shape))
    return plan_image(grid, axes(names), place, **options)


@pytest.mark.parametrize(
    ("shape", "names", "source", "options"),
    [
        ((500, 2000, 2000), "zyx", (16, 256, 256), {}),
        ((500, 2000, 2000), "zyx", (1, 512, 512), {}),
        ((2, 30, 9000, 9000), "czyx", (1, 1, 1024, 1024), {"shards": None}),
        ((40000, 40000), "yx", (512, 512), {}),
        (
            (300, 1000, 1000),
            "zyx",
            (64, 64, 64),
            {"chunks": (3, 100, 100), "shards": (9, 300, 300)},
        ),
    ],
)
def test_blocks_are_few_megabytes_and_read_no_chunk_of_the_source_twice(
    shape: tuple[int, ...], names: str, source: tuple[int, ...], options: dict[str, Any]
) -> None:
    plan = planned(shape, names, source, **options)
    wave = waves(plan)[0]

    assert math.prod(wave.block) * 2 <= cutting._WHOLE_CHUNK_BYTES
    for n, chunk, unit, block in zip(shape, plan.levels[0].chunks, wave.unit, wave.block):  # noqa: B905
        assert block % chunk == 0
        assert unit % block == 0 or unit >= n
    if "chunks" not in options:
        assert all(b % s == 0 or b >= n for b, s, n in zip(wave.block, source, shape, strict=True))


def test_each_block_is_in_one_unit_of_one_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "_BLOCK_BYTES", 2**13)
    monkeypatch.setattr(cutting, "_WHOLE_CHUNK_BYTES", 2**13)
    monkeypatch.setattr(cutting, "_TASK_BYTES", 2**18)
    options = {"chunks": (8, 16, 16), "shards": (16, 32, 32), "level_count": 3}
    plan = planned((50, 130, 100), "zyx", (8, 16, 16), **options, factors=[(2, 2, 2)] * 2)
    wave = waves(plan)[0]
    assert wave.top > wave.base

    blocks = [
        block for task in wave.tasks() for unit in wave.units(task) for block in wave.blocks(unit)
    ]

    assert len(blocks) == len(set(blocks)) == wave.block_count
    counts = (wave.block_count_of(wave.region_of(task)) for task in wave.tasks())
    assert sum(counts) == wave.block_count


def test_as_many_blocks_at_once_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting.os, "cpu_count", lambda: 64)
    copied = planned((500, 2000, 2000), "zyx", (16, 256, 256))
    computed = replace(copied, block_voxels=2**22)

    for plan, per_voxel in ((copied, 3 * 2), (computed, 32)):
        wave = waves(plan)[0]
        at_once = blocks_at_once(plan, wave)
        assert at_once > 1
        assert at_once * math.prod(wave.block) * per_voxel <= 2**32

    large = replace(copied, levels=(replace(copied.levels[0], chunks=(500, 2000, 2000)),))
    assert blocks_at_once(large, waves(large)[0]) == 1
