"""Who computes: threads of napari, processes of this machine, or a dask cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QSpinBox

from napari_omezarr_cloud.write.hands import Hands

if TYPE_CHECKING:
    from qtpy.QtWidgets import QFormLayout, QWidget

__all__ = ["HandsRows"]

_THREADS, _WORKERS, _CLUSTER = range(3)


class HandsRows(QObject):
    """A row for who computes, and how many.

    Parameters
    ----------
    form
        Where the row goes.
    parent
        The window.
    """

    changed = Signal()
    """Others are chosen."""

    def __init__(self, form: QFormLayout, parent: QWidget) -> None:
        super().__init__(parent)
        self.who = QComboBox()
        self.who.addItems(["Threads", "Processes of this machine", "A dask cluster"])
        self.who.setToolTip(
            "Threads: napari computes by itself.\n"
            "Processes: quicker where an operation keeps threads from running side by side;\n"
            "the image must be on a disk or a server.\n"
            "A dask cluster: its workers must see image and target."
        )
        self.threads, self.workers = QSpinBox(), QSpinBox()
        self.threads.setRange(0, 256)
        self.threads.setSpecialValueText("automatic")
        self.threads.setToolTip("Blocks at once; automatic: as many as there are processors")
        self.workers.setRange(1, 256)
        self.workers.setValue(2)
        self.scheduler = QLineEdit()
        self.scheduler.setPlaceholderText("tcp://host:8786, or its .json file")
        row = QHBoxLayout()
        row.addWidget(self.who)
        for widget in (self.threads, self.workers, self.scheduler):
            row.addWidget(widget, 1)
        form.addRow("Computed by", row)
        self.who.currentIndexChanged.connect(self._on_who)
        self.threads.valueChanged.connect(self.changed)
        self.workers.valueChanged.connect(self.changed)
        self.scheduler.textChanged.connect(self.changed)
        self._on_who()

    @property
    def hands(self) -> Hands:
        """Who is chosen."""
        who = self.who.currentIndex()
        if who == _WORKERS:
            return Hands(workers=self.workers.value())
        if who == _CLUSTER:
            return Hands(scheduler=self.scheduler.text().strip())
        return Hands(threads=self.threads.value() or None)

    def _on_who(self) -> None:
        chosen = (self.threads, self.workers, self.scheduler)[self.who.currentIndex()]
        for widget in (self.threads, self.workers, self.scheduler):
            widget.setVisible(widget is chosen)
        self.changed.emit()
