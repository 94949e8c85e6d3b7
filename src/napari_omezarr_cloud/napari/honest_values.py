"""What a layer tells of what it shows: voxels that are here, never a stand-in's; its true frame."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.napari.plate_place import well_words
from napari_omezarr_cloud.napari.rays import ray_in_tile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.napari.display import Display

_OVERRIDDEN = ("_get_value", "_get_value_3d", "get_status", "_display_bounding_box_at_level")

__all__ = ["show_honest_values", "show_values_of_napari"]


def show_honest_values(layer: Any, display: Display) -> None:
    """Make hovering and picking use voxels that are here, and say where there are none yet."""
    own_value, own_ray_value = type(layer)._get_value, type(layer)._get_value_3d
    own_status = type(layer).get_status
    own_frame = type(layer)._display_bounding_box_at_level
    reference = weakref.ref(layer)

    def _get_value(position: Sequence[float]) -> Any:
        live = reference()
        if live is None or len(position) != live.ndim:
            return own_value(live, position)
        return live.data_level, display.value_at(position)

    def get_status(*args: Any, **kwargs: Any) -> Any:
        live = reference()
        status = own_status(live, *args, **kwargs)
        position = kwargs.get("position", args[0] if args else None)
        if live is not None and position is not None and status.get("coordinates"):
            is_world = kwargs.get("world", False)
            where = well_words(display.view, live.world_to_data(position) if is_world else position)
            status["coordinates"] += f"; {where}" if where else ""
        if display.progress and status.get("coordinates"):
            status["coordinates"] += f" ({display.progress})"
        return status

    def _get_value_3d(start_point: Any, end_point: Any, dims_displayed: Any) -> Any:
        live = reference()
        # A ray goes through the whole volume: as long as part of it stands in, nothing is picked.
        if live is None or display.missing or start_point is None or end_point is None:
            return None
        ray = ray_in_tile(live, start_point, end_point, dims_displayed)
        return None if ray is None else own_ray_value(live, *ray, dims_displayed)

    def _display_bounding_box_at_level(dims_displayed: Any, data_level: int) -> Any:
        # napari draws it from the first voxel that is shown, as large as the whole layer.
        live = reference()
        if live is None or display.box is None or len(dims_displayed) < 3:
            return own_frame(live, dims_displayed, data_level)
        axes = list(dims_displayed)
        sizes = live._slice.image.raw.shape[:3] * live._transforms["tile2data"].scale[axes]
        return np.column_stack([np.zeros(3), sizes - 1])

    layer._get_value = _get_value
    layer._get_value_3d = _get_value_3d
    layer.get_status = get_status
    layer._display_bounding_box_at_level = _display_bounding_box_at_level


def show_values_of_napari(layer: Any) -> None:
    """Leave hovering and picking to napari again."""
    for name in _OVERRIDDEN:
        layer.__dict__.pop(name, None)
