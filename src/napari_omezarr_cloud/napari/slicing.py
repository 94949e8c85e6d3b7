"""The one place that knows napari's private slicing: pixels come from memory, never from a wait.

napari computes a layer's dask arrays on the GUI thread for every step. Here a layer's *slice
request* is replaced by one that takes what is in memory and tells what was missing; ``layer.data``
stays what it was. When napari loads progressively by itself (napari#9067), this file goes.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.napari.frames import Course
from napari_omezarr_cloud.napari.look import Look
from napari_omezarr_cloud.pyramid import PyramidView, Region, Transform

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIMITS = {1: (8192, 8192), 2: (8192, 40_000_000), 3: (2048, 48_000_000)}
"""Most pixels along one displayed axis, and in all, by the number of displayed axes."""

__all__ = [
    "Painter",
    "can_hook",
    "course_along",
    "hook_slicing",
    "is_loaded_by_another",
    "replace_data",
    "unhook_slicing",
]

Array = npt.NDArray[Any]


class Painter(Protocol):
    """Gives pixels for a look, at once; level 0's grid is napari's data space."""

    @property
    def view(self) -> PyramidView:
        """What is painted; may be another one later, on the same grid."""
        ...

    @property
    def box(self) -> Region | None:
        """The voxels of level 0 that are shown in 3-D; None: all."""
        ...

    def paint(self, look: Look, thumbnail: Look) -> tuple[Look, Array, Array]:
        """Return the look that was painted, its pixels and the thumbnail's, without waiting.

        What was painted may be a coarser level at the same place. Arrays have the view's axes.
        """
        ...

    def rest(self) -> None:
        """Take notice that nothing of the layer is drawn: a slider has left it."""
        ...


def can_hook(layer: Any) -> bool:
    """Tell whether this napari has what the hook stands on."""
    state = getattr(layer, "_slicing_state", None)
    request = getattr(state, "_slice_request_class", None)
    needed = (
        *("_call_multi_scale", "_project_slice", "_get_order", "_thick_slice_at_level"),
        "_slice_out_of_bounds",
    )
    makers = ("make_slice_input", "_slice_indices", "_make_slice_request_internal")
    return (
        request is not None
        and all(hasattr(request, name) for name in needed)
        and all(hasattr(state, name) for name in makers)
        and hasattr(layer, "_level_materializer")
    )


def is_loaded_by_another(layer: Any) -> bool:
    """Tell whether somebody has put slicing of their own into this one layer.

    napari's own progressive loading (napari#9067) or another plugin: two that load would fight.
    """
    return "_slice_request_class" in vars(layer._slicing_state)


def hook_slicing(layer: Any, painter: Painter) -> None:
    """Make a layer take its pixels from ``painter``."""
    state = layer._slicing_state
    state._slice_request_class = _peeking(type(state)._slice_request_class, painter)
    # It reads the coarsest level of 2-D data on the GUI thread, and keeps it for ever.
    layer._level_materializer = None


def unhook_slicing(layer: Any) -> None:
    """Give a layer back to napari's own slicing."""
    layer._slicing_state.__dict__.pop("_slice_request_class", None)


def course_along(
    layer: Any, painter: Painter, dims: Any, axis: int, positions: Sequence[int]
) -> Course:
    """Return what a hooked layer will be looked at with a slider on each of some positions.

    Parameters
    ----------
    layer, painter
        The layer, and what it takes its pixels from.
    dims
        Of its window; all but this slider stay as they are.
    axis
        Of the window.
    positions
        In steps of the slider.
    """
    state = layer._slicing_state
    slice_input = state.make_slice_input(dims)
    point = np.array(slice_input.world_slice.point, float)
    moving = axis - (dims.ndim - layer.ndim)
    start, _, step = dims.range[axis]
    ends = []
    for position in (0, 1):
        if moving >= 0:  # else the layer does not have this axis
            point[moving] = start + step * position
        there = slice_input.world_slice.copy_with(point=tuple(point))
        moved = replace(slice_input, world_slice=there)
        ends.append(state._slice_indices(moved, dims))
    request = state._make_slice_request_internal(
        slice_input=slice_input, data_slice=ends[0], dask_indexer=nullcontext
    )
    view = painter.view
    look = _look(request, view, request.data_level, request.corner_pixels, painter.box)
    at = np.asarray(positions, float)
    region_start = np.tile(look.region.start, (len(at), 1))
    region_stop = np.tile(look.region.stop, (len(at), 1))
    is_drawn = np.ones(len(at), bool)
    from_finest = view.transform(0).to(view.transform(look.number))
    for each in slice_input.not_displayed:
        first, second = (float(end.point[each]) for end in ends)
        points = first + at * (second - first)
        size = view.grid(look.number).shape[each]
        planes = _planes(request, from_finest, each, size, points)
        region_start[:, each], region_stop[:, each] = planes
        is_drawn &= _is_drawn(request, each, points)
    return Course(look, region_start, region_stop, is_drawn)


