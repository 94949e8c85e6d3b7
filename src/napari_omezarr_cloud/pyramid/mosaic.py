"""A mosaic: an image whose voxels are those of many images, each in its cell of a grid.

Nothing of a tile is asked for until one of its voxels is. What is not there is blank.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_omezarr_cloud.errors import ChunkError, MetadataError
from napari_omezarr_cloud.ngff.values import listed
from napari_omezarr_cloud.pyramid.cells import CellAxis, cell_axis, cell_of
from napari_omezarr_cloud.pyramid.level import (
    ABSENT,
    Absent,
    Chunk,
    Grid,
    Level,
    Pyramid,
    Runner,
    new_key,
)
from napari_omezarr_cloud.pyramid.mosaic_place import MosaicPlace, level_again
from napari_omezarr_cloud.pyramid.region import Region
from napari_omezarr_cloud.pyramid.thinned import thinned
from napari_omezarr_cloud.pyramid.transform import Transform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.pyramid.region import Index

__all__ = ["MosaicLevel", "MosaicNotes", "Tile", "Tiles", "lay_out", "plane_axes"]


class Tile(Protocol):
    """An image of a mosaic that is opened when it is first needed."""

    name: str
    """What notes call it."""

    async def level(self, number: int) -> tuple[tuple[str, ...], Level] | None:
        """Return the names of the axes and the level to show on this level of the mosaic.

        None: the tile is not there, and blank. On the I/O loop.
        """
        ...

    async def is_other(self) -> bool:
        """Tell whether the level given was a guess that was wrong; from now on it is the right one.

        Asked where a chunk of it cannot be had.
        """
        ...


Tiles = Callable[[tuple[int, int]], "Tile | None"]


class MosaicNotes:
    """What was seen of tiles after the mosaic was opened: which of them are odd in which way."""

    def __init__(self) -> None:
        self._tiles: dict[str, dict[str, None]] = {}

    def add(self, trouble: str, tile: str) -> None:
        """Remember that a tile is odd, once."""
        self._tiles.setdefault(trouble, {})[tile] = None

    @property
    def sentences(self) -> tuple[str, ...]:
        """One for each way of being odd."""
        return tuple(f"{trouble}: {listed(tiles)}." for trouble, tiles in self._tiles.items())


class MosaicLevel:
    """One resolution of a mosaic."""

    def __init__(
        self,
        number: int,
        tiles: Tiles,
        model: Pyramid,
        cells: tuple[CellAxis, CellAxis],
        counts: tuple[int, int],
        origin: tuple[float, float],
        notes: MosaicNotes,
        place: MosaicPlace,
        label: str | None,
    ) -> None:
        """Lay out tiles.

        Parameters
        ----------
        number
            Which level.
        tiles
            (row, column) → tile, or None: the cell is blank.
        model
            Gives the axes, dtype, and extent along all axes but y and x.
        cells
            Along y and x.
        counts
            Rows and columns.
        origin
            What is taken from the translation of y and x.
        notes
            Takes what is seen of tiles.
        place
            Where all tiles lie somewhere below.
        label
            Name of the label image that they are of their fields; None: they are these.
        """
        self.key = new_key()
        self._number, self._tiles, self._cells, self._notes = number, tiles, cells, notes
        self._place, self._label = place, label
        self._axes = tuple(axis.name for axis in model.axes)
        self._at = plane_axes(model)
        own = model.levels[number]
        self.name = f"level {number}"
        shape, chunks = list(own.grid.shape), list(own.grid.chunks)
        scale = list(own.transform.scale)
        shift = list(own.transform.translation)
        for axis, count, position, start in zip(cells, counts, self._at, origin, strict=True):
            shape[position] = axis.pitches[number] * count
            chunks[position] = axis.chunks[number]
            scale[position] = axis.scales[number]
            shift[position] -= start
        self.grid = Grid(tuple(shape), tuple(chunks), own.grid.dtype, _blank(own.grid))
        self.transform = Transform(tuple(scale), tuple(shift))
        # Chunks that are put together of a tile's are cheaper to lose than those, which are kept.
        self.is_derived = any(axis.chunks[number] < axis.pitches[number] for axis in cells)

    def __reduce__(self) -> tuple[Any, ...]:
        return level_again, (self._place, self._label, self._number, self.grid.shape)

    @property
    def places(self) -> frozenset[Location]:
        """Where its chunks come from."""
        return frozenset((self._place.location,))

    def jobs(self, indices: Sequence[Index]) -> Iterable[tuple[Index, ...]]:
        """Take each chunk by itself."""
        return ((index,) for index in indices)

    async def produce(self, indices: tuple[Index, ...], runner: Runner) -> Mapping[Index, Chunk]:
        """Produce these chunks; awaits on the loop."""
        chunks = await asyncio.gather(*(self._produce(index, runner) for index in indices))
        return dict(zip(indices, chunks, strict=True))

    async def _produce(self, index: Index, runner: Runner) -> Chunk:
        cell, inside = cell_of(self._cells, self._number, self.grid.region_of(index), self._at)
        tile = self._tiles((cell[0], cell[1]))
        found = None if tile is None else await tile.level(self._number)
        if tile is None or found is None:
            return ABSENT
        try:
            return await self._taken(tile, inside, *found, runner)
        except ChunkError:
            if not await tile.is_other():
                raise
        found = await tile.level(self._number)
        return ABSENT if found is None else await self._taken(tile, inside, *found, runner)

    async def _taken(
        self, tile: Tile, inside: Region, axes: tuple[str, ...], level: Level, runner: Runner
    ) -> Chunk:
        """Return a region of a cell from the level of its tile."""
        self._look_at(tile.name, axes, level)
        part, source = self._part(inside, axes, level)
        if part.is_empty:
            return ABSENT
        pixels = await self._pixels(level, source, runner)
        if isinstance(pixels, Absent):
            return ABSENT
        return await runner.decode(self._pasted, pixels, axes, inside, part)  # type: ignore[no-any-return]

    async def _pixels(self, level: Level, source: Region, runner: Runner) -> Chunk:
        """Return a region of a tile; where it is one of its chunks, without a copy."""
        grid = level.grid
        index = tuple(a // c for a, c in zip(source.start, grid.chunks, strict=True))
        if grid.region_of(index) != source:
            return await runner.region(level, source)
        chunk = (await level.produce((index,), runner))[index]
        if not isinstance(chunk, Absent):
            return chunk
        is_blank = np.array_equal(grid.fill_value, self.grid.fill_value)
        return chunk if is_blank else np.full(source.shape, grid.fill_value, grid.dtype)

    def _part(self, inside: Region, axes: tuple[str, ...], level: Level) -> tuple[Region, Region]:
        """Return what of a region of the cell the tile has: by our axes, and by its own."""
        sizes = dict(zip(axes, level.grid.shape, strict=True))
        # An axis that the tile does not have: it is the first of it.
        part = inside.within([sizes.get(name, 1) for name in self._axes])
        spans = dict(zip(self._axes, zip(part.start, part.stop, strict=True), strict=True))
        own = [spans.get(name, (0, 1)) for name in axes]
        return part, Region(tuple(a for a, _ in own), tuple(b for _, b in own))

    def _pasted(
        self, pixels: npt.NDArray[Any], axes: tuple[str, ...], inside: Region, part: Region
    ) -> npt.NDArray[Any]:
        dtype = self.grid.dtype
        pixels = pixels[tuple(slice(None) if name in self._axes else 0 for name in axes)]
        kept = [name for name in axes if name in self._axes]
        order = sorted(range(len(kept)), key=lambda i: self._axes.index(kept[i]))
        pixels = pixels.transpose(order)
        missing = [i for i, name in enumerate(self._axes) if name not in kept]
        pixels = np.expand_dims(pixels, missing)
        if pixels.dtype == dtype and part == inside:
            whole = pixels
        else:
            whole = np.full(inside.shape, self.grid.fill_value, dtype)
            whole[part.relative_to(inside)] = _as_type(pixels, dtype)
        whole.flags.writeable = False
        return whole

    def _look_at(self, name: str, axes: tuple[str, ...], level: Level) -> None:
        grid = level.grid
        sizes = dict(zip(axes, grid.shape, strict=True))
        for axis, position in zip(self._cells, self._at, strict=True):
            if sizes.get(self._axes[position], 1) > axis.pitches[self._number]:
                self._notes.add("Larger than their place here, and cut", name)
        rest = [n for i, n in enumerate(self._axes) if i not in self._at]
        own = dict(zip(self._axes, self.grid.shape, strict=True))
        more = [n for n in rest if sizes.get(n, 1) > own[n]]
        more += [n for n in axes if n not in self._axes and sizes[n] > 1]
        for axis_name in more:
            self._notes.add(f"More along {axis_name} than the first, and cut there", name)
        if not np.can_cast(grid.dtype, self.grid.dtype):
            trouble = f"Shown as {self.grid.dtype}, as the first is, though they are {grid.dtype}"
            self._notes.add(trouble, name)


def _blank(grid: Grid) -> Any:
    """Return the value of what is not there: what a tile is filled with may look like an image."""
    is_nan = grid.dtype.kind in "fc" and np.isnan(grid.fill_value)
    return grid.fill_value if is_nan else grid.dtype.type(0)


def _as_type(pixels: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return values in another type; what it cannot hold becomes its nearest."""
    if np.can_cast(pixels.dtype, dtype):
        return pixels
    if pixels.dtype.kind == "c" and dtype.kind != "c":
        pixels = np.abs(pixels)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if pixels.dtype.kind == "f":
            pixels = np.nan_to_num(np.rint(pixels), posinf=limits.max, neginf=limits.min)
        elif pixels.dtype.kind == "b":
            return pixels.astype(dtype)
        low = pixels < limits.min
        high = pixels > limits.max
        with np.errstate(invalid="ignore"):
            converted = pixels.astype(dtype)
        converted[low] = limits.min
        converted[high] = limits.max
        return converted
    with np.errstate(over="ignore"):
        return pixels.astype(dtype)


