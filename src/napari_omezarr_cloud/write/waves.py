"""In which order the blocks of a pyramid are made. Pure arithmetic.

A *block* is what is read, computed and compressed at once; a *unit* is the least number of blocks
that are whole objects (shards). The blocks of a coarse level are made of those of the finer one
below, like a tree from its leaves; a *task* is one such tree, whose top is one unit, and a *wave*
all the tasks that do not need each other. The next wave reads back the top level of the one before,
so that memory depends on neither the image's size nor its levels.
"""

from __future__ import annotations

import itertools
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_omezarr_cloud.pyramid import Region
from napari_omezarr_cloud.pyramid.region import chunk_region, chunks_touching
from napari_omezarr_cloud.write.downsampling import halo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari_omezarr_cloud.pyramid import Index
    from napari_omezarr_cloud.write.plan import Plan

__all__ = ["Task", "Wave", "blocks_at_once", "finer_region", "waves"]

_BLOCK_BYTES = 2**23
"""What a block has about: enough for what each costs besides, little beside what a shard has."""
_WHOLE_CHUNK_BYTES = 2**25
"""What a block may have where it would read chunks of its source in part otherwise."""
_TASK_BYTES = 2**30
"""What a task reads at most, if its unit is no larger."""
_COMPUTED_BLOCKS, _COMPUTED_SHARE = 16, 1 / 64
"""What a task of what is computed has at most, so that workers have enough of them: so many blocks,
for the first coarser level not to be made of what is read back; or more, as a share of all."""
_COPYING_BYTES, _COMPUTING_BYTES = 2**27, 2**32
"""What all blocks under way take, if one takes no more, where they are copied, or computed."""
_COPIED, _COMPUTED = 3, 32
"""Times its bytes that a block takes that is copied; bytes per voxel of one that is computed."""


@dataclass(frozen=True)
class Task:
    """One tree of blocks: those of the unit ``index`` of the wave's top level, and all below."""

    wave: int
    index: Index
    base: int
    """The finest level it writes."""
    top: int

    @property
    def name(self) -> str:
        """How the notes of a write call it, so that tasks of other levels have other names."""
        return f"{self.base}-{self.top}.{'.'.join(map(str, self.index))}"


