"""The verbs, without a window: each a short walk from a link to pixels."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.chunks.dask_view import dask_array
from napari_omezarr_cloud.errors import LinkError, NotFoundError, OperationError, RegionError
from napari_omezarr_cloud.links import Link, Source, let_in, read_link
from napari_omezarr_cloud.location import Location, parse_location
from napari_omezarr_cloud.ngff import Affine, Axis, Channel, CoordinateSystem, ImageLabel
from napari_omezarr_cloud.process import Recipe, RecipeInput, Step, get_operation
from napari_omezarr_cloud.process.apply import apply_recipe
from napari_omezarr_cloud.pyramid import Grid, Pyramid, PyramidView, Region
from napari_omezarr_cloud.pyramid import Level as _Level
from napari_omezarr_cloud.pyramid.channels import channel_axis, channels_of
from napari_omezarr_cloud.pyramid.in_memory import array_pyramid, transform_of_level
from napari_omezarr_cloud.pyramid.opening import OpenedImage, OpenedLabels, Sibling, open_image
from napari_omezarr_cloud.pyramid.stored import StoredLevel
from napari_omezarr_cloud.resolving import resolve
from napari_omezarr_cloud.store import Traffic, io_thread

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from os import PathLike

    import dask.array as da
    import numpy.typing as npt
    import zarr

    from napari_omezarr_cloud.pyramid.plate_opened import FieldChoice, OpenedPlate

__all__ = [
    "Derived",
    "Image",
    "Labels",
    "Level",
    "SeriesEntry",
    "apply",
    "from_array",
    "locate",
    "open",
    "open_all_async",
    "open_async",
    "resolve_async",
    "understand",
]


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
class _Leveled:
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
class Labels(_Leveled):
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
class Image(_Leveled):
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
            As :func:`open` does.
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
class Derived(_Leveled):
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


async def _open(
    link: Location | Link,
    axes: Sequence[str] | None = None,
    field: FieldChoice = None,
    acquisition: int | None = None,
) -> Image:
    notes: tuple[str, ...] = ()
    if isinstance(link, Location):
        location = link
    else:
        link = await resolve(link)
        location, notes = link.sources[0].location, _notes_of(link)
    opened = await open_image(location, axes=axes, field=field, acquisition=acquisition)
    if notes:
        opened = replace(opened, notes=(*opened.notes, *notes))
    return Image(opened.pyramid, opened)


def _notes_of(link: Link) -> tuple[str, ...]:
    others = [str(source.location) for source in link.sources[1:]]
    if not others:
        return link.notes
    more = f" and {len(others) - 8} more" if len(others) > 8 else ""
    listed = ", ".join(others[:8]) + more
    return (*link.notes, f"The first of {len(others) + 1} images is opened; also there: {listed}.")


def understand(text: str | PathLike[str], *, endpoint: str | None = None, **access: Any) -> Link:
    """Understand a link, also that of another viewer; asks no server.

    Takes what :func:`open` takes. What is given here counts more than what the link says.

    Raises
    ------
    LinkError
        If the text is no link.
    """
    given = {name: value for name, value in access.items() if value is not None}
    if isinstance(text, str):
        link = read_link(text, endpoint=endpoint)
    else:
        link = Link(sources=(Source(parse_location(text, endpoint=endpoint)),))
    if not given:
        return link
    return let_in(link, lambda place: replace(place, access=replace(place.access, **given)))


def resolve_async(link: str | PathLike[str] | Link, **access: Any) -> Future[Link]:
    """Begin to look up what a viewer's link shows; done at once where the link says it itself.

    Takes what :func:`understand` takes, and raises as :func:`open_async` does.
    """
    found = link if isinstance(link, Link) else understand(link, **access)
    return io_thread().submit(resolve(found))


def open_all_async(
    link: Link,
    *,
    axes: str | Sequence[str] | None = None,
    field: FieldChoice = None,
    acquisition: int | None = None,
    most: int = 16,
) -> Future[tuple[Link, list[Future[Image]]]]:
    """Begin to open all images of a viewer's link at once, after its lookups.

    Parameters
    ----------
    link
        As :func:`understand` returns it.
    axes, field, acquisition
        As for :func:`open`, of each image.
    most
        Images that are opened; the link names those that are left.

    Returns
    -------
    Future of (Link, list of Future of Image)
        The link with its sources known, and what will be its first images. Each must be cancelled
        by itself.

    Raises
    ------
    LinkError
        At once, if the axes are none; everything else comes from the futures.
    """
    names = _axis_names(axes)

    async def begin() -> tuple[Link, list[Future[Image]]]:
        found = await resolve(link)
        shown = [each.location for each in found.sources[:most]]
        return found, [io_thread().submit(_open(each, names, field, acquisition)) for each in shown]

    return io_thread().submit(begin())


def open_async(
    link: str | PathLike[str] | Location | Link,
    *,
    axes: str | Sequence[str] | None = None,
    field: FieldChoice = None,
    acquisition: int | None = None,
    **access: Any,
) -> Future[Image]:
    """Begin to open a link and return at once; cancelling the future aborts its requests.

    Takes what :func:`open` takes; raises ``LinkError`` at once, everything else from the future.
    """
    found = link if isinstance(link, Location | Link) else understand(link, **access)
    return io_thread().submit(_open(found, _axis_names(axes), field, acquisition))


def open(
    link: str | PathLike[str] | Location | Link,
    *,
    axes: str | Sequence[str] | None = None,
    field: FieldChoice = None,
    acquisition: int | None = None,
    endpoint: str | None = None,
    region: str | None = None,
    anonymous: bool | None = None,
    profile: str | None = None,
) -> Image:
    """Open the OME-Zarr image at a link; reads metadata only.

    Where there are several images, the first is opened, with a note and all of them in its
    ``series``. A plate or well is one image, with its fields side by side.

    Parameters
    ----------
    link
        ``s3://bucket/key``, ``https://…``, ``gs://…``, ``az://…``, a local path, or the link of
        another viewer, of whose images the first is opened. A ``Location`` says itself how to
        get in, and what follows ``acquisition`` is not looked at.
    axes
        Names of the array's axes in their order, ``"tzyx"`` or ``"time,y,x"``, where the metadata
        have none or wrong ones.
    field
        Of a plate or well: which field of each well is shown, counted from 0 in the order listed.
        "all": all of them, side by side in their well. None: the first of each well of a plate,
        all of a well.
    acquisition
        Of a plate or well: id of the acquisition whose fields count. None: any.
    endpoint
        Of an S3 server other than Amazon's.
    region
        Of an S3 bucket, where it is not found by itself.
    anonymous
        True never signs, False always does; None tries anonymous access first.
    profile
        Name of a profile in the AWS configuration.

    Raises
    ------
    LinkError
        If the text is no link.
    NotFoundError, AccessRefusedError, UnreachableError, ServerError
        If nothing can be had there.
    MetadataError
        If it is no OME-Zarr image, or one of a kind that cannot be shown.
    """
    if not isinstance(link, Location | Link):
        given = {"region": region, "anonymous": anonymous, "profile": profile}
        link = understand(link, endpoint=endpoint, **given)
    return io_thread().wait(_open(link, _axis_names(axes), field, acquisition))


def _axis_names(axes: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if not axes:
        return None
    names = axes.split(",") if isinstance(axes, str) and "," in axes else axes
    names = tuple(name.strip() for name in names)
    if "" in names or len(set(names)) < len(names):
        raise LinkError(
            "Could not use these axes",
            why=f"each needs a name of its own; they are {axes!r}",
            hint="Write 'tczyx', or 'time,y,x'.",
        )
    return names


def locate(
    text: str | PathLike[str],
    *,
    endpoint: str | None = None,
    region: str | None = None,
    anonymous: bool | None = None,
    profile: str | None = None,
) -> Location:
    """Understand a link; asks no server.

    Takes what :func:`open` takes. What is given here counts more than what the link says.

    Raises
    ------
    LinkError
        If the text is no link.
    """
    link = understand(text, endpoint=endpoint, region=region, anonymous=anonymous, profile=profile)
    if not link.sources:
        raise LinkError(
            "The link does not say itself where its images are",
            why=f"{link.viewer} must be asked",
            hint="Open it, or paste the link of the image itself.",
        )
    return link.sources[0].location


_Source = Image | Labels | Derived


def apply(
    images: _Source | Mapping[str, _Source],
    recipe: Recipe | Step | str | PathLike[str],
    *,
    channels: int | Mapping[str, int] | None = None,
) -> Derived:
    """Apply a recipe to an image, lazily: voxels are computed when they are read.

    Parameters
    ----------
    images
        One image (or labels, or the result of another recipe), or one for each input of the recipe,
        by name. The first gives the grid; others are sampled at its voxels.
    recipe
        A recipe, one step, the path of a recipe's file, or its text.
    channels
        Which channel to take, of all inputs or by input; counts more than what the recipe says.
        Without any, every channel is treated, each alone.

    Returns
    -------
    Derived
        Axes as the first image, without the channel axis where one channel was taken; levels as
        many as it has, each the operations on that level, with lengths in µm.

    Raises
    ------
    OperationError
        If the recipe cannot be read, or the images do not suit it.
    ChunkError
        If voxels for a threshold that must be measured cannot be read.

    Examples
    --------
    >>> image = noc.open("https://example.org/image.zarr")  # doctest: +SKIP
    >>> blurred = noc.apply(image, noc.Step("gaussian", {"sigma": 1.5}))  # doctest: +SKIP
    >>> blurred.read(level=2)  # doctest: +SKIP
    """
    recipe = _recipe(recipe)
    given = images if isinstance(images, Mapping) else _given(recipe, images)
    views = {}
    for each in recipe.inputs:
        if each.name in given:
            channel = channels.get(each.name) if isinstance(channels, Mapping) else channels
            views[each.name] = _view(given[each.name], each.channel if channel is None else channel)
    applied = io_thread().wait(apply_recipe(recipe, views, engine()))
    notes = tuple(sentence for step in applied.steps for sentence in step.sentences)
    return Derived(replace(applied.pyramid, notes=notes), applied.recipe)


def _recipe(recipe: Recipe | Step | str | PathLike[str]) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, Step):
        inputs = tuple(RecipeInput(each.name) for each in get_operation(recipe.operation).inputs)
        return Recipe((recipe,), inputs)
    is_text = isinstance(recipe, str) and "\n" in recipe
    return Recipe.from_yaml(str(recipe)) if is_text else Recipe.load(recipe)


def _given(recipe: Recipe, image: _Source) -> dict[str, _Source]:
    """Return one image for all inputs: they can only be different channels of it."""
    return {each.name: image for each in recipe.inputs}


def _view(image: _Source, channel: int | None) -> PyramidView:
    pyramid = image.pyramid
    axis = channel_axis(pyramid)
    if channel is None or axis is None:
        return PyramidView.of(pyramid)
    count = pyramid.levels[0].grid.shape[axis]
    if not 0 <= channel < count:
        raise OperationError(
            f"There is no channel {channel}", where=pyramid.source, why=f"the image has {count}"
        )
    return PyramidView.of(pyramid, {axis: channel})


def from_array(
    levels: npt.ArrayLike | Sequence[Any],
    axes: str,
    *,
    scale: Sequence[float] | None = None,
    unit: str | None = None,
    name: str = "array",
) -> Derived:
    """Make an image of an array in memory or of a lazy one, to apply a recipe to.

    Parameters
    ----------
    levels
        An array with ``shape``, ``dtype`` and numpy-style indexing, or a list of them from fine to
        coarse. Voxels are read when they are needed and remembered.
    axes
        Their names in order, out of ``tczyx``; ``"zyx"``.
    scale
        Size of a voxel of the finest level per axis; ones if None. Coarser levels cover the same
        extent.
    unit
        Of the axes of space, for instance ``"micrometer"``; None: lengths count in voxels.
    name
        What it is called.

    Raises
    ------
    OperationError
        If axes and arrays do not fit each other.
    """
    arrays = list(levels) if isinstance(levels, list | tuple) else [levels]
    shapes = [np.shape(array) for array in arrays]
    sizes = tuple(scale) if scale is not None else (1.0,) * len(axes)
    if not arrays or any(len(s) != len(axes) or 0 in s for s in shapes) or len(sizes) != len(axes):
        raise OperationError(
            "Could not make an image of the arrays",
            why=f"axes {axes}, scale {sizes} and shapes {', '.join(map(str, shapes))} do not fit",
        )
    named = [Axis(n, _AXIS_TYPES.get(n), unit if n in "zyx" else None) for n in axes]
    transforms = [transform_of_level(shapes[0], shape, sizes) for shape in shapes]
    return Derived(array_pyramid(arrays, named, transforms, name))


_AXIS_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
