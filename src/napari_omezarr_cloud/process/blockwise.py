"""Results block by block: each step computed for just the block, with what all of them look around.

A window computes derived levels by chunks, which it may want again. A whole image is computed once:
a block of the last step asks the step before for that block and its halo, and so on down to the
stored voxels, so that no step computes more than is needed and nothing is kept.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process.by_object import ObjectTables
from napari_omezarr_cloud.process.computation import Computation, Computer
from napari_omezarr_cloud.process.derived import DerivedLevel
from napari_omezarr_cloud.pyramid import Level, Region

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from napari_omezarr_cloud.process.computation import Source
    from napari_omezarr_cloud.write.sources import Written

__all__ = ["BLOCK_VOXELS", "BlockReader", "axes_at_once", "check_blocks", "joined_before"]

Array = npt.NDArray[Any]

BLOCK_VOXELS = 1 << 22
"""What is computed in one call: many arrays of it, of float64, fit into memory side by side."""

_WHOLE_BYTES = 1 << 30
"""What is kept of results that cannot be cut: their blocks come one after the other."""


class _Engine(Computer, Protocol):
    async def region(self, level: Level, region: Region, *, keep: bool = True) -> Array: ...


class BlockReader:
    """Gives voxels of levels, those of derived ones block by block; used on the loop.

    Parameters
    ----------
    engine
        Reads what is stored, and computes.
    overlap
        How many voxels around a block steps see that have no finite halo; None: each of them is
        computed for all of its space at once.
    stand_ins
        For an estimate, which reads only what is asked for: what stands for levels that will have
        been written by then. None: it is for no estimate.
    written
        Levels that are not computed, but read from where they were written.
    """

    def __init__(
        self,
        engine: _Engine,
        overlap: int | None = None,
        *,
        stand_ins: dict[tuple[object, Region], Array] | None = None,
        written: Sequence[Written] = (),
    ) -> None:
        self._engine = engine
        self.overlap = overlap
        self._written = {each.level.key: each for each in written}
        self._stand_ins = stand_ins
        self._objects = ObjectTables(self, is_sample=stand_ins is not None)
        self.bytes_read = 0
        """Of stored voxels, so far."""
        self._under_way: dict[tuple[object, Region], asyncio.Future[Array]] = {}
        self._waiting: Counter[tuple[object, Region]] = Counter()
        """How many wait for each of what is under way."""
        self._wholes: OrderedDict[tuple[object, Region], Array] = OrderedDict()

    def sampling(self) -> BlockReader:
        """Return one that reads no more than a block needs, whatever else its objects depend on.

        One of a sample keeps what stands for levels that will have been written.
        """
        stand_ins = {} if self._stand_ins is None else self._stand_ins
        return BlockReader(self._engine, self.overlap, stand_ins=stand_ins)

    def holding(self, written: Sequence[Written]) -> BlockReader:
        """Return one that does not compute these levels, but reads them where they lie."""
        return BlockReader(self._engine, self.overlap, written=written)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reader, (self.overlap, tuple(self._written.values()))

    async def compute(
        self, function: Callable[..., Any], *args: Any, in_process: bool = False
    ) -> Any:
        """Run a pure array function in the compute pool, or in a process."""
        return await self._engine.compute(function, *args, in_process=in_process)

    async def block(self, level: Level, region: Region) -> Array:
        """Return a region of what is written: objects in it numbered for themselves alone."""
        if not isinstance(level, DerivedLevel):
            return await self.region(level, region)
        compute = level.compute
        if compute.connectivity is not None:
            alone = replace(compute, halo=(0,) * level.computation.grid.ndim)
            return await Computation(level.sources, alone).run(region, self, patch=False)
        pieces = list(_pieces(level, region))
        if len(pieces) == 1:
            return await self.region(level, region)
        result = np.empty(region.shape, level.grid.dtype)
        for piece in pieces:
            result[piece.relative_to(region)] = await self.region(level, piece)
        return result

    async def region(self, level: Level, region: Region) -> Array:
        """Return exact voxels of a level; what several steps ask for at once comes once."""
        if not isinstance(level, DerivedLevel):
            pixels = await self._engine.region(level, region, keep=False)
            self.bytes_read += pixels.nbytes
            return pixels
        if level.key in self._written:
            return await self._read(self._written[level.key], region)
        if self._stand_ins is not None and _must_be_joined(level, self.overlap):
            key = (level.key, region)
            if key not in self._stand_ins:
                self._stand_ins[key] = await self.sampling().block(level, region)
            self.bytes_read += self._stand_ins[key].nbytes
            return self._stand_ins[key]
        wanted = _with_colours(level, region)
        if level.compute.object_values is not None:
            result = await self._objects.region(level, wanted)
        elif level.compute.halo is None and level.compute.fold is None and self.overlap is None:
            result = np.empty(wanted.shape, level.grid.dtype)
            for layer in _layers(level, wanted):
                whole = _whole_space(level, layer)
                pixels = await self._once(level, whole, keeps=True)
                result[layer.relative_to(wanted)] = pixels[layer.relative_to(whole)]
        else:
            result = await self._once(level, wanted)
        return result if wanted == region else result[region.relative_to(wanted)]

    async def _read(self, written: Written, region: Region) -> Array:
        start, stop = (
            [ends[axis] for axis in written.order] for ends in (region.start, region.stop)
        )
        pixels = await self.region(written.stored, Region(tuple(start), tuple(stop)))
        return pixels.transpose(np.argsort(written.order))

    async def _once(self, level: DerivedLevel, region: Region, *, keeps: bool = False) -> Array:
        key = (level.key, region)
        if keeps and key in self._wholes:
            self._wholes.move_to_end(key)
            return self._wholes[key]
        running = self._under_way.get(key)
        if running is None:
            running = asyncio.ensure_future(self._computed(level, region))
            self._under_way[key] = running
            running.add_done_callback(lambda _: self._under_way.pop(key))
        self._waiting[key] += 1
        try:
            pixels = await asyncio.shield(running)
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:  # nobody wants it any more
                del self._waiting[key]
                running.cancel()
        if keeps:
            self._wholes[key] = pixels
            while sum(each.nbytes for each in self._wholes.values()) > _WHOLE_BYTES:
                self._wholes.popitem(last=False)
        return pixels

    async def _computed(self, level: DerivedLevel, region: Region) -> Array:
        computation, compute = level.computation, level.compute
        if compute.halo is None and self.overlap is not None:
            margin = tuple(
                self.overlap if axis in compute.space else 0
                for axis in range(computation.grid.ndim)
            )
            computation = Computation(level.sources, replace(compute, halo=margin))
        return await computation.run(region, self, patch=False)


def _reader(overlap: int | None, written: Sequence[Written]) -> BlockReader:
    """Return one over the engine of the process that it was sent to."""
    return BlockReader(engine(), overlap, written=written)


def check_blocks(level: Level, overlap: int | None, name: str = "") -> list[str]:
    """Check that a level can be computed block by block.

    Parameters
    ----------
    level
        Of a result.
    overlap
        As of `BlockReader`.
    name
        Of the image, for messages.

    Returns
    -------
    list of str
        The steps that see no more than the overlap, or need all at once without.

    Raises
    ------
    OperationError
        If a step has no finite halo, is too large to be computed at once, and no overlap was given;
        or makes objects that cannot be joined across blocks.
    """
    if overlap is not None and overlap < 0:
        raise OperationError(
            "Could not run on the whole image",
            where=name,
            why=f"the overlap is {overlap}",
            hint="Give a number of voxels, 0 or more.",
        )
    cut: list[str] = []
    after: list[str] = []
    for each in _chain(level):
        if each.compute.halo is None and each.compute.fold is None:
            _check_whole(each, overlap, name, after)
            if not each.compute.makes_objects and each.compute.object_values is None:
                cut.append(each.name)
        after.insert(0, each.compute.name)
    return cut


def axes_at_once(level: Level) -> set[int]:
    """Return the axes along which steps without an overlap compute all for any block."""
    below = {source.level.key for source in joined_before(level, None)}
    return {
        axis
        for each in _chain(level, below)
        if each.compute.halo is None
        and each.compute.fold is None
        and each.compute.object_values is None
        and not (each is level and each.compute.connectivity is not None)
        for axis in each.compute.space
    }


def joined_before(level: Level, overlap: int | None) -> list[Source]:
    """Return the labellings whose objects must be joined before a level is computed from them.

    Not those that only these are computed from.

    Parameters
    ----------
    level
        Of a result.
    overlap
        As of `BlockReader`.
    """
    found: dict[int, Source] = {}
    left, seen = [level], {level.key}
    while left:
        each = left.pop()
        for source in each.sources if isinstance(each, DerivedLevel) else ():
            below = source.level
            if below.key in seen:
                continue
            seen.add(below.key)
            if isinstance(below, DerivedLevel) and _must_be_joined(below, overlap):
                found[below.key] = source
            else:
                left.append(below)
    return list(found.values())


def _must_be_joined(level: DerivedLevel, overlap: int | None) -> bool:
    """Tell whether blocks of a level are labelled each for itself, and then joined."""
    is_labelled = level.compute.makes_objects and level.compute.connectivity is not None
    return is_labelled and (overlap is not None or not level.computation.fits_whole())


def _chain(level: Level, but: Collection[int] = ()) -> Iterator[DerivedLevel]:
    """Yield a level that is computed, and those that it is computed from, each once.

    But not levels of these keys, and what only they are computed from.
    """
    left, seen = [level], {level.key, *but}
    while left:
        each = left.pop()
        if not isinstance(each, DerivedLevel):
            continue
        yield each
        below = {source.level.key: source.level for source in each.sources}
        left += [found for key, found in below.items() if key not in seen]
        seen |= set(below)


def _check_whole(level: DerivedLevel, overlap: int | None, name: str, after: Sequence[str]) -> None:
    """Raise an `OperationError` if a step, with those after it, does not go block by block."""
    compute = level.compute
    if compute.object_values is not None or (not after and compute.connectivity is not None):
        return
    if _must_be_joined(level, overlap):
        return  # a pass of its own
    fits = level.computation.fits_whole()
    if compute.makes_objects and (overlap is not None or not fits):
        raise OperationError(
            f"{compute.name} cannot run block by block",
            where=name,
            why="its objects cannot be joined across the borders of blocks",
            hint="Take a coarser level or a smaller region, that is computed at once.",
        )
    if overlap is None and not fits:
        raise OperationError(
            f"{compute.name} needs an overlap",
            where=name,
            why="what it gives may depend on the whole image, which is too large to be computed "
            "at once",
            hint="Give an overlap: so many voxels around each block are seen by it. What depends "
            "on voxels farther away comes out differently than computed at once, and may show at "
            "the borders of blocks; more is truer and slower.",
        )


def _whole_space(level: DerivedLevel, region: Region) -> Region:
    start, stop = list(region.start), list(region.stop)
    for axis in level.compute.space:
        start[axis], stop[axis] = 0, level.grid.shape[axis]
    return Region(tuple(start), tuple(stop))


def _with_colours(level: DerivedLevel, region: Region) -> Region:
    """Return a region with all colours, which are computed together."""
    axis = _colours(level)
    if axis is None:
        return region
    start, stop = list(region.start), list(region.stop)
    start[axis], stop[axis] = 0, level.grid.shape[axis]
    return Region(tuple(start), tuple(stop))


def _colours(level: DerivedLevel) -> int | None:
    """Return the axis of the colours that a level has: the last one, if that is none of space."""
    last = level.computation.grid.ndim - 1
    is_colour = last not in level.compute.space and last != level.compute.folded
    return last if is_colour and not level.compute.drops_colours else None


def _layers(level: DerivedLevel, region: Region) -> Iterator[Region]:
    """Yield the parts of a region that are treated each alone."""
    alone = [
        axis
        for axis in range(level.grid.ndim)
        if axis not in level.compute.space and axis != _colours(level)
    ]
    for offset in np.ndindex(*(region.shape[axis] for axis in alone)):
        start, stop = list(region.start), list(region.stop)
        for axis, o in zip(alone, offset, strict=True):
            start[axis] += o
            stop[axis] = start[axis] + 1
        yield Region(tuple(start), tuple(stop))


def _pieces(level: DerivedLevel, region: Region) -> Iterator[Region]:
    """Cut a region until each part can be computed in one call: first where nothing looks around.

    Parts are no smaller than what a halo around them costs.
    """
    computation = level.computation
    halo = [h for h in level.compute.halo or () if h]
    most = max(BLOCK_VOXELS, math.prod(8 * h for h in halo)) if halo else BLOCK_VOXELS
    # A projection that goes through its axis slab by slab has only slabs in memory.
    folds = level.compute.folded is not None and level.compute.fold is None
    depth = computation.grid.shape[level.compute.folded or 0] if folds else 1
    colours = _colours(level)
    long = [a for a in range(level.grid.ndim) if region.shape[a] > 1 and a != colours]
    if region.size * depth <= most or not long:
        yield region
        return
    alone = [axis for axis in long if axis not in level.compute.space]
    axis = alone[0] if alone else max(long, key=lambda a: region.shape[a])
    middle = (region.start[axis] + region.stop[axis]) // 2
    before = (*region.stop[:axis], middle, *region.stop[axis + 1 :])
    after = (*region.start[:axis], middle, *region.start[axis + 1 :])
    yield from _pieces(level, Region(region.start, before))
    yield from _pieces(level, Region(after, region.stop))
