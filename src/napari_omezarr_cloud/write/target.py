"""A place to write to: its store, what is there already, and the notes of a write under way.

Nothing of a user's is lost: what is there is named before it is overwritten, and a write that did
not end leaves notes (below `WRITE_NOTES`), by which it is taken up again or told as unfinished.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import (
    AccessRefusedError,
    NotFoundError,
    WriteError,
)
from napari_omezarr_cloud.pyramid.documents import ROOT, WRITE_NOTES
from napari_omezarr_cloud.store import RemoteStore
from napari_omezarr_cloud.store.credentials import has_credentials
from napari_omezarr_cloud.store.place_access import access_for, ready, settled
from napari_omezarr_cloud.write.claiming import PLAN_KEY, Notes
from napari_omezarr_cloud.write.contents import Contents, contents_of, entries_at

if TYPE_CHECKING:
    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.store import ByteStore

__all__ = [
    "Found",
    "delete_half_files",
    "delete_notes",
    "delete_tree",
    "find",
    "followed",
    "looked_into",
    "make_folder",
    "open_target",
    "tree",
]

_DELETIONS = 64


@dataclass(frozen=True)
class Found:
    """What is at a place that is to be written to."""

    names: tuple[str, ...] = ()
    """Of the first level below it."""
    plan: dict[str, Any] | None = None
    """What an unfinished write was about to write there."""
    is_file: bool = False
    """Whether it is one file, or object, at the place itself and not below it."""
    notes: Notes | None = None
    """Of an unfinished write: what, and whose."""
    replacing: Notes | None = None
    """Of an unfinished write beside it that was to take its place."""
    contents: Contents | None = None
    """All that is there and below, where that was looked at."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is there; what is left over of notes without a plan is nothing."""
        return self.plan is None and not set(self.names) - {WRITE_NOTES}

    @property
    def is_image(self) -> bool:
        """Whether there is what a reader would look for."""
        return not set(self.names).isdisjoint(ROOT)

    @property
    def is_unfinished(self) -> bool:
        """Whether a write began there and did not end."""
        return self.plan is not None

    def in_words(self) -> str:
        """Return what it is and holds; or its names, the first of them if there are many."""
        if self.contents is not None:
            return self.contents.in_words()
        return ", ".join(self.names[:5]) + (" …" if len(self.names) > 5 else "")


def open_target(location: Location) -> RemoteStore:
    """Return a store to write into; makes a local folder, asks no server.

    Raises
    ------
    WriteError
        If the place is one that nobody can write to, or the folder cannot be made.
    LinkError
        As `build_obstore` does.
    """
    what = "Could not write"
    location = settled(location)
    if location.query and location.kind == "http":
        raise WriteError(
            what,
            where=str(location),
            why="a signed link is good for one object, and for reading",
            hint="Write to s3://bucket/key?endpoint=… with keys of your own.",
        )
    if location.kind == "http":
        bucket = location.as_s3()
        said = None if bucket is None else access_for(bucket)
        if bucket is None or not (has_credentials("s3") or (said is not None and said.signs)):
            raise WriteError(
                what,
                where=str(location),
                why="plain web servers take no files",
                hint="Write to s3://bucket/key?endpoint=https://…, gs://, az:// or a folder.",
            )
        location = settled(bucket)
    if location.kind == "file":
        make_folder(Path(location.key), str(location))
    anonymous = location.access.anonymous
    if anonymous is None:
        anonymous = not (
            location.access.profile or location.has_secret or has_credentials(location.kind)
        )
    return RemoteStore(location, anonymous=anonymous)


def make_folder(folder: Path, where: str, mode: int = 0o777) -> None:
    """Make a folder to write to, if it is not there.

    Parameters
    ----------
    folder
        It.
    where
        What is written, for the person.
    mode
        Who may look into it.

    Raises
    ------
    WriteError
        If it cannot be made.
    """
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(
            "Could not write",
            where=where,
            why=f"the folder cannot be made ({error.strerror})",
            hint="Choose a folder of your own, on a disk with room.",
        ) from error


def followed(location: Location) -> Location:
    """Return the folder that a link on this disk leads to; any other place as it is.

    What is overwritten is what the link leads to, on its disk, and not the link.
    """
    if location.kind != "file" or not os.path.islink(location.key):
        return location
    real = os.path.realpath(location.key)
    return replace(location, key=Path(real).as_posix()) if os.path.isdir(real) else location


async def find(location: Location) -> Found:
    """Look what is at a place; makes nothing there.

    Raises
    ------
    CloudError
        If that cannot be found out.
    """
    if location.kind == "file" and not os.path.lexists(location.key):
        return Found()
    if location.kind == "file" and not Path(location.key).is_dir():
        return Found(names=(Path(location.key).name,), is_file=True)
    await ready(location)
    store = open_target(location)
    try:
        entries = await entries_at(store)
    except NotFoundError:
        return Found()
    except AccessRefusedError:
        # Without the right to list, what a reader would look for tells.
        keys = [*ROOT, PLAN_KEY]
        there = await asyncio.gather(*(store.get(key) for key in keys))
        names = tuple(key for key, data in zip(keys, there, strict=True) if data is not None)
    else:
        names = tuple(entry.name for entry in entries)
    raw = await store.get(PLAN_KEY) if any(n.startswith(WRITE_NOTES) for n in names) else None
    notes = Notes.of(raw)
    plan = None if notes is None or notes.is_rubbish else notes.identity
    return Found(names, plan, notes=notes)


async def looked_into(location: Location, found: Found) -> Found:
    """Return what is at a place with all that is below; where that may not be listed, as it is."""
    if found.is_empty or found.is_file:
        return found
    try:
        return replace(found, contents=await contents_of(open_target(location)))
    except AccessRefusedError:
        return found


async def tree(store: ByteStore, prefix: str = "") -> list[str]:
    """Return all keys below a prefix; lists folders side by side."""
    entries = [entry for entry in await store.list(prefix) if entry.name]
    base = f"{prefix.rstrip('/')}/" if prefix else ""
    keys = [base + entry.name for entry in entries if not entry.is_prefix]
    below = await asyncio.gather(
        *(tree(store, base + entry.name) for entry in entries if entry.is_prefix)
    )
    return keys + [key for some in below for key in some]


async def delete_tree(store: ByteStore, prefix: str = "", *, last: str = "", but: str = "") -> None:
    """Delete all below a prefix: the key ``last`` at the end, the key ``but`` not at all."""
    keys = [key for key in await tree(store, prefix) if key not in (last, but)]
    for first in range(0, len(keys), _DELETIONS):
        await asyncio.gather(*(store.delete(key) for key in keys[first : first + _DELETIONS]))
    if last:
        await store.delete(last)


async def delete_notes(store: RemoteStore) -> None:
    """Delete the notes of a write, the plan last: without it nobody knows what the rest is."""
    await delete_tree(store, WRITE_NOTES, last=PLAN_KEY)
    if store.location.kind == "file":
        # A writer that was killed leaves half-written files, which no listing shows.
        await asyncio.to_thread(shutil.rmtree, Path(store.location.key, WRITE_NOTES), True)


def delete_half_files(location: Location) -> None:
    """Delete what a writer left half-written that was killed: nobody else must be writing there.

    Files get their names when they are whole, and only in a folder; until then a ``#`` and a number
    stand behind the name.
    """
    if location.kind == "file":
        for path in Path(location.key).rglob("*#[0-9]*"):
            if path.name.rpartition("#")[2].isdecimal() and path.is_file():
                path.unlink(missing_ok=True)
