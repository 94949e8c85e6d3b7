"""Levels whose chunks are computed from other levels: what makes a filter a layer.

A derived chunk is a coroutine that awaits its sources on the engine's loop and then hands one pure
array → array function to the compute pool. Nothing that runs in the pool waits, so a derived level
of a derived level needs no second thread.

Some functions have no finite halo: a chunk of theirs depends on everything. Such a level computes
all of its space as one array. Of levels too large for that, a *patch* can be had: the function on a
part of it, as one array, which is what a window shows of it.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError, RegionError
from napari_omezarr_cloud.ngff.units import micrometres
from napari_omezarr_cloud.pyramid import (
    Chunk,
    Grid,
    Index,
    Level,
    Pyramid,
    PyramidView,
    Region,
    Runner,
    Transform,
    new_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from napari_omezarr_cloud.ngff import Axis

__all__ = [
    "DerivedLevel",
    "Fold",
    "LevelFunction",
    "PatchLevel",
    "Source",
    "derive",
    "is_patched",
    "matching_source",
    "unit_factors",
]

Array = npt.NDArray[Any]

_UNION_VOXELS = 1 << 20, 1 << 22
"""Chunks computed in one call: few enough to cancel, to show, and to keep two cores busy with one
screen; more where the halo is wide, so that it does not cost more than what it surrounds."""

_HALOS_PER_UNION = 12

_MAX_CHUNK = 512
"""Voxels along an axis of a derived chunk: napari asks for whole ones, and who looks at the corner of
a stored chunk of 4096 must not wait for all of it."""

_MAX_WHOLE_BYTES = 1 << 30
"""What goes into one call where nothing can be cut: its inputs, and as much again in float64."""

_MAX_SLAB_VOXELS = 1 << 24
"""What of a folded axis is in memory at a time."""

_PATCHES = 3
"""Patches of a level that are remembered: what is on screen, and where one was a moment ago."""


@runtime_checkable
class Fold(Protocol):
    """A projection that goes through its axis slab by slab."""

    def part(self, slab: Array) -> Any:
        """Return the state of the first axis of a slab."""
        ...

    def join(self, one: Any, other: Any) -> Any:
        """Return the state of two neighbouring slabs."""
        ...

    def finish(self, state: Any) -> Array:
        """Return the projection."""
        ...


@dataclass(frozen=True)
class LevelFunction:
    """What a derived level computes.

    Attributes
    ----------
    function
        Pure. Takes one array per source, all of one shape in the axis order of the first view, and
        returns an array of that shape: one voxel thick along ``folded``, without the last axis
        where it ``drops_colours``.
    halo
        How many voxels per axis of the view it looks around; None where that is no finite number.
    dtype, name
        Of the result.
    space
        Axes along which everything counts where there is no halo.
    folded, fold
        The axis that a projection folds, and how.
    drops_colours
        Whether colours, the last axis, become one value.
    in_process
        Whether it holds the GIL for long, and is better run in a process of its own.
    note
        What a person should know who sees this level.
    """

    function: Callable[[Sequence[Array]], Array]
    halo: tuple[int, ...] | None
    dtype: np.dtype[Any]
    name: str
    space: tuple[int, ...] = ()
    folded: int | None = None
    fold: Fold | None = None
    drops_colours: bool = False
    in_process: bool = False
    note: str = ""


@dataclass(frozen=True)
class Source:
    """One input of a derived level: a level of a view, on the result's grid or another."""

    view: PyramidView
    number: int
    factors: tuple[float, ...] = ()
    """Per axis, how many of the first source's units one of this one's is; none: the same."""

    @property
    def level(self) -> Level:
        """The level itself, in the axes of the pyramid."""
        return self.view.level(self.number)

    @property
    def transform(self) -> Transform:
        """Where its voxels lie, in the units of the first source."""
        own = self.view.transform(self.number)
        if not self.factors:
            return own
        return Transform(
            tuple(s * f for s, f in zip(own.scale, self.factors, strict=True)),
            tuple(t * f for t, f in zip(own.translation, self.factors, strict=True)),
        )

    async def pixels(
        self, region: Region, transform: Transform, runner: Runner, *, patched: bool = False
    ) -> Array:
        """Return the source at the voxels of ``region`` of a level with this transform.

        A source on the same grid is read as it is; any other is sampled at the nearest voxel in
        world coordinates. ``patched`` takes a patch of just this region of what has no finite halo.
        """
        own = self.transform
        grid = self.view.grid(self.number)
        if own == transform and region == region.within(grid.shape):
            return await self._read(region, runner, patched=patched)
        there = transform.to(own)
        rows = [
            there.nearest(axis, np.arange(a, b), size)
            for axis, (a, b, size) in enumerate(
                zip(region.start, region.stop, grid.shape, strict=True)
            )
        ]
        needed = Region(
            tuple(int(row.min()) for row in rows), tuple(int(row.max()) + 1 for row in rows)
        )
        pixels = await self._read(needed, runner, patched=patched)
        return pixels[np.ix_(*(row - a for row, a in zip(rows, needed.start, strict=True)))]

    async def _read(self, region: Region, runner: Runner, *, patched: bool) -> Array:
        level, there = self.level, self.view.expand(region)
        if patched and is_patched(level):
            level = level.patch(there)
            there = Region.whole(level.grid.shape)
        return self.view.reduce(await runner.region(level, there))


