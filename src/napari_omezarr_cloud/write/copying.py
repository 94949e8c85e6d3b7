"""Copying one object to this disk: in parts, taken up again, verified before it has its name."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
from dataclasses import dataclass
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
from napari_omezarr_cloud.store.failures import disk_refused, may_mean_absent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_omezarr_cloud.store.objects import ObjectFound, ObjectStore
    from napari_omezarr_cloud.store.protocol import Bytes

__all__ = ["Copier", "Wanted", "is_here", "said"]

_PIECE = 2**26
"""Bytes of one request: the rest of a large object goes on from there."""
_TRIES = 4
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Wanted:
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


class Copier:
    """Copies objects of a store into a folder; runs on the I/O loop.

    Parameters
    ----------
    source
        Where they are.
    folder
        Where they come to lie, below it by their keys.
    parts
        A folder for what has come of objects that are not whole.
    witness
        Key of an object that can be read: tells a chunk that is absent from a server that refuses
        everything. None: there is none.
    is_listed
        Whether the server lists; else what changed meanwhile shows by the metadata only.
    """

    def __init__(
        self,
        source: ObjectStore,
        folder: Path,
        parts: Path,
        *,
        witness: str | None,
        is_listed: bool,
    ) -> None:
        self._source = source
        self._folder = folder
        self._parts = parts
        self._witness = witness
        self._is_listed = is_listed
        self._has_checksums: bool | None = None
        """Whether ETags of this server are checksums; None: not known yet."""

    async def copy(self, wanted: Wanted) -> tuple[int | None, bool]:
        """Copy an object; return its bytes (None: there is none), and whether it is new here.

        Raises
        ------
        ExistsError
            If the image has changed since it was begun to be copied.
        ChangedError
            If what came is not what the server says.
        WriteError
            If the disk does not take it.
        CloudError
            As the server says.
        """
        place = self._place(wanted.key)
        here = None
        if not wanted.is_document:
            here = await asyncio.to_thread(is_here, place, wanted)
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
        return Path(parse_location(self._folder).child(key).key)

    async def _is_absent(self, error: CloudError) -> bool:
        if isinstance(error, NotFoundError):
            return True
        if not may_mean_absent(error) or self._witness is None:
            return False
        # Servers that do not list refuse what is not there: unless they refuse everything by now.
        return await self._source.get(self._witness) is not None

    async def _fetch(self, wanted: Wanted, place: Path) -> int:
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
        if wanted.is_document and not self._is_listed:
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
            where=str(self._folder),
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


def _may_help(error: CloudError) -> bool:
    """Tell whether asking again may help."""
    if isinstance(error, NotFoundError | CredentialsError | ExistsError):
        return False
    if isinstance(error, WriteError):
        return isinstance(error, ChangedError)
    return not may_mean_absent(error)


def _part_name(wanted: Wanted) -> str:
    """Return how the beginning of this very version is called."""
    like = wanted.like
    version = f"{like.e_tag} {like.modified} {like.nbytes}" if like is not None else ""
    return hashlib.sha256(f"{wanted.key}\n{version}".encode()).hexdigest()


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def is_here(place: Path, wanted: Wanted) -> int | None:
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
        with said(self._path):
            self._file = self._path.open("ab")
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._file.close()

    def write(self, piece: Bytes) -> None:
        with said(self._path):
            self._file.write(piece)
        self.nbytes += len(piece)

    def flush(self) -> None:
        with said(self._path):
            self._file.flush()


@contextlib.contextmanager
def said(path: Path) -> Iterator[None]:
    """Say in our words what a disk does not take."""
    try:
        yield
    except OSError as error:
        raise disk_refused(path.parent, error) from error


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _is_other(part: Path, place: Path) -> bool:
    return place.exists() and place.read_bytes() != part.read_bytes()


def _put(part: Path, place: Path, like: ObjectFound) -> None:
    with said(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        if like.modified is not None:
            os.utime(part, (like.modified, like.modified))
        part.replace(place)
