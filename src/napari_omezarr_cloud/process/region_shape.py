"""Shapes of objects, as scikit-image measures them: one after the other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_omezarr_cloud.process.table import Column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy.typing as npt

    from napari_omezarr_cloud.process.objects import Regions
    from napari_omezarr_cloud.process.region_frame import Frame, Notes

__all__ = ["OF_MOMENTS", "SHAPE", "measure_shape", "shape_columns", "shape_names", "shape_of"]

SHAPE = {
    "axis_major_length": "Length of the longest axis of the ellipse (ellipsoid) with the same "
    "second moments as the object",
    "axis_minor_length": "Length of the shortest axis of that ellipse (ellipsoid)",
    "eccentricity": "0 for a circle, towards 1 for a line",
    "solidity": "Share of the convex hull that the object fills; 1 has no dents",
    "extent": "Share of the bounding box that the object fills",
    "perimeter": "Length of the outline",
    "orientation": "Angle between the first axis and the longest axis of the object, from −π/2 to "
    "π/2, counter-clockwise",
    "euler_number": "Connected parts minus holes (in 3D: plus cavities)",
}
"""What can be measured, in scikit-image's words, and what it is."""

OF_MOMENTS = (
    "axis_major_length",
    "axis_minor_length",
    "eccentricity",
    "extent",
    "orientation",
)
"""What second moments and the bounding box tell, without looking at the object again."""

_ONLY_2D = ("eccentricity", "perimeter", "orientation")
_LENGTHS = ("axis_major_length", "axis_minor_length", "perimeter")
_MAX_HULL_VOXELS = 1 << 24
"""Box of an object in 3D beyond which its convex hull is not made: it costs 50 bytes per voxel."""


def measure_shape(
    regions: Regions,
    frame: Frame,
    wanted: set[str],
    notes: Notes,
    on_progress: Callable[[int, int], None] | None,
) -> list[Column]:
    """Return what scikit-image measures object by object."""
    names = shape_names(frame, wanted, notes)
    count = len(regions)
    values = {name: np.full(count, np.nan) for name in names}
    reasons: dict[tuple[str, str], int] = {}
    for row in range(count if names else 0):
        if on_progress is not None:
            on_progress(row, count)
        box = tuple(slice(a, b) for a, b in regions.boxes[row])
        mask = regions.ids[box] == row + 1
        for name, value in shape_of(mask, frame.spacing, names):
            if isinstance(value, str):
                reasons[name, value] = reasons.get((name, value), 0) + 1
            else:
                values[name][row] = value
    for (name, why), number in reasons.items():
        notes.missing(name, number, why)
    return shape_columns(values, frame)


def shape_names(frame: Frame, wanted: set[str], notes: Notes) -> list[str]:
    """Return what can be measured of what is wanted."""
    names = [name for name in SHAPE if name in wanted]
    if len(frame.axes) == 3:
        names = [name for name in names if name not in _ONLY_2D]
    if "perimeter" in names and len(set(frame.spacing)) > 1:
        names.remove("perimeter")
        notes.add("perimeter was left out: it needs pixels that are as high as wide.")
    return names


def shape_columns(values: Mapping[str, npt.NDArray[np.float64]], frame: Frame) -> list[Column]:
    """Return columns of values by name, in the order of `SHAPE`."""
    units = dict.fromkeys(_LENGTHS, frame.unit) | {"orientation": "rad"}
    names = [name for name in SHAPE if name in values]
    return [Column(name, units.get(name, ""), values[name], SHAPE[name]) for name in names]


def shape_of(
    mask: npt.NDArray[np.bool_], spacing: tuple[float, ...], names: Sequence[str]
) -> Iterable[tuple[str, float | str]]:
    """Yield each property of one object, or why it has none."""
    from skimage.measure import regionprops

    [region] = regionprops(mask.view(np.uint8), spacing=spacing)
    for name in names:
        why = _no_hull(mask) if name == "solidity" and mask.ndim == 3 else ""
        if why:
            yield name, why
            continue
        try:
            with np.errstate(all="ignore"):
                value = float(region[name])
        except Exception as error:  # one object it cannot measure must not lose the others
            yield name, str(error).splitlines()[0] if str(error) else type(error).__name__
            continue
        yield name, value if math.isfinite(value) else "scikit-image gives no finite number"


def _no_hull(mask: npt.NDArray[np.bool_]) -> str:
    """Return why a volume has no convex hull; empty where it has one."""
    if mask.size > _MAX_HULL_VOXELS:
        return "they are too large for a convex hull"
    places = np.stack(np.nonzero(mask)).astype(np.float64)
    places -= places[:, :1]
    if np.linalg.matrix_rank(places @ places.T) < mask.ndim:
        return "a flat object has no convex hull in 3D"
    return ""
