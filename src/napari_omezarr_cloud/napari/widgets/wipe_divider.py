"""The line between before and after, lying over the canvas, to be dragged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QPointF, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPolygonF
from qtpy.QtWidgets import QLabel, QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QMouseEvent, QPaintEvent

__all__ = ["WipeDivider"]

_WIDTH, _HANDLE, _ARROW = 24, 11, 5
_CAPTION_MARGIN, _CAPTION_WIDTH = 8, 260
_LINE, _EDGE = QColor(255, 255, 255), QColor(0, 0, 0, 160)
_CAPTION_STYLE = "background: rgba(0, 0, 0, 160); color: white; padding: 2px 6px;"


class WipeDivider(QWidget):
    """A vertical line with a handle, and the names of what is left and right of it.

    A widget over the canvas: it takes the mouse, so the image is not panned while it is dragged,
    and draws without the canvas being drawn. The wheel goes through it.

    Parameters
    ----------
    canvas
        Over which it lies; owns it.
    left, right
        Names to show, as plain text.
    at
        Where it is, as a fraction of the canvas's width.
    """

    moved = Signal(float)
    """Dragged: where it is now, as a fraction of the canvas's width."""

    def __init__(self, canvas: QWidget, left: str, right: str, at: float) -> None:
        super().__init__(canvas)
        self._at = at
        self._canvas = canvas
        self.setCursor(Qt.CursorShape.SplitHCursor)
        self.setToolTip("Drag; Esc ends the comparison")
        self.left_caption, self.right_caption = (_caption(canvas, text) for text in (left, right))
        canvas.installEventFilter(self)
        self._place()
        for widget in (self.left_caption, self.right_caption, self):
            widget.show()
            widget.raise_()

    @property
    def at(self) -> float:
        """Where it is, as a fraction of the canvas's width."""
        return self._at

    def remove(self) -> None:
        """Take it and the names away for good."""
        self._canvas.removeEventFilter(self)
        for widget in (self.left_caption, self.right_caption, self):
            widget.hide()
            widget.deleteLater()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Stay at the same part of a canvas that is resized."""
        if event is not None and event.type() == QEvent.Type.Resize:
            self._place()
        return False

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Take the mouse; accepted, so that the canvas below does not begin to pan."""
        if event is not None:
            event.accept()

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Follow the mouse, as far as the canvas goes."""
        if event is None or not event.buttons() & Qt.MouseButton.LeftButton:
            return
        x = self.mapTo(self._canvas, event.position().toPoint()).x()
        self._at = min(max(x / max(self._canvas.width(), 1), 0.0), 1.0)
        self._place()
        self.moved.emit(self._at)
        event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """End the drag."""
        if event is not None:
            event.accept()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw light on dark: seen on any image."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        middle, half = self.width() / 2, self.height() / 2
        painter.fillRect(int(middle) - 2, 0, 4, self.height(), _EDGE)
        painter.fillRect(int(middle) - 1, 0, 2, self.height(), _LINE)
        painter.setPen(_EDGE)
        painter.setBrush(_LINE)
        painter.drawEllipse(QPointF(middle, half), _HANDLE, _HANDLE)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(60, 60, 60))
        for side in (-1, 1):
            tip = middle + side * (_ARROW + 3)
            ends = [QPointF(tip - side * _ARROW, half + dy) for dy in (-_ARROW, _ARROW)]
            painter.drawPolygon(QPolygonF([QPointF(tip, half), *ends]))
        painter.end()

    def _place(self) -> None:
        width, height = self._canvas.width(), self._canvas.height()
        x = round(self._at * width)
        self.setGeometry(x - _WIDTH // 2, 0, _WIDTH, height)
        gap = _WIDTH // 2
        self.left_caption.move(x - gap - self.left_caption.width(), _CAPTION_MARGIN)
        self.right_caption.move(x + gap, _CAPTION_MARGIN)


def _caption(canvas: QWidget, text: str) -> QLabel:
    label = QLabel(canvas)
    label.setTextFormat(Qt.TextFormat.PlainText)  # a layer's name may come from a file
    label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
    label.setStyleSheet(_CAPTION_STYLE)
    metrics = label.fontMetrics()
    label.setText(metrics.elidedText(text, Qt.TextElideMode.ElideMiddle, _CAPTION_WIDTH))
    label.adjustSize()
    return label
