"""Which live layer is being changed, and what can be done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_omezarr_cloud.napari.widgets.choices import DimsBox, has_depth
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel

if TYPE_CHECKING:
    from napari_omezarr_cloud.napari.live import Live

__all__ = ["LiveBar"]


class LiveBar(QWidget):
    """A heading and three buttons; it only asks, others do."""

    next_requested = Signal()
    """Another operation on this layer, or on any."""
    toggle_requested = Signal()
    wipe_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = PlainLabel()
        font = self.title.font()
        font.setBold(True)
        self.title.setFont(font)
        self.made_from = PlainLabel()
        self.next_button = QPushButton("Next operation")
        self.next_button.setToolTip("Choose an operation to run on this live layer, or on another")
        self.toggle_button = QPushButton("Source / result")
        self.toggle_button.setToolTip("Show the source instead of the result, and back")
        self.wipe_button = QPushButton("Wipe")
        self.wipe_button.setCheckable(True)
        self.wipe_button.setToolTip("Source left, result right of a line that can be dragged")
        self.next_button.clicked.connect(self.next_requested)
        self.toggle_button.clicked.connect(self.toggle_requested)
        self.wipe_button.clicked.connect(self.wipe_requested)
        self.dims_box = DimsBox()
        buttons = QHBoxLayout()
        for button in (self.next_button, self.toggle_button, self.wipe_button):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.title)
        layout.addWidget(self.made_from)
        layout.addLayout(buttons)
        layout.addWidget(self.dims_box)

    def show_live(self, live: Live) -> None:
        """Say which layer it is."""
        self.title.setText(f"{live.operation.title} (live)")
        names = [getattr(layer, "name", "a layer that was removed") for layer in live.inputs]
        self.made_from.setText("on " + " and ".join(names))
        first = live.layers[0]()
        self.dims_box.setVisible(has_depth(live.operation, first))
        self.dims_box.show_dims(live.asked.dims)
