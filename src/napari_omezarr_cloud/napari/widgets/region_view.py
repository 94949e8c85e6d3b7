"""A table of objects on screen: sorted by number, searched by label, of any length."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QGuiApplication, QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QShortcut, QTableView, QWidget

from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.threads import in_thread
from napari_omezarr_cloud.process.table import Table

if TYPE_CHECKING:
    import numpy.typing as npt
    from qtpy.QtGui import QResizeEvent

__all__ = ["RegionModel", "RegionView", "value_text"]

_NOWHERE = QModelIndex()
_HORIZONTAL, _VERTICAL = Qt.Orientation.Horizontal, Qt.Orientation.Vertical
_MEASURED_ROWS = 30
"""Rows whose texts decide how wide a column is."""


def value_text(value: Any) -> str:
    """Return a value with four digits; whole numbers in full, nothing for what is no number."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return str(value)
    number = float(value)
    if number != number:
        return ""
    return f"{number:.0f}" if 1e4 <= abs(number) < 1e15 else f"{number:.4g}"


class RegionModel(QAbstractTableModel):
    """Rows of a table in the order of one of its columns; texts are made when they are shown."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = Table(())
        self._order = np.zeros(0, np.intp)
        self._rank = np.zeros(0, np.intp)
        self._sorted_by = (0, Qt.SortOrder.AscendingOrder)

    def show_table(self, table: Table) -> None:
        """Show another table, in the order of the same column where it has one."""
        self.beginResetModel()
        self.table = table
        column, order = self._sorted_by
        self._arrange(min(column, max(len(table.columns) - 1, 0)), order)
        self.endResetModel()

    def row_in_table(self, row: int) -> int:
        """Return the row of the table that is shown in a row."""
        return int(self._order[row])

    def rows_in_table(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Return the rows of the table that are shown in some rows."""
        return self._order[rows]

    def row_of(self, label: int) -> int | None:
        """Return where an object is shown; None where it is not in the table."""
        numbers = self.table["label"] if self.table.columns else np.zeros(0, np.intp)
        if not len(numbers) or not int(numbers[0]) <= label <= int(numbers[-1]):
            return None
        at = int(np.searchsorted(numbers, numbers.dtype.type(label)))
        return int(self._rank[at]) if int(numbers[at]) == label else None

    def rowCount(self, parent: QModelIndex = _NOWHERE) -> int:
        """Return the number of objects."""
        return 0 if parent.isValid() else len(self.table)

    def columnCount(self, parent: QModelIndex = _NOWHERE) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self.table.columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text of a field, and its value in full as a tip."""
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return None
        column = self.table.columns[index.column()]
        value = column.values[self._order[index.row()]]
        if role == Qt.ItemDataRole.DisplayRole:
            return value_text(value)
        return _plain(f"{column.title}: {value}")

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        """Return the title of a column, and what it is as a tip."""
        if orientation != _HORIZONTAL or section >= len(self.table.columns):
            return None
        column = self.table.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            # The unit below the name: half as wide.
            return f"{column.name}\n({column.unit})" if column.unit else column.name
        if role == Qt.ItemDataRole.ToolTipRole:
            return _plain(f"{column.title}\n{column.help}")
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by value; what is no number comes last either way. What is selected stays so."""
        if not 0 <= column < len(self.table.columns):
            return
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        rows = [self.row_in_table(index.row()) for index in before]
        self._arrange(column, order)
        after = [
            self.index(int(self._rank[row]), index.column())
            for row, index in zip(rows, before, strict=True)
        ]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def _arrange(self, column: int, order: Qt.SortOrder) -> None:
        self._sorted_by = (column, order)
        if self.table.columns:
            is_descending = order == Qt.SortOrder.DescendingOrder
            self._order = _sorted(self.table.columns[column].values, is_descending)
        else:
            self._order = np.zeros(0, np.intp)
        self._rank = np.empty_like(self._order)
        self._rank[self._order] = np.arange(len(self._order))


