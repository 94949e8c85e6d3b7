"""Bringing a place into view: sliders and camera, and no more zoom than it takes."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["go_to"]

_TOO_SMALL_PX = 20
_SMALL, _LARGE = 0.15, 0.8
"""Share of the canvas for what was too small to be seen, and for what was larger than it."""


def go_to(viewer: Any, layer: Any, corners: npt.NDArray[np.float64], *, fill: bool = False) -> None:
    """Put the middle of a box into the middle of the canvas.

    The zoom stays, unless the box would be smaller than 20 screen pixels or larger than the
    canvas.

    Parameters
    ----------
    viewer, layer
        The layer is in the viewer.
    corners
        Low and high corner of the box, in data coordinates of the layer.
    fill
        Zoom so that the box fills the canvas, whatever the zoom was.
    """
    offset = viewer.dims.ndim - layer.ndim
    places = [
        layer.data_to_world([corners[side, axis] for axis, side in enumerate(sides)])
        for sides in itertools.product((0, 1), repeat=layer.ndim)
    ]
    low, high = np.min(places, axis=0), np.max(places, axis=0)
    middle = (low + high) / 2
    shown = viewer.dims.displayed
    for axis in range(layer.ndim):
        if axis + offset not in shown:
            viewer.dims.set_point(axis + offset, float(middle[axis]))
    camera = viewer.scene.camera
    center = list(camera.center)
    for place, axis in zip(range(-len(shown), 0), shown, strict=True):
        if axis >= offset:
            center[place] = float(middle[axis - offset])
    extents = np.array(
        [high[axis - offset] - low[axis - offset] for axis in shown if axis >= offset]
    )
    canvas = np.array(viewer.canvas.viewbox_size(viewer.layers), float)
    # A volume is seen from any side: its longest edge must fit the shorter side of the canvas.
    rooms = canvas if len(extents) == len(canvas) else np.full(len(extents), canvas.min())
    camera.zoom = _zoom(math.inf if fill else float(camera.zoom), extents, rooms)
    camera.center = tuple(center)


def _zoom(zoom: float, extents: npt.NDArray[np.float64], rooms: npt.NDArray[np.float64]) -> float:
    """Return the zoom (screen pixels per unit) at which something of these extents can be seen."""
    if extents.max() <= 0:
        return zoom if math.isfinite(zoom) else 1.0
    fitting = float((rooms / np.maximum(extents, 1e-12)).min())
    if zoom > fitting:
        return _LARGE * fitting
    return zoom if extents.max() * zoom >= _TOO_SMALL_PX else _SMALL * fitting
