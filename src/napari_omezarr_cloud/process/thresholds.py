"""Thresholds: a grey value from the image, and the mask of what is above it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process.dtypes import label_dtype, mask_dtype, to_float
from napari_omezarr_cloud.process.filters import box_moments
from napari_omezarr_cloud.process.halo import half_window, pixelwise, window_reach
from napari_omezarr_cloud.process.levels import noise
from napari_omezarr_cloud.process.operation import Operation, Parameter
from napari_omezarr_cloud.process.settings import choice, length, measured, number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "OPERATIONS",
    "above",
    "adaptive",
    "classes",
    "half_range",
    "hysteresis",
    "isodata",
    "li",
    "mean",
    "minimum",
    "minus_noise",
    "multiotsu_high",
    "multiotsu_low",
    "niblack",
    "otsu",
    "sauvola",
    "triangle",
    "yen",
]

_Array = npt.NDArray[Any]
_Mask = npt.NDArray[np.bool_]

# scikit-image counts every grey value of an integer image; 32-bit ones could need 16 GB for it.
_MOST_GREY_VALUES = 2**16

# These two try pairs of grey values, or smooth the counts thousands of times: 17 GB, or 20 s.
_FEW_GREY_VALUES = 2**8


def above(image: _Array, threshold: float | _Array) -> _Mask:
    """Return the mask of ``image > threshold``; NaN is not above anything."""
    return np.asarray(image > threshold, dtype=np.bool_)


def otsu(image: _Array, *others: _Array) -> float:
    """Return the threshold that parts the grey values best into dark and bright (Otsu, 1979).

    Parameters
    ----------
    image
        Any shape. A mask gives 0: what is set is above. Not finite values are left out.
    others
        Further inputs of an operation, not looked at.

    Raises
    ------
    OperationError
        If there is no finite value.
    """
    return _found("otsu", image)


def li(image: _Array) -> float:
    """Return the threshold of least cross-entropy (Li and Lee, 1993); see `otsu`."""
    return _found("li", image)


def yen(image: _Array) -> float:
    """Return the threshold of highest correlation (Yen et al., 1995); see `otsu`."""
    return _found("yen", image)


def triangle(image: _Array) -> float:
    """Return the threshold at the foot of the histogram's peak (Zack et al., 1977); see `otsu`."""
    return _found("triangle", image)


def isodata(image: _Array) -> float:
    """Return the mean of the means of both sides (Ridler and Calvard, 1978); see `otsu`."""
    return _found("isodata", image)


def mean(image: _Array) -> float:
    """Return the mean; see `otsu`."""
    return _found("mean", image)


def minimum(image: _Array) -> float:
    """Return the lowest point between two peaks (Prewitt and Mendelsohn, 1966); see `otsu`."""
    try:
        return _found("minimum", image)
    except RuntimeError as exc:
        raise OperationError(
            "No threshold can be found",
            why="the histogram does not have two peaks",
            hint="Take another threshold, such as Otsu's, or type one.",
        ) from exc


def multiotsu_low(image: _Array) -> float:
    """Return the lower of the two thresholds that part three classes best; see `otsu`."""
    return _two_thresholds(image)[0]


def multiotsu_high(image: _Array) -> float:
    """Return the higher of the two thresholds that part three classes best; see `otsu`."""
    return _two_thresholds(image)[1]


def _two_thresholds(image: _Array) -> tuple[float, float]:
    from skimage.filters import threshold_multiotsu

    if image.dtype.kind == "b":
        return 0.0, 0.0
    values = _countable(image, _FEW_GREY_VALUES)
    distinct = np.unique(values)
    if distinct.size < 3:
        return float(distinct[0]), float(distinct[-1])
    low, high = threshold_multiotsu(values)
    return float(low), float(high)


def _found(method: str, image: _Array) -> float:
    from skimage import filters

    if image.dtype.kind == "b":
        return 0.0
    most = _FEW_GREY_VALUES if method == "minimum" else _MOST_GREY_VALUES
    values = _countable(image, most)
    first = values[0]
    if (values == first).all():
        return float(first)
    return float(getattr(filters, f"threshold_{method}")(values))


