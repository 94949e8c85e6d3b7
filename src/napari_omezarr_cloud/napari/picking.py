"""Clicking an object on the canvas, without getting in the way of painting, panning or zooming."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ObjectPicker", "label_at"]

_QUIET_MODES = ("pan_zoom", "pick")
_STILL_PX = 4


class ObjectPicker:
    """Tells which object of a labels layer is clicked, between `start` and `stop`.

    Only while the active layer is in a mode in which a click does nothing but look.

    Parameters
    ----------
    viewer
        Whose canvas; it is not kept alive.
    on_pick
        Called with the number of the object; not for background, nor where pixels are stand-ins.
    """

    def __init__(self, viewer: Any, on_pick: Callable[[int], None]) -> None:
        self._viewer = weakref.ref(viewer)
        self._layer: weakref.ref[Any] | None = None
        self._on_pick = on_pick
        self._callback = _forwarder(weakref.ref(self))

    def watch_layer(self, layer: Any | None) -> None:
        """Tell of the objects of this layer."""
        self._layer = None if layer is None else weakref.ref(layer)

    def start(self) -> None:
        """Begin to listen."""
        viewer = self._viewer()
        if viewer is not None and self._callback not in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.append(self._callback)

    def stop(self, *_: object) -> None:
        """Leave the viewer alone."""
        viewer = self._viewer()
        if viewer is not None and self._callback in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.remove(self._callback)

    def clicked(self, viewer: Any, event: Any) -> None:
        """Tell of the object at a click, if there is one."""
        layer = self._layer() if self._layer else None
        active = viewer.layers.selection.active
        if layer is None or layer not in viewer.layers:
            return
        if active is not None and str(active.mode) not in _QUIET_MODES:
            return
        label = label_at(layer, event)
        if label:
            self._on_pick(label)


def label_at(layer: Any, event: Any) -> int:
    """Return the number of the object under a mouse event; 0 for none, or where pixels stand in."""
    value = layer.get_value(
        event.position,
        view_direction=event.view_direction,
        dims_displayed=event.dims_displayed,
        world=True,
    )
    if isinstance(value, tuple):  # of several levels: (level, value)
        value = value[-1]
    return 0 if value is None else int(value)


def _forwarder(reference: weakref.ref[ObjectPicker]) -> Callable[[Any, Any], Iterator[None]]:
    """Return a callback for napari that does not keep its picker alive."""

    def on_mouse(viewer: Any, event: Any) -> Iterator[None]:
        if event.button != 1 or event.modifiers:
            return
        pressed = np.array(event.pos, float)
        yield
        moved = 0.0
        while event.type == "mouse_move":
            moved = max(moved, float(np.abs(np.array(event.pos) - pressed).max()))
            yield
        picker = reference()
        if picker is not None and moved <= _STILL_PX:
            picker.clicked(viewer, event)

    return on_mouse
