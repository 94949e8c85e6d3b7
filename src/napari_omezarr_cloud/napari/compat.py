"""What has moved between versions of napari: asked for here, and nowhere else."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["aim", "begin_task", "renew_status", "scale_bar", "show_scale_bar", "unwrapped"]

_shown: weakref.WeakSet[Any] = weakref.WeakSet()


def aim(viewer: Any, layer: Any) -> None:
    """Let a layer know what the camera shows before the canvas is drawn, which tells it."""
    if viewer.dims.ndisplay != 2 or not hasattr(layer, "_update_draw"):
        return
    zoom = float(viewer.scene.camera.zoom)
    center = np.array(viewer.scene.camera.center[-2:], float)
    size = np.array(viewer.canvas.viewbox_size(viewer.layers), float)
    layer._update_draw(
        scale_factor=1 / zoom,
        corner_pixels_displayed=np.array([center - size / zoom / 2, center + size / zoom / 2]),
        shape_threshold=tuple(size),
    )


def begin_task(viewer: Any, words: str, cancel: Callable[[], None]) -> Callable[[], None]:
    """Let napari know of work that goes on, and return what tells it that it has ended.

    While it goes on, napari asks before its window is closed, and cancels it then.
    """
    manager = getattr(viewer.window, "_task_status_manager", None)
    if manager is None:
        return lambda: None
    from napari.utils.task_status import Status

    def cancelled() -> bool:
        cancel()
        return True

    task = manager.register_task_status("OME-Zarr Cloud", Status.BUSY, words, cancelled)

    def end() -> None:
        manager.update_task_status(task, Status.COMPLETED, "")
        manager._tasks.pop(task, None)  # it would be cancelled, and kept, for ever

    return end


def renew_status(viewer: Any) -> None:
    """Have the status line say what is under the cursor now."""
    if not hasattr(viewer, "update_status_from_cursor"):
        return
    # In 3-D napari fails on a layer with features until the mouse has moved there once.
    if viewer.dims.ndisplay == 2 or np.ndim(viewer.cursor._view_direction):
        viewer.update_status_from_cursor()


def scale_bar(viewer: Any) -> Any:
    """Return the scale bar of a viewer; ``viewer.scale_bar`` itself warns since napari 0.9."""
    overlays = getattr(viewer.canvas, "overlays", None)
    return viewer.scale_bar if overlays is None else overlays.scale_bar


def show_scale_bar(viewer: Any) -> None:
    """Turn on the scale bar when the first layer with lengths comes.

    It is turned on once for each viewer: who turns it off wants it off for the next image too.
    The bar takes its unit from the layers.
    """
    if viewer in _shown:
        return
    units = (unit for layer in viewer.layers for unit in layer.units)
    if any(dict(unit.dimensionality) == {"[length]": 1} for unit in units):
        _shown.add(viewer)
        scale_bar(viewer).visible = True


def unwrapped(viewer: Any) -> Any:
    """Return the viewer itself.

    napari gives widgets of plugins a wrapper of it, which nobody keeps: a weak reference to that is
    dead at once.
    """
    return getattr(viewer, "__wrapped__", viewer)
