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
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from napari_omezarr_cloud.errors import CloudError, WouldBlockError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from concurrent.futures import Future

__all__ = ["IoThread", "Waits", "forbid_waiting", "io_thread"]

T = TypeVar("T")

_this_thread = threading.local()

_STOP_S = 2.0
_SETTLE_S, _SETTLE_MOST_S = 0.02, 0.1


def forbid_waiting() -> None:
    """Mark the calling thread as one that must never wait (an initializer for thread pools)."""
    _this_thread.may_not_wait = True


class Waits:
    """What several threads wait for, and give up together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: set[Future[Any]] = set()
        self.are_given_up = False

    def join(self) -> None:
        """Have all that the calling thread waits for be among them (an initializer for pools)."""
        _this_thread.waits = self

    @contextmanager
    def here(self) -> Iterator[None]:
        """Have all that the calling thread waits for be among them, as long as this lasts."""
        before = getattr(_this_thread, "waits", None)
        self.join()
        try:
            yield
        finally:
            _this_thread.waits = before

    def give_up(self) -> None:
        """Let nobody wait any more: who does, or begins to, gets a ``CancelledError`` at once."""
        with self._lock:
            self.are_given_up = True
            futures = list(self._futures)
        for future in futures:
            future.cancel()

    def add(self, future: Future[Any]) -> None:
        """Count it among them."""
        with self._lock:
            self._futures.add(future)
        future.add_done_callback(self._remove)
        if self.are_given_up:
            future.cancel()

    def _remove(self, future: Future[Any]) -> None:
        with self._lock:
            self._futures.discard(future)


class IoThread:
    """An asyncio event loop running in a daemon thread of its own."""

    def __init__(self, name: str = "omezarr-io") -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._gave_up = False
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
        CancelledError
            Of ``concurrent.futures``, if the thread's `Waits` were given up.
        """
        if getattr(_this_thread, "may_not_wait", False):
            work.close()
            raise WouldBlockError(
                "Could not wait for data",
                why="this thread runs the engine's own work and must never wait",
                hint="Await the data instead, or load it from an ordinary thread.",
            )
        waits: Waits | None = getattr(_this_thread, "waits", None)
        if waits is not None and waits.are_given_up:
            work.close()
            raise CancelledError
        future = self.submit(work)
        if waits is not None:
            waits.add(future)
        try:
            return future.result(timeout_s)
        except BaseException:
            future.cancel()
            raise

    def wait_briefly(self, work: Coroutine[Any, Any, object], timeout_s: float) -> None:
        """Run the last words of who gives up, whose waits are over; if they take long, none."""
        future = self.submit(work)
        try:
            future.result(timeout_s)
        except (TimeoutError, CloudError):
            future.cancel()

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
        time.sleep(_SETTLE_MOST_S if self._gave_up else _SETTLE_S)

    def _give_up(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        self._gave_up = bool(tasks)
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
