"""Labels: what is done to each object, by its number."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.process.dtypes import always_float32, label_dtype, mask_dtype, unchanged
from napari_omezarr_cloud.process.flat import dilated, eroded
from napari_omezarr_cloud.process.halo import ellipsoid_size, footprint_reach, neighbours
from napari_omezarr_cloud.process.operation import Input, Operation
from napari_omezarr_cloud.process.settings import choice, length, measured, switch
from napari_omezarr_cloud.process.thresholds import otsu

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari_omezarr_cloud.process.operation import (
        DtypeRule,
        HaloRule,
        ObjectValues,
        Output,
        Parameter,
    )
    from napari_omezarr_cloud.process.tally import Tally

__all__ = [
    "OPERATIONS",
    "boundaries",
    "clear_border",
    "expand",
    "keep_bright",
    "object_values",
    "otsu_of_image",
    "relabel",
    "remove_small",
    "shrink",
    "values_counted",
    "values_measured",
    "values_of_bright",
    "values_of_inner",
    "values_of_large",
]

_Array = npt.NDArray[Any]

# How scipy.ndimage calls what is measured of an object's grey values.
_MEASURES = {
    "mean": "mean",
    "median": "median",
    "maximum": "maximum",
    "minimum": "minimum",
    "sum": "sum_labels",
    "standard deviation": "standard_deviation",
}

# A footprint counts what rounding puts a hair beyond the radius; so does a distance.
_ROUNDING = 1e-6


def expand(labels: _Array, distance: Sequence[float]) -> _Array:
    """Return labels grown into the background, up to where they meet; dtype as ``labels``.

    Parameters
    ----------
    labels
        ``yx`` or ``zyx``, 0 is background.
    distance
        In pixels, one per axis.
    """
    from scipy import ndimage

    result = labels.copy()
    if not labels.any() or max(distance) < 1 - _ROUNDING:
        return result
    # In units of the distance, so that it is 1 along every axis.
    sampling = [1 / max(d, 0.01) for d in distance]
    away, nearest = ndimage.distance_transform_edt(
        labels == 0, sampling=sampling, return_indices=True
    )
    grown = away <= 1 + _ROUNDING
    result[grown] = labels[tuple(axis[grown] for axis in nearest)]
    return result


def shrink(labels: _Array, radius: Sequence[float]) -> _Array:
    """Return labels without what is nearer than ``radius`` to anything else; dtype as ``labels``.

    Parameters
    ----------
    labels
        ``yx`` or ``zyx``, 0 is background. Beyond the border nothing is looked at.
    radius
        In pixels, one per axis.
    """
    inside = eroded(labels, radius) == dilated(labels, radius)
    return np.where(inside, labels, labels.dtype.type(0))


def clear_border(labels: _Array, distance: Sequence[float], first_and_last: bool) -> _Array:
    """Return labels without the objects at the border; dtype as ``labels``.

    Parameters
    ----------
    labels
        ``yx`` or ``zyx``, 0 is background.
    distance
        How near to the border is at the border, in pixels, one per axis.
    first_and_last
        Whether the first and last plane of a volume are a border.
    """
    at_border = []
    for axis, width in enumerate(int(d + _ROUNDING) + 1 for d in distance):
        if labels.ndim == 3 and axis == 0 and not first_and_last:
            continue
        along = np.moveaxis(labels, axis, 0)
        at_border += [np.unique(along[:width]), np.unique(along[-width:])]
    return np.where(np.isin(labels, np.concatenate(at_border)), labels.dtype.type(0), labels)


def remove_small(labels: _Array, diameter: Sequence[float]) -> _Array:
    """Return labels without objects of fewer pixels than an ellipsoid has; dtype as ``labels``.

    Parameters
    ----------
    labels
        ``yx`` or ``zyx``, 0 is background.
    diameter
        Of the ellipsoid, in pixels, one per axis.
    """
    _, where, counts = np.unique(labels, return_inverse=True, return_counts=True)
    large = counts >= ellipsoid_size(diameter)
    return np.where(large[where].reshape(labels.shape), labels, labels.dtype.type(0))


def boundaries(labels: _Array, mode: str) -> npt.NDArray[np.bool_]:
    """Return the mask of where objects meet the background or each other.

    Parameters
    ----------
    labels
        ``yx`` or ``zyx``, 0 is background.
    mode
        ``"thick"`` (both sides), ``"inner"`` or ``"outer"``.
    """
    from skimage import segmentation

    return np.asarray(segmentation.find_boundaries(labels, mode=mode), dtype=np.bool_)


def relabel(labels: _Array) -> npt.NDArray[np.int32]:
    """Return labels numbered from 1 without gaps, in the same order."""
    numbers, where = np.unique(labels[labels != 0], return_inverse=True)
    result = np.zeros(labels.shape, np.int32)
    result[labels != 0] = np.arange(1, numbers.size + 1, dtype=np.int32)[where]
    return result


def object_values(labels: _Array, image: _Array, measure: str) -> npt.NDArray[np.float32]:
    """Return an image in which each object has the value measured in it; background is 0.

    Parameters
    ----------
    labels
        ``yx`` or ``zyx``, 0 is background.
    image
        Grey values, of the same shape.
    measure
        A key of the choices, such as ``"mean"``.
    """
    numbers, where = np.unique(labels, return_inverse=True)
    values = _measured(image, where.reshape(labels.shape), numbers.size, measure)
    values[numbers == 0] = 0
    return values[where].reshape(labels.shape).astype(np.float32)


def keep_bright(labels: _Array, image: _Array, measure: str, threshold: float) -> _Array:
    """Return the objects whose measured value is above ``threshold``; see `object_values`."""
    numbers, where = np.unique(labels, return_inverse=True)
    where = where.reshape(labels.shape)
    bright = _measured(image, where, numbers.size, measure) > threshold
    return np.where(bright[where], labels, labels.dtype.type(0))


def _measured(image: _Array, objects: _Array, count: int, measure: str) -> _Array:
    """Return what is measured in each of the objects, which are numbered without gaps from 0."""
    from scipy import ndimage

    function = getattr(ndimage, _MEASURES[measure])
    values = function(image.astype(np.float64), objects, np.arange(count))
    return np.asarray(values, dtype=np.float64)


def otsu_of_image(labels: _Array, image: _Array) -> float:
    """Return Otsu's threshold of the grey values, whatever the objects."""
    return otsu(image)


