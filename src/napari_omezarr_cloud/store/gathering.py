"""Neighbouring parts of one object in one request: inner chunks of a shard, members of a zip."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.store.gate import RANK, Rank, ranked_task
from napari_omezarr_cloud.store.protocol import ByteRange
from napari_omezarr_cloud.store.wrapping import StoreWrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from napari_omezarr_cloud.store.protocol import Bytes, ByteStore

__all__ = ["GatheringStore"]

_PATIENCE_S = 0.002
"""How long a part waits for others. They are asked for together, but looked for on disk first."""
_MOST_PART, _MOST_RUN = 2**18, 2**20
"""Bytes. What is larger takes longer to send than to ask for, and is better given up alone."""
_MOST_GAP = 2**12
"""Bytes between two parts that are fetched for nothing, rather than ask twice."""


@dataclass
class _Part:
    """One part of an object, and who waits for it."""

    start: int
    nbytes: int
    rank: Callable[[], Rank]
    answer: asyncio.Future[Bytes | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def stop(self) -> int:
        return self.start + self.nbytes


class GatheringStore(StoreWrapper):
    """Wrap a store so that small neighbouring parts of an object come in one request.

    Parts are gathered that are asked for within two milliseconds, and are as urgent as each other:
    what is looked at never waits for what may be looked at next. The request is aborted when
    nobody waits for any of its parts.
    """

    def __init__(self, inner: ByteStore) -> None:
        super().__init__(inner)
        self._gathered: dict[str, list[_Part]] = {}
        self._requests: set[asyncio.Task[None]] = set()

    async def get(self, key: str, byte_range: ByteRange | None = None) -> Bytes | None:
        if (
            byte_range is None
            or byte_range.start < 0
            or not 0 < (byte_range.length or 0) <= _MOST_PART
        ):
            return await self._inner.get(key, byte_range)
        part = _Part(byte_range.start, byte_range.length or 0, RANK.get())
        gathered = self._gathered.setdefault(key, [])
        if not gathered:
            asyncio.get_running_loop().call_later(_PATIENCE_S, self._send, key)
        gathered.append(part)
        return await part.answer

    def _send(self, key: str) -> None:
        wanted = (part for part in self._gathered.pop(key) if not part.answer.done())
        for run in _runs(wanted):
            request = ranked_task(self._answer(key, run), partial(_rank, run))
            self._requests.add(request)
            request.add_done_callback(self._requests.discard)
            for part in run:
                part.answer.add_done_callback(partial(_drop, request, run))

    async def _answer(self, key: str, run: list[_Part]) -> None:
        start = run[0].start
        try:
            data = await self._inner.get(key, ByteRange(start, max(p.stop for p in run) - start))
        except Exception as error:
            for part in _waiting(run):
                part.answer.set_exception(error)
            return
        for part in _waiting(run):
            part.answer.set_result(_cut(data, part, start, is_all=len(run) == 1))


def _cut(data: Bytes | None, part: _Part, start: int, *, is_all: bool) -> Bytes | None:
    if data is None or is_all:
        return data
    # Copied, since one part that is kept would keep all of them in memory.
    return bytes(memoryview(data)[part.start - start : part.stop - start])


def _runs(parts: Iterable[_Part]) -> Iterator[list[_Part]]:
    """Split parts into those that come in one request each, in the order of their offsets."""
    ordered = sorted(parts, key=lambda part: (_tier(part), part.start))
    for _, alike in groupby(ordered, _tier):
        run: list[_Part] = []
        for part in alike:
            if run and (
                part.start - run[-1].stop > _MOST_GAP or part.stop - run[0].start > _MOST_RUN
            ):
                yield run
                run = []
            run.append(part)
        yield run


def _tier(part: _Part) -> float:
    return part.rank()[0]


def _waiting(run: list[_Part]) -> list[_Part]:
    return [part for part in run if not part.answer.done()]


def _rank(run: list[_Part]) -> Rank:
    """Return the rank of the most urgent part that is still waited for."""
    return min(part.rank() for part in _waiting(run) or run)


def _drop(request: asyncio.Task[None], run: list[_Part], _: asyncio.Future[Any]) -> None:
    """Abort a request that nobody waits for any more."""
    if not _waiting(run):
        request.cancel()
