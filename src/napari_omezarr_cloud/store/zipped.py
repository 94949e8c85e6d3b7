"""A zip file (``.zip``, ``.ozx``) as a store: its directory is read once, its members by range."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import MetadataError, NotFoundError, NotOmeZarrError
from napari_omezarr_cloud.store.failures import NoRangesError
from napari_omezarr_cloud.store.once import Once
from napari_omezarr_cloud.store.protocol import ByteRange, Bytes, ByteStore, Entry
from napari_omezarr_cloud.store.recent_bytes import RecentBytes
from napari_omezarr_cloud.store.sharing import SharingStore
from napari_omezarr_cloud.store.wrapping import StoreWrapper
from napari_omezarr_cloud.store.zip_directory import (
    END_BYTES,
    Directory,
    Member,
    ZipError,
    data_offset,
    parse_directory,
    parse_end,
    parse_end64,
    roots,
)
from napari_omezarr_cloud.store.zip_unpacking import unpacked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from napari_omezarr_cloud.location import Location

__all__ = ["ZippedFile", "ZippedStore"]

_TAIL_BYTES = 1 << 18
"""Read at once from the end: most files' whole directory is in it."""

_MOST_WHOLE = 64 << 20
"""A file up to this size is read whole where the server sends no parts of files."""

_HEADER_BYTES = 30 + 256
"""Of a local header, with its name and extra fields, in nearly every file."""

_DOCUMENTS = frozenset(("zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata"))
_RUN_BYTES, _GAP_BYTES = 1 << 18, 1 << 15
_FEW_RUNS = 12

_MAX_MEMBER_BYTES = 1 << 29
_MAX_DOCUMENT_BYTES = 1 << 26
_KEPT_BYTES = 1 << 27
_SMALL_BYTES = 1 << 23
"""Larger members are unpacked one after the other, since each takes as much memory again."""


class ZippedFile:
    """A zip file: its directory is read once, however many stores are made of it.

    Metadata that lie near one another in the file are read in one request. A packed member of
    which parts are read (a shard) is unpacked once and kept, up to 128 MiB of them.

    Parameters
    ----------
    outer
        Holds the file.
    name
        Key of the file in it.
    """

    def __init__(self, outer: ByteStore, name: str) -> None:
        self._outer = outer
        self._name = name
        self._contents = Once(self._open)

    @property
    def location(self) -> Location:
        """Where the file is."""
        return self._outer.location.child(self._name)

    @property
    def where(self) -> str:
        """Display form of the file."""
        return f"{self._outer.where.rstrip('/')}/{self._name}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd about the file, in sentences; known once its directory has been read."""
        contents = self._contents.value
        return contents.notes if contents else ()

    async def contents(self) -> _Contents:
        """Return what is in the file; read once, whoever asks first."""
        return await self._contents

    async def distrust(self, member: Member) -> None:
        """Do not keep a member's bytes: they make no sense."""
        part = ByteRange(member.offset, member.end - member.offset)
        await self._outer.distrust(self._name, part)

    async def _open(self) -> _Contents:
        file = _File(self._outer, self._name, self.where)
        try:
            return _Contents(file, await _read_directory(file))
        except ZipError as error:
            raise _unreadable(str(error), self.where) from error


