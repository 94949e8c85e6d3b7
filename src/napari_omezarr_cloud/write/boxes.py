"""A box that somebody has named by axis, as voxels of a level. Pure arithmetic."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from napari_omezarr_cloud.errors import RegionError
from napari_omezarr_cloud.pyramid import Region

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_omezarr_cloud.ngff import Axis
    from napari_omezarr_cloud.pyramid import Transform

__all__ = ["Box", "Units", "region_of_box"]

Units = Literal["pixel", "world"]
Box = "Mapping[str, tuple[float | None, float | None] | float]"
"""By the name of the axis: from where to where, or the one place. None: to the end."""

_ROUNDING = 1e-6
"""In voxels: an edge that is off by rounding must not let one more voxel in."""


def region_of_box(
    box: Mapping[str, tuple[float | None, float | None] | float],
    units: Units,
    axes: Sequence[Axis],
    shape: Sequence[int],
    transform: Transform,
) -> Region:
    """Return the voxels of a level that a box names; all along axes that it does not.

    Parameters
    ----------
    box
        By the name of the axis: from where to where, or the one place; None: to the end.
    units
        "pixel": voxels of the level, half-open. "world": the axes' own units; every voxel that the
        range touches is taken, since a voxel has an extent around its centre. Channels are always
        counted.
    axes, shape, transform
        Of the level.

    Raises
    ------
    RegionError
        If there is no such axis, or nothing of the level is in the box.
    """
    names = [axis.name for axis in axes]
    what = "Could not take the box"
    if strangers := [name for name in box if name not in names]:
        why = f"there is no axis {', '.join(map(repr, strangers))}"
        raise RegionError(what, why=why, hint=f"The axes are {', '.join(names)}.")
    start, stop = [0] * len(names), list(shape)
    for name, given in box.items():
        n = names.index(name)
        step, first = transform.scale[n], transform.translation[n]
        is_counted = units == "pixel" or axes[n].type == "channel"
        low, high = given if isinstance(given, tuple | list) else (given, None)
        is_one = not isinstance(given, tuple | list)
        if not all(end is None or math.isfinite(end) for end in (low, high)):
            hint = "Leave an end out to go as far as the image does."
            raise RegionError(what, why=f"{name} has an end that is no number", hint=hint)
        if low is not None and high is not None and high < low:
            hint = f"Write {name}={high:g}:{low:g}."
            raise RegionError(what, why=f"{name} ends before it begins", hint=hint)
        if is_counted:
            low = low if low is None else math.floor(low)
            high = low + 1 if is_one and low is not None else high
            high = high if high is None else math.ceil(high)
        else:
            high = low if is_one else high
            low = low if low is None else math.floor((low - first) / step + 0.5 + _ROUNDING)
            high = high if high is None else math.ceil((high - first) / step + 0.5 - _ROUNDING)
            high = max(high, low + 1) if is_one and high is not None and low is not None else high
        start[n] = max(0, 0 if low is None else int(low))
        stop[n] = min(shape[n], shape[n] if high is None else int(high))
        if stop[n] <= start[n]:
            unit = "" if is_counted else f" {axes[n].unit or ''}".rstrip()
            ends = (0, shape[n]) if is_counted else _ends(step, first, shape[n])
            raise RegionError(
                what,
                why=f"nothing of the image is there along {name}; it goes from {ends[0]:g} to "
                f"{ends[1]:g}{unit}",
                hint="Move the box, or leave this axis out.",
            )
    return Region(tuple(start), tuple(stop))


def _ends(step: float, first: float, size: int) -> tuple[float, float]:
    return first - step / 2, first + step * (size - 0.5)
