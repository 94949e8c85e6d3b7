"""Which levels to keep, with what each takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QGroupBox, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LevelList"]


class LevelList(QGroupBox):
    """A box to tick for each level; the one on screen and the coarser ones until touched."""

    changed = Signal()
    """The person chose other levels."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Levels (0 is the finest)", parent)
        self.boxes: list[QCheckBox] = []
        self._is_pinned = False
        self._column = QVBoxLayout(self)

    @property
    def chosen(self) -> list[int]:
        """Numbers of the levels that are ticked."""
        return [number for number, box in enumerate(self.boxes) if box.isChecked()]

    def begin(self, count: int) -> None:
        """Offer so many levels; none of them was chosen by the person."""
        for box in self.boxes:
            self._column.removeWidget(box)
            box.deleteLater()
        self.boxes = [QCheckBox(str(number)) for number in range(count)]
        self._is_pinned = False
        for box in self.boxes:
            box.clicked.connect(self._on_click)
            self._column.addWidget(box)

    def follow(self, level: int) -> None:
        """Tick a level and all coarser ones, unless the person has chosen."""
        if not self._is_pinned:
            for number, box in enumerate(self.boxes):
                box.setChecked(number >= level)

    def show_texts(self, texts: Sequence[str]) -> None:
        """Say what each level is and takes."""
        for box, text in zip(self.boxes, texts, strict=True):
            box.setText(text)

    def _on_click(self) -> None:
        self._is_pinned = True
        self.changed.emit()
