"""What is kept for offline use, with buttons to let go of it and to go on with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QGroupBox, QPushButton, QWidget

from napari_omezarr_cloud.napari.notices import plain
from napari_omezarr_cloud.napari.offline_text import kept_text
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from napari_omezarr_cloud.offline import Kept

__all__ = ["KeptList"]


class KeptList(QGroupBox):
    """A line for each region, the newest first; it only asks, others do."""

    release_requested = Signal(int)
    """Let go of the region of this number."""
    resume_requested = Signal(object)
    """Go on with this `Kept`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Kept on this disk", parent)
        self._layout = QGridLayout(self)
        self._layout.setColumnStretch(0, 1)
        self._shown: list[QWidget] = []
        self.release_buttons: dict[int, QPushButton] = {}
        self.resume_buttons: dict[int, QPushButton] = {}
        self.texts: list[str] = []
        self.show_kept([], ())

    def show_kept(self, kept: Sequence[Kept], at_hand: Collection[str]) -> None:
        """Show these regions.

        Parameters
        ----------
        kept
            In the order in which they were kept.
        at_hand
            Where images are that are open: only with those can be gone on.
        """
        for widget in self._shown:
            self._layout.removeWidget(widget)
            widget.deleteLater()
        self._shown = []
        self.release_buttons, self.resume_buttons = {}, {}
        self.texts = [kept_text(each) for each in reversed(kept)]
        for row, each in enumerate(reversed(kept)):
            self._add_row(row, each, each.where in at_hand)
        if not kept:
            self._put(_label("Nothing yet."), 0, 0)

    def _add_row(self, row: int, kept: Kept, is_at_hand: bool) -> None:
        label = _label(kept_text(kept))
        label.setToolTip(plain(kept.where))
        self._put(label, row, 0)
        if not kept.is_whole and kept.wish is not None:
            resume = QPushButton("Resume")
            resume.setEnabled(is_at_hand)
            resume.setToolTip(
                "Load what is not here yet."
                if is_at_hand
                else plain(f"Open the image first: {kept.where}")
            )
            resume.clicked.connect(lambda: self.resume_requested.emit(kept))
            self.resume_buttons[kept.id] = resume
            self._put(resume, row, 1)
        release = QPushButton("Release")
        release.setToolTip("Let go of it: it stays on the disk until room is needed.")
        release.clicked.connect(lambda: self.release_requested.emit(kept.id))
        self.release_buttons[kept.id] = release
        self._put(release, row, 2)

    def _put(self, widget: QWidget, row: int, column: int) -> None:
        self._shown.append(widget)
        self._layout.addWidget(widget, row, column)


def _label(text: str) -> PlainLabel:
    label = PlainLabel()
    label.setText(text)
    return label
