"""Objects: from pixels to labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.process.dtypes import label_dtype
from napari_omezarr_cloud.process.operation import Input, Operation, Parameter
from napari_omezarr_cloud.process.thresholds import above

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OPERATIONS", "label_regions"]

# scikit-image counts how many axes two neighbours may differ along.
_CONNECTIVITY = {"faces": 1, "edges": 2, "corners": 3}


def label_regions(
    image: npt.NDArray[Any], threshold: float, connectivity: str
) -> npt.NDArray[np.int32]:
    """Return a number for each connected region, 0 for background.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``; of a mask (bool) what is set counts, whatever the threshold.
    threshold
        Grey value above which a pixel belongs to a region.
    connectivity
        ``"faces"`` (4 neighbours in a plane, 6 in a volume), ``"edges"`` (8, 18) or
        ``"corners"`` (8, 26).
    """
    from skimage import measure

    mask = image if image.dtype.kind == "b" else above(image, threshold)
    joined = min(_CONNECTIVITY[connectivity], image.ndim)
    return np.asarray(measure.label(mask, connectivity=joined), dtype=np.int32)


def label_connectivity(values: Mapping[str, Any]) -> int:
    """Return the number of axes along which two neighbours of one region may differ."""
    return _CONNECTIVITY[values["connectivity"]]


OPERATIONS = (
    Operation(
        name="label",
        title="Label connected regions",
        group="Measure",
        function=f"{__name__}:label_regions",
        kind="objects",
        output="labels",
        inputs=(Input("image", "any"),),
        parameters=(
            Parameter(
                name="threshold",
                type="float",
                default=None,
                label="Threshold",
                help="Grey value above which a pixel counts; empty for Otsu's. A mask needs none.",
                statistic="napari_omezarr_cloud.process.thresholds:otsu",
            ),
            Parameter(
                name="connectivity",
                type="choice",
                default="corners",
                choices=tuple(_CONNECTIVITY),
                label="Connected by",
                help="What two pixels must share: faces (4 or 6 neighbours), edges, or corners.",
            ),
        ),
        dtype_rule=label_dtype,
        connectivity_rule=label_connectivity,
        colours="none",
        help="Numbers each connected region, from 1; background is 0. Takes a mask or an image.",
    ),
)
