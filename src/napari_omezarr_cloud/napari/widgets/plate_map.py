"""A plate as a grid of wells: click to choose one, click twice to go there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

if TYPE_CHECKING:
    from napari_omezarr_cloud.ngff.plate import PlateWell
    from napari_omezarr_cloud.pyramid.plate_opened import OpenedPlate

__all__ = ["PlateMap"]

_CELL_PX = (18, 18)
_ROWS_SHOWN = 8


class _Wells(QAbstractTableModel):
    """Rows and columns of a plate, with a dot where a well is listed."""

    def __init__(self, plate: OpenedPlate) -> None:
        super().__init__()
        self._rows = plate.rows or tuple(map(str, range(1 + max(w.row for w in plate.wells))))
        count = 1 + max(well.column for well in plate.wells)
        self._columns = plate.columns or tuple(map(str, range(count)))
        self._wells = {(well.row, well.column): well for well in plate.wells}
        self._what = "field" if plate.is_well else "well"

    def well(self, index: QModelIndex) -> PlateWell | None:
        return self._wells.get((index.row(), index.column()))

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return len(self._rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return len(self._columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        well = self.well(index)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignCenter
        if role == Qt.ItemDataRole.DisplayRole:
            return "" if well is None else "●"
        if role == Qt.ItemDataRole.AccessibleTextRole and well is not None:
            return f"{self._what} {well.name}"
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        is_row = orientation == Qt.Orientation.Vertical
        return (self._rows if is_row else self._columns)[section]

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        if self.well(index) is None:
            return Qt.ItemFlag.NoItemFlags
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable


class PlateMap(QTableView):
    """Shows which wells a plate lists."""

    chosen = Signal(object)
    """A well was clicked: the `PlateWell`."""
    requested = Signal(object)
    """A well was clicked twice, or Enter was pressed on it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        for header, size in ((self.verticalHeader(), 0), (self.horizontalHeader(), 1)):
            if header is not None:
                header.setMinimumSectionSize(_CELL_PX[size])
                header.setDefaultSectionSize(_CELL_PX[size])
                header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
                header.setSectionsClickable(False)
                # The theme's room beside the names would cost a third of the columns.
                header.setStyleSheet("QHeaderView::section { padding: 0px; font-size: 9px; }")
        self.setToolTip("Click to choose a well, click twice to go there.")
        self._wells: _Wells | None = None
        self.clicked.connect(lambda index: self._tell(index, self.chosen))
        self.activated.connect(lambda index: self._tell(index, self.requested))
        self.doubleClicked.connect(lambda index: self._tell(index, self.requested))

    def show_plate(self, plate: OpenedPlate) -> None:
        """Show the wells of a plate."""
        self._wells = _Wells(plate)
        self.setModel(self._wells)
        rows = min(self._wells.rowCount(), _ROWS_SHOWN)
        header = self.horizontalHeader()
        top = header.sizeHint().height() if header is not None else 24
        bar = self.horizontalScrollBar()
        below = bar.sizeHint().height() if bar is not None else 16
        self.setMinimumHeight(rows * _CELL_PX[0] + top + below + 4)

    def select(self, well: PlateWell) -> None:
        """Mark a well, and scroll to it."""
        if self._wells is not None:
            index = self._wells.index(well.row, well.column)
            self.setCurrentIndex(index)
            self.scrollTo(index)

    def _tell(self, index: QModelIndex, signal: Any) -> None:
        well = self._wells.well(index) if self._wells is not None else None
        if well is not None:
            signal.emit(well)
