"""Measuring label images of any size: a row for each object, wherever the blocks end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.api import Derived, Image, Labels
from napari_omezarr_cloud.errors import OperationError, RegionError
from napari_omezarr_cloud.ngff.units import micrometres
from napari_omezarr_cloud.process.regions import GROUPS
from napari_omezarr_cloud.process.whole_measuring import plan_whole
from napari_omezarr_cloud.pyramid import PyramidView, Region
from napari_omezarr_cloud.pyramid.channels import channel_axis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari_omezarr_cloud.process.table import Table
    from napari_omezarr_cloud.process.whole_measuring import WholeMeasuring
    from napari_omezarr_cloud.write.progress import Progress

__all__ = ["measure", "plan_measure"]

_Source = Image | Labels | Derived


def measure(
    labels: Labels | Image | Derived,
    images: _Source | Mapping[str, _Source] | None = None,
    *,
    threads: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Table:
    """Measure the objects of a label image of any size: one row each, whole across blocks.

    The numbers are those of ``skimage.measure.regionprops_table`` on the whole array. Memory goes
    by the blocks (about 4 million voxels) and the number of objects, not by the image.

    Parameters
    ----------
    labels
        Whole numbers; 0 is background. What has one number is one object, at each time point (and
        channel) another. Not a recipe that ends with a labelling: run that first.
    images
        Whose grey values are measured: an image, each of its channels under its name, or several by
        name. They are sampled at the voxels of the labels.
    properties
        Groups (``"size"``, ``"position"``, ``"shape"``, ``"intensity"``) or single properties in
        them. None: all. Median, solidity, perimeter and Euler number need each object at once:
        those in several blocks are read once more, and those whose box has over 33 million voxels
        have none.
    level
        Of the labels.
    region
        One slice or index per axis, in voxels of that level; None: all of it.
    channels
        Which of the images' channels; None: all.
    by_plane
        Whether each plane is alone: objects are measured in 2D, those of one number in other planes
        are others. For labels that were made plane by plane.
    threads
        How many blocks at once; None: as many as there are processors.
    on_progress
        Called after each block; its ``cancel()`` ends the measuring.

    Returns
    -------
    Table
        As :func:`~napari_omezarr_cloud.process.regions.measure_regions` gives it, in µm where axes
        have units of length, with a column for each other axis of more than one position. ``save``
        writes CSV or Parquet.

    Raises
    ------
    OperationError
        If labels and images do not fit each other, or it was cancelled.
    RegionError
        If there is no such level or region.
    CloudError
        If voxels cannot be read.
    """
    planned = plan_measure(labels, images, **options)
    return planned.run(threads=threads, on_progress=on_progress or (lambda _: None)).table


def plan_measure(
    labels: Labels | Image | Derived,
    images: _Source | Mapping[str, _Source] | None = None,
    *,
    properties: Iterable[str] | None = None,
    level: int = 0,
    region: Sequence[slice | int] | None = None,
    channels: Sequence[int] | None = None,
    by_plane: bool = False,
) -> WholeMeasuring:
    """Return what `measure` would do; reads no voxels. ``str()`` tells what it takes.

    Takes what :func:`measure` takes and raises as it does.
    """
    pyramid = labels.pyramid
    if not -len(pyramid.levels) <= level < len(pyramid.levels):
        why = f"there is no level {level}; the labels have {len(pyramid.levels)}"
        raise RegionError("Could not measure the objects", where=pyramid.source, why=why)
    number = level % len(pyramid.levels)
    view = PyramidView.of(pyramid)
    box = None
    if region is not None:
        box = Region.from_slices(tuple(region), view.grid(number).shape)
    lengths = [micrometres(axis.unit) for axis in view.axes]
    space = [
        length for length, axis in zip(lengths, view.axes, strict=True) if axis.type == "space"
    ]
    in_um = all(space)
    factors = [length if in_um and length else 1.0 for length in lengths]
    transform, notes = view.transform(number), []
    if not in_um:
        notes.append("The labels have no length unit: lengths are in the units of their scale.")
    if number:
        notes.append(f"Measured on level {number}: small objects are coarse, or missing.")
    if isinstance(labels, Image) and channel_axis(pyramid) is not None:
        notes.append(
            f"{labels.name} has channels, as images have and labels seldom: each of its grey "
            "values counts as an object."
        )
    if pyramid.affine is not None:
        notes.append("The labels are rotated or sheared: positions are along their own axes.")
    return plan_whole(
        view,
        _grey_views(images, channels),
        properties=tuple(GROUPS) if properties is None else properties,
        number=number,
        region=box,
        by_plane=by_plane,
        spacing=[s * f for s, f in zip(transform.scale, factors, strict=True)],
        offset=[t * f for t, f in zip(transform.translation, factors, strict=True)],
        unit="µm" if in_um else "",
        notes=notes,
    )


def _grey_views(
    images: _Source | Mapping[str, _Source] | None, channels: Sequence[int] | None
) -> dict[str, PyramidView]:
    """Return a view for each channel of each image, by the name its columns get."""
    if images is None:
        return {}
    given = images if isinstance(images, Mapping) else {"": images}
    found: dict[str, PyramidView] = {}
    for name, image in given.items():
        axis = channel_axis(image.pyramid)
        if axis is None:
            found[name or image.name] = PyramidView.of(image.pyramid)
            continue
        count = image.pyramid.levels[0].grid.shape[axis]
        taken = range(count) if channels is None else channels
        if any(not 0 <= c < count for c in taken):
            raise OperationError(
                "Could not measure the objects",
                where=image.pyramid.source,
                why=f"channels {list(taken)} were asked for, and it has 0 to {count - 1}",
            )
        for channel in taken:
            own = _channel_name(image, channel)
            if count == 1 and name:
                own = name
            elif name:
                own = f"{name}_{own}"
            if own in found:
                own = f"{own}_{channel}"
            found[own] = PyramidView.of(image.pyramid, {axis: channel})
    return found


def _channel_name(image: _Source, channel: int) -> str:
    described = image.channels if isinstance(image, Image) else ()
    named = described[channel].name if channel < len(described) else ""
    return named or f"c{channel}"
