"""Painting a region from what is in memory: exact where it is here, a coarser level elsewhere.

Neither waits nor asks for anything. Levels are related by their transforms, so a stand-in lies
where its voxels lie, whatever the shapes' ratios.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.pyramid import Absent, Index, Level, Region

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_omezarr_cloud.chunks.cache import ChunkCache

__all__ = ["Peeked", "chunk_count", "nearest_chunks", "peek"]

Array = npt.NDArray[Any]

_MANY = 1 << 14
"""Chunks in one region beyond which those in memory are looked through, not those in the region."""


@dataclass
class Peeked:
    """What :func:`peek` found."""

    pixels: Array
    """The whole region; stand-ins and fill values where the level itself is not here."""
    missing: int = 0
    """How many chunks of the level itself are not here."""

    @property
    def is_exact(self) -> bool:
        """Whether every voxel is the level's own."""
        return self.missing == 0


def peek(
    cache: ChunkCache,
    levels: Sequence[Level],
    number: int,
    region: Region,
    stride: Sequence[int] | None = None,
) -> Peeked:
    """Return a region of ``levels[number]`` as far as it is in memory.

    Parameters
    ----------
    cache
        Where chunks are looked up.
    levels
        All levels of the pyramid, fine to coarse.
    number
        Which of them.
    region
        In voxels of that level, inside it.
    stride
        Take every n-th voxel per axis, from the region's start on; all of them if None. For levels
        that are too large to be shown as they are.
    """
    level = levels[number]
    raster = _Raster(region, tuple(stride or (1,) * len(region.start)))
    found = Peeked(np.empty(raster.shape, level.grid.dtype))
    stand_in = _StandIn(cache, levels, number)
    total = chunk_count(region, level.grid.chunks)
    indices: Iterable[Index] = level.grid.touching(region)
    if total > _MANY:
        # Too many to visit: everything stands in, then what is here is painted over it.
        stand_in.paint(found.pixels, raster.positions())
        indices = cache.indices(level.key)
        found.missing = total
    for index in indices:
        whole = level.grid.region_of(index)
        part = whole.intersect(region)
        if part.is_empty:
            continue
        spans = raster.spans(part)
        target = found.pixels[spans]
        chunk = cache.get(level.key, index)
        if chunk is None:
            if total <= _MANY:
                found.missing += 1
                stand_in.paint(target, raster.positions(spans))
            continue
        found.missing -= total > _MANY
        if isinstance(chunk, Absent):
            target[...] = level.grid.fill_value
        else:
            target[...] = chunk[raster.inside(whole, spans)]
    return found


