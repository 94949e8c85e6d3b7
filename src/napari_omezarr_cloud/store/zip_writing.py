"""A zip file, written member by member and not packed: the inverse of `zip_directory`.

Format: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7 (local header), 4.3.12 (directory), 4.3.14 to
4.3.16 (end), 4.5.3 (ZIP64). Its own end is always that of ZIP64, as RFC-9 of OME-Zarr asks for.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.store.protocol import Bytes

__all__ = ["ZipWriter"]

_LARGE = 0xFFFFFFFF
_LOCAL = struct.Struct("<14xIIIHH")
"""CRC, sizes, and lengths of name and extra field of a local header."""
_ZIP64_BYTES = 20
"""Of an extra field with two sizes."""
_VERSION_ZIP64, _VERSION_PLAIN, _UNIX = 45, 20, 3 << 8
_IS_UTF8 = 1 << 11
_NO_DATE = (0, (1 << 5) | 1)
"""Time and date of a member: 1980-01-01, so that the same image gives the same file."""
_MODE = 0o100644 << 16
"""External attributes: an ordinary file that its owner may write."""


class ZipWriter:
    """Appends members to a file, in the order in which the directory will list them.

    Parameters
    ----------
    file
        Empty, opened for writing; never sought in.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._at = 0
        self._entries: list[bytes] = []
        self.names: set[str] = set()
        """Of the members."""

    @classmethod
    def resumed(cls, file: BinaryIO, is_wanted: Callable[[str], bool]) -> ZipWriter:
        """Return a writer that goes on where another one broke off.

        Parameters
        ----------
        file
            What that wrote, opened for reading and writing; cut off behind the last member kept.
        is_wanted
            Tells of each member, in turn, whether it is kept; the first that is not ends it.
        """
        zipped, size = cls(file), file.seek(0, os.SEEK_END)
        file.seek(0)
        while (member := zipped._next()) is not None:
            name, crc, nbytes = member
            end = file.tell() + nbytes
            if end > size or not is_wanted(name):
                break
            zipped._list(name, crc, nbytes)
            zipped._at = file.seek(end)
        file.seek(zipped._at)
        file.truncate()
        return zipped

    def _next(self) -> tuple[str, int, int] | None:
        """Return name, checksum and size of the member that begins here; None: it was not ours."""
        fixed = self._file.read(_LOCAL.size)
        if len(fixed) < _LOCAL.size:
            return None
        crc, _, nbytes, name_length, extra_length = _LOCAL.unpack(fixed)
        raw, extra = self._file.read(name_length), self._file.read(extra_length)
        if len(extra) == _ZIP64_BYTES:
            nbytes = struct.unpack_from("<Q", extra, 4)[0]
        name = raw.decode(errors="replace")
        header, _ = self._headers(name, crc, nbytes)
        return (name, crc, nbytes) if fixed + raw + extra == header else None

    def add(self, name: str, data: Bytes) -> None:
        """Append one member; ``name`` has ``/`` between its parts."""
        header = self._list(name, zlib.crc32(data), len(data))
        for part in (header, data):
            self._file.write(part)
            self._at += len(part)

    def _list(self, name: str, crc: int, nbytes: int) -> bytes:
        """Put a member that begins here into the directory; return what comes before its bytes."""
        header, entry = self._headers(name, crc, nbytes)
        self._entries.append(entry)
        self.names.add(name)
        return header

    def _headers(self, name: str, crc: int, nbytes: int) -> tuple[bytes, bytes]:
        raw = name.encode()
        sizes = struct.pack("<QQ", nbytes, nbytes) if nbytes >= _LARGE else b""
        offset = struct.pack("<Q", self._at) if self._at >= _LARGE else b""
        stated = min(nbytes, _LARGE)
        version = _VERSION_ZIP64 if sizes else _VERSION_PLAIN
        fields = struct.pack("<HHHHIII", _IS_UTF8, 0, *_NO_DATE, crc, stated, stated)
        extra = _zip64(sizes)
        header = struct.pack("<4sH", b"PK\x03\x04", version) + fields
        entry_extra = _zip64(sizes + offset)
        version = _VERSION_ZIP64 if entry_extra else _VERSION_PLAIN
        entry = (
            struct.pack("<4sHH", b"PK\x01\x02", _UNIX | version, version)
            + fields
            + struct.pack("<HHHHHII", len(raw), len(entry_extra), 0, 0, 0, _MODE,
                          min(self._at, _LARGE))
            + raw
            + entry_extra
        )  # fmt: skip
        return header + struct.pack("<HH", len(raw), len(extra)) + raw + extra, entry

    def finish(self, comment: bytes = b"") -> None:
        """Append the directory and the end of the file; nothing can be added any more."""
        directory, count = b"".join(self._entries), len(self._entries)
        end64 = self._at + len(directory)
        self._file.write(directory)
        self._file.write(
            struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, _UNIX | _VERSION_ZIP64, _VERSION_ZIP64,
                        0, 0, count, count, len(directory), self._at)
            + struct.pack("<4sIQI", b"PK\x06\x07", 0, end64, 1)
            + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, min(count, 0xFFFF),
                          min(count, 0xFFFF), min(len(directory), _LARGE), min(self._at, _LARGE),
                          len(comment))
            + comment
        )  # fmt: skip


def _zip64(values: bytes) -> bytes:
    """Return the extra field of what is too large for its own (4.5.3)."""
    return struct.pack("<HH", 1, len(values)) + values if values else b""
