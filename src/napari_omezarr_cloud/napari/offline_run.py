"""One download for offline use, followed from the window: begun, watched, given up, ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud import offline
from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.napari.offline_text import ended_text, progress_text
from napari_omezarr_cloud.napari.watched_run import WatchedRun

if TYPE_CHECKING:
    from concurrent.futures import Future

    from qtpy.QtCore import QObject

    from napari_omezarr_cloud.offline import Kept, OfflinePlan, OfflineProgress

__all__ = ["OfflineRun"]


class OfflineRun(WatchedRun):
    """Plans what is to be kept, and keeps it; ``done`` gives a sentence.

    Parameters
    ----------
    planning
        Will be the plan.
    parent, viewer
        As of `WatchedRun`.
    """

    def __init__(
        self, planning: Future[OfflinePlan], parent: QObject, *, viewer: Any = None
    ) -> None:
        super().__init__(parent, "keeps a region for offline use", viewer)
        self._progress: OfflineProgress | None = None
        self._watch(planning, self._begin)

    def _begin(self, planned: OfflinePlan) -> None:
        self._watch(offline.keep_offline_async(planned, self._note), self._end)

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
        self._rest()
        self.done.emit(ended_text(kept, self._progress))
