"""Grey values of objects: of all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.process.table import Column

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from napari_omezarr_cloud.process.objects import Pixels
    from napari_omezarr_cloud.process.region_frame import Frame, Notes

__all__ = ["INTENSITY", "intensity_columns", "measure_intensity"]

INTENSITY = {
    "mean": "Mean grey value",
    "min": "Lowest grey value",
    "max": "Highest grey value",
    "std": "Standard deviation of the grey values",
    "sum": "Sum of the grey values (integrated intensity)",
    "median": "Median grey value",
}
"""Statistics of the grey values of an object, and what they are."""


def measure_intensity(
    image_name: str,
    image: npt.NDArray[Any],
    pixels: Pixels,
    frame: Frame,
    wanted: set[str],
    notes: Notes,
) -> list[Column]:
    """Return the wanted statistics of one image, which has the shape of the labels."""
    if not wanted & {*INTENSITY, "centroid_weighted"}:
        return []
    names = [name for name in INTENSITY if name in wanted]
    grey = image.reshape(-1)[pixels.flat].astype(np.float64)
    with np.errstate(all="ignore"):
        found = _statistics(grey, pixels, {*names})
        total = pixels.total(grey)
        moments = np.zeros((len(total), len(frame.axes)))
        for axis in range(len(frame.axes)) if "centroid_weighted" in wanted else ():
            moments[:, axis] = pixels.total(grey * pixels.places(axis))
    return intensity_columns(image_name, found, total, moments, frame, wanted, notes)


def intensity_columns(
    image_name: str,
    found: Mapping[str, npt.NDArray[np.float64]],
    total: npt.NDArray[np.float64],
    moments: npt.NDArray[np.float64],
    frame: Frame,
    wanted: set[str],
    notes: Notes,
) -> list[Column]:
    """Return columns of what is wanted of one image.

    Parameters
    ----------
    image_name
        How the columns call it.
    found
        Values by name of `INTENSITY`; all that are wanted.
    total
        Sum of the grey values of each object; NaN where one of them is.
    moments
        ``(object, axis)``: sum of grey value times position in voxels.
    frame, wanted, notes
        As for the other columns.
    """
    columns = [
        Column(f"{name}_{image_name}", "", found[name], f"{what} of {image_name}")
        for name, what in INTENSITY.items()
        if name in wanted
    ]
    if "centroid_weighted" in wanted:
        for axis, along in enumerate(frame.axes):
            with np.errstate(all="ignore"):
                mean = moments[:, axis] / total
            mean[~np.isfinite(mean)] = np.nan
            values = mean * frame.spacing[axis] + frame.offset[axis]
            what = f"Position along {along}, weighted by the grey values of {image_name}"
            name = f"centroid_weighted_{along}_{image_name}"
            columns.append(Column(name, frame.unit, values, what))
        notes.missing(
            f"centroid_weighted_{image_name}",
            int(np.count_nonzero(total == 0)),
            "the sum of the grey values is 0",
        )
    touched = int(np.count_nonzero(np.isnan(total)))
    notes.missing(image_name, touched, "some of the pixels are no number (NaN)")
    return columns


def _statistics(
    grey: npt.NDArray[np.float64], pixels: Pixels, names: set[str]
) -> dict[str, npt.NDArray[np.float64]]:
    """Return one value per object for each statistic of its grey values."""
    counts = pixels.counts
    total = pixels.total(grey)
    mean = total / counts
    found = {"sum": total, "mean": mean}
    if "std" in names:
        found["std"] = np.sqrt(pixels.total((grey - mean[pixels.who]) ** 2) / counts)
    if names & {"min", "max", "median"} and len(counts):
        # Object by object, ascending: the first is the lowest, the last the highest.
        ordered = grey[np.lexsort((grey, pixels.who))]
        first = np.cumsum(counts) - counts
        middle = (ordered[first + (counts - 1) // 2] + ordered[first + counts // 2]) / 2
        last = ordered[first + counts - 1]
        is_number = ~np.isnan(last)  # NaN sorts last
        found |= {
            "min": np.where(is_number, ordered[first], np.nan),
            "max": last,
            "median": np.where(is_number, middle, np.nan),
        }
    elif not len(counts):
        found |= dict.fromkeys(("min", "max", "median"), total)
    return found
