"""Measuring the objects of a whole label image, block by block, objects across blocks whole.

Blocks are read and tallied side by side; what they found is put together in their order, so that
the same image gives the same digits. Then objects that no block held are read one by one, for what
needs a whole object. Memory goes by the blocks under way and by the number of objects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process.block_grid import BlockGrid
from napari_omezarr_cloud.process.blockwise import BLOCK_VOXELS, BlockReader, check_blocks
from napari_omezarr_cloud.process.computation import Source, sources_at
from napari_omezarr_cloud.process.derived import DerivedLevel
from napari_omezarr_cloud.process.region_frame import Frame, Notes
from napari_omezarr_cloud.process.region_intensity import INTENSITY
from napari_omezarr_cloud.process.regions import GROUPS, even, expanded
from napari_omezarr_cloud.process.tally_table import wanted_of
from napari_omezarr_cloud.process.whole_measuring_run import MeasuringRun
from napari_omezarr_cloud.pyramid import PyramidView, Region, Transform
from napari_omezarr_cloud.write.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from napari_omezarr_cloud.process.table import Table
    from napari_omezarr_cloud.process.tally import Wanted

__all__ = ["WholeMeasuring", "WholeTable", "plan_whole"]

_Array = npt.NDArray[Any]


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
            f"level {self.number}, {axes} {shape}{over}: {self.block_count:,} "
            f"{'block' if self.block_count == 1 else 'blocks'}, "
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
        run = MeasuringRun(self, progress or Progress(), threads, on_progress)
        table, tally = run.table()
        return WholeTable(table, self, tally.places, tally.boxes)


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
