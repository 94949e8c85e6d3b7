"""Several images in one place: the first is opened, the others are offered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.pyramid.documents import FIRST_ROUND, ROOT
from napari_omezarr_cloud.pyramid.opened import OpenedImage, Sibling
from napari_omezarr_cloud.store import OpenedStore, open_inside, open_store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_omezarr_cloud.ngff.series import Entry

__all__ = ["OpenInner", "note_on_several", "open_first", "with_others"]

OpenInner = Callable[[OpenedStore], Awaitable[OpenedImage]]
"""Opens what the documents of a group inside another one say it is."""

_MOST_TRIED = 5


async def open_first(
    opened: OpenedStore,
    entries: Sequence[Entry],
    open_inner: OpenInner,
    *,
    what: str = "images",
    notes: Sequence[str] = (),
    known: Mapping[str, OpenedStore] | None = None,
    open_entry: Callable[[Any], Awaitable[OpenedImage]] | None = None,
) -> OpenedImage:
    """Open the first of several images that can be opened.

    Parameters
    ----------
    opened
        The group that holds them.
    entries
        At least one.
    open_inner
        Opens one.
    what
        What they are, in the plural, for the note.
    notes
        What is to be told of the group.
    known
        Path → its documents, where they were read already.
    open_entry
        Opens an entry, where a folder is not all there is to it.

    Raises
    ------
    CloudError
        What is wrong with the first, if none of the first five can be opened.
    """
    series = tuple(_sibling(opened, entry, open_inner, open_entry) for entry in entries)
    failures: list[CloudError] = []
    told = [*opened.notes, *notes]
    for entry, sibling in zip(entries[:_MOST_TRIED], series, strict=False):
        try:
            ready = (known or {}).get(entry.path)
            first = await (sibling.open() if ready is None else open_inner(ready))
        except CloudError as error:
            failures.append(error)
            told.append(f"{sibling.name!r} could not be opened. {error}")
            continue
        opened_already = replace(sibling, open=_returning(first))
        series = tuple(opened_already if each is sibling else each for each in series)
        if len(series) > 1:
            told.append(note_on_several(len(series), sibling.name, what))
        return replace(
            first,
            notes=tuple(dict.fromkeys([*told, *first.notes])),
            series=series if len(series) > 1 else first.series,
        )
    raise failures[0]


def _returning(image: OpenedImage) -> Callable[[], Awaitable[OpenedImage]]:
    async def open_it() -> OpenedImage:
        return image

    return open_it


def note_on_several(count: int, name: str, what: str) -> str:
    """Say that one of several was opened, and how to get at the others."""
    return (
        f"{count} {what} are here, and this is {name!r}; the others are in image.series, or open "
        "with a link of their own."
    )


def with_others(
    opened: OpenedStore,
    image: OpenedImage,
    name: str,
    others: Sequence[Entry],
    open_inner: OpenInner,
) -> OpenedImage:
    """Return an image that a group itself describes, with what else is in it as its series."""
    if not others:
        return image
    own = Sibling(name, "", opened.location, _returning(image))
    series = (own, *(_sibling(opened, entry, open_inner) for entry in others))
    note = note_on_several(len(series), name, "images or arrays")
    return replace(image, notes=(note, *image.notes), series=series)


def _sibling(
    opened: OpenedStore,
    entry: Entry,
    open_inner: OpenInner,
    open_entry: Callable[[Any], Awaitable[OpenedImage]] | None = None,
) -> Sibling:
    location = opened.location.child(entry.path) if entry.path else opened.location

    async def open_it() -> OpenedImage:
        if open_entry is not None:
            return await open_entry(entry)
        if entry.path.lower().endswith((".zip", ".ozx")):  # not a folder of the same store
            return await open_inner(await open_store(location, FIRST_ROUND, witness=ROOT))
        return await open_inner(await open_inside(opened, entry.path, FIRST_ROUND))

    return Sibling(entry.name or entry.path, entry.path, location, open_it)