def replace_data(layer: Any, levels: Sequence[Any]) -> None:
    """Give a multiscale layer other arrays of the same shapes, and paint nothing.

    By its public way napari starts again at the coarsest level, which flashes.
    """
    from napari.layers._multiscale_data import MultiScaleData

    if isinstance(getattr(layer, "_data", None), MultiScaleData):
        layer._data = MultiScaleData(levels)
        layer.events.data(value=layer.data)
    else:
        layer.data = list(levels)


def _peeking(base: Any, painter: Painter) -> Any:
    class PeekingSliceRequest(base):
        """A slice request that never waits."""

        def __call__(self) -> Any:
            if self._slice_out_of_bounds():
                painter.rest()
            return super().__call__()

        def _call_multi_scale(self) -> Any:
            look = _look(self, painter.view, self.data_level, self.corner_pixels, painter.box)
            thumbnail = _look(self, painter.view, self.thumbnail_level, None, None)
            painted, pixels, small = painter.paint(look, thumbnail)
            order = self._get_order()
            from napari.layers._scalar_field._slice import (
                _ScalarFieldSliceResponse,
                _ScalarFieldView,
            )

            return _ScalarFieldSliceResponse(
                image=_ScalarFieldView.from_view(np.transpose(_project(self, pixels), order)),
                thumbnail=_ScalarFieldView.from_view(np.transpose(_project(self, small), order)),
                tile_to_data=_tile_to_data(self, painter.view, painted),
                slice_input=self.slice_input,
                request_id=self.id,
            )

    # napari reads the dataclass decorator's fields from the base; the name shows in its logs.
    PeekingSliceRequest.__qualname__ = f"Peeking{base.__name__}"
    return PeekingSliceRequest


def _project(request: Any, pixels: Array) -> Array:
    """Fold the axes that are not on screen: one plane needs no mean."""
    axes = tuple(request.slice_input.not_displayed)
    if not axes:
        return pixels
    if all(pixels.shape[axis] == 1 for axis in axes):
        return pixels[tuple(0 if i in axes else slice(None) for i in range(pixels.ndim))]
    projected: Array = request._project_slice(pixels, axes, request.projection_mode)
    return projected


def _look(
    request: Any, view: PyramidView, number: int, corners: Array | None, box: Region | None
) -> Look:
    shape = view.grid(number).shape
    displayed = tuple(request.slice_input.displayed)
    start, stop = [0] * len(shape), list(shape)
    from_finest = view.transform(0).to(view.transform(number))
    for axis in request.slice_input.not_displayed:
        point = np.array([request.data_slice.point[axis]], float)
        planes = _planes(request, from_finest, axis, shape[axis], point)
        start[axis], stop[axis] = (int(edge[0]) for edge in planes)
    if corners is not None and request.slice_input.ndisplay == 2:
        for axis in displayed:
            start[axis], stop[axis] = _columns(
                from_finest, view, number, axis, int(corners[0, axis]), int(corners[1, axis]) + 1
            )
    region = Region(tuple(start), tuple(stop))
    if box is not None and request.slice_input.ndisplay == 3:
        region = region.along(displayed, from_finest.covering(box, shape))
    return Look(number, region, displayed, _stride(region, displayed))


