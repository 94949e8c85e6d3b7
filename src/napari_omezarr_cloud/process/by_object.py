"""Steps that give each object one value by what is known of all of it, block by block.

First all blocks are gone through, and what they say of the objects is put together; then each block
is looked up in that. So what a step keeps, counts or paints is what it would be on the whole array,
wherever the blocks end. Memory goes by the number of objects.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.process.block_grid import BlockGrid
from napari_omezarr_cloud.process.tally import Tally, TallyOfBlocks, Wanted, tally_block
from napari_omezarr_cloud.pyramid import Region

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_omezarr_cloud.process.computation import Computer
    from napari_omezarr_cloud.process.derived import DerivedLevel

__all__ = ["ObjectTables"]

_Array = npt.NDArray[Any]
_Table = dict[int, tuple[_Array, _Array]]
"""By place: numbers of objects, ascending, and the value of each."""

_VOXELS = 1 << 22
"""Of a block that is gone through."""
_TABLES = 64
"""Slabs of which is remembered what is in them: blocks come one after the other."""


class ObjectTables:
    """What steps know of objects; used on the loop.

    Parameters
    ----------
    reader
        Gives voxels, and computes.
    is_sample
        Whether only what is asked for is gone through: for an estimate, which must not read all.
    """

    def __init__(self, reader: Computer, *, is_sample: bool = False) -> None:
        self._reader = reader
        self._is_sample = is_sample
        self._tables: OrderedDict[tuple[object, Region], asyncio.Future[_Table]] = OrderedDict()

    async def region(self, level: DerivedLevel, region: Region) -> _Array:
        """Return a region of a level whose function has ``object_values``."""
        result = np.empty(region.shape, level.grid.dtype)
        for slab in _slabs(level, region):
            part = region.intersect(slab)
            around = part if self._is_sample else slab
            table = await self._table(level, around)
            computation = level.computation
            labels = await level.sources[0].pixels(part, computation.transform, self._reader)
            found = await self._reader.compute(
                _looked_up, labels, level.compute.space, part, around, table, result.dtype
            )
            result[part.relative_to(region)] = found
        return result

    async def _table(self, level: DerivedLevel, slab: Region) -> _Table:
        key = (level.key, slab)
        future = self._tables.get(key)
        if future is None or (future.done() and (future.cancelled() or future.exception())):
            future = self._tables[key] = asyncio.ensure_future(self._filled(level, slab))
            while len(self._tables) > _TABLES:
                self._tables.popitem(last=False)
        self._tables.move_to_end(key)
        return await asyncio.shield(future)

    async def _filled(self, level: DerivedLevel, slab: Region) -> _Table:
        chunks, space = level.stored_chunks, level.compute.space
        grid = BlockGrid.of(slab, chunks, space, _VOXELS, is_thick=True)
        found, blocks = TallyOfBlocks(), grid.blocks()
        while batch := list(itertools.islice(blocks, os.cpu_count() or 1)):
            for tallies in await asyncio.gather(*(self._tallies(level, grid, b) for b in batch)):
                for each in tallies:
                    found.add(each)
        tally = found.tally
        if tally is None:
            return {}
        rule = level.compute.object_values
        assert rule is not None  # noqa: S101 (for the type checker)
        shape = [slab.shape[axis] for axis in level.compute.space]
        table = {}
        for place in np.unique(tally.places).tolist():
            own = tally.at(place)
            table[place] = own.numbers, rule(own, shape)
        return table

    async def _tallies(self, level: DerivedLevel, grid: BlockGrid, block: Region) -> list[Tally]:
        transform = level.computation.transform
        arrays = await asyncio.gather(
            *(source.pixels(block, transform, self._reader) for source in level.sources)
        )
        found: list[Tally] = await self._reader.compute(_tallied, arrays, grid, block)
        return found


def _slabs(level: DerivedLevel, region: Region) -> Iterator[Region]:
    """Yield what holds a region: all along space, along other axes what is read in one go."""
    shape, chunks = level.grid.shape, level.stored_chunks
    others = [a for a in range(len(shape)) if a not in level.compute.space]
    ranges = [
        range(region.start[a] - region.start[a] % chunks[a], region.stop[a], chunks[a])
        for a in others
    ]
    for starts in itertools.product(*ranges):
        start, stop = [0] * len(shape), list(shape)
        for axis, at in zip(others, starts, strict=True):
            start[axis], stop[axis] = at, min(at + chunks[axis], shape[axis])
        yield Region(tuple(start), tuple(stop))


def _places(part: Region, slab: Region, others: Sequence[int]) -> _Array:
    """Return the number of each position of a part along the other axes, as their shape."""
    if not others:
        return np.zeros((), np.int64)
    at = np.ix_(*(np.arange(part.start[a], part.stop[a]) - slab.start[a] for a in others))
    return np.ravel_multi_index(at, [slab.shape[axis] for axis in others])


def _others_first(array: _Array, space: Sequence[int]) -> tuple[_Array, list[int]]:
    others = [axis for axis in range(array.ndim) if axis not in space]
    return np.moveaxis(array, others, range(len(others))), others


def _tallied(arrays: Sequence[_Array], grid: BlockGrid, block: Region) -> list[Tally]:
    """Return what a block says of the objects in it, at each place."""
    labels, others = _others_first(arrays[0], grid.space)
    images = [_others_first(each, grid.space)[0] for each in arrays[1:]]
    wanted = Wanted((1.0,) * len(grid.space), moments=False)
    origin = [block.start[axis] - grid.region.start[axis] for axis in grid.space]
    places = _places(block, grid.region, others)
    found = []
    for index in np.ndindex(places.shape):
        tally = tally_block(
            labels[index],
            {str(number): image[index] for number, image in enumerate(images)},
            wanted,
            place=int(places[index]),
            origin=origin,
            inner=grid.inner(block),
        )
        if tally is not None:
            found.append(tally)
    return found


def _looked_up(
    labels: _Array,
    space: Sequence[int],
    part: Region,
    slab: Region,
    table: _Table,
    dtype: np.dtype[Any],
) -> _Array:
    """Return the values of the objects of a part, 0 where there is none."""
    result = np.zeros(labels.shape, dtype)
    ours, others = _others_first(labels, space)
    out, _ = _others_first(result, space)
    places = _places(part, slab, others)
    for index in np.ndindex(places.shape):
        known = table.get(int(places[index]))
        if known is None:
            continue
        numbers, values = known
        at = np.minimum(np.searchsorted(numbers, ours[index]), len(numbers) - 1)
        out[index] = np.where(numbers[at] == ours[index], values[at], 0)
    return result
