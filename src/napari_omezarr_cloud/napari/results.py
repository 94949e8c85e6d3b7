"""Adding results to a viewer: a new layer each time, or the last one changed."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.napari.compare import remember

if TYPE_CHECKING:
    from napari_omezarr_cloud.napari.layer_data import LayerData

__all__ = ["ResultLayers"]

_PLACED = ("scale", "translate", "rotate", "shear", "affine")


class ResultLayers:
    """The results of one dock; knows the last one, and keeps no layer alive."""

    def __init__(self) -> None:
        self._last: weakref.ref[Any] | None = None
        self._made_by: tuple[weakref.ref[Any], str] | None = None

    def show(
        self, viewer: Any, data: LayerData, source: Any, operation: str, *, replace: bool
    ) -> Any:
        """Return the layer that now shows a result; on the GUI thread.

        Parameters
        ----------
        viewer
            Where it is added, on top.
        data
            Of one layer.
        source, operation
            What it was made from and by. Only a result of the same two is ever replaced.
        replace
            Change the last result instead of adding a layer. What the person set on it (colours,
            contrast, opacity) stays.
        """
        from napari.layers import Layer

        layer = self._replaceable(viewer, data, source, operation) if replace else None
        if layer is None:
            layer = viewer.add_layer(Layer.create(*data))
        else:
            _change(layer, data)
        remember(layer, source)
        self._last = weakref.ref(layer)
        self._made_by = (weakref.ref(source), operation)
        return layer

    def _replaceable(self, viewer: Any, data: LayerData, source: Any, operation: str) -> Any | None:
        layer = self._last() if self._last else None
        if layer is None or self._made_by is None or layer not in viewer.layers:
            return None
        made_from, made_by = self._made_by
        is_same = made_from() is source and made_by == operation
        pixels, attributes, kind = data
        is_alike = type(layer).__name__.lower() == kind and layer.data.ndim == pixels.ndim
        is_alike = is_alike and getattr(layer, "rgb", False) == attributes.get("rgb", False)
        return layer if is_same and is_alike else None


def _change(layer: Any, data: LayerData) -> None:
    """Put other pixels at another place into a layer."""
    pixels, attributes, _ = data
    layer.data = pixels
    for name in _PLACED:
        setattr(layer, name, attributes[name])
    layer.metadata = attributes["metadata"]
    layer.name = attributes["name"]
