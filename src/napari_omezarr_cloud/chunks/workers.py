"""Processes for functions that would hold up every thread, and that a thread cannot interrupt.

Each is started with ``subprocess`` and runs `worker_main`: never forked (obstore hangs after a
fork), and not by ``multiprocessing``, whose spawned children run the user's ``__main__`` again.
Nobody can kill one call of a ``concurrent.futures`` or loky executor; here, cancelling does.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from napari_omezarr_cloud.chunks import worker_main
from napari_omezarr_cloud.chunks.worker_main import Message, pack, receive, send, unpack
from napari_omezarr_cloud.errors import CloudError, FunctionNotFoundError, OperationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NotSendableError", "Workers", "packed_call"]

_IDLE_S = 60.0
_START_S = 30.0
"""Until a process must have said that it is there; what says nothing is no Python."""

_END_S = 2.0

_PIPE_BYTES = 1 << 20
"""What Linux lets a pipe hold: 10 MB there and back take 8 ms, and 15 ms with its usual 64 kB."""

_ONE_THREAD = dict.fromkeys(
    (
        "BLIS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ),
    "1",
)


class NotSendableError(Exception):
    """The function cannot be run in another process, but may be run in this one."""


def packed_call(function: Callable[..., Any], args: tuple[Any, ...]) -> Message | None:
    """Return a call as a message; None where only this process has the function."""
    try:
        message = pack((function, args))
    except Exception:  # each class may have its own reason to refuse
        return None
    # A worker has another __main__; "__main__:function" in a description means ours too.
    return None if b"__main__" in message[0] else message


class Workers:
    """A few processes that start with the first call, and end after a minute without.

    Parameters
    ----------
    most
        How many at once; one core is left for the window.
    idle_s
        After how many seconds without a call a process ends.
    """

    def __init__(self, most: int | None = None, idle_s: float = _IDLE_S) -> None:
        self._most = most or max(1, min(4, (os.cpu_count() or 2) - 1))
        self._idle_s = idle_s
        self._changed = threading.Condition()
        self._waiting: deque[_Call] = deque()
        self._threads = 0
        self._idle = 0
        self._processes: set[_Process] = set()
        self._is_closed = False
        # A frozen program has no Python that could run a file.
        self.can_start = bool(sys.executable) and not getattr(sys, "frozen", False)

    @property
    def pids(self) -> list[int]:
        """Return the processes that are there."""
        with self._changed:
            return [process.pid for process in self._processes]

    async def run(self, message: Message) -> Any:
        """Make a call in a process; cancelling kills the process.

        Raises
        ------
        NotSendableError
            If the function is not found there, or no process can be started.
        OperationError
            If the process ended, or the function raised what is no `CloudError`.
        """
        call = _Call(message)
        self._put(call)
        try:
            return await asyncio.wrap_future(call.future)
        except asyncio.CancelledError:
            call.drop()
            raise

    def close(self) -> None:
        """Kill all processes; what they were computing is dropped."""
        with self._changed:
            self._is_closed = True
            waiting, processes = list(self._waiting), list(self._processes)
            self._waiting.clear()
            self._changed.notify_all()
        for call in waiting:
            call.future.cancel()
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
        atexit.unregister(self.close)

    def _put(self, call: _Call) -> None:
        with self._changed:
            if self._is_closed or not self.can_start:
                raise NotSendableError
            self._waiting.append(call)
            if len(self._waiting) > self._idle and self._threads < self._most:
                if not self._threads:
                    atexit.unregister(self.close)
                    atexit.register(self.close)
                self._threads += 1
                # Python does not wait for daemons at its end; `close` sees to the processes.
                threading.Thread(target=self._serve, name="omezarr-worker", daemon=True).start()
            self._changed.notify()

    def _next(self) -> _Call | None:
        """Wait for a call; None when there was none for long."""
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._waiting or self._is_closed, self._idle_s)
            self._idle -= 1
            if self._waiting and not self._is_closed:
                return self._waiting.popleft()
            self._threads -= 1
            return None

    def _serve(self) -> None:
        """Look after one process, and after its successors."""
        process: _Process | None = None
        while (call := self._next()) is not None:
            process = self._alive(process) or self._start()
            if process is None:
                call.fail(NotSendableError())
            elif call.begin(process):
                self._answer(call, process)
            process = self._alive(process)
            del call  # its arrays would be kept until the next one comes
        if process is not None:
            self._end(process)

    def _alive(self, process: _Process | None) -> _Process | None:
        """Return the process, unless it ended or imports from other places than we do by now."""
        if process is not None and (process.is_gone or process.imports_from != _import_path()):
            self._end(process)
            return None
        return process

    def _answer(self, call: _Call, process: _Process) -> None:
        try:
            answer = process.ask(call.message)
        except (EOFError, OSError):
            call.fail(process.ended())
            return
        call.finish()
        _deliver(answer, call.future)

    def _start(self) -> _Process | None:
        """Return a process that has said it is there; None, for good, where that is not so."""
        try:
            process = _Process()
        except OSError:
            self.can_start = False
            return None
        with self._changed:
            self._processes.add(process)
            is_closed = self._is_closed
        if not is_closed and process.greet():
            return process
        self.can_start = False
        self._end(process)
        return None

    def _end(self, process: _Process) -> None:
        process.end()
        with self._changed:
            self._processes.discard(process)


class _Call:
    """A call that waits for a process, or runs in one."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.future: Future[Any] = Future()
        self._lock = threading.Lock()
        self._process: _Process | None = None

    def begin(self, process: _Process) -> bool:
        """Note where it runs; False when nobody wants it any more."""
        with self._lock:
            if not self.future.set_running_or_notify_cancel():
                return False
            self._process = process
            return True

    def finish(self) -> None:
        """Note that the process has answered, and must not be killed on its behalf."""
        with self._lock:
            self._process = None

    def fail(self, error: Exception) -> None:
        """Note that there will be no answer."""
        self.finish()
        if self.future.running() or self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)

    def drop(self) -> None:
        """Give it up: kill the process that runs it."""
        with self._lock:
            if not self.future.cancel() and self._process is not None:
                self._process.kill()