def chunk_count(region: Region, chunks: Sequence[int]) -> int:
    """Return how many chunks a region touches, without visiting them."""
    if region.is_empty:
        return 0
    spans = zip(region.start, region.stop, chunks, strict=True)
    return math.prod((b - 1) // c - a // c + 1 for a, b, c in spans)


def nearest_chunks(region: Region, chunks: Sequence[int], most: int) -> Array:
    """Return the chunks of a region around its middle, nearest first.

    Parameters
    ----------
    region
        In voxels.
    chunks
        Voxels per chunk and axis.
    most
        No more chunks than this, and no more are visited than a few times as many.

    Returns
    -------
    ndarray of int, shape (n, ndim + 1)
        Chunk indices, and in the last column the distance to the middle in voxels.
    """
    first = [a // c for a, c in zip(region.start, chunks, strict=True)]
    last = [(b - 1) // c + 1 for b, c in zip(region.stop, chunks, strict=True)]
    if region.is_empty:
        return np.zeros((0, len(first) + 1), np.intp)
    while math.prod(b - a for a, b in zip(first, last, strict=True)) > 4 * most:
        widest = max(range(len(first)), key=lambda axis: last[axis] - first[axis])
        margin = max(1, (last[widest] - first[widest]) // 8)
        first[widest] += margin
        last[widest] -= margin
    grid = np.indices([b - a for a, b in zip(first, last, strict=True)]).reshape(len(first), -1).T
    grid += first
    middle = np.add(region.start, region.stop) / 2
    distance = np.linalg.norm((grid + 0.5) * chunks - middle, axis=1)
    order = np.argsort(distance, kind="stable")[:most]
    return np.column_stack([grid[order], distance[order].astype(np.intp)])


@dataclass(frozen=True)
class _Raster:
    """The voxels of a region that are taken: every n-th along each axis."""

    region: Region
    stride: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(-(-n // s) for n, s in zip(self.region.shape, self.stride, strict=True))

    def spans(self, part: Region) -> tuple[slice, ...]:
        """Return where a part of the region lies in the raster."""
        return tuple(
            slice(-(-(a - o) // s), -(-(b - o) // s))
            for a, b, o, s in zip(
                part.start, part.stop, self.region.start, self.stride, strict=True
            )
        )

    def inside(self, whole: Region, spans: Sequence[slice]) -> tuple[slice, ...]:
        """Return the voxels of a span as an index into an array that holds ``whole``."""
        return tuple(
            slice(o + span.start * s - a, max(o + (span.stop - 1) * s - a + 1, 0), s)
            for span, o, s, a in zip(
                spans, self.region.start, self.stride, whole.start, strict=True
            )
        )

    def positions(self, spans: Sequence[slice] | None = None) -> list[npt.NDArray[np.intp]]:
        """Return the voxels of a span of the raster, per axis, in voxels of the level."""
        if spans is None:
            spans = [slice(0, n) for n in self.shape]
        return [
            o + s * np.arange(span.start, span.stop)
            for span, o, s in zip(spans, self.region.start, self.stride, strict=True)
        ]


class _StandIn:
    """Fills a hole of one level from the finest coarser level that is here, part by part."""

    def __init__(self, cache: ChunkCache, levels: Sequence[Level], number: int) -> None:
        self._cache = cache
        self._levels = levels
        self._fine = levels[number]
        self._number = number

    def paint(self, target: Array, positions: Sequence[npt.NDArray[np.intp]]) -> None:
        """Fill ``target``, whose pixels are the fine level's voxels at these positions."""
        if target.size:
            self._paint(target, positions, self._number + 1)

    def _paint(self, target: Array, positions: Sequence[npt.NDArray[np.intp]], number: int) -> None:
        if number == len(self._levels):
            target[...] = self._fine.grid.fill_value
            return
        coarse = self._levels[number]
        to_coarse = self._fine.transform.to(coarse.transform)
        rows = [
            to_coarse.nearest(axis, where, size)
            for axis, (where, size) in enumerate(zip(positions, coarse.grid.shape, strict=True))
        ]
        for index, spans in _by_chunk(rows, coarse.grid.chunks):
            window = target[spans]
            chunk = self._cache.get(coarse.key, index)
            if chunk is None:
                deeper = [where[span] for where, span in zip(positions, spans, strict=True)]
                self._paint(window, deeper, number + 1)
            elif isinstance(chunk, Absent):
                window[...] = coarse.grid.fill_value
            else:
                local = [
                    row[span] - i * c
                    for row, span, i, c in zip(rows, spans, index, coarse.grid.chunks, strict=True)
                ]
                window[...] = _take(chunk, local)


def _by_chunk(
    rows: Sequence[npt.NDArray[np.intp]], chunks: Sequence[int]
) -> list[tuple[Index, tuple[slice, ...]]]:
    """Cut a grid of coarse positions at chunk borders: (chunk index, slices of the fine part)."""
    pieces: list[tuple[Index, tuple[slice, ...]]] = [((), ())]
    for row, size in zip(rows, chunks, strict=True):
        owner = row // size
        cuts = [0, *(np.flatnonzero(np.diff(owner)) + 1).tolist(), len(row)]
        axis = [(int(owner[a]), slice(a, b)) for a, b in itertools.pairwise(cuts)]
        pieces = [((*i, n), (*s, span)) for i, s in pieces for n, span in axis]
    return pieces


def _take(chunk: Array, local: Sequence[npt.NDArray[np.intp]]) -> Array:
    """Repeat a chunk's voxels to a finer grid, axis by axis.

    What shrinks goes first. Of what grows, the last axis: its voxels are gathered one by one, while
    it is small; those of the axes before it are copied in runs.
    """
    for axis in sorted(range(chunk.ndim), key=lambda a: (len(local[a]) > chunk.shape[a], -a)):
        places = local[axis]
        if len(places) == 1:
            chunk = chunk[(slice(None),) * axis + (slice(places[0], places[0] + 1),)]
        else:
            chunk = chunk.take(places, axis=axis)
    return chunk
