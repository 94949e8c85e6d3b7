"""The codecs one can choose from, as Zarr 2 and Zarr 3 write them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["CODECS", "Codec", "array_document"]


@dataclass(frozen=True)
class Codec:
    """A way to compress chunks."""

    title: str
    """For a menu."""
    v2: dict[str, Any] | None
    """``compressor`` of ``.zarray``."""
    v3: tuple[dict[str, Any], ...]
    """What follows ``bytes`` in ``codecs`` of ``zarr.json``."""


def _blosc(title: str, inner: str, level: int) -> Codec:
    v2 = {"id": "blosc", "cname": inner, "clevel": level, "shuffle": 1, "blocksize": 0}
    v3 = {"cname": inner, "clevel": level, "shuffle": "shuffle", "blocksize": 0}
    return Codec(title, v2, ({"name": "blosc", "configuration": v3},))


CODECS: dict[str, Codec] = {
    "blosc": _blosc("Blosc (zstd): small and quick", "zstd", 3),
    "blosc-lz4": _blosc("Blosc (lz4): quickest, larger", "lz4", 5),
    "zstd": Codec(
        "Zstandard",
        {"id": "zstd", "level": 3},  # tensorstore knows no "checksum" of Zarr 2
        ({"name": "zstd", "configuration": {"level": 3, "checksum": False}},),
    ),
    "gzip": Codec(
        "gzip: every reader knows it, slow",
        {"id": "gzip", "level": 5},
        ({"name": "gzip", "configuration": {"level": 5}},),
    ),
    "none": Codec("not compressed", None, ()),
}


def array_document(
    *,
    zarr_format: int,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    shards: tuple[int, ...] | None,
    dtype: str,
    fill_value: float,
    codec: str,
    dimension_names: tuple[str, ...],
) -> dict[str, Any]:
    """Return ``.zarray`` or the array's ``zarr.json``.

    References
    ----------
    Zarr v2 and v3 specifications; the sharding index is compressed by nothing and checked by
    crc32c, as the v3 sharding codec recommends.
    """
    kind = np.dtype(dtype)
    if zarr_format == 2:
        return {
            "zarr_format": 2,
            "shape": list(shape),
            "chunks": list(chunks),
            "dtype": kind.str if kind.itemsize > 1 else kind.str.replace("<", "|"),
            "compressor": CODECS[codec].v2,
            "fill_value": bool(fill_value) if kind.kind == "b" else fill_value,
            "order": "C",
            "filters": None,
            "dimension_separator": "/",
        }
    to_bytes: dict[str, Any] = {"name": "bytes"}
    if kind.itemsize > 1:
        to_bytes["configuration"] = {"endian": "little"}
    compression = [dict(step) for step in CODECS[codec].v3]
    for step in compression:
        if step["name"] == "blosc":
            step["configuration"] = {**step["configuration"], "typesize": kind.itemsize}
    codecs = [to_bytes, *compression]
    if shards is not None:
        index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
        sharding = {
            "chunk_shape": list(chunks),
            "codecs": codecs,
            "index_codecs": index,
            "index_location": "end",
        }
        codecs = [{"name": "sharding_indexed", "configuration": sharding}]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": kind.name,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": list(shards or chunks)},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": bool(fill_value) if kind.kind == "b" else fill_value,
        "codecs": codecs,
        "attributes": {},
        "dimension_names": list(dimension_names),
    }
