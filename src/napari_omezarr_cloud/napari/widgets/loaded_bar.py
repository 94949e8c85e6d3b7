"""A thin bar along a slider: on which of its positions the picture is in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QEvent, QObject, QRectF, Qt
from qtpy.QtGui import QPainter
from qtpy.QtWidgets import QScrollBar, QStyle, QStyleOptionSlider, QWidget

from napari_omezarr_cloud.napari.frames import runs

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent

__all__ = ["LoadedBar", "mark_loaded"]

_HEIGHT_PX = 3


def mark_loaded(slider: QScrollBar, flags: npt.NDArray[np.bool_] | None) -> None:
    """Mark positions of a slider as loaded; None takes the marks away.

    Parameters
    ----------
    slider
        Horizontal, from 0 on.
    flags
        One for each of its positions.
    """
    bar = slider.findChild(LoadedBar)
    if bar is None and flags is not None:
        bar = LoadedBar(slider)
    if bar is not None:
        bar.show_flags(flags)


class LoadedBar(QWidget):
    """Lies along the lower edge of a slider, and lets the mouse through."""

    def __init__(self, slider: QScrollBar) -> None:
        super().__init__(slider)
        self._slider = slider
        self._runs: list[tuple[int, int]] = []
        self._count = 0
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        slider.installEventFilter(self)
        self._fit()

    @property
    def runs(self) -> list[tuple[int, int]]:
        """What is painted, as half-open ranges of positions."""
        return list(self._runs)

    def show_flags(self, flags: npt.NDArray[np.bool_] | None) -> None:
        """Paint the positions whose flag is set; None paints nothing and says nothing."""
        found = [] if flags is None else runs(flags)
        self.setVisible(flags is not None)
        text = ""
        if flags is not None:
            text = f"Loaded: {np.count_nonzero(flags):,} of {len(flags):,} frames in this view"
        self._slider.setToolTip(text)
        count = 0 if flags is None else len(flags)
        if (found, count) != (self._runs, self._count):
            self._runs, self._count = found, count
            self.update()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the slider's size."""
        if event is not None and event.type() == QEvent.Type.Resize:
            self._fit()
        return super().eventFilter(watched, event)

    def _fit(self) -> None:
        self.setGeometry(0, self._slider.height() - _HEIGHT_PX, self._slider.width(), _HEIGHT_PX)

    def edges(self) -> npt.NDArray[np.float64]:
        """Return where each position begins and the last one ends, in pixels from the left.

        The handle stands on the middle of its position; the outermost reach to the ends.
        """
        option = QStyleOptionSlider()
        slider: Any = self._slider
        slider.initStyleOption(option)
        control = QStyle.ComplexControl.CC_ScrollBar
        parts = (QStyle.SubControl.SC_ScrollBarGroove, QStyle.SubControl.SC_ScrollBarSlider)
        groove, handle = (
            slider.style().subControlRect(control, option, part, slider) for part in parts
        )
        step = (groove.width() - handle.width()) / max(self._count - 1, 1)
        inner = groove.x() + handle.width() / 2 + step * (np.arange(1, self._count) - 0.5)
        return np.array([groove.x(), *inner, groove.x() + groove.width()], float)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Paint the marks in the colour of the theme's text."""
        if not self._runs:
            return
        edges = self.edges()
        painter = QPainter(self)
        ink = self.palette().windowText().color()
        for first, stop in self._runs:
            left = edges[first]
            painter.fillRect(QRectF(left, 0, max(edges[stop] - left, 1), _HEIGHT_PX), ink)
        painter.end()
