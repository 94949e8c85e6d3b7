"""Morphology of grey values and of masks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.process.dtypes import (
    always_float32,
    floating,
    mask_dtype,
    to_float,
    unchanged,
)
from napari_omezarr_cloud.process.flat import closed, dilated, eroded, opened
from napari_omezarr_cloud.process.halo import ellipsoid_size, footprint_reach
from napari_omezarr_cloud.process.operation import Input, Operation
from napari_omezarr_cloud.process.settings import length, measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.process.operation import Dims, HaloRule, Parameter

__all__ = [
    "OPERATIONS",
    "black_tophat",
    "convex_hull",
    "distance_transform",
    "fill_holes",
    "gradient",
    "hdome",
    "opening_by_reconstruction",
    "remove_small_holes",
    "remove_small_objects",
    "skeletonize",
    "white_tophat",
]

_Array = npt.NDArray[Any]
_Mask = npt.NDArray[np.bool_]


_FLAT = "napari_omezarr_cloud.process.flat"


def white_tophat(image: _Array, radius: Sequence[float]) -> _Array:
    """Return ``image`` minus its opening by an ellipsoid; dtype and shape as ``image``.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``.
    radius
        In pixels, one per axis.
    """
    return _above(image, opened(image, radius))


def black_tophat(image: _Array, radius: Sequence[float]) -> _Array:
    """Return the closing of ``image`` by an ellipsoid minus ``image``; see `white_tophat`."""
    return _above(closed(image, radius), image)


def gradient(image: _Array, radius: Sequence[float]) -> _Array:
    """Return the dilation minus the erosion by an ellipsoid; see `white_tophat`."""
    return _above(dilated(image, radius), eroded(image, radius))


def _above(higher: _Array, lower: _Array) -> _Array:
    """Return ``higher - lower``, which is nowhere negative; too large ones become the largest."""
    if higher.dtype.kind == "b":
        return np.asarray(higher & ~lower)
    if higher.dtype.kind != "i":
        with np.errstate(invalid="ignore"):  # infinite minus infinite
            return np.asarray(higher - lower)
    # As unsigned numbers the difference is right even where it is too large for signed ones.
    unsigned = (higher - lower).view(f"u{higher.dtype.itemsize}")
    return np.asarray(np.minimum(unsigned, np.iinfo(higher.dtype).max), dtype=higher.dtype)


def opening_by_reconstruction(image: _Array, radius: Sequence[float]) -> _Array:
    """Return ``image`` without what is smaller than an ellipsoid; what stays keeps its shape.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``; NaN counts as darkest.
    radius
        In pixels, one per axis.
    """
    from skimage.morphology import reconstruction

    known = _without_nan(image)
    return np.asarray(reconstruction(eroded(known, radius), known)).astype(image.dtype)


def hdome(image: _Array, h: float) -> _Array:
    """Return how far each pixel rises above the ground around its peak, at most ``h``.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``; NaN counts as darkest.
    h
        Height that is cut off the peaks, in grey values.
    """
    from skimage.morphology import reconstruction

    known = _without_nan(to_float(image))
    return np.asarray(known - reconstruction(known - h, known), dtype=known.dtype)


def _without_nan(image: _Array) -> _Array:
    if image.dtype.kind != "f" or not np.isnan(image).any():
        return image
    known = image[~np.isnan(image)]
    return np.nan_to_num(image, nan=float(known.min()) if known.size else 0.0, posinf=None)


def fill_holes(image: _Mask) -> _Mask:
    """Return a mask with what it encloses set; ``image`` is ``yx`` or ``zyx``."""
    from scipy import ndimage

    return np.asarray(ndimage.binary_fill_holes(image))


def skeletonize(image: _Mask) -> _Mask:
    """Return the midlines of a mask, one pixel wide: Zhang's in a plane, Lee's in a volume."""
    from skimage import morphology

    # It refuses arrays that may not be written to, and does not write to any.
    return np.asarray(morphology.skeletonize(image.copy()), dtype=np.bool_)


def remove_small_objects(image: _Mask, diameter: Sequence[float]) -> _Mask:
    """Return a mask without regions of fewer pixels than an ellipsoid has.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``; pixels are connected by their faces.
    diameter
        Of the ellipsoid, in pixels, one per axis.
    """
    from scipy import ndimage

    regions, count = ndimage.label(image)
    kept = np.bincount(regions.ravel(), minlength=count + 1) >= ellipsoid_size(diameter)
    kept[0] = False
    return np.asarray(kept[regions])


def remove_small_holes(image: _Mask, diameter: Sequence[float]) -> _Mask:
    """Return a mask in which holes of fewer pixels than an ellipsoid has are set."""
    return ~remove_small_objects(~image, diameter)


def convex_hull(image: _Mask) -> _Mask:
    """Return the mask of the convex hulls of each region; ``image`` is ``yx``.

    As scikit-image's ``convex_hull_object``, which goes over the whole image for every region and
    takes minutes for a thousand of them.
    """
    from skimage import measure

    hulls = np.zeros(image.shape, np.bool_)
    for region in measure.regionprops(measure.label(image, connectivity=2)):
        hulls[region.slice] |= region.image_convex
    return hulls


def distance_transform(image: _Mask, spacing: Sequence[float]) -> npt.NDArray[np.float32]:
    """Return how far each set pixel is from the nearest that is not; NaN where none is not.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``.
    spacing
        Size of a pixel per axis; the result is in its unit.
    """
    from scipy import ndimage

    if image.all():
        return np.full(image.shape, np.nan, np.float32)
    distances = ndimage.distance_transform_edt(image, sampling=spacing)
    return np.asarray(distances, dtype=np.float32)


def _radius(default: float, help: str) -> tuple[Parameter, ...]:
    return (length("radius", default, "Radius", help),)


def _grey(
    name: str,
    title: str,
    function: str,
    passes: int,
    parameters: tuple[Parameter, ...],
    help: str,
) -> Operation:
    return Operation(
        name=name,
        title=title,
        group="Morphology",
        function=function,
        kind="local",
        output="image",
        parameters=parameters,
        # An opening is an erosion, then a dilation of it: each looks one radius around.
        halo_rule=partial(footprint_reach, parameter="radius", passes=passes),
        dtype_rule=unchanged,
        keeps_brightness=function.startswith(_FLAT),
        help=help,
    )


def _mask(
    name: str,
    title: str,
    function: str,
    help: str,
    parameters: tuple[Parameter, ...] = (),
    halo_rule: HaloRule | None = None,
    dims: Dims = "any",
) -> Operation:
    return Operation(
        name=name,
        title=title,
        group="Masks",
        function=function,
        kind="unbounded" if halo_rule is None else "local",
        output="mask",
        inputs=(Input("image", "mask"),),
        parameters=parameters,
        halo_rule=halo_rule,
        dims=dims,
        dtype_rule=mask_dtype,
        colours="none",
        help=help,
    )


_ONCE = partial(footprint_reach, parameter="radius", passes=1)
_TWICE = partial(footprint_reach, parameter="radius", passes=2)
_SHAPE = "Radius of the disk (or ball) that is looked through."

OPERATIONS = (
    _grey(
        "erosion",
        "Erosion",
        f"{_FLAT}:eroded",
        1,
        _radius(2.0, _SHAPE),
        "Takes the darkest value nearby: dark grows, bright shrinks. Same dtype and range.",
    ),
    _grey(
        "dilation",
        "Dilation",
        f"{_FLAT}:dilated",
        1,
        _radius(2.0, _SHAPE),
        "Takes the brightest value nearby: bright grows, dark shrinks. Same dtype and range.",
    ),
    _grey(
        "opening",
        "Opening",
        f"{_FLAT}:opened",
        2,
        _radius(3.0, "Bright details narrower than a disk (or ball) of this radius vanish."),
        "Takes away bright details, keeps the rest in place. Same dtype and range.",
    ),
    _grey(
        "closing",
        "Closing",
        f"{_FLAT}:closed",
        2,
        _radius(3.0, "Dark details narrower than a disk (or ball) of this radius vanish."),
        "Takes away dark details, keeps the rest in place. Same dtype and range.",
    ),
    _grey(
        "white_tophat",
        "White top-hat",
        f"{__name__}:white_tophat",
        2,
        _radius(15.0, "Radius of the disk (or ball); what is broader counts as background."),
        "Keeps bright details and takes uneven background away. Same dtype; background is 0.",
    ),
    _grey(
        "black_tophat",
        "Black top-hat",
        f"{__name__}:black_tophat",
        2,
        _radius(15.0, "Radius of the disk (or ball); what is broader counts as background."),
        "Shows dark details as bright ones, without background. Same dtype; background is 0.",
    ),
    _grey(
        "morphological_gradient",
        "Morphological gradient",
        f"{__name__}:gradient",
        1,
        _radius(1.0, _SHAPE),
        "Brightest minus darkest value nearby: outlines. Same dtype; 0 where even.",
    ),
    Operation(
        name="opening_by_reconstruction",
        title="Opening by reconstruction",
        group="Morphology",
        function=f"{__name__}:opening_by_reconstruction",
        kind="unbounded",
        output="image",
        parameters=_radius(3.0, "Structures that no disk (or ball) of this radius fits in vanish."),
        dtype_rule=unchanged,
        keeps_brightness=True,
        help="Takes away small bright structures; what stays keeps its outline. Same dtype.",
    ),
    Operation(
        name="hdome",
        title="Domes",
        group="Morphology",
        function=f"{__name__}:hdome",
        kind="unbounded",
        output="image",
        parameters=(
            measured(
                "h",
                "napari_omezarr_cloud.process.levels:half_of_range",
                "Height",
                "How much of each peak is kept; empty for half the image's range.",
                minimum=0.0,
            ),
        ),
        dtype_rule=floating,
        help="Keeps the tops of peaks, whatever they stand on. Floating point, 0 to the height.",
    ),
    _mask(
        "binary_erosion",
        "Erode a mask",
        f"{_FLAT}:eroded",
        "Shrinks a mask from its outline. A mask.",
        _radius(2.0, "How far the outline moves in."),
        _ONCE,
    ),
    _mask(
        "binary_dilation",
        "Dilate a mask",
        f"{_FLAT}:dilated",
        "Grows a mask from its outline. A mask.",
        _radius(2.0, "How far the outline moves out."),
        _ONCE,
    ),
    _mask(
        "binary_opening",
        "Open a mask",
        f"{_FLAT}:opened",
        "Takes specks and thin bridges away, keeps the rest in place. A mask.",
        _radius(2.0, "Parts that no disk (or ball) of this radius fits in vanish."),
        _TWICE,
    ),
    _mask(
        "binary_closing",
        "Close a mask",
        f"{_FLAT}:closed",
        "Closes small gaps and holes, keeps the rest in place. A mask.",
        _radius(2.0, "Gaps that no disk (or ball) of this radius fits in are filled."),
        _TWICE,
    ),
    _mask(
        "fill_holes",
        "Fill holes",
        f"{__name__}:fill_holes",
        "Sets what a mask encloses, whatever its size. A mask.",
    ),
    _mask(
        "remove_small_holes",
        "Remove small holes",
        f"{__name__}:remove_small_holes",
        "Sets small holes in a mask. A mask.",
        (
            length(
                "diameter",
                8.0,
                "Diameter",
                "Holes smaller than a disk (or ball) of this diameter are set.",
            ),
        ),
    ),
    _mask(
        "remove_small_objects",
        "Remove small objects",
        f"{__name__}:remove_small_objects",
        "Takes small regions out of a mask. A mask.",
        (
            length(
                "diameter",
                8.0,
                "Diameter",
                "Regions smaller than a disk (or ball) of this diameter vanish.",
            ),
        ),
    ),
    _mask(
        "skeletonize",
        "Skeleton",
        f"{__name__}:skeletonize",
        "Thins a mask to its midlines, one pixel wide. A mask.",
    ),
    _mask(
        "convex_hull",
        "Convex hull of each region",
        f"{__name__}:convex_hull",
        "Fills the dents of each region of a mask. A mask, plane by plane.",
        dims="plane",
    ),
    Operation(
        name="distance_transform",
        title="Distance transform",
        group="Masks",
        function=f"{__name__}:distance_transform",
        kind="unbounded",
        output="image",
        inputs=(Input("image", "mask"),),
        takes_spacing=True,
        dtype_rule=always_float32,
        colours="none",
        help="How far each pixel lies inside a mask. float32, in µm (pixels without units).",
    ),
)
