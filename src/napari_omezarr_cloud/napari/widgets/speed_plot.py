"""How fast bytes came over the last minute, as a small filled curve."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_omezarr_cloud.napari.network_text import speed

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent

__all__ = ["SpeedPlot"]

_LINE, _FILL = QColor(70, 150, 230), QColor(70, 150, 230, 90)
"""Readable on napari's dark and light theme."""
_LEAST_TOP = 1e5
"""A quiet line must not look like a busy one."""


class SpeedPlot(QWidget):
    """Shows the last values, the newest on the right.

    Parameters
    ----------
    count
        How many values fit.
    span
        What they span, in words.
    """

    def __init__(self, count: int, span: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._values: deque[float] = deque(maxlen=count)
        self._span = span
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Bytes per second from all servers, over the time this dock was open")

    def sizeHint(self) -> QSize:
        """Return the size it likes to have."""
        return QSize(200, 72)

    @property
    def values(self) -> list[float]:
        """What is shown, in bytes per second, the newest last."""
        return list(self._values)

    def add(self, value: float) -> None:
        """Show one value more."""
        self._values.append(value)
        self.update()

    def clear(self) -> None:
        """Show nothing: what was is no longer next to what comes."""
        self._values.clear()
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Paint the curve and its scale."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = self.palette().windowText().color()
        line = self.fontMetrics().height()
        width, bottom, top = self.width(), self.height() - 1.0, float(line + 2)
        painter.setPen(QPen(QColor(ink.red(), ink.green(), ink.blue(), 110), 1))
        painter.drawLine(QPointF(0, bottom), QPointF(width, bottom))
        painter.setPen(ink)
        most = max(self._values, default=0.0)
        box = self.rect().adjusted(1, 0, -1, 0)
        painter.drawText(box, Qt.AlignmentFlag.AlignTop, f"most: {speed(most)}")
        right = Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignRight
        painter.drawText(box, right, self._span)
        if len(self._values) > 1:
            self._paint_curve(painter, bottom, top, max(most, _LEAST_TOP))
        painter.end()

    def _paint_curve(self, painter: QPainter, bottom: float, top: float, most: float) -> None:
        step = self.width() / ((self._values.maxlen or 2) - 1)
        left = self.width() - step * (len(self._values) - 1)
        points = [
            QPointF(left + n * step, bottom - value / most * (bottom - top))
            for n, value in enumerate(self._values)
        ]
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(_FILL)
        ends = [QPointF(points[0].x(), bottom), *points, QPointF(points[-1].x(), bottom)]
        painter.drawPolygon(QPolygonF(ends))
        painter.setPen(QPen(_LINE, 1.5))
        painter.drawPolyline(QPolygonF(points))