def _kept(tally: Tally, is_kept: npt.NDArray[np.bool_]) -> _Array:
    return np.where(is_kept, tally.numbers, tally.numbers.dtype.type(0))


def values_of_large(tally: Tally, shape: Sequence[int], *, size: float) -> _Array:
    """Return the numbers of objects of at least ``size`` pixels, 0 of others; as `remove_small`."""
    return _kept(tally, tally.counts >= size)


def values_of_inner(
    tally: Tally, shape: Sequence[int], *, widths: Sequence[int], first_and_last: bool
) -> _Array:
    """Return the numbers of objects that are not at the border; as `clear_border`."""
    at_border = np.zeros(len(tally), np.bool_)
    for axis, width in enumerate(widths):
        if len(widths) == 3 and axis == 0 and not first_and_last:
            continue
        box = tally.boxes[:, axis]
        at_border |= (box[:, 0] < width) | (box[:, 1] > shape[axis] - width)
    return _kept(tally, ~at_border)


def values_of_bright(
    tally: Tally, shape: Sequence[int], *, measure: str, threshold: float
) -> _Array:
    """Return the numbers of objects brighter than ``threshold``; as `keep_bright`."""
    return _kept(tally, values_measured(tally, shape, measure=measure) > threshold)


def values_measured(tally: Tally, shape: Sequence[int], *, measure: str) -> _Array:
    """Return what is measured of each object; as `object_values`."""
    (grey,) = tally.greys
    with np.errstate(invalid="ignore"):
        found: dict[str, _Array] = {
            "mean": grey.totals / tally.counts,
            "maximum": grey.highs,
            "minimum": grey.lows,
            "sum": grey.totals,
            "standard deviation": np.sqrt(grey.squares / tally.counts),
        }
    return found[measure]


def values_counted(tally: Tally, shape: Sequence[int]) -> _Array:
    """Return numbers from 1 without gaps; as `relabel`."""
    return np.arange(1, len(tally) + 1, dtype=np.int32)


def _large(values: Mapping[str, Any]) -> ObjectValues:
    return partial(values_of_large, size=ellipsoid_size(values["diameter"]))


def _inner(values: Mapping[str, Any]) -> ObjectValues:
    widths = tuple(int(d + _ROUNDING) + 1 for d in values["distance"])
    return partial(values_of_inner, widths=widths, first_and_last=values["first_and_last"])


