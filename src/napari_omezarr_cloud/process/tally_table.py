"""A tally as a table: the same columns, with the same numbers, as measured at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.process.region_frame import Frame, Notes
from napari_omezarr_cloud.process.region_intensity import INTENSITY, intensity_columns
from napari_omezarr_cloud.process.region_shape import OF_MOMENTS, shape_columns, shape_names
from napari_omezarr_cloud.process.regions import (
    position_columns,
    size_columns,
    touches_edge_column,
)
from napari_omezarr_cloud.process.table import Column, Table
from napari_omezarr_cloud.process.tally import Tally, Wanted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["table_of", "wanted_of"]

_Floats = npt.NDArray[np.float64]


def wanted_of(properties: set[str], frame: Frame, images: Sequence[str], notes: Notes) -> Wanted:
    """Return what blocks must be asked for single properties."""
    shapes = shape_names(frame, properties, notes)
    return Wanted(
        spacing=frame.spacing,
        moments=bool({*shapes} & {*OF_MOMENTS} - {"extent"}),
        shapes=tuple(name for name in shapes if name not in OF_MOMENTS),
        medians=tuple(images) if "median" in properties else (),
    )


def table_of(
    tally: Tally,
    properties: set[str],
    wanted: Wanted,
    *,
    images: Sequence[str],
    frame: Frame,
    shape: Sequence[int],
    places: Mapping[str, npt.NDArray[Any]],
    notes: Notes,
) -> Table:
    """Return a row for each object.

    Parameters
    ----------
    tally
        What was found; boxes in voxels of the measured region.
    properties
        Single ones, as for `wanted_of`.
    wanted
        What that gave.
    images
        Names, in the order of the tally's grey values.
    frame
        Where voxels lie.
    shape
        Of the measured region, along the axes of space.
    places
        ``(object,)`` by name of another axis: where along it an object is.
    notes
        What is known to be missing; more is added.
    """
    means = tally.sums / tally.counts[:, None]
    columns = [
        Column("label", "", tally.numbers, "Number of the object in the label image"),
        *(Column(name, "", at, f"Where it is along {name}, from 0") for name, at in places.items()),
        *size_columns(tally.counts, frame, properties),
        touches_edge_column(tally.boxes, shape),
    ]
    wholes = dict(zip(wanted.of_wholes, tally.wholes.T, strict=True))
    if properties & {*INTENSITY, "centroid_weighted"}:
        for name, grey in zip(images, tally.greys, strict=True):
            with np.errstate(all="ignore"):
                found = {
                    "mean": grey.totals / tally.counts,
                    "min": grey.lows,
                    "max": grey.highs,
                    "std": np.sqrt(grey.squares / tally.counts),
                    "sum": grey.totals,
                    "median": wholes.get(f"median_{name}", np.zeros(0)),
                }
            columns += intensity_columns(
                name, found, grey.totals, grey.moments, frame, properties, notes
            )
    shapes = _of_moments(tally, frame) if wanted.moments else {}
    shapes |= {"extent": tally.counts / np.diff(tally.boxes, axis=2)[..., 0].prod(axis=1)}
    shapes |= {name: wholes[name] for name in wanted.shapes}
    names = shape_names(frame, properties, Notes())
    columns += shape_columns({name: shapes[name] for name in names}, frame)
    columns += position_columns(means, tally.boxes, frame, properties)
    _note_missing(tally, notes)
    return Table(tuple(columns), notes.sentences)


def _note_missing(tally: Tally, notes: Notes) -> None:
    counts: dict[tuple[str, str], int] = {}
    for why in tally.reasons.values():
        for name, reason in why:
            if isinstance(reason, str):
                counts[name, reason] = counts.get((name, reason), 0) + 1
    for (name, reason), count in counts.items():
        notes.missing(name, count, reason)


def _of_moments(tally: Tally, frame: Frame) -> dict[str, _Floats]:
    """Return what scikit-image makes of second moments: of the inertia tensor's eigenvalues.

    In 3D the axes are those of the ellipsoid, 2 √(5 λ) of each variance λ, as in
    ``skimage.measure.regionprops``.
    """
    spacing = np.array(frame.spacing)
    spread = tally.spreads / tally.counts[:, None, None] * spacing[:, None] * spacing[None, :]
    ndim = len(spacing)
    trace = np.trace(spread, axis1=1, axis2=2)
    inertia = trace[:, None, None] * np.eye(ndim) - spread
    values = np.clip(np.linalg.eigvalsh(inertia), 0, None)[:, ::-1]
    if ndim == 3:
        major = 10 * (values[:, 0] + values[:, 1] - values[:, 2])
        minor = 10 * (values[:, 1] + values[:, 2] - values[:, 0])
        return {
            "axis_major_length": np.sqrt(np.clip(major, 0, None)),
            "axis_minor_length": np.sqrt(np.clip(minor, 0, None)),
        }
    first, last = values[:, 0], values[:, 1]
    with np.errstate(all="ignore"):
        eccentricity = np.where(first == 0, 0.0, np.sqrt(1 - last / first))
    across = spread[:, 0, 1]
    apart = spread[:, 0, 0] - spread[:, 1, 1]
    diagonal = np.where(across > 0, np.pi / 4, -np.pi / 4)
    return {
        "axis_major_length": 4 * np.sqrt(first),
        "axis_minor_length": 4 * np.sqrt(last),
        "eccentricity": eccentricity,
        "orientation": np.where(apart == 0, diagonal, 0.5 * np.arctan2(2 * across, apart)),
    }
