"""``.zarray`` and array ``zarr.json`` → what reading needs: grid, chunk keys, decoders.

zarr-python judges the metadata; this adds what it lets through and a viewer must not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata

from napari_omezarr_cloud.errors import CloudError, MetadataError, UnsupportedError
from napari_omezarr_cloud.pyramid.codecs import Decoder, chunk_decoder, refuse_objects
from napari_omezarr_cloud.pyramid.level import Grid

if TYPE_CHECKING:
    from napari_omezarr_cloud.pyramid.region import Index

__all__ = ["ArrayDescription", "Sharding", "parse_array"]

_MAX_CHUNK_BYTES = 2**31
"""A chunk is decoded whole; one larger than this cannot be shown on a laptop."""

_MAX_INDEX_BYTES = 2**27
"""Of a shard's index, which is read whole: eight million chunks."""

_MAX_AXES = 32
_MAX_CHUNKS = 2**20
"""Along one axis. Whoever reads the array through dask has a list of them."""

_SUPPORTED_KINDS = "biufc"


@dataclass(frozen=True)
class Sharding:
    """How inner chunks lie in the objects of a sharded array (zarr v3 "sharding_indexed")."""

    chunks_per_shard: tuple[int, ...]
    index_nbytes: int
    index_at_end: bool
    decode_index: Decoder
    """Bytes → uint64 array of shape (*chunks_per_shard, 2): offset and length."""


