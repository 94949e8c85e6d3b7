"""One download, followed from the window: begun, watched, given up, ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.downloading import DownloadProgress, download_async
from napari_omezarr_cloud.napari.region_text import bytes_text
from napari_omezarr_cloud.napari.watched_run import WatchedRun

if TYPE_CHECKING:
    from qtpy.QtCore import QObject

    from napari_omezarr_cloud.downloading import DownloadPlan

__all__ = ["DownloadRun", "ended_text"]


class DownloadRun(WatchedRun):
    """Downloads what was planned; ``done`` gives the `DownloadProgress`.

    Parameters
    ----------
    planned
        What, and where to.
    parent, viewer
        As of `WatchedRun`.
    """

    def __init__(self, planned: DownloadPlan, parent: QObject, *, viewer: Any = None) -> None:
        words = f"downloads {planned.source}; cancelled, it can be taken up again"
        super().__init__(parent, words, viewer)
        self.planned = planned
        self._progress = DownloadProgress(planned.count, planned.nbytes)
        self._watch(download_async(planned, self._note), self._end)

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
        self._rest()
        self.done.emit(progress)


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
