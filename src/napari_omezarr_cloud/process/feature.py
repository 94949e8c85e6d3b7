"""Features: spots, corners, directions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.process.dtypes import floating, label_dtype, mask_dtype, to_float
from napari_omezarr_cloud.process.halo import gaussian_reach, isotropic
from napari_omezarr_cloud.process.operation import Operation
from napari_omezarr_cloud.process.segmentation import peaks
from napari_omezarr_cloud.process.settings import choice, length, measured, number
from napari_omezarr_cloud.process.thresholds import above

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "OPERATIONS",
    "blobs",
    "coherence",
    "corners",
    "extended_maxima",
    "local_maxima",
    "orientation",
    "shape_index",
]

_Array = npt.NDArray[Any]


def blobs(image: _Array, sigma: Sequence[float], spots: str) -> _Array:
    """Return the scale-normalised Laplacian of Gaussian, high at spots; a float array.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``.
    sigma
        Of the Gaussian, in pixels, one per axis: the spot's radius divided by the square root of
        the number of axes. Second derivatives are per sigma of their axis (Lindeberg, 1998).
    spots
        ``"bright"`` or ``"dark"``.
    """
    from scipy import ndimage

    values = to_float(image)
    total = np.zeros_like(values)
    for axis, width in enumerate(sigma):
        order = [2 * int(axis == other) for other in range(values.ndim)]
        total += width**2 * ndimage.gaussian_filter(values, sigma, order=order, mode="nearest")
    return -total if spots == "bright" else total


def local_maxima(
    image: _Array, sigma: Sequence[float], distance: Sequence[float], threshold: float
) -> npt.NDArray[np.int32]:
    """Return a number for each bright peak, on its pixel alone.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``. NaN counts as darkest.
    sigma
        Of the blur before, in pixels, one per axis.
    distance
        In which a peak is the brightest, in pixels, one per axis.
    threshold
        Grey value of the blurred image that a peak must exceed.
    """
    from skimage.filters import gaussian

    values = to_float(image)
    known = np.where(np.isfinite(values), values, min(threshold, 0.0)).astype(values.dtype)
    smooth = gaussian(known, sigma, mode="nearest")
    return peaks(smooth, distance, above(smooth, threshold))


def extended_maxima(image: _Array, h: float) -> npt.NDArray[np.bool_]:
    """Return the mask of peaks that rise at least ``h`` grey values above their surroundings."""
    from skimage import morphology

    values = to_float(image)
    known = np.isfinite(values)
    if h <= 0 or not known.any():
        return np.zeros(image.shape, np.bool_)
    filled = values if known.all() else np.where(known, values, values[known].min())
    return np.asarray(morphology.h_maxima(filled.astype(np.float64), h), dtype=np.bool_)


def _structure(image: _Array, sigma: Sequence[float]) -> tuple[_Array, _Array, _Array]:
    """Return rows x rows, rows x columns and columns x columns of the gradient, averaged."""
    from skimage.feature import structure_tensor

    values = to_float(image)
    # scikit-image drops axes of one pixel; of two like ones it sees the same as of one.
    height, width = values.shape
    thick = np.pad(values, [(0, int(height == 1)), (0, int(width == 1))], mode="edge")
    elements = structure_tensor(thick, sigma=list(sigma), mode="nearest")
    rows, mixed, columns = (np.asarray(each)[:height, :width] for each in elements)
    return rows, mixed, columns


def coherence(image: _Array, sigma: Sequence[float]) -> _Array:
    """Return how much structures point in one direction, 0 to 1; a float array.

    The difference of the structure tensor's eigenvalues divided by their sum (Püspöki et al.,
    2016, which OrientationJ measures).

    Parameters
    ----------
    image
        ``yx``.
    sigma
        Of the surroundings, in pixels, one per axis.
    """
    rows, mixed, columns = _structure(image, sigma)
    strength = rows + columns
    difference = np.sqrt((rows - columns) ** 2 + 4 * mixed**2)
    share = np.divide(difference, strength, out=np.zeros_like(strength), where=strength > 0)
    return np.asarray(np.clip(share, 0, 1))


def orientation(image: _Array, sigma: Sequence[float]) -> _Array:
    """Return the direction of structures in degrees, above -90 up to 90; a float array.

    0 runs along x, 90 along y; with y downwards, as images are shown, a positive angle climbs to
    the right. Parameters as for `coherence`.
    """
    rows, mixed, columns = _structure(image, sigma)
    # The gradient runs across a structure, hence the quarter turn in the signs.
    return np.asarray(np.rad2deg(0.5 * np.arctan2(2 * mixed, rows - columns)), dtype=rows.dtype)


def corners(image: _Array, sigma: Sequence[float], k: float) -> _Array:
    """Return the response of Harris and Stephens (1988), high at corners; a float array.

    Parameters
    ----------
    image
        ``yx``.
    sigma
        Of the surroundings, in pixels, one per axis.
    k
        How much an edge is not a corner: 0 to 0.2.
    """
    rows, mixed, columns = _structure(image, sigma)
    return np.asarray(rows * columns - mixed**2 - k * (rows + columns) ** 2)


def shape_index(image: _Array, sigma: Sequence[float]) -> _Array:
    """Return -1 in cups, 0 on saddles, 1 on caps; NaN where flat (Koenderink, 1992).

    Parameters
    ----------
    image
        ``yx``.
    sigma
        Of the blur before, in pixels, one per axis.
    """
    from skimage.feature import shape_index

    if min(image.shape) < 2:  # there is no slope along it
        return np.full(image.shape, np.nan, floating([image.dtype]))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(shape_index(to_float(image), sigma=isotropic(sigma), mode="nearest"))


def _tensor_reach(values: Mapping[str, Any], ndim: int) -> tuple[int, ...]:
    # Sobel first.
    return tuple(1 + r for r in gaussian_reach(values, ndim, parameter="sigma"))


def _shape_reach(values: Mapping[str, Any], ndim: int) -> tuple[int, ...]:
    # Two differences after the blur.
    return (int(4 * isotropic(values["sigma"]) + 0.5) + 2,) * ndim


_AROUND = (length("sigma", 3.0, "Sigma", "How far around a pixel is averaged."),)

OPERATIONS = (
    Operation(
        name="local_maxima",
        title="Local maxima",
        group="Features",
        function=f"{__name__}:local_maxima",
        kind="objects",
        output="labels",
        parameters=(
            length("sigma", 2.0, "Sigma", "Of the blur before; finer peaks vanish."),
            length("distance", 3.0, "Distance", "Between two peaks, at least."),
            measured(
                "threshold",
                "napari_omezarr_cloud.process.thresholds:otsu",
                "Threshold",
                "Grey value that a peak must exceed; empty for Otsu's choice.",
            ),
        ),
        dtype_rule=label_dtype,
        colours="none",
        help="Finds bright peaks: one point each, to count or as markers. Labels from 1.",
    ),
    Operation(
        name="h_maxima",
        title="Peaks of a height",
        group="Features",
        function=f"{__name__}:extended_maxima",
        kind="unbounded",
        output="mask",
        parameters=(
            measured(
                "h",
                "napari_omezarr_cloud.process.levels:tenth_of_range",
                "Height",
                "How far a peak must rise above its surroundings; empty for a tenth of the range.",
                minimum=0.0,
            ),
        ),
        dtype_rule=mask_dtype,
        colours="none",
        holds_gil=True,
        help="Marks peaks that rise far enough above what is around them. A mask.",
    ),
    Operation(
        name="blob_log",
        title="Spots (Laplacian of Gaussian)",
        group="Features",
        function=f"{__name__}:blobs",
        kind="local",
        output="image",
        parameters=(
            length("sigma", 2.0, "Sigma", "Of the spots: their radius divided by 1.4 (3D: 1.7)."),
            choice("spots", ("bright", "dark"), "Spots are", "Brighter or darker than around."),
        ),
        halo_rule=partial(gaussian_reach, parameter="sigma"),
        dtype_rule=floating,
        help="Brings out spots of a size. Floating point, in grey values, around 0.",
    ),
    Operation(
        name="coherence",
        title="Coherence",
        group="Features",
        function=f"{__name__}:coherence",
        kind="local",
        output="image",
        parameters=_AROUND,
        halo_rule=_tensor_reach,
        dims="plane",
        dtype_rule=floating,
        colours="none",
        help="How much structures point in one direction. Floating point, 0 (none) to 1 (all).",
    ),
    Operation(
        name="orientation",
        title="Orientation",
        group="Features",
        function=f"{__name__}:orientation",
        kind="local",
        output="image",
        parameters=_AROUND,
        halo_rule=_tensor_reach,
        dims="plane",
        dtype_rule=floating,
        colours="none",
        help="Direction of structures. Floating point, -90 to 90 degrees, 0 along x.",
    ),
    Operation(
        name="corner_harris",
        title="Harris corners",
        group="Features",
        function=f"{__name__}:corners",
        kind="local",
        output="image",
        parameters=(
            length("sigma", 1.0, "Sigma", "How far around a pixel is looked."),
            number(
                "k",
                0.05,
                "k",
                "Higher takes fewer edges for corners.",
                minimum=0.0,
                maximum=0.25,
                step=0.01,
            ),
        ),
        halo_rule=_tensor_reach,
        dims="plane",
        dtype_rule=floating,
        help="High at corners, below 0 on edges. Floating point, in grey values to the fourth.",
    ),
    Operation(
        name="shape_index",
        title="Shape index",
        group="Features",
        function=f"{__name__}:shape_index",
        kind="local",
        output="image",
        parameters=(length("sigma", 2.0, "Sigma", "Of the blur before."),),
        halo_rule=_shape_reach,
        dims="plane",
        dtype_rule=floating,
        colours="none",
        help="Cups -1, ruts, saddles 0, ridges, caps 1, whatever their contrast. NaN where flat.",
    ),
)
