"""What one has once a link is open: images, their levels, labels and series."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.chunks.dask_view import dask_array
from napari_omezarr_cloud.errors import NotFoundError, RegionError
from napari_omezarr_cloud.ngff import Affine, Axis, Channel, CoordinateSystem, ImageLabel
from napari_omezarr_cloud.pyramid import Grid, Pyramid, PyramidView, Region
from napari_omezarr_cloud.pyramid import Level as _Level
from napari_omezarr_cloud.pyramid.channels import channels_of
from napari_omezarr_cloud.pyramid.stored import StoredLevel
from napari_omezarr_cloud.store import Traffic, io_thread

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    import dask.array as da
    import numpy as np
    import numpy.typing as npt
    import zarr

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.process import Recipe
    from napari_omezarr_cloud.pyramid.opening import OpenedImage, OpenedLabels, Sibling
    from napari_omezarr_cloud.pyramid.plate_opened import FieldChoice, OpenedPlate

__all__ = ["Derived", "Image", "Labels", "Level", "Leveled", "SeriesEntry"]


class Level:
    """One resolution of an image; level 0 is the finest."""

    def __init__(self, pyramid: Pyramid, number: int) -> None:
        self._pyramid = pyramid
        self.number = number
        """Position in the pyramid."""

    @property
    def _level(self) -> _Level:
        return self._pyramid.levels[self.number]

    @property
    def _grid(self) -> Grid:
        return self._level.grid

    @property
    def path(self) -> str:
        """Path of the array below the image; of a computed level, the operation."""
        return self._level.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels per axis, in the order of the image's axes."""
        return self._grid.shape

    @property
    def chunks(self) -> tuple[int, ...]:
        """Voxels per chunk and axis; of the inner chunks where the array is sharded."""
        return self._grid.chunks

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels, in this machine's byte order."""
        return self._grid.dtype

    @property
    def chunk_count(self) -> int:
        """How many chunks the level has, stored or not."""
        return math.prod(self._grid.chunk_counts)

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels, decoded."""
        return self._grid.nbytes

    @property
    def scale(self) -> tuple[float, ...]:
        """Size of a voxel per axis, in the axis' unit; the multiscale's own transform applied."""
        return self._level.transform.scale

    @property
    def translation(self) -> tuple[float, ...]:
        """Position of the centre of the first voxel per axis, in the axis' unit."""
        return self._level.transform.translation

    @property
    def is_stored(self) -> bool:
        """Whether it is an array of a store; else it is computed, put together, or in memory."""
        return isinstance(self._level, StoredLevel)

    @cached_property
    def dask(self) -> da.Array:
        """The level as a dask array, chunked as stored; computing it gives exact voxels."""
        return dask_array(PyramidView.of(self._pyramid), self.number)

    @property
    def zarr(self) -> zarr.Array[Any]:
        """The level as a zarr array over the same connections; read-only.

        Raises
        ------
        RegionError
            If the level is not stored anywhere: it is computed, or in memory.
        """
        if not isinstance(self._level, StoredLevel):
            raise RegionError(
                f"There is no zarr array of {self.path}",
                why="it is computed or in memory, and not stored",
                hint="Use dask or read().",
            )
        array: zarr.Array[Any] = self._level.zarr_array()
        return array

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return f"<Level {self.number} {self.path!r}: {shape} {self.dtype}>"


