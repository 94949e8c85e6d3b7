"""Apply, cancel, how far it is, how it ended."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel

__all__ = ["RunBar"]


class RunBar(QWidget):
    """Two buttons, a progress bar and a sentence; it only asks, others do."""

    apply_requested = Signal()
    cancel_requested = Signal()

    def __init__(
        self,
        parent: QWidget | None = None,
        *,
        action: str = "Apply to view",
        tip: str = "Run on the visible pixels; the result becomes a new layer",
    ) -> None:
        super().__init__(parent)
        self.apply_button = QPushButton(action)
        self.apply_button.setToolTip(tip)
        self.cancel_button = QPushButton("Cancel")
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.message = PlainLabel()
        self._may_apply = True
        self.apply_button.clicked.connect(self.apply_requested)
        self.cancel_button.clicked.connect(self.cancel_requested)
        buttons = QHBoxLayout()
        buttons.addWidget(self.apply_button, 1)
        buttons.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.message)
        self.show_idle()

    @property
    def is_running(self) -> bool:
        """Whether something can be cancelled."""
        return bool(self.cancel_button.isEnabled())

    def allow(self, may_apply: bool) -> None:
        """Say whether there is anything to apply."""
        self._may_apply = may_apply
        self.apply_button.setEnabled(may_apply and not self.is_running)

    def show_step(self, done: int, total: int, words: str) -> None:
        """Show how much of something is done; a total of 0 is one nobody knows."""
        self.cancel_button.setEnabled(True)
        self.apply_button.setEnabled(False)
        self.progress.setRange(0, total)  # a range of nothing makes the bar run to and fro
        self.progress.setValue(done)
        self.progress.setVisible(True)
        self._say(words)

    def show_idle(self, message: str = "", *, color: str = "") -> None:
        """Show how it ended, as plain text."""
        self.cancel_button.setEnabled(False)
        self.apply_button.setEnabled(self._may_apply)
        self.progress.setVisible(False)
        self._say(message, color)

    def show_error(self, sentence: str, viewer: Any) -> None:
        """Show what went wrong, in a colour that can be read in the viewer's theme."""
        # napari's own colours of errors are for fills.
        is_light = viewer is not None and viewer.theme == "light"
        self.show_idle(sentence, color="#b00020" if is_light else "#ff8a80")

    def _say(self, message: str, color: str = "") -> None:
        self.message.setStyleSheet(f"color: {color}" if color else "")
        self.message.setText(message)
        self.message.setVisible(bool(message))
