"""A zip file (``.zip``, ``.ozx``) as a store: its directory is read once, its members by range."""

from __future__ import annotations

import asyncio
import bz2
import zlib
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import MetadataError, NotFoundError
from napari_omezarr_cloud.store.protocol import ByteRange, Bytes, ByteStore, Entry
from napari_omezarr_cloud.store.zip_directory import (
    END_BYTES,
    DirectoryPlace,
    Member,
    ZipError,
    data_offset,
    parse_directory,
    parse_end,
    parse_end64,
    roots,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["ZippedStore"]

_TAIL_BYTES = 1 << 18
"""Read at once from the end: most files' whole directory is in it."""

_HEADER_BYTES = 30 + 256
"""Of a local header, with its name and extra fields, in nearly every file."""

_DOCUMENTS = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
_MAX_MEMBER_BYTES = 1 << 29
_MAX_DOCUMENT_BYTES = 1 << 26

_METHODS = {1: "shrink", 6: "implode", 9: "deflate64", 14: "LZMA", 93: "Zstandard", 95: "XZ"}


class ZippedStore:
    """Members of a zip file by key, below the folder in it that holds the image.

    Parameters
    ----------
    outer
        Holds the file.
    name
        Key of the file in it.
    inside
        Folder in the zip that is the root; None finds it: the one that holds Zarr metadata and is
        not inside another such.
    """

    def __init__(self, outer: ByteStore, name: str, inside: str | None = None) -> None:
        self._outer = outer
        self._name = name
        self._inside = inside
        self._directory: asyncio.Task[tuple[str, Mapping[str, Member]]] | None = None
        self._offsets: dict[str, int] = {}

    @property
    def where(self) -> str:
        """Display form of the file."""
        path = f"/{self._inside}" if self._inside else ""
        return f"{self._outer.where.rstrip('/')}/{self._name}{path}"

    async def get(self, key: str, byte_range: ByteRange | None = None) -> Bytes | None:
        """Return a member, or a part of it; None when there is no such member.

        Raises
        ------
        NotFoundError
            If the file is not there.
        MetadataError
            If it is no zip file that can be read, or a member is damaged, encrypted, packed by a
            method that is not known, or larger than what can be unpacked safely.
        """
        root, members = await self._members()
        member = members.get(f"{root}{key}")
        if member is None:
            return None
        try:
            return await self._read(member, byte_range)
        except ZipError as error:
            raise self._unreadable(str(error), key) from error

    async def put(self, key: str, data: Bytes) -> None:
        """Refuse: a member cannot be changed in place."""
        raise self._unreadable("a zip file cannot be written to", key)

    async def delete(self, key: str) -> None:
        """Refuse: a member cannot be taken out in place."""
        raise self._unreadable("a zip file cannot be written to", key)

    async def list(self, prefix: str = "") -> Sequence[Entry]:
        """Return the names directly below ``prefix``; asks nobody."""
        root, members = await self._members()
        base = f"{root}{prefix.strip('/')}/" if prefix.strip("/") else root
        found: dict[str, Entry] = {}
        for name, member in members.items():
            if name.startswith(base):
                first, slash, _ = name[len(base) :].partition("/")
                found[first] = Entry(first, bool(slash), None if slash else member.nbytes)
        return list(found.values())

    async def _members(self) -> tuple[str, Mapping[str, Member]]:
        """Return the root, with a slash, and all members; read once, whoever asks first."""
        if self._directory is None or self._failed(self._directory):
            self._directory = asyncio.ensure_future(self._read_directory())
        # Shielded: who asked first may give up, the others still want it.
        return await asyncio.shield(self._directory)

    @staticmethod
    def _failed(task: asyncio.Task[tuple[str, Mapping[str, Member]]]) -> bool:
        return task.done() and (task.cancelled() or task.exception() is not None)

    async def _read_directory(self) -> tuple[str, Mapping[str, Member]]:
        tail = await self._part(-_TAIL_BYTES)
        try:
            place = parse_end(tail[-END_BYTES - 128 :])
            if isinstance(place, int):
                place = parse_end64(await self._part(place, 56))
            raw = await self._directory_bytes(tail, place)
            members = await asyncio.to_thread(parse_directory, place, raw)
            return await asyncio.to_thread(self._root, members), members
        except ZipError as error:
            raise self._unreadable(str(error)) from error

    async def _directory_bytes(self, tail: bytes, place: DirectoryPlace) -> bytes:
        """Return the directory, from what is here of the end or with one more read."""
        stop = len(tail) - place.after
        begin = stop - place.nbytes
        if place.after and begin >= 0 and tail[begin:stop][:4] in (b"", b"PK\x01\x02"):
            return tail[begin:stop]
        return await self._part(place.offset, place.nbytes)

    def _root(self, members: Iterable[str]) -> str:
        if self._inside:
            return f"{self._inside.strip('/')}/"
        found = roots(members, _DOCUMENTS)
        if len(found) > 1:
            some = ", ".join(f"{self.where}/{path}" for path in found[:4])
            raise ZipError(f"{len(found)} folders in it hold Zarr data. Open one of them: {some}")
        return f"{found[0]}/" if found and found[0] else ""

    async def _read(self, member: Member, wanted: ByteRange | None) -> Bytes:
        if member.is_encrypted:
            raise ZipError("it is encrypted")
        if member.method == 0 and wanted is not None:
            start, stop = _span(wanted, member.nbytes)
            first = await self._first_byte(member)
            return await self._part(first + start, stop - start) if stop > start else b""
        whole = await self._whole(member)
        return whole if wanted is None else whole[slice(*_span(wanted, member.nbytes))]

    async def _whole(self, member: Member) -> Bytes:
        """Read and unpack a member; in one request where its header is as long as most are."""
        is_document = member.name.rpartition("/")[2] in _DOCUMENTS
        most = _MAX_DOCUMENT_BYTES if is_document else _MAX_MEMBER_BYTES
        if max(member.nbytes, member.stored_bytes) > most:
            raise ZipError(
                f"its {member.nbytes / 1e6:,.0f} MB are more than can be unpacked safely"
            )
        known = self._offsets.get(member.name)
        begin = member.offset if known is None else known
        extra = _HEADER_BYTES if known is None else 0
        raw = await self._part(begin, extra + member.stored_bytes)
        at = data_offset(raw) if known is None else 0
        self._offsets[member.name] = begin + at
        packed = raw[at : at + member.stored_bytes]
        if len(packed) < member.stored_bytes:
            rest = await self._part(begin + len(raw), member.stored_bytes - len(packed))
            packed += rest
        if len(packed) < (1 << 16):
            return _unpacked(member, packed)
        return await asyncio.to_thread(_unpacked, member, packed)

    async def _first_byte(self, member: Member) -> int:
        if member.name not in self._offsets:
            header = await self._part(member.offset, _HEADER_BYTES)
            self._offsets[member.name] = member.offset + data_offset(header)
        return self._offsets[member.name]

    async def _part(self, start: int, nbytes: int | None = None) -> bytes:
        raw = await self._outer.get(self._name, ByteRange(start, nbytes))
        if raw is None:
            raise NotFoundError(
                "Found no file",
                where=self.where,
                hint="Check the link, and its upper and lower case.",
            )
        return bytes(raw)

    def _unreadable(self, why: str, key: str = "") -> MetadataError:
        return MetadataError("Could not read the zip file", where=self.where, key=key, why=why)


def _span(wanted: ByteRange, nbytes: int) -> tuple[int, int]:
    """Return the range as start and stop within a member."""
    if wanted.start < 0:
        return max(0, nbytes + wanted.start), nbytes
    stop = nbytes if wanted.length is None else wanted.start + wanted.length
    return min(wanted.start, nbytes), min(stop, nbytes)


def _unpacked(member: Member, packed: bytes) -> bytes:
    """Return a member's own bytes; never more than its directory declares."""
    if len(packed) != member.stored_bytes:
        raise ZipError("it is cut off")
    most = member.nbytes + 1
    try:
        if member.method == 0:
            data = packed
        elif member.method == 8:
            data = zlib.decompressobj(-15).decompress(packed, most)
        elif member.method == 12:
            data = bz2.BZ2Decompressor().decompress(packed, most)
        else:
            known = _METHODS.get(member.method, f"method {member.method}")
            raise ZipError(f"it is packed with {known}, which is not supported")
    except (zlib.error, OSError, ValueError) as error:
        raise ZipError(f"it cannot be unpacked ({error})") from error
    if len(data) != member.nbytes:
        raise ZipError(f"it unpacks to other than the {member.nbytes} bytes it declares")
    if zlib.crc32(data) != member.crc:
        raise ZipError("its checksum is wrong: the file is damaged")
    return data
