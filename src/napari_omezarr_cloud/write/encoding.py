"""Voxels → stored objects: chunks are compressed one by one, shards put together from them.

Only what is compressed must be kept until a shard is whole, and nothing of it is zarr's: its own
writing has every voxel of a shard in memory, more than once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.pyramid.region import Region, chunk_region, chunks_touching
from napari_omezarr_cloud.pyramid.sharding import MISSING
from napari_omezarr_cloud.write.codecs import CODECS, array_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari_omezarr_cloud.pyramid import Index
    from napari_omezarr_cloud.write.plan import LevelPlan, Plan

__all__ = ["Encoder", "is_all", "level_document"]

Array = npt.NDArray[Any]


def level_document(plan: Plan, level: LevelPlan) -> dict[str, Any]:
    """Return ``.zarray`` or ``zarr.json`` of a level."""
    return array_document(
        zarr_format=2 if plan.version == "0.4" else 3,
        shape=level.shape,
        chunks=level.chunks,
        shards=level.shards,
        dtype=plan.dtype,
        fill_value=plan.fill_value,
        codec=plan.codec,
        dimension_names=tuple(axis.name for axis in plan.axes),
    )


def is_all(block: Array, value: float) -> bool:
    """Tell whether all voxels have a value; most often the first one says that they do not."""
    return bool(block.flat[0] == value and not (block != value).any())


class Encoder:
    """Makes the objects of a level, as its document says (`level_document`).

    References
    ----------
    Zarr v2 and v3 specifications, and that of the ``sharding_indexed`` codec.
    """

    def __init__(self, plan: Plan, level: LevelPlan) -> None:
        from numcodecs import get_codec

        self.level = level
        self.objects = level.shards or level.chunks
        """Voxels per axis of an object."""
        self._per_object = tuple(o // c for o, c in zip(self.objects, level.chunks, strict=True))
        self._dtype = np.dtype(plan.dtype)
        self._fill = plan.fill_value
        # One configuration for both: what version 3 says in other words is the same stream.
        configuration = CODECS[plan.codec].v2
        self._codec = None if configuration is None else get_codec(configuration)
        self._checksum = get_codec({"id": "crc32c"})
        self._key = f"{level.path}/" if plan.version == "0.4" else f"{level.path}/c/"

    def key(self, index: Index) -> str:
        """Return where an object goes, below the group."""
        return self._key + "/".join(map(str, index))

    def chunks(self, region: Region, block: Array) -> Iterator[tuple[Index, bytes]]:
        """Yield the chunks of a region of whole chunks, compressed; not those that are all fill."""
        for index in chunks_touching(region, self.level.chunks):
            own = chunk_region(index, self.level.chunks, self.level.shape)
            part = block[own.relative_to(region)]
            if is_all(part, self._fill):
                continue
            if part.shape != self.level.chunks:  # at the level's edge
                whole = np.full(self.level.chunks, self._fill, self._dtype)
                whole[tuple(map(slice, part.shape))] = part
                part = whole
            yield index, self._encoded(np.ascontiguousarray(part, self._dtype))

    def _encoded(self, chunk: Array) -> bytes:
        return chunk.tobytes() if self._codec is None else bytes(self._codec.encode(chunk))

    def object_of(self, chunk: Index) -> Index:
        """Return the object that holds a chunk."""
        return tuple(i // n for i, n in zip(chunk, self._per_object, strict=True))

    def chunk_count(self, index: Index) -> int:
        """Return how many chunks of the level an object has."""
        shape = chunk_region(index, self.objects, self.level.shape).shape
        return math.prod(-(-n // c) for n, c in zip(shape, self.level.chunks, strict=True))

    def shard(self, chunks: Mapping[Index, bytes]) -> bytes:
        """Return a shard of these chunks, in their order, and the table of where they are."""
        table = np.full((*self._per_object, 2), MISSING, "<u8")
        offset, parts = 0, []
        for index in sorted(chunks):
            raw = chunks[index]
            place = tuple(i % n for i, n in zip(index, self._per_object, strict=True))
            table[place] = offset, len(raw)
            offset += len(raw)
            parts.append(raw)
        return b"".join([*parts, bytes(self._checksum.encode(table))])
