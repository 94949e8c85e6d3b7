"""Choosing an operation, under the headings of scikit-image's own groups."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QStandardItem, QStandardItemModel
from qtpy.QtWidgets import QComboBox, QWidget

from napari_omezarr_cloud.process import get_operation, operations

if TYPE_CHECKING:
    from napari_omezarr_cloud.process import Operation

__all__ = ["OperationBox"]

_NAME = Qt.ItemDataRole.UserRole


class OperationBox(QComboBox):
    """Every operation that makes a layer; ``operation`` is the chosen one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        model = QStandardItemModel(self)
        shown = [op for op in operations().values() if op.output != "table"]
        for group, members in groupby(shown, key=lambda op: op.group):
            model.appendRow(_heading(group))
            for op in members:
                model.appendRow(_item(op))
        self.setModel(model)
        self.setMaxVisibleItems(20)
        self.setCurrentIndex(1)  # the first is a heading

    @property
    def operation(self) -> Operation:
        """The chosen operation."""
        return get_operation(str(self.currentData(_NAME)))

    def choose(self, name: str) -> None:
        """Choose an operation by its name.

        Raises
        ------
        OperationError
            If there is none of this name.
        """
        self.setCurrentIndex(self.findData(get_operation(name).name, _NAME))


def _heading(group: str) -> QStandardItem:
    heading = QStandardItem(group)
    heading.setFlags(Qt.ItemFlag.NoItemFlags)
    return heading


def _item(op: Operation) -> QStandardItem:
    item = QStandardItem(f"   {op.title}")
    item.setData(op.name, _NAME)
    item.setToolTip(op.help)
    return item
