"""One document changed in place, though others may change it at the same time.

Read, change, and written only if it is still what was read: a condition that object stores check
(``If-Match``), and files by a lock. Some servers take such a condition and ignore it, so each is
tried once, with an object of our own; on those the document is read again before and after, which
tells of most such cases and prevents none.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import ChangedError, CloudError, UnsupportedError, WriteError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from napari_omezarr_cloud.store.remote import RemoteStore

__all__ = ["exchange"]

_TRIES = 5
_LOCK_TRIES, _LOCK_WAIT_S = 50, 0.1

_honour: dict[tuple[str, str | None, str], bool] = {}
"""Per kind, endpoint and bucket: whether conditions are honoured there."""


async def exchange(
    store: RemoteStore,
    key: str,
    change: Callable[[bytes | None], bytes],
) -> tuple[str, ...]:
    """Change a document, never what somebody else wrote meanwhile.

    Parameters
    ----------
    store, key
        Which one.
    change
        Returns the new one for the one that is there (None: none); called again where somebody
        else was quicker. What it raises ends it.

    Returns
    -------
    tuple of str
        What the person should know: that this server does not guard against two writers.

    Raises
    ------
    ChangedError
        If somebody else keeps on changing it, or did so at the same moment.
    CloudError
        If it cannot be read or written.
    """
    if store.location.kind == "file":
        if await store.get(key) is None:
            change(None)  # what is not to be made must not leave the folder of a lock
        async with _locked(Path(store.location.key, key)):
            await _written(store, key, change)
        return ()
    if await _honours_conditions(store, key):
        for _ in range(_TRIES):
            found = await store.read_version(key)
            before, version = found or (None, None)
            after = change(before)
            if after == before:
                return ()
            if await store.put_version(key, after, version):
                return ()
        raise _taken(store, key, "others keep on changing it")
    before, after = await _written(store, key, change)
    found = await store.read_version(key)
    if found is not None and found[0] not in (after, before):
        raise _taken(store, key, "somebody else wrote it at the same moment; theirs is there now")
    return (
        "This server does not guard against two people writing the same document at once: make "
        "sure that nobody else is doing so.",
    )


async def _written(
    store: RemoteStore, key: str, change: Callable[[bytes | None], bytes]
) -> tuple[bytes | None, bytes]:
    before = await store.get(key)
    known = None if before is None else bytes(before)
    after = change(known)
    if after == known:
        return known, after
    again = await store.get(key)
    if (None if again is None else bytes(again)) != known:
        raise _taken(store, key, "somebody else has just changed it")
    await store.put(key, after)
    return known, after


async def _honours_conditions(store: RemoteStore, key: str) -> bool:
    """Try it once a bucket: an object that is there must not be created a second time."""
    location = store.location
    place = (location.kind, location.endpoint, location.bucket)
    if place not in _honour:
        folder = key.rpartition("/")[0]
        probe = f"{folder}/.omezarr-probe-{uuid.uuid4().hex}".lstrip("/")
        try:
            first = await store.put_version(probe, b"1", None)
            second = await store.put_version(probe, b"2", None)
            stale = await store.put_version(probe, b"3", {"e_tag": '"0123456789"', "version": "1"})
            _honour[place] = first and not second and not stale
        except UnsupportedError:
            _honour[place] = False
        finally:
            with contextlib.suppress(CloudError):
                await store.delete(probe)
    return _honour[place]


@contextlib.asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    """Hold a file beside the document while it is changed; who is killed lets go of it, too."""
    lock = path.with_name(f".{path.name}.lock")
    try:
        tries_left = _LOCK_TRIES
        while (held := _try_lock(lock)) is None:
            if not (tries_left := tries_left - 1):  # five seconds for a document of some kilobytes
                raise ChangedError(
                    "The document was not changed",
                    where=str(path),
                    why="another program holds it",
                    hint="Do it again when that has ended.",
                )
            await asyncio.sleep(_LOCK_WAIT_S)
    except OSError as error:
        raise WriteError(
            "Could not write",
            where=str(path),
            why=error.strerror or str(error),
            hint="Is it yours to write, and is there room?",
        ) from error
    try:
        yield
    finally:
        if sys.platform == "win32":
            os.close(held)  # nobody can delete what is open there
            with contextlib.suppress(OSError):
                lock.unlink()
        else:
            lock.unlink(missing_ok=True)
            os.close(held)


def _try_lock(lock: Path) -> int | None:
    """Return a handle of the locked file; None: somebody else has it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    except FileNotFoundError:
        return None  # somebody has deleted the folder just now
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who had it has deleted it by now; then the next one is another file.
        if os.path.samestat(os.fstat(handle), os.stat(lock)):
            return handle
    except (BlockingIOError, FileNotFoundError, PermissionError):
        pass
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
            return handle  # a disk that knows no locks
        os.close(handle)
        raise
    os.close(handle)
    return None


def _taken(store: RemoteStore, key: str, why: str) -> ChangedError:
    hint = "Look at what is there now, and do it again."
    return ChangedError(
        "The document was not changed", where=store.where, key=key, why=why, hint=hint
    )
