"""Changing a live layer with the form: as a slider moves, and never for the wrong layer."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.live import change, live_of, live_signals
from napari_omezarr_cloud.process.computation import is_patched

if TYPE_CHECKING:
    from napari_omezarr_cloud.napari.live import Live
    from napari_omezarr_cloud.napari.widgets.operation_form import OperationForm
    from napari_omezarr_cloud.process import Value
    from napari_omezarr_cloud.process.recipe import StepDims

__all__ = ["LiveEditor"]

_RHYTHM_MS = 30
"""A slider moves at every pixel of the mouse: pictures need not."""


class LiveEditor(QObject):
    """One live layer at a time, and the form that shows its values."""

    begun = Signal()
    """Another layer is being changed, or none."""
    told = Signal(str)
    """Something went wrong: a sentence."""

    def __init__(self, form: OperationForm, parent: QObject) -> None:
        super().__init__(parent)
        self._form = form
        self._layer: weakref.ref[Any] | None = None
        self._is_showing = False
        self._shown: dict[str, Value] = {}
        self._dims: StepDims | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_RHYTHM_MS)
        self._timer.timeout.connect(self.apply)
        form.changed.connect(self._on_form)
        live_signals().changed.connect(self._on_changed)
        live_signals().failed.connect(self._on_failed)

    @property
    def layer(self) -> Any | None:
        """The layer that is being changed."""
        return None if self._layer is None else self._layer()

    @property
    def live(self) -> Live | None:
        """What is behind it."""
        layer = self.layer
        return None if layer is None else live_of(layer)

    def begin(self, layer: Any) -> None:
        """Change this layer from now on; the form shows its values."""
        if layer is self.layer:
            return
        self._flush()
        self._layer = weakref.ref(layer)
        self._dims = None
        self.begun.emit()

    def end(self) -> None:
        """Change nothing any more."""
        if self._layer is not None:
            self._flush()
            self._layer = None
            self.begun.emit()

    def show_values(self) -> None:
        """Show the layer's own values in the form, which must be that of its operation."""
        live = self.live
        if live is None:
            return
        self._is_showing = True
        self._form.set_values(live.asked.values)
        self._form.show_measured(live.applied.step.values)
        self._form.keep()
        self._shown = self._form.values
        self._is_showing = False

    def set_dims(self, dims: StepDims) -> None:
        """Have planes treated alone, or volumes."""
        if self.live is not None:
            self._dims = dims
            self._timer.start(0)

    @property
    def remark(self) -> str:
        """What a person should know of what they see of the layer."""
        layer, live = self.layer, self.live
        if layer is None or live is None:
            return ""
        measured = live.applied.measured
        labels = {p.name: p.label for p in live.operation.parameters}
        said = [
            f"{labels[name]} {value:.6g}, measured on {measured.where}. Untick auto to keep it."
            for name, value in measured.values.items()
        ]
        shown = display_of(layer)
        if shown is not None and shown.remark:
            said.append(f"At this zoom it is {shown.remark}. Zoom in.")
        if is_patched(live.applied.pyramid.levels[0]):
            said.append("Computed on what is visible, as one array: its border counts as an edge.")
        return "\n".join(said)

    def _on_form(self) -> None:
        if not self._is_showing and self.live is not None and not self._timer.isActive():
            self._timer.start()

    def _flush(self) -> None:
        """Do now what is waiting, while it is still clear for whom."""
        if self._timer.isActive():
            self._timer.stop()
            self.apply()

    def apply(self) -> None:
        """Give the layer what the form says."""
        layer, live = self.layer, self.live
        if layer is None or live is None or self._form.operation != live.operation:
            return
        # What nobody touched is not sent back: a form shows fewer digits than a value has.
        values = self._form.values
        touched = {name: v for name, v in values.items() if v != self._shown.get(name)}
        self._shown = values
        try:
            change(layer, touched, self._dims)
        except CloudError as error:
            self.told.emit(str(error))
        else:
            self.told.emit("")

    def _on_changed(self, layer: Any) -> None:
        live = self.live
        if layer is self.layer and live is not None:
            self._is_showing = True
            self._form.show_measured(live.applied.step.values)
            self._is_showing = False

    def _on_failed(self, layer: Any, sentence: str) -> None:
        if layer is self.layer:
            self.told.emit(sentence)
