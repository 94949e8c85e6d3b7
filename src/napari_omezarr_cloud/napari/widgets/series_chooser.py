"""The dialog that asks which of several images to open. It reads nothing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    from qtpy.QtGui import QShowEvent

__all__ = ["THUMBNAIL_PX", "SeriesChooser"]

THUMBNAIL_PX = 64
_FILTER_FROM = 10
_MOST_AT_ONCE = 100
_SETTLE_MS = 80


class SeriesChooser(QDialog):
    """Lists images with names, sizes and small pictures; one or more are chosen, or all."""

    seen = Signal(int)
    """The row of this number came into view for the first time, and may want a picture."""

    def __init__(self, names: Sequence[str], where: str, parent: QWidget | None = None) -> None:
        """Make the dialog.

        Parameters
        ----------
        names
            Of the images, in order.
        where
            Display form of the place they are in.
        parent
            Window it belongs to.
        """
        super().__init__(parent)
        self.setObjectName("omezarr-series")
        self.setWindowTitle("Choose images")
        self._names = list(names)
        self._seen: set[int] = set()
        self._build(where)
        # While one scrolls, rows fly by that nobody looks at.
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.setInterval(_SETTLE_MS)
        self._settled.timeout.connect(self._look)
        bar = self.list.verticalScrollBar()
        if bar is not None:
            bar.valueChanged.connect(lambda _: self._settled.start())
            bar.rangeChanged.connect(lambda *_: self._settled.start())
        self.list.setCurrentRow(0)

    @property
    def chosen(self) -> list[int]:
        """Numbers of the selected images, in their order."""
        return sorted(self.list.row(item) for item in self.list.selectedItems())

    def show_details(self, number: int, details: str) -> None:
        """Say more of an image below its name: its size, or why it cannot be opened."""
        item = self.list.item(number)
        if item is not None:
            item.setText(f"{self._names[number]}\n{details}")

    def show_picture(self, number: int, picture: npt.NDArray[np.uint8]) -> None:
        """Show a small picture of an image: height, width, 3."""
        item = self.list.item(number)
        if item is not None:
            height, width = picture.shape[:2]
            data = picture.tobytes()
            image = QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888)
            item.setIcon(QIcon(_framed(QPixmap.fromImage(image))))

    def _build(self, where: str) -> None:
        count = len(self._names)
        self.about = PlainLabel()
        self.about.setText(f"{count:,} images are at {where}. Which shall be opened?")
        self.list = QListWidget()
        self.list.setIconSize(QSize(THUMBNAIL_PX, THUMBNAIL_PX))
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.list.setUniformItemSizes(True)
        self.list.setSpacing(2)
        empty = QIcon(_framed(None))
        for name in self._names:
            item = QListWidgetItem(empty, f"{name}\n…")
            item.setToolTip(_one_line(name))
            self.list.addItem(item)
        self.list.itemSelectionChanged.connect(self._on_selection)
        self.list.itemDoubleClicked.connect(lambda _: self.accept())
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Show only names that hold …")
        self.filter.setClearButtonEnabled(True)
        self.filter.textChanged.connect(self._show_only)
        self.filter.setVisible(count >= _FILTER_FROM)
        self.hint = PlainLabel()
        self.hint.setText("Ctrl or Shift with a click selects several.")
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.open_button = QPushButton("Open")
        self.open_button.setDefault(True)
        self.all_button = QPushButton(f"Open all {count:,}")
        self.all_button.clicked.connect(self._choose_all)
        self.all_button.setEnabled(count <= _MOST_AT_ONCE)
        if count > _MOST_AT_ONCE:
            self.all_button.setToolTip(f"More than {_MOST_AT_ONCE} would take napari minutes.")
        self.buttons.addButton(self.open_button, QDialogButtonBox.ButtonRole.AcceptRole)
        self.buttons.addButton(self.all_button, QDialogButtonBox.ButtonRole.ActionRole)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        for widget in (self.about, self.filter, self.list, self.hint, self.buttons):
            layout.addWidget(widget)
        rows = min(max(count, 3), 7)
        self.resize(480, 150 + rows * (THUMBNAIL_PX + 10))

    def showEvent(self, event: QShowEvent | None) -> None:
        """Ask for the pictures of the first rows."""
        super().showEvent(event)
        self._settled.start()

    def _look(self) -> None:
        viewport = self.list.viewport()
        if viewport is None:
            return
        area = viewport.rect()
        for number in range(self.list.count()):
            item = self.list.item(number)
            if number in self._seen or item is None or item.isHidden():
                continue
            place = self.list.visualItemRect(item)
            if place.top() > area.bottom():
                break
            if place.intersects(area):
                self._seen.add(number)
                self.seen.emit(number)

    def _show_only(self, text: str) -> None:
        for number, name in enumerate(self._names):
            item = self.list.item(number)
            if item is not None:
                item.setHidden(text.lower() not in name.lower())
                if item.isHidden():
                    item.setSelected(False)
        self._settled.start()

    def _on_selection(self) -> None:
        count = len(self.list.selectedItems())
        self.open_button.setText("Open" if count < 2 else f"Open {count:,}")
        self.open_button.setEnabled(count > 0)

    def _choose_all(self, *_: Any) -> None:
        self.filter.clear()
        self.list.selectAll()
        self.accept()


def _framed(picture: QPixmap | None) -> QPixmap:
    """Return a picture in the middle of a dark square, so that names line up."""
    from qtpy.QtGui import QPainter

    square = QPixmap(THUMBNAIL_PX, THUMBNAIL_PX)
    square.fill(QColor(0, 0, 0, 96))
    if picture is not None:
        fitted = picture.scaled(
            THUMBNAIL_PX,
            THUMBNAIL_PX,
            Qt.AspectRatioMode.KeepAspectRatio,
            Qt.TransformationMode.SmoothTransformation,
        )
        painter = QPainter(square)
        painter.drawPixmap(
            (THUMBNAIL_PX - fitted.width()) // 2, (THUMBNAIL_PX - fitted.height()) // 2, fitted
        )
        painter.end()
    return square


def _one_line(text: str) -> str:
    """Return a text that a tooltip does not take for markup."""
    return text.replace("<", "<\u200b").replace("&", "&\u200b")
