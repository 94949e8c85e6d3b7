"""A folder of a store as a store of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.store.access import OpenedStore
from napari_omezarr_cloud.store.failures import may_mean_absent
from napari_omezarr_cloud.store.wrapping import StoreWrapper

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.store.protocol import ByteRange, Bytes, ByteStore, Entry

__all__ = ["InsideStore", "open_inside"]


class InsideStore(StoreWrapper):
    """What lies below a path of another store, over the same connections.

    ``path`` is safe (checked by who made it) and not empty.
    """

    def __init__(self, inner: ByteStore, path: str) -> None:
        super().__init__(inner)
        self._path = path

    @property
    def location(self) -> Location:
        return self._inner.location.child(self._path)

    @property
    def where(self) -> str:
        return f"{self._inner.where}/{self._path}"

    async def get(self, key: str, byte_range: ByteRange | None = None) -> Bytes | None:
        return await self._inner.get(f"{self._path}/{key}", byte_range)

    async def distrust(self, key: str, byte_range: ByteRange | None = None) -> None:
        await self._inner.distrust(f"{self._path}/{key}", byte_range)

    async def put(self, key: str, data: Bytes) -> None:
        await self._inner.put(f"{self._path}/{key}", data)

    async def delete(self, key: str) -> None:
        await self._inner.delete(f"{self._path}/{key}")

    async def list(self, prefix: str = "") -> Sequence[Entry]:
        return await self._inner.list(f"{self._path}/{prefix}".rstrip("/"))


async def open_inside(opened: OpenedStore, path: str, keys: Iterable[str]) -> OpenedStore:
    """Read documents of a group inside another one, all at once, over the same connections.

    Parameters
    ----------
    opened
        The group that it is in; what of the documents was read there is not asked for again.
    path
        Of the group inside, checked.
    keys
        What to ask for, below ``path``.

    Returns
    -------
    OpenedStore
        As if the group inside had been opened by itself, without the notes of the other one.

    Raises
    ------
    CloudError
        What the server said, if no document could be had and one of them was not simply absent.
    """
    location, store = opened.location.child(path), InsideStore(opened.store, path)
    documents: dict[str, Bytes | None] = {
        key.removeprefix(path + "/"): raw
        for key, raw in opened.documents.items()
        if key.startswith(path + "/")
    }
    missing = [key for key in keys if key not in documents]
    answers = await asyncio.gather(*(store.get(key) for key in missing), return_exceptions=True)
    errors: list[CloudError] = []
    for key, answer in zip(missing, answers, strict=True):
        if isinstance(answer, CloudError):
            errors.append(answer)
            if may_mean_absent(answer):
                documents[key] = None
        elif isinstance(answer, BaseException):
            raise answer
        else:
            documents[key] = answer
    if errors and not any(documents.values()):
        raise errors[0]
    return OpenedStore(location, store, opened.traffic, documents)
