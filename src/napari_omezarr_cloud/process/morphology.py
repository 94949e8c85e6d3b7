"""Grey morphology."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.process.dtypes import unchanged
from napari_omezarr_cloud.process.halo import ellipsoid, footprint_reach
from napari_omezarr_cloud.process.operation import Operation, Parameter

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["OPERATIONS", "white_tophat"]


def white_tophat(image: npt.NDArray[Any], radius: Sequence[float]) -> npt.NDArray[Any]:
    """Return ``image`` minus its opening by an ellipsoid; dtype and shape as ``image``.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``.
    radius
        In pixels, one per axis.
    """
    from skimage import morphology

    return np.asarray(morphology.white_tophat(image, footprint=ellipsoid(radius)))


OPERATIONS = (
    Operation(
        name="white_tophat",
        title="White top-hat",
        group="Morphology",
        function=f"{__name__}:white_tophat",
        kind="local",
        output="image",
        parameters=(
            Parameter(
                name="radius",
                type="length",
                default=5.0,
                minimum=0.0,
                step=0.5,
                unit="µm",
                label="Radius",
                help="Radius of the disk (or ball); what is broader counts as background.",
            ),
        ),
        # Erosion, then dilation of the eroded: each looks one radius around.
        halo_rule=partial(footprint_reach, parameter="radius", passes=2),
        dtype_rule=unchanged,
        help="Keeps bright details and takes uneven background away. Same dtype; background is 0.",
    ),
)
