"""3-D: which level is shown. The coarse volume at once, a finer one where it fits."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.settings import settings

if TYPE_CHECKING:
    from napari_omezarr_cloud.pyramid import PyramidView

__all__ = ["choose_levels", "finest_fitting"]

_locked_by_us: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def finest_fitting(view: PyramidView, displayed: tuple[int, ...], largest: int) -> int:
    """Return the finest level whose displayed axes fit texture limit and budget, else the coarsest.

    Parameters
    ----------
    view
        What is shown.
    displayed
        Axes on screen.
    largest
        Most voxels along one axis that the graphics card takes.
    """
    budget = settings().volume_bytes  # a refresh uploads them all
    for number in range(len(view.pyramid.levels)):
        shape = [view.grid(number).shape[axis] for axis in displayed]
        nbytes = int(np.prod(shape, dtype=float)) * view.dtype.itemsize
        if max(shape) <= largest and nbytes <= budget:
            return number
    return len(view.pyramid.levels) - 1


def texture_limit() -> int:
    """Return the longest axis of a 3-D texture."""
    from napari._vispy.utils.gl import get_max_texture_sizes

    return int(get_max_texture_sizes()[1] or 2048)


def choose_levels(viewer: Any) -> None:
    """Lock a fitting level of each of our layers in 3-D, and let go of it in 2-D.

    A level that the person locked is left alone.
    """
    is_3d = viewer.dims.ndisplay == 3
    for layer in viewer.layers:
        shown = display_of(layer)
        if shown is None:
            continue
        ours = _locked_by_us.get(layer)
        is_ours = ours is not None and layer.locked_data_level == ours
        if is_3d and (is_ours or layer.locked_data_level is None):
            offset = viewer.dims.ndim - layer.ndim
            axes = tuple(d - offset for d in viewer.dims.displayed if d >= offset)
            level = finest_fitting(shown.view, axes, texture_limit())
            if level != len(shown.view.pyramid.levels) - 1:
                if level != layer.locked_data_level:
                    layer.locked_data_level = level
                _locked_by_us[layer] = level
            elif is_ours:
                del _locked_by_us[layer]
                layer.locked_data_level = None
        elif not is_3d and ours is not None:
            del _locked_by_us[layer]
            if layer.locked_data_level == ours:
                layer.locked_data_level = None
