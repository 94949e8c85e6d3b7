"""Which dtype an operation works in, and which it gives back.

scikit-image keeps float32 and computes everything else but float32 and float16 in float64; so
do we, since a result must equal the plain call. Values keep their range: uint8 stays 0 to 255.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "always_float32",
    "difference_dtype",
    "floating",
    "given_dtype",
    "label_dtype",
    "mask_dtype",
    "sum_dtype",
    "to_float",
    "unchanged",
    "working_dtype",
]

_DType: TypeAlias = "np.dtype[Any]"


def working_dtype(dtype: _DType) -> _DType:
    """Return the dtype an array is brought to before an operation sees it.

    Native byte order always; float16 becomes float32 and long doubles float64, because
    scipy's filters take neither.

    Raises
    ------
    OperationError
        For complex numbers, and for what is no number.
    """
    if dtype.kind == "c":
        raise OperationError(
            "This image holds complex numbers",
            why="the operations work on real numbers",
            hint="Run it on the layer's magnitude.",
        )
    if dtype.kind not in "biuf":
        raise OperationError(
            "This array holds no numbers", why=f"its dtype is {dtype}", hint="Choose an image."
        )
    if dtype.kind == "f":
        return np.dtype(np.float32 if dtype.itemsize <= 4 else np.float64)
    return dtype.newbyteorder("=")


def unchanged(dtypes: Sequence[_DType]) -> _DType:
    """Return the first input's own dtype."""
    return dtypes[0]


def floating(dtypes: Sequence[_DType]) -> _DType:
    """Return float32 for float32, float64 for all else, as scikit-image computes it."""
    return np.dtype(np.float32 if dtypes[0] == np.float32 else np.float64)


def to_float(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an image in the dtype of `floating`, its values as they are.

    Most of scikit-image brings integers to 0..1 where it is given them; floats it takes as they
    are.
    """
    return image.astype(floating([image.dtype]), copy=False)


def always_float32(dtypes: Sequence[_DType]) -> _DType:
    """Return float32, whatever comes in."""
    return np.dtype(np.float32)


def given_dtype(dtypes: Sequence[_DType], *, dtype: _DType) -> _DType:
    """Return ``dtype``, whatever comes in."""
    return dtype


def mask_dtype(dtypes: Sequence[_DType]) -> _DType:
    """Return bool."""
    return np.dtype(np.bool_)


def label_dtype(dtypes: Sequence[_DType]) -> _DType:
    """Return int32, which every label layer takes."""
    return np.dtype(np.int32)


def difference_dtype(dtypes: Sequence[_DType]) -> _DType:
    """Return the smallest signed dtype that holds every difference of two inputs.

    ``uint8`` gives ``int16``, ``uint16`` gives ``int32``; where no integer is wide enough
    (64-bit inputs) it is float64. With a float among them it is numpy's common float.
    """
    if any(dtype.kind == "f" for dtype in dtypes):
        return np.result_type(*dtypes)
    (low, high), (other_low, other_high) = (_limits(dtype) for dtype in dtypes)
    lowest, highest = low - other_high, high - other_low
    for candidate in (np.int8, np.int16, np.int32, np.int64):
        limits = np.iinfo(candidate)
        if limits.min <= lowest and highest <= limits.max:
            return np.dtype(candidate)
    return np.dtype(np.float64)


def sum_dtype(dtypes: Sequence[_DType]) -> _DType:
    """Return float32 where it holds the values of every input exactly, else float64."""
    exact = all(d.itemsize <= 2 or d == np.float32 for d in dtypes)
    return np.dtype(np.float32 if exact else np.float64)


def _limits(dtype: _DType) -> tuple[int, int]:
    if dtype.kind == "b":
        return 0, 1
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)
