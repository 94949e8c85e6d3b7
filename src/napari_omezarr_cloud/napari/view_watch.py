"""Telling when something else is on screen: camera, sliders, window, layer."""

from __future__ import annotations

import weakref
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

__all__ = ["ViewWatch"]

_RHYTHM_MS = 100

_LAYER_EVENTS = (
    "set_data",  # another level, another slice, other pixels
    "data",
    "highlight",  # of shapes: another one is selected
    "name",
    "scale",
    "translate",
    "rotate",
    "shear",
    "affine",
    "units",
    "axis_labels",
)


class ViewWatch(QObject):
    """Watches a viewer and one of its layers between `start` and `stop`.

    Parameters
    ----------
    viewer
        Not kept alive.
    parent
        Owns this object.
    """

    changed = Signal()
    """Something may have changed since it was told last."""

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = weakref.ref(viewer)
        self._layer: weakref.ref[Any] | None = None
        self._is_on = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_RHYTHM_MS)
        self._timer.timeout.connect(self.changed)

    def start(self) -> None:
        """Begin to watch."""
        if not self._is_on:
            self._is_on = True
            self._connect(self._emitters())

    def stop(self) -> None:
        """Leave the viewer alone, and tell nothing any more."""
        if self._is_on:
            self._is_on = False
            self._disconnect(self._emitters())
        self._timer.stop()

    def watch_layer(self, layer: Any | None) -> None:
        """Watch this layer instead of the one before."""
        if layer is (self._layer() if self._layer else None):
            return
        if self._is_on:
            self._disconnect(self._layer_emitters())
        self._layer = None if layer is None else weakref.ref(layer)
        if self._is_on:
            self._connect(self._layer_emitters())

    def _emitters(self) -> list[Any]:
        viewer = self._viewer()
        if viewer is None:
            return []
        camera, dims, canvas = viewer.scene.camera.events, viewer.dims.events, viewer.canvas.events
        shown = [camera.zoom, camera.center, camera.angles, camera.perspective, canvas.size]
        sliders = [dims.point, dims.order, dims.ndisplay]
        return [*shown, *sliders, viewer.canvas.grid.events.enabled, *self._layer_emitters()]

    def _layer_emitters(self) -> list[Any]:
        layer = self._layer() if self._layer else None
        if layer is None:
            return []
        return [getattr(layer.events, n) for n in _LAYER_EVENTS if hasattr(layer.events, n)]

    def _connect(self, emitters: list[Any]) -> None:
        for emitter in emitters:
            emitter.connect(self._on_event)

    def _disconnect(self, emitters: list[Any]) -> None:
        for emitter in emitters:
            emitter.disconnect(self._on_event)

    def _on_event(self, event: Any = None) -> None:
        # Not restarted by each event: what moves for a second is told while it moves.
        if not self._timer.isActive():
            self._timer.start()
