"""One save, followed from the window: what is there is looked at, asked about, then written."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_omezarr_cloud.api import open as open_image
from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.compat import begin_task
from napari_omezarr_cloud.napari.pace import Pace
from napari_omezarr_cloud.napari.region_text import bytes_text
from napari_omezarr_cloud.napari.threads import in_thread
from napari_omezarr_cloud.write.execution import look_there, why_not_overwritten, write_planned
from napari_omezarr_cloud.write.hands import Hands
from napari_omezarr_cloud.write.passes import Part
from napari_omezarr_cloud.write.progress import Progress
from napari_omezarr_cloud.write.writing import identity_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.write.save_plan import SavePlan
    from napari_omezarr_cloud.write.target import Found

__all__ = ["Occupied", "SaveRun", "look"]

_RHYTHM_MS = 100
_STAGES = {"packing": "Packing into one file", "sending": "Sending"}
_PARTS = 1000


@dataclass(frozen=True)
class Occupied:
    """What is at a place where something is to be saved."""

    where: str
    what: str
    """In words, to be put behind "there is"."""
    is_same: bool = False
    """Whether it is the beginning of the same, so that one can go on."""
    share: str = ""
    """How much of the same is done, in words."""
    beside: str = ""
    """What lies beside it and was to take its place, as a sentence."""
    why_not: str = ""
    """Why it cannot be overwritten, as part of a sentence; empty: it can be."""


class SaveRun(QObject):
    """Writes what was planned; when the owner is deleted, it ends.

    Parameters
    ----------
    planned
        What, and where.
    parent
        The owner.
    hands
        Who does it; None: threads of this process.
    viewer
        Whose window asks before it is closed while this goes on; None: nobody's.
    """

    occupied = Signal(object)
    """Something is there, an `Occupied`: `write` or `cancel` is the answer."""
    stepped = Signal(int, int, str)
    """So many blocks are done of how many, and the same in words; 0 of 0: nobody knows yet."""
    done = Signal(object)
    """It is written; sentences that the person should know."""
    failed = Signal(object)
    """It could not be written: the error."""
    cancelled = Signal()
    """Nothing is written any more."""

    def __init__(
        self,
        planned: SavePlan,
        parent: QObject,
        *,
        hands: Hands | None = None,
        viewer: Any = None,
    ) -> None:
        super().__init__(parent)
        self._hands = hands or Hands()
        self._pace = Pace()
        self.planned = planned
        self._progress = progress = Progress()
        self._is_given_up = False
        self.is_writing = False
        """Whether something may be at the place that was not before."""
        self._viewer = (lambda: None) if viewer is None else weakref.ref(viewer)
        self._end_task: Callable[[], None] = lambda: None
        self._clock = QTimer(self)
        self._clock.setInterval(_RHYTHM_MS)
        self._clock.timeout.connect(self._tell)
        self._job: Job[Any] | None = None
        self.destroyed.connect(lambda: progress.cancel())

    def start(self) -> None:
        """Look what is there; begin to write if it is nothing."""
        self.stepped.emit(0, 0, "Looking what is there…")
        self._job = Job(in_thread(look, self.planned), self._looked, self._fail, self)

    def write(self, *, overwrite: bool = False) -> None:
        """Begin to write, or go on."""
        self.is_writing = True
        self._pace = Pace()
        viewer = self._viewer()
        if viewer is not None:
            words = f"writes {self.planned.location}; cancelled, it can be taken up again"
            self._end_task = begin_task(viewer, words, self.cancel)
        self._clock.start()
        self._tell()
        work = in_thread(
            lambda: write_planned(
                self.planned,
                overwrite=overwrite,
                threads=self._hands.threads,
                workers=self._hands.workers,
                scheduler=self._hands.scheduler,
                progress=self._progress,
            )
        )
        self._job = Job(work, self._end, self._fail, self)

    @property
    def has_done_something(self) -> bool:
        """Whether a block is done, by this run or an earlier one."""
        return self._progress.tasks_done > 0

    def cancel(self) -> None:
        """Give up; `cancelled` tells, soon, when nothing is written any more."""
        self._is_given_up = True
        self._progress.cancel()
        if self.is_writing:
            self._tell()
            return
        if self._job is not None:
            self._job.cancel()
        self.cancelled.emit()

    def _looked(self, found: Occupied | None) -> None:
        if found is None:
            self.write()
        else:
            self.occupied.emit(found)

    def _tell(self) -> None:
        progress = self._progress
        if progress.is_cancelled:
            self.stepped.emit(0, 0, "Cancelling…")
            return
        if progress.stage == "waiting":
            self.stepped.emit(0, 0, self._hands.waiting_text)
            return
        if progress.stage:
            done, nbytes = progress.stage_bytes, progress.stage_nbytes
            words = f"{_STAGES[progress.stage]}: {bytes_text(done)} of {bytes_text(nbytes)}"
            self.stepped.emit(round(_PARTS * done / max(1, nbytes)), _PARTS, words)
            return
        nbytes = self.planned.written_nbytes
        words = f"{bytes_text(min(progress.bytes_written, nbytes))} of {bytes_text(nbytes)}"
        pace = self._pace.text(
            progress.tasks_done, progress.task_count, skipped=progress.tasks_skipped
        )
        if pace:  # blocks that are labelled first write nothing
            words = f"{pace} · {words}" if progress.bytes_written else pace
        self.stepped.emit(progress.tasks_done, progress.task_count, words)

    def _end(self, notes: tuple[str, ...]) -> None:
        self._clock.stop()
        self._end_task()
        self.done.emit(notes)

    def _fail(self, error: BaseException) -> None:
        self._clock.stop()
        self._end_task()
        if self._is_given_up:  # what fails cancels the rest, too
            self.cancelled.emit()
        else:
            self.failed.emit(error)


def look(planned: SavePlan) -> Occupied | None:
    """Return what is at the place of a plan; waits.

    Raises
    ------
    CloudError
        If that cannot be found out.
    """
    found, is_same = look_there(planned)
    if found.is_empty:
        return None
    where = str(planned.location)
    if is_same:
        share = "" if planned.packing else _share_done(planned)
        what = "the beginning of this same save" + f" ({share})" * bool(share)
        return Occupied(where, what, is_same=True, share=share)
    why_not = why_not_overwritten(planned, found)
    if found.is_unfinished:
        what = "the beginning of another save, which did not end"
        return Occupied(where, what, why_not=why_not)
    if found.is_file and planned.packing is not None:
        what = _image_in_words(planned.location) or "a file of this name"
        return Occupied(where, what, why_not=why_not)
    if found.is_image and not why_not:
        what = _image_in_words(planned.location, found) or found.in_words()
        return Occupied(where, what, beside=_beside(found, planned))
    return Occupied(where, found.in_words(), why_not=why_not)


def _beside(found: Found, planned: SavePlan) -> str:
    notes = found.replacing
    if notes is None:
        return ""
    if notes.identity == identity_of(planned.plan, planned.origin()):
        return "Beside it lies the beginning of this same save: it is gone on with."
    return f"Beside it lies the beginning of {notes.in_words()}, to take its place: it is deleted."


def _share_done(planned: SavePlan) -> str:
    part = Part.of(planned, planned.location, planned.origin(), None)
    return f"{part.count_done():,} of {part.task_count:,} blocks are done"


def _image_in_words(location: Location, found: Found | None = None) -> str:
    try:
        image = open_image(location)
    except CloudError:
        return ""
    shape = " × ".join(map(str, image.levels[0].shape))
    axes = "".join(axis.name for axis in image.axes)
    labels = ", ".join(each.name for each in image.labels)
    tables = [] if found is None or found.contents is None else found.contents.tables
    names = ", ".join(path.rpartition("/")[2] for path in tables)
    below = [f"labels {labels}"] * bool(labels) + [f"tables {names}"] * bool(names)
    held = f" with {' and '.join(below)}" if below else ""
    return f"the image “{image.name}” ({axes} {shape}){held}"
