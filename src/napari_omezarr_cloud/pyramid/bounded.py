"""Decompression that cannot be made to fill the memory.

A few kilobytes may unpack to terabytes. A codec is asked for no more than the chunk's declared
size where it can be asked, and otherwise its stream's own header is read first.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from napari_omezarr_cloud.errors import ChunkError

__all__ = ["Unpack", "bounded_decoder"]

Unpack = Callable[[Any], Any]


def bounded_decoder(codec: Any, limit: int) -> Unpack:
    """Return ``codec.decode`` that refuses to produce more than ``limit`` bytes.

    Parameters
    ----------
    codec
        A numcodecs codec.
    limit
        The most bytes that a good stream can unpack to.
    """
    name = getattr(codec, "codec_id", "")
    streaming = {
        "zlib": lambda: zlib.decompressobj(),
        "gzip": lambda: zlib.decompressobj(wbits=31),
        "bz2": lambda: bz2.BZ2Decompressor(),
    }
    if name in streaming:
        return lambda raw: _stream(streaming[name], raw, limit)
    if name == "lzma":
        return lambda raw: _stream(lambda: _lzma(codec), raw, limit)
    if name == "zstd":
        return lambda raw: _unzstd(codec, raw, limit)
    if name in _DECLARED:
        declared = _DECLARED[name]

        def decode(raw: Any) -> Any:
            if declared(memoryview(raw).cast("B")) > limit:
                raise _bomb(limit)
            return codec.decode(raw)

        return decode
    return codec.decode  # type: ignore[no-any-return]


def _bomb(limit: int) -> ChunkError:
    return ChunkError(
        "Could not decode the chunk",
        why=f"it would unpack to more than the {limit} bytes that a chunk can hold",
    )


_MOST_DICTIONARY = 2**27
"""Of LZMA, which takes as much memory as a stream says; ``xz -9`` says 2**26."""
_MOST_MEMBERS = 100_000
_PIECE = 2**24


def _lzma(codec: Any) -> Any:
    for each in codec.filters or ():
        if each.get("dict_size", 0) > _MOST_DICTIONARY:
            raise ChunkError("Could not decode the chunk", why="its LZMA dictionary is too large")
    # What is raw has no header, and a decoder of it takes no limit.
    memory = {} if codec.format == lzma.FORMAT_RAW else {"memlimit": _MOST_DICTIONARY + 2**23}
    return lzma.LZMADecompressor(format=codec.format, filters=codec.filters, **memory)


def _stream(make: Callable[[], Any], raw: Any, limit: int) -> Any:
    """Unpack one or more concatenated members, up to ``limit`` bytes, piece by piece.

    At once, the libraries would hold all of it twice.
    """
    rest = memoryview(raw).cast("B")
    if limit < _PIECE and len(rest) < _PIECE:
        unpacker = make()
        part = unpacker.decompress(rest, limit + 1)
        if len(part) > limit:
            raise _bomb(limit)
        if unpacker.eof and not unpacker.unused_data:
            return part
    out = np.empty(limit, "u1")  # pages that are not written to cost nothing
    total, members, unpacker = 0, 1, make()
    fed: Any = b""
    while True:
        if not fed and getattr(unpacker, "needs_input", True):
            fed, rest = rest[:_PIECE], rest[_PIECE:]
        part = unpacker.decompress(fed, _PIECE)
        if total + len(part) > limit:
            raise _bomb(limit)
        out[total : total + len(part)] = np.frombuffer(part, "u1")
        total += len(part)
        if not unpacker.eof:
            # zlib hands back what it did not look at; the others keep it.
            fed = getattr(unpacker, "unconsumed_tail", b"")
            if not (fed or part or rest):
                raise ChunkError("Could not decode the chunk", why="it ends too early")
            continue
        fed = unpacker.unused_data.lstrip(b"\0")
        while rest and not fed:
            fed, rest = bytes(rest[:_PIECE]).lstrip(b"\0"), rest[_PIECE:]
        if not fed:
            return out[:total]
        members, unpacker = members + 1, make()
        if members > _MOST_MEMBERS:
            raise ChunkError("Could not decode the chunk", why=f"it has over {members:,} parts")


def _blosc(raw: memoryview) -> int:
    """Uncompressed size in the blosc1 header (bytes 4 to 8, little endian)."""
    _check_length(raw, 16)
    size, _, stored = struct.unpack_from("<III", raw, 4)
    if stored > len(raw):  # blosc believes it, and would read on in what lies behind in memory
        raise ChunkError(
            "Could not decode the chunk",
            why=f"it has {len(raw)} bytes, and its header says {stored}",
        )
    return int(size)


def _lz4(raw: memoryview) -> int:
    """Size that numcodecs puts before an LZ4 block."""
    _check_length(raw, 4)
    return int(struct.unpack_from("<I", raw, 0)[0])


def _check_length(raw: memoryview, header: int) -> None:
    """Refuse what is shorter than its header: the libraries read that from memory all the same."""
    if len(raw) <= header:
        raise ChunkError("Could not decode the chunk", why=f"it has no more than {len(raw)} bytes")


def _unzstd(codec: Any, raw: Any, limit: int) -> Any:
    """Unpack into room of a fixed size: frames may hide their sizes, or follow one another."""
    declared = _zstd(memoryview(raw).cast("B"))
    if declared is not None and declared > limit:
        raise _bomb(limit)
    for room in (declared, limit):
        if not room:
            continue
        try:
            unpacked = codec.decode(raw, out=np.empty(room, "u1"))
        except (RuntimeError, ValueError) as error:  # numcodecs raises either
            if "expected to decompress" in str(error):
                return codec.decode(raw)  # it is shorter than the room
            if "too small" not in str(error):
                raise
        else:
            return unpacked if room == declared else codec.decode(raw)
    raise _bomb(limit)


def _zstd(raw: memoryview) -> int | None:
    """Frame content size (RFC 8878, 3.1.1.1); None where the frame does not say it."""
    if len(raw) < 6 or bytes(raw[:4]) != b"\x28\xb5\x2f\xfd":
        return None
    descriptor = raw[4]
    single_segment = bool(descriptor & 0x20)
    size_flag = descriptor >> 6
    dictionary = (0, 1, 2, 4)[descriptor & 3]
    start = 5 + (0 if single_segment else 1) + dictionary
    width = (1 if single_segment else 0, 2, 4, 8)[size_flag]
    if width == 0 or len(raw) < start + width:
        return None
    size = int.from_bytes(raw[start : start + width], "little")
    return size + 256 if width == 2 else size


_DECLARED: dict[str, Callable[[memoryview], int]] = {
    "blosc": _blosc,
    "lz4": _lz4,
}
