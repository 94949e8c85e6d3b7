"""A double click on a well brings it into view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.napari.display import view_of
from napari_omezarr_cloud.napari.go_to import go_to
from napari_omezarr_cloud.napari.plate_place import place_in, plate_beneath, well_box

if TYPE_CHECKING:
    from napari_omezarr_cloud.ngff.plate import PlateWell
    from napari_omezarr_cloud.pyramid.plate_opened import OpenedPlate

__all__ = ["go_to_well", "listen", "plate_behind"]

_LARGE = 0.5
"""Share of the canvas from which on a well is large enough to be zoomed into as anything else."""


def plate_behind(layer: Any) -> OpenedPlate | None:
    """Return the plate or well that a layer shows or is computed from; None for any other layer."""
    view = view_of(layer)
    return None if view is None else plate_beneath(view.pyramid)


def go_to_well(viewer: Any, layer: Any, well: PlateWell) -> None:
    """Bring a well into the middle of the canvas, as large as fits."""
    view, plate = view_of(layer), plate_behind(layer)
    if view is None or plate is None:
        return
    point = np.array(layer.world_to_data(viewer.dims.point)[-layer.ndim :], float)
    go_to(viewer, layer, well_box(view, plate, well, point), fill=True)


def listen(viewer: Any) -> None:
    """Go to wells that are clicked twice in a viewer, from now on."""
    if _on_double_click not in viewer.mouse_double_click_callbacks:
        viewer.mouse_double_click_callbacks.append(_on_double_click)


def _on_double_click(viewer: Any, event: Any) -> None:
    """Go to the well that was clicked; napari's own zoom comes before, and counts where none was.

    So it does for a well that already fills the canvas, and with Alt, which zooms out.
    """
    active = viewer.layers.selection.active
    if viewer.dims.ndisplay != 2 or "Alt" in event.modifiers:
        return
    if active is not None and str(active.mode) != "pan_zoom":
        return
    for layer in reversed(viewer.layers):
        view, plate = (view_of(layer), plate_behind(layer)) if layer.visible else (None, None)
        if view is None or plate is None:
            continue
        data = layer.world_to_data(event.position[-layer.ndim :])
        place = place_in(view, data)
        well = None if place is None else plate.well_at(*place)
        if well is None:
            continue
        corners = [layer.data_to_world(c) for c in well_box(view, plate, well, np.array(data))]
        size = np.abs(np.subtract(*corners))[-2:] * event.camera_zoom
        if (size < _LARGE * np.array(viewer.canvas.viewbox_size(viewer.layers))).all():
            go_to_well(viewer, layer, well)
        return