class _Process:
    """The parent's side of a worker process."""

    def __init__(self) -> None:
        self._popen = subprocess.Popen(  # noqa: S603
            # -P: the folder of that file is no place to import from.
            [sys.executable, "-P", str(Path(worker_main.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if _has_stderr() else subprocess.DEVNULL,
            env=_environment(),
            creationflags=_creation_flags(),
        )
        assert self._popen.stdin is not None and self._popen.stdout is not None  # noqa: S101
        self._stdin, self._stdout = self._popen.stdin, self._popen.stdout
        for stream in (self._stdin, self._stdout):
            _widen(stream)
        self.pid = self._popen.pid
        self._parent = os.getpid()
        self._is_killed = False
        self.imports_from = _import_path()

    @property
    def is_gone(self) -> bool:
        return self._is_killed or self._popen.poll() is not None

    def greet(self) -> bool:
        """Tell it where to import from; False when it is no worker."""
        impatience = threading.Timer(_START_S, self.kill)
        impatience.daemon = True
        impatience.start()
        try:
            send(self._stdin, pack(self.imports_from))
            return bool(unpack(receive(self._stdout)) == "ready")
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            return False
        finally:
            impatience.cancel()

    def ask(self, message: Message) -> Message:
        """Send a call and wait for its answer."""
        send(self._stdin, message)
        return receive(self._stdout)

    def ended(self) -> OperationError:
        """Return what to say of a process that ended before its answer."""
        self.wait()
        status = self._popen.returncode
        how = f"status {status}"
        if status is not None and status < 0:
            with contextlib.suppress(ValueError):
                how = signal.Signals(-status).name
        return OperationError(
            "Could not compute the result",
            why=f"the process that computed it ended ({how})",
            hint="It may have run out of memory: try a smaller region.",
        )

    def kill(self) -> None:
        if os.getpid() == self._parent:  # a fork must leave its parent's processes alone
            self._is_killed = True  # before the system knows: no further call must be sent to it
            self._popen.kill()

    def wait(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(_END_S)

    def end(self) -> None:
        """Let it end by itself, or else kill it."""
        for stream in (self._stdin, self._stdout):
            with contextlib.suppress(OSError):
                stream.close()
        self.wait()
        if self._popen.poll() is None:
            self.kill()
            self.wait()


def _deliver(answer: Message, future: Future[Any]) -> None:
    """Give an answer to the one who waits for it."""
    try:
        kind, *content = unpack(answer)
    except Exception as error:  # a class of the result's may refuse, or not be found here
        future.set_exception(_failure(f"its result cannot be read: {error}"))
        return
    if kind == "done":
        future.set_result(content[0])
    elif kind == "unknown":
        future.set_exception(NotSendableError(content[0]))
    else:
        future.set_exception(_original(*content))


def _original(pickled: bytes | None, text: str, trace: str) -> Exception:
    """Return the exception that was raised there, if it is one of ours; else one with its text."""
    error: Any = None
    if pickled is not None:
        with contextlib.suppress(Exception):  # only the worker may know its class
            error = pickle.loads(pickled)  # noqa: S301
    if isinstance(error, FunctionNotFoundError):
        return NotSendableError(text)
    ours = error if isinstance(error, CloudError) else _failure(text)
    ours.add_note(trace)  # for whoever wrote the function; it is no part of the message
    return ours


def _failure(why: str) -> OperationError:
    return OperationError("Could not compute the result", why=why)


def _import_path() -> list[str]:
    """Return where this process imports from; '' is the folder of an interactive one."""
    return [entry or os.getcwd() for entry in sys.path]


def _environment() -> dict[str, str]:
    """Return ours, with one thread for linear algebra where nothing else is asked for."""
    return _ONE_THREAD | dict(os.environ)


def _widen(stream: IO[bytes]) -> None:
    """Let a pipe hold more at once, where the system can and allows it."""
    if sys.platform != "linux":
        return
    import fcntl

    with contextlib.suppress(OSError):
        fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _has_stderr() -> bool:
    try:
        os.fstat(2)
    except OSError:
        return False
    return True


def _creation_flags() -> int:
    """Return, on Windows, no console of its own and less urgent than the window."""
    if sys.platform != "win32":
        return 0
    return subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS
