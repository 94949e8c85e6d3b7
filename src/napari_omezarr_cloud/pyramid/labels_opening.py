"""Label images beside an image: opened after it, one by one; what cannot be read is a note."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError, UnsupportedError
from napari_omezarr_cloud.ngff import Image, parse_group, parse_labels_listing
from napari_omezarr_cloud.pyramid.documents import (
    ARRAY_KEY,
    GROUP_KEY,
    GUESSED_LEVELS,
    LABELS,
    join,
    read_documents,
    top_documents,
)
from napari_omezarr_cloud.pyramid.first_image import first_image
from napari_omezarr_cloud.pyramid.levels_opening import open_pyramid
from napari_omezarr_cloud.pyramid.opened import OpenedLabels

if TYPE_CHECKING:
    from napari_omezarr_cloud.store import ByteStore, OpenedStore

__all__ = ["open_all_labels"]


async def open_all_labels(
    opened: OpenedStore, where: str, zarr_format: int, image: Image
) -> tuple[tuple[OpenedLabels, ...], tuple[str, ...]]:
    """Open every listed label image; one that cannot be read becomes a note."""
    try:
        documents = await read_documents(opened.store, LABELS, opened.documents)
        names, notes = parse_labels_listing(top_documents(documents), where=where)
    except CloudError as error:
        return (), (f"The list of labels could not be read. {error}",)
    results = await asyncio.gather(
        *(_open_labels(opened.store, name, where, zarr_format, image) for name in names),
        return_exceptions=True,
    )
    good = [result for result in results if isinstance(result, OpenedLabels)]
    for name, result in zip(names, results, strict=True):
        if isinstance(result, CloudError):
            notes = (*notes, f"The labels {name!r} could not be opened. {result}")
        elif isinstance(result, BaseException):
            raise result
    return tuple(good), tuple(notes)


async def _open_labels(
    store: ByteStore, name: str, where: str, zarr_format: int, beside: Image
) -> OpenedLabels:
    prefix = f"labels/{name}"
    guesses = [f"{level}/{ARRAY_KEY[zarr_format]}" for level in GUESSED_LEVELS]
    keys = [join(prefix, key) for key in [GROUP_KEY[zarr_format], *guesses]]
    documents = await read_documents(store, keys, {})
    below = {key.removeprefix(prefix + "/"): raw for key, raw in documents.items()}
    group = parse_group(top_documents(below), where=f"{where}/{prefix}")
    image = first_image(group)
    image, pyramid = await open_pyramid(
        store, prefix, group, image, documents, where, name, beside=(beside, prefix)
    )
    if pyramid.dtype.kind not in "biu":
        raise UnsupportedError(
            "Could not show labels",
            where=f"{where}/{prefix}",
            why=f"their dtype is {pyramid.dtype}; labels are whole numbers",
        )
    return OpenedLabels(name, image, pyramid, image.label)
