"""Levels of a mosaic that its tiles do not have: so thin that a whole plate fits on a screen.

A plate of 1536 wells whose coarsest level has 512² voxels is a picture of 400 megapixels. Each
thinned level halves the cells of the one before; what is kept in memory of a well that is seen from
afar is a few kilobytes, computed from its chunk as that comes, which is then let go.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.pyramid.level import ABSENT, Chunk, Grid, Level, Runner, new_key
from napari_omezarr_cloud.pyramid.region import Region
from napari_omezarr_cloud.pyramid.transform import Transform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.pyramid.cells import CellAxis
    from napari_omezarr_cloud.pyramid.region import Index

__all__ = ["ThinnedLevel", "thinned"]

_LONGEST = 2048
"""Voxels along the longer side of a mosaic's coarsest level, if its cells can be that small."""
_SMALLEST = 16
"""Voxels along the shorter side of a cell."""


def thinned(
    levels: Sequence[Level],
    cells: tuple[CellAxis, CellAxis],
    at: tuple[int, int],
    *,
    takes_mean: bool,
) -> tuple[Level, ...]:
    """Return the levels of a mosaic, followed by thinned ones until it fits on a screen.

    Parameters
    ----------
    levels
        Of the tiles, fine to coarse.
    cells
        Along y and x, for these levels.
    at
        Positions of y and x among the axes.
    takes_mean
        Whether voxels become their mean; else one of them stands for all, as labels need it.
    """
    all_levels = list(levels)
    pitches = tuple(axis.pitches[-1] for axis in cells)
    parts = tuple(axis.pitches[-1] // axis.chunks[-1] for axis in cells)
    while _is_large(all_levels[-1].grid, at) and min(pitches) >= 2 * _SMALLEST:
        coarse = tuple(-(-pitch // 2) for pitch in pitches)
        parts = tuple(_divisor(part // 2, pitch) for part, pitch in zip(parts, coarse, strict=True))
        level = ThinnedLevel(
            all_levels[-1],
            at,
            pitches,
            coarse,
            parts,
            takes_mean,
            is_first=len(all_levels) == len(levels),
        )
        all_levels.append(level)
        pitches = coarse
    return tuple(all_levels)


def _is_large(grid: Grid, at: tuple[int, int]) -> bool:
    return max(grid.shape[axis] for axis in at) > _LONGEST


def _divisor(parts: int, pitch: int) -> int:
    """Return into how many parts a cell can be cut, at most ``parts``, a power of two."""
    while parts > 1 and pitch % parts:
        parts //= 2
    return max(1, parts)


class ThinnedLevel:
    """A level of a mosaic with about half as many voxels per cell, along y and x, as another."""

    # Cheaper to keep than to fetch again what it was computed from.
    is_derived = False

    def __init__(
        self,
        source: Level,
        at: tuple[int, int],
        pitches: tuple[int, ...],
        coarse: tuple[int, ...],
        parts: tuple[int, ...],
        takes_mean: bool,
        *,
        is_first: bool,
    ) -> None:
        """Thin a level.

        Parameters
        ----------
        source
            The level before.
        at
            Positions of y and x among the axes.
        pitches, coarse
            Voxels per cell along y and x: of the source, and of this level.
        parts
            Chunks per cell along y and x.
        takes_mean
            As for `thinned`.
        is_first
            Whether chunks of the source are let go when they have been thinned.
        """
        self.key = new_key()
        self._source, self._at, self._pitches, self._coarse = source, at, pitches, coarse
        self._takes_mean = takes_mean and source.grid.dtype.kind in "iuf"
        self._is_first = is_first
        grid = source.grid
        shape, chunks = list(grid.shape), list(grid.chunks)
        scale, shift = list(source.transform.scale), list(source.transform.translation)
        for axis, fine, voxels, part in zip(at, pitches, coarse, parts, strict=True):
            shape[axis] = grid.shape[axis] // fine * voxels
            chunks[axis] = voxels // part
            shift[axis] += (fine / voxels - 1) / 2 * scale[axis]
            scale[axis] *= fine / voxels
        self.name = f"{source.name}, thinned"
        self.grid = Grid(tuple(shape), tuple(chunks), grid.dtype, grid.fill_value)
        self.transform = Transform(tuple(scale), tuple(shift))

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, key=new_key())

    @property
    def places(self) -> frozenset[Location]:
        """Where its chunks come from."""
        return self._source.places

    def jobs(self, indices: Sequence[Index]) -> Iterable[tuple[Index, ...]]:
        """Take each chunk by itself."""
        return ((index,) for index in indices)

    async def produce(self, indices: tuple[Index, ...], runner: Runner) -> Mapping[Index, Chunk]:
        """Produce these chunks; awaits on the loop."""
        chunks = await asyncio.gather(*(self._produce(index, runner) for index in indices))
        return dict(zip(indices, chunks, strict=True))

    async def _produce(self, index: Index, runner: Runner) -> Chunk:
        wanted = self.grid.region_of(index)
        start, stop = list(wanted.start), list(wanted.stop)
        bins = []
        for axis, fine, voxels in zip(self._at, self._pitches, self._coarse, strict=True):
            cell, first = divmod(wanted.start[axis], voxels)
            last = first + wanted.shape[axis]
            edges = np.arange(first, last + 1) * fine // voxels
            start[axis], stop[axis] = cell * fine + int(edges[0]), cell * fine + int(edges[-1])
            bins.append(edges - edges[0])
        region = Region(tuple(start), tuple(stop))
        # Whole wells, by the hundred, would fill the cache.
        pixels = await runner.region(self._source, region, keep=not self._is_first)
        return await runner.decode(self._thin, pixels, bins)  # type: ignore[no-any-return]

    def _thin(self, pixels: npt.NDArray[Any], bins: Sequence[npt.NDArray[np.intp]]) -> Chunk:
        if np.array_equal(pixels, np.broadcast_to(self.grid.fill_value, pixels.shape)):
            return ABSENT
        if not self._takes_mean:
            for axis, edges in zip(self._at, bins, strict=True):
                pixels = pixels.take((edges[:-1] + edges[1:]) // 2, axis=axis)
        else:
            dtype = pixels.dtype
            total = pixels.astype(np.float32 if dtype.itemsize < 4 else np.float64)
            for axis, edges in zip(self._at, bins, strict=True):
                total = np.add.reduceat(total, edges[:-1], axis=axis)
                sizes = [1] * total.ndim
                sizes[axis] = -1
                total = total / np.diff(edges).reshape(sizes).astype(total.dtype)
            pixels = (total if dtype.kind == "f" else np.rint(total)).astype(dtype)
        pixels.flags.writeable = False
        return pixels
