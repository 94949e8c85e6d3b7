"""Measuring the objects of a label image: size, position, shape and grey values, in real units.

The numbers are those of ``skimage.measure.regionprops_table``. Size, position and grey values are
counted for all objects at once, which for many objects takes a hundredth of its time; shapes are
scikit-image's own, object by object, so that one it cannot measure does not lose the others.
"""

from __future__ import annotations

import math
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process.objects import Pixels, Regions, find_regions
from napari_omezarr_cloud.process.region_frame import Frame, Notes
from napari_omezarr_cloud.process.region_intensity import INTENSITY, measure_intensity
from napari_omezarr_cloud.process.region_shape import SHAPE, measure_shape
from napari_omezarr_cloud.process.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = [
    "GROUPS",
    "Regions",
    "even",
    "expanded",
    "find_regions",
    "measure_regions",
    "position_columns",
    "size_columns",
    "touches_edge_column",
]

_Array: TypeAlias = npt.NDArray[Any]

GROUPS: dict[str, tuple[str, ...]] = {
    "size": ("area", "equivalent_diameter"),
    "position": ("centroid", "bbox"),
    "shape": tuple(SHAPE),
    "intensity": (*INTENSITY, "centroid_weighted"),
}
"""What can be measured, by the groups of the form."""


def measure_regions(
    labels: _Array | Regions,
    images: Mapping[str, _Array] | None = None,
    *,
    properties: Iterable[str] = tuple(GROUPS),
    spacing: Sequence[float] | None = None,
    offset: Sequence[float] | None = None,
    axes: Sequence[str] | None = None,
    unit: str = "",
    on_progress: Callable[[int, int], None] | None = None,
) -> Table:
    """Return a row of measurements for each object, in ascending order of its number.

    Parameters
    ----------
    labels
        ``yx`` or ``zyx``, whole numbers; 0 is background. Or what `find_regions` gave.
    images
        Grey values by name, each of the shape of ``labels``.
    properties
        What to measure: names of `GROUPS`, or of single properties in them. ``label`` and
        ``touches_edge`` are always there.
    spacing
        Size of a voxel per axis, in ``unit``; ones where not given.
    offset
        Position of the centre of the first voxel per axis, in ``unit``; zeros where not given.
    axes
        Names of the axes; ``("z", "y", "x")`` or its end where not given.
    unit
        Of lengths, such as ``"µm"``; areas get its square, volumes its cube.
    on_progress
        Called before each image and each shape, with how many objects are done and how many
        there are; what it raises ends the measuring.

    Returns
    -------
    Table
        ``label``, ``area`` (2D) or ``volume`` (3D), … Grey values are named after their image:
        ``mean_nuclei``. What cannot be measured of an object is NaN, and noted.

    Raises
    ------
    OperationError
        If labels or images do not suit, or there is no property of a name.
    """
    regions = labels if isinstance(labels, Regions) else find_regions(labels)
    wanted = expanded(properties)
    ndim = regions.ids.ndim
    frame = Frame(
        spacing=even(tuple(float(s) for s in spacing or (1.0,) * ndim)),
        offset=tuple(float(o) for o in offset or (0.0,) * ndim),
        axes=tuple(axes or "zyx"[-ndim:]),
        unit=unit,
    )
    if not len(frame.spacing) == len(frame.offset) == len(frame.axes) == ndim:
        raise OperationError(
            "Could not measure", why=f"not every one of the {ndim} axes is described"
        )
    if min(frame.spacing) <= 0:
        raise OperationError("Could not measure", why="the size of a voxel must be above 0")
    images = images or {}
    for name, image in images.items():
        _check_image(name, image, regions.ids.shape)
    notes = Notes()
    if len(regions) and regions.numbers[0] < 0:
        notes.add("Negative labels were measured too.")
    pixels = Pixels.of(regions)
    columns = [
        Column("label", "", regions.numbers, "Number of the object in the label image"),
        *size_columns(pixels.counts, frame, wanted),
        touches_edge_column(regions.boxes, regions.ids.shape),
    ]
    for name, image in images.items():
        if on_progress is not None:
            on_progress(0, len(regions))
        columns += measure_intensity(name, image, pixels, frame, wanted, notes)
    columns += measure_shape(regions, frame, wanted, notes, on_progress)
    sums = [pixels.total(pixels.places(axis)) for axis in range(ndim)]
    means = np.stack(sums, axis=1) / pixels.counts[:, None]
    columns += position_columns(means, regions.boxes, frame, wanted)
    return Table(tuple(columns), notes.sentences)


