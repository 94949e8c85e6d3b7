"""What a derived level computes: a function on sources, for one region of the result at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError, RegionError
from napari_omezarr_cloud.ngff.units import micrometres
from napari_omezarr_cloud.pyramid import Grid, Level, PyramidView, Region, Transform

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.process.operation import ObjectValues

__all__ = [
    "Computation",
    "Computer",
    "Fold",
    "LevelFunction",
    "Patched",
    "Reader",
    "Source",
    "is_patched",
    "sources_at",
]

Array = npt.NDArray[Any]

_MAX_WHOLE_BYTES = 1 << 30
"""What goes into one call where nothing can be cut: its inputs, and as much again in float64."""

_MAX_SLAB_VOXELS = 1 << 24
"""What of a folded axis is in memory at a time."""

_MAX_CHUNK = 512
"""Voxels along an axis of a derived chunk: napari asks for whole ones, and who looks at the corner
of a stored chunk of 4096 must not wait for all of it."""


class Reader(Protocol):
    """Who gives voxels: the engine, or what it lends to a level that produces chunks."""

    async def region(self, level: Level, region: Region) -> Array:
        """Return exact voxels of a level."""
        ...


class Computer(Reader, Protocol):
    """Who gives voxels, and computes."""

    async def compute(
        self, function: Callable[..., Any], *args: Any, in_process: bool = False
    ) -> Any:
        """Run a pure array function in the compute pool, or in a process."""
        ...


class Patched(Level, Protocol):
    """A level of which a part, computed by itself, differs from that part of the whole."""

    def patch(self, region: Region) -> Level:
        """Return a part of it, computed by itself: a level of one chunk."""
        ...


def is_patched(level: Level) -> TypeGuard[Patched]:
    """Tell whether a part of a level, computed by itself, differs from that part of the whole."""
    return bool(getattr(level, "is_patched", False))


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
    connectivity
        Of connected components: along how many axes two neighbours of one may differ.
    object_values
        Of what gives each object one value by what is known of all of it: from that to the values.
    makes_objects
        Whether values are numbers of objects, which mean nothing beside those of another block.
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
    connectivity: int | None = None
    object_values: ObjectValues | None = None
    makes_objects: bool = False
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
        self, region: Region, transform: Transform, reader: Reader, *, patched: bool = False
    ) -> Array:
        """Return the source at the voxels of ``region`` of a level with this transform.

        A source on the same grid is read as it is; any other is sampled at the nearest voxel in
        world coordinates. ``patched`` takes a patch of just this region of what has no finite halo.
        """
        own = self.transform
        grid = self.view.grid(self.number)
        if own == transform and region == region.within(grid.shape):
            return await self._read(region, reader, patched=patched)
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
        pixels = await self._read(needed, reader, patched=patched)
        return pixels[np.ix_(*(row - a for row, a in zip(rows, needed.start, strict=True)))]

    async def _read(self, region: Region, reader: Reader, *, patched: bool) -> Array:
        level, there = self.level, self.view.expand(region)
        if patched and is_patched(level):
            level = level.patch(there)
            there = Region.whole(level.grid.shape)
        return self.view.reduce(await reader.region(level, there))


@dataclass(frozen=True, eq=False)
class Computation:
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

    @property
    def places(self) -> frozenset[Location]:
        """Where the chunks of all sources come from at last."""
        return frozenset().union(*(source.level.places for source in self.sources))

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

    async def run(self, target: Region, runner: Computer, *, patch: bool) -> Array:
        """Return a region of the result; awaits on the loop."""
        seen = self.seen(target, patch=patch)
        compute = self.compute
        if compute.fold is not None and compute.folded is not None:
            return await self._folded(seen, runner, compute.fold, compute.folded, patch=patch)
        if compute.halo is None:
            self._check_size(seen)
        arrays = await asyncio.gather(
            *(s.pixels(seen, self.transform, runner, patched=patch) for s in self.sources)
        )
        inner = self._inner(target, seen)
        return await runner.compute(  # type: ignore[no-any-return]
            _call, compute, arrays, inner, in_process=compute.in_process
        )

    def _inner(self, target: Region, seen: Region) -> tuple[slice, ...]:
        """Return where the target lies in what the function gives for ``seen``."""
        start = list(seen.start)
        if self.compute.folded is not None:
            start[self.compute.folded] = 0
        return tuple(
            slice(a - s, b - s) for a, b, s in zip(target.start, target.stop, start, strict=False)
        )

    async def _folded(
        self, seen: Region, runner: Computer, fold: Fold, axis: int, *, patch: bool
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

    def fits_whole(self) -> bool:
        """Tell whether all of its space can be computed in one call."""
        start = tuple(0 for _ in self.grid.shape)
        colours = self.grid.ndim - 1  # if the last axis is none of space
        stop = tuple(
            n if axis in (*self.compute.space, self.compute.folded, colours) else 1
            for axis, n in enumerate(self.grid.shape)
        )
        return self._nbytes(Region(start, stop)) <= _MAX_WHOLE_BYTES

    def _nbytes(self, seen: Region) -> int:
        return seen.size * sum(8 + s.view.dtype.itemsize for s in self.sources)

    def _check_size(self, seen: Region) -> None:
        if self._nbytes(seen) > _MAX_WHOLE_BYTES:
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


def sources_at(views: Sequence[PyramidView], number: int) -> list[Source]:
    """Return each view at a level of the first: the others at that of the nearest voxel size."""
    first, *others = views
    transform = first.transform(number)
    return [
        Source(first, number),
        *(_matching_source(view, transform, _unit_factors(view, first)) for view in others),
    ]


def _matching_source(view: PyramidView, transform: Transform, factors: tuple[float, ...]) -> Source:
    """Return the level of a view whose voxels are nearest in size to those of a transform."""
    wanted = np.log(np.abs(transform.scale))

    def distance(source: Source) -> float:
        return float(np.abs(np.log(np.abs(source.transform.scale)) - wanted).sum())

    sources = (Source(view, number, factors) for number in range(len(view.pyramid.levels)))
    return min(sources, key=distance)


def _unit_factors(view: PyramidView, first: PyramidView) -> tuple[float, ...]:
    """Return how many of the first view's units one of a view's is, per axis."""
    pairs = zip(view.axes, first.axes, strict=True)
    lengths = [(micrometres(mine.unit), micrometres(its.unit)) for mine, its in pairs]
    return tuple(a / b if a and b else 1.0 for a, b in lengths)
