"""From the intrinsic coordinate system to the one that is shown: what levels can take over.

A scale, a translation and another order of axes become part of the levels' own transforms; what is
left (a rotation, a shear, a mirror) stays an affine map after them. Units go with it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_omezarr_cloud.ngff import Affine, Axis
from napari_omezarr_cloud.ngff.units import micrometres
from napari_omezarr_cloud.pyramid.transform import Transform

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["in_world", "leaves_plane"]

_Placed = tuple[tuple[Axis, ...], list[Transform], Affine | None]


def in_world(
    axes: tuple[Axis, ...],
    transforms: Sequence[Transform],
    affine: Affine | None,
    shown_axes: tuple[Axis, ...],
) -> _Placed:
    """Return axes and transforms of levels in the shown coordinate system, and what comes after.

    Parameters
    ----------
    axes, transforms
        Of the levels, in the intrinsic coordinate system.
    affine
        From there to the shown one, as many axes, with an inverse; None: the same.
    shown_axes
        Axes of the shown system, in the order of its coordinates.

    Returns
    -------
    axes
        In the order of the arrays' dimensions, with units that hold for the transforms.
    transforms
        With every scale and translation that runs along an axis.
    affine
        In the units of the axes, both before and after; of its rows, each is for the axis of the
        same number. A pure order of axes has no translation. None: nothing is left.
    """
    if affine is None:
        return axes, list(transforms), None
    order = affine.axis_order
    if order is None:
        return _turned(axes, transforms, affine, shown_axes)
    scale, shift, renamed = list(affine.translation), list(affine.translation), list(axes)
    takes_names = {axis.name for axis in axes} != {axis.name for axis in shown_axes}
    for row, axis in enumerate(order):
        scale[axis], shift[axis] = affine.matrix[row][axis], affine.translation[row]
        # Some list the same names in another order, and mean their place and not their name.
        named = shown_axes[row] if takes_names else axes[axis]
        unit = shown_axes[row].unit or (axes[axis].unit if scale[axis] == 1 else None)
        renamed[axis] = replace(named, type=named.type or axes[axis].type, unit=unit)
    placed = [_scaled(each, scale, shift) for each in transforms]
    n = len(order)
    if order == tuple(range(n)):
        return tuple(renamed), placed, None
    rows = tuple(tuple(float(axis == j) for j in range(n)) for axis in order)
    return tuple(renamed), placed, Affine(rows, (0.0,) * n)


def leaves_plane(axes: tuple[Axis, ...], affine: Affine | None) -> bool:
    """Tell whether an image is turned or sheared out of the plane of its last two axes.

    The planes that a 2-D view shows of it are then still those that are stored.
    """
    if affine is None or affine.axis_order is not None:
        return False
    space = [i for i, axis in enumerate(axes) if axis.type != "channel"]
    plane = set(space[-2:])
    return any(
        abs(affine.matrix[i][j]) > 1e-9
        for i in space
        for j in space
        if (i in plane) != (j in plane)
    )


def _scaled(transform: Transform, scale: Sequence[float], shift: Sequence[float]) -> Transform:
    return Transform(
        tuple(s * f for s, f in zip(transform.scale, scale, strict=True)),
        tuple(t * f + b for t, f, b in zip(transform.translation, scale, shift, strict=True)),
    )


def _turned(
    axes: tuple[Axis, ...],
    transforms: Sequence[Transform],
    affine: Affine,
    shown_axes: tuple[Axis, ...],
) -> _Placed:
    n = len(axes)
    # An axis without a unit (array coordinates) has that of where it mostly leads.
    leads = [max(range(n), key=lambda i: abs(affine.matrix[i][j])) for j in range(n)]
    bare = [
        axes[j].unit is None and micrometres(shown_axes[leads[j]].unit) is not None
        for j in range(n)
    ]
    axes = tuple(
        replace(axis, unit=shown_axes[lead].unit) if is_bare else axis
        for axis, lead, is_bare in zip(axes, leads, bare, strict=True)
    )
    factors = [_factor(other, axis) for other, axis in zip(shown_axes, axes, strict=True)]
    # The size of a voxel is then that of the shown system too.
    lengths = [
        math.hypot(*(f * affine.matrix[i][j] for i, f in enumerate(factors))) if bare[j] else 1.0
        for j in range(n)
    ]
    lengths = [1.0 if abs(length - 1) < 1e-9 else length for length in lengths]
    rows = tuple(
        tuple(f * value / length for value, length in zip(row, lengths, strict=True))
        for f, row in zip(factors, affine.matrix, strict=True)
    )
    shift = tuple(f * t for f, t in zip(factors, affine.translation, strict=True))
    placed = [_scaled(each, lengths, (0.0,) * n) for each in transforms]
    return axes, placed, Affine(rows, shift)


def _factor(shown: Axis, axis: Axis) -> float:
    """Return how many of an axis' unit one of the shown system's makes."""
    ours, theirs = micrometres(axis.unit), micrometres(shown.unit)
    return theirs / ours if ours and theirs else 1.0
