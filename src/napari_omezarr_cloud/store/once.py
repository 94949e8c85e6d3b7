"""Something that is awaited by many and done once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

__all__ = ["Once"]

T = TypeVar("T")


class Once(Generic[T]):
    """The result of a coroutine: begun when first awaited, kept, and shared meanwhile.

    Cancelled when the last one who waits is; after that and after a failure it begins anew.
    """

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._begin = begin
        self._task: asyncio.Task[T] | None = None
        self._waiting = 0

    @property
    def value(self) -> T | None:
        """The result, if it is here."""
        task = self._task
        return None if task is None or not task.done() or _failed(task) else task.result()

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait for the result."""
        return self._get().__await__()

    async def _get(self) -> T:
        task = self._task
        if task is None or (task.done() and _failed(task)):
            task = self._task = asyncio.create_task(self._begin())
            self._waiting = 0
        self._waiting += 1
        try:
            return await asyncio.shield(task)
        finally:
            if self._task is task:
                self._waiting -= 1
                if self._waiting == 0 and not task.done():
                    self._task = None
                    task.cancel()
            if task.done() and not task.cancelled():
                task.exception()  # marked as seen


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None
