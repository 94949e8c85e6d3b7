"""Thresholds: a grey value from the image, and the mask of what is above it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process.dtypes import mask_dtype
from napari_omezarr_cloud.process.halo import pixelwise
from napari_omezarr_cloud.process.operation import Operation, Parameter

__all__ = ["OPERATIONS", "above", "otsu"]

# scikit-image counts every grey value of an integer image; 32-bit ones could need 16 GB for it.
_MOST_GREY_VALUES = 2**16


def above(image: npt.NDArray[Any], threshold: float) -> npt.NDArray[np.bool_]:
    """Return the mask of ``image > threshold``; NaN is not above anything."""
    return np.asarray(image > threshold, dtype=np.bool_)


def otsu(image: npt.NDArray[Any]) -> float:
    """Return the threshold that parts the grey values best into dark and bright (Otsu, 1979).

    Parameters
    ----------
    image
        Any shape. A mask gives 0: what is set is above. Not finite values are left out.

    Raises
    ------
    OperationError
        If there is no finite value.
    """
    from skimage.filters import threshold_otsu

    if image.dtype.kind == "b":
        return 0.0
    # One axis: with three, scikit-image takes a volume that is 3 pixels wide for a colour image.
    values = image[np.isfinite(image)]
    if values.size == 0:
        raise OperationError(
            "No threshold can be found",
            why="the region holds no finite value",
            hint="Move to where there is data, or type a threshold.",
        )
    if values.dtype.kind in "iu" and int(values.max()) - int(values.min()) > _MOST_GREY_VALUES:
        values = values.astype(np.float64)
    return float(threshold_otsu(values))


OPERATIONS = (
    Operation(
        name="threshold_otsu",
        title="Otsu threshold",
        group="Thresholds",
        function=f"{__name__}:above",
        kind="global",
        output="mask",
        parameters=(
            Parameter(
                name="threshold",
                type="float",
                default=None,
                label="Threshold",
                help="Grey value above which a pixel is set; empty for Otsu's own choice.",
                statistic=f"{__name__}:otsu",
            ),
        ),
        halo_rule=pixelwise,
        dtype_rule=mask_dtype,
        colours="none",
        help="Marks what is bright, at the grey value that parts dark and bright best.",
    ),
)
