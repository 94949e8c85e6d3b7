"""Regions cut into blocks of whole chunks, along the axes that objects extend along."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.pyramid import Region

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["BlockGrid"]

_Array = npt.NDArray[Any]


@dataclass(frozen=True)
class BlockGrid:
    """A region of a level, and how it is cut into blocks. Pure arithmetic."""

    region: Region
    space: tuple[int, ...]
    """Axes along which objects extend; along the others every position is alone."""
    block: tuple[int, ...]

    @classmethod
    def of(
        cls,
        region: Region,
        chunks: Sequence[int],
        space: tuple[int, ...],
        voxels: int,
        *,
        is_thick: bool = False,
    ) -> BlockGrid:
        """Return blocks of whole chunks, of about so many voxels.

        Parameters
        ----------
        region
            What is cut.
        chunks
            Of the level.
        space
            Axes along which objects extend.
        voxels
            Of a block, at least, where there are as many.
        is_thick
            Whether blocks go through all of the region along the other axes, which begins where
            chunks do; else each position is a block of its own.
        """
        rest = region.shape if is_thick else (1,) * len(chunks)
        block = [chunks[axis] if axis in space else rest[axis] for axis in range(len(chunks))]
        while math.prod(block) < voxels:
            left = {axis: -(-region.shape[axis] // block[axis]) for axis in space}
            axis = max(space, key=lambda a: (left[a], a))
            if left[axis] <= 1:
                break
            block[axis] *= 2
        return cls(region, space, tuple(block))

    @property
    def others(self) -> tuple[int, ...]:
        """The other axes."""
        return tuple(a for a in range(len(self.block)) if a not in self.space)

    @property
    def counts(self) -> tuple[int, ...]:
        """Blocks per axis; those at the start are cut where chunks begin."""
        return tuple(
            -(-b // n) - a // n
            for a, b, n in zip(self.region.start, self.region.stop, self.block, strict=True)
        )

    def blocks(self) -> Iterator[Region]:
        """Yield the blocks, in voxels of the level."""
        first = [a // n for a, n in zip(self.region.start, self.block, strict=True)]
        for offset in itertools.product(*map(range, self.counts)):
            start = [(f + o) * n for f, o, n in zip(first, offset, self.block, strict=True)]
            stop = [a + n for a, n in zip(start, self.block, strict=True)]
            yield Region(tuple(start), tuple(stop)).intersect(self.region)

    def place(self, block: Region) -> int:
        """Return the number of a block's position along the other axes."""
        at, shape = [], []
        for axis in self.others:
            at.append(block.start[axis] - self.region.start[axis])
            shape.append(self.region.shape[axis])
        return int(np.ravel_multi_index(at, shape)) if at else 0

    def region_of(self, place: int, box: _Array) -> Region:
        """Return where a box of the region, ``(axis of space, 2)``, is in the level."""
        start, stop = list(self.region.start), list(self.region.stop)
        others = self.others
        shape = [self.region.shape[axis] for axis in others]
        for axis, at in zip(others, np.unravel_index(place, shape) if others else (), strict=True):
            start[axis] += int(at)
            stop[axis] = start[axis] + 1
        for axis, (low, high) in zip(self.space, box.tolist(), strict=True):
            start[axis], stop[axis] = start[axis] + low, start[axis] + high
        return Region(tuple(start), tuple(stop))

    def inner(self, block: Region) -> npt.NDArray[np.bool_]:
        """Return on which sides, ``(axis of space, 2)``, the region goes on beyond a block."""
        return np.array(
            [
                (block.start[a] > self.region.start[a], block.stop[a] < self.region.stop[a])
                for a in self.space
            ]
        )
