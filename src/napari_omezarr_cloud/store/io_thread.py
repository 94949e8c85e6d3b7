"""The one thread in which all waiting for bytes happens: an asyncio loop, and the door to it.

Any thread may submit a coroutine; only threads that are allowed to wait may wait for it. Pool
threads and the loop itself may not: a pool that waits for work queued behind it never wakes up.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from napari_omezarr_cloud.errors import WouldBlockError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

__all__ = ["IoThread", "forbid_waiting", "io_thread"]

T = TypeVar("T")

_this_thread = threading.local()

_STOP_S = 2.0
_SETTLE_S = 0.02


def forbid_waiting() -> None:
    """Mark the calling thread as one that must never wait (an initializer for thread pools)."""
    _this_thread.may_not_wait = True


class IoThread:
    """An asyncio event loop running in a daemon thread of its own."""

    def __init__(self, name: str = "omezarr-io") -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        forbid_waiting()
        self.loop.run_forever()
        self.loop.close()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start ``work`` on the loop; cancelling the returned future cancels the work."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def wait(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Run ``work`` on the loop and wait for its result.

        Raises
        ------
        WouldBlockError
            On the loop's own thread and in pool threads, where waiting would deadlock.
        """
        if getattr(_this_thread, "may_not_wait", False):
            work.close()
            raise WouldBlockError(
                "Could not wait for data",
                why="this thread runs the engine's own work and must never wait",
                hint="Await the data instead, or load it from an ordinary thread.",
            )
        future = self.submit(work)
        try:
            return future.result(timeout_s)
        except BaseException:
            future.cancel()
            raise

    def post(self, function: Callable[..., object], *args: object) -> None:
        """Call a function on the loop soon; once the loop has ended with the program, never."""
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            if not self.loop.is_closed():
                raise

    def stop(self) -> None:
        """Give up all work, closing its connections, and end the thread."""
        if not self._thread.is_alive():
            return
        self.loop.call_soon_threadsafe(self._give_up)
        self._thread.join(_STOP_S)
        # obstore's own threads still answer what was cancelled, and must find Python alive.
        time.sleep(_SETTLE_S)

    def _give_up(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        ended = asyncio.gather(*tasks, return_exceptions=True)
        ended.add_done_callback(lambda _: self.loop.stop())


_current: IoThread | None = None
_lock = threading.Lock()


def io_thread() -> IoThread:
    """Return this process's I/O thread; after a fork, which stops all threads, a new one."""
    global _current
    with _lock:
        if _current is None or _current.pid != os.getpid():
            _current = IoThread()
            # Without it, answers that come while Python ends abort the process.
            atexit.register(_stop_at_exit, _current)
        return _current


def _stop_at_exit(thread: IoThread) -> None:
    if thread.pid == os.getpid():
        thread.stop()
