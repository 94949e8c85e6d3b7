"""A Zarr array, opened: as a level of the image it belongs to, or by itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError, NotOmeZarrError
from napari_omezarr_cloud.ngff import parse_group, parse_images, parse_json
from napari_omezarr_cloud.ngff.axes import guess_plain_axes
from napari_omezarr_cloud.ngff.plain import plain_image
from napari_omezarr_cloud.pyramid.documents import ARRAY_KEY, FIRST_ROUND, ROOT, top_documents
from napari_omezarr_cloud.pyramid.image_opening import open_image_group
from napari_omezarr_cloud.store import OpenedStore, open_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.ngff import Group, Image
    from napari_omezarr_cloud.pyramid.opened import OpenedImage

__all__ = ["open_array"]


async def open_array(
    opened: OpenedStore,
    group: Group,
    axes: Sequence[str] | None = None,
    *,
    is_level: bool = True,
) -> OpenedImage:
    """Open an array: as a level of the image it belongs to, else by itself.

    Parameters
    ----------
    opened
        The array's store, and what the first round brought.
    group
        Of kind ``"array"``.
    axes
        What the person calls its axes; None: as the metadata name them, else a guess.
    is_level
        Whether it may be a level of an image above it.

    Raises
    ------
    NotOmeZarrError
        If it has fewer than two axes.
    MetadataError
        If its metadata cannot be understood.
    """
    whole = await _image_of(opened, axes) if is_level else None
    if whole is not None:
        return whole
    return await _by_itself(opened, group, axes)


async def _image_of(opened: OpenedStore, axes: Sequence[str] | None) -> OpenedImage | None:
    """Open the image one folder up, or two, if it lists this array among its levels."""
    near, far = await asyncio.gather(
        _image_above(opened.location, 1, FIRST_ROUND), _image_above(opened.location, 2, ROOT)
    )
    found = near or far
    if found is None:
        return None
    up, group, image, path = found
    whole = await open_image_group(up, group, image, axes=axes)
    paths = [dataset.path for dataset in whole.image.datasets]
    if path not in paths:
        whole.labels.cancel()
        return None
    level = paths.index(path)
    note = (
        f"The link leads to one level of this image, {path!r}; the whole image was opened, in "
        f"which it is level {level}."
    )
    return replace(whole, notes=(note, *whole.notes), linked_level=level)


async def _image_above(
    location: Location, steps: int, keys: tuple[str, ...]
) -> tuple[OpenedStore, Group, Image, str] | None:
    """Return the image so many folders up, and the path there of a location that is a level."""
    above: Location | None = location
    for _ in range(steps):
        above = above.parent() if above is not None else None
    path = "/".join(location.key.rstrip("/").split("/")[-steps:])
    if above is None or not path:
        return None
    try:
        up = await open_store(above, keys, witness=ROOT)
        group = parse_group(top_documents(up.documents), where=str(up.location))
        images = parse_images(group) if group.kind == "image" else ()
    except CloudError:
        return None  # whatever is up there, the array is here
    image = next((i for i in images if path in [d.path for d in i.datasets]), None)
    return None if image is None else (up, group, image, path)


async def _by_itself(opened: OpenedStore, group: Group, axes: Sequence[str] | None) -> OpenedImage:
    where, key = str(opened.location), ARRAY_KEY[group.zarr_format]
    raw = opened.documents.get(key)
    document = parse_json(bytes(raw or b""), where=where, key=key)
    shape = document.get("shape")
    ndim = len(shape) if isinstance(shape, list) else 0
    if ndim == 1:
        raise NotOmeZarrError(
            "Could not open the array",
            where=where,
            key=key,
            why="it has one axis, and an image has at least two",
            hint="It may be a table's column; an image may be in a folder beside it.",
        )
    image = plain_image(group, document)
    notes = ["This is a plain Zarr array, without the metadata of an OME-Zarr image."]
    if axes is None and len(image.axes) != ndim:
        is_shape = isinstance(shape, list) and all(isinstance(n, int) for n in shape)
        image = replace(image, axes=guess_plain_axes(shape) if is_shape and shape else ())
        names = ", ".join(axis.name for axis in image.axes)
        notes.append(
            f"Its axes were taken for {names}; if that is wrong, open it with axes='zyx' or as "
            "they are (Open URL: Advanced, Axes)."
        )
    return await open_image_group(opened, group, image, axes=axes, notes=notes)
