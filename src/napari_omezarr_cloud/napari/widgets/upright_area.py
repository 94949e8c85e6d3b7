"""A form that scrolls up and down only: it is as wide as what is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import QScrollArea

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

__all__ = ["UprightArea"]

_FEWEST_LINES = 15
"""Of text that are seen, if there are as many: below another dock Qt leaves it no more."""


class UprightArea(QScrollArea):
    """Scrolls a widget without ever cutting it off at the side.

    Parameters
    ----------
    inside
        What scrolls.
    """

    def __init__(self, inside: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(self.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(inside)

    def minimumSizeHint(self) -> QSize:
        """Return the width of what is in it, with room for the bar, and the height of a part."""
        inside, bar = self.widget(), self.verticalScrollBar()
        if inside is None or bar is None:
            return super().minimumSizeHint()
        some = _FEWEST_LINES * self.fontMetrics().lineSpacing()
        return QSize(
            inside.minimumSizeHint().width() + bar.sizeHint().width(),
            min(some, inside.sizeHint().height()),
        )

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Take another width when rows come and go."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))
