"""Exposure: how grey values are spread over their range.

The range is measured on the whole image, or set, so that blocks and views of it stay comparable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.process.dtypes import floating, to_float, unchanged
from napari_omezarr_cloud.process.halo import pixelwise
from napari_omezarr_cloud.process.operation import Operation
from napari_omezarr_cloud.process.settings import length, measured, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.process.operation import DtypeRule, Parameter

__all__ = [
    "OPERATIONS",
    "adaptive_histogram",
    "gamma",
    "histogram",
    "invert",
    "logarithm",
    "rescale",
    "sigmoid",
    "stretched",
]

_Array = npt.NDArray[Any]


def stretched(image: _Array, low: float, high: float) -> _Array:
    """Return an image as floats such that ``low`` is 0 and ``high`` is 1, clipped to both."""
    values = to_float(image)
    if not high > low:
        return (values > low).astype(values.dtype)
    return np.asarray(np.clip((values - low) / (high - low), 0, 1), dtype=values.dtype)


def _back(share: _Array, low: float, high: float) -> _Array:
    return np.asarray(low + share * max(high - low, 0), dtype=share.dtype)


def rescale(image: _Array, low: float, high: float, out_low: float, out_high: float) -> _Array:
    """Return an image stretched from ``low..high`` to ``out_low..out_high``, clipped; floats."""
    share = stretched(image, low, high)
    return np.asarray(out_low + share * (out_high - out_low), dtype=share.dtype)


def gamma(image: _Array, gamma: float, low: float, high: float) -> _Array:
    """Return ``share ** gamma`` of the range from ``low`` to ``high``, in that range; floats."""
    return _back(stretched(image, low, high) ** gamma, low, high)


def logarithm(image: _Array, gain: float, low: float, high: float) -> _Array:
    """Return ``gain * log2(1 + share)`` of the range, in that range; floats."""
    return _back(gain * np.log2(1 + stretched(image, low, high)), low, high)


def sigmoid(image: _Array, cutoff: float, gain: float, low: float, high: float) -> _Array:
    """Return ``1 / (1 + exp(gain * (cutoff - share)))`` of the range, in that range; floats."""
    from scipy.special import expit  # does not overflow

    return _back(expit(gain * (stretched(image, low, high) - cutoff)), low, high)


def invert(image: _Array, low: float, high: float) -> _Array:
    """Return ``low + high - image``, clipped to ``low..high``; dtype as ``image``."""
    if image.dtype.kind == "b":
        return ~image
    if image.dtype.kind == "f":
        return np.asarray(low + high - np.clip(image, low, high), dtype=image.dtype)
    limits = np.iinfo(image.dtype)
    lowest, highest = (
        np.asarray(min(max(int(value), limits.min), limits.max), dtype=image.dtype)
        for value in (low, max(low, high))
    )
    # Where the difference leaves the dtype it wraps, and the sum wraps it back.
    return np.asarray((highest - np.clip(image, lowest, highest)) + lowest, dtype=image.dtype)


def histogram(image: _Array) -> _Array:
    """Return the share of the pixels that are not brighter, 0 to 1; floats. NaN stays NaN."""
    from skimage import exposure

    values = to_float(image)
    known = np.isfinite(values)
    if not known.any():
        return values.copy()
    # Only what is known, along one axis: a volume 3 pixels wide would be taken for a colour image.
    result = np.full_like(values, np.nan)
    result[known] = exposure.equalize_hist(values[known])
    return result


def adaptive_histogram(image: _Array, tile: Sequence[float], clip_limit: float) -> _Array:
    """Return an image with the contrast of each tile spread out, 0 to 1; floats.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``. Not finite values count as darkest.
    tile
        Sides of a tile in pixels, one per axis.
    clip_limit
        How much contrast may be amplified, 0 to 1.
    """
    from skimage import exposure

    values = to_float(image)
    known = np.isfinite(values)
    if not known.any():
        return np.zeros_like(values)
    filled = values if known.all() else np.where(known, values, values[known].min())
    lowest, highest = float(filled.min()), float(filled.max())
    if lowest == highest:
        return np.zeros_like(values)
    sides = [min(max(1, round(side)), n) for side, n in zip(tile, image.shape, strict=True)]
    # Within 0..1 first: scikit-image reads floats far beyond as they are, and squares them.
    share = (filled - lowest) / (highest - lowest)
    result = exposure.equalize_adapthist(share, kernel_size=sides, clip_limit=clip_limit)
    return np.asarray(result, dtype=values.dtype)


_LEVELS = "napari_omezarr_cloud.process.levels"
_RANGE = (
    measured("low", f"{_LEVELS}:darkest", "Dark end", "Grey value of black; empty for darkest."),
    measured("high", f"{_LEVELS}:brightest", "Bright end", "Grey value of white; empty for top."),
)


def _curve(
    name: str,
    title: str,
    function: str,
    help: str,
    parameters: tuple[Parameter, ...],
    dtype_rule: DtypeRule = floating,
) -> Operation:
    return Operation(
        name=name,
        title=title,
        group="Exposure",
        function=f"{__name__}:{function}",
        kind="global",
        output="image",
        parameters=parameters,
        halo_rule=pixelwise,
        dtype_rule=dtype_rule,
        keeps_brightness=name != "rescale_intensity",
        help=help,
    )


OPERATIONS = (
    _curve(
        "rescale_intensity",
        "Rescale intensity",
        "rescale",
        "Stretches a range of grey values to another, clipped. Floating point.",
        (
            measured(
                "low",
                f"{_LEVELS}:low_percentile",
                "Dark end",
                "Grey value that becomes the lowest; empty for the 1st percentile.",
            ),
            measured(
                "high",
                f"{_LEVELS}:high_percentile",
                "Bright end",
                "Grey value that becomes the highest; empty for the 99.8th percentile.",
            ),
            number("out_low", 0.0, "To lowest", "What the dark end becomes."),
            number("out_high", 1.0, "To highest", "What the bright end becomes."),
        ),
    ),
    _curve(
        "gamma",
        "Gamma",
        "gamma",
        "Brightens or darkens the middle, keeps both ends. Floating point, in the same range.",
        (
            number(
                "gamma",
                0.5,
                "Gamma",
                "Below 1 brightens dim structures, above 1 darkens them.",
                minimum=0.01,
                maximum=10.0,
                step=0.1,
            ),
            *_RANGE,
        ),
    ),
    _curve(
        "log",
        "Logarithm",
        "logarithm",
        "Brightens dim structures. Floating point, in the same range.",
        (
            number("gain", 1.0, "Gain", "What the result is multiplied by.", minimum=0.0, step=0.1),
            *_RANGE,
        ),
    ),
    _curve(
        "sigmoid",
        "Sigmoid",
        "sigmoid",
        "More contrast around one brightness, less at both ends. Floating point, same range.",
        (
            number(
                "cutoff",
                0.5,
                "Centre",
                "Brightness with most contrast, from 0 (dark end) to 1 (bright end).",
                minimum=0.0,
                maximum=1.0,
                step=0.05,
            ),
            number(
                "gain",
                10.0,
                "Gain",
                "How steep it is there.",
                minimum=0.0,
                maximum=100.0,
                step=1.0,
            ),
            *_RANGE,
        ),
    ),
    _curve(
        "invert",
        "Invert",
        "invert",
        "Turns dark into bright and bright into dark. Same dtype and range.",
        _RANGE,
        unchanged,
    ),
    Operation(
        name="equalize_hist",
        title="Equalise histogram",
        group="Exposure",
        function=f"{__name__}:histogram",
        kind="unbounded",
        output="image",
        dtype_rule=floating,
        colours="none",
        help="Gives every brightness as many pixels. Floating point, 0 to 1.",
    ),
    Operation(
        name="equalize_adapthist",
        title="Local contrast (CLAHE)",
        group="Exposure",
        function=f"{__name__}:adaptive_histogram",
        kind="unbounded",
        output="image",
        parameters=(
            length("tile", 64.0, "Tile", "Side of the area whose contrast is spread out."),
            number(
                "clip_limit",
                0.01,
                "Clip limit",
                "Higher amplifies contrast more, and noise.",
                minimum=0.0,
                maximum=1.0,
                step=0.01,
            ),
        ),
        dtype_rule=floating,
        colours="none",
        help="Brings out contrast in dark and bright areas alike. Floating point, 0 to 1.",
    ),
)
