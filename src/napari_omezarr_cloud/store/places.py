"""Where bytes come from in this process, and what was counted there: for the Network dock.

Stores count in plain numbers whether anybody looks or not; all adding up is done by who looks.
"""

from __future__ import annotations

import statistics
import threading
import weakref
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_omezarr_cloud.store.counting import CountingStore, Traffic

__all__ = ["Counts", "Rate", "all_counts", "counts_by_place", "note_place"]


@dataclass(frozen=True)
class Counts:
    """What was counted, at one moment; of one place, or of several together."""

    in_flight: int = 0
    """Requests that the server has to answer."""
    queued: int = 0
    """Requests that wait for their turn."""
    done: int = 0
    """Requests that were answered, also with "there is no such chunk"."""
    absent: int = 0
    """Of these, how many found nothing: what is not stored is blank."""
    failed: int = 0
    cancelled: int = 0
    """Requests that were given up since nobody needed the answer any more."""
    nbytes: int = 0
    """Bytes received."""
    disk_hits: int = 0
    """Reads answered from the disk cache."""
    disk_nbytes: int = 0
    paid_nbytes: int = 0
    """Of the bytes received, those for which the person pays, and not the owner of the data."""
    paid_requests: int = 0
    is_offline: bool = False
    """Whether the network is gone for one of them."""
    recent_s: tuple[float, ...] = ()
    """How long the last answers took."""

    @classmethod
    def of(cls, traffic: Traffic) -> Counts:
        """Return what a store has counted until now; any thread."""
        pending = traffic.in_flight
        queued = min(max(traffic.queued, 0), pending)
        return cls(
            in_flight=pending - queued,
            queued=queued,
            done=max(0, traffic.requests - pending - traffic.failed - traffic.cancelled),
            absent=traffic.absent,
            failed=traffic.failed,
            cancelled=traffic.cancelled,
            nbytes=traffic.nbytes,
            disk_hits=traffic.disk_hits,
            disk_nbytes=traffic.disk_nbytes,
            paid_nbytes=traffic.nbytes * traffic.is_paid,
            paid_requests=traffic.requests * traffic.is_paid,
            is_offline=traffic.is_offline,
            recent_s=tuple(traffic.recent_s),
        )

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.in_flight + other.in_flight,
            self.queued + other.queued,
            self.done + other.done,
            self.absent + other.absent,
            self.failed + other.failed,
            self.cancelled + other.cancelled,
            self.nbytes + other.nbytes,
            self.disk_hits + other.disk_hits,
            self.disk_nbytes + other.disk_nbytes,
            self.paid_nbytes + other.paid_nbytes,
            self.paid_requests + other.paid_requests,
            self.is_offline or other.is_offline,
            self.recent_s + other.recent_s,
        )

    @property
    def latency_s(self) -> float | None:
        """Median time from asking to the last byte of the last answers; None before the first."""
        return statistics.median(self.recent_s) if self.recent_s else None


class _Places:
    """All stores that count, and the sum of those that are gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: list[tuple[weakref.ref[CountingStore], str, Traffic]] = []
        self._past = Counts()

    def add(self, store: CountingStore) -> None:
        with self._lock:
            self._sweep()
            self._live.append((weakref.ref(store), store.where, store.traffic))

    def _sweep(self) -> None:
        """Keep of stores that are gone only the sum: their counters would pile up."""
        live = []
        for entry in self._live:
            if entry[0]() is not None:
                live.append(entry)
                continue
            past = self._past + Counts.of(entry[2])
            self._past = replace(past, recent_s=(), is_offline=False, in_flight=0, queued=0)
        self._live = live

    def read(self) -> tuple[Counts, dict[str, Counts]]:
        with self._lock:
            self._sweep()
            total, live = self._past, list(self._live)
        found: dict[str, Counts] = {}
        for _, where, traffic in live:
            counts = Counts.of(traffic)
            found[where] = found[where] + counts if where in found else counts
            total += counts
        return total, found


_places = _Places()


def note_place(store: CountingStore) -> None:
    """Let a store that counts be seen, as long as it lives."""
    _places.add(store)


def counts_by_place() -> dict[str, Counts]:
    """Return what was counted, by the display form of each place that is in use; any thread."""
    return _places.read()[1]


def all_counts() -> Counts:
    """Return what was counted since the start of the process, also where nothing is open now."""
    return _places.read()[0]


class Rate:
    """Bytes per second over the last moments, from a count that only grows.

    Parameters
    ----------
    window_s
        How far back it looks. Answers come whole: too short a window shows only zeros and peaks.
    """

    def __init__(self, window_s: float = 2.0) -> None:
        self._window_s = window_s
        self._seen: deque[tuple[float, int]] = deque()

    def feed(self, now_s: float, nbytes: int) -> float:
        """Take note of a count, and return bytes per second; 0 at first."""
        self._seen.append((now_s, nbytes))
        while len(self._seen) > 2 and self._seen[1][0] <= now_s - self._window_s:
            self._seen.popleft()
        first_s, first = self._seen[0]
        return (nbytes - first) / (now_s - first_s) if now_s > first_s else 0.0
