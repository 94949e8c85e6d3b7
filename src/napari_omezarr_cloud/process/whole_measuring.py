"""Measuring the objects of a whole label image, block by block, objects across blocks whole.

Blocks are read and tallied side by side; what they found is put together in their order, so that
the same image gives the same digits. Then objects that no block held are read one by one, for what
needs a whole object. Memory goes by the blocks under way and by the number of objects.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process.block_grid import BlockGrid
from napari_omezarr_cloud.process.blockwise import BLOCK_VOXELS, BlockReader, check_blocks
from napari_omezarr_cloud.process.computation import Source, sources_at
from napari_omezarr_cloud.process.derived import DerivedLevel
from napari_omezarr_cloud.process.region_frame import Frame, Notes
from napari_omezarr_cloud.process.region_intensity import INTENSITY
from napari_omezarr_cloud.process.regions import GROUPS, even, expanded
from napari_omezarr_cloud.process.tally import (
    Tally,
    TallyOfBlocks,
    Wanted,
    tally_block,
    whole_values,
)
from napari_omezarr_cloud.process.tally_table import table_of, wanted_of
from napari_omezarr_cloud.pyramid import PyramidView, Region, Transform
from napari_omezarr_cloud.write.writing import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from napari_omezarr_cloud.process.table import Table

__all__ = ["WholeMeasuring", "WholeTable", "plan_whole"]

_Array = npt.NDArray[Any]

_OBJECT_VOXELS = 1 << 25
"""Box of an object that is read at once: about a gigabyte, with what is made of it."""
_OBJECTS_AT_ONCE = BLOCK_VOXELS
"""Voxels read for several objects that lie near each other."""


@dataclass(frozen=True, eq=False)
class _Image:
    """An image whose grey values are taken at the voxels of the labels."""

    source: Source
    axes: tuple[int, ...]
    """Axes of the labels that it has, too."""

    async def read(self, region: Region, transform: Transform, reader: BlockReader) -> _Array:
        """Return it at a region of the labels, one voxel thick along axes it does not have."""
        there = Region(_at(region.start, self.axes), _at(region.stop, self.axes))
        own = Transform(_at(transform.scale, self.axes), _at(transform.translation, self.axes))
        pixels = await self.source.pixels(there, own, reader)
        missing = tuple(a for a in range(len(region.start)) if a not in self.axes)
        return np.expand_dims(pixels, missing)


def _at(values: Sequence[Any], axes: Sequence[int]) -> tuple[Any, ...]:
    return tuple(values[axis] for axis in axes)


@dataclass(frozen=True, eq=False)
class WholeTable:
    """A table of a whole label image, and where its objects are."""

    table: Table
    measuring: WholeMeasuring
    places: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.int64]
    """``(row, axis of space, 2)``: start and stop in voxels of the measured region."""

    def region(self, row: int) -> Region:
        """Return the box of an object in voxels of the level, in the order of the labels' axes."""
        return self.measuring.grid.region_of(int(self.places[row]), self.boxes[row])


