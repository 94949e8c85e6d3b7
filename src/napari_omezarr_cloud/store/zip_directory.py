"""The directory of a zip file: where each member lies. Pure; reads nothing.

Format: PKWARE's APPNOTE.TXT 6.3.10. The end of the file says where the directory is (sections
4.3.14 to 4.3.16); its entries are read by Python's own ``zipfile``.
"""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "END_BYTES",
    "DirectoryPlace",
    "Member",
    "ZipError",
    "data_offset",
    "parse_directory",
    "parse_end",
    "parse_end64",
    "roots",
]

END_BYTES = 22 + (1 << 16) - 1
"""The longest end: its record and a comment."""

_END, _END64, _LOCATOR64, _LOCAL = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x03\x04"
_LOCAL_BYTES = 30
_MAX_DIRECTORY_BYTES = 48 << 20
_MAX_MEMBERS = 400_000
"""What is made of them takes about a KB each while they are read."""


class ZipError(Exception):
    """A zip file that cannot be read; says why."""


@dataclass(frozen=True)
class DirectoryPlace:
    """Where the directory lies in the file."""

    offset: int
    nbytes: int
    after: int = 0
    """Bytes of the file after it, where it lies right before its own record; 0: not known."""


@dataclass(frozen=True)
class Member:
    """One file in the zip."""

    name: str
    offset: int
    """Of its local header, which is before its bytes."""
    stored_bytes: int
    """As they lie in the file."""
    nbytes: int
    method: int
    crc: int
    is_encrypted: bool


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


def parse_directory(place: DirectoryPlace, raw: bytes) -> Mapping[str, Member]:
    """Return the members by name; of a name that repeats, the last.

    Parameters
    ----------
    place, raw
        Where the directory is, and its bytes.

    Raises
    ------
    ZipError
        If it makes no sense.
    """
    end = struct.pack("<4sHHHHIIH", _END, 0, 0, 0, 0, place.nbytes, 0, 0)
    try:
        with zipfile.ZipFile(io.BytesIO(raw[: place.nbytes] + end)) as directory:
            infos = directory.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise ZipError(f"its directory cannot be read ({error})") from error
    return {info.filename: _member(info) for info in infos if not info.is_dir()}


def _member(info: zipfile.ZipInfo) -> Member:
    return Member(
        name=info.filename,
        offset=info.header_offset,
        stored_bytes=info.compress_size,
        nbytes=info.file_size,
        method=info.compress_type,
        crc=info.CRC,
        is_encrypted=bool(info.flag_bits & 1),
    )


def data_offset(header: bytes) -> int:
    """Return how many bytes a member's local header takes, up to its own bytes.

    Raises
    ------
    ZipError
        If no header is there.
    """
    if len(header) < _LOCAL_BYTES or header[:4] != _LOCAL:
        raise ZipError("a member is not where its directory says; there may be data before the zip")
    name, extra = struct.unpack("<HH", header[26:30])
    return int(_LOCAL_BYTES + name + extra)


def roots(names: Iterable[str], documents: Iterable[str]) -> list[str]:
    """Return the outermost folders of a zip that hold one of these documents; "" is the top."""
    documents = set(documents)
    parts = (name.rpartition("/") for name in names)
    found = {folder for folder, _, name in parts if name in documents}
    if "" in found:
        return [""]
    outermost: list[str] = []
    # By parts, so that what is inside a folder follows it at once: one look back is enough.
    for path in sorted(found, key=lambda folder: folder.split("/")):
        if not outermost or not path.startswith(f"{outermost[-1]}/"):
            outermost.append(path)
    return outermost
