"""Hovering and picking tell of voxels that are here, never of a stand-in's."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.napari.plate_place import well_words
from napari_omezarr_cloud.napari.rays import ray_in_tile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.napari.display import Display

__all__ = ["show_honest_values", "show_values_of_napari"]


def show_honest_values(layer: Any, display: Display) -> None:
    """Make hovering and picking use voxels that are here, and say where there are none yet."""
    own_value, own_ray_value = type(layer)._get_value, type(layer)._get_value_3d
    own_status = type(layer).get_status
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

    layer._get_value = _get_value
    layer._get_value_3d = _get_value_3d
    layer.get_status = get_status


def show_values_of_napari(layer: Any) -> None:
    """Leave hovering and picking to napari again."""
    for name in ("_get_value", "_get_value_3d", "get_status"):
        layer.__dict__.pop(name, None)
