"""``.zarray`` and array ``zarr.json`` → what reading needs: grid, chunk keys, decoders.

zarr-python judges the metadata; this adds what it lets through and a viewer must not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata

from napari_omezarr_cloud.errors import CloudError, MetadataError, UnsupportedError
from napari_omezarr_cloud.ngff.values import shown
from napari_omezarr_cloud.pyramid.array_oddities import tidy_v2, tidy_v3
from napari_omezarr_cloud.pyramid.codec_names import check_v2_codecs, known_v3_codecs
from napari_omezarr_cloud.pyramid.codecs import chunk_decoder, decoded_limit
from napari_omezarr_cloud.pyramid.level import Grid
from napari_omezarr_cloud.pyramid.sharding import Decoder, Sharding, parse_sharding

if TYPE_CHECKING:
    import numpy as np

    from napari_omezarr_cloud.pyramid.region import Index

__all__ = ["ArrayDescription", "parse_array"]

_MAX_AXES = 32
_MAX_CHUNKS = 2**20
"""Along one axis. Whoever reads the array through dask has a list of them."""

_SUPPORTED_KINDS = "biufc"


@dataclass(frozen=True)
class ArrayDescription:
    """A zarr array as its metadata describe it."""

    grid: Grid
    """The unit of decoding: inner chunks where the array is sharded."""
    decode: Decoder
    sharding: Sharding | None
    metadata: ArrayV2Metadata | ArrayV3Metadata
    _inner: ArrayV2Metadata | ArrayV3Metadata
    """Of the inner chunks, where the array is sharded."""
    document: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    """Sentences about what was odd."""

    @cached_property
    def chunk_nbytes(self) -> int:
        """Bytes that a chunk can have while it is decoded; filters may widen its numbers."""
        return decoded_limit(self._inner, self.grid)

    @property
    def most_nbytes(self) -> int:
        """Bytes that a chunk can have as it is stored: codecs add little."""
        return self.chunk_nbytes + max(self.chunk_nbytes // 8, 2**20)

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
    return text[:200].rstrip(".")


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
        name = chunk_grid.get("name") if isinstance(chunk_grid, Mapping) else chunk_grid
        if name != "regular":
            raise UnsupportedError(
                "Could not read the array",
                why=f"its chunk grid is {shown(name)}, not 'regular'",
                hint="Chunks of differing sizes cannot be read yet.",
            )
        if not isinstance(chunk_grid, Mapping):
            raise MetadataError("Could not read the array", why="its chunk grid has no chunk_shape")
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
    native = dtype.newbyteorder("=")
    fill = native.type(0 if fill_value is None else fill_value)
    return Grid(tuple(shape), tuple(chunks), native, fill)


def _parse_v2(document: Mapping[str, Any]) -> ArrayDescription:
    if str(document.get("dtype", "")).lstrip("<>|=").startswith("O"):
        # zarr would unpickle the chunks, and a pickle can run any command.
        raise UnsupportedError(
            "Could not read the array", why="its dtype is object, whose chunks may be pickles"
        )
    check_v2_codecs(document)
    notes: list[str] = []
    document = tidy_v2(document, notes)
    metadata = ArrayV2Metadata.from_dict({**document, "attributes": {}})
    dtype = metadata.dtype.to_native_dtype()
    grid = _grid(metadata.shape, metadata.chunks, dtype, metadata.fill_value)
    decode = chunk_decoder(metadata, grid)
    return ArrayDescription(grid, decode, None, metadata, metadata, document, tuple(notes))


def _parse_v3(document: Mapping[str, Any]) -> ArrayDescription:
    notes: list[str] = []
    document = tidy_v3(document, notes)
    if isinstance(document.get("codecs"), list):
        document["codecs"] = known_v3_codecs(document["codecs"])
    metadata = ArrayV3Metadata.from_dict(document)
    dtype = metadata.dtype.to_native_dtype()
    outer = tuple(document["chunk_grid"]["configuration"]["chunk_shape"])
    codecs = document["codecs"]
    sharding, inner, chunks = None, metadata, outer
    if len(codecs) == 1 and codecs[0]["name"] == "sharding_indexed":
        sharding, held = parse_sharding(document, outer, codecs[0]["configuration"], chunk_decoder)
        inner, chunks = held.metadata, held.chunks
    grid = _grid(metadata.shape, chunks, dtype, metadata.fill_value)
    decode = chunk_decoder(inner, grid)
    return ArrayDescription(grid, decode, sharding, metadata, inner, document, tuple(notes))
