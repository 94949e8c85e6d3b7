"""How far an operation looks around a pixel, and the footprint it looks through.

A rule takes the parameters (lengths as a tuple in pixels, one per axis) and the number of axes,
and gives whole pixels per axis. Rules with options are made with ``functools.partial``, which
can be pickled.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ellipsoid", "footprint_reach", "gaussian_reach", "neighbours", "pixelwise"]

# 0.3 µm / 0.1 µm is 2.9999999999999996 pixels, and means 3.
_ROUNDING = 1e-6

# A filter over a footprint takes pixels x footprint steps and cannot be interrupted: a disk of
# 144 or a ball of 25 pixels is minutes for a full screen; far beyond is a typing error.
_LARGEST_FOOTPRINT = 2**16


def pixelwise(values: Mapping[str, Any], ndim: int) -> tuple[int, ...]:
    """Return zeros: a pixel depends on itself alone."""
    return (0,) * ndim


def neighbours(values: Mapping[str, Any], ndim: int) -> tuple[int, ...]:
    """Return ones: a 3 x 3 (x 3) kernel."""
    return (1,) * ndim


def gaussian_reach(
    values: Mapping[str, Any], ndim: int, *, parameter: str, truncate: float = 4.0
) -> tuple[int, ...]:
    """Return the radius at which scipy cuts a Gaussian whose sigma is ``parameter``."""
    return tuple(int(truncate * sigma + 0.5) for sigma in values[parameter])


def footprint_reach(
    values: Mapping[str, Any], ndim: int, *, parameter: str, passes: int = 1
) -> tuple[int, ...]:
    """Return the radius of an `ellipsoid` that is applied ``passes`` times, one on the other."""
    return tuple(passes * _whole(radius) for radius in values[parameter])


def ellipsoid(radius: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Return the pixels within an ellipse (two axes) or ellipsoid (three).

    With whole and equal radii these are scikit-image's ``disk`` and ``ball``.

    Parameters
    ----------
    radius
        In pixels per axis, need not be whole. Below 1 the axis is not looked along.

    Returns
    -------
    ndarray of bool
        Shape ``2 * floor(radius) + 1`` per axis.

    Raises
    ------
    OperationError
        If it has more pixels than could be computed in a reasonable time.
    """
    shape = [2 * _whole(r) + 1 for r in radius]
    if math.prod(shape) > _LARGEST_FOOTPRINT:
        raise OperationError(
            "The radius is too large",
            why="it is " + " x ".join(f"{r:.4g}" for r in radius) + " pixels of this level",
            hint="Make it smaller, or zoom out to a coarser level.",
        )
    offsets = np.ogrid[tuple(slice(-(n // 2), n // 2 + 1) for n in shape)]
    pairs = zip(offsets, radius, strict=True)
    distance = sum((offset / (r or 1.0)) ** 2 for offset, r in pairs)
    return np.asarray(distance <= 1 + _ROUNDING, dtype=np.bool_)


def _whole(radius: float) -> int:
    return math.floor(radius + _ROUNDING)
