"""Writing over what is there: the new is whole beside the old before the old is touched.

In a folder two renames do it. Object stores cannot rename: there the old is deleted and the new
copied into its place, and notes in that place lead to the new one until all of it is there. Killed
at any moment, the old or the new is whole somewhere, and the next save finishes it. The notes
beside the new one say whose it is: nobody else writes there, or puts it in its place, meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import ChangedError, CloudError, WriteError
from napari_omezarr_cloud.pyramid.documents import LABELS, ROOT, WRITE_NOTES
from napari_omezarr_cloud.write.claiming import PLAN_KEY, Claim, Notes
from napari_omezarr_cloud.write.target import (
    Found,
    delete_notes,
    delete_tree,
    find,
    open_target,
    tree,
)

if TYPE_CHECKING:
    from napari_omezarr_cloud.location import Location

__all__ = [
    "end_replacing",
    "finish_replacing",
    "make_room",
    "put_in_place",
    "snapshot",
    "staging_of",
]

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


async def snapshot(location: Location) -> dict[str, bytes]:
    """Return what tells an image, and the list of its labels, from what it is after a change."""
    store = open_target(location)
    if location.kind == "file" and not Path(location.key).is_dir():
        return {"": Path(location.key).read_bytes()} if Path(location.key).is_file() else {}
    keys = [*ROOT, *LABELS]
    found = await asyncio.gather(*(store.get(key) for key in keys))
    names = [entry.name for entry in [*await store.list(), *await store.list("labels")]]
    documents = {k: bytes(raw) for k, raw in zip(keys, found, strict=True) if raw is not None}
    return {**documents, **dict.fromkeys(names, b"")}


async def make_room(staging: Location, identity: dict[str, Any]) -> Found:
    """Return what is of a new image beside a place; deletes what another save left there.

    Raises
    ------
    BusyError
        If somebody is writing there.
    CloudError
        If that cannot be found out or done.
    """
    found = await find(staging)
    if found.notes is None or (found.plan == identity and not found.notes.is_rubbish):
        return found
    claim = Claim(open_target(staging), identity)
    try:
        await _delete_staged(claim, staging)
    finally:
        claim.end()
    return await find(staging)


async def _delete_staged(claim: Claim, staging: Location) -> None:
    # Said first: half deleted, it must not be taken for a beginning that one can go on with.
    await claim.take_to_delete()
    store = open_target(staging)
    await delete_tree(store, last=PLAN_KEY)
    if staging.kind == "file":
        await asyncio.to_thread(shutil.rmtree, staging.key, True)


async def put_in_place(
    staging: Location, location: Location, claim: Claim, before: dict[str, bytes]
) -> None:
    """Have a whole image take the place of what is there; `end_replacing` has still to follow.

    Parameters
    ----------
    staging, location
        Where the new image is, whole, and where it is to be.
    claim
        Of the staging place.
    before
        What was there when that was allowed to be overwritten, as `snapshot` told.

    Raises
    ------
    ChangedError
        If something else is there now.
    CloudError
        If it cannot be put there.
    """
    if await snapshot(location) != before:
        raise ChangedError(
            "Nothing was overwritten",
            where=str(location),
            why="it was changed while the new image was written",
            hint="Look at what is there now. If it may be overwritten all the same, save the same "
            f"again: the new image is whole, at {staging}.",
        )
    if location.kind == "file":
        old = Path(_beside(location, "old").key)
        await asyncio.to_thread(_swap, Path(staging.key), Path(location.key), old)
        claim.end()  # its notes went along
        return
    notes = Notes(claim.identity, replaced_by=staging.key)
    await open_target(location).put(PLAN_KEY, notes.to_bytes())
    await _move(staging, location)


async def end_replacing(staging: Location, location: Location, claim: Claim) -> None:
    """Delete the old image, or the copy of the new one, and the notes.

    Raises
    ------
    CloudError
        If they cannot be deleted; the new image is in its place.
    """
    store = open_target(location)
    if location.kind == "file":
        try:
            await asyncio.to_thread(_delete, Path(_beside(location, "old").key))
        finally:
            await delete_notes(store)
        return
    # Its notes go last: they know that all of it is there.
    placed = Notes(claim.identity, replaced_by=staging.key, is_rubbish=True)
    await store.put(PLAN_KEY, placed.to_bytes())
    await _delete_staged(claim, staging)
    await store.delete(PLAN_KEY)


def _swap(new: Path, place: Path, old: Path) -> None:
    try:
        if os.path.lexists(old):
            _delete(old)
        place.rename(old)
        try:
            new.rename(place)
        except OSError:
            old.rename(place)
            raise
    except OSError as error:
        raise WriteError(
            "Nothing was overwritten",
            where=str(place),
            why=error.strerror or str(error),
            hint=f"What was there is as it was; the new image is whole, at {new}. Save the same "
            "again to put it in its place.",
        ) from error


def _delete(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(
            "Could not delete what was overwritten",
            where=str(path),
            why=error.strerror or str(error),
            hint="The new image is whole in its place; delete this one by hand.",
        ) from error


async def _move(staging: Location, location: Location) -> None:
    """Delete all that was there but the notes, copy the new, its documents last."""
    try:
        await _moved(staging, location)
    except CloudError as error:
        error.hint = (
            f"{error.hint} The new image is whole, at {staging}: save the same again to go on with "
            "putting it in its place."
        ).strip()
        raise


async def _moved(staging: Location, location: Location) -> None:
    target, source = open_target(location), open_target(staging)
    bucket = open_target(replace(location, key=""))
    # What makes the old one an image goes first: half of it must not be taken for it.
    for key in ROOT:
        await target.delete(key)
    await delete_tree(target, but=PLAN_KEY)
    keys = [key for key in await tree(source) if not key.startswith(f"{WRITE_NOTES}/")]
    documents = [key for key in keys if key.rpartition("/")[2] in ROOT]
    voxels = sorted(set(keys) - set(documents))
    for first in range(0, len(voxels), _COPIES):
        some = voxels[first : first + _COPIES]
        await asyncio.gather(*(bucket.copy(*_both(staging, location, key)) for key in some))
    # What makes it an image comes last: from the inside out.
    for key in sorted(documents, key=lambda key: -key.count("/")):
        await bucket.copy(*_both(staging, location, key))


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

    Raises
    ------
    BusyError
        If somebody is at it.
    CloudError
        If it cannot be done.
    """
    if location.kind == "file":
        return await _restored(location, found), None
    if found.notes is None or found.notes.replaced_by is None:
        return found, None
    staging, identity = staging_of(location), found.notes.identity
    claim = Claim(open_target(staging), identity)
    try:
        if not found.notes.is_rubbish:
            staged = await find(staging)
            if staged.notes is None or staged.notes.is_rubbish:
                return found, None  # somebody has deleted it: what it was is written anew
            await claim.take()
            await _move(staging, location)
        await end_replacing(staging, location, claim)
    finally:
        claim.end()
    return await find(location), identity


async def _restored(location: Location, found: Found) -> Found:
    """Put back what was there before, or delete it where the new one is in its place."""
    old = Path(_beside(location, "old").key) if location.key.rpartition("/")[2] else None
    if old is None or not os.path.lexists(old):
        return found
    staged = await find(staging_of(location))
    for each in (found, staged):
        if each.notes is not None:
            each.notes.refuse_if_busy(str(location))
    if not os.path.lexists(location.key):
        await asyncio.to_thread(old.rename, location.key)
        return await find(location)
    if staged.is_empty:
        await asyncio.to_thread(_delete, old)
    return found