@dataclass(frozen=True)
class ArrayDescription:
    """A zarr array as its metadata describe it."""

    grid: Grid
    """The unit of decoding: inner chunks where the array is sharded."""
    decode: Decoder
    sharding: Sharding | None
    metadata: ArrayV2Metadata | ArrayV3Metadata
    document: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    """Sentences about what was odd."""

    @property
    def most_nbytes(self) -> int:
        """Bytes that a chunk can have as it is stored: codecs add little, filters may widen it."""
        nbytes = math.prod(self.grid.chunks) * self.grid.dtype.itemsize
        return 4 * max(nbytes, 2**18)

    def object_key(self, index: Index) -> str:
        """Return the key, below the array, of the object that holds a chunk."""
        if self.sharding is not None:
            per = self.sharding.chunks_per_shard
            index = tuple(i // n for i, n in zip(index, per, strict=True))
        return self.metadata.encode_chunk_key(index)

    def place_in_shard(self, index: Index) -> Index:
        """Return a chunk's position inside its shard; of an array without shards, its own."""
        if self.sharding is None:
            return index
        per = self.sharding.chunks_per_shard
        return tuple(i % n for i, n in zip(index, per, strict=True))


def parse_array(document: Mapping[str, Any], *, where: str, key: str) -> ArrayDescription:
    """Return what the metadata of one array say.

    Parameters
    ----------
    document
        The parsed ``.zarray`` (zarr v2) or ``zarr.json`` (v3).
    where, key
        For messages.

    Raises
    ------
    MetadataError
        If the metadata contradict themselves or the specification.
    UnsupportedError
        If they ask for a codec, data type or chunk grid that is not there.
    """
    try:
        _check_numbers(document)
        if document.get("zarr_format") == 2:
            return _parse_v2(document)
        return _parse_v3(document)
    except CloudError as error:
        raise type(error)(
            error.what, where=where, key=key, why=error.why, hint=error.hint
        ) from error
    except Exception as error:  # zarr raises many types; each means "these metadata are no good"
        raise MetadataError(
            "Could not understand the array's metadata",
            where=where,
            key=key,
            why=_short(error),
            hint="If another program opens it, please report the file.",
        ) from error


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    if isinstance(error, KeyError):
        return f"{text} is missing or unknown"
    return text[:200]


def _check_numbers(document: Mapping[str, Any]) -> None:
    if document.get("zarr_format") not in (2, 3):
        raise UnsupportedError(
            "Could not read the array",
            why=f"zarr_format is {document.get('zarr_format')!r}; formats 2 and 3 are supported",
        )
    if document["zarr_format"] == 3 and document.get("node_type", "array") != "array":
        raise MetadataError("Could not read the array", why="there is a group at its place")
    shape = document.get("shape")
    _check_extents("shape", shape, at_least=0)
    chunks: Any = document.get("chunks")
    if document["zarr_format"] == 3:
        chunk_grid = document.get("chunk_grid")
        if not isinstance(chunk_grid, Mapping) or chunk_grid.get("name") != "regular":
            name = chunk_grid.get("name") if isinstance(chunk_grid, Mapping) else chunk_grid
            raise UnsupportedError(
                "Could not read the array", why=f"its chunk grid is {name!r}, not 'regular'"
            )
        chunks = cast("Mapping[str, Any]", chunk_grid.get("configuration") or {}).get("chunk_shape")
    _check_extents("chunks", chunks, at_least=1)
    if len(chunks) != len(cast("Sequence[int]", shape)):
        raise MetadataError(
            "Could not read the array",
            why=f"shape has {len(cast('Sequence[int]', shape))} axes, chunks have {len(chunks)}",
        )


def _check_extents(name: str, value: object, *, at_least: int) -> None:
    good = isinstance(value, list | tuple) and all(
        isinstance(n, int) and not isinstance(n, bool) and at_least <= n < 2**62 for n in value
    )
    if not good:
        shown = str(value)[:80]
        raise MetadataError("Could not read the array", why=f"{shown} cannot be its {name}")


def _grid(
    shape: Sequence[int], chunks: Sequence[int], dtype: np.dtype[Any], fill_value: Any
) -> Grid:
    if dtype.kind not in _SUPPORTED_KINDS:
        raise UnsupportedError(
            "Could not read the array", why=f"its dtype is {dtype}, which holds no numbers"
        )
    if len(shape) > _MAX_AXES:
        raise UnsupportedError("Could not read the array", why=f"its shape has {len(shape)} axes")
    grid_counts = [-(-n // c) for n, c in zip(shape, chunks, strict=True)]
    if max(grid_counts, default=0) > _MAX_CHUNKS or math.prod(shape) * dtype.itemsize >= 2**63:
        raise UnsupportedError(
            "Could not read the array",
            why=f"its shape, {'x'.join(map(str, shape))}, makes up to {max(grid_counts):,} chunks "
            "along an axis",
            hint=f"Arrays of up to {_MAX_CHUNKS:,} chunks along each axis can be read.",
        )
    # A chunk may be larger than the array, but decoding needs all of it.
    nbytes = math.prod(chunks) * dtype.itemsize
    if nbytes > _MAX_CHUNK_BYTES:
        raise UnsupportedError(
            "Could not read the array",
            why=f"one chunk of {'x'.join(map(str, chunks))} voxels is {nbytes / 1e9:.3g} GB",
            hint="Chunks of up to 2 GB can be read.",
        )
    native = dtype.newbyteorder("=")
    fill = native.type(0 if fill_value is None else fill_value)
    return Grid(tuple(shape), tuple(chunks), native, fill)


def _parse_v2(document: Mapping[str, Any]) -> ArrayDescription:
    if str(document.get("dtype", "")).lstrip("<>|=").startswith("O"):
        # zarr would unpickle the chunks, and a pickle can run any command.
        raise UnsupportedError(
            "Could not read the array", why="its dtype is object, whose chunks may be pickles"
        )
    filters = document.get("filters")
    for codec in (document.get("compressor"), *(filters if isinstance(filters, list) else ())):
        refuse_objects(str(codec.get("id", "")) if isinstance(codec, Mapping) else "")
    notes: tuple[str, ...] = ()
    if _MISSPELT in document:
        separator = {"dimension_separator": document[_MISSPELT], **document}
        document = {k: v for k, v in separator.items() if k != _MISSPELT}
        notes = (f"{_MISSPELT} was taken for dimension_separator.",)
    known = {k: document[k] for k in _V2_KEYS if k in document}
    metadata = ArrayV2Metadata.from_dict({**known, "attributes": {}})
    dtype = metadata.dtype.to_native_dtype()
    grid = _grid(metadata.shape, metadata.chunks, dtype, metadata.fill_value)
    return ArrayDescription(grid, chunk_decoder(metadata, grid), None, metadata, document, notes)


_MISSPELT = "dimension_seperator"
_V2_KEYS = (
    "zarr_format", "shape", "chunks", "dtype", "compressor", "fill_value", "order", "filters",
    "dimension_separator",
)  # fmt: skip


def _parse_v3(document: Mapping[str, Any]) -> ArrayDescription:
    document = {
        k: v for k, v in document.items() if k not in ("attributes", "consolidated_metadata")
    }
    metadata = ArrayV3Metadata.from_dict(document)
    dtype = metadata.dtype.to_native_dtype()
    shape = metadata.shape
    outer = tuple(document["chunk_grid"]["configuration"]["chunk_shape"])
    codecs = document.get("codecs") or []
    if len(codecs) != 1 or codecs[0].get("name") != "sharding_indexed":
        grid = _grid(shape, outer, dtype, metadata.fill_value)
        return ArrayDescription(grid, chunk_decoder(metadata, grid), None, metadata, document)
    inner_document, sharding = _parse_sharding(document, outer, codecs[0]["configuration"])
    inner = ArrayV3Metadata.from_dict(inner_document)
    grid = _grid(shape, inner_document["chunk_grid"]["configuration"]["chunk_shape"], dtype,
                 metadata.fill_value)  # fmt: skip
    return ArrayDescription(grid, chunk_decoder(inner, grid), sharding, metadata, document)


def _parse_sharding(
    document: Mapping[str, Any], outer: tuple[int, ...], configuration: Mapping[str, Any]
) -> tuple[dict[str, Any], Sharding]:
    inner = tuple(configuration["chunk_shape"])
    _check_extents("inner chunk shape", inner, at_least=1)
    if len(inner) != len(outer) or any(o % i for o, i in zip(outer, inner, strict=True)):
        raise MetadataError(
            "Could not read the array", why=f"inner chunks {inner} do not divide shards {outer}"
        )
    per_shard = tuple(o // i for o, i in zip(outer, inner, strict=True))
    if 16 * math.prod(per_shard) > _MAX_INDEX_BYTES:
        raise UnsupportedError(
            "Could not read the array",
            why=f"a shard has {math.prod(per_shard):,} chunks, more than can be looked up",
        )
    index_codecs = configuration.get("index_codecs") or [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "crc32c"},
    ]
    index_shape = [*per_shard, 2]
    index_document: dict[str, Any] = {
        "zarr_format": 3, "node_type": "array", "shape": index_shape, "data_type": "uint64",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": index_shape}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": 0, "codecs": index_codecs,
    }  # fmt: skip
    index = ArrayV3Metadata.from_dict(index_document)
    index_grid = Grid(tuple(index_shape), tuple(index_shape), np.dtype("u8"))
    checksum = sum(4 for codec in index_codecs if codec.get("name") == "crc32c")
    if any(codec.get("name") not in ("bytes", "crc32c") for codec in index_codecs):
        raise UnsupportedError(
            "Could not read the array", why="its shard index is compressed, so its size is unknown"
        )
    sharding = Sharding(
        per_shard,
        math.prod(index_shape) * 8 + checksum,
        configuration.get("index_location", "end") == "end",
        chunk_decoder(index, index_grid),
    )
    inner_document = {
        **document,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(inner)}},
        "codecs": configuration["codecs"],
    }
    return inner_document, sharding
