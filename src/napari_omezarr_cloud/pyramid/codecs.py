"""Encoded bytes → voxels of one chunk, on whatever thread calls.

The common codecs are called directly (a half to a quarter of the time that zarr's pipeline
takes for a chunk of 128 KB); everything else goes through zarr-python, which knows many more.
"""

from __future__ import annotations

import asyncio
import math
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata
from zarr.storage import MemoryStore, StorePath

from napari_omezarr_cloud.errors import ChunkError, UnsupportedError
from napari_omezarr_cloud.pyramid.bounded import Unpack, bounded_decoder
from napari_omezarr_cloud.pyramid.level import Grid
from napari_omezarr_cloud.pyramid.sharding import MISSING, Decoder, parse_sharding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["MOST_CHUNK_BYTES", "Decoder", "check_chunk_size", "chunk_decoder", "decoded_limit"]

Array = npt.NDArray[Any]
T = TypeVar("T")


MOST_CHUNK_BYTES = 400_000_000
"""A chunk is decoded whole, beside its encoded bytes or a copy: less than 1 GB in all."""
_MOST_BY_ZARR = 100_000_000
"""Through zarr-python's own pipeline, and for shards in shards, which copy more often."""


def chunk_decoder(metadata: ArrayV2Metadata | ArrayV3Metadata, grid: Grid) -> Decoder:
    """Return the decoder of an array's chunks.

    Parameters
    ----------
    metadata
        Of an array that is not sharded (of the inner chunks, for one that is).
    grid
        Its grid; ``chunks`` is the shape that comes out.

    Raises
    ------
    UnsupportedError
        If a chunk is larger than can be decoded.
    """
    check_chunk_size(grid, decoded_limit(metadata, grid))
    if isinstance(metadata, ArrayV2Metadata):
        return _v2_decoder(metadata, grid)
    return _v3_decoder(metadata, grid)


def check_chunk_size(grid: Grid, nbytes: int, most: int = MOST_CHUNK_BYTES) -> None:
    """Refuse chunks that would take more memory than a viewer may have."""
    if nbytes > most + _SLACK:
        raise UnsupportedError(
            "Could not read the array",
            why=f"one chunk of {'x'.join(map(str, grid.chunks))} voxels is "
            f"{nbytes / 1e9:.3g} GB, and each is decoded as a whole",
            hint=f"Chunks of up to {most / 1e6:.0f} MB can be read here. Write it anew in smaller "
            "chunks (zarr or ome-zarr-py: chunks=…, or shards).",
        )


def decoded_limit(metadata: ArrayV2Metadata | ArrayV3Metadata, grid: Grid) -> int:
    """Return the most bytes that a chunk can have at any stage of being decoded."""
    if isinstance(metadata, ArrayV2Metadata):
        return _limit(grid, [f.get_config() for f in metadata.filters or ()])
    codecs: list[Any] = list(metadata.to_dict()["codecs"])  # type: ignore[arg-type]
    return _limit(grid, [codec.get("configuration") or {} for codec in codecs])


def _v2_decoder(metadata: ArrayV2Metadata, grid: Grid) -> Decoder:
    stored = metadata.dtype.to_native_dtype()
    limit = decoded_limit(metadata, grid)
    count = math.prod(grid.chunks)
    filters = [_filter_decoder(f, limit, count) for f in reversed(metadata.filters or ())]
    compressor = metadata.compressor
    stages = ([bounded_decoder(compressor, limit)] if compressor is not None else []) + filters
    order = metadata.order

    def decode(raw: bytes | memoryview) -> Array:
        parcel: list[Any] = [raw]
        del raw
        return _shaped(_unpacked(parcel, stages), stored, grid, order)

    return decode


def _filter_decoder(codec: Any, limit: int, count: int) -> Unpack:
    """Return the decoder of a filter that refuses more than ``count`` numbers.

    One that widens its numbers would make more of them than a chunk can hold.
    """
    decode = bounded_decoder(codec, limit)
    configuration = codec.get_config()
    key = _ENCODED_AS.get(codec.codec_id)
    if key is not None:
        stored = configuration.get(key) or configuration["dtype"]
        most = count * np.dtype(stored).itemsize
    elif codec.codec_id == "packbits":
        most = count // 8 + 2
    else:
        return decode

    def checked(raw: Any) -> Any:
        nbytes = memoryview(raw).nbytes
        if nbytes > most:
            raise ChunkError(
                "Could not decode the chunk",
                why=f"its filter {codec.codec_id} has {nbytes} bytes, and at most {most} are due",
            )
        return decode(raw)

    return checked


