"""What a run would write, what is at its place, and what it takes: shown before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.run_estimate import examine
from napari_omezarr_cloud.napari.threads import in_thread
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel

if TYPE_CHECKING:
    from napari_omezarr_cloud.napari.run_estimate import Examined
    from napari_omezarr_cloud.write.hands import Hands
    from napari_omezarr_cloud.write.save_plan import SavePlan

__all__ = ["RunPreview"]

_QUIET_MS = 400
"""What is there, and what it takes, is found out once the choices rest."""
_MEASURING = "What it takes is being measured on a block…"


class RunPreview(QWidget):
    """Three texts; the first is there at once, the others once the choices rest.

    Parameters
    ----------
    parent
        The window.
    """

    changed = Signal()
    """Something else would be done than before."""
    examined = Signal()
    """What is at the place, and what the run takes, is shown."""
    found = Signal(bool)
    """Something was found at the place, or nothing yet: whether it is the beginning of the same."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plan, self.there, self.estimate = PlainLabel(), PlainLabel(), PlainLabel()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for label in (self.plan, self.there, self.estimate):
            layout.addWidget(label)
        self._planned: SavePlan | None = None
        self._hands: Hands | None = None
        self._key: Any = None
        self._examining: Job[Examined] | None = None
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_QUIET_MS)
        self._rest.timeout.connect(self._examine)
        self._say_there("")

    def show_plan(self, planned: SavePlan, hands: Hands, overlap: int | None) -> None:
        """Show what would be done; and, soon, what that takes, unless it is shown by now."""
        self.plan.setText(str(planned))
        self._planned, self._hands = planned, hands
        source = planned.source
        pyramids = [view.pyramid for view in source.views]
        key = (str(planned.location), planned.plan, source.boxes, pyramids, overlap, hands)
        if key != self._key:
            self._key = key
            self._say_there("")
            self.estimate.setText(_MEASURING)
            self._rest.start()
            self.changed.emit()

    def show_refusal(self, text: str) -> None:
        """Show why nothing would be done."""
        self.plan.setText(text)
        self._planned = None
        self.rest()
        self._key = None
        self.changed.emit()

    def rest(self) -> None:
        """Find out no more: a run begins, which changes what is there; or nobody sees it."""
        self._rest.stop()
        if self._examining is not None and self._examining.is_running:
            self._key = None  # what is found out now, is no longer so
        self._say_there("")
        if self.estimate.text() == _MEASURING or self._planned is None:
            self.estimate.setText("")

    def forget(self) -> None:
        """Look again what is there, the next time that a plan is shown."""
        self._key = None

    def _examine(self) -> None:
        """Find out what is there and what it takes, one thing after the other."""
        planned, hands, key = self._planned, self._hands, self._key
        if planned is None or hands is None:
            return
        if self._examining is not None and self._examining.is_running:
            self._rest.start()  # a block that is being computed cannot be given up
            return

        def done(found: Examined) -> None:
            if key == self._key:
                self._show(found)

        self._examining = Job(in_thread(examine, planned, hands), done, self._on_error, self)

    def _show(self, found: Examined) -> None:
        there = found.there
        self.estimate.setText(found.estimate)
        text = found.there_unknown
        if there is not None and there.is_same:
            done = f": {there.share}" if there.share else ""
            text = f"The beginning of this same run is there{done}. Going on does the rest."
        elif there is not None and not there.why_not:
            text = f"There is {there.what}. You are asked before it is overwritten."
        elif there is not None:
            text = f"At this place {there.why_not}. Choose another name."
        self._say_there(text, is_same=there is not None and there.is_same)
        self.examined.emit()

    def _say_there(self, text: str, *, is_same: bool = False) -> None:
        self.there.setText(text)
        self.there.setVisible(bool(text))
        self.found.emit(is_same)

    def _on_error(self, error: BaseException) -> None:
        self.estimate.setText(f"What it takes could not be measured: {type(error).__name__}.")
