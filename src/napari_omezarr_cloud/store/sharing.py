"""One request for one key, however many ask for it at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from napari_omezarr_cloud.store.wrapping import StoreWrapper

if TYPE_CHECKING:
    from napari_omezarr_cloud.store.protocol import ByteRange, Bytes, ByteStore

__all__ = ["SharingStore"]


class _Flight:
    """A request under way and how many wait for it."""

    def __init__(self, task: asyncio.Task[Bytes | None]) -> None:
        self.task = task
        self.waiting = 0


class SharingStore(StoreWrapper):
    """Wrap a store so that simultaneous reads of one key share one request.

    The request is aborted when the last one waiting for it is cancelled. Nothing is kept: a
    failure is not remembered and the next read asks again.
    """

    def __init__(self, inner: ByteStore) -> None:
        super().__init__(inner)
        self._flights: dict[tuple[str, ByteRange | None], _Flight] = {}

    async def get(self, key: str, byte_range: ByteRange | None = None) -> Bytes | None:
        what = (key, byte_range)
        flight = self._flights.get(what)
        if flight is None:
            flight = _Flight(asyncio.create_task(self._inner.get(key, byte_range)))
            self._flights[what] = flight
            flight.task.add_done_callback(lambda _: self._land(what, flight))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and not flight.task.done():
                # Out of the table at once: a reader that comes now must not share a dying request.
                self._land(what, flight)
                flight.task.cancel()

    def _land(self, what: tuple[str, ByteRange | None], flight: _Flight) -> None:
        if self._flights.get(what) is flight:
            del self._flights[what]
        if flight.task.done() and not flight.task.cancelled():
            flight.task.exception()  # taken by those who wait; here only marked as seen
