"""Running recipes on whole images: what lives on screen, block by block, into an OME-Zarr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.api import apply
from napari_omezarr_cloud.api import open as open_image
from napari_omezarr_cloud.saving import plan_save, write_planned
from napari_omezarr_cloud.write.packing import check_can_be_opened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from os import PathLike

    from napari_omezarr_cloud.api import Derived, Image, Labels
    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.process import Recipe, Step
    from napari_omezarr_cloud.write.progress import Progress
    from napari_omezarr_cloud.write.save_plan import SavePlan

__all__ = ["plan_run", "run"]


def plan_run(
    images: Image | Labels | Derived | Mapping[str, Image | Labels | Derived],
    recipe: Recipe | Step | str | PathLike[str],
    target: str | PathLike[str] | Location,
    *,
    channel: int | Mapping[str, int] | None = None,
    **options: Any,
) -> SavePlan:
    """Return what `run` would write; reads only what a threshold is measured on.

    Takes what :func:`run` takes and raises as it does.
    """
    return plan_save(apply(images, recipe, channels=channel), target, **options)


def run(
    images: Image | Labels | Derived | Mapping[str, Image | Labels | Derived],
    recipe: Recipe | Step | str | PathLike[str],
    target: str | PathLike[str] | Location,
    *,
    channel: int | Mapping[str, int] | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Image:
    """Run a recipe on a whole image, or a part of it, and write the result as OME-Zarr.

    Block by block, each with what the operations look around, so that the result is that of the
    whole at once and memory does not grow with the image. What was cancelled or broke off is taken
    up again by the same call.

    Parameters
    ----------
    images, recipe
        As for :func:`apply`. Numbers that are None in the recipe, such as thresholds, are measured
        first, and written with the result.
    target
        As for :func:`save`.
    channel
        As ``channels`` of :func:`apply`: which one is taken, of all inputs or by input.
    overlap
        How many voxels around each block operations see that may look everywhere (fill holes,
        reconstruction, adaptive histogram). What depends on voxels farther away comes out
        differently than computed at once; more is truer and slower. None: each plane or volume is
        computed at once, or refused where that is too large.
    overwrite, threads, on_progress
        As for :func:`save`.
    workers
        How many processes of this machine compute, in place of threads; 2 and more pay where an
        operation holds up Python's threads, or reading does.
    scheduler
        Of a dask cluster that computes: ``tcp://host:8786``, or the path of its ``.json`` file.
        Its workers must see source and target, and get into them by themselves.
    **options
        Of :func:`save`: ``level``, ``region`` (in the axes of the result), ``name``, ``version``,
        ``chunks`` …

    Returns
    -------
    Image
        What was written, open. Labels of connected regions are joined across blocks, and no two
        objects of the image have one number.

    Raises
    ------
    OperationError
        If the recipe does not suit the images, or not block by block: it needs an overlap, or makes
        objects that cannot be joined.
    ExistsError
        If something is there already, and is not to be overwritten.
    WriteError
        If it was cancelled, or cannot be written so, or there, or workers cannot do it.
    UnreachableError
        If the scheduler does not answer.
    CloudError
        If the source cannot be read, or cannot be sent to workers: it is in memory, or its link
        carries a secret.
    """
    planned = plan_run(images, recipe, target, channel=channel, **options)
    check_can_be_opened(planned.location)
    write_planned(
        planned,
        overwrite=overwrite,
        threads=threads,
        workers=workers,
        scheduler=scheduler,
        on_progress=on_progress,
    )
    return open_image(planned.location)
