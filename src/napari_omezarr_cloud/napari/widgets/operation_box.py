"""Choosing an operation: a box that opens a list with a search field above it.

Described operations come first, under the headings of their groups; below them every other function
of scikit-image. Those are looked up when the list is opened for the first time, beside the window.
"""

from __future__ import annotations

from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QPoint, QSize, Qt, Signal
from qtpy.QtGui import QKeyEvent, QStandardItem, QStandardItemModel
from qtpy.QtWidgets import QComboBox, QLineEdit, QListView, QVBoxLayout, QWidget

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.threads import in_thread
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.process import get_operation
from napari_omezarr_cloud.process.search import (
    Entry,
    best_of,
    described_entries,
    matching,
    other_entries,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtCore import QModelIndex, QObject
    from qtpy.QtGui import QWheelEvent

    from napari_omezarr_cloud.process import Operation

__all__ = ["OperationBox", "OperationList"]

_ENTRY = Qt.ItemDataRole.UserRole
_SIZE = QSize(420, 460)
_PAGE = 10
_HELP_LINES = 3

_STEPS: dict[int, int] = {
    Qt.Key.Key_Down: 1,
    Qt.Key.Key_Up: -1,
    Qt.Key.Key_PageDown: _PAGE,
    Qt.Key.Key_PageUp: -_PAGE,
}
"""Keys → how many entries they go on."""


class OperationBox(QComboBox):
    """Every operation that makes a layer; ``operation`` is the chosen one.

    ``currentIndexChanged`` tells that another one is chosen.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(self.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        self._popup: OperationList | None = None
        self._name = ""
        self._take(described_entries()[0].name)

    @property
    def operation(self) -> Operation:
        """The chosen operation, as it is defined now."""
        try:
            return get_operation(self._name)
        except OperationError:  # one of the user's own, which has another name now
            return get_operation(described_entries()[0].name)

    @property
    def popup(self) -> OperationList:
        """What opens; made when first asked for."""
        if self._popup is None:
            self._popup = OperationList(self)
            self._popup.chosen.connect(self._take)
        return self._popup

    def choose(self, name: str) -> None:
        """Choose an operation by its name.

        Raises
        ------
        OperationError
            If there is none of this name.
        """
        self._take(get_operation(name).name)

    def showPopup(self) -> None:
        """Open the list, at the chosen operation."""
        self.popup.open_at(self, self._name)

    def hidePopup(self) -> None:
        """Close the list."""
        if self._popup is not None:
            self._popup.hide()
        super().hidePopup()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Open the list with the arrow keys, and by typing what is searched for."""
        text = event.text().strip() if event is not None else ""
        if event is not None and event.key() in _STEPS:
            self.showPopup()
        elif text and text.isprintable():
            self.showPopup()
            self.popup.search.setText(text)
        else:
            super().keyPressEvent(event)

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Leave the wheel to the dock: nobody means to change the operation by scrolling past."""
        if event is not None:
            event.ignore()

    def _take(self, name: str) -> None:
        if name == self._name:
            return
        op = get_operation(name)
        self._name = name
        self.blockSignals(True)
        self.clear()
        self.blockSignals(False)
        self.setToolTip(f"<qt>{escape(op.help)}</qt>")
        self.addItem(op.title)  # Qt takes it as chosen, and tells


class OperationList(QWidget):
    """The list that opens: a search field, what matches, and what the marked one does."""

    chosen = Signal(str)
    """Name of the operation that was picked."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        # A click on the box closes the list; it must not open it again.
        self.setAttribute(Qt.WidgetAttribute.WA_NoMouseReplay)
        # Without it a window of its own is painted in the system's colours, not in the theme's.
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._others: Sequence[Entry] | None = None
        self._problem = ""
        self._looking: Job[tuple[Entry, ...]] | None = None
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search: blur, otsu, watershed …")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._fill)
        self.search.installEventFilter(self)
        self.view = QListView()
        self.view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.view.setEditTriggers(QListView.EditTrigger.NoEditTriggers)
        self.view.setUniformItemSizes(True)
        self.view.setMouseTracking(True)
        self.view.setSpacing(1)
        self.view.entered.connect(self._on_entered)
        self.view.clicked.connect(self._pick)
        self._model = QStandardItemModel(self)
        self.view.setModel(self._model)
        self.help = PlainLabel()
        self.help.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        # Always as high, so that the list stays where it is while the mouse moves over it.
        self.help.setFixedHeight(self.help.fontMetrics().lineSpacing() * _HELP_LINES + 4)
        selection = self.view.selectionModel()
        if selection is not None:
            selection.currentChanged.connect(self._show_help)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self.search)
        layout.addWidget(self.view)
        layout.addWidget(self.help)

    @property
    def marked(self) -> Entry | None:
        """The entry that Enter would choose."""
        return _entry_at(self.view.currentIndex())

    @property
    def entries(self) -> list[Entry]:
        """What is listed, from top to bottom."""
        items = (self._model.item(row) for row in range(self._model.rowCount()))
        return [entry for item in items if item and (entry := item.data(_ENTRY)) is not None]

    @property
    def headings(self) -> list[str]:
        """The rows between them, which cannot be chosen."""
        items = [self._model.item(row) for row in range(self._model.rowCount())]
        return [item.text() for item in items if item and item.data(_ENTRY) is None]

    @property
    def is_complete(self) -> bool:
        """Whether the functions of scikit-image have been looked up."""
        return self._others is not None

    def open_at(self, box: QWidget, name: str) -> None:
        """Open below a box (above where there is more room), with an operation marked."""
        self._look_up()
        self.search.clear()
        self._fill()
        self._mark(name)
        self.resize(max(box.width(), _SIZE.width()), _SIZE.height())
        screen = box.screen()
        corner = box.mapToGlobal(QPoint(0, box.height()))
        if screen is not None:
            room = screen.availableGeometry()
            if corner.y() + self.height() > room.bottom():
                above = corner.y() - box.height() - self.height()
                corner.setY(max(room.top(), above))
            corner.setX(max(room.left(), min(corner.x(), room.right() - self.width())))
        self.move(corner)
        self.show()
        self.search.setFocus(Qt.FocusReason.PopupFocusReason)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Let the keys of a list work while the search field is typed into."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            key = event.key()
            if key in _STEPS:
                self._step(_STEPS[key])
                return True
            if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._pick(self.view.currentIndex())
                return True
            if key == Qt.Key.Key_Escape:
                self.hide()
                return True
        return super().eventFilter(watched, event)

    # ---- what is listed -----------------------------------------------------------------------

    def _look_up(self) -> None:
        if self._others is None and self._looking is None:
            self._problem = ""
            self._looking = Job(in_thread(other_entries), self._on_others, self._on_error)

    def _on_others(self, entries: tuple[Entry, ...]) -> None:
        self._looking, self._others = None, entries
        self._refill()

    def _on_error(self, error: BaseException) -> None:
        self._looking, self._problem = None, str(error) or type(error).__name__
        self._refill()

    def _refill(self) -> None:
        """List again what has come meanwhile; the marked entry and the place stay."""
        marked, bar = self.marked, self.view.verticalScrollBar()
        place = bar.value() if bar is not None else 0
        self._fill()
        if marked is not None:
            self._mark(marked.name)
        if bar is not None:
            bar.setValue(place)

    def _fill(self) -> None:
        text = self.search.text()
        found = matching((*described_entries(), *(self._others or ())), text)
        self._model.clear()
        for group, members in groupby(found, key=lambda entry: entry.group):
            self._model.appendRow(_heading(group))
            for entry in members:
                self._model.appendRow(_item(entry))
        if self._looking is not None:
            self._model.appendRow(_heading("Looking up the functions of scikit-image …"))
        elif self._problem:
            self._model.appendRow(_heading("The functions of scikit-image could not be listed"))
            self._model.appendRow(_heading(self._problem))
        elif not found:
            self._model.appendRow(_heading("Nothing is found by these words"))
        best = best_of(found, text) if text.strip() else None
        if best is not None:
            self._mark(best.name)
        elif found:
            self._mark(found[0].name)
        else:
            self.help.setText("")

    def _mark(self, name: str) -> None:
        for row in range(self._model.rowCount()):
            item = self._model.item(row)
            entry = item.data(_ENTRY) if item is not None else None
            if item is not None and entry is not None and entry.name == name:
                self.view.setCurrentIndex(item.index())
                self.view.scrollTo(item.index(), QListView.ScrollHint.PositionAtCenter)

    def _step(self, step: int) -> None:
        """Mark another entry; headings are passed over, the ends are ends."""
        rows = [row for row in range(self._model.rowCount()) if self._is_entry(row)]
        if not rows:
            return
        current = self.view.currentIndex().row()
        at = rows.index(current) if current in rows else -1
        row = rows[max(0, min(at + step, len(rows) - 1))]
        self.view.setCurrentIndex(self._model.index(row, 0))
        if row == rows[0]:
            self.view.scrollToTop()  # with its heading

    def _is_entry(self, row: int) -> bool:
        return _entry_at(self._model.index(row, 0)) is not None

    def _on_entered(self, index: QModelIndex) -> None:
        if _entry_at(index) is not None:
            self.view.setCurrentIndex(index)

    def _show_help(self, current: QModelIndex, _: QModelIndex) -> None:
        entry = _entry_at(current)
        self.help.setText(entry.help if entry is not None else "")

    def _pick(self, index: QModelIndex) -> None:
        entry = _entry_at(index)
        if entry is not None:
            self.hide()
            self.chosen.emit(entry.name)


def _entry_at(index: QModelIndex) -> Entry | None:
    entry: Any = index.data(_ENTRY) if index.isValid() else None
    return entry if isinstance(entry, Entry) else None


def _heading(group: str) -> QStandardItem:
    heading = QStandardItem(group)
    heading.setFlags(Qt.ItemFlag.ItemIsEnabled)  # to be read, not to be chosen
    font = heading.font()
    font.setBold(True)
    heading.setFont(font)
    return heading


def _item(entry: Entry) -> QStandardItem:
    item = QStandardItem(f"   {entry.title}")
    item.setData(entry, _ENTRY)
    item.setEditable(False)
    # As markup a tooltip is wrapped.
    item.setToolTip(f"<qt>{escape(entry.help)}</qt>")
    return item