@dataclass(frozen=True, eq=False)
class WholeMeasuring:
    """What is measured of a whole label image; nothing has been read. Make one by `plan_whole`.

    ``str()`` tells what it takes.
    """

    labels: PyramidView
    number: int
    grid: BlockGrid
    names: tuple[str, ...]
    """Of the images."""
    images: tuple[_Image, ...]
    properties: frozenset[str]
    wanted: Wanted
    frame: Frame
    notes: tuple[str, ...]

    @property
    def block_count(self) -> int:
        """Number of blocks."""
        return math.prod(self.grid.counts)

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels, before compression; of images, where there are objects."""
        sizes = [np.dtype(self.labels.dtype), *(each.source.view.dtype for each in self.images)]
        return self.grid.region.size * sum(dtype.itemsize for dtype in sizes)

    @property
    def memory(self) -> int:
        """Bytes that a block takes in memory, about; what objects take comes on top."""
        voxels = min(math.prod(self.grid.block), self.grid.region.size)
        own = np.dtype(self.labels.dtype).itemsize + 4 + 8 * (3 + 2 * len(self.grid.space))
        return voxels * (own + sum(each.source.view.dtype.itemsize for each in self.images))

    def __str__(self) -> str:
        axes = "".join(axis.name for axis in self.labels.axes)
        shape = " x ".join(map(str, self.grid.region.shape))
        over = f" over {', '.join(self.names)}" if self.names else ""
        lines = [
            f"level {self.number}, {axes} {shape}{over}: {self.block_count:,} blocks, "
            f"{self.nbytes / 1e6:,.1f} MB to read before compression, about "
            f"{self.memory / 1e6:,.0f} MB of memory for each block at a time"
        ]
        return "\n".join([*lines, *self.notes])

    def run(
        self,
        *,
        threads: int | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
        progress: Progress | None = None,
    ) -> WholeTable:
        """Measure; waits, on an ordinary thread.

        Parameters
        ----------
        threads
            How many blocks at once; None: as many as there are processors.
        on_progress
            Called in this thread after each block.
        progress
            Counts; by it another thread cancels. None: one of its own.

        Raises
        ------
        OperationError
            If it was cancelled, or the labels are none.
        CloudError
            If voxels cannot be read.
        """
        return _Run(self, progress or Progress(), threads, on_progress).table()


def plan_whole(
    labels: PyramidView,
    images: Mapping[str, PyramidView] | None = None,
    *,
    properties: Iterable[str] = tuple(GROUPS),
    number: int = 0,
    region: Region | None = None,
    by_plane: bool = False,
    spacing: Sequence[float],
    offset: Sequence[float],
    unit: str = "",
    notes: Sequence[str] = (),
) -> WholeMeasuring:
    """Return what would be measured of a label image; reads nothing.

    Parameters
    ----------
    labels
        Whole numbers; 0 is background. Objects extend along its axes of space, those of one number
        at other time points or channels are others.
    images
        Grey values by name, sampled at the voxels of the labels: views with axes of the same names,
        of which they may lack some that are none of space.
    properties
        As for :func:`~napari_omezarr_cloud.process.regions.measure_regions`.
    number
        Which level of the labels.
    region
        What of it; None: all.
    by_plane
        Whether each plane is alone: then objects are measured in 2D.
    spacing, offset
        Size of a voxel of the level, and position of its first one, per axis of the labels, in
        ``unit``.
    unit
        Of lengths.
    notes
        Sentences that the table shall hold.

    Raises
    ------
    OperationError
        If labels and images do not fit each other, or there is no property of a name.
    """
    grid = labels.grid(number)
    region = Region.whole(grid.shape) if region is None else region
    if region.is_empty or region != region.within(grid.shape):
        raise _refused("the region is empty, or leaves the labels", "Choose another one.")
    if labels.dtype.kind not in "biu":
        why = f"labels are whole numbers, not {labels.dtype}"
        raise _refused(why, "Make labels first, for instance with Label connected regions.")
    _check_computed(labels, number)
    space = tuple(a for a, axis in enumerate(labels.axes) if axis.type == "space")
    if len(space) == 3 and (by_plane or region.shape[space[0]] == 1):
        space = space[1:]
    if len(space) not in (2, 3):
        raise _refused(f"the labels have {len(space)} axes of space", "Give them two or three.")
    single = expanded(properties)
    images = images or {} if single & {*INTENSITY, "centroid_weighted"} else {}
    found = {name: _image(name, view, labels, number) for name, view in images.items()}
    said = Notes()
    for sentence in notes:
        said.add(sentence)
    first = [o + s * a for o, s, a in zip(offset, spacing, region.start, strict=True)]
    frame = Frame(
        spacing=even(tuple(float(spacing[axis]) for axis in space)),
        offset=tuple(float(first[axis]) for axis in space),
        axes=tuple(labels.axes[axis].name for axis in space),
        unit=unit,
    )
    wanted = wanted_of(single, frame, tuple(found), said)
    return WholeMeasuring(
        labels=labels,
        number=number,
        grid=BlockGrid.of(region, grid.chunks, space, BLOCK_VOXELS),
        names=tuple(found),
        images=tuple(found.values()),
        properties=frozenset(single),
        wanted=wanted,
        frame=frame,
        notes=said.sentences,
    )


def _check_computed(labels: PyramidView, number: int) -> None:
    """Refuse labels that are different in each block."""
    level = labels.level(number)
    if not isinstance(level, DerivedLevel):
        return
    if level.compute.connectivity is not None:
        raise _refused(
            f"{labels.pyramid.name} is computed, and its objects are joined across blocks only "
            "when it is saved",
            "Run it on the whole image first, and measure what that gave.",
        )
    check_blocks(level, None, labels.pyramid.name)


def _image(name: str, view: PyramidView, labels: PyramidView, number: int) -> _Image:
    """Return how an image is read at the voxels of the labels."""
    mine = [axis.name for axis in labels.axes]
    its = [axis.name for axis in view.axes]
    if view.dtype.kind not in "biuf":
        raise _refused(f"{name} is {view.dtype}, and no real numbers", "Leave it out.")
    axes = tuple(a for a, axis in enumerate(mine) if axis in its)
    space = {axis.name for axis in labels.axes if axis.type == "space"}
    long = [
        axis
        for axis, size in zip(its, view.grid(0).shape, strict=True)
        if axis not in mine and size > 1
    ]
    if long or not space <= set(its):
        raise _refused(
            f"{name} has the axes {''.join(its)}, the labels {''.join(mine)}",
            "Take one position along the axes that the labels do not have.",
        )
    for axis in axes:
        size, there = labels.grid(0).shape[axis], view.grid(0).shape[its.index(mine[axis])]
        if mine[axis] not in space and size != there:
            raise _refused(
                f"{name} has {there} positions along {mine[axis]}, the labels {size}",
                "Measure images of the same time points and channels.",
            )
    fixed = {view.order[a]: 0 for a, axis in enumerate(its) if axis not in mine}
    order = [view.order[its.index(mine[axis])] for axis in axes]
    own = PyramidView(
        view.pyramid, tuple(sorted((*view.fixed, *fixed.items()))), tuple(order), view.shown_as
    )
    kept = tuple(labels.order[axis] for axis in axes)
    rest = [(labels.order[a], 0) for a in range(labels.ndim) if a not in axes]
    pattern = PyramidView(labels.pyramid, tuple(sorted((*labels.fixed, *rest))), kept)
    return _Image(sources_at([pattern, own], number)[1], axes)


def _refused(why: str, hint: str) -> OperationError:
    return OperationError("Could not measure the objects", why=why, hint=hint)


class _Run:
    """One measuring under way."""

    def __init__(
        self,
        plan: WholeMeasuring,
        progress: Progress,
        threads: int | None,
        tell: Callable[[Progress], None],
    ) -> None:
        self._plan = plan
        self._progress = progress
        self._threads = threads or os.cpu_count() or 1
        self._tell = tell
        self._reader = BlockReader(engine())
        self._transform = plan.labels.transform(plan.number)

    def table(self) -> WholeTable:
        plan, grid = self._plan, self._plan.grid
        notes = Notes()
        for sentence in plan.notes:
            notes.add(sentence)
        with ThreadPoolExecutor(self._threads, "omezarr-measure") as pool:
            self._progress.task_count += plan.block_count
            found = TallyOfBlocks()
            for each in self._each(pool, self._block, grid.blocks()):
                found.add(each)
            tally = found.tally
            if tally is not None and plan.wanted.of_wholes and tally.is_open.any():
                tally = self._with_wholes(pool, tally, notes)
        if tally is None:
            tally = Tally.of_none(plan.labels.dtype, plan.wanted, len(plan.images))
        shape = [grid.region.shape[axis] for axis in grid.space]
        table = table_of(
            tally,
            set(plan.properties),
            plan.wanted,
            images=plan.names,
            frame=plan.frame,
            shape=shape,
            places=self._places(tally),
            notes=notes,
        )
        return WholeTable(table, plan, tally.places, tally.boxes)

    def _places(self, tally: Tally) -> dict[str, _Array]:
        """Return where objects are along the other axes of more than one position."""
        grid = self._plan.grid
        others = grid.others
        shape = [grid.region.shape[axis] for axis in others]
        if not others:
            return {}
        at = np.unravel_index(tally.places, shape)
        return {
            self._plan.labels.axes[axis].name: where + grid.region.start[axis]
            for axis, where, size in zip(others, at, shape, strict=True)
            if size > 1
        }

    def _each(
        self, pool: ThreadPoolExecutor, function: Callable[[Any], Any], items: Iterable[Any]
    ) -> Iterator[Any]:
        """Yield what a function gives for each item, in their order, a few at a time."""
        running: deque[Any] = deque()
        items = iter(items)
        try:
            while True:
                for item in itertools.islice(items, self._threads + 1 - len(running)):
                    running.append(pool.submit(function, item))
                if not running:
                    return
                result = running.popleft().result()
                self._progress.tasks_done += 1
                self._tell(self._progress)
                yield result
        finally:
            for future in running:
                future.cancel()

    def _check(self) -> None:
        if self._progress.is_cancelled:
            raise OperationError("Measuring was cancelled")

    def _read(self, region: Region, *, with_images: bool = True) -> tuple[_Array, list[_Array]]:
        """Return labels and images of a region, without its other axes."""
        plan = self._plan

        async def labels() -> _Array:
            level, there = plan.labels.level(plan.number), plan.labels.expand(region)
            return plan.labels.reduce(await self._reader.region(level, there))

        async def images() -> list[_Array]:
            reading = (
                each.read(region, self._transform, self._reader)
                for each in plan.images
                if with_images
            )
            return list(await asyncio.gather(*reading))

        io = engine().io
        found = self._on_space(io.wait(labels()))
        if not found.any():
            return found, []
        greys = [self._on_space(each) for each in io.wait(images())]
        self._progress.add(found.nbytes + sum(each.nbytes for each in greys), 0)
        return found, greys

    def _on_space(self, pixels: _Array) -> _Array:
        return pixels.squeeze(axis=self._plan.grid.others)

    def _block(self, block: Region) -> Tally | None:
        self._check()
        plan, grid = self._plan, self._plan.grid
        labels, images = self._read(block)
        if not labels.any():
            return None
        found = tally_block(
            labels,
            dict(zip(plan.names, images, strict=True)),
            plan.wanted,
            place=grid.place(block),
            origin=[block.start[a] - grid.region.start[a] for a in grid.space],
            inner=grid.inner(block),
            is_cancelled=lambda: self._progress.is_cancelled,
        )
        self._check()
        return found

    # ---- objects that no block held -------------------------------------------------------------

    def _with_wholes(self, pool: ThreadPoolExecutor, tally: Tally, notes: Notes) -> Tally:
        """Read the objects that are open, and measure what needs a whole one."""
        sizes = np.diff(tally.boxes, axis=2)[..., 0].astype(np.float64).prod(axis=1)
        rows = np.flatnonzero(tally.is_open & (sizes <= _OBJECT_VOXELS))
        too_large = int(np.count_nonzero(tally.is_open)) - len(rows)
        for name in self._plan.wanted.of_wholes:
            notes.missing(name, too_large, "they are too large to be read at once")
        groups = list(_near(rows, tally))
        self._progress.task_count += len(groups)
        wholes, reasons = tally.wholes.copy(), dict(tally.reasons)
        for found in self._each(pool, lambda group: self._wholes(tally, group), groups):
            for row, values in found:
                for column, (name, value) in enumerate(values):
                    if isinstance(value, str):
                        key = int(tally.places[row]), int(tally.numbers[row])
                        reasons[key] = [*reasons.get(key, ()), (name, value)]
                    else:
                        wholes[row, column] = value
        return replace(tally, wholes=wholes, reasons=reasons)

    def _wholes(self, tally: Tally, rows: Sequence[int]) -> list[tuple[int, Any]]:
        self._check()
        boxes = tally.boxes[rows]
        around = np.stack([boxes[..., 0].min(axis=0), boxes[..., 1].max(axis=0)], axis=1)
        wanted = self._plan.wanted
        region = self._plan.grid.region_of(int(tally.places[rows[0]]), around)
        labels, images = self._read(region, with_images=bool(wanted.medians))
        greys = dict(zip(self._plan.names, images, strict=False))
        found = []
        for row, box in zip(rows, boxes - around[:, :1], strict=True):
            self._check()
            part = tuple(slice(int(a), int(b)) for a, b in box)
            mask = labels[part] == tally.numbers[row]
            inside = {name: greys[name][part] for name in wanted.medians}
            found.append((int(row), whole_values(mask, inside, wanted)))
        return found


def _near(rows: npt.NDArray[np.intp], tally: Tally) -> Iterator[npt.NDArray[np.intp]]:
    """Yield objects in groups that are read together: near each other, at one place."""
    starts = tally.boxes[rows, :, 0]
    side = max(1, round(_OBJECTS_AT_ONCE ** (1 / starts.shape[1]) / 2))
    keys = [starts[:, axis] // side for axis in reversed(range(starts.shape[1]))]
    ordered = rows[np.lexsort((*keys, tally.places[rows]))]
    first = 0
    low, high = None, None
    for at, row in enumerate(ordered):
        box = tally.boxes[row]
        if low is None or high is None:
            low, high = box[:, 0], box[:, 1]
            continue
        wider = np.minimum(low, box[:, 0]), np.maximum(high, box[:, 1])
        is_near = float((wider[1] - wider[0]).astype(np.float64).prod()) <= _OBJECTS_AT_ONCE
        if is_near and tally.places[row] == tally.places[ordered[first]]:
            low, high = wider
        else:
            yield ordered[first:at]
            first, low, high = at, box[:, 0], box[:, 1]
    if len(ordered):
        yield ordered[first:]