def _bright(values: Mapping[str, Any]) -> ObjectValues | None:
    if values["measure"] == "median":  # blocks cannot tell that of all of it
        return None
    return partial(values_of_bright, measure=values["measure"], threshold=values["threshold"])


def _painted(values: Mapping[str, Any]) -> ObjectValues | None:
    if values["measure"] == "median":
        return None
    return partial(values_measured, measure=values["measure"])


def _counted(values: Mapping[str, Any]) -> ObjectValues:
    return values_counted


def _expansion_reach(values: Any, ndim: int) -> tuple[int, ...]:
    return footprint_reach(values, ndim, parameter="distance")


def _labels(
    name: str,
    title: str,
    function: str,
    help: str,
    parameters: tuple[Parameter, ...] = (),
    *,
    halo_rule: HaloRule | None = None,
    output: Output = "labels",
    dtype_rule: DtypeRule = unchanged,
    inputs: tuple[Input, ...] = (Input("labels", "labels"),),
    object_rule: Callable[[Mapping[str, Any]], ObjectValues | None] | None = None,
) -> Operation:
    unlimited = "objects" if output == "labels" else "unbounded"
    return Operation(
        name=name,
        title=title,
        group="Labels",
        function=f"{__name__}:{function}",
        kind=unlimited if halo_rule is None else "local",  # type: ignore[arg-type]
        output=output,
        inputs=inputs,
        parameters=parameters,
        halo_rule=halo_rule,
        object_rule=object_rule,
        dtype_rule=dtype_rule,
        colours="none",
        help=help,
    )


_WITH_IMAGE = (Input("labels", "labels"), Input("image"))
_MEASURE = choice("measure", tuple(_MEASURES), "Measure", "What is taken of each object's values.")

OPERATIONS = (
    _labels(
        "expand_labels",
        "Expand labels",
        "expand",
        "Grows objects into the background without joining them. Labels, as numbered.",
        (length("distance", 3.0, "Distance", "How far they grow."),),
        halo_rule=_expansion_reach,
    ),
    _labels(
        "shrink_labels",
        "Shrink labels",
        "shrink",
        "Takes a rim off each object, also where two touch. Labels, as numbered.",
        (length("radius", 1.0, "Radius", "How wide the rim is."),),
        halo_rule=partial(footprint_reach, parameter="radius"),
    ),
    _labels(
        "find_boundaries",
        "Boundaries",
        "boundaries",
        "Marks where objects meet the background or each other. A mask.",
        (choice("mode", ("thick", "inner", "outer"), "Side", "Both sides, in, or outside."),),
        halo_rule=neighbours,
        output="mask",
        dtype_rule=mask_dtype,
    ),
    _labels(
        "clear_border",
        "Clear border",
        "clear_border",
        "Takes out objects that touch the border, which are cut off. Labels, as numbered.",
        (
            length("distance", 0.0, "Distance", "How near to the border counts as touching."),
            switch(
                "first_and_last",
                False,
                "Depth too",
                "Whether the first and last plane of a volume are a border.",
            ),
        ),
        object_rule=_inner,
    ),
    _labels(
        "remove_small_labels",
        "Remove small labels",
        "remove_small",
        "Takes out small objects. Labels, as numbered.",
        (
            length(
                "diameter",
                8.0,
                "Diameter",
                "Objects smaller than a disk (or ball) of this diameter vanish.",
            ),
        ),
        object_rule=_large,
    ),
    _labels(
        "keep_bright_labels",
        "Keep bright labels",
        "keep_bright",
        "Takes out objects that are dark in an image. Labels, as numbered.",
        (
            _MEASURE,
            measured(
                "threshold",
                f"{__name__}:otsu_of_image",
                "Threshold",
                "Value above which an object stays; empty for Otsu's threshold of the image.",
            ),
        ),
        inputs=_WITH_IMAGE,
        object_rule=_bright,
    ),
    _labels(
        "object_values",
        "Paint objects by value",
        "object_values",
        "Gives each object the value measured in it. float32; background is 0.",
        (_MEASURE,),
        output="image",
        dtype_rule=always_float32,
        inputs=_WITH_IMAGE,
        object_rule=_painted,
    ),
    _labels(
        "relabel",
        "Renumber labels",
        "relabel",
        "Numbers objects from 1 without gaps. Labels.",
        dtype_rule=label_dtype,
        object_rule=_counted,
    ),
)
