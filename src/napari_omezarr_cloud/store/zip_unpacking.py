"""The bytes of a zip file's member, unpacked: never more than its directory declares."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.store.zip_records import ZipError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.store.zip_directory import Member

__all__ = ["unpacked"]

_PIECE = 1 << 20
_OTHERS = {1: "shrink", 6: "implode", 9: "deflate64", 94: "MP3", 96: "JPEG", 97: "WavPack"}


def unpacked(member: Member, packed: memoryview) -> memoryview:
    """Return a member's own bytes.

    Methods (APPNOTE 4.4.5): stored, deflate, bzip2, LZMA, Zstandard and XZ.

    Parameters
    ----------
    member
        As the directory declares it.
    packed
        Its bytes as they lie in the file.

    Raises
    ------
    ZipError
        If they are cut off or damaged, packed by another method, or unpack to another size.
    """
    if len(packed) != member.stored_bytes:
        raise ZipError("it is cut off")
    if member.method == 0:
        data = packed
    elif member.method in _UNPACK:
        try:
            data = _UNPACK[member.method](packed, member.nbytes)
        except (zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, RuntimeError) as error:
            raise ZipError(f"it cannot be unpacked ({error})") from error
    else:
        known = _OTHERS.get(member.method, f"method {member.method}")
        raise ZipError(f"it is packed with {known}, which is not supported")
    if len(data) != member.nbytes:
        raise _other_size(member.nbytes)
    if zlib.crc32(data) != member.crc:
        raise ZipError("its checksum is wrong: the file is damaged")
    return data


def _other_size(nbytes: int) -> ZipError:
    return ZipError(f"it unpacks to other than the {nbytes} bytes it declares")


class _Room:
    """Room for as many bytes as are declared; it takes memory only where it is written to."""

    def __init__(self, nbytes: int) -> None:
        self.whole = np.empty(nbytes, "u1").data
        self.filled = 0

    @property
    def piece(self) -> int:
        """Bytes to ask for next: one too many at the end, to learn whether there are more."""
        return min(_PIECE, len(self.whole) - self.filled + 1)

    def take(self, data: bytes) -> None:
        stop = self.filled + len(data)
        if stop > len(self.whole):
            raise _other_size(len(self.whole))
        self.whole[self.filled : stop] = data
        self.filled = stop

    def done(self) -> memoryview:
        return self.whole[: self.filled].toreadonly()


def _deflate(packed: memoryview, nbytes: int) -> memoryview:
    stream, room = zlib.decompressobj(-15), _Room(nbytes)
    for start in range(0, len(packed), _PIECE):
        rest: Any = packed[start : start + _PIECE]
        while rest and not stream.eof:
            room.take(stream.decompress(rest, room.piece))
            rest = stream.unconsumed_tail
    while not stream.eof and (more := stream.decompress(b"", room.piece)):
        room.take(more)
    return room.done()


def _streamed(stream: Any, packed: memoryview, nbytes: int) -> memoryview:
    """Unpack with one of Python's decompressors that keep what they have not used yet."""
    room, start = _Room(nbytes), 0
    while not stream.eof:
        piece = packed[start : start + _PIECE] if stream.needs_input else b""
        if stream.needs_input and not piece:
            break
        start += len(piece)
        room.take(stream.decompress(piece, room.piece))
    return room.done()


def _bzip2(packed: memoryview, nbytes: int) -> memoryview:
    return _streamed(bz2.BZ2Decompressor(), packed, nbytes)


def _xz(packed: memoryview, nbytes: int) -> memoryview:
    return _streamed(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_WORKING), packed, nbytes)


def _lzma(packed: memoryview, nbytes: int) -> memoryview:
    """Unpack LZMA (APPNOTE 5.8): version, length of the properties, these, and the stream."""
    if len(packed) < 9:
        raise ZipError("it is cut off")
    _, length, packing, dictionary = struct.unpack_from("<HHBI", packed)
    if length != 5 or packing >= 9 * 5 * 5:
        raise ZipError("its LZMA properties make no sense")
    # The dictionary is taken at once, whatever is in it. More than the member needs is never used.
    window = min(dictionary, max(nbytes, 1 << 12))
    rest, lc = divmod(packing, 9)
    pb, lp = divmod(rest, 5)
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": window, "lc": lc, "lp": lp, "pb": pb}]
    stream = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
    return _streamed(stream, packed[9:], nbytes)


def _zstandard(packed: memoryview, nbytes: int) -> memoryview:
    from numcodecs.zstd import Zstd

    # Into room of this size, since a frame may hide its own; more than fits is an error.
    room = np.empty(nbytes, "u1")
    if nbytes:
        Zstd().decode(packed, out=room)
    return room.data.toreadonly()


_MOST_WORKING = 128 << 20
"""Memory of a decompressor itself; xz -9 takes 65 MB."""

_UNPACK: dict[int, Callable[[memoryview, int], memoryview]] = {
    8: _deflate,
    12: _bzip2,
    14: _lzma,
    20: _zstandard,  # as of APPNOTE 6.3.7, before it was given 93
    93: _zstandard,
    95: _xz,
}
