"""What is in a zip file, read from it: its directory at once, members as they are needed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import NotFoundError
from napari_omezarr_cloud.store.failures import NoRangesError
from napari_omezarr_cloud.store.protocol import ByteRange, Bytes, ByteStore
from napari_omezarr_cloud.store.recent_bytes import RecentBytes
from napari_omezarr_cloud.store.sharing import SharingStore
from napari_omezarr_cloud.store.wrapping import StoreWrapper
from napari_omezarr_cloud.store.zip_directory import Directory, Member, parse_directory
from napari_omezarr_cloud.store.zip_records import (
    END_BYTES,
    ZipError,
    data_offset,
    parse_end,
    parse_end64,
)
from napari_omezarr_cloud.store.zip_unpacking import unpacked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["DOCUMENTS", "Contents", "ZipBytes", "read_directory"]

DOCUMENTS = frozenset(("zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata"))
"""Last parts of the names of what is metadata."""

_TAIL_BYTES = 1 << 18
"""Read at once from the end: most files' whole directory is in it."""

_MOST_WHOLE = 64 << 20
"""A file up to this size is read whole where the server sends no parts of files."""

_HEADER_BYTES = 30 + 256
"""Of a local header, with its name and extra fields, in nearly every file."""

_RUN_BYTES, _GAP_BYTES = 1 << 18, 1 << 15
_FEW_RUNS = 12

_MAX_MEMBER_BYTES = 1 << 29
_MAX_DOCUMENT_BYTES = 1 << 26
_KEPT_BYTES = 1 << 27
_SMALL_BYTES = 1 << 23
"""Larger members are unpacked one after the other, since each takes as much memory again."""


class ZipBytes:
    """The bytes of a zip file itself, of which some are here from the beginning."""

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


async def read_directory(file: ZipBytes) -> Directory:
    """Read where the members are: one request, where the directory is at the end and not large.

    Raises
    ------
    ZipError
        If it is no zip file that can be read.
    """
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


class Contents:
    """What is in a zip file: where each member lies, and what of it has been read."""

    def __init__(self, file: ZipBytes, directory: Directory) -> None:
        self.directory = directory
        self._file = file
        self._offsets: dict[str, int] = {}
        self._runs = directory.runs(DOCUMENTS, most=_RUN_BYTES, gap=_GAP_BYTES)
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
        is_document = member.name.rpartition("/")[2] in DOCUMENTS
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
