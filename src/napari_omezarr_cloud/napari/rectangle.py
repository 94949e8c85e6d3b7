"""A box that somebody has drawn: the rectangle of a shapes layer, in the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.errors import OperationError

if TYPE_CHECKING:
    from napari_omezarr_cloud.napari.visible import Spans

__all__ = ["is_shapes", "rectangle_spans"]


def is_shapes(layer: Any) -> bool:
    """Tell whether rectangles can be drawn in a layer."""
    from napari.layers import Shapes

    return isinstance(layer, Shapes)


def rectangle_spans(viewer: Any, shapes: Any) -> Spans:
    """Return the box around a shapes layer's rectangle.

    Of several rectangles it is the last one of those selected, else the last one drawn. Along an
    axis on screen in which it has no extent (3-D, an axis the layer does not have, or one that was
    not on screen when it was drawn) it goes through everything.

    Raises
    ------
    OperationError
        If there is no rectangle.
    """
    kinds = list(shapes.shape_type)
    every = [number for number, kind in enumerate(kinds) if kind == "rectangle"]
    selected = [number for number in every if number in shapes.selected_data]
    taken = selected if shapes.selected_data else every
    if not taken:
        why = "no rectangle is drawn in" if not every else "no rectangle is selected in"
        raise OperationError(
            "Could not take the box",
            why=f"{why} “{shapes.name}”",
            hint="Draw or select a rectangle there.",
        )
    corners = np.asarray(shapes.data[taken[-1]], float)
    world = np.array([shapes.data_to_world(corner) for corner in corners])
    low, high = world.min(axis=0), world.max(axis=0)
    offset = viewer.dims.ndim - shapes.ndim
    ends = zip(low.tolist(), high.tolist(), strict=True)
    extents = {offset + own: (a, b) for own, (a, b) in enumerate(ends) if b > a}
    return {d: _through(viewer, d) for d in viewer.dims.displayed} | extents


def _through(viewer: Any, axis: int) -> tuple[float, float]:
    first, last = (float(ends[axis]) for ends in viewer.layers.extent.world)
    margin = last - first + 1.0  # every layer well inside, voxels and all
    return first - margin, last + margin
