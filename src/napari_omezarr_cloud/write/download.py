"""A download under way: byte for byte copies of objects, verified, and taken up again.

Metadata come first, then arrays from the coarsest to the finest, so that what is there is a valid
image at any time; notes in it (as of a write under way) say that it is not finished. A file has
its name only when all of it is here and is what the server says: its size, and its checksum where
the ETag is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import (
    ChangedError,
    CloudError,
    CredentialsError,
    ExistsError,
    NotFoundError,
    WriteError,
)
from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.pyramid.documents import WRITE_NOTES
from napari_omezarr_cloud.store.disk.stamp import is_document
from napari_omezarr_cloud.store.failures import may_mean_absent
from napari_omezarr_cloud.store.gate import AHEAD, RANK
from napari_omezarr_cloud.write.claiming import Claim
from napari_omezarr_cloud.write.inside import holder_of
from napari_omezarr_cloud.write.target import delete_notes, find, open_target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from napari_omezarr_cloud.store.objects import ObjectFound
    from napari_omezarr_cloud.store.protocol import Bytes
    from napari_omezarr_cloud.write.download_plan import DownloadPlan

__all__ = ["DownloadProgress", "run_download"]

_AT_ONCE = 48
"""Objects under way; how many requests there are at once the gate decides."""
_PIECE = 2**26
"""Bytes of one request: the rest of a large object goes on from there."""
_TRIES = 4
_MOST_FAILURES = 20
"""After which nothing more is tried: it is not this or that object."""
_MD5 = re.compile(r"[0-9a-f]{32}")
_ALONE, _BESIDE = (AHEAD - 0.1,), (AHEAD + 1.0,)
"""What is looked at comes first; beside a window there is always room for it, too."""


@dataclass(frozen=True)
class DownloadProgress:
    """How far it has come."""

    count: int
    """Objects, as far as is known."""
    nbytes: int
    """Bytes of them, as far as is known."""
    done: int = 0
    """Objects that are here, or of which the server says that there are none."""
    absent: int = 0
    """Of these, those that are none: chunks that are blank."""
    skipped: int = 0
    """Of these, those that were here before."""
    done_nbytes: int = 0
    """Bytes that are here."""
    failed: int = 0
    problem: str = ""
    """Why the last object that failed could not be had."""


@dataclass(frozen=True)
class _Wanted:
    """An object to be copied."""

    key: str
    like: ObjectFound | None = None
    """What the listing says of it; None: it was not listed."""
    may_be_absent: bool = False
    is_document: bool = False
    """Whether it is asked for again in any case: what it says may have changed."""

    @property
    def is_marker(self) -> bool:
        """Whether it may stand for a folder, as some tools store them, and be no object."""
        return self.like is not None and self.like.nbytes == 0


async def run_download(
    plan: DownloadPlan,
    on_progress: Callable[[DownloadProgress], None] = lambda _: None,
    *,
    is_beside: bool = False,
) -> DownloadProgress:
    """Download what was planned, or go on with it; runs on the I/O loop.

    Cancelling it leaves what has come, and the notes by which the same download goes on.

    Parameters
    ----------
    plan
        What, and where to.
    on_progress
        Called after each object.
    is_beside
        Whether somebody is looking at images meanwhile: then half of the requests are left to them.

    Raises
    ------
    ExistsError
        If something else is there.
    BusyError
        If somebody is downloading there.
    WriteError
        If the disk does not take it, or some objects could not be had.
    CloudError
        As the server says.
    """
    if plan.file is not None and os.path.lexists(plan.target):
        wanted = _Wanted(plan.file.key, plan.file)
        if await asyncio.to_thread(_is_here, plan.target, wanted) is None:
            raise _exists(plan, "a file of this name is there already")
        size = plan.file.nbytes
        return DownloadProgress(1, size, done=1, skipped=1, done_nbytes=size)
    folder = parse_location(plan.folder)
    found = await find(folder)
    if not found.is_empty and found.plan != plan.identity:
        raise _exists(plan, f"something is there already ({found.in_words()})")
    holder = await holder_of(parse_location(plan.target)) if found.is_empty else None
    if holder is not None and holder.kind == "array":
        raise holder.refuse(parse_location(plan.target))
    await asyncio.to_thread(plan.check_room)
    store = open_target(folder)
    claim = Claim(store, plan.identity, _canceller())
    await claim.take()
    token = RANK.set(lambda: _BESIDE if is_beside else _ALONE)
    try:
        progress = await _Download(plan, on_progress).run()
        await asyncio.to_thread(_deliver, plan)
        await delete_notes(store)
        if plan.file is not None:
            await asyncio.to_thread(plan.folder.rmdir)
        claim.end()
    except BaseException:
        # Not waited for: it must be said even if this was cancelled.
        asyncio.get_running_loop().run_in_executor(None, claim.release)
        if claim.lost is not None:
            raise claim.lost from None
        raise
    finally:
        RANK.reset(token)
    return progress


def _canceller() -> Callable[[], None]:
    task = asyncio.current_task()

    def cancel() -> None:
        if task is not None:
            task.cancel()

    return cancel


class _Download:
    def __init__(self, plan: DownloadPlan, on_progress: Callable[[DownloadProgress], None]) -> None:
        self._plan = plan
        self._source = plan.store
        self._tell = on_progress
        self._parts = plan.folder / WRITE_NOTES / "parts"
        self._progress = DownloadProgress(plan.count, plan.nbytes)
        self._has_checksums: bool | None = None
        """Whether ETags of this server are checksums; None: not known yet."""
        self._witness = next(iter(plan.inventory.documents), None)

    async def run(self) -> DownloadProgress:
        await asyncio.to_thread(self._parts.mkdir, parents=True, exist_ok=True)
        self._tell(self._progress)
        await self._copy_all(self._documents())
        await self._copy_all(self._others())
        if self._progress.failed:
            raise self._incomplete()
        return self._progress

    # ---- which ones ---------------------------------------------------------------------------

    async def _documents(self) -> AsyncIterator[_Wanted]:
        for key in self._plan.inventory.documents:
            yield _Wanted(key, is_document=True)

    async def _others(self) -> AsyncIterator[_Wanted]:
        inventory = self._plan.inventory
        if self._plan.file is not None:
            yield _Wanted(self._plan.file.key, self._plan.file)
        for array in inventory.arrays:
            if not inventory.is_listed:
                for key in array.keys():
                    yield _Wanted(key, may_be_absent=True)
                continue
            async for page in self._source.walk(array.path):
                for each in page:
                    if not is_document(each.key):
                        yield _Wanted(each.key, each)
        for folder in inventory.folders:
            _, objects = await self._source.look_into(folder)
            for each in objects:
                if not is_document(each.key):
                    yield _Wanted(each.key, each)

    # ---- all of them --------------------------------------------------------------------------

    async def _copy_all(self, wanted: AsyncIterator[_Wanted]) -> None:
        """Copy objects, some at once; no more are known at a time than that."""
        running: set[asyncio.Task[None]] = set()
        try:
            async for each in wanted:
                running.add(asyncio.create_task(self._copied(each)))
                if len(running) >= _AT_ONCE:
                    running = await _reaped(running)
            while running:
                running = await _reaped(running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _copied(self, wanted: _Wanted) -> None:
        try:
            nbytes, is_new = await self._copy(wanted)
        except (ExistsError, CredentialsError):
            raise
        except CloudError as error:
            # What a disk does not take, it will not take of the next one.
            if isinstance(error, WriteError) and not isinstance(error, ChangedError):
                raise
            failed = self._progress.failed + 1
            self._count(failed=failed, problem=str(error))
            if failed >= _MOST_FAILURES:
                raise self._incomplete() from error
            return
        progress = self._progress
        self._count(
            done=progress.done + 1,
            absent=progress.absent + (nbytes is None),
            skipped=progress.skipped + (not is_new),
            done_nbytes=progress.done_nbytes + (nbytes or 0),
        )

    def _count(self, **values: int | str) -> None:
        self._progress = replace(self._progress, **values)  # type: ignore[arg-type]
        self._tell(self._progress)

    def _incomplete(self) -> WriteError:
        progress = self._progress
        return WriteError(
            "The download is not complete",
            where=str(self._plan.target),
            why=f"{progress.failed:,} objects could not be had; of the last: "
            f"{progress.problem.rstrip('.')}",
            hint="Download the same again: what is here is kept.",
        )

    # ---- one of them --------------------------------------------------------------------------

    async def _copy(self, wanted: _Wanted) -> tuple[int | None, bool]:
        """Copy an object; return its bytes (None: there is none), and whether it is new here."""
        place = self._place(wanted.key)
        here = None
        if not wanted.is_document:
            here = await asyncio.to_thread(_is_here, place, wanted)
        if here is not None:
            return here, False
        for tries_left in reversed(range(_TRIES)):
            try:
                return await self._fetch(wanted, place), True
            except CloudError as error:
                if wanted.may_be_absent and await self._is_absent(error):
                    return None, True
                if wanted.is_marker and isinstance(error, NotFoundError):
                    return None, True
                if not tries_left or not _may_help(error):
                    raise
                await asyncio.sleep(0.1 * 4 ** (_TRIES - 1 - tries_left))
        raise AssertionError

    def _place(self, key: str) -> Path:
        return Path(parse_location(self._plan.folder).child(key).key)

    async def _is_absent(self, error: CloudError) -> bool:
        if isinstance(error, NotFoundError):
            return True
        if not may_mean_absent(error) or self._witness is None:
            return False
        # Servers that do not list refuse what is not there: unless they refuse everything by now.
        return await self._source.get(self._witness) is not None

    async def _fetch(self, wanted: _Wanted, place: Path) -> int:
        like = wanted.like
        part = self._parts / _part_name(wanted)
        start = await asyncio.to_thread(_length, part) if like is not None else 0
        if like is None or start > like.nbytes:
            await asyncio.to_thread(part.unlink, missing_ok=True)
            start = 0
        while like is None or start < like.nbytes or not part.exists():
            stop = None
            if like is not None and like.nbytes > _PIECE:
                stop = min(start + _PIECE, like.nbytes)
            with _Part(part) as file:
                like = await self._source.fetch(
                    wanted.key, file.write, start=start, stop=stop, like=like
                )
                await asyncio.to_thread(file.flush)
                start += file.nbytes
                if not file.nbytes:
                    break
        if start != like.nbytes:
            await asyncio.to_thread(part.unlink, missing_ok=True)
            raise self._damaged(wanted.key, f"{start:,} bytes came instead of {like.nbytes:,}")
        await self._verify(wanted.key, like, part)
        if wanted.is_document and not self._plan.inventory.is_listed:
            # Nothing tells which of the chunks that are here are still those of the image.
            if await asyncio.to_thread(_is_other, part, place):
                await asyncio.to_thread(part.unlink)
                raise self._changed_since(wanted.key)
        await asyncio.to_thread(_put, part, place, like)
        return like.nbytes

    async def _verify(self, key: str, like: ObjectFound, part: Path) -> None:
        """Compare the checksum, where the ETag is one.

        That of an object that was sent in parts, or is encrypted, is none.
        """
        said = _MD5.fullmatch(like.e_tag or "")
        if said is None or self._has_checksums is False:
            return
        if await asyncio.to_thread(_md5, part) == said[0]:
            self._has_checksums = True
            return
        if self._has_checksums is None and await self._is_same_again(key, like, part):
            self._has_checksums = False
            return
        await asyncio.to_thread(part.unlink, missing_ok=True)
        raise self._damaged(key, "its checksum is another than the server says")

    async def _is_same_again(self, key: str, like: ObjectFound, part: Path) -> bool:
        again = hashlib.md5(usedforsecurity=False)
        await self._source.fetch(key, again.update, like=like)
        return again.hexdigest() == await asyncio.to_thread(_md5, part)

    def _changed_since(self, key: str) -> ExistsError:
        return ExistsError(
            "The download does not go on",
            where=str(self._plan.target),
            key=key,
            why="the image has changed on the server since it began",
            hint="Download it to another folder.",
        )

    def _damaged(self, key: str, why: str) -> ChangedError:
        return ChangedError(
            "Could not download",
            where=self._source.where,
            key=key,
            why=why,
            hint="Download the same again.",
        )


async def _reaped(running: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    failures = [task.exception() for task in done]
    for failure in failures:
        if failure is not None:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            raise failure
    return running


def _may_help(error: CloudError) -> bool:
    """Tell whether asking again may help."""
    if isinstance(error, NotFoundError | CredentialsError | ExistsError):
        return False
    if isinstance(error, WriteError):
        return isinstance(error, ChangedError)
    return not may_mean_absent(error)


def _part_name(wanted: _Wanted) -> str:
    """Return how the beginning of this very version is called."""
    like = wanted.like
    version = f"{like.e_tag} {like.modified} {like.nbytes}" if like is not None else ""
    return hashlib.sha256(f"{wanted.key}\n{version}".encode()).hexdigest()


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _is_here(place: Path, wanted: _Wanted) -> int | None:
    """Return the bytes of a file that is here; None: it is not, or is another version."""
    try:
        found = place.stat()
    except OSError:
        return None
    like = wanted.like
    if like is None:
        return found.st_size
    # The time of a file is set to that of its object, as its name is: last.
    is_same_time = like.modified is None or abs(found.st_mtime - like.modified) < 2
    return found.st_size if found.st_size == like.nbytes and is_same_time else None


class _Part:
    """The file of what has come of an object."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.nbytes = 0

    def __enter__(self) -> _Part:
        with _said(self._path):
            self._file = self._path.open("ab")
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._file.close()

    def write(self, piece: Bytes) -> None:
        with _said(self._path):
            self._file.write(piece)
        self.nbytes += len(piece)

    def flush(self) -> None:
        with _said(self._path):
            self._file.flush()


