"""Arithmetic of two channels, and of a channel and a mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.process.dtypes import (
    always_float32,
    difference_dtype,
    mask_dtype,
    sum_dtype,
    unchanged,
)
from napari_omezarr_cloud.process.halo import pixelwise
from napari_omezarr_cloud.process.operation import Input, Operation
from napari_omezarr_cloud.process.settings import choice, number

if TYPE_CHECKING:
    from napari_omezarr_cloud.process.operation import DtypeRule, Output, Parameter

__all__ = [
    "OPERATIONS",
    "combine_masks",
    "difference",
    "masked",
    "merge",
    "product",
    "ratio",
    "weighted_sum",
]

_Array = npt.NDArray[Any]
_Mask = npt.NDArray[np.bool_]


def difference(image: _Array, other: _Array) -> _Array:
    """Return ``image - other`` in a dtype that does not wrap (see `dtypes.difference_dtype`)."""
    wide = difference_dtype([image.dtype, other.dtype])
    return np.asarray(np.subtract(image, other, dtype=wide))


def ratio(image: _Array, other: _Array) -> npt.NDArray[np.float32]:
    """Return ``image / other`` as float32: 0/0 is 0, anything else over 0 is infinite."""
    wide = sum_dtype([image.dtype, other.dtype])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        quotient = np.divide(image, other, dtype=wide)
        quotient[(image == 0) & (other == 0)] = 0
        return np.asarray(quotient, dtype=np.float32)


def merge(image: _Array, other: _Array, method: str) -> _Array:
    """Return ``"mean"``, ``"maximum"``, ``"minimum"`` or ``"sum"`` of two; see `sum_dtype`."""
    one, two = _wide(image, other)
    if method == "maximum":
        return np.asarray(np.maximum(one, two))
    if method == "minimum":
        return np.asarray(np.minimum(one, two))
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(one + two if method == "sum" else one / 2 + two / 2)


def weighted_sum(
    image: _Array, other: _Array, weight: float, other_weight: float, offset: float
) -> _Array:
    """Return ``weight * image + other_weight * other + offset``; see `sum_dtype`."""
    one, two = _wide(image, other)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(weight * one + other_weight * two + offset, dtype=one.dtype)


def product(image: _Array, other: _Array) -> _Array:
    """Return ``image * other``; see `sum_dtype`."""
    one, two = _wide(image, other)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(one * two)


def _wide(image: _Array, other: _Array) -> tuple[_Array, _Array]:
    wide = sum_dtype([image.dtype, other.dtype])
    return image.astype(wide, copy=False), other.astype(wide, copy=False)


def masked(image: _Array, mask: _Mask, keep: str) -> _Array:
    """Return ``image`` where ``mask`` is set (``"inside"``) or not (``"outside"``), else 0."""
    kept = mask if keep == "inside" else ~mask
    return np.where(kept, image, image.dtype.type(0))


def combine_masks(mask: _Mask, other: _Mask, method: str) -> _Mask:
    """Return the mask of what is in ``"both"``, ``"either"``, ``"only one"``, or not ``other``."""
    if method == "both":
        return np.asarray(mask & other)
    if method == "either":
        return np.asarray(mask | other)
    return np.asarray(mask ^ other if method == "only one" else mask & ~other)


def _pixelwise(
    name: str,
    title: str,
    function: str,
    help: str,
    *parameters: Parameter,
    dtype_rule: DtypeRule,
    inputs: tuple[Input, ...] = (Input("image"), Input("other")),
    output: Output = "image",
) -> Operation:
    return Operation(
        name=name,
        title=title,
        group="Channels",
        function=f"{__name__}:{function}",
        kind="local",
        output=output,
        inputs=inputs,
        parameters=parameters,
        halo_rule=pixelwise,
        dtype_rule=dtype_rule,
        colours="none",
        keeps_brightness=function in ("masked", "merge"),
        help=help,
    )


OPERATIONS = (
    _pixelwise(
        "difference",
        "Difference",
        "difference",
        "Image minus other. Signed, and wide enough that nothing wraps below 0.",
        dtype_rule=difference_dtype,
    ),
    _pixelwise(
        "ratio",
        "Ratio",
        "ratio",
        "Image divided by other, as float32. 0/0 is 0; other divisions by 0 are infinite.",
        dtype_rule=always_float32,
    ),
    _pixelwise(
        "merge",
        "Merge",
        "merge",
        "Mean, brighter, darker or sum of two. Floating point, in the images' own range.",
        choice(
            "method",
            ("mean", "maximum", "minimum", "sum"),
            "Take",
            "What is taken of the two values of each pixel.",
        ),
        dtype_rule=sum_dtype,
    ),
    _pixelwise(
        "weighted_sum",
        "Weighted sum",
        "weighted_sum",
        "Image and other, each times a weight: to take bleed-through away. Floating point.",
        number("weight", 1.0, "Weight", "What the image is multiplied by.", step=0.1),
        number(
            "other_weight",
            -0.2,
            "Weight of other",
            "What the other is multiplied by; negative subtracts.",
            step=0.1,
        ),
        number("offset", 0.0, "Offset", "Grey values that are added."),
        dtype_rule=sum_dtype,
    ),
    _pixelwise(
        "multiply",
        "Multiply",
        "product",
        "Image times other: bright where both are. Floating point.",
        dtype_rule=sum_dtype,
    ),
    _pixelwise(
        "mask_image",
        "Mask an image",
        "masked",
        "Keeps an image inside (or outside) a mask or labels. Same dtype; 0 elsewhere.",
        choice("keep", ("inside", "outside"), "Keep", "Which part stays."),
        dtype_rule=unchanged,
        inputs=(Input("image"), Input("mask", "mask")),
    ),
    _pixelwise(
        "combine_masks",
        "Combine masks",
        "combine_masks",
        "Where both, either, only one or not the other of two masks is set. A mask.",
        choice(
            "method",
            ("both", "either", "only one", "not the other"),
            "Take",
            "Which pixels of the two are set.",
        ),
        dtype_rule=mask_dtype,
        inputs=(Input("mask", "mask"), Input("other", "mask")),
        output="mask",
    ),
)
