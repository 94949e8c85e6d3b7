"""One download for offline use, followed from the window: begun, watched, given up, ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_omezarr_cloud import offline
from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.offline_text import ended_text, progress_text

if TYPE_CHECKING:
    from concurrent.futures import Future

    from napari_omezarr_cloud.offline import Kept, OfflinePlan, OfflineProgress

__all__ = ["OfflineRun"]

_RHYTHM_MS = 100


class OfflineRun(QObject):
    """Keeps what was planned; when the owner is deleted, the download ends with it.

    Parameters
    ----------
    planning
        Will be the plan.
    parent
        The owner.
    """

    stepped = Signal(int, int, str)
    """So many chunks are done of how many, and the same in words; 0 of 0 while it is planned."""
    done = Signal(str)
    """It has ended, in a sentence."""
    failed = Signal(object)
    """It could not be done: the error."""

    def __init__(self, planning: Future[OfflinePlan], parent: QObject) -> None:
        super().__init__(parent)
        self._progress: OfflineProgress | None = None
        self._clock = QTimer(self)
        self._clock.setInterval(_RHYTHM_MS)
        self._clock.timeout.connect(self._tell)
        self._job: Job[OfflinePlan] | Job[Kept] = Job(planning, self._begin, self._fail, self)
        self._clock.start()

    def cancel(self) -> None:
        """Give up; nothing is told any more."""
        self._clock.stop()
        self._job.cancel()

    def _begin(self, planned: OfflinePlan) -> None:
        future = offline.keep_offline_async(planned, self._note)
        self._job = Job(future, self._end, self._fail, self)
        self.destroyed.connect(lambda: future.cancel())

    def _note(self, progress: OfflineProgress) -> None:
        self._progress = progress  # on the I/O thread: told by the clock

    def _tell(self) -> None:
        progress = self._progress
        if progress is None:
            self.stepped.emit(0, 0, "Looking what there is…")
        else:
            done = progress.done + progress.failed
            paused = " · paused in the Network dock" * engine().is_paused
            self.stepped.emit(done, progress.chunks, progress_text(progress) + paused)

    def _end(self, kept: Kept) -> None:
        self._clock.stop()
        self.done.emit(ended_text(kept, self._progress))

    def _fail(self, error: BaseException) -> None:
        self._clock.stop()
        self.failed.emit(error)
