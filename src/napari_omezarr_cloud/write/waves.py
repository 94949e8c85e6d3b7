"""In which order the blocks of a pyramid are made. Pure arithmetic.

A *unit* is a block of whole objects that is read, made coarser and written at once. The units of a
coarse level are made of those of the finer one below, like a tree from its leaves; a *task* is one
such tree, and a *wave* all the tasks that do not need each other. The next wave reads back the top
level of the one before, so that memory depends on neither the image's size nor its levels.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_omezarr_cloud.pyramid.region import chunk_region
from napari_omezarr_cloud.write.downsampling import halo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_omezarr_cloud.pyramid import Index, Region
    from napari_omezarr_cloud.write.plan import Plan

__all__ = ["Task", "Wave", "waves"]

_UNIT_BYTES = 2**22
"""What a unit has at least, so that small chunks do not cost a round each."""
_TASK_BYTES = 2**28
"""What a task reads at most, if its unit is no larger: it is lost when the program is killed."""


@dataclass(frozen=True)
class Task:
    """One tree of blocks: the unit ``index`` of the wave's top level, and all below it."""

    wave: int
    index: Index

    @property
    def name(self) -> str:
        """How the notes of a write call it."""
        return f"{self.wave}.{'.'.join(map(str, self.index))}"


@dataclass(frozen=True)
class Wave:
    """Tasks that can run in any order and side by side."""

    number: int
    base: int
    """The finest level it writes: from the source, or from the level before."""
    top: int
    """The coarsest level it writes."""
    unit: tuple[int, ...]
    """Voxels per axis of a unit, of each of its levels."""
    shapes: tuple[tuple[int, ...], ...]
    """Of the levels from base to top."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Units of the top level per axis."""
        return tuple(-(-n // u) for n, u in zip(self.shapes[-1], self.unit, strict=True))

    @property
    def task_count(self) -> int:
        """Number of tasks."""
        return math.prod(self.counts)

    @property
    def unit_counts(self) -> tuple[int, ...]:
        """Units of the finest level per axis."""
        return tuple(-(-n // u) for n, u in zip(self.shapes[0], self.unit, strict=True))

    @property
    def unit_count(self) -> int:
        """Number of units of the finest level."""
        return math.prod(self.unit_counts)

    def tasks(self) -> Iterator[Task]:
        """Yield the tasks, neighbours after each other."""
        for index in itertools.product(*map(range, self.counts)):
            yield Task(self.number, index)

    def region(self, level: int, index: Index) -> Region:
        """Return the voxels of a unit of a level."""
        return chunk_region(index, self.unit, self.shapes[level - self.base])


def waves(plan: Plan) -> tuple[Wave, ...]:
    """Return the waves of a plan, in their order."""
    found: list[Wave] = []
    base = 0
    while base < len(plan.levels):
        top, unit = base, _unit(plan, base, base)
        if not plan.copied and not _looks_around(plan):
            while top + 1 < len(plan.levels):
                more = _unit(plan, base, top + 1)
                if _reads(plan, base, top + 1, more) > _TASK_BYTES:
                    break
                top, unit = top + 1, more
        shapes = tuple(level.shape for level in plan.levels[base : top + 1])
        found.append(Wave(len(found), base, top, unit, shapes))
        base = top + 1
    return tuple(found)


def _looks_around(plan: Plan) -> bool:
    """Tell whether a coarse voxel needs more than the fine ones it covers."""
    return any(halo(plan.method, f) for level in plan.levels for f in level.factors)


def _reads(plan: Plan, base: int, top: int, unit: tuple[int, ...]) -> int:
    voxels = math.prod(unit)
    for level in plan.levels[base + 1 : top + 1]:
        voxels *= math.prod(level.factors)
    whole = math.prod(plan.levels[base].shape)
    return min(voxels, whole) * np.dtype(plan.dtype).itemsize


def _unit(plan: Plan, base: int, top: int) -> tuple[int, ...]:
    """Return a unit of whole objects whose first voxel is the first of its group everywhere."""
    level = plan.levels[base]
    unit = list(level.shards or level.chunks)
    for axis in range(len(unit)):
        for coarser in plan.levels[base + 1 : top + 1]:
            unit[axis] = math.lcm(unit[axis], coarser.factors[axis])
    itemsize = np.dtype(plan.dtype).itemsize
    least = max(_UNIT_BYTES, plan.block_voxels * itemsize if base == 0 else 0)
    while math.prod(unit) * itemsize < least:
        left = [-(-n // u) for n, u in zip(level.shape, unit, strict=True)]
        # Only axes that become coarser grow: the others (time, channel) are taken one by one.
        space = [a for a in range(len(unit)) if left[a] > 1 and plan.axes[a].type == "space"]
        if not space:
            break
        axis = max(space, key=lambda a: (left[a], a))
        unit[axis] *= 2
    return tuple(unit)
