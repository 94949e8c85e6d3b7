"""The verbs, without a window: each a short walk from a link to pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.errors import LinkError, OperationError
from napari_omezarr_cloud.images import Derived, Image, Labels, Level, SeriesEntry
from napari_omezarr_cloud.links import Link, Source, let_in, read_link
from napari_omezarr_cloud.location import Location, parse_location
from napari_omezarr_cloud.ngff import Axis
from napari_omezarr_cloud.process import Recipe, RecipeInput, Step, get_operation
from napari_omezarr_cloud.process.apply import apply_recipe
from napari_omezarr_cloud.pyramid import PyramidView
from napari_omezarr_cloud.pyramid.channels import channel_axis
from napari_omezarr_cloud.pyramid.in_memory import array_pyramid, transform_of_level
from napari_omezarr_cloud.pyramid.opening import open_image
from napari_omezarr_cloud.resolving import resolve
from napari_omezarr_cloud.store import io_thread

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from os import PathLike

    import numpy.typing as npt

    from napari_omezarr_cloud.pyramid.plate_opened import FieldChoice

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
    requester_pays: bool | None = None,
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
    requester_pays
        You agree to pay for what is read from S3 or Google, and not the owner.

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
        link = understand(link, endpoint=endpoint, requester_pays=requester_pays, **given)
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
    requester_pays: bool | None = None,
) -> Location:
    """Understand a link; asks no server.

    Takes what :func:`open` takes. What is given here counts more than what the link says.

    Raises
    ------
    LinkError
        If the text is no link.
    """
    given = {"region": region, "anonymous": anonymous, "profile": profile}
    link = understand(text, endpoint=endpoint, requester_pays=requester_pays, **given)
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
