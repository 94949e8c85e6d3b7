"""The pyramid of an image: its levels' metadata, read and brought together."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError, MetadataError
from napari_omezarr_cloud.ngff import (
    Dataset,
    Group,
    Image,
    order_by_size,
    parse_json,
    resolve_axes,
    shown_with,
)
from napari_omezarr_cloud.ngff.values import listed
from napari_omezarr_cloud.pyramid.array_metadata import ArrayDescription, parse_array
from napari_omezarr_cloud.pyramid.channels import note_on_channels
from napari_omezarr_cloud.pyramid.documents import ARRAY_KEY, join, read_documents
from napari_omezarr_cloud.pyramid.level import Pyramid
from napari_omezarr_cloud.pyramid.scaled_like import scaled_like, with_units_of
from napari_omezarr_cloud.pyramid.stored import StoredLevel
from napari_omezarr_cloud.pyramid.transform import Transform
from napari_omezarr_cloud.pyramid.world import in_world, leaves_plane

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_omezarr_cloud.store import Bytes, ByteStore

__all__ = ["Beside", "open_pyramid"]

_MOST_REMEMBERED = 2**16
"""Bytes of a document."""


@dataclass(frozen=True, eq=False)
class Beside:
    """The image that a label image belongs to."""

    image: Image
    """As stated; known before its arrays are."""
    path: str
    """Of the label image, below the image's group."""
    opened: asyncio.Future[tuple[Image, Pyramid]] | None = None
    """The image with its levels, as soon as they are here; None: not to be had."""


async def open_pyramid(
    store: ByteStore,
    prefix: str,
    group: Group,
    image: Image,
    known: Mapping[str, Bytes | None],
    where: str,
    name: str,
    *,
    beside: Beside | None = None,
) -> tuple[Image, Pyramid]:
    """Read what is missing of the levels' metadata and build the pyramid.

    ``beside`` is the image that a label image belongs to.
    """
    array_key = ARRAY_KEY[group.zarr_format]
    keys = [join(prefix, dataset.path, array_key) for dataset in image.datasets]
    raws = await read_documents(store, keys, known)
    found: list[tuple[Dataset, ArrayDescription]] = []
    absent: list[str] = []
    for dataset, key in zip(image.datasets, keys, strict=True):
        raw = raws[key]
        if raw is None:
            absent.append(dataset.path)
        else:
            found.append((dataset, _described(bytes(raw), where, key)))
    if not found:
        raise MetadataError(
            "Could not open the image",
            where=where,
            key=keys[0],
            why=f"none of the arrays that datasets names is there ({listed(map(repr, absent))})",
            hint="The upload may be unfinished.",
        )
    notes = [f"Level {path!r} is listed and not there; it is left out." for path in absent]
    notes += sorted({note for _, array in found for note in array.notes})
    ndim = len(found[0][1].grid.shape)
    if ndim < 2:
        found_axes = "one axis" if ndim else "no axes"
        raise MetadataError(
            "Could not open the image",
            where=where,
            key=keys[0],
            why=f"its arrays have {found_axes}, and an image has at least two",
        )
    image = resolve_axes(replace(image, datasets=tuple(d for d, _ in found)), ndim)
    found = list(zip(image.datasets, (a for _, a in found), strict=True))
    image, found = _fine_to_coarse(image, _alike(found, notes, where))
    if beside is not None:
        if beside.opened is not None and all(each.scale is None for each, _ in found):
            whole, its_pyramid = await asyncio.shield(beside.opened)
            image, found = scaled_like(image, found, whole, its_pyramid, notes)
        image = shown_with(with_units_of(beside.image, image), beside.image, beside.path)
    axes, transforms, affine = in_world(
        image.axes, _transforms(found), image.affine, image.shown_axes
    )
    levels = [
        StoredLevel(store, join(prefix, dataset.path), array, transform)
        for (dataset, array), transform in zip(found, transforms, strict=True)
    ]
    if leaves_plane(axes, affine):
        notes.append(
            "It is turned out of its planes: in 2D they are shown as they are stored, in 3D turned."
        )
    pyramid = Pyramid(axes, tuple(levels), name, (), where, affine=affine)
    if (odd := note_on_channels(image, pyramid)) is not None:
        notes.append(odd)
    image = replace(image, notes=(*image.notes, *notes))
    return image, replace(pyramid, notes=image.notes)


def _described(raw: bytes, where: str, key: str) -> ArrayDescription:
    """Return what an array's document says; the fields of a plate mostly say the same."""
    if len(raw) <= _MOST_REMEMBERED:
        with contextlib.suppress(CloudError):  # again, then, with the place that is at fault
            return _remembered(raw)
    return parse_array(parse_json(raw, where=where, key=key), where=where, key=key)


@lru_cache(maxsize=128)
def _remembered(raw: bytes) -> ArrayDescription:
    return parse_array(parse_json(raw, where="", key=""), where="", key="")


def _alike(
    found: list[tuple[Dataset, ArrayDescription]], notes: list[str], where: str
) -> list[tuple[Dataset, ArrayDescription]]:
    """Leave out levels that cannot belong to one pyramid, with a note."""
    first = found[0][1].grid
    alike = []
    for dataset, array in found:
        grid = array.grid
        if grid.ndim != first.ndim or grid.dtype != first.dtype:
            notes.append(
                f"Level {dataset.path!r} is {grid.dtype} with {grid.ndim} axes, the first is "
                f"{first.dtype} with {first.ndim}; it is left out."
            )
        elif 0 in grid.shape:
            notes.append(f"Level {dataset.path!r} is empty (shape {grid.shape}); it is left out.")
        else:
            alike.append((dataset, array))
    if not alike:
        raise MetadataError("Could not open the image", where=where, why="all its levels are empty")
    return alike


def _fine_to_coarse(
    image: Image, found: list[tuple[Dataset, ArrayDescription]]
) -> tuple[Image, list[tuple[Dataset, ArrayDescription]]]:
    image = replace(image, datasets=tuple(d for d, _ in found))
    arrays = {dataset.path: array for dataset, array in found}
    image = order_by_size(image, [array.grid.shape for _, array in found])
    return image, [(dataset, arrays[dataset.path]) for dataset in image.datasets]


def _transforms(found: Sequence[tuple[Dataset, ArrayDescription]]) -> list[Transform]:
    """Return where each level lies; what is not stated follows from the ratio of the shapes."""
    stated = next((i for i, (dataset, _) in enumerate(found) if dataset.scale is not None), None)
    base = found[stated or 0][1].grid.shape
    base_scale = (1.0,) * len(base)
    if stated is not None:
        base_scale = found[stated][0].scale or base_scale
    transforms = []
    for dataset, array in found:
        scale = dataset.scale or tuple(
            s * b / n for s, b, n in zip(base_scale, base, array.grid.shape, strict=True)
        )
        transforms.append(Transform(scale, dataset.translation or (0.0,) * len(scale)))
    return transforms