def expanded(properties: Iterable[str]) -> set[str]:
    """Return single properties for the names of groups.

    Raises
    ------
    OperationError
        If there is none of a name; it names the nearest.
    """
    known = {*GROUPS, *(name for group in GROUPS.values() for name in group)}
    wanted: set[str] = set()
    for name in [properties] if isinstance(properties, str) else properties:
        if name not in known:
            near = get_close_matches(str(name), sorted(known), n=1)
            raise OperationError(
                f"There is no property {name!r} to measure",
                why=f"there are {', '.join(GROUPS)}, and what is in these",
                hint=f"Did you mean {near[0]}?" if near else "",
            )
        wanted.update(GROUPS.get(name, (name,)))
    return wanted


def even(spacing: tuple[float, ...]) -> tuple[float, ...]:
    """Return sizes that differ by rounding only as one: scikit-image asks for equal ones."""
    return (spacing[0],) * len(spacing) if np.allclose(spacing, spacing[0], rtol=1e-6) else spacing


def _check_image(name: str, image: _Array, shape: tuple[int, ...]) -> None:
    if image.shape != shape:
        raise OperationError(
            f"Could not measure {name}",
            why=f"its shape is {image.shape}, that of the labels {shape}",
        )
    if image.dtype.kind not in "biuf":
        raise OperationError(
            f"Could not measure {name}", why=f"grey values are real numbers, not {image.dtype}"
        )


def touches_edge_column(boxes: _Array, shape: Sequence[int]) -> Column:
    """Return whether objects reach the edge.

    Parameters
    ----------
    boxes
        ``(object, axis, 2)``: start and stop in voxels of what was measured, half-open.
    shape
        Of what was measured.
    """
    touches = np.zeros(len(boxes), bool)
    for axis, size in enumerate(shape):
        if size > 1:  # everything touches both sides of a single plane
            touches |= (boxes[:, axis, 0] == 0) | (boxes[:, axis, 1] == size)
    return Column(
        "touches_edge",
        "",
        touches,
        "Whether the object reaches the edge of what was measured, and may go on beyond it",
    )


def size_columns(counts: _Array, frame: Frame, wanted: set[str]) -> list[Column]:
    """Return area or volume, and what follows from it, of objects of so many voxels."""
    ndim = len(frame.axes)
    columns = []
    size = counts * math.prod(frame.spacing)
    if "area" in wanted:
        name, what = ("area", "Area") if ndim == 2 else ("volume", "Volume")
        columns.append(Column(name, frame.power(ndim), size, f"{what} of the object"))
    if "equivalent_diameter" in wanted:
        like = "circle of the same area" if ndim == 2 else "ball of the same volume"
        values = (2 * ndim * size / math.pi) ** (1 / ndim)
        columns.append(Column("equivalent_diameter", frame.unit, values, f"Diameter of a {like}"))
    return columns


def position_columns(means: _Array, boxes: _Array, frame: Frame, wanted: set[str]) -> list[Column]:
    """Return where objects are.

    Parameters
    ----------
    means
        ``(object, axis)``: mean position of the voxels, in voxels.
    boxes
        ``(object, axis, 2)``: start and stop in voxels, half-open.
    frame, wanted
        Where voxels lie; what is wanted.
    """
    columns = []
    if "centroid" in wanted:
        for axis, name in enumerate(frame.axes):
            values = means[:, axis] * frame.spacing[axis] + frame.offset[axis]
            what = f"Mean position of the object along {name}"
            columns.append(Column(f"centroid_{name}", frame.unit, values, what))
    if "bbox" in wanted:
        for end, word, what in ((0, "min", "Lower"), (1, "max", "Upper")):
            for axis, name in enumerate(frame.axes):
                edge = (boxes[:, axis, end] - 0.5) * frame.spacing[axis]
                told = f"{what} side of the bounding box along {name}, at the edge of a pixel"
                side = edge + frame.offset[axis]
                columns.append(Column(f"bbox_{word}_{name}", frame.unit, side, told))
    return columns