class ZippedStore:
    """Members of a zip file by key, below the folder in it that holds the image.

    Parameters
    ----------
    file
        The zip file.
    inside
        Folder in the zip that is the root; empty finds it: the one that holds Zarr metadata and is
        not inside another such. A path that is not in the zip may be below that one.
    """

    def __init__(self, file: ZippedFile, inside: str = "") -> None:
        self._file = file
        self._inside = inside.strip("/")
        self._root = Once(self._find_root)

    @property
    def location(self) -> Location:
        """Where the root is."""
        return self._file.location.child(self._inside)

    @property
    def where(self) -> str:
        """Display form of the root."""
        return f"{self._file.where}/{self._inside}" if self._inside else self._file.where

    async def get(self, key: str, byte_range: ByteRange | None = None) -> Bytes | None:
        """Return a member, or a part of it; None when there is no such member.

        Raises
        ------
        NotFoundError
            If the file is not there.
        ServerError
            If the server sends no parts of files, and this one is too large to be read whole.
        MetadataError
            If it is no zip file that can be read, or a member is damaged, encrypted, packed by a
            method that is not known, or larger than what can be unpacked safely.
        """
        contents, path = await self._path(key)
        member = contents.directory.get(path)
        if member is None:
            return None
        try:
            return await contents.read(member, byte_range)
        except ZipError as error:
            await self._file.distrust(member)
            raise _unreadable(str(error), self.where, key) from error

    async def distrust(self, key: str, byte_range: ByteRange | None = None) -> None:
        """Do not keep a member's bytes: they make no sense."""
        contents, path = await self._path(key)
        member = contents.directory.get(path)
        if member is not None:
            await self._file.distrust(member)

    async def put(self, key: str, data: Bytes) -> None:
        """Refuse: a member cannot be changed in place."""
        raise _unreadable("a zip file cannot be written to", self.where, key)

    async def delete(self, key: str) -> None:
        """Refuse: a member cannot be taken out in place."""
        raise _unreadable("a zip file cannot be written to", self.where, key)

    async def list(self, prefix: str = "") -> Sequence[Entry]:
        """Return the names directly below ``prefix``; asks nobody."""
        contents, path = await self._path(prefix.strip("/"))
        found: dict[str, Entry] = {}
        for name, member in contents.directory.below(path):
            found[name] = Entry(name, member is None, None if member is None else member.nbytes)
        return list(found.values())

    async def _path(self, key: str) -> tuple[_Contents, str]:
        """Return what is in the file, and the name that a key has in it."""
        root = await self._root
        path = f"{root}/{key}" if root and key else root or key
        return await self._file.contents(), path

    async def _find_root(self) -> str:
        contents = await self._file.contents()
        return await asyncio.to_thread(self._root_in, contents.directory)

    def _root_in(self, directory: Directory) -> str:
        inside = self._inside
        if inside and directory.holds(inside):
            return inside
        found = roots(directory.names, _DOCUMENTS)
        if not found:
            raise _without_zarr(directory, self._file.where)
        if inside:
            below = [f"{path}/{inside}" for path in found if path]
            held = [path for path in below if directory.holds(path)]
            return held[0] if len(held) == 1 else inside
        if len(found) > 1:
            some = ", ".join(f"{self.where}/{path}" for path in found[:4])
            why = f"{len(found)} folders in it hold Zarr data. Open one of them: {some}"
            raise _unreadable(why, self.where)
        return found[0]


def _without_zarr(directory: Directory, where: str) -> NotOmeZarrError:
    names = directory.names
    shown = ", ".join(repr(name[:100]) for name in names[:3])
    inner = next((name for name in names if name.lower().endswith((".zip", ".ozx"))), None)
    return NotOmeZarrError(
        "Could not read the zip file",
        where=where,
        why=f"none of its {len(names):,} members is the metadata of a Zarr"
        + (f"; it holds {shown}{' and more' if len(names) > 3 else ''}" if names else ""),
        hint="A zip file inside a zip file is not read; unpack the outer one."
        if inner
        else "Zipped OME-Zarr holds zarr.json or .zattrs.",
    )


def _unreadable(why: str, where: str, key: str = "") -> MetadataError:
    return MetadataError("Could not read the zip file", where=where, key=key, why=why)