@dataclass(frozen=True)
class Wave:
    """Tasks that can run in any order and side by side."""

    number: int
    base: int
    """The finest level it writes: from the source, or from the level before."""
    top: int
    """The coarsest level it writes."""
    block: tuple[int, ...]
    """Voxels per axis of a block, of each of its levels."""
    unit: tuple[int, ...]
    """Voxels per axis of a unit, of each of its levels; whole blocks."""
    shapes: tuple[tuple[int, ...], ...]
    """Of the levels from base to top."""
    factors: tuple[tuple[int, ...], ...]
    """Of the same levels: voxels of the one before per voxel of it."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Units of the top level per axis."""
        return tuple(-(-n // u) for n, u in zip(self.shapes[-1], self.unit, strict=True))

    @property
    def task_count(self) -> int:
        """Number of tasks."""
        return math.prod(self.counts)

    @property
    def block_counts(self) -> tuple[int, ...]:
        """Blocks of the finest level per axis."""
        return tuple(-(-n // b) for n, b in zip(self.shapes[0], self.block, strict=True))

    @property
    def block_count(self) -> int:
        """Number of blocks of the finest level."""
        return math.prod(self.block_counts)

    def tasks(self) -> Iterator[Task]:
        """Yield the tasks, neighbours after each other."""
        for index in itertools.product(*map(range, self.counts)):
            yield Task(self.number, index, self.base, self.top)

    def shape(self, level: int) -> tuple[int, ...]:
        """Return the voxels of a level per axis."""
        return self.shapes[level - self.base]

    def block_region(self, level: int, index: Index) -> Region:
        """Return the voxels of a block of a level."""
        return chunk_region(index, self.block, self.shape(level))

    def blocks(self, region: Region) -> Iterator[Index]:
        """Yield the blocks that a region of a level touches."""
        return chunks_touching(region, self.block)

    def units(self, task: Task) -> Iterator[Region]:
        """Yield the units of the finest level that a task covers, so that coarse blocks soon end.

        Each is a region of whole blocks.
        """
        yield from self._units(self.top, task.index)

    def _units(self, level: int, index: Index) -> Iterator[Region]:
        region = chunk_region(index, self.unit, self.shape(level))
        if level == self.base:
            yield region
            return
        finer = self.shape(level - 1)
        below = finer_region(region, self.factors[level - self.base], finer)
        cell = self.cell(level)
        for at in chunks_touching(below, cell):
            part = chunk_region(at, cell, finer).intersect(below)
            for each in chunks_touching(part, self.unit):
                yield from self._units(level - 1, each)

    def cell(self, level: int) -> tuple[int, ...]:
        """Return the voxels of the finer level that whole units and whole blocks of one are of.

        Where these come one after the other, no more than that of a level waits for its rest.
        """
        factors = self.factors[level - self.base]
        sizes = zip(self.unit, self.block, factors, strict=True)
        return tuple(math.lcm(u, b * f) for u, b, f in sizes)

    def region_of(self, task: Task) -> Region:
        """Return the voxels of the finest level that a task covers."""
        region = chunk_region(task.index, self.unit, self.shapes[-1])
        for level in range(self.top, self.base, -1):
            region = finer_region(region, self.factors[level - self.base], self.shape(level - 1))
        return region

    def block_count_of(self, region: Region) -> int:
        """Return how many blocks of the finest level a region of whole blocks has."""
        return math.prod(-(-n // b) for n, b in zip(region.shape, self.block, strict=True))


def finer_region(region: Region, factors: tuple[int, ...], shape: tuple[int, ...]) -> Region:
    """Return the voxels of the finer level, of a shape, that a region is made of."""
    return Region(
        tuple(a * f for a, f in zip(region.start, factors, strict=True)),
        tuple(b * f for b, f in zip(region.stop, factors, strict=True)),
    ).within(shape)


def waves(plan: Plan) -> tuple[Wave, ...]:
    """Return the waves of a plan, in their order."""
    found: list[Wave] = []
    base = 0
    while base < len(plan.levels):
        top = base
        block, unit = _sizes(plan, base, base)
        if not plan.copied and not _looks_around(plan):
            while top + 1 < len(plan.levels):
                more = _sizes(plan, base, top + 1)
                if _reads(plan, base, top + 1, more[1]) > _most_bytes(plan, top + 2 - base):
                    break
                top, (block, unit) = top + 1, more
        levels = plan.levels[base : top + 1]
        shapes = tuple(level.shape for level in levels)
        factors = tuple(level.factors for level in levels)
        found.append(Wave(len(found), base, top, block, unit, shapes, factors))
        base = top + 1
    return tuple(found)


def blocks_at_once(plan: Plan, wave: Wave) -> int:
    """Return how many blocks are best under way together, unless somebody says a number.

    What is copied mostly waits for bytes, so there may be more than processors; of what is computed
    one more is read meanwhile.
    """
    cores, voxels = os.cpu_count() or 1, math.prod(wave.block)
    if plan.block_voxels:
        return max(1, min(cores + 1, _COMPUTING_BYTES // (_COMPUTED * voxels)))
    return max(1, _COPYING_BYTES // (_COPIED * np.dtype(plan.dtype).itemsize * voxels))


def _looks_around(plan: Plan) -> bool:
    """Tell whether a coarse voxel needs more than the fine ones it covers."""
    return any(halo(plan.method, f) for level in plan.levels for f in level.factors)


def _most_bytes(plan: Plan, level_count: int) -> int:
    """Return what a task of so many levels reads at most."""
    if not plan.block_voxels:
        return _TASK_BYTES
    itemsize = np.dtype(plan.dtype).itemsize
    blocks = _COMPUTED_BLOCKS * plan.block_voxels * itemsize if level_count == 2 else 0
    share = round(_COMPUTED_SHARE * math.prod(plan.levels[0].shape) * itemsize)
    return min(_TASK_BYTES, max(blocks, share))


def _reads(plan: Plan, base: int, top: int, unit: tuple[int, ...]) -> int:
    voxels = math.prod(unit)
    for level in plan.levels[base + 1 : top + 1]:
        voxels *= math.prod(level.factors)
    whole = math.prod(plan.levels[base].shape)
    return min(voxels, whole) * np.dtype(plan.dtype).itemsize


def _sizes(plan: Plan, base: int, top: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return block and unit: each begins at the first voxel of a group, on every level."""
    level = plan.levels[base]
    block, unit = list(level.chunks), list(level.shards or level.chunks)
    for axis in range(len(unit)):
        for coarser in plan.levels[base + 1 : top + 1]:
            block[axis] = math.lcm(block[axis], coarser.factors[axis])
            unit[axis] = math.lcm(unit[axis], coarser.factors[axis])
    itemsize = np.dtype(plan.dtype).itemsize
    least, most = _BLOCK_BYTES // itemsize, _WHOLE_CHUNK_BYTES // itemsize
    if base == 0 and plan.block_voxels:
        least = most = plan.block_voxels
    elif base > 0 and not plan.copied:
        least //= math.prod(level.factors)  # what it is read from counts
    while (longer := _longer(plan, base, block, unit, least, most)) is not None:
        block[longer] = _next(block[longer], unit[longer])
        unit[longer] = max(unit[longer], block[longer])
    return tuple(block), tuple(unit)


def _longer(
    plan: Plan, base: int, block: list[int], unit: list[int], least: int, most: int
) -> int | None:
    """Return the axis along which a block is to be longer; None where it is large enough."""
    size = math.prod(block)
    left = [axis for axis, n in enumerate(plan.levels[base].shape) if block[axis] < n]

    def fitting(axes: Iterable[int], voxels: int) -> int | None:
        grown = ((a, size // block[a] * _next(block[a], unit[a])) for a in axes)
        return next((axis for axis, after in grown if after <= voxels), None)

    # Chunks of the source that are read in part are read again and again.
    source = plan.source_chunks if base == 0 and plan.source_chunks else block
    cut = [axis for axis in left if block[axis] < source[axis]]
    cut.sort(key=lambda axis: block[axis] / source[axis])
    if (found := fitting(cut, most)) is not None:
        return found
    # Only along space, and as a cube: what is around it then costs least. What looks at nothing
    # around it stays within a unit: of larger ones, more shards are not whole at a time.
    space = [axis for axis in left if plan.axes[axis].type == "space"]
    leaves = [not plan.block_voxels and block[axis] >= unit[axis] for axis in range(len(block))]
    space.sort(key=lambda axis: (leaves[axis], block[axis], -axis))
    return fitting(space, least)


def _next(block: int, unit: int) -> int:
    """Return the next length that a unit is whole blocks of, or is one block of."""
    return next((n for n in range(2 * block, unit + 1, block) if unit % n == 0), 2 * block)
