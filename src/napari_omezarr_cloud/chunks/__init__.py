"""The engine: what is wanted, in which order, what is in memory, who is told. See README.md."""

from napari_omezarr_cloud.chunks.cache import ChunkCache
from napari_omezarr_cloud.chunks.compose import Peeked, chunk_count, nearest_chunks
from napari_omezarr_cloud.chunks.engine import Engine, engine
from napari_omezarr_cloud.chunks.lookups import Lookup
from napari_omezarr_cloud.chunks.pools import Pools
from napari_omezarr_cloud.chunks.wishes import Tier, Wish

__all__ = [
    "ChunkCache",
    "Engine",
    "Lookup",
    "Peeked",
    "Pools",
    "Tier",
    "Wish",
    "chunk_count",
    "engine",
    "nearest_chunks",
]
