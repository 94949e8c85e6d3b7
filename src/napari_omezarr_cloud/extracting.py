"""A part of an image as a file of its own: a box, some levels, some channels; in any form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.saving import plan_save
from napari_omezarr_cloud.write.boxes import region_of_box
from napari_omezarr_cloud.write.execution import write_planned

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    from napari_omezarr_cloud.images import Derived, Image, Labels
    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.write.boxes import Units
    from napari_omezarr_cloud.write.progress import Progress
    from napari_omezarr_cloud.write.save_plan import SavePlan

__all__ = ["extract", "plan_extract"]


def plan_extract(
    source: Image | Labels | Derived,
    target: str | PathLike[str] | Location,
    box: Mapping[str, tuple[float | None, float | None] | float] | None = None,
    *,
    units: Units = "pixel",
    level: int = 0,
    levels: Sequence[int] | None = None,
    level_count: int | None = None,
    **options: Any,
) -> SavePlan:
    """Return what `extract` would write; writes nothing and asks no server.

    Takes what :func:`extract` takes, and raises ``WriteError``, ``RegionError`` and ``LinkError``
    as it does.
    """
    finest = level if levels is None else min((n % len(source.levels) for n in levels), default=0)
    region = None
    if box and -len(source.levels) <= finest < len(source.levels):
        found = source.pyramid.levels[finest]
        region = region_of_box(box, units, source.axes, found.grid.shape, found.transform).slices
    return plan_save(
        source, target, level=level, levels=level_count, copied=levels, region=region, **options
    )


def extract(
    source: Image | Labels | Derived,
    target: str | PathLike[str] | Location,
    box: Mapping[str, tuple[float | None, float | None] | float] | None = None,
    *,
    overwrite: bool = False,
    threads: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Location:
    """Write a part of an image: OME-Zarr, one ``.ozx`` file, or OME-TIFF, by the target's name.

    What was cancelled or broke off is taken up again by the same call.

    Parameters
    ----------
    source
        An open image or label image, or the result of a recipe.
    target
        Where to: a path, ``s3://bucket/key``, ``gs://…``, ``az://…``. A name that ends in ``.ozx``
        or ``.zip`` makes one file of it, ``.ome.tif`` (or ``.tif``) a pyramidal OME-TIFF.
    box
        By the name of the axis: from where to where, or the one place, ``{"z": 12, "y": (0, 512),
        "t": (3, None)}``. Axes that are not named are taken whole.
    units
        "pixel": the box is in voxels of the (finest) level, half-open. "world": in the axes' own
        units; every voxel that it touches is taken.
    level
        Of the source, that becomes the finest one; coarser ones are made of it.
    levels
        Levels of the source that are copied as they are; None: only `level` is taken.
    level_count
        Where coarser ones are made, how many levels at most; None: down to about 256 voxels.
    channels
        Which ones, in this order; None: all.
    overwrite
        Whether what is there is deleted, once the new is whole.
    threads, on_progress
        As for :func:`save`.
    **options
        Of :func:`save`: ``name``, ``version``, ``method``, ``factors``, ``chunks``, ``codec``, and
        how to get into the target. An OME-TIFF has tiles of 512, and is compressed by deflate
        unless the codec is "none".

    Returns
    -------
    Location
        Where it is.

    Raises
    ------
    RegionError
        If there is no such axis or level, or nothing of the image is in the box.
    ExistsError
        If something is there already, and is not to be overwritten.
    WriteError
        If it was cancelled, or cannot be written so, or there.
    CloudError
        If the source cannot be read.
    """
    planned = plan_extract(source, target, box, **options)
    write_planned(planned, overwrite=overwrite, threads=threads, on_progress=on_progress)
    return planned.location
