"""Viewer state → which pixels are on screen: the one reader of dims, camera and layer internals.

Positions go three ways here: *world* (what the camera looks at), *data* (voxels of level 0, as
napari counts them) and voxels of the level that is shown. The last step is always a `Transform`:
513 and 257 voxels are no factor of two.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.napari.display import display_of, view_of
from napari_omezarr_cloud.pyramid import Region, Transform

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "LayerLevel",
    "Spans",
    "VisibleRegion",
    "axis_names",
    "box_in_data",
    "has_pixels",
    "level_count",
    "level_of",
    "pixel_sizes_um",
    "visible_region",
]

Spans = Mapping[int, tuple[float, float]]
"""A box of the world: from where to where, by the number of the axis; all that are on screen."""

_ROUNDING = 1e-6
"""In voxels: an edge that is off by rounding must not let one more voxel in."""


@dataclass(frozen=True)
class LayerLevel:
    """One level of a layer, in the axes of the layer's data; colours of RGB are its last axis."""

    number: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    to_data: Transform
    """Voxels of this level → data coordinates of the layer (voxels of level 0)."""


@dataclass(frozen=True)
class VisibleRegion:
    """The pixels of a layer that are on screen."""

    level: LayerLevel
    region: Region
    """Voxels of that level, half-open; one voxel thick along the axes that are not on screen,
    unless a box of the world that was asked for has an extent there."""
    displayed: tuple[int, ...]
    """Axes of the layer that are on screen, ascending; the colours of RGB are not among them."""
    pixel_um: tuple[float | None, ...]
    """Size of a voxel of the level per axis of the layer; None where the axis is no length."""
    axes: tuple[str, ...]
    """Names of the axes of the layer."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels per axis, colours included."""
        return self.region.shape

    @property
    def nbytes(self) -> int:
        """Bytes of these pixels in memory."""
        return self.region.size * self.level.dtype.itemsize

    @property
    def pixel_size(self) -> tuple[float, bool]:
        """Finest size of a pixel on screen, and whether it is in µm; else in level-0 pixels."""
        sizes = [self.pixel_um[axis] for axis in self.displayed]
        lengths = [size for size in sizes if size is not None]
        if len(lengths) == len(sizes):
            return min(lengths), True
        return min(abs(self.level.to_data.scale[axis]) for axis in self.displayed), False


def has_pixels(layer: Any) -> bool:
    """Tell whether a layer shows an array of pixels: an image or labels, whoever made it."""
    from napari.layers import Image, Labels

    return isinstance(layer, Image | Labels) and layer.ndim >= 2


def visible_region(
    viewer: Any,
    layer: Any,
    level: int | None = None,
    spans: Spans | None = None,
    box: Region | None = None,
) -> VisibleRegion | None:
    """Return which pixels of a layer are on screen; None where none is.

    In 2-D it is the smallest box of voxels that holds what the canvas shows; in 3-D the whole
    extent of the displayed axes, or the box of it that is shown. On the other axes it is the plane
    on which the sliders stand (of a thick slice the middle one). A hidden layer counts as if it
    were shown.

    Parameters
    ----------
    viewer
        A viewer that holds the layer.
    layer
        An image or labels layer, ours or anybody's, scaled, moved or rotated.
    level
        Which level to take; None is the one that is shown.
    spans
        A box of the world to take instead of what the canvas shows.
    box
        Of a layer of ours in 3-D, the voxels of level 0 to take instead.
    """
    offset = viewer.dims.ndim - layer.ndim  # a layer lives in the last axes of the world
    displayed = tuple(sorted(d - offset for d in viewer.dims.displayed if d >= offset))
    if not displayed:
        return None
    if level is None:
        level = int(layer.data_level) if layer.multiscale else 0
    found = level_of(layer, level, displayed)
    if box is None and spans is None and viewer.dims.ndisplay == 3:
        shown = display_of(layer)
        box = None if shown is None else shown.box
    region = _region(viewer, layer, found, displayed, spans)
    if region is not None and box is not None:
        from_finest = level_of(layer, 0).to_data.to(found.to_data)
        region = region.along(displayed, from_finest.covering(box, found.shape))
    if region is None:
        return None
    sizes = pixel_sizes_um(layer)
    return VisibleRegion(
        level=found,
        region=region,
        displayed=displayed,
        pixel_um=tuple(
            None if size is None else size * abs(factor)
            for size, factor in zip(sizes, found.to_data.scale, strict=False)
        ),
        axes=axis_names(layer),
    )


def level_count(layer: Any) -> int:
    """Return how many levels a layer has."""
    return len(layer.data) if layer.multiscale else 1


