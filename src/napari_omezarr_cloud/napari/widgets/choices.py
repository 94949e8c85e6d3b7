"""What runs on what: layer, operation, further inputs, planes or volumes."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QWidget

from napari_omezarr_cloud.napari.inputs import foldable_axes, suggested_input
from napari_omezarr_cloud.napari.widgets.layer_box import LayerBox
from napari_omezarr_cloud.napari.widgets.operation_box import OperationBox

if TYPE_CHECKING:
    from napari_omezarr_cloud.process import Operation
    from napari_omezarr_cloud.process.recipe import StepDims

__all__ = ["Choices", "DimsBox"]

_FURTHER = 3
"""Inputs beyond the first that there is room for."""


class DimsBox(QComboBox):
    """Planes alone, or volumes; follows the view until the person chooses."""

    chosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.addItem("each plane (2D)", "plane")
        self.addItem("volume (3D)", "volume")
        self.setToolTip("Whether it looks at each plane alone, or along z as well")
        self._is_pinned = False
        self.activated.connect(self._on_activated)

    @property
    def dims(self) -> StepDims:
        """What is chosen."""
        return "volume" if self.currentData() == "volume" else "plane"

    def show_dims(self, dims: StepDims) -> None:
        """Show one, without telling."""
        self.setCurrentIndex(self.findData(dims))

    def suggest(self, dims: StepDims) -> None:
        """Take what is on screen, unless the person has chosen."""
        if not self._is_pinned:
            self.show_dims(dims)

    def _on_activated(self, _: int) -> None:
        self._is_pinned = True
        self.chosen.emit()


class Choices(QWidget):
    """Rows of boxes; `changed` when one of them is another.

    Parameters
    ----------
    viewer
        Whose layers; it is not kept alive.
    """

    changed = Signal()
    """Another layer or operation is chosen."""
    input_changed = Signal()
    """Another further input, or planes instead of volumes."""

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = weakref.ref(viewer)
        self.source_box = LayerBox(viewer, follows=True)
        self.operation_box = OperationBox()
        self.other_boxes = [LayerBox(viewer, follows=False) for _ in range(_FURTHER)]
        self.dims_box = DimsBox()
        self._other_labels = [QLabel() for _ in self.other_boxes]
        self._dims_label = QLabel("Treat")
        rows = QFormLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addRow("Layer", self.source_box)
        rows.addRow("Operation", self.operation_box)
        for label, box in zip(self._other_labels, self.other_boxes, strict=True):
            rows.addRow(label, box)
            box.layer_changed.connect(self.input_changed)
        rows.addRow(self._dims_label, self.dims_box)
        self.source_box.layer_changed.connect(self._on_choice)
        self.operation_box.currentIndexChanged.connect(self._on_choice)
        self.dims_box.chosen.connect(self.input_changed)

    @property
    def layer(self) -> Any | None:
        """The chosen layer."""
        return self.source_box.layer

    @property
    def operation(self) -> Operation:
        """The chosen operation."""
        return self.operation_box.operation

    @property
    def layers(self) -> list[Any]:
        """The chosen layers, one per input; fewer where one is not chosen."""
        count = len(self.operation.inputs)
        boxes = [self.source_box, *self.other_boxes[: count - 1]]
        return [box.layer for box in boxes if box.layer is not None]

    @property
    def dims(self) -> StepDims | None:
        """Planes or volumes; None where there is no choice."""
        return self.dims_box.dims if has_depth(self.operation, self.layer) else None

    def refresh(self) -> None:
        """Take over the viewer's layers."""
        for box in (self.source_box, *self.other_boxes):
            box.refresh()

    def watch(self) -> None:
        """Keep up with the viewer from now on."""
        for box in (self.source_box, *self.other_boxes):
            box.watch()

    def unwatch(self) -> None:
        """Leave the viewer alone."""
        for box in (self.source_box, *self.other_boxes):
            box.unwatch()

    def suggest(self) -> None:
        """Choose what the person has not: further inputs that suit, what is on screen."""
        viewer, layer, op = self._viewer(), self.layer, self.operation
        if viewer is None or layer is None:
            return
        taken: list[Any] = []
        for wanted, box in zip(op.inputs[1:], self.other_boxes, strict=False):
            # Each time: the layer that was suggested may be gone, or a better one have come.
            box.suggest(suggested_input(op, wanted, viewer.layers, layer, taken))
            taken.append(box.layer)
        self.dims_box.suggest("volume" if viewer.dims.ndisplay == 3 else "plane")

    def fit(self) -> None:
        """Show the rows that the operation needs."""
        op = self.operation
        for number, (label, box) in enumerate(
            zip(self._other_labels, self.other_boxes, strict=True), start=1
        ):
            is_needed = number < len(op.inputs)
            label.setText(op.inputs[number].name.capitalize() if is_needed else "")
            label.setVisible(is_needed)
            box.setVisible(is_needed)
        is_asked = has_depth(op, self.layer)
        self._dims_label.setVisible(is_asked)
        self.dims_box.setVisible(is_asked)

    def _on_choice(self) -> None:
        self.fit()
        self.changed.emit()


def has_depth(op: Operation, layer: Any | None) -> bool:
    """Tell whether it makes a difference to treat planes or volumes."""
    if layer is None or op.dims == "plane" or op.kind == "projection":
        return False
    return "z" in foldable_axes(layer)