@dataclass(frozen=True, eq=False)
class _Computation:
    """A function on its sources: what a level and its patches share."""

    sources: tuple[Source, ...]
    compute: LevelFunction
    transform: Transform = field(init=False)
    """Of the first source, in the axes of its view."""
    grid: Grid = field(init=False)
    """Of the first source, too."""

    def __post_init__(self) -> None:
        first = self.sources[0]
        object.__setattr__(self, "transform", first.view.transform(first.number))
        object.__setattr__(self, "grid", first.view.grid(first.number))

    @property
    def is_patched(self) -> bool:
        """Whether the whole depends on everything, so that a part of it is another picture."""
        return self.compute.halo is None or any(is_patched(s.level) for s in self.sources)

    def result_grid(self) -> tuple[Grid, Transform]:
        """Return the result's grid, and where it lies."""
        compute, grid, transform = self.compute, self.grid, self.transform
        shape, chunks = list(grid.shape), list(grid.chunks)
        scale, translation = list(transform.scale), list(transform.translation)
        for axis in range(grid.ndim):
            if compute.space and axis not in compute.space:
                chunks[axis] = 1  # a plane of a thick chunk must not cost its neighbours
            else:
                chunks[axis] = -(-chunks[axis] // -(-chunks[axis] // _MAX_CHUNK))
        colours = grid.ndim - 1
        if compute.space and colours not in compute.space:
            chunks[colours] = shape[colours]
        if compute.folded is not None:
            axis = compute.folded
            # One voxel as thick as all that went into it, so it shows at all of its planes.
            translation[axis] += scale[axis] * (shape[axis] - 1) / 2
            scale[axis] *= shape[axis]
            shape[axis] = chunks[axis] = 1
        kept = slice(0, -1) if compute.drops_colours else slice(None)
        result = Grid(tuple(shape[kept]), tuple(chunks[kept]), compute.dtype, compute.dtype.type(0))
        return result, Transform(tuple(scale[kept]), tuple(translation[kept]))

    def seen(self, target: Region, *, patch: bool) -> Region:
        """Return what of the sources is needed for a region of the result."""
        compute, shape = self.compute, self.grid.shape
        start, stop = list(target.start), list(target.stop)
        if compute.drops_colours:
            start.append(0)
            stop.append(shape[-1])
        if compute.folded is not None:
            start[compute.folded], stop[compute.folded] = 0, shape[compute.folded]
        region = Region(tuple(start), tuple(stop))
        if patch and self.is_patched:
            return region  # there is no more than this, and it ends here
        if compute.halo is not None:
            return region.grow(compute.halo).within(shape)
        for axis in compute.space:
            start[axis], stop[axis] = 0, shape[axis]
        return Region(tuple(start), tuple(stop))

    async def run(self, target: Region, runner: Runner, *, patch: bool) -> Array:
        """Return a region of the result; awaits on the loop."""
        seen = self.seen(target, patch=patch)
        compute = self.compute
        if compute.fold is not None and compute.folded is not None:
            result = await self._folded(seen, runner, compute.fold, compute.folded, patch=patch)
        else:
            if compute.halo is None:
                self._check_size(seen)
            arrays = await asyncio.gather(
                *(s.pixels(seen, self.transform, runner, patched=patch) for s in self.sources)
            )
            result = await runner.compute(
                _call, compute, arrays, self._inner(target, seen), in_process=compute.in_process
            )
        return result

    def _inner(self, target: Region, seen: Region) -> tuple[slice, ...]:
        """Return where the target lies in what the function gives for ``seen``."""
        start = list(seen.start)
        if self.compute.folded is not None:
            start[self.compute.folded] = 0
        return tuple(
            slice(a - s, b - s) for a, b, s in zip(target.start, target.stop, start, strict=False)
        )

    async def _folded(
        self, seen: Region, runner: Runner, fold: Fold, axis: int, *, patch: bool
    ) -> Array:
        """Go through the folded axis slab by slab: a long series does not fit into memory."""
        (source,) = self.sources
        planes = max(1, _MAX_SLAB_VOXELS // max(1, seen.size // seen.shape[axis]))
        state: Any = None
        for first in range(seen.start[axis], seen.stop[axis], planes):
            start, stop = list(seen.start), list(seen.stop)
            start[axis], stop[axis] = first, min(first + planes, seen.stop[axis])
            slab = Region(tuple(start), tuple(stop))
            pixels = await source.pixels(slab, self.transform, runner, patched=patch)
            state = await runner.compute(_fold, fold, state, pixels, axis)
        return await runner.compute(_finish, fold, state, axis, self.compute.dtype)  # type: ignore[no-any-return]

    def _check_size(self, seen: Region) -> None:
        nbytes = seen.size * sum(8 + s.view.dtype.itemsize for s in self.sources)
        if nbytes > _MAX_WHOLE_BYTES:
            shape = " x ".join(map(str, seen.shape))
            raise RegionError(
                f"{self.compute.name} cannot be computed in pieces",
                why=f"it looks at everything at once, and {shape} voxels are too many",
                hint="Take a coarser level, or a smaller part of the image.",
            )


def _call(compute: LevelFunction, arrays: Sequence[Array], inner: tuple[slice, ...]) -> Array:
    """Run the function and cut off the halo; in the compute pool, or another process."""
    result = np.asarray(compute.function(arrays), compute.dtype)
    expected = list(arrays[0].shape)
    if compute.folded is not None:
        expected[compute.folded] = 1
    if compute.drops_colours:
        del expected[-1]
    if result.shape != tuple(expected):
        raise OperationError(
            f"{compute.name} gave a result of another size",
            why=f"shape {result.shape} where {tuple(expected)} was expected",
        )
    return result[inner]


def _fold(fold: Fold, state: Any, slab: Array, axis: int) -> Any:
    part = fold.part(np.moveaxis(slab, axis, 0))
    return part if state is None else fold.join(state, part)


def _finish(fold: Fold, state: Any, axis: int, dtype: np.dtype[Any]) -> Array:
    return np.expand_dims(np.asarray(fold.finish(state), dtype), axis)


class DerivedLevel:
    """A level computed, chunk by chunk, from one or several sources on the grid of the first."""

    is_derived = True

    def __init__(self, sources: Sequence[Source], compute: LevelFunction) -> None:
        self.key = new_key()
        self._computation = _Computation(tuple(sources), compute)
        self.grid, self.transform = self._computation.result_grid()
        self._patches: OrderedDict[Region, PatchLevel] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.compute.name

    @property
    def compute(self) -> LevelFunction:
        """What it computes."""
        return self._computation.compute

    @property
    def sources(self) -> tuple[Source, ...]:
        """What it is computed from."""
        return self._computation.sources

    @property
    def is_patched(self) -> bool:
        """Whether a part of it, computed by itself, differs from that part of the whole."""
        return self._computation.is_patched

    def patch(self, region: Region) -> PatchLevel:
        """Return a part of this level, computed by itself; the same one for the same region."""
        with self._lock:
            patch = self._patches.pop(region, None)
            if patch is None:
                patch = PatchLevel(self._computation, region, self.transform)
            self._patches[region] = patch
            while len(self._patches) > _PATCHES:
                self._patches.popitem(last=False)
            return patch

    def jobs(self, indices: Sequence[Index]) -> Iterable[tuple[Index, ...]]:
        """Group neighbours: one call on their union looks around once instead of once per chunk.

        What has no finite halo is computed for all chunks of its space at once, asked for or not.
        """
        if self.compute.halo is None:
            yield from self._whole_spaces(indices)
            return
        boxes = [Region(i, tuple(n + 1 for n in i)) for i in sorted(indices)]
        for axis in reversed(range(self.grid.ndim)):
            boxes = self._merged(boxes, axis)
        for box in boxes:
            yield tuple(_indices(box))

    def _merged(self, boxes: list[Region], axis: int) -> list[Region]:
        """Join boxes of chunks that touch along an axis, up to a bound."""
        if self.compute.space and axis not in self.compute.space:
            return boxes

        def place(box: Region) -> tuple[tuple[int, ...], int]:
            other = (*box.start[:axis], *box.start[axis + 1 :])
            other += (*box.stop[:axis], *box.stop[axis + 1 :])
            return other, box.start[axis]

        halo = [h for h in self.compute.halo or () if h]
        low, high = _UNION_VOXELS
        most = max(low, min(high, math.prod(_HALOS_PER_UNION * h for h in halo)))
        merged: list[Region] = []
        for box in sorted(boxes, key=place):
            last = merged[-1] if merged else None
            touches = (
                last is not None
                and place(last)[0] == place(box)[0]
                and last.stop[axis] == box.start[axis]
            )
            if touches and last is not None and self._voxels(last.union(box)) <= most:
                merged[-1] = last.union(box)
            else:
                merged.append(box)
        return merged

    def _whole_spaces(self, indices: Sequence[Index]) -> Iterable[tuple[Index, ...]]:
        counts = self.grid.chunk_counts
        space = [axis for axis in self.compute.space if axis < self.grid.ndim]
        if math.prod(counts[axis] for axis in space) > 1 << 16:
            yield from ((index,) for index in indices)  # it will be refused for its size
            return
        done = set()
        for index in indices:
            start = tuple(0 if axis in space else i for axis, i in enumerate(index))
            stop = tuple(counts[axis] if axis in space else i + 1 for axis, i in enumerate(index))
            if start not in done:
                done.add(start)
                yield tuple(_indices(Region(start, stop)))

    def _voxels(self, box: Region) -> int:
        sizes = zip(box.shape, self.grid.chunks, self.grid.shape, strict=True)
        return math.prod(min(n * c, s) for n, c, s in sizes)

    def _union(self, indices: Sequence[Index]) -> Region:
        union = self.grid.region_of(indices[0])
        for index in indices[1:]:
            union = union.union(self.grid.region_of(index))
        return union

    async def produce(self, indices: tuple[Index, ...], runner: Runner) -> Mapping[Index, Chunk]:
        """Produce these chunks; awaits on the loop."""
        target = self._union(indices)
        result = await self._computation.run(target, runner, patch=False)
        parts = ((index, self.grid.region_of(index).relative_to(target)) for index in indices)
        return {index: _kept(result[part]) for index, part in parts}


class PatchLevel:
    """A region of a derived level, computed by itself as one array: a level of one chunk."""

    is_derived = True

    def __init__(self, computation: _Computation, region: Region, whole: Transform) -> None:
        self.key = new_key()
        self.region = region
        """Which part, in voxels of the whole level."""
        self._computation = computation
        compute = computation.compute
        self.name = compute.name
        self.grid = Grid(region.shape, region.shape, compute.dtype, compute.dtype.type(0))
        first = tuple(
            t + s * a for t, s, a in zip(whole.translation, whole.scale, region.start, strict=True)
        )
        self.transform = Transform(whole.scale, first)

    def jobs(self, indices: Sequence[Index]) -> Iterable[tuple[Index, ...]]:
        """Return the one chunk there is."""
        return [tuple(indices)]

    async def produce(self, indices: tuple[Index, ...], runner: Runner) -> Mapping[Index, Chunk]:
        """Produce the chunk; awaits on the loop."""
        result = await self._computation.run(self.region, runner, patch=True)
        return dict.fromkeys(indices, _kept(result))


def is_patched(level: Level) -> TypeGuard[DerivedLevel]:
    """Tell whether a part of a level, computed by itself, differs from that part of the whole."""
    return isinstance(level, DerivedLevel) and level.is_patched


def _indices(box: Region) -> Iterator[Index]:
    """Yield the chunks of a box of chunk indices."""
    for offset in np.ndindex(*box.shape):
        yield tuple(a + i for a, i in zip(box.start, offset, strict=True))


def _kept(part: Array) -> Array:
    """Return an array of its own, read-only.

    A view would keep the whole union alive, in a cache that counts the chunk alone.
    """
    whole = np.array(part, copy=True, order="C") if part.base is not None else part
    whole = np.ascontiguousarray(whole)
    whole.flags.writeable = False
    return whole


def matching_source(
    view: PyramidView, transform: Transform, factors: tuple[float, ...] = ()
) -> Source:
    """Return the level of a view whose voxels are nearest in size to those of a transform."""
    wanted = np.log(np.abs(transform.scale))

    def distance(source: Source) -> float:
        return float(np.abs(np.log(np.abs(source.transform.scale)) - wanted).sum())

    sources = (Source(view, number, factors) for number in range(len(view.pyramid.levels)))
    return min(sources, key=distance)


def derive(
    views: Sequence[PyramidView],
    compute: Callable[[int], LevelFunction],
    *,
    name: str,
) -> Pyramid:
    """Return a pyramid computed from others.

    Parameters
    ----------
    views
        The inputs; the first gives axes, grid and transforms of every level, the others are
        sampled at its voxels, from their level of the nearest voxel size.
    compute
        What each level computes, by its number.
    name
        Of the result.

    Raises
    ------
    OperationError
        If the inputs have different axes.
    """
    first = views[0]
    names = [[axis.name for axis in view.axes] for view in views]
    if any(n != names[0] for n in names):
        raise OperationError(
            f"{name} needs inputs with the same axes",
            why=" and ".join("".join(n) for n in names) + " were given",
        )
    levels = []
    for number in range(len(first.pyramid.levels)):
        transform = first.transform(number)
        sources = [Source(first, number)]
        sources += [
            matching_source(view, transform, unit_factors(view, first)) for view in views[1:]
        ]
        levels.append(DerivedLevel(sources, compute(number)))
    return Pyramid(
        axes=_axes(first, levels[0]),
        levels=tuple(levels),
        name=name,
        source=first.pyramid.source,
        kept=tuple(view.pyramid for view in views),
    )


def unit_factors(view: PyramidView, first: PyramidView) -> tuple[float, ...]:
    """Return how many of the first view's units one of a view's is, per axis."""
    pairs = zip(view.axes, first.axes, strict=True)
    lengths = [(micrometres(mine.unit), micrometres(its.unit)) for mine, its in pairs]
    return tuple(a / b if a and b else 1.0 for a, b in lengths)


def _axes(view: PyramidView, level: DerivedLevel) -> tuple[Axis, ...]:
    return view.axes[: level.grid.ndim]
