"""Painting a region from what is in memory: exact where it is here, a coarser level elsewhere.

Neither waits nor asks for anything. Levels are related by their transforms, so a stand-in lies
where its voxels lie, whatever the shapes' ratios.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.pyramid import Absent, Index, Level, Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.chunks.cache import ChunkCache

__all__ = ["Peeked", "peek"]

Array = npt.NDArray[Any]


@dataclass
class Peeked:
    """What :func:`peek` found."""

    pixels: Array
    """The whole region; stand-ins and fill values where the level itself is not here."""
    missing: list[Index] = field(default_factory=list)
    """Chunks of the level itself that are not here."""

    @property
    def is_exact(self) -> bool:
        return not self.missing


def peek(cache: ChunkCache, levels: Sequence[Level], number: int, region: Region) -> Peeked:
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
    """
    level = levels[number]
    found = Peeked(np.empty(region.shape, level.grid.dtype))
    for index in level.grid.touching(region):
        part = level.grid.region_of(index).intersect(region)
        target = found.pixels[part.relative_to(region)]
        chunk = cache.get(level.key, index)
        if chunk is None:
            found.missing.append(index)
            _StandIn(cache, levels, number).paint(target, part)
        elif isinstance(chunk, Absent):
            target[...] = level.grid.fill_value
        else:
            target[...] = chunk[part.relative_to(level.grid.region_of(index))]
    return found


class _StandIn:
    """Fills a hole of one level from the finest coarser level that is here, part by part."""

    def __init__(self, cache: ChunkCache, levels: Sequence[Level], number: int) -> None:
        self._cache = cache
        self._levels = levels
        self._fine = levels[number]
        self._number = number

    def paint(self, target: Array, part: Region) -> None:
        self._paint(target, part, self._number + 1)

    def _paint(self, target: Array, part: Region, number: int) -> None:
        if number == len(self._levels):
            target[...] = self._fine.grid.fill_value
            return
        coarse = self._levels[number]
        to_coarse = self._fine.transform.to(coarse.transform)
        rows = [
            to_coarse.nearest(axis, a, b, size)
            for axis, (a, b, size) in enumerate(
                zip(part.start, part.stop, coarse.grid.shape, strict=True)
            )
        ]
        for index, spans in _by_chunk(rows, coarse.grid.chunks):
            window = target[spans]
            chunk = self._cache.get(coarse.key, index)
            if chunk is None:
                offset = tuple(a + s.start for a, s in zip(part.start, spans, strict=True))
                stop = tuple(a + s.stop for a, s in zip(part.start, spans, strict=True))
                self._paint(window, Region(offset, stop), number + 1)
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
        axis = [
            (int(owner[a]), slice(a, b)) for a, b in zip(cuts[:-1], cuts[1:], strict=True) if a < b
        ]
        pieces = [((*i, n), (*s, span)) for i, s in pieces for n, span in axis]
    return pieces


def _take(chunk: Array, local: Sequence[npt.NDArray[np.intp]]) -> Array:
    """Repeat a chunk's voxels to a finer grid, axis by axis (smallest results first)."""
    for axis in sorted(range(chunk.ndim), key=lambda a: len(local[a]) / chunk.shape[a]):
        places = local[axis]
        if len(places) == 1:
            chunk = chunk[(slice(None),) * axis + (slice(places[0], places[0] + 1),)]
        else:
            chunk = chunk.take(places, axis=axis)
    return chunk
