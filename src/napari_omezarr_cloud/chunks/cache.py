"""Decoded chunks in memory, bounded by bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_omezarr_cloud.pyramid import Chunk, Index

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Ahead", "ChunkCache"]

Key = tuple[int, Index]


@dataclass
class Ahead:
    """Chunks that came before anybody looked at them."""

    loaded: int = 0
    used: int = 0
    """Of these, how many were looked at since."""


_COMPUTED_SHARE = 4
_PINNED_SHARE = 2
"""The parts of the memory that computed chunks and pinned levels may hold before others have to go
for them: whoever fills the memory must leave room for what the others show."""


class ChunkCache:
    """Least recently used out first: of what holds more than its part, else of what was fetched.

    Computed chunks have a quarter for themselves, pinned levels half; what is free, all may use.

    Parameters
    ----------
    max_bytes
        Most bytes of voxels kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.nbytes = 0
        self.ahead = Ahead()
        """What loading ahead was good for."""
        self._lock = threading.Lock()
        self._fetched: OrderedDict[Key, Chunk] = OrderedDict()
        self._derived: OrderedDict[Key, Chunk] = OrderedDict()
        self._pinned: OrderedDict[Key, Chunk] = OrderedDict()
        self._tables = (self._fetched, self._derived, self._pinned)
        self._held = {id(table): 0 for table in self._tables}
        self._pins: set[int] = set()
        self._unseen: set[Key] = set()
        self._abandoned: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._fetched) + len(self._derived) + len(self._pinned)

    def get(self, level: int, index: Index) -> Chunk | None:
        """Return a chunk and mark it as just used; None if it is not here."""
        key = (level, index)
        with self._lock:
            for table in self._tables:
                chunk = table.get(key)
                if chunk is not None:
                    table.move_to_end(key)
                    if key in self._unseen:
                        self._unseen.remove(key)
                        self.ahead.used += 1
                    return chunk
        return None

    def __contains__(self, key: Key) -> bool:
        return key in self._fetched or key in self._derived or key in self._pinned

    def indices(self, level: int) -> list[Index]:
        """Return the chunks of a level that are here."""
        with self._lock:
            return [index for table in self._tables for key, index in table if key == level]

    def put(
        self, level: int, index: Index, chunk: Chunk, *, is_derived: bool, is_ahead: bool = False
    ) -> None:
        """Keep a chunk; evicts others, or itself if it alone is larger than the cache.

        ``is_ahead`` says that nobody looks at it yet.
        """
        key = (level, index)
        with self._lock:
            if key in self:
                return
            if level in self._pins:
                table = self._pinned
            else:
                table = self._derived if is_derived else self._fetched
            table[key] = chunk
            self._count(table, chunk.nbytes)
            if is_ahead:
                self.ahead.loaded += 1
                self._unseen.add(key)
            self._drop_abandoned()
            self._evict()

    def touch(self, level: int, indices: Iterable[Index]) -> None:
        """Mark the chunks that are here as just used, the last of them last."""
        with self._lock:
            for index in indices:
                key = (level, index)
                for table in self._tables:
                    if key in table:
                        table.move_to_end(key)

    def _evict(self) -> None:
        while self.nbytes > self.max_bytes:
            table = self._next_to_shrink()
            key, chunk = table.popitem(last=False)
            self._count(table, -chunk.nbytes)
            self._unseen.discard(key)

    def _next_to_shrink(self) -> OrderedDict[Key, Chunk]:
        for table, share in ((self._derived, _COMPUTED_SHARE), (self._pinned, _PINNED_SHARE)):
            # One large chunk alone may hold more: thrown out at once, it would never be seen.
            if len(table) > 1 and self._held[id(table)] > self.max_bytes // share:
                return table
        return self._fetched or self._derived or self._pinned

    def _count(self, table: OrderedDict[Key, Chunk], nbytes: int) -> None:
        self._held[id(table)] += nbytes
        self.nbytes += nbytes

    def pin(self, level: int) -> None:
        """Keep a level's chunks before others, as long as they hold no more than their part."""
        with self._lock:
            self._pins.add(level)

    def drop(self, levels: Iterable[int]) -> None:
        """Forget all chunks of these levels."""
        with self._lock:
            self._drop(set(levels))

    def abandon(self, level: int) -> None:
        """Forget a level that nobody can ask for any more; may be called by a garbage collector.

        That runs anywhere, also in a thread that is inside this cache: then it is done later.
        """
        self._abandoned.append(level)
        if self._lock.acquire(blocking=False):
            try:
                self._drop_abandoned()
            finally:
                self._lock.release()

    def _drop_abandoned(self) -> None:
        gone = set()
        while self._abandoned:
            gone.add(self._abandoned.popleft())
        if gone:
            self._drop(gone)

    def _drop(self, gone: set[int]) -> None:
        self._pins -= gone
        for table in self._tables:
            for key in [key for key in table if key[0] in gone]:
                self._count(table, -table.pop(key).nbytes)
                self._unseen.discard(key)

    def resize(self, max_bytes: int) -> None:
        """Change the bound; evicts at once what no longer fits."""
        with self._lock:
            self.max_bytes = max_bytes
            self._evict()
