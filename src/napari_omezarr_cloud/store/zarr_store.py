"""Our stores as zarr stores, so that zarr, dask and scripts use the same connections."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)

from napari_omezarr_cloud.store.io_thread import io_thread
from napari_omezarr_cloud.store.protocol import ByteRange, ByteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterable

    from zarr.core.buffer import Buffer, BufferPrototype

__all__ = ["ZarrStore"]

T = TypeVar("T")


def _range(request: ByteRequest | None) -> ByteRange | None:
    match request:
        case RangeByteRequest(start, end):
            return ByteRange(start, end - start)
        case OffsetByteRequest(offset):
            return ByteRange(offset)
        case SuffixByteRequest(suffix):
            return ByteRange(-suffix)
    return None


async def _there(work: Coroutine[Any, Any, T]) -> T:
    """Run on our loop, await on the caller's: zarr brings a loop of its own."""
    if asyncio.get_running_loop() is io_thread().loop:
        return await work
    return await asyncio.wrap_future(io_thread().submit(work))


class ZarrStore(Store):
    """A :class:`zarr.abc.store.Store` over a :class:`ByteStore`."""

    supports_writes = True
    supports_deletes = True
    supports_listing = True

    def __init__(self, inner: ByteStore, *, read_only: bool = True) -> None:
        super().__init__(read_only=read_only)
        self._inner = inner

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ZarrStore) and other._inner is self._inner

    __hash__ = Store.__hash__

    def __str__(self) -> str:
        return self._inner.where

    def __repr__(self) -> str:
        return f"ZarrStore({self._inner.where!r})"

    def with_read_only(self, read_only: bool = False) -> ZarrStore:
        return ZarrStore(self._inner, read_only=read_only)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        data = await _there(self._inner.get(key, _range(byte_range)))
        return None if data is None else prototype.buffer.from_bytes(bytes(data))

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        parts = (self.get(key, prototype, part) for key, part in key_ranges)
        return list(await asyncio.gather(*parts))

    async def exists(self, key: str) -> bool:
        # No HEAD: servers that lack it answer 405, which reads like "absent".
        return await _there(self._inner.get(key)) is not None

    async def set(self, key: str, value: Buffer) -> None:
        self._check_writable()
        await _there(self._inner.put(key, value.to_bytes()))

    async def delete(self, key: str) -> None:
        self._check_writable()
        await _there(self._inner.delete(key))

    async def list(self) -> AsyncIterator[str]:
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        base = prefix.rstrip("/")
        for entry in await _there(self._inner.list(base)):
            key = f"{base}/{entry.name}" if base else entry.name
            if entry.is_prefix:
                async for below in self.list_prefix(key):
                    yield below
            else:
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        for entry in await _there(self._inner.list(prefix.rstrip("/"))):
            yield entry.name
