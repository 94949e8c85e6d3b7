"""Arithmetic of two channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.process.dtypes import always_float32, difference_dtype
from napari_omezarr_cloud.process.halo import pixelwise
from napari_omezarr_cloud.process.operation import Input, Operation

__all__ = ["OPERATIONS", "difference", "ratio"]


def difference(image: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return ``image - other`` in a dtype that does not wrap (see `dtypes.difference_dtype`)."""
    wide = difference_dtype([image.dtype, other.dtype])
    return np.asarray(np.subtract(image, other, dtype=wide))


def ratio(image: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return ``image / other`` as float32: 0/0 is 0, anything else over 0 is infinite."""
    exact = all(array.dtype.itemsize <= 2 or array.dtype == np.float32 for array in (image, other))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        quotient = np.divide(image, other, dtype=np.float32 if exact else np.float64)
        quotient[(image == 0) & (other == 0)] = 0
        return np.asarray(quotient, dtype=np.float32)


OPERATIONS = (
    Operation(
        name="difference",
        title="Difference",
        group="Channels",
        function=f"{__name__}:difference",
        kind="local",
        output="image",
        inputs=(Input("image"), Input("other")),
        halo_rule=pixelwise,
        dtype_rule=difference_dtype,
        colours="none",
        help="Image minus other. Signed, and wide enough that nothing wraps below 0.",
    ),
    Operation(
        name="ratio",
        title="Ratio",
        group="Channels",
        function=f"{__name__}:ratio",
        kind="local",
        output="image",
        inputs=(Input("image"), Input("other")),
        halo_rule=pixelwise,
        dtype_rule=always_float32,
        colours="none",
        help="Image divided by other, as float32. 0/0 is 0; other divisions by 0 are infinite.",
    ),
)
