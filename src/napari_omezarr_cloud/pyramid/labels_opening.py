"""Label images beside an image: opened after it, one by one; what cannot be read is a note."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError, MetadataError, UnsupportedError
from napari_omezarr_cloud.ngff import Image, check_path, parse_group, parse_labels_listing
from napari_omezarr_cloud.ngff.plain import PLAIN
from napari_omezarr_cloud.ngff.series import Entry
from napari_omezarr_cloud.pyramid.documents import (
    ARRAY_KEY,
    GROUP_KEY,
    GUESSED_LEVELS,
    LABELS,
    ROOT,
    can_list,
    join,
    read_documents,
    top_documents,
)
from napari_omezarr_cloud.pyramid.first_image import first_image
from napari_omezarr_cloud.pyramid.levels_opening import open_pyramid
from napari_omezarr_cloud.pyramid.opened import OpenedLabels
from napari_omezarr_cloud.pyramid.several import OpenInner, open_first

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.ngff import Group
    from napari_omezarr_cloud.pyramid.opened import OpenedImage
    from napari_omezarr_cloud.store import ByteStore, OpenedStore

__all__ = ["open_all_labels", "open_labels_listing"]

_MOST_UNLISTED = 100
"""More folders beside those that are listed are not looked into; each costs three requests."""


async def open_all_labels(
    opened: OpenedStore, where: str, zarr_format: int, image: Image
) -> tuple[tuple[OpenedLabels, ...], tuple[str, ...]]:
    """Open every listed label image; one that cannot be read becomes a note."""
    if image.label is not None or image.version == PLAIN:
        return (), ()  # labels have no labels
    try:
        documents = await read_documents(opened.store, LABELS, opened.documents)
        names, notes = parse_labels_listing(top_documents(documents), where=where)
    except CloudError as error:
        return (), (f"The list of labels could not be read. {error}",)
    unlisted = await _unlisted(opened, names)
    results = await asyncio.gather(
        *(
            _open_labels(opened.store, name, where, zarr_format, image)
            for name in (*names, *unlisted)
        ),
        return_exceptions=True,
    )
    good = [result for result in results if isinstance(result, OpenedLabels)]
    for name, result in zip((*names, *unlisted), results, strict=True):
        if isinstance(result, CloudError):
            if name not in unlisted:
                notes = (*notes, f"The labels {name!r} could not be opened. {result}")
        elif isinstance(result, BaseException):
            raise result
        elif name in unlisted:
            notes = (*notes, f"The labels {name!r} are there, and not in the list of labels.")
    return tuple(good), notes


async def _unlisted(opened: OpenedStore, names: Sequence[str]) -> tuple[str, ...]:
    """Return the folders of labels that the list of labels does not name, where we may look."""
    if not can_list(opened.location):
        return ()
    try:
        entries = await opened.store.list("labels")
    except CloudError:
        return ()  # not everybody may list
    known = {name.partition("/")[0] for name in names}
    found = sorted(e.name for e in entries if e.is_prefix and e.name not in known)
    safe = []
    for name in found[:_MOST_UNLISTED]:
        try:
            safe.append(check_path(name, where=str(opened.location), key="labels"))
        except MetadataError:
            continue
    return tuple(safe)


async def open_labels_listing(
    opened: OpenedStore, group: Group, open_inner: OpenInner
) -> OpenedImage:
    """Open the first of the label images that a folder of labels lists.

    Raises
    ------
    MetadataError
        If it lists none.
    CloudError
        What is wrong with the first, if none can be opened.
    """
    own = {key: raw for key, raw in top_documents(opened.documents).items() if key in ROOT}
    names, notes = parse_labels_listing(own, where=group.where)
    if not names:
        raise MetadataError(
            "Could not open the labels",
            where=group.where,
            key=group.key,
            why=" ".join(("the list of labels names none", *(f"({note})" for note in notes))),
            hint="Open the image above.",
        )
    entries = [Entry(name) for name in names]
    return await open_first(opened, entries, open_inner, what="label images", notes=notes)


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
