"""One download, followed from the window: begun, watched, given up, ended."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.downloading import DownloadProgress, download_async
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.compat import begin_task
from napari_omezarr_cloud.napari.region_text import bytes_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.downloading import DownloadPlan

__all__ = ["DownloadRun", "ended_text"]

_RHYTHM_MS = 100


class DownloadRun(QObject):
    """Downloads what was planned; when the owner is deleted, the download ends with it.

    Parameters
    ----------
    planned
        What, and where to.
    parent
        The owner.
    viewer
        Whose window asks before it is closed while this goes on; None: nobody's.
    """

    stepped = Signal(int, int, str)
    """So many objects are here of how many, and the same in words."""
    done = Signal(object)
    """All of it is here: the `DownloadProgress`."""
    failed = Signal(object)
    """It could not be done: the error."""

    def __init__(self, planned: DownloadPlan, parent: QObject, *, viewer: Any = None) -> None:
        super().__init__(parent)
        self.planned = planned
        self._progress = DownloadProgress(planned.count, planned.nbytes)
        self._clock = QTimer(self)
        self._clock.setInterval(_RHYTHM_MS)
        self._clock.timeout.connect(self._tell)
        future = download_async(planned, self._note)
        self._job: Job[DownloadProgress] = Job(future, self._end, self._fail, self)
        self.destroyed.connect(lambda: future.cancel())
        words = f"downloads {planned.source}; cancelled, it can be taken up again"
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
        self._clock.stop()
        self._end_task()
        self._job.cancel()

    def _note(self, progress: DownloadProgress) -> None:
        self._progress = progress  # on the I/O thread: told by the clock

    def _tell(self) -> None:
        progress = self._progress
        words = (
            f"{progress.done:,} of {progress.count:,} objects · "
            f"{bytes_text(progress.done_nbytes)} of {bytes_text(progress.nbytes)}"
        )
        if progress.failed:
            words += f" · {progress.failed:,} failed"
        paused = " · paused in the Network dock" * engine().is_paused
        self.stepped.emit(progress.done, max(progress.count, progress.done), words + paused)

    def _end(self, progress: DownloadProgress) -> None:
        self._clock.stop()
        self._end_task()
        self.done.emit(progress)

    def _fail(self, error: BaseException) -> None:
        self._clock.stop()
        self._end_task()
        self.failed.emit(error)


def ended_text(planned: DownloadPlan, progress: DownloadProgress) -> str:
    """Return how a download has ended, in a sentence or two."""
    here = progress.done - progress.absent
    objects = f"{here:,} object{'s' if here != 1 else ''}"
    sentences = [f"{objects}, {bytes_text(progress.done_nbytes)}, are in {planned.target}."]
    if progress.skipped:
        sentences.append(f"{progress.skipped:,} of them were here before.")
    if progress.absent:
        sentences.append(f"{progress.absent:,} chunks are not stored there: they are blank.")
    return " ".join(sentences)
