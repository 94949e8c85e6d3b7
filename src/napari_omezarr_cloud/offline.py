"""The verbs of the disk cache: how full it is, what it may hold, what is kept for offline use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.chunks.keeping import (
    OfflinePlan,
    OfflineProgress,
    keep,
    lack_of_room,
    plan,
)
from napari_omezarr_cloud.chunks.level_needs import LevelNeeds, level_needs
from napari_omezarr_cloud.errors import NotFoundError
from napari_omezarr_cloud.location import Location
from napari_omezarr_cloud.pyramid import Pyramid, Region
from napari_omezarr_cloud.settings import choose, in_force_everywhere
from napari_omezarr_cloud.store import io_thread
from napari_omezarr_cloud.store.caching import identity
from napari_omezarr_cloud.store.disk import (
    Kept,
    KeptWish,
    Usage,
    disk_cache,
    follow_settings,
    is_switched_off,
)
from napari_omezarr_cloud.store.place_access import settled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from napari_omezarr_cloud.api import Image

__all__ = [
    "Kept",
    "KeptWish",
    "LevelNeeds",
    "OfflinePlan",
    "OfflineProgress",
    "Usage",
    "cache_info",
    "clear_cache",
    "is_switched_off",
    "keep_offline",
    "keep_offline_async",
    "kept_offline",
    "lack_of_room",
    "level_needs",
    "plan_offline",
    "plan_offline_async",
    "release_offline",
    "set_cache",
]


def cache_info() -> Usage:
    """Return how full the disk cache is, and what it was good for in this process; waits.

    A window that shows this asks ``disk_cache().usage`` instead, which does not.

    Raises
    ------
    OperationError
        If the cache cannot be used.
    """
    return disk_cache().info()


def set_cache(*, max_bytes: int | None = None, private: bool | None = None) -> Usage:
    """Set what the disk cache may hold, for this and all later programs; waits.

    What the environment says (``OMEZARR_DISK_CACHE_MB``) counts more.

    Parameters
    ----------
    max_bytes
        Most bytes on disk; 0 switches it off; None leaves it.
    private
        Whether what needs credentials or a signed link may be kept on this disk. False deletes
        what there is of it. None leaves it.

    Raises
    ------
    CloudError
        If it cannot be saved; it holds in this program all the same.
    ValueError
        If it is more than 64 TB.
    OperationError
        If the cache cannot be used.
    """
    chosen = in_force_everywhere().chosen
    if max_bytes is not None:
        chosen = replace(chosen, disk_bytes=max(0, max_bytes))
    if private is not None:
        chosen = replace(chosen, disk_private=private)
    choose(chosen)
    follow_settings()
    return cache_info()


def clear_cache(image: Image | Location | None = None, *, kept: bool = False) -> Usage:
    """Delete what is in the disk cache; waits.

    Parameters
    ----------
    image
        Of this image only, or of all below a location, what is kept for offline use included;
        None: of all.
    kept
        Whether what is kept for offline use is deleted, too.

    Raises
    ------
    OperationError
        If the cache cannot be used.
    """
    if image is None:
        disk_cache().clear(kept=kept)
    else:
        location = settled(image) if isinstance(image, Location) else image.location
        disk_cache().forget(identity(location)).result()
    return cache_info()


def plan_offline_async(
    image: Image | Pyramid,
    region: Sequence[slice | int] | None = None,
    levels: Sequence[int] | None = None,
    *,
    labels: bool = True,
) -> Future[OfflinePlan]:
    """Begin to work out what keeping a region takes; as :func:`plan_offline`, without waiting.

    A window, which has no image but its layers, gives the pyramid that they show.
    """
    box = _box(image, region)
    return io_thread().submit(plan(_pyramid(image), engine(), box, levels, labels=labels))


def plan_offline(
    image: Image,
    region: Sequence[slice | int] | None = None,
    levels: Sequence[int] | None = None,
    *,
    labels: bool = True,
) -> OfflinePlan:
    """Return how many chunks and about how many bytes keeping a region takes; waits.

    Fetches the metadata once more, and up to four chunks of each level to learn their size.

    Parameters
    ----------
    image
        Of a server.
    region
        One slice or index per axis, in voxels of level 0; None: all of it.
    levels
        Which resolutions; None: all. Coarse ones are small, and what is seen first.
    labels
        Whether label images beside it are kept, too, where the region is.

    Raises
    ------
    OperationError
        If it cannot be kept: it is local, the cache is off, or it is private and that is not
        allowed.
    RegionError
        If there is no such level, or the region is empty or leaves the image.
    CloudError
        If the image cannot be opened any more.
    """
    box = _box(image, region)
    return io_thread().wait(plan(_pyramid(image), engine(), box, levels, labels=labels))


def _pyramid(image: Image | Pyramid) -> Pyramid:
    return image if isinstance(image, Pyramid) else image.pyramid


def _box(image: Image | Pyramid, region: Sequence[slice | int] | None) -> Region | None:
    shape = _pyramid(image).levels[0].grid.shape
    return None if region is None else Region.from_slices(tuple(region), shape)


def keep_offline_async(
    planned: OfflinePlan, on_progress: Callable[[OfflineProgress], None] | None = None
) -> Future[Kept]:
    """Begin to keep what was planned; cancelling the future ends it and lets go of all again.

    ``on_progress`` is called on the I/O thread. Raises as :func:`keep_offline`, from the future.
    """
    return io_thread().submit(keep(planned, engine(), on_progress))


def keep_offline(
    image: Image,
    region: Sequence[slice | int] | None = None,
    levels: Sequence[int] | None = None,
    *,
    labels: bool = True,
    on_progress: Callable[[OfflineProgress], None] | None = None,
) -> Kept:
    """Download what a region needs and hold it on the disk until it is released; waits.

    Takes what :func:`plan_offline` takes, and raises as it does.

    Parameters
    ----------
    image, region, levels, labels
        As there.
    on_progress
        Called now and then on the I/O thread.

    Returns
    -------
    Kept
        ``is_whole`` is False where something could not be had.

    Raises
    ------
    OperationError
        Also if it is more than the disk cache may hold.
    """
    planned = plan_offline(image, region, levels, labels=labels)
    return io_thread().wait(keep(planned, engine(), on_progress))


def kept_offline() -> list[Kept]:
    """Return the regions that are kept for offline use, the oldest first; waits.

    Raises
    ------
    OperationError
        If the cache cannot be used.
    """
    return disk_cache().kept()


def release_offline(kept: Kept | int) -> None:
    """Let go of a region that is kept: its bytes stay until room is needed; waits.

    Raises
    ------
    NotFoundError
        If there is none of this number.
    OperationError
        If the cache cannot be used.
    """
    number = kept.id if isinstance(kept, Kept) else kept
    if not disk_cache().call(lambda ledger: ledger.release(number)).result():
        raise NotFoundError("Could not release it", why=f"nothing is kept under number {number}")
