"""Objects as they are, to be copied: which there are, and their bytes piece by piece."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import obstore

from napari_omezarr_cloud.errors import ChangedError
from napari_omezarr_cloud.store.failures import translate
from napari_omezarr_cloud.store.remote import ObjectFound, RemoteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from napari_omezarr_cloud.store.protocol import Bytes

__all__ = ["ObjectFound", "ObjectStore"]

_PIECE = 2**20
"""Bytes that are handed over at a time."""
_PAGE = 1000


class ObjectStore(RemoteStore):
    """A place whose objects are copied, however large and many they are."""

    async def look_into(self, prefix: str = "") -> tuple[list[str], list[ObjectFound]]:
        """Return what is directly below a prefix: keys of folders, and objects.

        Raises
        ------
        CloudError
            As `list` does.
        """
        found = await self._ask(
            "Could not list",
            prefix or "/",
            lambda: obstore.list_with_delimiter_async(self._store, prefix or None),
        )
        folders = [path.rstrip("/") for path in found["common_prefixes"]]
        objects = [ObjectFound.of(each["path"], each) for each in found["objects"]]
        # Some tools store an empty object for each folder, this one included.
        markers = {*folders, prefix}
        return folders, [each for each in objects if each.nbytes or each.key not in markers]

    async def walk(self, prefix: str = "") -> AsyncIterator[Sequence[ObjectFound]]:
        """Yield all objects below a prefix, a page at a time.

        Raises
        ------
        CloudError
            As `list` does.
        """
        pages = obstore.list(self._store, prefix or None, chunk_size=_PAGE)
        while True:
            try:
                page = await anext(pages, None)
            except Exception as error:  # as in get
                failure = translate(error, "Could not list", self._at, prefix or "/")
                break
            if page is None:
                return
            yield [ObjectFound.of(each["path"], each) for each in page]
        raise failure

    async def fetch(
        self,
        key: str,
        take: Callable[[Bytes], object],
        *,
        start: int = 0,
        stop: int | None = None,
        like: ObjectFound | None = None,
    ) -> ObjectFound:
        """Hand an object, or a part of it, over piece by piece: it may be larger than the memory.

        Parameters
        ----------
        key
            Which one.
        take
            Called with each piece, in a thread of its own.
        start, stop
            Which bytes; None: to the end.
        like
            What is known of it.

        Returns
        -------
        ObjectFound
            What the server says of the whole object.

        Raises
        ------
        ChangedError
            If it is another one than `like` says.
        NotFoundError
            If there is none.
        CloudError
            As `get` does.
        """
        options: dict[str, Any] = {}
        if start or stop is not None:
            options["range"] = {"offset": start} if stop is None else (start, stop)
        count = self._traffic
        count.requests += 1
        count.in_flight += 1
        try:
            async with self._gate.enter(count):
                self._renew_if_said()
                try:
                    return await self._fetch(key, take, options, like)
                except Exception as error:  # as in get
                    failure = translate(error, "Could not read", self._at, key)
            count.failed += 1
            raise failure
        except asyncio.CancelledError:
            count.cancelled += 1
            raise
        finally:
            count.in_flight -= 1

    async def _fetch(
        self,
        key: str,
        take: Callable[[Bytes], object],
        options: Any,
        like: ObjectFound | None,
    ) -> ObjectFound:
        self._refuse_pipes(key)
        started = time.perf_counter()
        answer = await self._reader.get_async(self._prefix + key, options=options)
        found = ObjectFound.of(key, answer.meta)
        self._refuse_page(key, answer)
        if like is not None and not found.is_same(like):
            raise self._changed(key)
        together, began, nbytes = self._gate.inside, time.perf_counter(), 0
        async for piece in answer.stream(min_chunk_size=_PIECE):
            nbytes += len(piece)
            self._traffic.nbytes += len(piece)
            await asyncio.to_thread(take, memoryview(piece))
        self._traffic.recent_s.append(time.perf_counter() - started)
        if self.location.kind != "file":
            self._gate.note(nbytes, time.perf_counter() - began, together)
        return found

    def _changed(self, key: str) -> ChangedError:
        return ChangedError(
            "Could not read",
            where=self.where,
            key=key,
            why="it has changed on the server meanwhile",
            hint="Is somebody writing there? Try again when it rests.",
        )
