"""Segmentation: from an image or a mask to objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.process.dtypes import label_dtype, mask_dtype, to_float
from napari_omezarr_cloud.process.exposure import stretched
from napari_omezarr_cloud.process.flat import dilated
from napari_omezarr_cloud.process.halo import ellipsoid_size, isotropic
from napari_omezarr_cloud.process.operation import Input, Operation
from napari_omezarr_cloud.process.settings import choice, length, measured, number, whole
from napari_omezarr_cloud.process.thresholds import above

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "OPERATIONS",
    "active_contours",
    "felzenszwalb",
    "peaks",
    "seeded_watershed",
    "slic",
    "split_touching",
    "watershed_from_markers",
]

_Array = npt.NDArray[Any]
_Labels = npt.NDArray[np.int32]
_Mask = npt.NDArray[np.bool_]


def peaks(image: _Array, radius: Sequence[float], within: _Mask) -> _Labels:
    """Return a number for each pixel that is brightest of the ellipsoid around it.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``; equal neighbours are one peak.
    radius
        Of the ellipsoid, in pixels, one per axis; a neighbouring pixel is always looked at.
    within
        Where a peak may be.
    """
    from scipy import ndimage

    highest = dilated(image, [max(1.0, r) for r in radius]) == image
    found, _ = ndimage.label(highest & within, np.ones((3,) * image.ndim))
    return np.asarray(found, dtype=np.int32)


def split_touching(image: _Mask, distance: Sequence[float], spacing: Sequence[float]) -> _Labels:
    """Return the objects of a mask, parted at their waists.

    The distance to the outline is flooded from its peaks.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``.
    distance
        Between the centres of two objects, at least; in pixels, one per axis.
    spacing
        Size of a pixel per axis.
    """
    from scipy import ndimage
    from skimage.segmentation import watershed

    if image.all():  # there is no outline
        return np.ones(image.shape, np.int32)
    depth = ndimage.distance_transform_edt(image, sampling=spacing)
    markers = peaks(depth, distance, image)
    return np.asarray(watershed(-depth, markers, mask=image), dtype=np.int32)


def seeded_watershed(
    image: _Array,
    spot_sigma: Sequence[float],
    outline_sigma: Sequence[float],
    threshold: float,
) -> _Labels:
    """Return the bright objects of an image, one for each peak of its blur.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``. NaN counts as background.
    spot_sigma
        Of the blur whose peaks are the objects' centres, in pixels, one per axis.
    outline_sigma
        Of the blur that is cut at ``threshold``.
    threshold
        Grey value above which a pixel belongs to an object.
    """
    from skimage.filters import gaussian
    from skimage.segmentation import watershed

    known = _known(image)
    mask = above(gaussian(known, outline_sigma, mode="nearest"), threshold)
    spots = gaussian(known, spot_sigma, mode="nearest")
    markers = peaks(spots, (1.0,) * image.ndim, mask)
    return np.asarray(watershed(-spots, markers, mask=mask), dtype=np.int32)


def watershed_from_markers(
    image: _Array, markers: _Array, objects: str, threshold: float
) -> _Array:
    """Return markers grown to objects; dtype as ``markers``.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``. NaN counts as darkest.
    markers
        Labels of the same shape; each grows to an object of its number.
    objects
        ``"bright"``: up to ``threshold``, and the darkest lines between them; ``"outlined"``: up
        to the brightest lines between them, everywhere.
    threshold
        Grey value above which a pixel belongs to a bright object.
    """
    from skimage.segmentation import watershed

    known = _known(image)
    # Counted from 1, since scikit-image keeps 32 bits of a marker.
    placed = markers != 0
    numbers = np.unique(markers[placed])
    seeds = np.zeros(markers.shape, np.int32)
    seeds[placed] = np.searchsorted(numbers, markers[placed]) + 1
    if objects == "bright":
        grown = watershed(-known, seeds, mask=above(known, threshold))
    else:
        grown = watershed(known, seeds)
    return np.asarray(np.concatenate([np.zeros(1, markers.dtype), numbers])[grown])


def _known(image: _Array) -> _Array:
    """Return an image as floats, with the darkest value where nothing is known."""
    values = to_float(image)
    known = np.isfinite(values)
    if known.all():
        return values
    return np.where(known, values, values[known].min() if known.any() else values.dtype.type(0))


def felzenszwalb(
    image: _Array,
    scale: float,
    sigma: Sequence[float],
    diameter: Sequence[float],
    low: float,
    high: float,
) -> _Labels:
    """Return regions of like brightness, numbered from 1 (Felzenszwalb and Huttenlocher, 2004).

    Parameters
    ----------
    image
        ``yx``.
    scale
        Higher gives larger regions.
    sigma
        Of the blur before, in pixels, one per axis.
    diameter
        Smaller regions than a disk of this join a neighbour; in pixels, one per axis.
    low, high
        Range of grey values that contrast is measured against.
    """
    from skimage import segmentation

    if image.size == 1:
        return np.ones(image.shape, np.int32)
    share = np.nan_to_num(stretched(image, low, high))
    smallest = max(1, round(ellipsoid_size(diameter)))
    found = segmentation.felzenszwalb(
        share, scale=scale, sigma=isotropic(sigma), min_size=smallest, channel_axis=None
    )
    return np.asarray(found, dtype=np.int32) + 1


def slic(
    image: _Array,
    size: Sequence[float],
    compactness: float,
    low: float,
    high: float,
    spacing: Sequence[float],
) -> _Labels:
    """Return compact regions of like brightness and size, numbered from 1 (Achanta et al., 2012).

    Parameters
    ----------
    image
        ``yx`` or ``zyx``.
    size
        Side of a region in pixels, one per axis.
    compactness
        Higher gives regions more like squares.
    low, high
        Range of grey values that contrast is measured against.
    spacing
        Size of a pixel per axis.
    """
    from skimage import segmentation

    # No more regions than pixels, and no fewer than one.
    count = np.prod([n / min(max(1.0, s), n) for n, s in zip(image.shape, size, strict=True)])
    return np.asarray(
        segmentation.slic(
            np.nan_to_num(stretched(image, low, high)),
            n_segments=max(1, round(float(count))),
            compactness=compactness,
            spacing=[each / min(spacing) for each in spacing],
            channel_axis=None,
        ),
        dtype=np.int32,
    )


def active_contours(image: _Array, rounds: int, smoothing: int) -> _Mask:
    """Return the brighter of the two parts an image is best parted into by a smooth outline.

    Márquez-Neila et al. (2014), after Chan and Vese.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``. NaN counts as darkest.
    rounds
        How often the outline moves.
    smoothing
        How often it is smoothed each time.
    """
    from skimage import segmentation

    known = _known(image)
    if min(image.shape) < 2 or known.min() == known.max():
        return np.zeros(image.shape, np.bool_)
    inside = segmentation.morphological_chan_vese(known, rounds, smoothing=smoothing) > 0
    if inside.all() or not inside.any():
        return np.asarray(inside)
    return np.asarray(inside if known[inside].mean() > known[~inside].mean() else ~inside)


def _markers_dtype(dtypes: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    return dtypes[1]


_THRESHOLDS = "napari_omezarr_cloud.process.thresholds"
_LEVELS = "napari_omezarr_cloud.process.levels"
_RANGE = (
    measured(
        "low",
        f"{_LEVELS}:low_percentile",
        "Dark end",
        "Grey value that contrast is measured from; empty for the 1st percentile.",
    ),
    measured(
        "high",
        f"{_LEVELS}:high_percentile",
        "Bright end",
        "Grey value that contrast is measured to; empty for the 99.8th percentile.",
    ),
)
_THRESHOLD = measured(
    "threshold",
    f"{_THRESHOLDS}:otsu",
    "Threshold",
    "Grey value above which a pixel belongs to an object; empty for Otsu's choice.",
)

OPERATIONS = (
    Operation(
        name="voronoi_otsu",
        title="Label bright objects (Voronoi–Otsu)",
        group="Segmentation",
        function=f"{__name__}:seeded_watershed",
        kind="objects",
        output="labels",
        parameters=(
            length("spot_sigma", 4.0, "Spot sigma", "Higher finds fewer, larger objects."),
            length("outline_sigma", 1.0, "Outline sigma", "Higher gives smoother outlines."),
            _THRESHOLD,
        ),
        dtype_rule=label_dtype,
        colours="none",
        help="Finds bright objects, such as nuclei, and parts those that touch. Labels from 1.",
    ),
    Operation(
        name="watershed_distance",
        title="Split touching objects",
        group="Segmentation",
        function=f"{__name__}:split_touching",
        kind="objects",
        output="labels",
        inputs=(Input("image", "mask"),),
        parameters=(
            length(
                "distance", 5.0, "Distance", "Between two centres, at least; higher splits less."
            ),
        ),
        takes_spacing=True,
        dtype_rule=label_dtype,
        colours="none",
        help="Parts a mask into objects at their waists, by distance. Labels from 1.",
    ),
    Operation(
        name="watershed_markers",
        title="Watershed from markers",
        group="Segmentation",
        function=f"{__name__}:watershed_from_markers",
        kind="objects",
        output="labels",
        inputs=(Input("image"), Input("markers", "labels")),
        parameters=(
            choice(
                "objects",
                ("bright", "outlined"),
                "Objects are",
                "Bright on dark ground, or outlined by bright lines.",
            ),
            _THRESHOLD,
        ),
        dtype_rule=_markers_dtype,
        colours="none",
        help="Grows markers to the objects they lie in. Labels, numbered as the markers.",
    ),
    Operation(
        name="felzenszwalb",
        title="Regions of like brightness (Felzenszwalb)",
        group="Segmentation",
        function=f"{__name__}:felzenszwalb",
        kind="objects",
        output="labels",
        parameters=(
            number(
                "scale",
                100.0,
                "Scale",
                "Higher gives larger regions.",
                minimum=0.0,
                maximum=10_000.0,
                step=10.0,
            ),
            length("sigma", 1.0, "Sigma", "Of the blur before."),
            length("diameter", 6.0, "Diameter", "Smaller regions join a neighbour."),
            *_RANGE,
        ),
        dims="plane",
        dtype_rule=label_dtype,
        colours="none",
        holds_gil=True,
        help="Parts a plane where brightness changes, large and small regions alike. Labels.",
    ),
    Operation(
        name="slic",
        title="Superpixels (SLIC)",
        group="Segmentation",
        function=f"{__name__}:slic",
        kind="objects",
        output="labels",
        parameters=(
            length("size", 20.0, "Size", "Side of a region."),
            number(
                "compactness",
                0.1,
                "Compactness",
                "Higher gives regions more like squares, lower follows the image.",
                minimum=0.0001,
                maximum=100.0,
                step=0.05,
            ),
            *_RANGE,
        ),
        takes_spacing=True,
        dtype_rule=label_dtype,
        colours="none",
        help="Parts an image into compact regions of about one size. Labels.",
    ),
    Operation(
        name="active_contours",
        title="Active contours (Chan–Vese)",
        group="Segmentation",
        function=f"{__name__}:active_contours",
        kind="unbounded",
        output="mask",
        parameters=(
            whole("rounds", 35, "Rounds", "How often the outline moves.", minimum=1, maximum=500),
            whole("smoothing", 1, "Smoothing", "How smooth it is.", minimum=0, maximum=10),
        ),
        dtype_rule=mask_dtype,
        colours="none",
        holds_gil=True,
        help="Parts bright from dark by a smooth outline. A mask of what is bright.",
    ),
)
