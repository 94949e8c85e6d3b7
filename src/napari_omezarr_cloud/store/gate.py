"""How many requests may be in flight, and who is next."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from contextlib import asynccontextmanager
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from napari_omezarr_cloud.store.line import Line

__all__ = ["AHEAD", "LAST", "RANK", "Gate", "Queue", "Rank", "ranked_task"]

T = TypeVar("T")

Rank = tuple[float, ...]
"""Smaller is sooner. Metadata come first, then what is visible, then what may be wanted next."""

FIRST: Rank = (-1.0,)
LAST: Rank = (float("inf"),)

AHEAD = 1.0
"""Ranks that begin with this or more are of what nobody looks at yet."""

RANK: ContextVar[Callable[[], Rank]] = ContextVar("RANK", default=lambda: FIRST)
"""Asks the work that runs now how urgent it is; the answer may change while it waits."""


def ranked_task(work: Coroutine[Any, Any, T], rank: Callable[[], Rank]) -> asyncio.Task[T]:
    """Start work whose requests are as urgent as ``rank`` says each time; on the loop."""
    # In a context of its own: its rank is not that of whoever happened to ask for it.
    context = copy_context()
    context.run(RANK.set, rank)
    return asyncio.create_task(work, context=context)


class Queue(Protocol):
    """Where it is counted who waits."""

    queued: int


class Gate:
    """Let ``slots`` coroutines in at a time, the most urgent of the waiting first.

    What is asked for ahead of time waits until nothing that is wanted now is inside, since it would
    share the line with it, and may hold half of the slots, so that there is room for what is wanted
    next. Where a ``line`` is given, there are no more slots than it bears.
    """

    def __init__(self, slots: int, line: Line | None = None) -> None:
        self.slots = slots
        self.line = line
        self.inside = 0
        self._wanted_now = 0
        self.is_paused = False
        self._count = itertools.count()
        self._waiting: list[tuple[Rank, int, Callable[[], Rank], asyncio.Future[bool]]] = []

    @property
    def queued(self) -> int:
        """How many wait outside."""
        return sum(not turn.done() for *_, turn in self._waiting)

    def resize(self, slots: int) -> None:
        """Let more or fewer in from now on; who is inside stays."""
        self.slots = slots
        self._admit()

    def pause(self) -> None:
        """Let nobody in until `resume` but metadata: opening a link would seem to hang."""
        self.is_paused = True

    def resume(self) -> None:
        """Let the waiting in again, as many as there are slots."""
        self.is_paused = False
        self._admit()

    def rerank(self) -> None:
        """Ask everyone who waits for its rank again (after the view has moved)."""
        self._waiting = [
            (ask(), number, ask, turn) for _, number, ask, turn in self._waiting if not turn.done()
        ]
        heapq.heapify(self._waiting)
        self._admit()

    @asynccontextmanager
    async def enter(self, queue: Queue | None = None) -> AsyncIterator[None]:
        """Wait for a slot and hold it; ``queue`` counts who waits."""
        rank = RANK.get()()
        is_ahead = self._let_in(rank) if self._has_room_for(rank) else await self._queue(queue)
        try:
            yield
        finally:
            self._leave(is_ahead)

    def _has_room_for(self, rank: Rank) -> bool:
        if self.is_paused and rank[0] >= 0:
            return False
        slots = self.slots if self.line is None else min(self.slots, self.line.window)
        if rank[0] < AHEAD:
            return self.inside < slots
        return not self._wanted_now and self.inside < (slots + 1) // 2

    def note(self, nbytes: int, body_s: float, together: int) -> None:
        """Let the line learn from an answer; see `Line.note`."""
        if self.line is not None:
            self.line.note(nbytes, body_s, together)

    async def _queue(self, queue: Queue | None) -> bool:
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        ask = RANK.get()
        heapq.heappush(self._waiting, (ask(), next(self._count), ask, turn))
        if queue is not None:
            queue.queued += 1
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(turn.result())  # the slot was handed over just as we were cancelled
            raise
        finally:
            if queue is not None:
                queue.queued -= 1

    def _let_in(self, rank: Rank) -> bool:
        """Take a slot; tell whether it is for what is asked for ahead of time."""
        is_ahead = rank[0] >= AHEAD
        self.inside += 1
        self._wanted_now += not is_ahead
        return is_ahead

    def _leave(self, is_ahead: bool) -> None:
        self.inside -= 1
        self._wanted_now -= not is_ahead
        self._admit()

    def _admit(self) -> None:
        """Let in those next in line for whom there is room now."""
        while self._waiting and self._has_room_for(self._waiting[0][0]):
            rank, *_, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(self._let_in(rank))
