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

__all__ = [
    "ellipsoid",
    "ellipsoid_size",
    "footprint_reach",
    "gaussian_reach",
    "half_window",
    "isotropic",
    "neighbours",
    "pixelwise",
    "reach_of",
    "window_reach",
]

# A window is summed along lines, pixels x its side steps: 2000 pixels is about a minute.
_LARGEST_HALF_WINDOW = 1000

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


def reach_of(values: Mapping[str, Any], ndim: int, *, pixels: int) -> tuple[int, ...]:
    """Return the same number of pixels along every axis."""
    return (pixels,) * ndim


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


def window_reach(values: Mapping[str, Any], ndim: int, *, parameter: str) -> tuple[int, ...]:
    """Return half the side of a box whose sides are ``parameter``."""
    return half_window(values[parameter])


def half_window(side: Sequence[float]) -> tuple[int, ...]:
    """Return ``h`` per axis such that a box of ``2 * h + 1`` pixels has about this side.

    Odd whole sides are met exactly; below 2 pixels the axis is not looked along.

    Raises
    ------
    OperationError
        If it could not be computed in a reasonable time.
    """
    half = tuple(_whole(length / 2) for length in side)
    if max(half) > _LARGEST_HALF_WINDOW:
        raise OperationError(
            "The window is too large",
            why="it is " + " x ".join(f"{length:.4g}" for length in side) + " pixels of this level",
            hint="Make it smaller, or zoom out to a coarser level.",
        )
    return half


def isotropic(length: Sequence[float]) -> float:
    """Return one number of pixels for a length that has several: their geometric mean.

    For functions that know one number for both axes of a plane; the pixels of a plane are
    square, or nearly so, in practice.
    """
    return math.prod(length) ** (1 / len(length))


def ellipsoid(radius: Sequence[float], *, most: int = _LARGEST_FOOTPRINT) -> npt.NDArray[np.bool_]:
    """Return the pixels within an ellipse (two axes) or ellipsoid (three).

    With whole and equal radii these are scikit-image's ``disk`` and ``ball``.

    Parameters
    ----------
    radius
        In pixels per axis, need not be whole. Below 1 the axis is not looked along.
    most
        Pixels of the box around it that are allowed.

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
    if math.prod(shape) > most:
        raise OperationError(
            "The radius is too large",
            why="it is " + " x ".join(f"{r:.4g}" for r in radius) + " pixels of this level",
            hint="Make it smaller, or zoom out to a coarser level.",
        )
    offsets = np.ogrid[tuple(slice(-(n // 2), n // 2 + 1) for n in shape)]
    pairs = zip(offsets, radius, strict=True)
    distance = sum((offset / (r or 1.0)) ** 2 for offset, r in pairs)
    return np.asarray(distance <= 1 + _ROUNDING, dtype=np.bool_)


def ellipsoid_size(diameter: Sequence[float]) -> float:
    """Return how many pixels an ellipse (two axes) or ellipsoid (three) of this diameter has."""
    return math.prod(diameter) * math.pi / (4 if len(diameter) == 2 else 6)


def _whole(radius: float) -> int:
    return math.floor(radius + _ROUNDING)
