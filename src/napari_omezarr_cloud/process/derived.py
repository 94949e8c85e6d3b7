"""Levels whose chunks are computed from other levels: what makes a filter a layer.

A derived chunk is a coroutine that awaits its sources on the engine's loop and then hands one pure
array → array function to the compute pool. Nothing that runs in the pool waits, so a derived level
of a derived level needs no second thread.

Some functions have no finite halo: a chunk of theirs depends on everything. Such a level computes
all of its space as one array. Of levels too large for that, a *patch* can be had: the function on a
part of it, as one array, which is what a window shows of it.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process.computation import (
    Computation,
    LevelFunction,
    Source,
    sources_at,
)
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
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.ngff import Axis

__all__ = ["DerivedLevel", "PatchLevel", "derive"]

Array = npt.NDArray[Any]

_UNION_VOXELS = 1 << 20, 1 << 22
"""Chunks computed in one call: few enough to cancel, to show, and to keep two cores busy with one
screen; more where the halo is wide, so that it does not cost more than what it surrounds."""

_HALOS_PER_UNION = 12

_PATCHES = 3
"""Patches of a level that are remembered: what is on screen, and where one was a moment ago."""


class DerivedLevel:
    """A level computed, chunk by chunk, from one or several sources on the grid of the first."""

    is_derived = True

    def __init__(self, sources: Sequence[Source], compute: LevelFunction) -> None:
        self.key = new_key()
        self.computation = Computation(tuple(sources), compute)
        self.grid, self.transform = self.computation.result_grid()
        self._patches: OrderedDict[Region, PatchLevel] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return DerivedLevel, (self.sources, self.compute)

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.compute.name

    @property
    def compute(self) -> LevelFunction:
        """What it computes."""
        return self.computation.compute

    @property
    def sources(self) -> tuple[Source, ...]:
        """What it is computed from."""
        return self.computation.sources

    @property
    def stored_chunks(self) -> tuple[int, ...]:
        """Chunks of what it is computed from at last, along its axes: those that are read whole."""
        first = self.sources[0]
        below = first.level
        cut = below.stored_chunks if isinstance(below, DerivedLevel) else below.grid.chunks
        own = [cut[axis] for axis in first.view.order]
        if self.compute.folded is not None:
            own[self.compute.folded] = 1
        return tuple(own[: self.grid.ndim])

    @property
    def is_patched(self) -> bool:
        """Whether a part of it, computed by itself, differs from that part of the whole."""
        return self.computation.is_patched

    def patch(self, region: Region) -> PatchLevel:
        """Return a part of this level, computed by itself; the same one for the same region."""
        with self._lock:
            patch = self._patches.pop(region, None)
            if patch is None:
                patch = PatchLevel(self.computation, region, self.transform)
            self._patches[region] = patch
            while len(self._patches) > _PATCHES:
                self._patches.popitem(last=False)
            return patch

    @property
    def places(self) -> frozenset[Location]:
        """Where its chunks come from."""
        return self.computation.places

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
        result = await self.computation.run(target, runner, patch=False)
        parts = ((index, self.grid.region_of(index).relative_to(target)) for index in indices)
        return {index: _kept(result[part]) for index, part in parts}


class PatchLevel:
    """A region of a derived level, computed by itself as one array: a level of one chunk."""

    is_derived = True

    def __init__(self, computation: Computation, region: Region, whole: Transform) -> None:
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

    @property
    def places(self) -> frozenset[Location]:
        """Where its chunks come from."""
        return self._computation.places

    def jobs(self, indices: Sequence[Index]) -> Iterable[tuple[Index, ...]]:
        """Return the one chunk there is."""
        return [tuple(indices)]

    async def produce(self, indices: tuple[Index, ...], runner: Runner) -> Mapping[Index, Chunk]:
        """Produce the chunk; awaits on the loop."""
        result = await self._computation.run(self.region, runner, patch=True)
        return dict.fromkeys(indices, _kept(result))


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
    levels = [
        DerivedLevel(sources_at(views, number), compute(number))
        for number in range(len(first.pyramid.levels))
    ]
    axes = _axes(first, levels[0])
    return Pyramid(
        axes=axes,
        levels=tuple(levels),
        name=name,
        source=first.pyramid.source,
        kept=tuple(view.pyramid for view in views),
        affine=first.affine(range(len(axes))),
    )


def _axes(view: PyramidView, level: DerivedLevel) -> tuple[Axis, ...]:
    return view.axes[: level.grid.ndim]
