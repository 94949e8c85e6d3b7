"""The image that a group of kind "image" describes, opened."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from napari_omezarr_cloud.pyramid.first_image import first_image
from napari_omezarr_cloud.pyramid.labels_opening import open_all_labels
from napari_omezarr_cloud.pyramid.levels_opening import open_pyramid
from napari_omezarr_cloud.pyramid.opened import OpenedImage

if TYPE_CHECKING:
    from napari_omezarr_cloud.ngff import Group, Image
    from napari_omezarr_cloud.store import OpenedStore

__all__ = ["open_image_group"]


async def open_image_group(
    opened: OpenedStore, group: Group, image: Image | None = None
) -> OpenedImage:
    """Open the (first) image of a group; its labels go on opening by themselves.

    Parameters
    ----------
    opened
        The group's store, and what the first round brought.
    group
        Of kind ``"image"``; others are refused by name.
    image
        The image of it, where that was worked out already: a scene has given it its place.
    """
    where = str(opened.location)
    image = image or first_image(group)
    labels = asyncio.ensure_future(open_all_labels(opened, where, group.zarr_format, image))
    try:
        image, pyramid = await open_pyramid(
            opened.store, "", group, image, opened.documents, where, opened.location.name
        )
    except BaseException:
        labels.cancel()
        raise
    return OpenedImage(
        opened.location,
        image,
        pyramid,
        opened.store,
        opened.traffic,
        (*opened.notes, *image.notes),
        labels,
        name=image.name if image.name not in (None, "", "/") else opened.location.name,
    )