def _countable(image: _Array, most: int) -> _Array:
    """Return the finite values along one axis; as floats, counted in 256 bins, beyond ``most``."""
    # One axis: with three, scikit-image takes a volume that is 3 pixels wide for a colour image.
    values: _Array = image[np.isfinite(image)]
    if values.size == 0:
        raise OperationError(
            "No threshold can be found",
            why="the region holds no finite value",
            hint="Move to where there is data, or type a threshold.",
        )
    if values.dtype.kind not in "iu":
        return values
    lowest, highest = int(values.min()), int(values.max())
    if highest - lowest > most or highest > np.iinfo(np.int64).max:
        return values.astype(np.float64)
    # Older NumPys do not count what is unsigned and has 64 bits.
    return values.astype(np.int64) if values.dtype == np.uint64 else values


def classes(image: _Array, low: float, high: float) -> npt.NDArray[np.int32]:
    """Return 0 up to ``low``, 1 up to ``high``, 2 above it; NaN is 0."""
    return (image > low).astype(np.int32) + (image > max(low, high))


def adaptive(image: _Array, block_size: Sequence[float], method: str, offset: float) -> _Mask:
    """Return the mask of what is brighter than its surroundings.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``.
    block_size
        Sides of the surroundings in pixels, one per axis.
    method
        ``"gaussian"`` (a sixth of the side is sigma), ``"mean"`` or ``"median"``.
    offset
        Grey values that are taken off the mean of the surroundings.
    """
    from skimage import filters

    odd = tuple(2 * half + 1 for half in half_window(block_size))
    values = to_float(image)
    return above(values, filters.threshold_local(values, odd, method=method, offset=offset))


def niblack(image: _Array, window_size: Sequence[float], k: float) -> _Mask:
    """Return the mask of what is above the mean minus ``k`` standard deviations of a box.

    Niblack (1986). ``window_size`` is the sides of the box in pixels, one per axis.
    """
    around, deviation = box_moments(image, window_size)
    return above(image, around - k * deviation)


def sauvola(image: _Array, window_size: Sequence[float], k: float, r: float) -> _Mask:
    """Return the mask of what is above ``mean * (1 + k * (deviation / r - 1))`` of a box.

    Sauvola and Pietikäinen (2000). ``window_size`` is the sides of the box in pixels, one per
    axis; ``r`` the largest standard deviation to be expected.
    """
    around, deviation = box_moments(image, window_size)
    return above(image, around * (1 + k * (deviation / (r or 1.0) - 1)))


def hysteresis(image: _Array, low: float, high: float) -> _Mask:
    """Return the mask of what is above ``low`` and connected to something above ``high``."""
    from skimage import filters

    return np.asarray(filters.apply_hysteresis_threshold(image, low, high), dtype=np.bool_)


def half_range(image: _Array) -> float:
    """Return half the distance from the darkest to the brightest finite value."""
    values = image[np.isfinite(image)]
    return (float(values.max()) - float(values.min())) / 2 if values.size else 1.0


def minus_noise(image: _Array) -> float:
    """Return minus three standard deviations of the noise; little of the ground exceeds it."""
    return -3 * noise(image)


def _adaptive_reach(values: Mapping[str, Any], ndim: int) -> tuple[int, ...]:
    half = half_window(values["block_size"])
    if values["method"] != "gaussian":
        return half
    return tuple(int(4 * (2 * h / 6) + 0.5) for h in half)


def _global(name: str, title: str, what: str, help: str) -> Operation:
    threshold = measured(
        "threshold",
        f"{__name__}:{name}",
        "Threshold",
        f"Grey value above which a pixel is set; empty for {what}.",
    )
    return _threshold(f"threshold_{name}", title, "above", "global", (threshold,), help)


def _threshold(
    name: str,
    title: str,
    function: str,
    kind: Any,
    parameters: tuple[Parameter, ...],
    help: str,
    halo_rule: Any = pixelwise,
) -> Operation:
    return Operation(
        name=name,
        title=title,
        group="Thresholds",
        function=f"{__name__}:{function}",
        kind=kind,
        output="mask",
        parameters=parameters,
        halo_rule=halo_rule,
        dtype_rule=mask_dtype,
        colours="none",
        help=help,
    )


_WINDOW = length(
    "window_size", 25.0, "Window", "Side of the box around a pixel; larger than an object."
)

