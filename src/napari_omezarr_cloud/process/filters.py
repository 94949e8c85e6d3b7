"""Filters that smooth, denoise or sharpen."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.process.dtypes import floating, unchanged
from napari_omezarr_cloud.process.halo import ellipsoid, footprint_reach, gaussian_reach
from napari_omezarr_cloud.process.operation import Operation, Parameter

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["OPERATIONS", "median", "unsharp_mask"]


def median(image: npt.NDArray[Any], radius: Sequence[float]) -> npt.NDArray[Any]:
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


def unsharp_mask(
    image: npt.NDArray[Any], radius: Sequence[float], amount: float
) -> npt.NDArray[Any]:
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


OPERATIONS = (
    Operation(
        name="gaussian",
        title="Gaussian blur",
        group="Filters",
        function="skimage.filters:gaussian",
        kind="local",
        output="image",
        parameters=(
            Parameter(
                name="sigma",
                type="length",
                default=2.0,
                minimum=0.0,
                step=0.5,
                unit="µm",
                label="Sigma",
                help="Standard deviation of the blur; details smaller than this vanish.",
            ),
        ),
        fixed=(("preserve_range", True), ("truncate", 4.0), ("mode", "nearest")),
        halo_rule=partial(gaussian_reach, parameter="sigma", truncate=4.0),
        dtype_rule=floating,
        help="Smooths noise away. The result is floating point, in the image's own range.",
    ),
    Operation(
        name="median",
        title="Median",
        group="Filters",
        function=f"{__name__}:median",
        kind="local",
        output="image",
        parameters=(
            Parameter(
                name="radius",
                type="length",
                default=2.0,
                minimum=0.0,
                step=0.5,
                unit="µm",
                label="Radius",
                help="Radius of the disk (or ball) whose middle value is taken.",
            ),
        ),
        halo_rule=partial(footprint_reach, parameter="radius"),
        dtype_rule=unchanged,
        help="Removes specks and keeps edges. The result has the image's dtype and range.",
    ),
    Operation(
        name="unsharp_mask",
        title="Unsharp mask",
        group="Filters",
        function=f"{__name__}:unsharp_mask",
        kind="local",
        output="image",
        parameters=(
            Parameter(
                name="radius",
                type="length",
                default=2.0,
                minimum=0.0,
                step=0.5,
                unit="µm",
                label="Radius",
                help="Standard deviation of the blur that is compared with the image.",
            ),
            Parameter(
                name="amount",
                type="float",
                default=1.0,
                minimum=-10.0,
                maximum=10.0,
                step=0.1,
                label="Amount",
                help="How much of the difference is added; negative values soften.",
            ),
        ),
        halo_rule=partial(gaussian_reach, parameter="radius", truncate=4.0),
        dtype_rule=floating,
        help="Sharpens details. Floating point; may go beyond the image's own range at edges.",
    ),
)
