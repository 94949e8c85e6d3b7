"""Shards (zarr v3 "sharding_indexed"): how inner chunks lie in them, from their metadata."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from zarr.core.metadata import ArrayV3Metadata

from napari_omezarr_cloud.errors import MetadataError, UnsupportedError
from napari_omezarr_cloud.ngff.values import shown
from napari_omezarr_cloud.pyramid.level import Grid

__all__ = ["MISSING", "Decoder", "InnerChunks", "Sharding", "parse_sharding"]

Decoder = Callable[[bytes | memoryview], npt.NDArray[Any]]
"""Encoded bytes → a whole chunk, C-contiguous, native byte order. Raises anything on bad bytes."""

MISSING = 2**64 - 1
"""Offset and length of a chunk that is not in its shard."""

_MAX_INDEX_BYTES = 2**25
"""Of a shard's index, which is read whole: two million chunks."""

_WHAT = "Could not read the array"


@dataclass(frozen=True)
class Sharding:
    """How inner chunks lie in the objects of a sharded array."""

    chunks_per_shard: tuple[int, ...]
    index_nbytes: int
    index_at_end: bool
    decode_index: Decoder
    """Bytes → uint64 array of shape (*chunks_per_shard, 2): offset and length."""


@dataclass(frozen=True)
class InnerChunks:
    """What is inside a shard, as an array of its own."""

    chunks: tuple[int, ...]
    metadata: ArrayV3Metadata


def parse_sharding(
    document: Mapping[str, Any],
    outer: Sequence[int],
    configuration: Mapping[str, Any],
    decoder_of: Callable[[ArrayV3Metadata, Grid], Decoder],
    *,
    most_chunks: int = _MAX_INDEX_BYTES // 16,
) -> tuple[Sharding, InnerChunks]:
    """Return how a shard is laid out, and what is in it.

    Parameters
    ----------
    document
        The array's ``zarr.json``.
    outer
        Shape of the shards.
    configuration
        Of the codec "sharding_indexed".
    decoder_of
        Makes the decoder of an index.
    most_chunks
        More in one shard are refused.

    Raises
    ------
    MetadataError, UnsupportedError
        If the inner chunks do not fit, or the index cannot be read by itself.
    """
    inner = configuration["chunk_shape"]
    good = isinstance(inner, list | tuple) and all(type(n) is int and n > 0 for n in inner)
    if (
        not good
        or len(inner) != len(outer)
        or any(o % i for o, i in zip(outer, inner, strict=True))
    ):
        raise MetadataError(
            _WHAT, why=f"inner chunks {shown(inner)} do not divide shards {shown(tuple(outer))}"
        )
    per_shard = tuple(o // i for o, i in zip(outer, inner, strict=True))
    count = math.prod(per_shard)
    if count > most_chunks:
        raise UnsupportedError(
            _WHAT,
            why=f"a shard has {count:,} chunks",
            hint=f"Shards of up to {most_chunks:,} chunks can be read.",
        )
    index_codecs = configuration.get("index_codecs") or [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "crc32c"},
    ]
    if any(codec.get("name") not in ("bytes", "crc32c") for codec in index_codecs):
        raise UnsupportedError(_WHAT, why="its shard index is compressed, so its size is unknown")
    shape = [*per_shard, 2]
    index = ArrayV3Metadata.from_dict({
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "uint64",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shape}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": 0, "codecs": index_codecs,
    })  # fmt: skip
    checksums = sum(4 for codec in index_codecs if codec.get("name") == "crc32c")
    sharding = Sharding(
        per_shard,
        count * 16 + checksums,
        configuration.get("index_location", "end") == "end",
        decoder_of(index, Grid(tuple(shape), tuple(shape), np.dtype("u8"))),
    )
    held = ArrayV3Metadata.from_dict({
        **document,
        "shape": list(outer),
        "dimension_names": None,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(inner)}},
        "codecs": configuration["codecs"],
    })  # fmt: skip
    return sharding, InnerChunks(tuple(inner), held)