OPERATIONS = (
    _threshold(
        "threshold",
        "Threshold",
        "above",
        "local",
        (number("threshold", 0.0, "Threshold", "Grey value above which a pixel is set."),),
        "Marks what is brighter than a grey value. A mask; of labels it marks every object.",
    ),
    _global(
        "otsu",
        "Otsu threshold",
        "Otsu's own choice",
        "Marks what is bright, at the grey value that parts dark and bright best.",
    ),
    _global(
        "li",
        "Li threshold",
        "Li's own choice",
        "Marks what is bright, at the least cross-entropy; finds dim objects that Otsu misses.",
    ),
    _global(
        "yen",
        "Yen threshold",
        "Yen's own choice",
        "Marks what is bright, at the highest correlation of both sides; takes bright cores.",
    ),
    _global(
        "triangle",
        "Triangle threshold",
        "the triangle's own choice",
        "Marks what is bright, at the foot of the background's peak; for few or dim objects.",
    ),
    _global(
        "isodata",
        "Isodata threshold",
        "the isodata choice",
        "Marks what is bright, half-way between the means of dark and bright.",
    ),
    _global(
        "mean",
        "Mean threshold",
        "the mean",
        "Marks what is brighter than the mean of the whole image.",
    ),
    _global(
        "minimum",
        "Minimum threshold",
        "the valley between two peaks",
        "Marks what is bright, at the valley between the two peaks of the histogram.",
    ),
    Operation(
        name="threshold_multiotsu",
        title="Otsu, three classes",
        group="Thresholds",
        function=f"{__name__}:classes",
        kind="global",
        output="labels",
        parameters=(
            measured(
                "low",
                f"{__name__}:multiotsu_low",
                "Lower threshold",
                "Grey value above which a pixel is of class 1; empty for Otsu's own choice.",
            ),
            measured(
                "high",
                f"{__name__}:multiotsu_high",
                "Upper threshold",
                "Grey value above which a pixel is of class 2; empty for Otsu's own choice.",
            ),
        ),
        halo_rule=pixelwise,
        dtype_rule=label_dtype,
        colours="none",
        help="Parts dark, middle and bright at two grey values. Labels 0, 1 and 2.",
    ),
    _threshold(
        "threshold_local",
        "Local threshold",
        "adaptive",
        "global",
        (
            length(
                "block_size", 35.0, "Window", "Side of the surroundings; larger than an object."
            ),
            choice(
                "method",
                ("gaussian", "mean", "median"),
                "Compare with",
                "What of the surroundings a pixel is compared with.",
            ),
            measured(
                "offset",
                f"{__name__}:minus_noise",
                "Offset",
                "Grey values below the surroundings that still count; empty for minus 3 x noise.",
                is_of_detail=True,
            ),
        ),
        "Marks what is brighter than its surroundings; for uneven light. A mask.",
        _adaptive_reach,
    ),
    _threshold(
        "threshold_niblack",
        "Niblack threshold",
        "niblack",
        "local",
        (
            _WINDOW,
            number(
                "k",
                -1.0,
                "k",
                "Standard deviations below the local mean; negative asks to be above it.",
                minimum=-5.0,
                maximum=5.0,
                step=0.1,
            ),
        ),
        "Marks what stands out by local mean and standard deviation. A mask.",
        partial(window_reach, parameter="window_size"),
    ),
    _threshold(
        "threshold_sauvola",
        "Sauvola threshold",
        "sauvola",
        "global",
        (
            _WINDOW,
            number(
                "k",
                -0.2,
                "k",
                "Negative for bright objects on dark ground, positive for writing on paper.",
                minimum=-5.0,
                maximum=5.0,
                step=0.05,
            ),
            measured(
                "r",
                f"{__name__}:half_range",
                "Contrast",
                "Standard deviation of full contrast; empty for half the image's range.",
                minimum=0.0,
            ),
        ),
        "Marks what is above the local mean, the more so where contrast is low. A mask.",
        partial(window_reach, parameter="window_size"),
    ),
    _threshold(
        "threshold_hysteresis",
        "Hysteresis threshold",
        "hysteresis",
        "unbounded",
        (
            measured(
                "low",
                f"{__name__}:li",
                "Lower threshold",
                "Grey value a pixel must exceed to continue an object; empty for Li's choice.",
            ),
            measured(
                "high",
                f"{__name__}:otsu",
                "Upper threshold",
                "Grey value an object must exceed somewhere; empty for Otsu's choice.",
            ),
        ),
        "Marks dim pixels too where they are connected to bright ones. A mask.",
        None,
    ),
)
