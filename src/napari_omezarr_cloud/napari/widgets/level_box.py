"""Choosing a level: the one on screen, or a finer or coarser one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtGui import QStandardItem, QStandardItemModel
from qtpy.QtWidgets import QComboBox, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LevelBox", "LevelChoice"]


@dataclass(frozen=True)
class LevelChoice:
    """What is said of a level; one that cannot be taken is shown and not to be chosen."""

    text: str
    is_allowed: bool = True


class LevelBox(QComboBox):
    """The level on screen, or another first choice, then each level from fine to coarse."""

    level_changed = Signal()
    """The person chose another one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(self.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        self._items = QStandardItemModel(self)
        self.setModel(self._items)
        self._shown: tuple[str, tuple[LevelChoice, ...]] = ("", ())
        self.activated.connect(lambda _: self.level_changed.emit())
        self.show_levels([])

    @property
    def level(self) -> int | None:
        """The number of the chosen level; None for the first choice."""
        index = int(self.currentIndex())
        return None if index <= 0 else index - 1

    def choose(self, level: int | None) -> None:
        """Choose a level; None is the first choice."""
        self.setCurrentIndex(0 if level is None else min(level + 1, self.count() - 1))

    def show_levels(
        self, choices: Sequence[LevelChoice], first: str = "The level on screen"
    ) -> None:
        """Show these levels; what was chosen stays chosen where there is such a level."""
        if self.count() and (first, tuple(choices)) == self._shown:
            return
        self._shown = first, tuple(choices)
        before = self.level
        self.blockSignals(True)
        self._items.clear()
        self._items.appendRow(QStandardItem(first))
        for choice in choices:
            item = QStandardItem(choice.text)
            item.setEnabled(choice.is_allowed)
            self._items.appendRow(item)
        self.choose(before if before is not None and before < len(choices) else None)
        self.blockSignals(False)
