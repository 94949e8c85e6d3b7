"""From which plane to which: of z, of time, of channels."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSpinBox, QWidget

__all__ = ["PlaneRange"]


_BUTTONS_PX = 50


class PlaneRange(QWidget):
    """Two numbers, both included, counted from 0 as napari's sliders do; follows until touched."""

    changed = Signal()
    """The person chose other planes."""

    def __init__(self, count: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.first, self.last = QSpinBox(), QSpinBox()
        self.all_button = QPushButton("All")
        self.all_button.setToolTip(f"All {count:,}")
        self.is_pinned = False
        for box in (self.first, self.last):
            box.setRange(0, count - 1)
            box.setKeyboardTracking(False)  # "12" is not first 1 and then 12
            # Else napari's style makes it wider than a dock bears.
            box.setMinimumWidth(_BUTTONS_PX + box.fontMetrics().horizontalAdvance(f"{count}0"))
        self.first.valueChanged.connect(self._on_first)
        self.last.valueChanged.connect(self._on_last)
        self.all_button.clicked.connect(self._take_all)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.first, 1)
        row.addWidget(QLabel("to"))
        row.addWidget(self.last, 1)
        row.addWidget(self.all_button)

    @property
    def span(self) -> tuple[int, int]:
        """The first plane, and the one after the last."""
        return self.first.value(), self.last.value() + 1

    def follow(self, start: int, stop: int) -> None:
        """Show these planes, unless the person has chosen."""
        if not self.is_pinned:
            self._show(start, stop - 1)

    def _show(self, first: int, last: int) -> None:
        for box, value in ((self.first, first), (self.last, last)):
            box.blockSignals(True)
            box.setValue(value)
            box.blockSignals(False)

    def _on_first(self, value: int) -> None:
        self._choose(value, max(value, self.last.value()))

    def _on_last(self, value: int) -> None:
        self._choose(min(value, self.first.value()), value)

    def _take_all(self) -> None:
        self._choose(0, self.last.maximum())

    def _choose(self, first: int, last: int) -> None:
        self.is_pinned = True
        self._show(first, last)
        self.changed.emit()
