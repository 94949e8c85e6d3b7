"""Restoration: away with noise, blur, background and defects."""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process.dtypes import floating, to_float, unchanged
from napari_omezarr_cloud.process.filters import median
from napari_omezarr_cloud.process.halo import ellipsoid, footprint_reach, isotropic
from napari_omezarr_cloud.process.operation import Operation
from napari_omezarr_cloud.process.settings import choice, length, measured, whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "OPERATIONS",
    "bilateral",
    "non_local_means",
    "outliers",
    "richardson_lucy",
    "rolling_ball",
    "total_variation",
]

_Array = npt.NDArray[Any]

# Each is a pass over the image: as many take half a minute for a full screen.
_MOST_NEIGHBOURS = 4000

_TRUNCATE = 4.0


def bilateral(image: _Array, sigma_spatial: Sequence[float], sigma_color: float) -> _Array:
    """Return the mean of near pixels of like brightness; a float array (Tomasi, 1998).

    Not scikit-image's function, for two reasons. Its weights of brightness come from a table over
    the image's own range, so that a block gives another result than the whole. Its weights of
    distance come from a table that is one wider than the window it is read with (0.26), which
    skews them.

    Parameters
    ----------
    image
        ``yx``. Beyond the border there is nothing.
    sigma_spatial
        In pixels, one per axis; looked at is a box up to three sigma away.
    sigma_color
        Difference in grey values that still counts as alike.
    """
    values = to_float(image)
    if sigma_color <= 0:
        return values.copy()
    reach = [min(r, n - 1) for r, n in zip(_box(sigma_spatial), image.shape, strict=True)]
    total, weights = values.copy(), np.ones_like(values)
    half = itertools.product(range(reach[0] + 1), range(-reach[1], reach[1] + 1))
    for shift in half:
        if shift <= (0, 0):  # what is behind has been paired with this pixel from there
            continue
        near = math.exp(
            -0.5 * sum((d / s) ** 2 for d, s in zip(shift, sigma_spatial, strict=True) if d)
        )
        here = tuple(
            slice(max(0, -d), n - max(0, d)) for d, n in zip(shift, image.shape, strict=True)
        )
        there = tuple(
            slice(max(0, d), n - max(0, -d)) for d, n in zip(shift, image.shape, strict=True)
        )
        weight = values[there] - values[here]
        weight *= 1 / sigma_color
        weight *= weight
        weight *= -0.5
        np.exp(weight, out=weight)
        weight *= near
        for one, other in ((here, there), (there, here)):
            total[one] += weight * values[other]
            weights[one] += weight
    return np.asarray(total / weights)


def _box(sigma: Sequence[float]) -> tuple[int, ...]:
    # A neighbour's weight is next to nothing below a tenth of a pixel.
    reach = tuple(math.ceil(3 * s) if s > 0.1 else 0 for s in sigma)
    _check_count(math.prod(2 * r + 1 for r in reach), "radius")
    return reach


def _check_count(count: int, what: str) -> None:
    if count > _MOST_NEIGHBOURS:
        raise OperationError(
            f"The {what} is too large",
            why=f"each pixel would be compared with {count} others",
            hint="Make it smaller, or zoom out to a coarser level.",
        )


def non_local_means(
    image: _Array, patch: Sequence[float], search: Sequence[float], h: float
) -> _Array:
    """Return the mean of near pixels whose surroundings look alike; a float array.

    Buades et al. (2005), in the fast variant of Darbon et al. (2008).

    Parameters
    ----------
    image
        ``yx``. NaN spreads.
    patch
        Sides of the surroundings that are compared, in pixels, one per axis.
    search
        How far around is searched, in pixels, one per axis.
    h
        Difference in grey values that still counts as alike: about the noise.
    """
    from skimage import restoration

    if h <= 0 or not np.isfinite(image).all():
        # Sums over the image carry what is not finite everywhere.
        if h <= 0:
            return to_float(image).copy()
        raise OperationError(
            "Non-local means needs finite values",
            why="the region holds NaN or infinite values",
            hint="Move to where there is data, or use Median.",
        )
    half, distance = _patch_half(patch), _search_distance(search)
    # In float64 also for float32: the sums over the image would lose its digits.
    denoised = restoration.denoise_nl_means(
        image.astype(np.float64),
        patch_size=2 * half + 1,
        patch_distance=distance,
        h=h,
        fast_mode=True,
        preserve_range=True,
    )
    # It comes back without axes of one pixel.
    return np.asarray(denoised, dtype=floating([image.dtype])).reshape(image.shape)


def _patch_half(patch: Sequence[float]) -> int:
    return math.floor(isotropic(patch) / 2 + 1e-6)


