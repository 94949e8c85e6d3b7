"""A layer as what is written: its axes, and where it lies on screen, in the units of a file."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.errors import WriteError
from napari_omezarr_cloud.napari.display import view_of
from napari_omezarr_cloud.napari.layer_data import length_factor, placement
from napari_omezarr_cloud.napari.layer_rendering import planes_on_screen
from napari_omezarr_cloud.napari.sources import wrapped
from napari_omezarr_cloud.ngff import Axis
from napari_omezarr_cloud.ngff.units import micrometres, seconds
from napari_omezarr_cloud.pyramid import PyramidView, Region, Transform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_omezarr_cloud.write.sources import ViewSource

__all__ = ["WHAT", "Measures", "Placed", "in_order", "placed_layer", "planes_in", "same_box"]

WHAT = "Could not save the layers"
_ROUNDING = 1e-6
"""In voxels: an edge that is off by rounding must not let one more voxel in."""


@dataclass(frozen=True)
class Placed:
    """A layer as what is written: its view, and where it lies on screen, in the view's order."""

    layer: Any
    view: PyramidView
    axes: tuple[Axis, ...]
    transform: Transform
    """Of the level that becomes the finest."""


@dataclass(frozen=True)
class Measures:
    """What a voxel measures, where the layers do not say it, or say it wrongly.

    All layers are restated with the one that leads, so that they go on lying over each other.
    """

    leading: Placed
    sizes: Mapping[str, float]
    """By the axis' name, what a voxel of ``leading`` measures; of others it stays as it is."""
    units: Mapping[str, str | None]
    """By the axis' name, the unit of that; None: it has none."""

    def __post_init__(self) -> None:
        """Refuse what is no size."""
        for name, size in self.sizes.items():
            if not (size > 0 and math.isfinite(size)):
                why = f"a voxel cannot measure {size:g} along {name}"
                raise WriteError(WHAT, why=why, hint="Say a number above zero.")

    def restated(self, placed: Placed) -> Placed:
        """Return where a layer lies, and its axes, in these sizes and units."""
        if not self.sizes and not self.units:
            return placed
        known = {axis.name: n for n, axis in enumerate(self.leading.axes)}
        axes, factors = list(placed.axes), [1.0] * len(placed.axes)
        for n, axis in enumerate(placed.axes):
            if axis.name not in known:
                continue
            m = known[axis.name]
            there = self.leading.axes[m]
            size = self.sizes.get(axis.name)
            factors[n] = _per_unit(axis) / _per_unit(there)
            if size is not None:
                factors[n] *= size / self.leading.transform.scale[m]
            axes[n] = replace(axis, unit=self.units.get(axis.name, there.unit))
        return replace(
            placed,
            axes=tuple(axes),
            transform=Transform(
                tuple(s * f for s, f in zip(placed.transform.scale, factors, strict=True)),
                tuple(t * f for t, f in zip(placed.transform.translation, factors, strict=True)),
            ),
        )


def placed_layer(layer: Any, level: int, region: Region | None = None) -> Placed:
    """Return a layer's view, and where a region of a level lies on screen, in the file's units."""
    ours = view_of(layer)
    # Of others a fresh one: what was read of an array may have been painted over since.
    view = wrapped(layer) if ours is None else ours
    if not 0 <= level < len(view.pyramid.levels):
        why = f"“{layer.name}” has no level {level}"
        raise WriteError(WHAT, why=why, hint="Choose a finer level, or fewer layers.")
    shown = None if ours is None else placement(view, without=range(layer.ndim, view.ndim))
    steps = view.transform(level).to(view.transform(0))
    own = view.transform(0)
    axes, scales, starts = [], [], []
    for n, axis in enumerate(view.axes):
        if n >= layer.ndim:  # colours
            axes.append(axis)
            scales.append(1.0)
            starts.append(0.0)
            continue
        unit, size, start = str(layer.units[n]), float(layer.scale[n]), float(layer.translate[n])
        if size <= 0:
            why = f"“{layer.name}” is mirrored along {axis.name}, which OME-Zarr cannot say"
            raise WriteError(WHAT, why=why, hint="Give it a scale above zero.")
        if shown is not None and unit == shown["units"][n]:
            factor = length_factor(axis)
            # Not by way of micrometres where nobody moved it: that would round.
            if np.isclose(size, shown["scale"][n], rtol=1e-9):
                size = own.scale[n] * factor
            if np.isclose(start, shown["translate"][n], rtol=1e-9, atol=1e-9 * size):
                start = own.translation[n] * factor
            size, start = size / factor, start / factor
            axes.append(axis)
        else:
            axes.append(replace(axis, unit=None if unit == "pixel" else unit))
        scales.append(size * steps.scale[n])
        first = 0 if region is None else region.start[n]
        starts.append(start + size * (steps.translation[n] + steps.scale[n] * first))
    return Placed(layer, view, tuple(axes), Transform(tuple(scales), tuple(starts)))


def in_order(source: ViewSource, placed: Placed) -> tuple[list[Axis], Transform]:
    """Return axes and place in the order in which they are written, the joined channels among."""
    order = [placed.view.order.index(axis) for axis in source.views[0].order]
    axes = [placed.axes[n] for n in order]
    scale = [placed.transform.scale[n] for n in order]
    start = [placed.transform.translation[n] for n in order]
    if source.channel is not None:
        axes.insert(source.channel, Axis("c", "channel"))
        scale.insert(source.channel, 1.0)
        start.insert(source.channel, 0.0)
    return axes, Transform(tuple(scale), tuple(start))


def same_box(image: Placed, box: Region, labels: Any) -> Region | None:
    """Return the voxels of a labels layer that lie in a box of an image; None: there are none."""
    placed = placed_layer(labels, 0)
    shape = placed.view.grid(0).shape
    names = [axis.name for axis in image.axes]
    start, stop = [], []
    for n, axis in enumerate(placed.axes):
        first, last = 0, shape[n]
        if axis.name in names:
            m = names.index(axis.name)
            unit = _per_unit(image.axes[m]) / _per_unit(axis)
            step, at = placed.transform.scale[n], placed.transform.translation[n]
            size = image.transform.scale[m] * unit
            low = image.transform.translation[m] * unit - size / 2
            high = low + size * box.shape[m]
            first = max(0, math.floor((low - at) / step + 0.5 + _ROUNDING))
            last = min(last, math.ceil((high - at) / step + 0.5 - _ROUNDING))
        start.append(first)
        stop.append(max(first, last))
    found = Region(tuple(start), tuple(stop))
    return None if found.is_empty else found


def _per_unit(axis: Axis) -> float:
    """Return how many micrometres or seconds one of an axis' unit is; 1 if it has none."""
    return micrometres(axis.unit) or seconds(axis.unit) or 1.0


def planes_in(viewer: Any, placed: Placed, level: int, region: Region | None) -> dict[str, int]:
    """Return the planes on screen, in voxels of what is written; those outside are not shown."""
    steps = placed.view.transform(0).to(placed.view.transform(level))
    region = region or Region.whole(placed.view.grid(level).shape)
    names = [axis.name.lower() for axis in placed.axes]
    found = {}
    for name, plane in planes_on_screen(viewer, placed.layer).items():
        if name not in names:
            continue
        n = names.index(name)
        at = round(steps.scale[n] * plane + steps.translation[n])
        if region.start[n] <= at < region.stop[n]:
            found[name] = at - region.start[n]
    return found
