"""Rays through a volume on screen: which of its voxels lie under the cursor in 3-D."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ray_in_tile"]

Array = npt.NDArray[Any]


def ray_in_tile(
    layer: Any, start: Array, end: Array, displayed: Sequence[int]
) -> tuple[Array, Array] | None:
    """Return the ends of a ray so that napari finds the voxels of the tile that lie on it.

    Of the tile napari knows the shape alone, and takes it for the whole layer by the ratio of
    their shapes. Beyond the tile's faces it repeats their voxels, so the ray is cut off there.

    Parameters
    ----------
    layer
        In 3-D, with a tile placed by our slicing.
    start, end
        In the layer's data coordinates, where the corner of the first voxel is 0; shape (ndim,).
    displayed
        The axes on screen.

    Returns
    -------
    start, end : ndarray, shape (ndim,)
        Or None, if the ray misses the tile.
    """
    axes = list(displayed)
    tile = layer._transforms["tile2data"]
    shape = np.array(layer._slice.image.raw.shape[: len(axes)])
    shift = (layer.downsample_factors[layer.data_level] - 1) / 2
    ends = []
    for point in (start, end):
        centred = (np.asarray(point, float) - 0.5 - tile.translate - shift) / tile.scale
        ends.append(centred[axes] + 0.5)
    near, far = _inside(ends[0], ends[1] - ends[0], shape)
    if near >= far:
        return None
    ratio = np.array(layer.level_shapes[0])[axes] / shape
    cut = []
    for point, part in ((start, near), (end, far)):
        whole = np.array(point, float)
        whole[axes] = (ends[0] + part * (ends[1] - ends[0])) * ratio
        cut.append(whole)
    return cut[0], cut[1]


def _inside(start: Array, along: Array, shape: Array) -> tuple[float, float]:
    """Return from where to where a ray of length 1 is in a box of this shape; empty if never."""
    near, far = 0.0, 1.0
    for first, step, size in zip(start, along, shape, strict=True):
        if step:
            enter, leave = sorted((-first / step, (size - first) / step))
            near, far = max(near, enter), min(far, leave)
        elif not 0 <= first <= size:
            return 1.0, 0.0
    return near, far