def _search_distance(search: Sequence[float]) -> int:
    distance = round(isotropic(search))
    _check_count((2 * distance + 1) ** 2, "search distance")
    return distance


def total_variation(image: _Array, weight: float) -> _Array:
    """Return the image with least variation that is still alike; a float array.

    Chambolle (2004). ``weight`` is in grey values; ``image`` is ``yx``, its NaN count as darkest.
    """
    from skimage import restoration

    values = to_float(image)
    known = np.isfinite(values)
    if weight <= 0 or not known.any():
        return values.copy()
    filled = values if known.all() else np.where(known, values, values[known].min())
    return np.asarray(restoration.denoise_tv_chambolle(filled, weight=weight), dtype=values.dtype)


def richardson_lucy(image: _Array, sigma: Sequence[float], num_iter: int) -> _Array:
    """Return an image deconvolved with a Gaussian; a float array, not negative.

    Richardson (1972), Lucy (1974). As scikit-image's, with blurs along one axis after the other
    and the border repeated, where scikit-image takes the outside to be dark.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``; what is below 0 counts as 0.
    sigma
        Of the blur that is undone, in pixels, one per axis.
    num_iter
        Rounds; more is sharper and noisier.
    """
    from scipy import ndimage

    blur = partial(ndimage.gaussian_filter, sigma=sigma, mode="nearest", truncate=_TRUNCATE)
    seen = np.maximum(to_float(image), 0)
    estimate = np.full_like(seen, 0.5)
    for _ in range(num_iter):
        expected = blur(estimate)
        ratio = np.divide(seen, expected, out=np.zeros_like(seen), where=expected > 1e-12)
        estimate *= blur(ratio)
    return np.asarray(estimate)


