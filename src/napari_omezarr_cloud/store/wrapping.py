"""What every wrapper of a store has in common: it passes on what it does not change."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.store.protocol import ByteRange, Bytes, ByteStore, Entry

__all__ = ["StoreWrapper"]


class StoreWrapper:
    """A store that hands everything to another; wrappers override what they are about."""

    def __init__(self, inner: ByteStore) -> None:
        self._inner = inner

    @property
    def location(self) -> Location:
        return self._inner.location

    @property
    def where(self) -> str:
        return self._inner.where

    async def get(self, key: str, byte_range: ByteRange | None = None) -> Bytes | None:
        return await self._inner.get(key, byte_range)

    async def distrust(self, key: str, byte_range: ByteRange | None = None) -> None:
        await self._inner.distrust(key, byte_range)

    async def put(self, key: str, data: Bytes) -> None:
        await self._inner.put(key, data)

    async def delete(self, key: str) -> None:
        await self._inner.delete(key)

    async def list(self, prefix: str = "") -> Sequence[Entry]:
        return await self._inner.list(prefix)