def _stride(region: Region, displayed: tuple[int, ...]) -> tuple[int, ...]:
    """Return steps that keep a picture within the graphics card and memory.

    A file without overview levels asks for all its pixels at once when it is seen whole.
    """
    longest, most = _LIMITS[len(displayed)]
    shape = region.shape
    step = {axis: -(-shape[axis] // longest) for axis in displayed}
    while math.prod(-(-shape[axis] // step[axis]) for axis in displayed) > most:
        widest = max(displayed, key=lambda axis: shape[axis] / step[axis])
        step[widest] += 1
    return tuple(step.get(axis, 1) for axis in range(len(shape)))


def _planes(
    request: Any, from_finest: Transform, axis: int, size: int, points: Array
) -> tuple[Array, Array]:
    """Return the planes of a level, half-open, that a slider stands on; several where it is thick.

    It stands on each of ``points``, in voxels of level 0.
    """
    left, right = request.data_slice.margin_left[axis], request.data_slice.margin_right[axis]
    if str(request.projection_mode) == "none" or (left == 0 and right == 0):
        nearest = _at(from_finest, axis, points, size)
        return nearest, nearest + 1
    low = _at(from_finest, axis, points - left, size)
    high = _at(from_finest, axis, points + right, size)
    return low, np.maximum(high, low) + 1


def _at(transform: Transform, axis: int, positions: Array, size: int) -> Array:
    where = transform.scale[axis] * positions + transform.translation[axis]
    return np.clip(np.ceil(where - 0.5 - 1e-9), 0, size - 1).astype(np.intp)


def _is_drawn(request: Any, axis: int, points: Array) -> npt.NDArray[np.bool_]:
    """Tell where napari draws anything of a layer: as its slice request does."""
    last = request.level_shapes[0][axis] - 1
    left, right = request.data_slice.margin_left[axis], request.data_slice.margin_right[axis]
    if str(request.projection_mode) == "none":
        left = right = 0
    found: npt.NDArray[np.bool_] = (np.round(points + right) >= 0) & (
        np.round(points - left) <= last
    )
    return found


def _columns(
    from_finest: Transform, view: PyramidView, number: int, axis: int, first: int, last: int
) -> tuple[int, int]:
    """Return the range of a level that covers napari's corners.

    napari places levels corner to corner by the ratio of their shapes; where the file says
    otherwise, its columns are found through the transforms. Its corners may leave the level: when
    the view is flat again, they are at first those of the level that was shown in 3-D.
    """
    size = view.grid(number).shape[axis]
    first = min(first, size - 1)
    last = min(max(last, first + 1), size)
    ratio = view.grid(0).shape[axis] / size
    places = []
    for edge in (first, last):
        finest = edge * ratio - 0.5
        places.append(from_finest.scale[axis] * finest + from_finest.translation[axis] + 0.5)
    if abs(places[0] - first) < 0.25 and abs(places[1] - last) < 0.25:
        return first, last
    start = int(np.clip(math.floor(places[0]), 0, size - 1))
    return start, int(np.clip(math.ceil(places[1]), start + 1, size))


def _tile_to_data(request: Any, view: PyramidView, look: Look) -> Any:
    """Return where the tile lies in napari's data space (voxels of level 0).

    In 2-D napari puts the *corner* of a pixel at its index and then moves everything by half a
    level-0 pixel; in 3-D it adds half a pixel of the level that was asked for, by shape ratio.
    """
    from napari.utils.transforms import Affine

    to_finest = view.transform(look.number).to(view.transform(0))
    ndim = request.slice_input.ndim
    scale, translate = np.ones(ndim), np.zeros(ndim)
    for axis in look.displayed:
        first = to_finest.scale[axis] * look.region.start[axis] + to_finest.translation[axis]
        factor = to_finest.scale[axis] * look.stride[axis]
        scale[axis] = factor
        if request.slice_input.ndisplay == 2:
            translate[axis] = first + 0.5 - factor / 2
        else:
            translate[axis] = first - (request.downsample_factors[request.data_level][axis] - 1) / 2
    return Affine(name="tile2data", scale=scale, translate=translate, ndim=ndim)