@contextlib.contextmanager
def _said(path: Path) -> Iterator[None]:
    """Say in our words what a disk does not take."""
    try:
        yield
    except OSError as error:
        raise WriteError(
            "Could not write",
            where=str(path.parent),
            why=error.strerror or str(error),
            hint="What has come is kept; free some room and download the same again.",
        ) from error


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _is_other(part: Path, place: Path) -> bool:
    return place.exists() and place.read_bytes() != part.read_bytes()


def _put(part: Path, place: Path, like: ObjectFound) -> None:
    with _said(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        if like.modified is not None:
            os.utime(part, (like.modified, like.modified))
        part.replace(place)


def _deliver(plan: DownloadPlan) -> None:
    """Give one file its place, unless somebody else has put something there."""
    if plan.file is None:
        return
    whole = plan.folder / plan.file.key
    with _said(plan.target):
        try:
            os.link(whole, plan.target)
        except FileExistsError:
            raise _exists(plan, "a file of this name has come meanwhile") from None
        except OSError:  # a disk without hard links
            if os.path.lexists(plan.target):
                raise _exists(plan, "a file of this name has come meanwhile") from None
            whole.rename(plan.target)
        else:
            whole.unlink()


def _exists(plan: DownloadPlan, why: str) -> ExistsError:
    return ExistsError(
        "Nothing was downloaded", where=str(plan.target), why=why, hint="Choose another name."
    )
