"""Grey values measured on a whole image: what `global` operations need before they can run."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError

__all__ = [
    "brightest",
    "darkest",
    "finite",
    "half_of_range",
    "high_percentile",
    "low_percentile",
    "noise",
    "spread",
    "tenth_of_range",
]

_Array = npt.NDArray[Any]


def finite(image: _Array) -> _Array:
    """Return the finite values of an image, along one axis.

    Raises
    ------
    OperationError
        If there is none.
    """
    values: _Array = image.view(np.uint8) if image.dtype.kind == "b" else image
    values = values[np.isfinite(values)] if values.dtype.kind == "f" else values.ravel()
    if values.size == 0:
        raise OperationError(
            "Nothing can be measured",
            why="the region holds no finite value",
            hint="Move to where there is data, or type the number.",
        )
    return values


def darkest(image: _Array, *others: _Array) -> float:
    """Return the smallest finite value."""
    return float(finite(image).min())


def brightest(image: _Array, *others: _Array) -> float:
    """Return the largest finite value."""
    return float(finite(image).max())


def low_percentile(image: _Array, *others: _Array) -> float:
    """Return the value that 1 % of the pixels are below."""
    return float(np.percentile(finite(image), 1))


def high_percentile(image: _Array, *others: _Array) -> float:
    """Return the value that 99.8 % of the pixels are below."""
    return float(np.percentile(finite(image), 99.8))


def tenth_of_range(image: _Array, *others: _Array) -> float:
    """Return a tenth of the distance from the 1st to the 99.8th percentile."""
    return (high_percentile(image) - low_percentile(image)) / 10


def half_of_range(image: _Array, *others: _Array) -> float:
    """Return half the distance from the 1st to the 99.8th percentile."""
    return 5 * tenth_of_range(image)


def spread(image: _Array, *others: _Array) -> float:
    """Return the standard deviation of the finite values."""
    return float(np.std(finite(image), dtype=np.float64))


def noise(image: _Array, *others: _Array) -> float:
    """Return the standard deviation of the noise, estimated from what a Laplacian leaves.

    Immerkaer (1996), Fast noise variance estimation, with the median instead of the mean, which
    edges move less. Planes are looked at one by one, and so is each colour: a last axis of 3 or 4
    is taken for colours.
    """
    from scipy import ndimage

    # The mask of the paper; its response to noise of sd 1 has sd 6.
    mask = np.array([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]])
    planes = image.astype(np.float64)
    if image.ndim > 2 and image.shape[-1] in (3, 4):
        planes = np.moveaxis(planes, -1, 0)
    left = ndimage.correlate(planes, mask.reshape((1,) * (image.ndim - 2) + (3, 3)))
    # The median of |x| of a normal distribution is 0.6745 standard deviations.
    return float(np.median(np.abs(finite(left)))) / (6 * 0.6745)
