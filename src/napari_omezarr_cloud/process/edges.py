"""Edges and ridges."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.process.dtypes import floating
from napari_omezarr_cloud.process.halo import neighbours
from napari_omezarr_cloud.process.operation import Operation

__all__ = ["OPERATIONS", "sobel"]


def sobel(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the magnitude of the Sobel gradient as a float array, per pixel of ``image``.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``; the same step in any direction counts the same, whatever the spacing.
    """
    from skimage import filters

    # scikit-image would rescale integers to 0..1 here, and has no preserve_range for it.
    return np.asarray(filters.sobel(image.astype(floating([image.dtype]), copy=False)))


OPERATIONS = (
    Operation(
        name="sobel",
        title="Sobel edges",
        group="Edges",
        function=f"{__name__}:sobel",
        kind="local",
        output="image",
        halo_rule=neighbours,
        dtype_rule=floating,
        help="Shows where brightness changes. Floating point, in grey values per pixel.",
    ),
)
