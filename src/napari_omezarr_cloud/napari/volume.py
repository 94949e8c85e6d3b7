"""3-D: which level is shown, and of which box. The coarse volume at once, finer where it fits."""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.chunks import ChunkCache, engine
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.look import Look, is_asked_for_whole
from napari_omezarr_cloud.pyramid import Region
from napari_omezarr_cloud.settings import settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_omezarr_cloud.pyramid import PyramidView

__all__ = ["choose_levels", "displayed_axes", "finest_fitting", "show_boxes", "texture_limit"]

_locked_by_us: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def finest_fitting(
    view: PyramidView,
    displayed: tuple[int, ...],
    largest: int,
    box: Region | None = None,
    *,
    max_bytes: int,
    cache: ChunkCache,
) -> int:
    """Return the finest level that fits, else the coarsest.

    Parameters
    ----------
    view
        What is shown.
    displayed
        Axes on screen.
    largest
        Most voxels along one axis that the graphics card takes.
    box
        Voxels of level 0 that are shown; None: all.
    max_bytes
        Most bytes of the voxels on screen: a refresh uploads them all.
    cache
        All chunks of a volume must fit into it, or it would never be whole.
    """
    last = len(view.pyramid.levels) - 1
    for number in range(last):
        look = _box_at(view, number, displayed, box)
        shape = [look.region.shape[axis] for axis in displayed]
        nbytes = math.prod(shape) * view.dtype.itemsize
        if max(shape) <= largest and nbytes <= max_bytes and is_asked_for_whole(view, look, cache):
            return number
    return last


def _box_at(view: PyramidView, number: int, displayed: tuple[int, ...], box: Region | None) -> Look:
    """Return the look at a level in a box of level 0 (None: everywhere), on the first planes."""
    shape = view.grid(number).shape
    ones = (1,) * view.ndim
    part = Region.whole(shape)
    if box is not None:
        part = view.transform(0).to(view.transform(number)).covering(box, shape)
    sliders = [axis for axis in range(view.ndim) if axis not in displayed]
    region = part.along(sliders, Region((0,) * view.ndim, ones))
    return Look(number, region, displayed, ones)


def texture_limit() -> int:
    """Return the longest axis of a 3-D texture."""
    from napari._vispy.utils.gl import get_max_texture_sizes

    return int(get_max_texture_sizes()[1] or 2048)


def displayed_axes(viewer: Any, layer: Any) -> tuple[int, ...]:
    """Return the axes of a layer that are on screen, in the order of the screen."""
    offset = viewer.dims.ndim - layer.ndim  # a layer lives in the last axes of the world
    return tuple(d - offset for d in viewer.dims.displayed if d >= offset)


def choose_levels(viewer: Any) -> None:
    """Lock a fitting level of each of our layers in 3-D; let go of it, and of the box, in 2-D.

    A level that the person locked is left alone.
    """
    for layer in viewer.layers:
        _choose_level(viewer, layer)


def show_boxes(viewer: Any, boxes: Mapping[Any, Region | None]) -> None:
    """Show only these boxes of some of our layers, as finely as they fit; in 3-D.

    Parameters
    ----------
    viewer
        That holds the layers.
    boxes
        By layer, in voxels of level 0, whole along axes that are not on screen. None: all of it
        again.
    """
    for layer, box in boxes.items():
        shown = display_of(layer)
        if shown is None or shown.box == box:
            continue
        shown.box = box
        before = layer.locked_data_level
        if before is not None:
            _locked_by_us[layer] = before  # asked for the finest, the person wants no other
        _choose_level(viewer, layer)
        if layer.locked_data_level == before:
            layer.refresh(extent=False)


def _choose_level(viewer: Any, layer: Any) -> None:
    shown = display_of(layer)
    if shown is None:
        return
    ours = _locked_by_us.get(layer)
    is_ours = ours is not None and layer.locked_data_level == ours
    if viewer.dims.ndisplay != 3:
        shown.box = None
        _locked_by_us.pop(layer, None)
        if is_ours:
            layer.locked_data_level = None
    elif is_ours or layer.locked_data_level is None:
        level = finest_fitting(
            shown.view,
            displayed_axes(viewer, layer),
            texture_limit(),
            shown.box,
            max_bytes=settings().volume_bytes,
            cache=engine().cache,
        )
        if level != len(shown.view.pyramid.levels) - 1:
            if level != layer.locked_data_level:
                layer.locked_data_level = level
            _locked_by_us[layer] = level
        elif is_ours:
            del _locked_by_us[layer]
            layer.locked_data_level = None
