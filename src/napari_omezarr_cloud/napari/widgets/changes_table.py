"""What would change, as a table: what, as it is in the image, as it is on screen."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_omezarr_cloud.napari.notices import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.rendering import OmeroChange

__all__ = ["ChangesTable"]


class ChangesTable(QTableWidget):
    """Shows changes of rendering settings as plain text; colours with a spot of them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 3, parent)
        self.setHorizontalHeaderLabels(["", "In the image", "On screen"])
        self.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QTableWidget.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWordWrap(True)
        for header in (self.verticalHeader(), self.horizontalHeader()):
            if header is not None:
                header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        across, down = self.horizontalHeader(), self.verticalHeader()
        if across is not None and down is not None:
            across.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
            down.hide()

    @property
    def texts(self) -> list[tuple[str, ...]]:
        """What each row says."""
        return [
            tuple(self._text(row, column) for column in range(3)) for row in range(self.rowCount())
        ]

    def _text(self, row: int, column: int) -> str:
        item = self.item(row, column)
        return "" if item is None else item.text()

    def show_changes(self, changes: Sequence[OmeroChange]) -> None:
        """Show these and no others."""
        self.setRowCount(len(changes))
        for row, each in enumerate(changes):
            cells = (f"{each.subject}\n{each.what}", each.before or "–", each.after or "–")
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                item.setToolTip(plain(text))
                if each.what == "colour" and re.fullmatch("#?[0-9A-Fa-f]{6}", text):
                    item.setData(Qt.ItemDataRole.DecorationRole, QColor(f"#{text[-6:]}"))
                self.setItem(row, column, item)