def level_of(layer: Any, number: int, displayed: Sequence[int] = ()) -> LayerLevel:
    """Return one level of a layer.

    Parameters
    ----------
    layer
        An image or labels layer.
    number
        0 is the finest.
    displayed
        Axes on screen. They matter only for layers of others, whose levels napari places by the
        ratio of their shapes: corner to corner on screen, but first plane to first plane along
        the sliders.
    """
    view = view_of(layer)
    if view is not None:
        grid = view.grid(number)
        to_data = view.transform(number).to(view.transform(0))
        return LayerLevel(number, grid.shape, grid.dtype, to_data)
    array = layer.data[number] if layer.multiscale else layer.data
    finest = layer.data[0].shape if layer.multiscale else array.shape
    factors = tuple(n / m for n, m in zip(finest, array.shape, strict=True))
    shifts = tuple((f - 1) / 2 if i in displayed else 0.0 for i, f in enumerate(factors))
    shape = tuple(int(n) for n in array.shape)
    return LayerLevel(number, shape, np.dtype(array.dtype), Transform(factors, shifts))


def axis_names(layer: Any) -> tuple[str, ...]:
    """Return the names of a layer's axes; where napari only numbers them, the usual t z y x.

    Of five axes they are t c z y x, the order of OME-Zarr.
    """
    usual = "tczyx" if layer.ndim == 5 else "tzyx"
    names = []
    for number, label in enumerate(layer.axis_labels):
        left = number - layer.ndim
        is_numbered = str(label) in (str(left), f"axis {left}")
        names.append(usual[left] if is_numbered and -left <= len(usual) else str(label))
    return tuple(names)


def pixel_sizes_um(layer: Any) -> tuple[float | None, ...]:
    """Return the size of a voxel of level 0 per axis of a layer, in µm; None if it is no length."""
    return tuple(
        abs(float((float(scale) * unit).to("micrometer").magnitude))
        if dict(unit.dimensionality) == {"[length]": 1}
        else None
        for scale, unit in zip(layer.scale, layer.units, strict=True)
    )


def _region(
    viewer: Any,
    layer: Any,
    level: LayerLevel,
    displayed: tuple[int, ...],
    spans: Spans | None,
) -> Region | None:
    """Return the visible box of a level, or None."""
    at = np.asarray(layer.world_to_data(np.array(viewer.dims.point, float)), float)
    finest = level_of(layer, 0, displayed).shape
    if spans is None and viewer.dims.ndisplay == 2:
        spans = _spans_on_screen(viewer)
    box = None if spans is None else box_in_data(viewer, layer, spans)
    offset = viewer.dims.ndim - layer.ndim
    bounded = {*displayed, *(d - offset for d in spans or ())}
    plane_at = _nearest_plane if view_of(layer) is None else _plane_of_ours
    start, stop = [0] * len(level.shape), list(level.shape)
    for axis in range(layer.ndim):
        if axis not in bounded:
            # napari draws nothing of a layer that ends before the slider's position.
            if not 0 <= np.round(at[axis]) <= finest[axis] - 1:
                return None
            scale, shift = level.to_data.scale[axis], level.to_data.translation[axis]
            plane = plane_at((float(at[axis]) - shift) / scale)
            start[axis] = min(max(plane, 0), level.shape[axis] - 1)
            stop[axis] = start[axis] + 1
        elif box is not None:
            start[axis], stop[axis] = _columns(level, axis, box[0][axis], box[1][axis])
            if stop[axis] <= start[axis]:
                return None
    return Region(tuple(start), tuple(stop))


def _spans_on_screen(viewer: Any) -> Spans:
    """Return what the canvas shows of the two axes that are on it."""
    # Of one cell where the grid is on: every cell shows its layer at the same place.
    camera, cell = viewer.scene.camera, viewer.canvas.viewbox_size(viewer.layers)
    halves = [float(pixels) / camera.zoom / 2 for pixels in cell]
    centre = [float(at) for at in camera.center[-2:]]
    ends = [(at - half, at + half) for at, half in zip(centre, halves, strict=True)]
    return dict(zip(viewer.dims.displayed, ends, strict=True))


def box_in_data(viewer: Any, layer: Any, spans: Spans) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the box, in data coordinates, around the corners of a box of the world."""
    corners = []
    for corner in itertools.product(*spans.values()):
        world = np.array(viewer.dims.point, float)
        world[list(spans)] = corner
        corners.append(layer.world_to_data(world))
    return np.min(corners, axis=0), np.max(corners, axis=0)


def _columns(level: LayerLevel, axis: int, low: float, high: float) -> tuple[int, int]:
    """Return the voxels of a level that touch a range of data coordinates; may be empty."""
    scale, shift = level.to_data.scale[axis], level.to_data.translation[axis]
    ends = sorted(((low - shift) / scale + 0.5, (high - shift) / scale + 0.5))
    start = math.floor(max(ends[0] + _ROUNDING, 0))
    return start, math.ceil(min(ends[1] - _ROUNDING, level.shape[axis]))


def _nearest_plane(where: float) -> int:
    """Return the plane that napari draws at a position: halves go to the even one."""
    return int(np.round(where))


def _plane_of_ours(where: float) -> int:
    """Return the plane that our display draws: halves go down, as between levels."""
    return math.ceil(where - 0.5 - 1e-9)
