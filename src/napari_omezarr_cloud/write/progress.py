"""How far a write is, and how it is cancelled."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from napari_omezarr_cloud.errors import WriteError
from napari_omezarr_cloud.store import Waits

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Progress"]


@dataclass
class Progress:
    """How far a write is; changed by its threads, read by anyone."""

    task_count: int = 0
    """Pieces of work: blocks, counted once more where they are labelled first."""
    tasks_done: int = 0
    tasks_skipped: int = 0
    """Of those done, which had been done before."""
    bytes_read: int = 0
    bytes_written: int = 0
    """Of voxels, before compression."""
    stage: Literal["", "waiting", "packing", "sending"] = ""
    """What goes on: waiting for somebody who works, or what is done with what is written; empty: it
    is being written."""
    stage_bytes: int = 0
    """Of it, so far."""
    stage_nbytes: int = 0
    is_cancelled: bool = False
    waits: Waits = field(default_factory=Waits, repr=False)
    """What its threads wait for."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, read: int, written: int) -> None:
        """Count bytes of voxels."""
        with self._lock:
            self.bytes_read += read
            self.bytes_written += written

    def enter(self, stage: Literal["packing", "sending"], nbytes: int) -> None:
        """Begin with a stage, of so many bytes."""
        self.stage, self.stage_bytes, self.stage_nbytes = stage, 0, nbytes

    def tick(self, nbytes: int) -> None:
        """Count bytes of a stage.

        Raises
        ------
        WriteError
            If it was cancelled.
        """
        self.stage_bytes += nbytes
        self.check()

    def check(self, where: str | None = None) -> None:
        """Raise a `WriteError` if it was cancelled."""
        if self.is_cancelled:
            raise WriteError("Writing was cancelled", where=where)

    def skip(self, tasks: int, *, is_done: bool = True) -> None:
        """Count pieces of work that had been done before, unless they are counted as done."""
        with self._lock:
            self.tasks_done += tasks * is_done
            self.tasks_skipped += tasks

    def done(self, tasks: int) -> None:
        """Count pieces of work that are done."""
        with self._lock:
            self.tasks_done += tasks

    def cancel(self) -> None:
        """Have it end at once: what is read or written just now is given up."""
        self.is_cancelled = True
        self.waits.give_up()

    @contextmanager
    def cancellable(self, what: str, where: str | None = None) -> Iterator[None]:
        """Let `cancel` end what the calling thread waits for.

        Raises
        ------
        WriteError
            If it did: ``what`` was cancelled.
        """
        try:
            with self.waits.here():
                yield
        except CancelledError as error:
            raise WriteError(f"{what} was cancelled", where=where) from error
