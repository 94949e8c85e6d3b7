"""The program of a worker process: it takes calls from its standard input and answers them.

It is run as a file, by its path, and imports the standard library alone: the package may be where
only the ``sys.path`` of the parent finds it, and that comes as the first message. Nothing here
imports or runs the parent's ``__main__``.

A message is a list of buffers. The first is a pickle, the others are the arrays in it, which are
sent as they lie in memory (pickle protocol 5, out of band).
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import struct
import sys
import threading
import traceback
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["pack", "receive", "send", "unpack"]

_NICENESS = 5
"""Of the window and this process, the window goes first."""

Message = list[Any]


def send(stream: IO[bytes], message: Sequence[bytes | bytearray | memoryview]) -> None:
    """Write one message; the inverse of `receive`."""
    views = [memoryview(part).cast("B") for part in message]
    stream.write(struct.pack(f"<{1 + len(views)}Q", len(views), *(view.nbytes for view in views)))
    for view in views:
        stream.write(view)
    stream.flush()


def receive(stream: IO[bytes]) -> Message:
    """Read one message into buffers that may be written to; the inverse of `send`.

    Raises
    ------
    EOFError
        If the other side ended.
    """
    (count,) = struct.unpack("<Q", _exactly(stream, 8))
    lengths = struct.unpack(f"<{count}Q", _exactly(stream, 8 * count))
    return [_exactly(stream, length) for length in lengths]


def _exactly(stream: IO[bytes], length: int) -> bytearray:
    buffer = bytearray(length)
    if stream.readinto(buffer) != length:  # type: ignore[attr-defined]
        raise EOFError
    return buffer


def pack(content: Any) -> Message:
    """Return a message that holds this; the inverse of `unpack`. Arrays are not copied."""
    buffers: list[pickle.PickleBuffer] = []
    text = pickle.dumps(content, protocol=5, buffer_callback=buffers.append)
    return [text, *(buffer.raw() for buffer in buffers)]


def unpack(message: Message) -> Any:
    """Return what a message holds; the inverse of `pack`. Arrays use the message's memory."""
    # Both ends of the pipe are ours.
    return pickle.loads(message[0], buffers=message[1:])  # noqa: S301


def _answer(message: Message) -> Message:
    """Return ``("done", result)``, ``("unknown", why)`` or ``("raised", exception, text, trace)``.

    ``unknown`` means that the function is not to be found here, and may be where it came from.
    """
    try:
        function, args = unpack(message)
    except BaseException as error:  # whatever importing a module may raise
        return pack(("unknown", _text(error)))
    message.clear()
    try:
        return pack(("done", function(*args)))
    except BaseException as error:  # SystemExit too: the process goes on
        return pack(("raised", _pickled(error), _text(error), traceback.format_exc()))


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _pickled(error: BaseException) -> bytes | None:
    try:
        return pickle.dumps(error)
    except Exception:  # an exception may hold anything; its text is sent too
        return None


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Return standard input and output, and leave others there that nobody reads as messages."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    # What C code prints, and what Python prints.
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, replies


def _listen(requests: IO[bytes], put: Callable[[Message], None]) -> None:
    """Hand on what comes; end the process when the parent did, also in the middle of a call."""
    try:
        while True:
            put(receive(requests))
    finally:
        os._exit(0)


def main() -> None:
    """Answer calls, one after the other, until the standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in the shell is for the parent
    requests, replies = _take_pipes()
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    sys.path[:] = unpack(receive(requests))
    send(replies, pack("ready"))
    calls: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, calls.put), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        while True:
            send(replies, _answer(calls.get()))


if __name__ == "__main__":
    main()
