"""Writing over what is there: the new is whole beside the old before the old is touched.

In a folder two renames do it. Object stores cannot rename: there the old is deleted and the new
copied into its place, and notes in that place lead to the new one until all of it is there. Killed
at any moment, the old or the new is whole somewhere, and the next save finishes it.
"""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import WriteError
from napari_omezarr_cloud.ngff.writing import json_bytes
from napari_omezarr_cloud.pyramid.documents import ROOT, WRITE_NOTES
from napari_omezarr_cloud.write.target import Found, delete_tree, find, open_target, tree

if TYPE_CHECKING:
    from napari_omezarr_cloud.location import Location

__all__ = ["finish_replacing", "put_in_place", "staging_of"]

_COPIES = 64


def staging_of(location: Location) -> Location:
    """Return where the new one is written before it takes a place: beside it.

    Raises
    ------
    WriteError
        At the top of a bucket or disk, which nothing is beside.
    """
    return _beside(location, "new")


def _beside(location: Location, what: str) -> Location:
    head, _, name = location.key.rpartition("/")
    if not name:
        raise WriteError(
            "Nothing was overwritten",
            where=str(location),
            why="it is a whole bucket or disk",
            hint="Write to a folder in it.",
        )
    return replace(location, key=f"{head}/.{name}.omezarr-{what}".lstrip("/" if not head else ""))


async def put_in_place(staging: Location, location: Location, identity: dict[str, Any]) -> None:
    """Have a whole image take the place of what is there, which is deleted.

    Parameters
    ----------
    staging, location
        Where the new image is, whole, and where it is to be.
    identity
        Of the new one: `finish_replacing` returns it, if this does not get to its end.
    """
    if location.kind == "file":
        old = Path(_beside(location, "old").key)
        await asyncio.to_thread(_swap, Path(staging.key), Path(location.key), old)
        return
    store = open_target(location)
    notes = {"replaced by": staging.key, "identity": identity}
    await store.put(f"{WRITE_NOTES}/plan.json", json_bytes(notes))
    await _move(staging, location)


def _swap(new: Path, place: Path, old: Path) -> None:
    if old.exists():
        _delete(old)
    place.rename(old)
    new.rename(place)
    _delete(old)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


async def _move(staging: Location, location: Location) -> None:
    """Delete all that was there but the notes, copy the new, its documents last; both end clean."""
    target, source = open_target(location), open_target(staging)
    bucket = open_target(replace(location, key=""))
    notes = f"{WRITE_NOTES}/plan.json"
    # What makes the old one an image goes first: half of it must not be taken for it.
    for key in ROOT:
        await target.delete(key)
    await delete_tree(target, but=notes)
    keys = await tree(source)
    documents = [key for key in keys if key.rpartition("/")[2] in ROOT]
    voxels = sorted(set(keys) - set(documents))
    for first in range(0, len(voxels), _COPIES):
        some = voxels[first : first + _COPIES]
        await asyncio.gather(*(bucket.copy(*_both(staging, location, key)) for key in some))
    # What makes it an image comes last: from the inside out.
    for key in sorted(documents, key=lambda key: -key.count("/")):
        await bucket.copy(*_both(staging, location, key))
    await target.delete(notes)
    await delete_tree(source)


def _both(staging: Location, location: Location, key: str) -> tuple[str, str]:
    return f"{staging.key}/{key}", f"{location.key}/{key}"


async def finish_replacing(location: Location, found: Found) -> tuple[Found, dict[str, Any] | None]:
    """Bring to its end a replacement that broke off.

    Parameters
    ----------
    location
        A place that is to be written to.
    found
        What is there.

    Returns
    -------
    found, identity
        What is there now, and the identity of what was put there; None: there was nothing to do.
    """
    plan = found.plan or {}
    if isinstance(plan.get("replaced by"), str) and isinstance(plan.get("identity"), dict):
        await _move(staging_of(location), location)
        return await find(location), plan["identity"]
    if location.kind == "file" and found.is_empty:
        old, place = Path(_beside(location, "old").key), Path(location.key)
        if old.exists() and not place.exists():
            await asyncio.to_thread(old.rename, place)  # what was there before; the new is kept
            return await find(location), None
    return found, None
