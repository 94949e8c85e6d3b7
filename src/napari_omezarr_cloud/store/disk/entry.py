"""One entry in its file: a header with a checksum over everything, then the bytes as they came."""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_omezarr_cloud.store.protocol import ByteRange, Bytes

__all__ = ["DamagedError", "Entry", "name_of", "pack", "unpack"]

_MAGIC = b"OZC1"
_START = struct.Struct("<4sI")
_REST = struct.Struct("<B3xIddQ32s")
_HEAD_BYTES = _START.size + _REST.size
_IS_ABSENT = 1


class DamagedError(ValueError):
    """A file that is not what was written."""


@dataclass(frozen=True)
class Entry:
    """What was answered to one question."""

    data: Bytes | None
    """None: there is no such key."""
    stored_at: float
    """Seconds since 1970, UTC."""
    validator: str = ""
    """Of a document: its version, as the server told it."""
    modified: float | None = None
    """Of a document: when the server says it was changed."""

    @property
    def nbytes(self) -> int:
        """How many bytes its file takes."""
        data = 0 if self.data is None else len(self.data)
        return _HEAD_BYTES + len(self.validator.encode()) + data


def name_of(
    thing: str, byte_range: ByteRange | None, version: bytes = b"", *, is_private: bool = False
) -> bytes:
    """Return the name of an entry.

    Parameters
    ----------
    thing
        Which object, without credentials or query.
    byte_range
        Which part; None: all of it.
    version
        Of the image that it belongs to. Bytes of another version have another name, so that no
        order of events can bring them back.
    is_private
        Whether credentials were used: who comes without must not find it.
    """
    part = "" if byte_range is None else f"{byte_range.start}:{byte_range.length}"
    text = f"{int(is_private)}\0{part}\0{thing}\0"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass") + version).digest()


def pack(name: bytes, entry: Entry) -> tuple[bytes, Bytes]:
    """Return the head and the body of an entry's file."""
    data: Bytes = b"" if entry.data is None else entry.data
    said = entry.validator.encode()
    flags = _IS_ABSENT if entry.data is None else 0
    modified = -1.0 if entry.modified is None else entry.modified
    rest = _REST.pack(flags, len(said), entry.stored_at, modified, len(data), name) + said
    return _START.pack(_MAGIC, zlib.crc32(data, zlib.crc32(rest))) + rest, data


def unpack(name: bytes, raw: bytes) -> Entry:
    """Return the entry that a file holds.

    Raises
    ------
    DamagedError
        If it is not, to the last byte, what was written under this name.
    """
    if len(raw) < _HEAD_BYTES:
        raise DamagedError("it is shorter than its header")
    magic, checksum = _START.unpack_from(raw)
    flags, said, stored_at, modified, nbytes, written_as = _REST.unpack_from(raw, _START.size)
    if magic != _MAGIC or written_as != name or len(raw) != _HEAD_BYTES + said + nbytes:
        raise DamagedError("it is not what was written there")
    if zlib.crc32(memoryview(raw)[_START.size :]) != checksum:
        raise DamagedError("its checksum is wrong")
    body = _HEAD_BYTES + said
    return Entry(
        None if flags & _IS_ABSENT else memoryview(raw)[body:],
        stored_at,
        raw[_HEAD_BYTES:body].decode("utf-8", "replace"),
        None if modified < 0 else modified,
    )
