"""Zarr without OME metadata: what the axes of an array are, which arrays a group holds."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff.attributes import ome_attributes
from napari_omezarr_cloud.ngff.axes import parse_axes
from napari_omezarr_cloud.ngff.image import Dataset, Image
from napari_omezarr_cloud.ngff.paths import check_path
from napari_omezarr_cloud.ngff.series import Entry
from napari_omezarr_cloud.ngff.values import settled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from napari_omezarr_cloud.ngff.group import Group

__all__ = [
    "HOLDERS",
    "PLAIN",
    "consolidated_images",
    "images_among",
    "is_pyramid",
    "level_names",
    "plain_image",
    "shape_of",
]

PLAIN = ""
"""The version of an image that is no OME-Zarr."""

HOLDERS = frozenset({"multiscales", "plate", "well", "bioformats2raw.layout", "scene"})
"""What a group below is offered for; what lies in it belongs to it."""


def plain_image(group: Group, document: Mapping[str, Any]) -> Image:
    """Return an array without OME metadata as an image of one level.

    Parameters
    ----------
    group
        Of kind ``"array"``.
    document
        Its ``.zarray`` or ``zarr.json``.

    Returns
    -------
    Image
        Axes as ``dimension_names`` (Zarr 3) or ``_ARRAY_DIMENSIONS`` (xarray) name them; none where
        neither does.
    """
    notes = list(group.notes)
    names = document.get("dimension_names") or group.attributes.get("_ARRAY_DIMENSIONS")
    axes = parse_axes(names, notes=notes) if names else ()
    return Image(PLAIN, None, axes, (Dataset(""),), notes=settled(notes))


def consolidated_images(group: Group) -> tuple[Entry, ...]:
    """Return the images and arrays below a group that its consolidated metadata know."""
    return images_among(_nodes(group), group)


def images_among(nodes: Iterable[tuple[str, bool, Any]], group: Group) -> tuple[Entry, ...]:
    """Return what can be opened by itself: OME-Zarr first, then arrays that belong to none.

    Parameters
    ----------
    nodes
        Path below the group, whether it is an array, its attributes.
    group
        Which they are below.
    """
    images: list[str] = []
    arrays: list[str] = []
    for path, is_array, attributes in sorted(nodes, key=lambda node: node[0].count("/")):
        try:
            safe = check_path(path, where=group.where, key=group.key)
        except MetadataError:
            continue
        if any(safe.startswith(f"{known}/") for known in images):
            continue
        if is_array:
            arrays.append(safe)
        elif HOLDERS & ome_attributes(attributes, key=path, notes=[]).keys():
            images.append(safe)
    arrays = [path for path in arrays if not any(path.startswith(f"{i}/") for i in images)]
    return tuple(Entry(path) for path in (*images, *arrays))


_LEVEL_NAME = re.compile(
    r"((?:s|scale|level|lvl|l|r|res|resolution)?[ _-]?)(\d{1,2})", re.IGNORECASE
)
_LEAST_STEP = 1.4
"""Levels of a pyramid are mostly halved; arrays of about the same size are something else."""


def level_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return those that number the levels of a pyramid (0, 1, 2 or s0, s1, s2), by number.

    Of several ways of counting, the one with most names.
    """
    families: dict[str, dict[int, str]] = {}
    for name in names:
        match = _LEVEL_NAME.fullmatch(name)
        if match is not None:
            families.setdefault(match[1].lower(), {}).setdefault(int(match[2]), name)
    family = max(families.values(), key=len, default={})
    return tuple(name for _, name in sorted(family.items()))


def shape_of(document: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Return the shape that an array's metadata state; None: not at least two whole numbers."""
    shape = document.get("shape")
    if not isinstance(shape, list) or len(shape) < 2:
        return None
    if any(isinstance(n, bool) or not isinstance(n, int) or not 1 <= n < 2**62 for n in shape):
        return None
    return tuple(shape)


def is_pyramid(shapes: Sequence[Sequence[int] | None]) -> bool:
    """Tell whether arrays of these shapes can be one image, each coarser than the one before.

    From one to the next every axis keeps its length or is clearly shorter, and at least one is.
    """
    for fine, coarse in pairwise(shapes):
        if fine is None or coarse is None or len(fine) != len(coarse):
            return False
        pairs = [(f, c) for f, c in zip(fine, coarse, strict=True) if f != c]
        if not pairs or any(f < c * _LEAST_STEP for f, c in pairs):
            return False
    return len(shapes) > 1


def _nodes(group: Group) -> Iterator[tuple[str, bool, Any]]:
    for key, document in (group.consolidated or {}).items():
        if not isinstance(document, dict):
            continue
        path, _, name = key.rpartition("/")
        shape = document.get("shape")
        if isinstance(shape, list) and len(shape) < 2:
            continue  # coordinates, or a column of a table
        if group.zarr_format == 3:
            yield key, document.get("node_type") == "array", document.get("attributes")
        elif path and name in (".zarray", ".zattrs"):
            yield path, name == ".zarray", document
