"""What is OME-Zarr or Zarr and no image: refused by name, with what to open instead."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import MetadataError, NotOmeZarrError, UnsupportedError
from napari_omezarr_cloud.ngff.attributes import ome_attributes
from napari_omezarr_cloud.ngff.paths import check_path
from napari_omezarr_cloud.ngff.plate import first_path
from napari_omezarr_cloud.ngff.values import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_omezarr_cloud.ngff.group import Group, Kind

__all__ = ["refuse_other_kinds"]

_UNSUPPORTED: dict[Kind, tuple[str, str]] = {
    "plate": ("a plate (high-content screening)", "Open one image of a well: {below}/0."),
    "well": ("a well of a plate", "Open one of its images: {below}."),
    "series": ("a series of images (bioformats2raw)", "Open one of its images: {where}/0."),
    "labels": ("a list of label images", "Open one of them, or the image above."),
    "scene": ("a scene (version 0.6)", "Open one of its images, a folder inside."),
    "collection": ("a collection (draft of a later version)", "Open one of its images."),
}


_LOOK_INSIDE = (
    "An image may be in a folder inside; open that one. (Web servers do not tell what is inside.)"
)


def refuse_other_kinds(group: Group) -> None:
    """Raise unless the group is an image.

    Raises
    ------
    NotOmeZarrError
        If it is an array, or a group without OME metadata.
    UnsupportedError
        If it is OME-Zarr of another kind; names it, and what in it to open.
    """
    if group.kind == "image":
        return
    if group.kind in ("array", "group"):
        raise _not_ome_zarr(group)
    kind, hint = _UNSUPPORTED[group.kind]
    below = first_path(group.attributes, group.kind, where=group.where, key=group.key)
    where = group.where.rstrip("/")
    raise UnsupportedError(
        "Could not open the image",
        where=group.where,
        key=group.key,
        why=f"this is {kind}, where one image is due",
        hint=hint.format(where=where, below=f"{where}/{below or '…'}"),
    )


def _not_ome_zarr(group: Group) -> NotOmeZarrError:
    if group.kind == "array":
        found = "this is a single Zarr array, not an OME-Zarr image (no multiscales)"
        hint = "Open the folder above it, which should hold the image."
    else:
        found = "this is a Zarr group without OME metadata (no multiscales)"
        inside = listed(_images_inside(group), most=3)
        hint = f"It holds images; open one of them: {inside}." if inside else _LOOK_INSIDE
    # What was odd about the metadata may be why none were found.
    why = " ".join((found, *(f"({note})" for note in group.notes)))
    return NotOmeZarrError(
        "Could not open the image", where=group.where, key=group.key, why=why, hint=hint
    )


def _images_inside(group: Group) -> Iterator[str]:
    """Links of the images that consolidated metadata know below a group."""
    for path, attributes in _nodes_inside(group):
        if "multiscales" in ome_attributes(attributes, key=path, notes=[]):
            with suppress(MetadataError):
                safe = check_path(path, where=group.where, key=group.key)
                yield f"{group.where.rstrip('/')}/{safe}"


def _nodes_inside(group: Group) -> Iterator[tuple[str, object]]:
    for key, document in (group.consolidated or {}).items():
        if group.zarr_format == 3:
            yield key, document.get("attributes") if isinstance(document, dict) else None
        elif key.endswith("/.zattrs"):
            yield key.removesuffix("/.zattrs"), document
