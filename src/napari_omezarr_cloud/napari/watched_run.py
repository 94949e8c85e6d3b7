"""Work of the engine, followed from the window: watched, given up, ended."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.compat import begin_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

__all__ = ["WatchedRun"]

_RHYTHM_MS = 100


class WatchedRun(QObject):
    """Work that goes on until it has ended, is given up, or its owner is deleted.

    A subclass begins it with `_watch`, says in `_tell` how far it is, and ends it with `_rest`.

    Parameters
    ----------
    parent
        The owner.
    words
        What it does, for the question whether napari may be closed.
    viewer
        Whose window asks that while this goes on; None: nobody's.
    """

    stepped = Signal(int, int, str)
    """So much is done of how much, and the same in words; 0 of 0 while it is planned."""
    done = Signal(object)
    """It has ended: what came of it."""
    failed = Signal(object)
    """It could not be done: the error."""

    def __init__(self, parent: QObject, words: str, viewer: Any) -> None:
        super().__init__(parent)
        self._clock = QTimer(self)
        self._clock.setInterval(_RHYTHM_MS)
        self._clock.timeout.connect(self._tell)
        self._job: Job[Any] | None = None
        me = weakref.ref(self)

        def cancel() -> None:
            run = me()
            if run is not None:
                run.cancel()

        self._end_task: Callable[[], None] = lambda: None
        if viewer is not None:
            self._end_task = begin_task(viewer, words, cancel)
        self._clock.start()

    def cancel(self) -> None:
        """Give up; nothing is told any more, and what has come is kept."""
        self._rest()
        if self._job is not None:
            self._job.cancel()

    def _tell(self) -> None:
        """Say how far it is: `stepped`."""
        raise NotImplementedError

    def _watch(self, future: Future[Any], on_done: Callable[[Any], None]) -> None:
        self._job = Job(future, on_done, self._fail, self)
        self.destroyed.connect(lambda: future.cancel())

    def _rest(self) -> None:
        self._clock.stop()
        self._end_task()

    def _fail(self, error: BaseException) -> None:
        self._rest()
        self.failed.emit(error)
