"""A store of a place that was opened elsewhere: let in when the first byte is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_omezarr_cloud.store.access import open_store
from napari_omezarr_cloud.store.once import Once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.store.protocol import ByteRange, Bytes, ByteStore, Entry

__all__ = ["LateStore"]


class LateStore:
    """A `ByteStore` that finds its way in by itself, once.

    Parameters
    ----------
    location
        Its root.
    witness
        A key that is there, by which it is seen that one was let in.
    """

    def __init__(self, location: Location, witness: str) -> None:
        self.location = location
        self._witness = witness
        self._store = Once(self._open)

    async def _open(self) -> ByteStore:
        return (await open_store(self.location, [self._witness], [self._witness])).store

    @property
    def where(self) -> str:
        return str(self.location)

    async def get(self, key: str, byte_range: ByteRange | None = None) -> Bytes | None:
        return await (await self._store).get(key, byte_range)

    async def distrust(self, key: str, byte_range: ByteRange | None = None) -> None:
        await (await self._store).distrust(key, byte_range)

    async def put(self, key: str, data: Bytes) -> None:
        await (await self._store).put(key, data)

    async def delete(self, key: str) -> None:
        await (await self._store).delete(key)

    async def list(self, prefix: str = "") -> Sequence[Entry]:
        return await (await self._store).list(prefix)
