"""Rendering settings in a store: what a group says of them, and putting others there."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import AccessRefusedError, ChangedError, CloudError
from napari_omezarr_cloud.ngff import parse_group
from napari_omezarr_cloud.ngff.omero_document import (
    HeldOmero,
    is_same_omero,
    omero_in,
    with_omero,
    with_omero_in_copy,
)
from napari_omezarr_cloud.write.exchange import exchange
from napari_omezarr_cloud.write.target import open_target

if TYPE_CHECKING:
    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.store import ByteStore

__all__ = ["StoredOmero", "read_omero", "write_omero"]

_DOCUMENTS = ("zarr.json", ".zattrs", ".zgroup", ".zmetadata")
_HINT = "They can be kept on this computer instead."


@dataclass(frozen=True)
class StoredOmero:
    """The rendering settings of a group, as they were when they were read."""

    key: str
    """The document that holds them."""
    held: HeldOmero
    obstacle: str = ""
    """Why others cannot be put there, as far as that is known beforehand; empty: they may be."""


async def read_omero(store: ByteStore, location: Location) -> StoredOmero:
    """Return what a group says of how its channels look.

    Parameters
    ----------
    store
        To read it from.
    location
        To which it would be written.

    Raises
    ------
    CloudError
        If it cannot be read.
    """
    raw = dict(zip(_DOCUMENTS, await asyncio.gather(*map(store.get, _DOCUMENTS)), strict=True))
    documents = {key: None if data is None else bytes(data) for key, data in raw.items()}
    group = parse_group(documents, where=store.where)
    document = documents[group.key]
    if document is None:
        held = HeldOmero(group.attributes.get("omero"))
        return StoredOmero(group.key, held, f"it has no {group.key}, only a copy of it")
    held = omero_in(document, where=store.where, key=group.key)
    return StoredOmero(group.key, held, await asyncio.to_thread(_obstacle, location, group.key))


def _obstacle(location: Location, key: str) -> str:
    """Return why nothing can be written there, if that can be told without asking a server."""
    if any(part.lower().endswith((".zip", ".ozx")) for part in location.key.split("/")):
        return "it is in a zip file, which cannot be changed in place"
    if location.kind == "file":
        if not os.access(location.key, os.W_OK):
            return "its folder is not yours to write"
        # It would be replaced as a whole, which the folder alone decides.
        is_mine = os.access(os.path.join(location.key, key), os.W_OK)
        return "" if is_mine else f"its {key} is write-protected"
    try:
        open_target(location)
    except CloudError as error:
        return error.why
    return ""


async def write_omero(location: Location, seen: StoredOmero, omero: Any) -> tuple[str, ...]:
    """Put rendering settings into a group; the former ones are kept beside.

    Parameters
    ----------
    location
        Of the group.
    seen
        What the person saw there: anything else is not overwritten.
    omero
        The new JSON value; None takes it away.

    Returns
    -------
    tuple of str
        As `exchange`.

    Raises
    ------
    ChangedError
        If there are others by now than were seen.
    WriteError, AccessRefusedError
        If nothing may be written there.
    CloudError
        As `exchange`.
    """
    store = open_target(location)
    where = store.where

    def change(raw: bytes | None) -> bytes:
        now = None if raw is None else omero_in(raw, where=where, key=seen.key).omero
        is_as_seen = is_same_omero(now, seen.held.omero)
        # Or it is ours already: a request that was sent twice is answered once.
        if raw is None or not (is_as_seen or is_same_omero(now, omero)):
            raise ChangedError(
                "The rendering settings were not saved",
                where=where,
                key=seen.key,
                why="somebody else has changed them meanwhile",
                hint="Look at what would change now, and save again.",
            )
        return with_omero(raw, omero, where=where, key=seen.key)

    def change_copy(raw: bytes | None) -> bytes:
        return with_omero_in_copy(raw or b"{}", omero, where=where)

    try:
        notes = await exchange(store, seen.key, change)
        if seen.key == ".zattrs" and await store.get(".zmetadata") is not None:
            notes = (*notes, *await exchange(store, ".zmetadata", change_copy))
    except AccessRefusedError as error:
        error.hint = f"You may not write there, it seems. {_HINT}"
        raise
    return tuple(dict.fromkeys(notes))
