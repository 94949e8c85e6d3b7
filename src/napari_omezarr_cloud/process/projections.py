"""Projections: one axis folded into one plane or volume.

Whoever runs one brings the axis named by ``axis`` to the front; it is gone in the result.
"""

from __future__ import annotations

import numpy as np

from napari_omezarr_cloud.process.dtypes import floating, unchanged
from napari_omezarr_cloud.process.halo import pixelwise
from napari_omezarr_cloud.process.operation import Operation, Parameter

__all__ = ["OPERATIONS"]

_AXIS = Parameter(
    name="axis",
    type="choice",
    default="z",
    choices=("z", "t"),
    label="Over",
    help="The axis that is folded: depth or time.",
)

OPERATIONS = (
    Operation(
        name="max_projection",
        title="Maximum projection",
        group="Projections",
        function="numpy:max",
        kind="projection",
        output="image",
        parameters=(_AXIS,),
        # The axis has been brought to the front by now.
        fixed=(("axis", 0),),
        halo_rule=pixelwise,
        dtype_rule=unchanged,
        help="Brightest value along the axis. The result has the image's dtype and range.",
    ),
    Operation(
        name="mean_projection",
        title="Mean projection",
        group="Projections",
        function="numpy:mean",
        kind="projection",
        output="image",
        parameters=(_AXIS,),
        # float32 sums over hundreds of planes lose digits; float64 ones do not.
        fixed=(("axis", 0), ("dtype", np.float64)),
        halo_rule=pixelwise,
        dtype_rule=floating,
        help="Average along the axis. The result is floating point, in the image's own range.",
    ),
)