def rolling_ball(image: _Array, radius: Sequence[float], height: float, give: str) -> _Array:
    """Return an image without the surface on which a ball rolls from below, or that surface.

    Sternberg (1983).

    Parameters
    ----------
    image
        ``yx``. NaN counts as infinitely bright.
    radius
        Of the ball in pixels, one per axis.
    height
        Of the ball in grey values; 0 is flat.
    give
        ``"image"`` without background, or the ``"background"``.

    Returns
    -------
    ndarray
        Float.
    """
    from skimage import restoration

    footprint = ellipsoid(radius)
    offsets = np.ogrid[tuple(slice(-(n // 2), n // 2 + 1) for n in footprint.shape)]
    pairs = zip(offsets, radius, strict=True)
    distance = sum((offset / (r or 1.0)) ** 2 for offset, r in pairs)
    kernel = height * np.sqrt(np.clip(1 - distance, 0, None))
    kernel[~footprint] = np.inf
    values = to_float(image)
    surface = restoration.rolling_ball(
        np.where(np.isnan(values), np.inf, values) if image.dtype.kind == "f" else values,
        kernel=kernel,
    )
    if give == "background":
        return np.asarray(surface)
    with np.errstate(invalid="ignore"):  # infinite minus infinite
        return np.asarray(values - surface)


def fifth_of_range(image: _Array) -> float:
    """Return a fifth of the distance from the 1st to the 99.8th percentile."""
    from napari_omezarr_cloud.process.levels import tenth_of_range

    return 2 * tenth_of_range(image)


def outliers(image: _Array, radius: Sequence[float], threshold: float, which: str) -> _Array:
    """Return an image with outliers replaced by the median around them; dtype as ``image``.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``.
    radius
        Of the ellipsoid in which the median is taken, in pixels, one per axis.
    threshold
        Difference to the median, in grey values, above which a pixel is an outlier.
    which
        ``"bright and dark"``, ``"bright"`` or ``"dark"``.
    """
    around = median(image, radius)
    values, middle = (each.astype(np.float64) for each in (image, around))
    outlying = np.zeros(image.shape, np.bool_)
    with np.errstate(invalid="ignore"):  # infinite minus infinite
        if which != "dark":
            outlying |= values - middle > threshold
        if which != "bright":
            outlying |= middle - values > threshold
    return np.where(outlying, around, image)


def five_noise(image: _Array) -> float:
    """Return five standard deviations of the noise."""
    from napari_omezarr_cloud.process.levels import noise

    return 5 * noise(image)


def _bilateral_reach(values: Mapping[str, Any], ndim: int) -> tuple[int, ...]:
    return _box(values["sigma_spatial"])


def _non_local_reach(values: Mapping[str, Any], ndim: int) -> tuple[int, ...]:
    reach = _search_distance(values["search"]) + 2 * _patch_half(values["patch"]) + 1
    return (reach,) * ndim


def _deconvolution_reach(values: Mapping[str, Any], ndim: int) -> tuple[int, ...]:
    # Two blurs a round; the first round's start is the same everywhere.
    rounds = 2 * values["num_iter"]
    return tuple(rounds * int(_TRUNCATE * sigma + 0.5) for sigma in values["sigma"])


_LEVELS = "napari_omezarr_cloud.process.levels"

OPERATIONS = (
    Operation(
        name="bilateral",
        title="Bilateral",
        group="Restoration",
        function=f"{__name__}:bilateral",
        kind="global",
        output="image",
        parameters=(
            length("sigma_spatial", 2.0, "Sigma", "How far around is averaged."),
            measured(
                "sigma_color",
                f"{_LEVELS}:spread",
                "Contrast",
                "Difference in grey values that is smoothed; empty for the standard deviation.",
                minimum=0.0,
            ),
        ),
        dims="plane",
        halo_rule=_bilateral_reach,
        dtype_rule=floating,
        keeps_brightness=True,
        holds_gil=True,
        help="Smooths and keeps edges. Floating point, in the image's own range.",
    ),
    Operation(
        name="nl_means",
        title="Non-local means",
        group="Restoration",
        function=f"{__name__}:non_local_means",
        kind="global",
        output="image",
        parameters=(
            length("patch", 5.0, "Patch", "Side of the surroundings that are compared."),
            length("search", 6.0, "Search", "How far around like surroundings are looked for."),
            measured(
                "h",
                f"{_LEVELS}:noise",
                "Strength",
                "Difference in grey values that is smoothed; empty for the noise.",
                minimum=0.0,
                is_of_detail=True,
            ),
        ),
        dims="plane",
        halo_rule=_non_local_reach,
        dtype_rule=floating,
        keeps_brightness=True,
        holds_gil=True,
        help="Takes noise away and keeps texture. Floating point, in the image's own range.",
    ),
    Operation(
        name="tv_chambolle",
        title="Total variation",
        group="Restoration",
        function=f"{__name__}:total_variation",
        kind="unbounded",
        output="image",
        parameters=(
            measured(
                "weight",
                f"{_LEVELS}:noise",
                "Weight",
                "In grey values; higher makes it flatter. Empty for the noise.",
                minimum=0.0,
                is_of_detail=True,
            ),
        ),
        dims="plane",
        dtype_rule=floating,
        keeps_brightness=True,
        help="Flattens noise and keeps edges. Floating point, in the image's own range.",
    ),
    Operation(
        name="richardson_lucy",
        title="Richardson–Lucy deconvolution",
        group="Restoration",
        function=f"{__name__}:richardson_lucy",
        kind="local",
        output="image",
        parameters=(
            length("sigma", 1.5, "Sigma", "Of the Gaussian blur that is undone."),
            whole(
                "num_iter",
                10,
                "Rounds",
                "More is sharper and noisier, and takes longer.",
                minimum=1,
                maximum=50,
            ),
        ),
        halo_rule=_deconvolution_reach,
        dtype_rule=floating,
        keeps_brightness=True,
        help="Sharpens what a Gaussian has blurred. Floating point, not below 0.",
    ),
    Operation(
        name="rolling_ball",
        title="Rolling ball background",
        group="Restoration",
        function=f"{__name__}:rolling_ball",
        kind="global",
        output="image",
        parameters=(
            length("radius", 20.0, "Radius", "Of the ball; larger than any object."),
            measured(
                "height",
                f"{__name__}:fifth_of_range",
                "Height",
                "Of the ball in grey values, 0 is flat; empty for a fifth of the image's range.",
                minimum=0.0,
            ),
            choice(
                "give",
                ("image", "background"),
                "Give",
                "The image without its background, or the background.",
            ),
        ),
        dims="plane",
        halo_rule=partial(footprint_reach, parameter="radius"),
        dtype_rule=floating,
        holds_gil=True,
        help="Takes uneven background away. Floating point; background is near 0.",
    ),
    Operation(
        name="remove_outliers",
        title="Remove outliers",
        group="Restoration",
        function=f"{__name__}:outliers",
        kind="global",
        output="image",
        parameters=(
            length("radius", 1.5, "Radius", "Of the disk (or ball) a pixel is compared with."),
            measured(
                "threshold",
                f"{__name__}:five_noise",
                "Threshold",
                "Difference in grey values that is too much; empty for five times the noise.",
                minimum=0.0,
                is_of_detail=True,
            ),
            choice(
                "which",
                ("bright and dark", "bright", "dark"),
                "Outliers",
                "Which of them are replaced.",
            ),
        ),
        halo_rule=partial(footprint_reach, parameter="radius"),
        dtype_rule=unchanged,
        keeps_brightness=True,
        help="Replaces hot and dead pixels by the median around them. Same dtype and range.",
    ),
)
