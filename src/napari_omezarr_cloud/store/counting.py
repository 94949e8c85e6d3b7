"""What went over the wire: for progress lines, tests and benchmarks."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.store.places import note_place
from napari_omezarr_cloud.store.wrapping import StoreWrapper

if TYPE_CHECKING:
    from napari_omezarr_cloud.store.protocol import ByteRange, Bytes, ByteStore

__all__ = ["CountingStore", "Traffic"]


_RECENT = 64


@dataclass
class Traffic:
    """Counters of one store; written on the I/O loop, readable from any thread."""

    requests: int = 0
    """Reads started."""
    in_flight: int = 0
    """Reads under way now, those included that wait for their turn."""
    queued: int = 0
    """Reads that wait for their turn now."""
    absent: int = 0
    """Reads answered with "no such key"."""
    failed: int = 0
    """Reads that ended in an error."""
    cancelled: int = 0
    """Reads given up before their answer."""
    nbytes: int = 0
    """Bytes received."""
    latency_s: float = 0.0
    """Sum over finished reads of the time from asking to the last byte."""
    recent_s: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT), repr=False)
    """Of the last answers: the time from asking the server to the last byte, without waiting."""
    disk_hits: int = 0
    """Reads answered from the disk cache; none of them is a request."""
    disk_nbytes: int = 0
    """Bytes that came from there."""
    is_paid: bool = False
    """Whether the person pays for them, and not the owner of the data."""
    is_offline: bool = False
    """Whether the network is gone, and what is shown comes from the disk cache."""


class CountingStore(StoreWrapper):
    """Wrap a store and count its reads in ``traffic``."""

    def __init__(self, inner: ByteStore, traffic: Traffic | None = None) -> None:
        super().__init__(inner)
        self.traffic = traffic or Traffic()
        note_place(self)

    async def get(self, key: str, byte_range: ByteRange | None = None) -> Bytes | None:
        count = self.traffic
        count.requests += 1
        count.in_flight += 1
        started = time.perf_counter()
        try:
            data = await self._inner.get(key, byte_range)
        except asyncio.CancelledError:
            count.cancelled += 1
            raise
        except CloudError:
            count.failed += 1
            raise
        finally:
            count.in_flight -= 1
            count.latency_s += time.perf_counter() - started
        if data is None:
            count.absent += 1
        else:
            count.nbytes += len(data)
        return data
