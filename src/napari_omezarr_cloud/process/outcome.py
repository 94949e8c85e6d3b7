"""What a function gave back: the image in it, or in words what it is instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError

__all__ = ["image_in", "in_words"]

_Array: TypeAlias = npt.NDArray[Any]

_MOST_VALUES = 12
"""Numbers that are told one by one."""


def image_in(result: Any, shape: tuple[int, ...], title: str) -> _Array:
    """Return the result of a function as an array of the shape it should have.

    Parameters
    ----------
    result
        An array; of several things in a tuple or list, the first array of this shape.
    shape
        Of the pixels that went in.
    title
        Of the operation, for the message.

    Raises
    ------
    OperationError
        If there is no such array; it says what there is, small things with their values.
    """
    parts = result if isinstance(result, tuple | list) else (result,)
    for part in parts:
        if isinstance(part, np.ndarray | np.generic) and np.shape(part) == shape:
            return np.asarray(part)
    whole = _whole(result)
    if whole is not None and whole.shape == shape:
        return whole
    raise OperationError(f"{title} gave no image of this size", why=f"it gave {in_words(result)}")


def in_words(result: Any) -> str:
    """Return what something is, with its values where these are few."""
    if result is None:
        return "nothing"
    if isinstance(result, str):
        return f"the text {result[:200]!r}"
    if isinstance(result, Mapping):
        return f"a table of {', '.join(str(key) for key in list(result)[:_MOST_VALUES])}"
    array = _whole(result)
    if array is not None:
        return _array_in_words(array)
    if isinstance(result, tuple | list):
        few = [in_words(part) for part in result[:5]]
        rest = [f"{len(result) - 5} more"] if len(result) > 5 else []
        return " and ".join([*few, *rest]) or "an empty list"
    return f"an object of type {type(result).__name__}"


def _array_in_words(array: _Array) -> str:
    if array.ndim == 0:
        return _number(array[()])
    if array.size == 0:
        return "an empty list"
    values = ", ".join(_number(value) for value in array.reshape(-1)[:_MOST_VALUES])
    if array.ndim == 1:
        return values if array.size <= _MOST_VALUES else f"a list of {array.size} numbers"
    size = " × ".join(str(n) for n in array.shape)
    kind = f"a table of {size} numbers" if array.ndim == 2 else f"an array of shape {size}"
    return f"{kind}: {values}" if array.size <= _MOST_VALUES else kind


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)


def _whole(result: Any) -> _Array | None:
    """Return numbers as an array; None where they are none, or lists of unequal length."""
    try:
        array = np.asarray(result)
    except ValueError:
        return None
    return array if array.dtype.kind in "biufc" else None