_ENCODED_AS = {
    "astype": "encode_dtype",
    "delta": "astype",
    "fixedscaleoffset": "astype",
    "quantize": "astype",
}


def _v3_decoder(metadata: ArrayV3Metadata, grid: Grid) -> Decoder:
    """Unpack the bytes here, with a bound; leave filters that are not common to zarr-python."""
    codecs: list[Any] = list(metadata.to_dict()["codecs"])  # type: ignore[arg-type]
    limit = decoded_limit(metadata, grid)
    stages: list[Unpack] = []
    while codecs and codecs[-1]["name"].removeprefix("numcodecs.") in _V3_STAGES:
        codec = codecs.pop()
        build = _V3_STAGES[codec["name"].removeprefix("numcodecs.")]
        stages.append(bounded_decoder(build(codec.get("configuration") or {}), limit))
    to_array = _array_decoder(metadata, codecs, grid)
    if to_array is None:
        check_chunk_size(grid, limit, _MOST_BY_ZARR)
        to_array = _zarr_decoder(metadata, codecs, grid)
    if not stages:
        return to_array
    to_voxels = to_array

    def decode(raw: bytes | memoryview) -> Array:
        parcel: list[Any] = [raw]
        del raw
        unpacked = _unpacked(parcel, stages)
        if isinstance(unpacked, np.ndarray):
            unpacked = unpacked.reshape(-1).view("u1").data
        return to_voxels(unpacked)

    return decode


def _array_decoder(metadata: ArrayV3Metadata, codecs: Sequence[Any], grid: Grid) -> Decoder | None:
    """Return a decoder of transposed bytes or shards; None if there are other codecs."""
    permutations: list[tuple[int, ...]] = []
    if not codecs or codecs[-1]["name"] not in ("bytes", "sharding_indexed"):
        return None
    for codec in codecs[:-1]:
        if codec["name"] != "transpose":
            return None
        permutations.append(tuple(codec["configuration"]["order"]))
    shape = grid.chunks
    for permutation in permutations:
        shape = tuple(shape[i] for i in permutation)
    written = Grid(shape, shape, grid.dtype, grid.fill_value)
    if codecs[-1]["name"] == "bytes":
        to_array = _bytes_decoder(codecs[-1], written)
    else:
        check_chunk_size(grid, math.prod(shape) * grid.dtype.itemsize, _MOST_BY_ZARR)
        to_array = _shard_decoder(metadata, codecs[-1]["configuration"], written)
    if not permutations:
        return to_array

    def decode(raw: bytes | memoryview) -> Array:
        pixels = to_array(raw)
        for permutation in reversed(permutations):
            pixels = np.transpose(pixels, np.argsort(permutation))
        return np.ascontiguousarray(pixels)

    return decode


def _bytes_decoder(codec: Mapping[str, Any], grid: Grid) -> Decoder:
    endian = (codec.get("configuration") or {}).get("endian") or "little"
    stored = grid.dtype.newbyteorder("<" if endian == "little" else ">")
    return lambda raw: _shaped(raw, stored, grid, "C")


def _shard_decoder(
    metadata: ArrayV3Metadata, configuration: Mapping[str, Any], grid: Grid
) -> Decoder:
    """Return a decoder of shards that are not read in parts: inside others, or compressed."""
    sharding, inner = parse_sharding(
        metadata.to_dict(), grid.chunks, configuration, chunk_decoder, most_chunks=_MOST_INNER
    )
    small = Grid(grid.chunks, inner.chunks, grid.dtype)
    decode_inner = chunk_decoder(inner.metadata, small)

    def decode(raw: bytes | memoryview) -> Array:
        whole, size = memoryview(raw).cast("B"), sharding.index_nbytes
        table = sharding.decode_index(whole[-size:] if sharding.index_at_end else whole[:size])
        out = np.full(grid.chunks, grid.fill_value, grid.dtype)
        for index in np.ndindex(*sharding.chunks_per_shard):
            offset, nbytes = map(int, table[index])
            if offset == nbytes == MISSING:
                continue
            if offset + nbytes > len(whole):
                raise ChunkError(
                    "Could not decode the chunk", why="its index points outside of the shard in it"
                )
            out[small.region_of(index).slices] = decode_inner(whole[offset : offset + nbytes])
        return out

    return decode


