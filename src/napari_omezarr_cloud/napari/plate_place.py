"""Where the wells of a plate lie in a layer: from a position to a well, and back. No waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.pyramid import Pyramid
from napari_omezarr_cloud.pyramid.mosaic import plane_axes
from napari_omezarr_cloud.pyramid.plate_opened import plate_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_omezarr_cloud.ngff.plate import PlateWell
    from napari_omezarr_cloud.pyramid import PyramidView
    from napari_omezarr_cloud.pyramid.plate_opened import OpenedPlate

__all__ = ["place_in", "plate_beneath", "well_box", "well_words"]


def plate_beneath(pyramid: Pyramid) -> OpenedPlate | None:
    """Return the plate or well that a pyramid shows, or that its voxels are computed from."""
    found = plate_of(pyramid)
    if found is not None:
        return found
    sources = (each for each in pyramid.kept if isinstance(each, Pyramid))
    return next((plate for each in sources if (plate := plate_beneath(each)) is not None), None)


def place_in(view: PyramidView, position: Sequence[float]) -> tuple[float, float] | None:
    """Return a position in voxels of level 0 along y and x, in the axes' units.

    None where the view has no y and x among the position's axes.
    """
    found = []
    for axis in plane_axes(view.pyramid):
        if axis not in view.order or view.order.index(axis) >= len(position):
            return None
        # A voxel's index is its middle.
        voxels = float(position[view.order.index(axis)]) + 0.5
        found.append(voxels * view.pyramid.levels[0].transform.scale[axis])
    return found[0], found[1]


def well_box(
    view: PyramidView, plate: OpenedPlate, well: PlateWell, point: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return low and high corner of a well's cell in voxels of level 0, at the point elsewhere."""
    low, high = point.copy(), point.copy()
    cells = zip(plane_axes(view.pyramid), (well.row, well.column), plate.cell, strict=True)
    for axis, number, length in cells:
        pitch = length / view.pyramid.levels[0].transform.scale[axis]
        position = view.order.index(axis)
        low[position], high[position] = number * pitch - 0.5, (number + 1) * pitch - 0.5
    return np.array([low, high])


def well_words(view: PyramidView, position: Any) -> str:
    """Return the name of the well at a position, and of its field; empty where none is."""
    plate = plate_beneath(view.pyramid)
    place = None if plate is None else place_in(view, position)
    if plate is None or place is None:
        return ""
    well = plate.well_at(*place)
    if well is None:
        return ""
    field = plate.field_at(*place)
    if plate.is_well:
        return f"field {field}" if field is not None else ""
    several = plate.field_count > 1 and field is not None
    return f"well {well.name}, field {field}" if several else f"well {well.name}"
