"""Any layer of pixels as a view that an operation can be applied to: ours as it is, others wrapped.

A layer that somebody else made holds arrays that may change: `changed` tells of it, and the next
view of that layer is a new one.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_omezarr_cloud.napari.display import view_of
from napari_omezarr_cloud.napari.visible import axis_names, level_count, level_of
from napari_omezarr_cloud.ngff import Axis
from napari_omezarr_cloud.pyramid import PyramidView, Transform
from napari_omezarr_cloud.pyramid.in_memory import array_pyramid

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Sources", "sources", "wrapped"]

_QUIET_MS = 200
"""A brush paints many times a second: what follows it waits for a pause."""

_CHANGES = ("data", "paint", "labels_update", "scale", "translate")


class Sources(QObject):
    """Views of layers; those of other people's layers are kept as long as the layer is."""

    changed = Signal(object)
    """A layer of somebody else's has other pixels now."""

    def __init__(self) -> None:
        super().__init__()
        self._views: weakref.WeakKeyDictionary[Any, PyramidView] = weakref.WeakKeyDictionary()
        self._touched: weakref.WeakSet[Any] = weakref.WeakSet()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MS)
        self._timer.timeout.connect(self._tell)

    def view(self, layer: Any) -> PyramidView:
        """Return a layer as a view; of others' layers the axes and places are those of the layer.

        On the GUI thread; nothing is read.
        """
        ours = view_of(layer)
        if ours is not None:
            return ours
        if layer not in self._views:
            self._views[layer] = wrapped(layer)
            self._follow(layer)
        return self._views[layer]

    def _follow(self, layer: Any) -> None:
        reference = weakref.ref(layer)

        def touch(_: Any = None) -> None:
            live = reference()
            if live is not None and live in self._views:
                self._touched.add(live)
                self._timer.start()

        for name in _CHANGES:
            event = getattr(layer.events, name, None)
            if event is not None:
                event.connect(touch)

    def _tell(self) -> None:
        for layer in list(self._touched):
            self._touched.discard(layer)
            if layer in self._views:
                self._views[layer] = wrapped(layer)
                self.changed.emit(layer)


def wrapped(layer: Any) -> PyramidView:
    """Return a new view of somebody else's layer, of which nothing was read yet."""
    names, units = axis_names(layer), layer.units
    types = {"t": "time", "c": "channel"}
    axes = [
        Axis(name, types.get(name.lower(), "space"), str(unit))
        for name, unit in zip(names, units, strict=True)
    ]
    count = level_count(layer)
    arrays: Sequence[Any] = list(layer.data) if layer.multiscale else [layer.data]
    displayed = tuple(range(max(0, layer.ndim - 2), layer.ndim))
    transforms = []
    for number in range(count):
        to_data = level_of(layer, number, displayed).to_data
        scale = np.asarray(layer.scale) * to_data.scale[: layer.ndim]
        shift = np.asarray(layer.scale) * to_data.translation[: layer.ndim]
        shift = np.asarray(layer.translate) + shift
        transforms.append(Transform(tuple(scale.tolist()), tuple(shift.tolist())))
    if getattr(layer, "rgb", False):
        axes.append(Axis("c", "channel"))
        transforms = [
            Transform((*each.scale, 1.0), (*each.translation, 0.0)) for each in transforms
        ]
    return PyramidView.of(array_pyramid(arrays, axes, transforms, layer.name))


_sources: Sources | None = None


def sources() -> Sources:
    """Return the one place that knows the views of layers; on the GUI thread."""
    global _sources
    if _sources is None:
        _sources = Sources()
    return _sources
