"""The image that a group of kind "image" describes, opened."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff import ImageLabel, parse_images
from napari_omezarr_cloud.ngff.axes import named_axes
from napari_omezarr_cloud.pyramid.as_kept import as_kept
from napari_omezarr_cloud.pyramid.channels import channel_axis
from napari_omezarr_cloud.pyramid.labels_opening import open_all_labels
from napari_omezarr_cloud.pyramid.levels_opening import open_pyramid
from napari_omezarr_cloud.pyramid.opened import OpenedImage, OpenedLabels, Sibling
from napari_omezarr_cloud.pyramid.several import note_on_several

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.ngff import Group, Image
    from napari_omezarr_cloud.pyramid.level import Pyramid
    from napari_omezarr_cloud.store import OpenedStore

__all__ = ["open_image_group"]


async def open_image_group(
    opened: OpenedStore,
    group: Group,
    image: Image | None = None,
    *,
    axes: Sequence[str] | None = None,
    notes: Sequence[str] = (),
    is_alone: bool = False,
    has_labels: bool = True,
) -> OpenedImage:
    """Open the (first) image of a group; its labels go on opening by themselves.

    Parameters
    ----------
    opened
        The group's store, and what the first round brought.
    group
        Of kind ``"image"``; others are refused by name.
    image
        The image of it, where that was worked out already: a scene has given it its place, or the
        group describes several.
    axes
        What the person calls its axes, in the order of the array's; None: as stated.
    notes
        What else is to be told of it.
    is_alone
        Whether it is known that there is no image which it could be a label image of.
    has_labels
        Whether a folder of labels beside it is its own.

    Raises
    ------
    MetadataError
        If the metadata cannot be understood, or ``axes`` are not as many as the array has.
    """
    where = str(opened.location)
    series: tuple[Sibling, ...] = ()
    if image is None:
        image, *others = parse_images(group)
        if others:
            series = tuple(
                Sibling(
                    each.name or f"multiscale {number}",
                    "",
                    opened.location,
                    _opener(opened, group, each, axes),
                )
                for number, each in enumerate((image, *others))
            )
            notes = (*notes, note_on_several(len(series), series[0].name, "multiscales"))
    if axes is not None:
        image = replace(
            image, axes=named_axes(axes, image.axes), affine=None, shown_axes=(), label_links=()
        )
    whole = asyncio.ensure_future(
        open_pyramid(opened.store, "", group, image, opened.documents, where, opened.location.name)
    )
    labels = asyncio.ensure_future(
        open_all_labels(opened, where, group.zarr_format, image, whole) if has_labels else _none()
    )
    try:
        image, pyramid = await whole
        name = image.name if image.name not in (None, "", "/") else opened.location.name
        pyramid = replace(pyramid, name=name, kept=(*pyramid.kept, opened.location))
        if axes is not None and pyramid.ndim != len(axes):
            raise _misfit(where, axes, pyramid)
    except BaseException:
        labels.cancel()
        raise
    beside = _image_of_labels(opened.location)
    if beside is not None:
        image = _as_labels(image, pyramid)
    if image.label is not None and pyramid.dtype.kind not in "biu":
        notes = (
            *notes,
            f"Its values are {pyramid.dtype}, and labels are whole numbers: it is shown as an "
            "image.",
        )
    if image.label is None or is_alone:
        beside = None
    elif beside is not None:
        notes = (*notes, f"These are labels of the image at {beside}.")
    found = OpenedImage(
        opened.location,
        image,
        pyramid,
        opened.store,
        opened.traffic,
        tuple(dict.fromkeys((*opened.notes, *notes, *image.notes))),
        labels,
        name=name,
        series=series,
        beside=beside,
    )
    return as_kept(found)


async def _none() -> tuple[tuple[OpenedLabels, ...], tuple[str, ...]]:
    return (), ()


def _opener(
    opened: OpenedStore, group: Group, image: Image, axes: Sequence[str] | None
) -> Callable[[], Awaitable[OpenedImage]]:
    async def open_it() -> OpenedImage:
        return await open_image_group(opened, group, image, axes=axes)

    return open_it


def _image_of_labels(location: Location) -> Location | None:
    """Return where the image is that a label image at a location belongs to.

    By the place alone: what the metadata call ``source`` may lead anywhere.
    """
    head, found, _ = location.key.rpartition("/labels/")
    return replace(location, key=head) if found and head else None


def _as_labels(image: Image, pyramid: Pyramid) -> Image:
    """Take an image in a folder of labels for labels, if its values can be some."""
    if image.label is not None or pyramid.dtype.kind not in "biu":
        return image
    if channel_axis(pyramid) is not None:
        return image
    note = "It lies among labels without saying that it is one (image-label); it was taken for one."
    return replace(image, label=ImageLabel(), notes=(*image.notes, note))


def _misfit(where: str, axes: Sequence[str], pyramid: Pyramid) -> MetadataError:
    shape = "x".join(map(str, pyramid.levels[0].grid.shape))
    return MetadataError(
        "Could not use these axes",
        where=where,
        why=f"{len(axes)} are given ({', '.join(axes)}), the array has {pyramid.ndim} ({shape})",
        hint="Give one name for each, in the order of the array: 'tczyx', or 'time,y,x'.",
    )
