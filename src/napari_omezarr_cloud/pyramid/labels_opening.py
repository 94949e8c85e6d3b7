"""Label images beside an image: opened after it, one by one; what cannot be read is a note."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import (
    CloudError,
    MetadataError,
    NotFoundError,
    NotOmeZarrError,
    UnsupportedError,
)
from napari_omezarr_cloud.ngff import Image, check_path, parse_group, parse_labels_listing
from napari_omezarr_cloud.ngff.plain import PLAIN
from napari_omezarr_cloud.ngff.series import Entry
from napari_omezarr_cloud.ngff.values import settled
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
from napari_omezarr_cloud.pyramid.levels_opening import Beside, open_pyramid
from napari_omezarr_cloud.pyramid.opened import OpenedLabels
from napari_omezarr_cloud.pyramid.several import OpenInner, open_first

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from napari_omezarr_cloud.ngff import Group
    from napari_omezarr_cloud.pyramid.level import Pyramid
    from napari_omezarr_cloud.pyramid.opened import OpenedImage
    from napari_omezarr_cloud.store import ByteStore, OpenedStore

__all__ = ["labels_alone", "open_all_labels", "open_labels_listing"]

_MOST_UNLISTED = 100
"""More folders beside those that are listed are not looked into; each costs three requests."""
_DEEPEST = 3


async def open_all_labels(
    opened: OpenedStore,
    where: str,
    zarr_format: int,
    image: Image,
    whole: asyncio.Future[tuple[Image, Pyramid]] | None = None,
) -> tuple[tuple[OpenedLabels, ...], tuple[str, ...]]:
    """Open every label image, listed or not; one that cannot be read becomes a note.

    ``whole`` is the image with its levels as soon as they are here: labels wait for them only to
    take over their scale.
    """
    if image.label is not None or image.version == PLAIN:
        return (), ()  # labels have no labels
    try:
        documents = await read_documents(opened.store, LABELS, opened.documents)
        names, notes = parse_labels_listing(top_documents(documents), where=where)
    except CloudError as error:
        return (), (f"The list of labels could not be read. {error}",)

    async def open_one(name: str) -> OpenedLabels | CloudError:
        try:
            return await _open_labels(opened.store, name, where, zarr_format, image, whole)
        except CloudError as error:
            return error

    good: list[OpenedLabels] = []
    listed, more = await asyncio.gather(
        asyncio.gather(*map(open_one, names)), _open_unlisted(opened, names, open_one)
    )
    for name, result in zip(names, listed, strict=True):
        if isinstance(result, OpenedLabels):
            good.append(result)
        else:
            notes = (*notes, f"The labels {name!r} could not be opened. {result}")
    for each in more:
        notes = (*notes, f"The labels {each.name!r} are there, and not in the list of labels.")
    return (*good, *more), settled(notes)


async def _open_unlisted(
    opened: OpenedStore,
    names: Sequence[str],
    open_one: Callable[[str], Awaitable[OpenedLabels | CloudError]],
) -> list[OpenedLabels]:
    """Open what lies in the folder of labels and is not in their list, where we may look.

    Folders that are no labels are looked into, as labels may be nested.
    """
    good: list[OpenedLabels] = []
    waiting, tried = [""], 0
    for _ in range(_DEEPEST if can_list(opened.location) else 0):
        folders = [name for name in await _folders(opened, waiting) if name not in names]
        # What only leads to labels that are listed costs no look at its metadata.
        leading = {name for name in folders if any(n.startswith(f"{name}/") for n in names)}
        unknown = [name for name in folders if name not in leading][: _MOST_UNLISTED - tried]
        tried += len(unknown)
        results = await asyncio.gather(*map(open_one, unknown))
        good += [each for each in results if isinstance(each, OpenedLabels)]
        empty = [
            name
            for name, each in zip(unknown, results, strict=True)
            if isinstance(each, NotFoundError | NotOmeZarrError)
        ]
        waiting = [*sorted(leading), *empty]
        if not waiting:
            break
    return good


async def _folders(opened: OpenedStore, paths: Sequence[str]) -> list[str]:
    """Return the folders in these folders of labels, as paths below ``labels``; safe ones."""

    async def below(path: str) -> list[str]:
        try:
            entries = await opened.store.list(join("labels", path))
        except CloudError:
            return []  # not everybody may list
        found = []
        for name in sorted(entry.name for entry in entries if entry.is_prefix):
            try:
                found.append(join(path, check_path(name, where=str(opened.location), key="labels")))
            except MetadataError:
                continue
        return found

    return [name for names in await asyncio.gather(*map(below, paths)) for name in names]


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


def labels_alone(opened: OpenedStore) -> tuple[Entry, ...]:
    """Return the label images that a group without an image lists in its folder of labels."""
    listing = {key: raw for key, raw in top_documents(opened.documents).items() if key in LABELS}
    names, _ = parse_labels_listing(listing, where=str(opened.location)) if listing else ((), ())
    return tuple(Entry(f"labels/{name}", name) for name in names)


async def _open_labels(
    store: ByteStore,
    name: str,
    where: str,
    zarr_format: int,
    beside: Image,
    whole: asyncio.Future[tuple[Image, Pyramid]] | None,
) -> OpenedLabels:
    prefix = f"labels/{name}"
    guesses = [f"{level}/{ARRAY_KEY[zarr_format]}" for level in GUESSED_LEVELS]
    keys = [join(prefix, key) for key in [GROUP_KEY[zarr_format], *guesses]]
    documents = await read_documents(store, keys, {})
    below = {key.removeprefix(prefix + "/"): raw for key, raw in documents.items()}
    group = parse_group(top_documents(below), where=f"{where}/{prefix}")
    image = first_image(group)
    image, pyramid = await open_pyramid(
        store, prefix, group, image, documents, where, name, beside=Beside(beside, prefix, whole)
    )
    if pyramid.dtype.kind not in "biu":
        raise UnsupportedError(
            "Could not show labels",
            where=f"{where}/{prefix}",
            why=f"their dtype is {pyramid.dtype}; labels are whole numbers",
        )
    return OpenedLabels(name, image, pyramid, image.label)