class RegionView(QTableView):
    """Shows a `RegionModel`; a row that is chosen is told, and rows can be copied."""

    row_chosen = Signal(int)
    """The row of the table that the person went to."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.regions = RegionModel(self)
        self.setModel(self.regions)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setWordWrap(False)
        self.setMinimumHeight(120)
        rows, columns = QHeaderView(_VERTICAL, self), QHeaderView(_HORIZONTAL, self)
        self.setVerticalHeader(rows)
        self.setHorizontalHeader(columns)
        # Rows of one height: Qt need not ask each of a hundred thousand.
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(self.fontMetrics().height() + 6)
        rows.hide()
        columns.setSectionsClickable(True)
        columns.setHighlightSections(False)
        columns.setSortIndicator(0, Qt.SortOrder.AscendingOrder)
        columns.setResizeContentsPrecision(_MEASURED_ROWS)
        self.setSortingEnabled(True)
        self._selection = QItemSelectionModel(self.regions, self)
        self.setSelectionModel(self._selection)
        self._selection.currentRowChanged.connect(self._on_current)
        self.clicked.connect(self._on_current)  # also the one that is chosen already
        copy = QShortcut(QKeySequence(QKeySequence.StandardKey.Copy), self)
        copy.setContext(Qt.ShortcutContext.WidgetShortcut)
        copy.activated.connect(self.copy)
        self._is_telling = True
        self._copying: Job[str] | None = None

    @property
    def table(self) -> Table:
        """What is shown."""
        return self.regions.table

    def show_table(self, table: Table) -> None:
        """Show another table; nothing of it is chosen."""
        self._is_telling = False
        self.regions.show_table(table)
        self._is_telling = True
        self.resizeColumnsToContents()

    def select(self, label: int) -> bool:
        """Select the row of an object and scroll to it, without telling; False without one."""
        row = self.regions.row_of(label)
        if row is None:
            return False
        self._is_telling = False
        self.selectRow(row)
        self._is_telling = True
        at = self.regions.index(row, max(self.columnAt(0), 0))
        self.scrollTo(at, QAbstractItemView.ScrollHint.PositionAtCenter)
        return True

    def selected_rows(self) -> npt.NDArray[np.intp]:
        """Return the selected rows of the table, in the order in which they are shown."""
        # By ranges: one index per row takes seconds for a hundred thousand.
        chosen = self._selection.selection()
        ends = [(chosen[i].top(), chosen[i].bottom()) for i in range(len(chosen))]
        ranges = [np.arange(first, last + 1) for first, last in ends]
        rows = np.unique(np.concatenate(ranges)) if ranges else np.zeros(0, np.intp)
        return self.regions.rows_in_table(rows)

    def copy(self) -> None:
        """Put the selected rows, or all, on the clipboard, for a spreadsheet."""
        rows = self.selected_rows()
        if not len(rows):
            rows = self.regions.rows_in_table(np.arange(len(self.table)))
        if self.table.columns:
            text = in_thread(partial(self.table.to_text, rows))  # seconds for a hundred thousand
            self._copying = Job(text, _to_clipboard, _raise)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Keep the chosen row in sight: a sentence above the table may have pushed it out."""
        super().resizeEvent(event)
        if self.currentIndex().isValid() and self._selection.hasSelection():
            self.scrollTo(self.regions.index(self.currentIndex().row(), max(self.columnAt(0), 0)))

    def _on_current(self, index: QModelIndex, _: Any = None) -> None:
        if self._is_telling and index.isValid():
            self.row_chosen.emit(self.regions.row_in_table(index.row()))


def _to_clipboard(text: str) -> None:
    clipboard = QGuiApplication.clipboard()
    if clipboard is not None:
        clipboard.setText(text)


def _raise(error: BaseException) -> None:
    raise error


def _sorted(values: npt.NDArray[Any], is_descending: bool) -> npt.NDArray[np.intp]:
    order = np.argsort(values, kind="stable")
    if not is_descending:
        return order  # numpy puts NaN last
    order = order[::-1]
    missing = int(np.isnan(values).sum()) if values.dtype.kind == "f" else 0
    return np.concatenate([order[missing:], order[:missing]])


def _plain(text: str) -> str:
    """Return a tip that is shown as it is: names come from files of others."""
    return f"<p style='white-space:pre-wrap'>{escape(text)}</p>"
