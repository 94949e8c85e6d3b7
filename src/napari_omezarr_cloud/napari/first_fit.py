"""A first image fits the canvas also when napari's docks have taken their room beside it."""

from __future__ import annotations

import weakref
from typing import Any

from qtpy.QtCore import QTimer

__all__ = ["keep_fitted"]

_LAID_OUT_MS = 100


def keep_fitted(viewer: Any) -> None:
    """Fit the view once more if the canvas changes its size now and nobody has moved the camera.

    napari fits a first layer when it comes, and then shows the controls of it, which make the
    canvas narrower: a wide image loses its sides.
    """
    reference, size, seen = weakref.ref(viewer), tuple(viewer.canvas.size), _seen(viewer)

    def look() -> None:
        live = reference()
        if live is None or tuple(live.canvas.size) == size or _seen(live) != seen:
            return
        live.reset_view()

    QTimer.singleShot(_LAID_OUT_MS, look)


def _seen(viewer: Any) -> tuple[float, ...]:
    camera = viewer.scene.camera
    return (float(camera.zoom), *map(float, camera.center), *map(float, camera.angles))