class _File:
    """The bytes of the file itself, of which some are here from the beginning."""

    def __init__(self, outer: ByteStore, name: str, where: str) -> None:
        self.outer, self._name, self._where = outer, name, where
        self._here: tuple[int, memoryview] = (0, memoryview(b""))
        self._is_all_here = False
        self.is_whole = False

    async def tail(self) -> memoryview:
        """Return the end of the file, or all of it where the server sends no parts."""
        try:
            tail = await self._get(ByteRange(-_TAIL_BYTES, whole_up_to=_MOST_WHOLE))
        except NoRangesError as error:
            error.hint = (
                "Download the file first, with a browser or with "
                f"`curl -L -o {self._name} LINK`, and open it from the disk."
            )
            raise
        self.is_whole = len(tail) > _TAIL_BYTES
        self._is_all_here = len(tail) != _TAIL_BYTES
        self.keep(0, tail if self._is_all_here else memoryview(b""))
        return tail

    def keep(self, start: int, data: memoryview) -> None:
        """Remember a part that is here, so that nobody asks for it again."""
        self._here = (start, data)

    async def part(self, start: int, nbytes: int) -> memoryview:
        """Return a part; fewer bytes where the file ends."""
        begin, data = self._here
        if self._is_all_here or (begin <= start and start + nbytes <= begin + len(data)):
            return data[max(0, start - begin) : max(0, start - begin + nbytes)]
        return await self._get(ByteRange(start, nbytes))

    async def _get(self, wanted: ByteRange) -> memoryview:
        raw = await self.outer.get(self._name, wanted)
        if raw is None:
            raise NotFoundError(
                "Found no file",
                where=self._where,
                hint="Check the link, and its upper and lower case.",
            )
        return memoryview(raw)


async def _read_directory(file: _File) -> Directory:
    tail = await file.tail()
    place = parse_end(bytes(tail[-END_BYTES - 128 :]))
    if isinstance(place, int):
        place = parse_end64(bytes(await file.part(place, 56)))
    # Right before its record, whatever stands before the zip in the file.
    stop = len(tail) - place.after
    begin = stop - place.nbytes
    if place.after and begin >= 0 and bytes(tail[begin:stop][:4]) in (b"", b"PK\x01\x02"):
        raw = tail[begin:stop]
        # Members in it need not be asked for. All of a small file is here.
        file.keep(place.offset - begin, tail[:begin])
    else:
        raw = await file.part(place.offset, place.nbytes)
    return await asyncio.to_thread(parse_directory, place, bytes(raw))


