"""What is written: views of pyramids, one per channel, cut to a box and put into NGFF's order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.errors import WriteError
from napari_omezarr_cloud.ngff import Axis
from napari_omezarr_cloud.pyramid import Grid, Pyramid, PyramidView, Region, Transform
from napari_omezarr_cloud.pyramid.in_memory import PROCESS, ArrayLevel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.pyramid import Level

__all__ = ["BlockSource", "ViewSource", "Written", "box_of_level", "same_place"]


class Written(NamedTuple):
    """A level that is computed, and where it was written."""

    level: Level
    order: tuple[int, ...]
    """Its axes, in the order of those of `stored`."""
    stored: Level


class BlockSource(Protocol):
    """Gives blocks of levels in its own way."""

    bytes_read: int
    """Of stored voxels, so far."""

    async def block(self, level: Level, region: Region) -> npt.NDArray[Any]:
        """Return a region of a level; awaits on the loop."""
        ...

    def holding(self, written: Sequence[Written]) -> BlockSource:
        """Return one that does not compute these levels, but reads them where they lie."""
        ...

    def sampling(self) -> BlockSource:
        """Return one that reads no more than a block needs: for an estimate."""
        ...


_RANKS = {"time": 0, "space": 2}


@dataclass(frozen=True)
class ViewSource:
    """Levels of one view, or of several that become the channels of one image.

    Make one with `of`.
    """

    views: tuple[PyramidView, ...]
    """All of one shape and dtype, axes in NGFF's order."""
    numbers: tuple[int, ...]
    """Which levels of the pyramids: the finest that is written, or all that are copied."""
    boxes: tuple[Region, ...]
    """What of each of these levels, in the order of the views' axes."""
    channel: int | None
    """Where the axis of the joined channels goes; None: one view, with the axes it has."""
    reader: BlockSource | None = None
    """Who gives the voxels; None: the engine, which keeps nothing of them in memory."""
    at_once: tuple[int, ...] = ()
    """Axes of what is written along which all is computed for any of its blocks."""

    @classmethod
    def of(
        cls,
        views: Sequence[PyramidView],
        *,
        numbers: Sequence[int] = (0,),
        box: Region | None = None,
        are_channels: bool = False,
        are_aligned: bool = False,
    ) -> ViewSource:
        """Return a source.

        Parameters
        ----------
        views
            One, or one per channel.
        numbers
            Levels of the pyramids; several are copied as they are.
        box
            What is taken, in voxels of the first of these levels and in the order of the first
            view's axes; None: all.
        are_channels
            Whether a single view is a channel, too; several always are.
        are_aligned
            Whether they lie at one place, whatever their transforms say: the caller has compared.

        Raises
        ------
        WriteError
            If the views do not fit each other.
        """
        first = views[0]
        if box is not None and tuple(_order(first)) != tuple(range(first.ndim)):
            order = _order(first)
            box = Region(tuple(box.start[a] for a in order), tuple(box.stop[a] for a in order))
        ordered = tuple(_reordered(view) for view in views)
        first = ordered[0]
        grids = [view.grid(numbers[0]) for view in ordered]
        for view, grid in zip(ordered[1:], grids[1:], strict=True):
            if _names(view) != _names(first) or grid.shape != grids[0].shape:
                raise WriteError(
                    "Could not combine the layers into one image",
                    why=f"“{first.pyramid.name}” is {_names(first)} {grids[0].shape}, "
                    f"“{view.pyramid.name}” is {_names(view)} {grid.shape}",
                    hint="Save layers of one shape together, the others by themselves.",
                )
            if not are_aligned and not same_place(
                first.transform(numbers[0]), view.transform(numbers[0])
            ):
                raise WriteError(
                    "Could not combine the layers into one image",
                    why=f"“{view.pyramid.name}” lies elsewhere than “{first.pyramid.name}”, or has "
                    "another voxel size",
                    hint="Save them one by one.",
                )
        box = box or Region.whole(grids[0].shape)
        boxes = tuple(box_of_level(first, box, numbers[0], number) for number in numbers)
        channel = None
        if len(views) > 1 or are_channels:
            if any(axis.type == "channel" for axis in first.axes):
                raise WriteError(
                    "Could not combine the layers into one image",
                    why="they have channels of their own already",
                    hint="Save them one by one.",
                )
            channel = sum(_RANKS.get(axis.type or "", 1) == 0 for axis in first.axes)
        return cls(ordered, tuple(numbers), boxes, channel)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Axes of what is written."""
        return self._with_channel(self.views[0].axes, Axis("c", "channel"))

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Type that holds the voxels of all views."""
        return np.result_type(*(view.dtype for view in self.views))

    def grid(self, number: int = 0) -> Grid:
        """Return shape, chunks and dtype of a level of what is written."""
        first = self.views[0]
        own = first.level(self.numbers[number]).grid.chunks
        shape = self._with_channel(self.boxes[number].shape, len(self.views))
        return Grid(shape, self.chunks_of(first.pyramid, own), self.dtype)

    def chunks_of(self, pyramid: Pyramid, chunks: Sequence[int]) -> tuple[int, ...]:
        """Return chunks of a level of one of the pyramids, in the order of what is written."""
        view = next(view for view in self.views if view.pyramid is pyramid)
        return self._with_channel(tuple(chunks[axis] for axis in view.order), 1)

    def transform(self, number: int = 0) -> Transform:
        """Return where the voxels of a level of what is written lie."""
        first = self.views[0]
        whole = first.transform(self.numbers[number])
        # Channels have no place: some that are left out move none of the others.
        start = [
            0 if axis.type == "channel" else a
            for axis, a in zip(first.axes, self.boxes[number].start, strict=True)
        ]
        translation = tuple(
            t + s * a for t, s, a in zip(whole.translation, whole.scale, start, strict=True)
        )
        return Transform(self._with_channel(whole.scale, 1.0), self._with_channel(translation, 0.0))

    def _with_channel(self, values: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
        if self.channel is None:
            return tuple(values)
        return (*values[: self.channel], value, *values[self.channel :])

    def fingerprint(self) -> str:
        """Return what tells arrays of others apart, which have no link; empty where all have one.

        Goes through arrays that are in memory.
        """
        found = []
        for view in self.views:
            for number in self.numbers:
                level = view.level(number)
                if isinstance(level, ArrayLevel):
                    found.append(level.fingerprint())
                elif _is_local(view.pyramid):
                    found.append(f"{PROCESS} {level.key}")
        return "".join(f" {each}" for each in found)

    def read(self, level: int, region: Region) -> npt.NDArray[Any]:
        """Return a region of a level of what is written, exactly; waits, on an ordinary thread.

        Raises
        ------
        CloudError
            If a chunk cannot be read.
        """
        if self.channel is None:
            return self._read(self.views[0], level, region)
        axis = self.channel
        inner = Region(_without(region.start, axis), _without(region.stop, axis))
        parts = [
            self._read(self.views[c], level, inner)
            for c in range(region.start[axis], region.stop[axis])
        ]
        return np.stack(parts, axis)

    def _read(self, view: PyramidView, level: int, region: Region) -> npt.NDArray[Any]:
        origin = self.boxes[level].start
        moved = Region(
            tuple(a + o for a, o in zip(region.start, origin, strict=True)),
            tuple(b + o for b, o in zip(region.stop, origin, strict=True)),
        )
        here = engine()
        source = view.level(self.numbers[level])
        there = view.expand(moved)
        if self.reader is not None:
            pixels = here.io.wait(self.reader.block(source, there))
        else:
            pixels = here.io.wait(here.region(source, there, keep=False))
        return view.reduce(pixels)


def box_of_level(view: PyramidView, box: Region, start: int, number: int) -> Region:
    """Return the voxels of another level that lie in a box of one.

    Parameters
    ----------
    view
        Of what.
    box
        In voxels of level ``start``, in the order of the view's axes.
    start, number
        The level that the box is of, and the other one.
    """
    if start == number:
        return box
    step = view.transform(start).to(view.transform(number))
    return step.covering(box, view.grid(number).shape)


def _is_local(pyramid: Pyramid) -> bool:
    """Tell whether anything that it is computed from has no link."""
    inner = [each for each in pyramid.kept if isinstance(each, Pyramid)]
    return not pyramid.source or any(map(_is_local, inner))


def _without(values: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return values[:axis] + values[axis + 1 :]


def _order(view: PyramidView) -> list[int]:
    """Return the view's axes in NGFF's order: time, then channel, then space."""
    return sorted(range(view.ndim), key=lambda a: _RANKS.get(view.axes[a].type or "", 1))


def _reordered(view: PyramidView) -> PyramidView:
    order = [view.order[a] for a in _order(view)]
    return PyramidView(view.pyramid, view.fixed, tuple(order), view.shown_as)


def _names(view: PyramidView) -> str:
    return "".join(axis.name for axis in view.axes)


def same_place(one: Transform, other: Transform) -> bool:
    """Tell whether two levels have voxels of one size at one place, but for rounding."""
    return np.allclose(one.scale, other.scale, rtol=1e-6) and np.allclose(
        one.translation, other.translation, rtol=1e-6, atol=1e-6 * max(one.scale)
    )
