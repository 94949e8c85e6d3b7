"""Filters that smooth, sharpen or even out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.process.dtypes import floating, to_float, unchanged
from napari_omezarr_cloud.process.halo import (
    ellipsoid,
    footprint_reach,
    gaussian_reach,
    half_window,
    isotropic,
    window_reach,
)
from napari_omezarr_cloud.process.operation import Operation
from napari_omezarr_cloud.process.settings import choice, length, number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "OPERATIONS",
    "box_moments",
    "butterworth",
    "difference_of_gaussians",
    "local_normalisation",
    "mean",
    "median",
    "percentile",
    "standard_deviation",
    "unsharp_mask",
]

_Array = npt.NDArray[Any]

# Beyond this a border of mirrored pixels costs more than what it saves.
_WIDEST_PADDING = 256


def median(image: _Array, radius: Sequence[float]) -> _Array:
    """Return the median within an ellipsoid; dtype and shape as ``image``.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``.
    radius
        In pixels, one per axis.
    """
    from skimage import filters

    return np.asarray(filters.median(image, footprint=ellipsoid(radius)))


def percentile(image: _Array, radius: Sequence[float], percentile: float) -> _Array:
    """Return a percentile within an ellipsoid, a value that occurs there; dtype as ``image``."""
    from scipy import ndimage

    values = image.view(np.uint8) if image.dtype.kind == "b" else image
    footprint = ellipsoid(radius)
    result = ndimage.percentile_filter(values, percentile, footprint=footprint, mode="nearest")
    return np.asarray(result).astype(image.dtype, copy=False)


def mean(image: _Array, size: Sequence[float]) -> _Array:
    """Return the average in a box as a float array; ``size`` is its sides in pixels."""
    return box_moments(image, size)[0].astype(floating([image.dtype]), copy=False)


def standard_deviation(image: _Array, size: Sequence[float]) -> _Array:
    """Return the standard deviation in a box as a float array; ``size`` is its sides in pixels."""
    return box_moments(image, size)[1].astype(floating([image.dtype]), copy=False)


def box_moments(image: _Array, size: Sequence[float]) -> tuple[_Array, _Array]:
    """Return mean and standard deviation in a box around each pixel, both float64.

    The sums are taken anew for each pixel. Running sums and integral images, which scikit-image
    uses, are faster, and leave a trace of whatever came before: bright pixels, NaN.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``; mirrored at its border, without the outermost pixel twice.
    size
        Sides of the box in pixels, one per axis.
    """
    from scipy import ndimage

    values = image.astype(np.float64)
    squares = values * values
    for axis, half in enumerate(half_window(size)):
        weights = np.full(2 * half + 1, 1 / (2 * half + 1))
        values = ndimage.correlate1d(values, weights, axis=axis, mode="mirror")
        squares = ndimage.correlate1d(squares, weights, axis=axis, mode="mirror")
    variance = squares - values * values
    # What is left of equal values is rounding.
    variance[variance < 1e-12 * squares] = 0
    return values, np.sqrt(variance)


def unsharp_mask(image: _Array, radius: Sequence[float], amount: float) -> _Array:
    """Return ``image + amount * (image - blurred)`` as a float array, not clipped.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``.
    radius
        Sigma of the blur in pixels, one per axis.
    amount
        How much of the detail is added; negative softens.
    """
    from skimage import filters

    return np.asarray(
        filters.unsharp_mask(image, radius=list(radius), amount=amount, preserve_range=True)
    )


def difference_of_gaussians(
    image: _Array, low_sigma: Sequence[float], high_sigma: Sequence[float]
) -> _Array:
    """Return one blur minus another as a float array; sigmas in pixels, one per axis."""
    from skimage.filters import gaussian

    values = to_float(image)
    fine, coarse = (gaussian(values, sigma, mode="nearest") for sigma in (low_sigma, high_sigma))
    return np.asarray(fine - coarse)


def local_normalisation(image: _Array, sigma: Sequence[float]) -> _Array:
    """Return how many local standard deviations a pixel is above its surroundings; a float array.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``.
    sigma
        Of the Gaussian that weighs the surroundings, in pixels, one per axis.
    """
    from scipy import ndimage

    values = image.astype(np.float64)
    around = ndimage.gaussian_filter(values, sigma, mode="nearest")
    squares = ndimage.gaussian_filter(values * values, sigma, mode="nearest")
    variance = squares - around * around
    # What is left of equal values is rounding; dividing by it would paint noise that is not there.
    flat = variance <= 1e-9 * squares
    variance[flat] = 1
    result = (values - around) / np.sqrt(variance)
    result[flat] = 0
    return np.asarray(result, dtype=floating([image.dtype]))


def butterworth(image: _Array, cutoff: Sequence[float], keep: str, order: float) -> _Array:
    """Return an image without its coarse, or without its fine, structures; a float array.

    Parameters
    ----------
    image
        ``yx``.
    cutoff
        Wavelength in pixels, one per axis, at which half of the amplitude passes.
    keep
        ``"fine"`` or ``"coarse"``.
    order
        How steeply what passes parts from what does not.
    """
    from skimage import filters

    wavelength = isotropic(cutoff)
    return np.asarray(
        filters.butterworth(
            to_float(image),
            cutoff_frequency_ratio=min(0.5, 1 / wavelength) if wavelength else 0.5,
            high_pass=keep == "fine",
            order=order,
            npad=int(min(wavelength, _WIDEST_PADDING)),
        )
    )


def _larger_reach(values: Mapping[str, Any], ndim: int) -> tuple[int, ...]:
    reaches = (gaussian_reach(values, ndim, parameter=name) for name in ("low_sigma", "high_sigma"))
    return tuple(max(both) for both in zip(*reaches, strict=True))


_RADIUS = "Radius of the disk (or ball) whose middle value is taken."

OPERATIONS = (
    Operation(
        name="gaussian",
        title="Gaussian blur",
        group="Filters",
        function="skimage.filters:gaussian",
        kind="local",
        output="image",
        parameters=(
            length(
                "sigma",
                2.0,
                "Sigma",
                "Standard deviation of the blur; details smaller than this vanish.",
            ),
        ),
        fixed=(("preserve_range", True), ("truncate", 4.0), ("mode", "nearest")),
        halo_rule=partial(gaussian_reach, parameter="sigma", truncate=4.0),
        dtype_rule=floating,
        keeps_brightness=True,
        help="Smooths noise away. The result is floating point, in the image's own range.",
    ),
    Operation(
        name="median",
        title="Median",
        group="Filters",
        function=f"{__name__}:median",
        kind="local",
        output="image",
        parameters=(length("radius", 2.0, "Radius", _RADIUS),),
        halo_rule=partial(footprint_reach, parameter="radius"),
        dtype_rule=unchanged,
        keeps_brightness=True,
        help="Removes specks and keeps edges. The result has the image's dtype and range.",
    ),
    Operation(
        name="percentile",
        title="Percentile",
        group="Filters",
        function=f"{__name__}:percentile",
        kind="local",
        output="image",
        parameters=(
            length("radius", 2.0, "Radius", "Radius of the disk (or ball) that is looked through."),
            number(
                "percentile",
                25.0,
                "Percentile",
                "0 takes the darkest value, 50 the middle one, 100 the brightest.",
                minimum=0.0,
                maximum=100.0,
                step=5.0,
                unit="%",
            ),
        ),
        halo_rule=partial(footprint_reach, parameter="radius"),
        dtype_rule=unchanged,
        keeps_brightness=True,
        help="Takes a value of the given rank nearby. The result has the image's dtype and range.",
    ),
    Operation(
        name="mean",
        title="Mean",
        group="Filters",
        function=f"{__name__}:mean",
        kind="local",
        output="image",
        parameters=(length("size", 5.0, "Size", "Side of the box that is averaged."),),
        halo_rule=partial(window_reach, parameter="size"),
        dtype_rule=floating,
        keeps_brightness=True,
        help="Averages a box. The result is floating point, in the image's own range.",
    ),
    Operation(
        name="unsharp_mask",
        title="Unsharp mask",
        group="Filters",
        function=f"{__name__}:unsharp_mask",
        kind="local",
        output="image",
        parameters=(
            length(
                "radius",
                2.0,
                "Radius",
                "Standard deviation of the blur that is compared with the image.",
            ),
            number(
                "amount",
                1.0,
                "Amount",
                "How much of the difference is added; negative values soften.",
                minimum=-10.0,
                maximum=10.0,
                step=0.1,
            ),
        ),
        halo_rule=partial(gaussian_reach, parameter="radius", truncate=4.0),
        dtype_rule=floating,
        keeps_brightness=True,
        help="Sharpens details. Floating point; may go beyond the image's own range at edges.",
    ),
    Operation(
        name="difference_of_gaussians",
        title="Difference of Gaussians",
        group="Filters",
        function=f"{__name__}:difference_of_gaussians",
        kind="local",
        output="image",
        parameters=(
            length("low_sigma", 1.0, "Fine sigma", "Structures finer than this are smoothed away."),
            length(
                "high_sigma", 5.0, "Coarse sigma", "Structures coarser than this are subtracted."
            ),
        ),
        halo_rule=_larger_reach,
        dtype_rule=floating,
        help="Keeps structures of a size between two blurs. Floating point, around 0.",
    ),
    Operation(
        name="local_normalisation",
        title="Local normalisation",
        group="Filters",
        function=f"{__name__}:local_normalisation",
        kind="local",
        output="image",
        parameters=(length("sigma", 15.0, "Sigma", "How far around a pixel is compared."),),
        halo_rule=partial(gaussian_reach, parameter="sigma"),
        dtype_rule=floating,
        help="Evens out brightness and contrast. Floating point, in local standard deviations.",
    ),
    Operation(
        name="standard_deviation",
        title="Local standard deviation",
        group="Filters",
        function=f"{__name__}:standard_deviation",
        kind="local",
        output="image",
        parameters=(length("size", 7.0, "Size", "Side of the box that is looked at."),),
        halo_rule=partial(window_reach, parameter="size"),
        dtype_rule=floating,
        help="Shows texture: how much grey values differ nearby. Floating point, 0 where even.",
    ),
    Operation(
        name="butterworth",
        title="Butterworth",
        group="Filters",
        function=f"{__name__}:butterworth",
        kind="unbounded",
        output="image",
        parameters=(
            length("cutoff", 50.0, "Cut-off", "Wavelength that parts fine from coarse structures."),
            choice("keep", ("fine", "coarse"), "Keep", "Which structures stay."),
            number(
                "order",
                2.0,
                "Order",
                "Higher parts more sharply, and rings more.",
                minimum=0.5,
                maximum=10.0,
                step=0.5,
            ),
        ),
        dims="plane",
        dtype_rule=floating,
        help="Keeps fine or coarse structures by frequency. Floating point; fine ones around 0.",
    ),
)
