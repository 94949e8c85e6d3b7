"""Work that nobody waits for: in a thread of its own."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["in_thread"]

T = TypeVar("T")


def in_thread(function: Callable[..., T], *args: Any) -> Future[T]:
    """Run a function in a thread of its own, which nobody waits for: not even the end of Python.

    A pool would be kept busy by what was cancelled and cannot be interrupted, and Python waits for
    pools when it exits. What is cancelled runs on, and its result is dropped.
    """
    future: Future[T] = Future()

    def work() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = function(*args)
        except BaseException as error:  # it belongs to the one who asks the future
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=work, name="omezarr-work", daemon=True).start()
    return future
