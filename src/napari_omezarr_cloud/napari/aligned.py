"""Where another layer shows the same place: its voxels under the voxels of a visible region.

The two may differ in resolution, position and number of axes (a result of the dock over its
source, a channel of another image), as long as their axes run along each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.errors import OperationError, RegionError
from napari_omezarr_cloud.napari.visible import LayerLevel, VisibleRegion, level_count, level_of
from napari_omezarr_cloud.pyramid import Region, Transform

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Sampling", "sampling"]


@dataclass(frozen=True)
class Sampling:
    """How to read one layer at the voxels of another's region."""

    level: LayerLevel
    region: Region
    """What to read of that level."""
    rows: tuple[npt.NDArray[np.intp], ...]
    """For each axis that was read, which of its voxels to take."""
    order: tuple[int | None, ...]
    """For each axis of the region, the axis that was read; None where there is none."""

    def take(self, pixels: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Return what was read, at the voxels of a region of this shape (nearest voxel)."""
        found = pixels[np.ix_(*self.rows)]
        kept = [axis for axis in self.order if axis is not None]
        rest = [axis for axis in range(found.ndim) if axis not in kept]
        found = np.transpose(found, (*rest, *kept))[(0,) * len(rest)]
        spread = tuple(np.newaxis if axis is None else slice(None) for axis in self.order)
        return np.broadcast_to(found[spread], shape)


def sampling(
    viewer: Any, layer: Any, seen: VisibleRegion, other: Any
) -> tuple[VisibleRegion, Sampling]:
    """Return what of a visible region another layer covers too, and how to read the other there.

    Parameters
    ----------
    viewer
        Holds both layers; its sliders count for the axes that only ``other`` has.
    layer, seen
        A layer and its region.
    other
        A layer with one value per voxel. Its level of the nearest voxel size is read.

    Raises
    ------
    OperationError
        If the axes of one are at an angle to the other's.
    RegionError
        If the other shows nothing of the region.
    """
    start, matrix = _voxel_map(viewer, layer, seen.level, other)
    partner = _partners(matrix, other)
    level = _matching_level(other, matrix, partner, seen)
    to_level = [_along(level, axis, start, matrix, partner[axis]) for axis in range(other.ndim)]
    seen = _covered(seen, level, to_level, partner, other)
    whole = Transform(tuple(s for s, _ in to_level), tuple(t for _, t in to_level))
    rows = []
    for axis, size in enumerate(level.shape):
        mine = partner[axis]
        first, last = (0, 1) if mine is None else (seen.region.start[mine], seen.region.stop[mine])
        rows.append(whole.nearest(axis, np.arange(first, last), size))
    region = Region(tuple(int(r.min()) for r in rows), tuple(int(r.max()) + 1 for r in rows))
    order = [
        partner.index(axis) if axis in partner else None for axis in range(len(seen.region.start))
    ]
    shifted = tuple(r - a for r, a in zip(rows, region.start, strict=True))
    return seen, Sampling(level, region, shifted, tuple(order))


def _voxel_map(
    viewer: Any, layer: Any, level: LayerLevel, other: Any
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the affine map from voxels of a level to data coordinates of the other layer."""
    scale = np.array(level.to_data.scale[: layer.ndim])
    shift = np.array(level.to_data.translation[: layer.ndim])
    offset = viewer.dims.ndim - layer.ndim

    def at(voxel: npt.NDArray[Any]) -> npt.NDArray[Any]:
        world = np.array(viewer.dims.point, float)
        world[offset:] = layer.data_to_world(scale * voxel + shift)
        return np.asarray(other.world_to_data(world), float)

    origin = at(np.zeros(layer.ndim))
    columns = [at(unit) - origin for unit in np.eye(layer.ndim)]
    return origin, np.stack(columns, axis=1)


def _partners(matrix: npt.NDArray[Any], other: Any) -> list[int | None]:
    """Return, for each axis of the other layer, the one axis of ours that runs along it."""
    linked = np.abs(matrix) > 1e-6 * np.abs(matrix).max()
    if (linked.sum(axis=0) > 1).any() or (linked.sum(axis=1) > 1).any():
        raise OperationError(
            f"Could not combine the layer with “{other.name}”",
            why="they are rotated or sheared against each other",
            hint="Choose layers of the same image.",
        )
    return [int(row.argmax()) if row.any() else None for row in linked]


def _matching_level(
    other: Any, matrix: npt.NDArray[Any], partner: list[int | None], seen: VisibleRegion
) -> LayerLevel:
    """Return the level of the other layer whose voxels are nearest in size to ours."""

    def distance(level: LayerLevel) -> float:
        pairs = [(b, a) for b, a in enumerate(partner) if a in seen.displayed]
        return sum(
            abs(math.log(abs(float(matrix[b, a]) / level.to_data.scale[b]))) for b, a in pairs
        )

    shown = [axis for axis, mine in enumerate(partner) if mine in seen.displayed]
    return min((level_of(other, n, shown) for n in range(level_count(other))), key=distance)


def _along(
    level: LayerLevel,
    axis: int,
    start: npt.NDArray[Any],
    matrix: npt.NDArray[Any],
    mine: int | None,
) -> tuple[float, float]:
    """Return scale and shift from our voxels to the level's along one of its axes."""
    scale, shift = level.to_data.scale[axis], level.to_data.translation[axis]
    factor = 0.0 if mine is None else float(matrix[axis, mine])
    return factor / scale, (float(start[axis]) - shift) / scale


def _covered(
    seen: VisibleRegion,
    level: LayerLevel,
    to_level: list[tuple[float, float]],
    partner: list[int | None],
    other: Any,
) -> VisibleRegion:
    """Return the part of a region that lies on the other layer."""
    first, last = list(seen.region.start), list(seen.region.stop)
    for axis, (scale, shift) in enumerate(to_level):
        mine = partner[axis]
        here = np.arange(1) if mine is None else np.arange(first[mine], last[mine])
        where = scale * here + shift
        inside = np.flatnonzero((where > -0.5 - 1e-6) & (where < level.shape[axis] - 0.5 + 1e-6))
        if inside.size == 0:
            raise RegionError(
                f"Nothing of “{other.name}” is where the first layer is in view",
                hint="Choose layers of the same image, or move to where both are.",
            )
        if mine is not None:
            first[mine], last[mine] = int(here[inside[0]]), int(here[inside[-1]]) + 1
    return replace(seen, region=Region(tuple(first), tuple(last)))
