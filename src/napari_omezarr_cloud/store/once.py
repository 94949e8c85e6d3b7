"""Something that is awaited by many and done once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from napari_omezarr_cloud.store.gate import LAST, RANK, Rank, ranked_task

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

__all__ = ["Once"]

T = TypeVar("T")


class Once(Generic[T]):
    """The result of a coroutine: begun when first awaited, kept, and shared meanwhile.

    Cancelled when the last one who waits is; after that and after a failure it begins anew. It is
    as urgent as the most urgent of those who wait.

    Parameters
    ----------
    begin
        Makes the coroutine.
    on_urgent
        Called when somebody joins who is in a greater hurry than those who waited before.
    """

    def __init__(
        self,
        begin: Callable[[], Coroutine[Any, Any, T]],
        on_urgent: Callable[[], None] = lambda: None,
    ) -> None:
        self._begin = begin
        self._on_urgent = on_urgent
        self._task: asyncio.Task[T] | None = None
        self._waiting: list[Callable[[], Rank]] = []

    @property
    def value(self) -> T | None:
        """The result, if it is here."""
        task = self._task
        return None if task is None or not task.done() or _failed(task) else task.result()

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait for the result."""
        return self._get().__await__()

    async def _get(self) -> T:
        task, ask = self._task, RANK.get()
        if task is None or (task.done() and _failed(task)):
            waiting = self._waiting = [ask]
            task = self._task = ranked_task(
                self._begin(), lambda: min((each() for each in waiting), default=LAST)
            )
        elif task.done():
            return task.result()
        else:
            waiting = self._waiting
            is_urgent = ask() < min((each() for each in waiting), default=LAST)
            waiting.append(ask)
            if is_urgent:
                self._on_urgent()
        try:
            return await asyncio.shield(task)
        finally:
            waiting.remove(ask)
            if self._task is task and not waiting and not task.done():
                self._task = None
                task.cancel()
            if task.done() and not task.cancelled():
                task.exception()  # marked as seen


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None
