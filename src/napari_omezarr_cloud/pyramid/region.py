"""Regions of a level: half-open boxes of voxels, and the chunks they touch. Pure arithmetic."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import RegionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Index", "Region", "chunk_region", "chunks_touching"]

Index = tuple[int, ...]
"""Position of a chunk in a level's chunk grid."""


@dataclass(frozen=True)
class Region:
    """A half-open box, ``start`` to ``stop``, in voxels of one level, axis order of that level."""

    start: tuple[int, ...]
    stop: tuple[int, ...]

    @classmethod
    def whole(cls, shape: Sequence[int]) -> Region:
        """Return the region that covers an array of this shape."""
        return cls((0,) * len(shape), tuple(shape))

    @classmethod
    def from_slices(cls, slices: Sequence[slice | int], shape: Sequence[int]) -> Region:
        """Return the box of a numpy-style index without steps; integers keep their axis.

        Raises
        ------
        RegionError
            If the index has another number of axes, a step, or leaves the array.
        """
        if len(slices) != len(shape):
            raise RegionError(
                "Could not take the region",
                why=f"it has {len(slices)} axes, the image has {len(shape)}",
            )
        start, stop = [], []
        for part, size in zip(slices, shape, strict=True):
            if isinstance(part, slice):
                low, high, step = part.indices(size)
                if step != 1:
                    raise RegionError("Could not take the region", why="it has a step")
            else:
                low = part + size if part < 0 else part
                high = low + 1
                if not 0 <= low < size:
                    raise RegionError(
                        "Could not take the region", why=f"index {part} leaves an axis of {size}"
                    )
            start.append(low)
            stop.append(max(low, high))
        return cls(tuple(start), tuple(stop))

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels per axis."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def size(self) -> int:
        """Number of voxels."""
        product = 1
        for n in self.shape:
            product *= n
        return product

    @property
    def slices(self) -> tuple[slice, ...]:
        """The box as an index into the level."""
        return tuple(map(slice, self.start, self.stop))

    @property
    def is_empty(self) -> bool:
        """Whether there is no voxel in it."""
        return any(n <= 0 for n in self.shape)

    def within(self, shape: Sequence[int]) -> Region:
        """Return the part that lies inside an array of this shape."""
        return self.intersect(Region.whole(shape))

    def intersect(self, other: Region) -> Region:
        """Return the common part; empty (start == stop) where there is none."""
        start = tuple(map(max, self.start, other.start))
        stop = tuple(map(max, start, map(min, self.stop, other.stop)))
        return Region(start, stop)

    def union(self, other: Region) -> Region:
        """Return the smallest box that holds both."""
        return Region(
            tuple(map(min, self.start, other.start)), tuple(map(max, self.stop, other.stop))
        )

    def grow(self, margin: Sequence[int]) -> Region:
        """Return the box with ``margin`` voxels more on each side; it may leave the array."""
        return Region(
            tuple(a - m for a, m in zip(self.start, margin, strict=True)),
            tuple(b + m for b, m in zip(self.stop, margin, strict=True)),
        )

    def along(self, axes: Sequence[int], other: Region) -> Region:
        """Return the box with the extent of another along some axes."""
        start, stop = list(self.start), list(self.stop)
        for axis in axes:
            start[axis], stop[axis] = other.start[axis], other.stop[axis]
        return Region(tuple(start), tuple(stop))

    def relative_to(self, outer: Region) -> tuple[slice, ...]:
        """Return this box as slices into an array that holds ``outer``."""
        return tuple(
            slice(a - o, b - o) for a, b, o in zip(self.start, self.stop, outer.start, strict=True)
        )


def chunk_region(index: Index, chunks: Sequence[int], shape: Sequence[int]) -> Region:
    """Return the voxels of one chunk, cut at the array's edge."""
    start = tuple(i * c for i, c in zip(index, chunks, strict=True))
    stop = tuple(min(a + c, n) for a, c, n in zip(start, chunks, shape, strict=True))
    return Region(start, stop)


def chunks_touching(region: Region, chunks: Sequence[int]) -> Iterator[Index]:
    """Yield the grid positions of the chunks that a region touches, in C order."""
    if region.is_empty:
        return
    ranges = (
        range(a // c, (b - 1) // c + 1)
        for a, b, c in zip(region.start, region.stop, chunks, strict=True)
    )
    yield from itertools.product(*ranges)
