"""Levels whose chunks are computed from other levels: what makes a filter a layer.

A derived chunk is a coroutine that awaits its sources on the engine's loop and then hands one pure
array → array function to the compute pool. Nothing that runs in the pool waits, so a derived level
of a derived level needs no second thread.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.pyramid import (
    Chunk,
    Grid,
    Index,
    Pyramid,
    PyramidView,
    Region,
    Runner,
    Transform,
    new_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["DerivedLevel", "LevelFunction", "Source", "derive", "matching_level"]

Array = npt.NDArray[Any]

_MAX_UNION_VOXELS = 1 << 21
"""Chunks computed in one call: enough to make the halo cheap, few enough to cancel and to show."""


@dataclass(frozen=True)
class LevelFunction:
    """What a derived level computes.

    ``function`` takes one array per source, all of one shape in the axis order of the view, and
    returns an array of that shape; it is pure. ``halo`` is how many voxels per axis it looks
    around.
    """

    function: Callable[[Sequence[Array]], Array]
    halo: tuple[int, ...]
    dtype: np.dtype[Any]
    name: str


@dataclass(frozen=True)
class Source:
    """One input of a derived level: a level of a view, on the result's grid or another."""

    view: PyramidView
    number: int

    async def pixels(self, region: Region, transform: Transform, runner: Runner) -> Array:
        """Return the source at the voxels of ``region`` of a level with this transform.

        A source on the same grid is read as it is; any other is sampled at the nearest voxel in
        world coordinates.
        """
        own = self.view.transform(self.number)
        grid = self.view.grid(self.number)
        level = self.view.level(self.number)
        if own == transform and region == region.within(grid.shape):
            return self.view.reduce(await runner.region(level, self.view.expand(region)))
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
        pixels = self.view.reduce(await runner.region(level, self.view.expand(needed)))
        return pixels[np.ix_(*(row - a for row, a in zip(rows, needed.start, strict=True)))]


class DerivedLevel:
    """A level computed, chunk by chunk, from one or several sources on the grid of the first."""

    is_derived = True

    def __init__(self, sources: Sequence[Source], compute: LevelFunction) -> None:
        first = sources[0]
        grid = first.view.grid(first.number)
        self.key = new_key()
        self.sources = tuple(sources)
        self.compute = compute
        self.transform = first.view.transform(first.number)
        self.grid = Grid(grid.shape, grid.chunks, compute.dtype, compute.dtype.type(0))

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.compute.name

    def jobs(self, indices: Sequence[Index]) -> Iterable[tuple[Index, ...]]:
        """Group neighbours: one call on their union looks around once instead of once per chunk."""
        planes: dict[tuple[int, ...], list[Index]] = {}
        for index in sorted(indices):
            planes.setdefault(index[:-1], []).append(index)
        rows = [run for row in planes.values() for run in _runs(row)]
        yield from self._stacked(rows)

    def _stacked(self, rows: list[list[Index]]) -> Iterable[tuple[Index, ...]]:
        """Join rows of equal extent that lie below each other, up to a bound."""
        block: list[Index] = []
        last: list[Index] = []
        for row in rows:
            below = (
                bool(block)
                and len(row[0]) > 1
                and row[0][:-2] == last[0][:-2]
                and row[0][-2] == last[0][-2] + 1
                and [i[-1] for i in row] == [i[-1] for i in last]
            )
            if not below or self._voxels(block + row) > _MAX_UNION_VOXELS:
                if block:
                    yield tuple(block)
                block = []
            block += row
            last = row
        if block:
            yield tuple(block)

    def _voxels(self, indices: Sequence[Index]) -> int:
        return self._union(indices).size

    def _union(self, indices: Sequence[Index]) -> Region:
        union = self.grid.region_of(indices[0])
        for index in indices[1:]:
            union = union.union(self.grid.region_of(index))
        return union

    async def produce(self, indices: tuple[Index, ...], runner: Runner) -> Mapping[Index, Chunk]:
        """Produce these chunks; awaits on the loop."""
        target = self._union(indices)
        seen = target.grow(self.compute.halo).within(self.grid.shape)
        arrays = await asyncio.gather(
            *(source.pixels(seen, self.transform, runner) for source in self.sources)
        )
        return await runner.compute(self._compute, arrays, seen, target, indices)  # type: ignore[no-any-return]

    def _compute(
        self, arrays: Sequence[Array], seen: Region, target: Region, indices: Sequence[Index]
    ) -> dict[Index, Chunk]:
        """Run the function and cut its result into chunks; in the compute pool."""
        result = np.asarray(self.compute.function(arrays), self.grid.dtype)
        if result.shape != seen.shape:
            raise OperationError(
                f"{self.name} gave a result of another size",
                why=f"shape {result.shape} for a region of {seen.shape}",
            )
        chunks: dict[Index, Chunk] = {}
        for index in indices:
            part = np.ascontiguousarray(result[self.grid.region_of(index).relative_to(seen)])
            # A view would keep the whole union alive, in a cache that counts the chunk alone.
            part = part.copy() if part.base is not None else part
            part.flags.writeable = False
            chunks[index] = part
        return chunks


def _runs(row: list[Index]) -> Iterable[list[Index]]:
    """Cut a sorted row of chunks where it has gaps."""
    run = [row[0]]
    for index in row[1:]:
        if index[-1] != run[-1][-1] + 1:
            yield run
            run = []
        run.append(index)
    yield run


def matching_level(view: PyramidView, transform: Transform) -> int:
    """Return the level of a view whose voxels are nearest in size to those of a transform."""
    wanted = np.log(np.abs(transform.scale))

    def distance(number: int) -> float:
        return float(np.abs(np.log(np.abs(view.transform(number).scale)) - wanted).sum())

    return min(range(len(view.pyramid.levels)), key=distance)


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
        sources += [Source(view, matching_level(view, transform)) for view in views[1:]]
        levels.append(DerivedLevel(sources, compute(number)))
    return Pyramid(
        axes=first.axes,
        levels=tuple(levels),
        name=name,
        source=first.pyramid.source,
        kept=tuple(view.pyramid for view in views),
    )
