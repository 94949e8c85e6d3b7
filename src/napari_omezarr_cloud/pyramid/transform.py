"""Level ↔ world arithmetic: the only place that says where a voxel lies.

A voxel's *centre* is its coordinate (OME-Zarr 0.4/0.5, "coordinateTransformations"): voxel ``i`` of
a level lies at ``scale * i + translation``. Two levels are related through the world, never through
the ratio of their shapes (513 and 257 voxels are no factor of two).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.pyramid.region import Region

__all__ = ["Transform"]


@dataclass(frozen=True)
class Transform:
    """Where the voxels of a level lie: ``world = scale * voxel + translation``, per axis."""

    scale: tuple[float, ...]
    translation: tuple[float, ...]

    def to(self, other: Transform) -> Transform:
        """Return the map from our voxels to another level's: ``other = scale*i + translation``."""
        scale = tuple(a / b for a, b in zip(self.scale, other.scale, strict=True))
        translation = tuple(
            (a - b) / s
            for a, b, s in zip(self.translation, other.translation, other.scale, strict=True)
        )
        return Transform(scale, translation)

    def nearest(
        self, axis: int, positions: npt.NDArray[np.intp], size: int
    ) -> npt.NDArray[np.intp]:
        """Return, for voxels along an axis, the nearest voxels after this map.

        Parameters
        ----------
        axis
            Which axis.
        positions
            Voxels before the map.
        size
            Length of the axis after the map; results are clipped to it.
        """
        mapped = self.scale[axis] * positions + self.translation[axis]
        # The small shift makes exact halves fall to the lower voxel on every platform alike.
        found = np.ceil(mapped - 0.5 - 1e-9)
        clipped: npt.NDArray[np.intp] = np.clip(found, 0, size - 1).astype(np.intp)
        return clipped

    def covering(self, region: Region, shape: tuple[int, ...]) -> Region:
        """Return the smallest region after this map that :meth:`nearest` may ask for."""
        ends = [
            self.nearest(axis, np.array([a, max(a, b - 1)]), size)
            for axis, (a, b, size) in enumerate(zip(region.start, region.stop, shape, strict=True))
        ]
        return Region(
            tuple(int(min(pair)) for pair in ends), tuple(int(max(pair)) + 1 for pair in ends)
        )