@dataclass(frozen=True, eq=False)
class Leveled:
    """What images and labels share: a pyramid to read from."""

    pyramid: Pyramid

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Name, type and unit of each axis, in the order of the arrays."""
        return self.pyramid.axes

    @property
    def affine(self) -> Affine | None:
        """What comes after the levels' scale and translation: a rotation, a shear, another order.

        In the units and order of `axes`; None where nothing does.
        """
        return self.pyramid.affine

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """Resolutions from fine (0) to coarse."""
        return tuple(Level(self.pyramid, n) for n in range(len(self.pyramid.levels)))

    def read(self, level: int = 0, region: Sequence[slice | int] | None = None) -> npt.NDArray[Any]:
        """Return voxels, exactly; waits for them.

        Parameters
        ----------
        level
            0 is the finest.
        region
            One slice or index per axis, in voxels of that level; an index drops its axis.
            None is the whole level.

        Raises
        ------
        RegionError
            If there is no such level, the region leaves it, or it does not fit into memory.
        ChunkError
            If a chunk cannot be read; the message names it.
        """
        levels = self.pyramid.levels
        if not -len(levels) <= level < len(levels):
            why = f"there is no level {level}; the image has {len(levels)}"
            raise RegionError("Could not read the level", where=self.pyramid.source, why=why)
        source = levels[level]
        items = tuple(region) if region is not None else (slice(None),) * self.pyramid.ndim
        box = Region.from_slices(items, source.grid.shape)
        pixels = engine().load(source, box)
        return pixels[tuple(slice(None) if isinstance(part, slice) else 0 for part in items)]


@dataclass(frozen=True, eq=False)
class Labels(Leveled):
    """A label image beside an image."""

    name: str
    label: ImageLabel
    """Colours and properties by label value."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was odd in the metadata and how it was taken, in sentences."""
        return self.pyramid.notes

    def __repr__(self) -> str:
        return f"<Labels {self.name!r}: {len(self.levels)} levels, {self.levels[0]!r}>"