def plane_axes(pyramid: Pyramid) -> tuple[int, int]:
    """Return the positions of y and x: by name, else the last two.

    Raises
    ------
    MetadataError
        If there are fewer than two axes.
    """
    if pyramid.ndim < 2:
        raise MetadataError(
            "Could not lay out the images",
            where=pyramid.source,
            why="they have one axis, and a plane needs two",
        )
    y, x = pyramid.axis("y"), pyramid.axis("x")
    return (pyramid.ndim - 2, pyramid.ndim - 1) if y is None or x is None else (y, x)


def lay_out(
    tiles: Tiles,
    model: Pyramid,
    counts: tuple[int, int],
    *,
    place: MosaicPlace,
    label: str | None = None,
    at_least: tuple[int, int] = (0, 0),
    beside: Pyramid | None = None,
    over: Pyramid | None = None,
    notes: MosaicNotes | None = None,
) -> Pyramid:
    """Return the mosaic of tiles as a pyramid.

    Parameters
    ----------
    tiles
        (row, column) → tile, always the same, asked for when one of its voxels is; None: the cell
        is blank.
    model
        Pyramid of one of them, which gives levels, axes, dtype and size of the cells.
    counts
        Rows and columns.
    place
        Where all tiles lie somewhere below: of the plate, or well.
    label
        Name of the label image of the fields that the tiles are; None: they are the fields.
    at_least
        Voxels along y and x of level 0 that a cell must hold; smaller tiles lie at its corner.
    beside, over
        The model and the mosaic of the images that these are label images of: their cells are as
        long.
    notes
        Takes what is seen of tiles later.

    Returns
    -------
    Pyramid
        The first voxel of the cell (0, 0) is at the origin of y and x. A rotation of the tiles is
        left out. Where all cells together are large even on the coarsest level of the tiles,
        thinned levels follow.
    """
    notes = notes or MosaicNotes()
    at = plane_axes(model)
    axes = []
    origin = _plane(model if beside is None else beside, "translation")
    for n, (position, least) in enumerate(zip(at, at_least, strict=True)):
        scales = [level.transform.scale[position] for level in model.levels]
        sizes = [
            max(level.grid.shape[position], math.ceil(least * scales[0] / scale))
            for level, scale in zip(model.levels, scales, strict=True)
        ]
        chunks = [level.grid.chunks[position] for level in model.levels]
        length = None if over is None else _plane(over, "scale")[n] * _extent(over, n) / counts[n]
        axes.append(cell_axis(sizes, chunks, scales, length))
    cells = (axes[0], axes[1])
    stored = [
        MosaicLevel(number, tiles, model, cells, counts, origin, notes, place, label)
        for number in range(len(model.levels))
    ]
    return Pyramid(
        model.axes,
        thinned(stored, cells, at, takes_mean=over is None),
        model.name,
        model.notes,
        model.source,
        kept=(*model.kept, model),
    )


def _plane(pyramid: Pyramid, what: str) -> tuple[float, float]:
    y, x = plane_axes(pyramid)
    values = getattr(pyramid.levels[0].transform, what)
    return values[y], values[x]


def _extent(pyramid: Pyramid, n: int) -> int:
    return pyramid.levels[0].grid.shape[plane_axes(pyramid)[n]]