_MOST_INNER = 2**16


def _numcodecs(name: str, *, configured: bool = False) -> Callable[[dict[str, Any]], Any]:
    """Return a maker of a codec; ``configured`` if its streams do not describe themselves."""

    def build(configuration: dict[str, Any]) -> Any:
        import numcodecs

        return numcodecs.get_codec({**configuration, "id": name} if configured else {"id": name})

    return build


_V3_STAGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    **{name: _numcodecs(name) for name in ("blosc", "bz2", "gzip", "lz4", "zlib", "zstd")},
    **{
        name: _numcodecs(name, configured=True)
        for name in ("adler32", "crc32", "fletcher32", "jenkins_lookup3", "lzma", "shuffle")
    },
    "crc32c": _numcodecs("crc32c"),
}


def _limit(grid: Grid, filters: Sequence[Mapping[str, Any]]) -> int:
    """Return the most bytes that any stage may produce; a filter may store a wider type."""
    widest = grid.dtype.itemsize
    for configuration in filters:
        for name in ("dtype", "astype", "encode_dtype", "decode_dtype"):
            if configuration.get(name) is not None:
                widest = max(widest, np.dtype(configuration[name]).itemsize)
    return max(math.prod(grid.chunks) * min(widest, 16) + _SLACK, 1 << 16)


_SLACK = 1024


def _unpacked(parcel: list[Any], stages: Sequence[Unpack]) -> Any:
    """Return what the stages make of the one item of a list, which is let go on the way."""
    data = parcel.pop()
    for stage in stages:
        data = stage(data)
    return data


def _shaped(raw: Any, stored: np.dtype[Any], grid: Grid, order: Any) -> Array:
    flat = np.asarray(raw) if isinstance(raw, np.ndarray) else np.frombuffer(raw, "u1")
    flat = flat.reshape(-1).view("u1")
    expected = math.prod(grid.chunks) * stored.itemsize
    if flat.nbytes != expected:
        raise ChunkError(
            "Could not decode the chunk", why=f"it holds {flat.nbytes} bytes instead of {expected}"
        )
    pixels = flat.view(stored).reshape(grid.chunks, order=order)
    if not stored.isnative:
        pixels = pixels.astype(grid.dtype)
    return np.ascontiguousarray(pixels)


def _zarr_decoder(metadata: ArrayV3Metadata, codecs: Sequence[Any], grid: Grid) -> Decoder:
    """Decode through zarr-python, as an array of a single chunk in memory."""
    document: dict[str, Any] = {
        **metadata.to_dict(),
        "shape": list(grid.chunks),
        "codecs": list(codecs),
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "attributes": {},
        "dimension_names": None,
    }
    key = "/".join(["c", *("0" for _ in grid.chunks)])
    prototype = default_buffer_prototype()

    def decode(raw: bytes | memoryview) -> Array:
        store = MemoryStore({key: prototype.buffer.from_bytes(bytes(raw))})
        array = zarr.AsyncArray.from_dict(StorePath(store, ""), document)
        pixels = _run_inline(array.getitem(...))
        return np.ascontiguousarray(pixels, dtype=grid.dtype)

    return decode


class _Inline(ThreadPoolExecutor):
    """Runs what it is given at once: zarr's codecs hop threads, and this one is right."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


_thread = threading.local()


def _run_inline(work: Any) -> Any:
    """Run a coroutine to its end on a loop that belongs to this thread."""
    loop = getattr(_thread, "loop", None)
    if loop is None:
        loop = _thread.loop = asyncio.new_event_loop()
        loop.set_default_executor(_Inline(max_workers=1))
    return loop.run_until_complete(work)