class _Contents:
    """What is in a zip file: where each member lies, and what of it has been read."""

    def __init__(self, file: _File, directory: Directory) -> None:
        self.directory = directory
        self._file = file
        self._offsets: dict[str, int] = {}
        self._runs = directory.runs(_DOCUMENTS, most=_RUN_BYTES, gap=_GAP_BYTES)
        self._run_bytes = RecentBytes(16 * _RUN_BYTES)
        self._unpacked = RecentBytes(_KEPT_BYTES)
        self._shared_runs = SharingStore(_Made(file.outer, self._read_run))
        self._shared_members = SharingStore(_Made(file.outer, self._read_member))
        self._one_large = asyncio.Lock()
        self._ahead: list[asyncio.Future[Bytes | None]] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd about it, in sentences."""
        whole = "The server sends no parts of files, so the whole zip file was read."
        return (*self.directory.notes, whole) if self._file.is_whole else self.directory.notes

    async def read(self, member: Member, wanted: ByteRange | None) -> Bytes:
        """Return a member's bytes, or some of them."""
        if member.is_encrypted:
            raise ZipError("it is encrypted, and members with a password are not read")
        if wanted is not None and wanted.at_most is not None and member.nbytes > wanted.at_most:
            raise ZipError(
                f"its {member.nbytes:,} bytes are more than the {wanted.at_most:,} expected there"
            )
        if wanted is None or (wanted.at_most is not None and wanted.length is None):
            return await self._whole(member)
        start, stop = _span(wanted, member.nbytes)
        if member.method == 0:
            if stop <= start:
                return b""
            first = await self._first_byte(member)
            return await self._file.part(first + start, stop - start)
        whole = self._unpacked.get(member.name)
        if whole is None:
            whole = await self._shared_members.get(member.name) or b""
        return whole[start:stop]

    async def _read_member(self, name: str) -> Bytes:
        member = self.directory.get(name)
        whole = await self._whole(member) if member is not None else b""
        self._unpacked.put(name, whole)
        return whole

    async def _whole(self, member: Member) -> Bytes:
        """Read and unpack a member."""
        is_document = member.name.rpartition("/")[2] in _DOCUMENTS
        most = _MAX_DOCUMENT_BYTES if is_document else _MAX_MEMBER_BYTES
        if max(member.nbytes, member.stored_bytes) > most:
            raise ZipError(
                f"its {member.nbytes / 1e6:,.0f} MB are more than can be unpacked safely"
            )
        if member.name in self._runs:
            return await self._document(member)
        if member.nbytes + member.stored_bytes <= _SMALL_BYTES or member.method == 0:
            return await _unpack(member, await self._packed(member))
        async with self._one_large:
            return await _unpack(member, await self._packed(member))

    async def _packed(self, member: Member) -> memoryview:
        """Return a member's bytes as they lie in the file."""
        known = self._offsets.get(member.name)
        if known is not None:
            return await self._file.part(known, member.stored_bytes)
        extra = min(_HEADER_BYTES, member.end - member.offset - member.stored_bytes)
        # One request, but for headers that are longer than nearly all.
        raw = await self._file.part(member.offset, extra + member.stored_bytes)
        at = data_offset(bytes(raw[:30]))
        self._offsets[member.name] = member.offset + at
        packed = raw[at : at + member.stored_bytes]
        missing = member.stored_bytes - len(packed)
        if missing and len(raw) == extra + member.stored_bytes:
            rest = await self._file.part(member.offset + at + len(packed), missing)
            return memoryview(bytes(packed) + bytes(rest))
        return packed

    async def _document(self, member: Member) -> Bytes:
        span = self._runs[member.name]
        self._read_ahead()
        run = await self._run(span)
        raw = run[member.offset - span.start :]
        at = data_offset(bytes(raw[:30]))
        packed = memoryview(raw)[at : at + member.stored_bytes]
        return await _unpack(member, packed)

    def _read_ahead(self) -> None:
        """Ask for all metadata at once where that takes few requests: it saves a round."""
        if self._ahead is None:
            spans = dict.fromkeys(self._runs.values())
            spans = spans if len(spans) <= _FEW_RUNS else {}
            self._ahead = [asyncio.ensure_future(self._run(span)) for span in spans]
            for task in self._ahead:
                # Whoever needs it asks again, and hears of a failure.
                task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _run(self, span: range) -> Bytes:
        run = self._run_bytes.get(span)
        if run is None:
            run = await self._shared_runs.get(f"{span.start}-{span.stop}") or b""
        return run

    async def _read_run(self, name: str) -> Bytes:
        start, stop = map(int, name.split("-"))
        run = await self._file.part(start, stop - start)
        self._run_bytes.put(range(start, stop), run)
        return run

    async def _first_byte(self, member: Member) -> int:
        if member.name not in self._offsets:
            header = await self._file.part(
                member.offset, min(_HEADER_BYTES, member.end - member.offset)
            )
            self._offsets[member.name] = member.offset + data_offset(bytes(header[:30]))
        return self._offsets[member.name]


class _Made(StoreWrapper):
    """Gives what a function makes of a key, so that it can be shared as a request is."""

    def __init__(self, inner: ByteStore, make: Callable[[str], Awaitable[Bytes]]) -> None:
        super().__init__(inner)
        self._make = make

    async def get(self, key: str, byte_range: ByteRange | None = None) -> Bytes | None:
        return await self._make(key)


def _span(wanted: ByteRange, nbytes: int) -> tuple[int, int]:
    """Return the range as start and stop within a member."""
    if wanted.start < 0:
        return max(0, nbytes + wanted.start), nbytes
    stop = nbytes if wanted.length is None else wanted.start + wanted.length
    return min(wanted.start, nbytes), min(stop, nbytes)


async def _unpack(member: Member, packed: memoryview) -> Bytes:
    if max(len(packed), member.nbytes) < (1 << 16):
        return unpacked(member, packed)
    return await asyncio.to_thread(unpacked, member, packed)
