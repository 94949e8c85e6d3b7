"""The records of a zip file that say where its members lie. Pure; reads nothing.

Format: PKWARE's APPNOTE.TXT 6.3.10. The end of the file says where the directory is (sections
4.3.14 to 4.3.16), an entry of that where a member is, a header there where its own bytes begin.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

__all__ = [
    "END_BYTES",
    "LOCAL_BYTES",
    "DirectoryEntry",
    "DirectoryPlace",
    "ZipError",
    "data_offset",
    "parse_end",
    "parse_end64",
    "parse_entry",
]

END_BYTES = 22 + (1 << 16) - 1
"""The longest end: its record and a comment."""
LOCAL_BYTES = 30
"""Of the shortest header before a member's own bytes."""

_END, _END64, _LOCATOR64, _LOCAL = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x03\x04"
_ENTRY, _ENTRY_BYTES = b"PK\x01\x02", 46
_FIELDS = struct.Struct("<8xHH4xIIIHHH8xI")
_IN_EXTRA = 0xFFFFFFFF
_IS_UTF8 = 1 << 11
_MAX_DIRECTORY_BYTES = 128 << 20
_MAX_MEMBERS = 1_500_000
"""Their names take about 200 bytes each."""


class ZipError(Exception):
    """A zip file that cannot be read; says why."""


@dataclass(frozen=True)
class DirectoryPlace:
    """Where the directory lies in the file."""

    offset: int
    nbytes: int
    after: int = 0
    """Bytes of the file after it, where it lies right before its own record; 0: not known."""


def parse_end(tail: bytes) -> DirectoryPlace | int:
    """Return where the directory is.

    Parameters
    ----------
    tail
        The last bytes of the file; `END_BYTES` are enough for all but ZIP64.

    Returns
    -------
    DirectoryPlace or int
        The offset of the record that says it, where that is not within the tail (ZIP64).

    Raises
    ------
    ZipError
        If this is no zip file.
    """
    at = tail.rfind(_END)
    while at >= 0 and at + 22 + int.from_bytes(tail[at + 20 : at + 22], "little") != len(tail):
        at = tail.rfind(_END, 0, at)
    if at < 0:
        raise ZipError("it does not end as a zip file does; it may be cut off, or something else")
    disk, first, here, count, nbytes, offset = struct.unpack("<HHHHII", tail[at + 4 : at + 20])
    if disk not in (0, 0xFFFF) or first not in (0, 0xFFFF):
        raise ZipError("it is one part of a split archive")
    if at < 20 or tail[at - 20 : at - 16] != _LOCATOR64:
        return _checked(offset, nbytes, max(count, here), len(tail) - at)
    (where,) = struct.unpack("<Q", tail[at - 12 : at - 4])
    found = tail.rfind(_END64, 0, at)
    return int(where) if found < 0 else parse_end64(tail[found:], len(tail) - found)


def parse_end64(record: bytes, after: int = 0) -> DirectoryPlace:
    """Return where the directory is, from the record of a ZIP64 file.

    ``after`` is how many bytes of the file there are from the record on, where that is known.

    Raises
    ------
    ZipError
        If this is no such record.
    """
    if len(record) < 56 or record[:4] != _END64:
        raise ZipError("the record of its directory (ZIP64) is not where it says")
    _, count, nbytes, offset = struct.unpack("<QQQQ", record[24:56])
    return _checked(offset, nbytes, count, after)


def _checked(offset: int, nbytes: int, count: int, after: int) -> DirectoryPlace:
    if nbytes > _MAX_DIRECTORY_BYTES or count > _MAX_MEMBERS:
        raise ZipError(
            f"its directory of {count:,} members and {nbytes / 1e6:,.0f} MB is too large to be read"
        )
    return DirectoryPlace(offset, nbytes, after)


class DirectoryEntry(NamedTuple):
    """One entry of the directory (APPNOTE 4.3.12)."""

    name: str
    flags: int
    method: int
    crc: int
    stored_bytes: int
    nbytes: int
    offset: int
    end: int
    """Where in the directory the next one begins."""


def parse_entry(raw: bytes, at: int) -> DirectoryEntry:
    """Return the entry that begins at a place in the directory.

    Raises
    ------
    ZipError
        If it makes no sense.
    """
    if raw[at : at + 4] != _ENTRY or len(raw) < at + _ENTRY_BYTES:
        raise ZipError("its directory cannot be read: it is damaged")
    flags, method, crc, stored, nbytes, of_name, of_extra, of_comment, offset = _FIELDS.unpack_from(
        raw, at
    )
    begin = at + _ENTRY_BYTES
    end = begin + of_name + of_extra + of_comment
    if len(raw) < end:
        raise ZipError("its directory cannot be read: it is cut off")
    if _IN_EXTRA in (stored, nbytes, offset):
        extra = raw[begin + of_name : begin + of_name + of_extra]
        nbytes, stored, offset = _zip64(extra, (nbytes, stored, offset))
    name = _text(raw[begin : begin + of_name].partition(b"\0")[0], is_utf8=bool(flags & _IS_UTF8))
    return DirectoryEntry(name, flags, method, crc, stored, nbytes, offset, end)


def _zip64(extra: bytes, values: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return values of which those too large for their field are in the extra field (4.5.3)."""
    at = 0
    while at + 4 <= len(extra):
        kind, nbytes = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            large = [
                int(n) for (n,) in struct.iter_unpack("<Q", extra[at + 4 :][: nbytes // 8 * 8])
            ]
            if len(large) < values.count(_IN_EXTRA):
                break
            first, second, third = (large.pop(0) if v == _IN_EXTRA else v for v in values)
            return first, second, third
        at += 4 + nbytes
    raise ZipError("its directory cannot be read: a large member's place (ZIP64) is not said")


def _text(raw: bytes, *, is_utf8: bool) -> str:
    """Return a name: UTF-8, or code page 437 (APPNOTE, appendix D).

    Many writers use UTF-8 and do not say so; words in the other seldom happen to be valid in it.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeError:
        return raw.decode("utf-8", "replace") if is_utf8 else raw.decode("cp437")


def data_offset(header: bytes) -> int:
    """Return how many bytes a member's local header takes, up to its own bytes.

    Raises
    ------
    ZipError
        If no header is there.
    """
    if len(header) < LOCAL_BYTES or header[:4] != _LOCAL:
        raise ZipError("a member is not where its directory says; there may be data before the zip")
    name, extra = struct.unpack("<HH", header[26:30])
    return int(LOCAL_BYTES + name + extra)