@dataclass(frozen=True, eq=False)
class Image(Leveled):
    """An OME-Zarr image that is open: its metadata are here, its voxels are where they were."""

    opened: OpenedImage

    @property
    def location(self) -> Location:
        """Where it is; ``str()`` of it shows no secret."""
        return self.opened.location

    @property
    def name(self) -> str:
        """The image's own name, else the last part of its link."""
        return self.opened.name

    @property
    def version(self) -> str:
        """Version of the OME-Zarr metadata; empty where there are none: a plain Zarr array."""
        return self.opened.image.version

    @property
    def coordinate_systems(self) -> tuple[CoordinateSystem, ...]:
        """Coordinate systems that the metadata name (since version 0.6), as listed.

        The ``affine`` of each leads there from the one that the stored levels are given in.
        """
        return self.opened.image.systems

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """One per index of the channel axis, in its order; one where there is no such axis."""
        return channels_of(self.opened.image, self.pyramid)

    @property
    def labels(self) -> tuple[Labels, ...]:
        """Label images beside the image; waits until their metadata are here.

        Of a plate whose first wells have none, those that were found in others since.
        """
        late = () if self.plate is None else self.plate.labels.late
        return (*self._first_labels, *map(_labels, late))

    @cached_property
    def _first_labels(self) -> tuple[Labels, ...]:
        found, _ = self._label_results()
        return tuple(map(_labels, found))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was odd in the metadata and how it was taken, in sentences."""
        notes = self.opened.notes
        if self.plate is not None:
            notes = (*notes, *self.plate.found.sentences)
        stored = [level for level in self.pyramid.levels if isinstance(level, StoredLevel)]
        notes = (*notes, *(sentence for level in stored for sentence in level.found))
        return (*notes, *self._label_results()[1]) if self.opened.labels.done() else notes

    @cached_property
    def together(self) -> tuple[Image, ...]:
        """Images that are shown at once with this one: the others of its scene."""
        return tuple(Image(each.pyramid, each) for each in self.opened.together)

    @cached_property
    def series(self) -> tuple[SeriesEntry, ...]:
        """All images where the link leads, this one included; empty where it is the only one."""
        return tuple(SeriesEntry(each, n) for n, each in enumerate(self.opened.series))

    @property
    def linked_level(self) -> int | None:
        """The level that the link leads to, where that is one array of the image (``…/2``)."""
        return self.opened.linked_level

    @property
    def parent(self) -> Location | None:
        """Of a label image by itself: where the image should be that it belongs to; else None."""
        return self.opened.beside

    @property
    def plate(self) -> OpenedPlate | None:
        """Of a plate or well: its wells, where they lie, which field is shown; None: an image."""
        return self.opened.plate

    def show_field(self, field: FieldChoice, *, acquisition: int | None = None) -> Image:
        """Return the plate or well with another field; waits for the metadata of one well.

        Parameters
        ----------
        field
            Of each well, counted from 0; None: the first of a plate's, all of a well's. "all".
        acquisition
            Id of the acquisition whose fields count; None: any.

        Raises
        ------
        NotFoundError
            If there is no such field, or this is neither plate nor well.
        """
        plate = self.plate
        if plate is None:
            raise NotFoundError(
                "Could not show a field", where=str(self.location), why="this is no plate or well"
            )

        async def reopened() -> Image:
            opened = await plate.reopen(field, acquisition)
            return Image(opened.pyramid, opened)

        return io_thread().wait(reopened())

    @property
    def traffic(self) -> Traffic:
        """Requests and bytes so far."""
        return self.opened.traffic

    def _label_results(self) -> tuple[tuple[OpenedLabels, ...], tuple[str, ...]]:
        task = self.opened.labels
        if task.done():
            return task.result()

        async def wait() -> tuple[tuple[OpenedLabels, ...], tuple[str, ...]]:
            return await asyncio.shield(task)

        return io_thread().wait(wait())

    def __repr__(self) -> str:
        axes = "".join(axis.name for axis in self.axes)
        kind = f"OME-Zarr {self.version}" if self.version else "plain Zarr"
        return f"<Image {self.name!r} ({axes}, {kind}): {self.levels[0]!r}>"


@dataclass(eq=False)
class SeriesEntry:
    """One of several images in one place: opened when it is asked for, and then kept."""

    sibling: Sibling
    index: int
    """Its place among them."""
    _opening: Future[Image] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """As the metadata call it, else its path."""
        return self.sibling.name

    @property
    def path(self) -> str:
        """Below the place they are in; empty where one group describes several images."""
        return self.sibling.path

    @property
    def location(self) -> Location:
        """Its own link."""
        return self.sibling.location

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Voxels per axis of its finest level; None until it has been opened."""
        future = self._opening
        if future is None or not future.done() or future.cancelled() or future.exception():
            return None
        return future.result().levels[0].shape

    def open(self) -> Image:
        """Return the image; waits for its metadata.

        Raises
        ------
        CloudError
            As :func:`~napari_omezarr_cloud.api.open` does.
        """

        async def wait() -> Image:
            return await asyncio.shield(asyncio.wrap_future(self.open_async()))

        return io_thread().wait(wait())

    def open_async(self) -> Future[Image]:
        """Begin to open it, or return what began before; a failure is tried again."""
        future = self._opening
        if future is None or (future.done() and (future.cancelled() or future.exception())):
            future = self._opening = io_thread().submit(self._open())
        return future

    async def _open(self) -> Image:
        opened = await self.sibling.open()
        return Image(opened.pyramid, opened)


@dataclass(frozen=True, eq=False)
class Derived(Leveled):
    """An image that is computed, or in memory: its voxels are made when they are asked for."""

    recipe: Recipe | None = None
    """How it was made, with every measured value; None where it was not computed."""

    @property
    def name(self) -> str:
        """What it is, in words."""
        return self.pyramid.name

    @property
    def notes(self) -> tuple[str, ...]:
        """What was measured on the way and where, in sentences."""
        return self.pyramid.notes

    def __repr__(self) -> str:
        axes = "".join(axis.name for axis in self.axes)
        return f"<Derived {self.name!r} ({axes}): {self.levels[0]!r}>"


def _labels(opened: OpenedLabels) -> Labels:
    return Labels(opened.pyramid, opened.name, opened.label or ImageLabel())
