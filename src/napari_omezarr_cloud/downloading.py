"""Downloading: an image, a plate, any folder of a bucket, byte for byte into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.api import understand
from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.links import Link
from napari_omezarr_cloud.location import Location, parse_location
from napari_omezarr_cloud.resolving import resolve
from napari_omezarr_cloud.store import io_thread
from napari_omezarr_cloud.write.download import DownloadProgress, run_download
from napari_omezarr_cloud.write.download_plan import DownloadPlan
from napari_omezarr_cloud.write.download_plan import plan_download as plan_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from os import PathLike

__all__ = [
    "DownloadPlan",
    "DownloadProgress",
    "download",
    "download_async",
    "plan_download",
    "plan_download_async",
]


def plan_download_async(
    link: str | PathLike[str] | Location | Link,
    target: str | PathLike[str] | None = None,
    *,
    on_found: Callable[[int], None] = lambda _: None,
    **access: Any,
) -> Future[DownloadPlan]:
    """Begin to find out what a download takes, and return at once; as :func:`plan_download`.

    ``LinkError`` is raised at once, everything else comes from the future.
    """
    return io_thread().submit(_planned(_asked(link, access), target, on_found))


def _asked(link: str | PathLike[str] | Location | Link, access: dict[str, Any]) -> Location | Link:
    return link if isinstance(link, Location | Link) else understand(link, **access)


async def _planned(
    asked: Location | Link, target: str | PathLike[str] | None, on_found: Callable[[int], None]
) -> DownloadPlan:
    source = asked if isinstance(asked, Location) else await _first(asked)
    return await plan_of(source, _target(source, target), on_found)


async def _first(link: Link) -> Location:
    return (await resolve(link)).sources[0].location


def _target(source: Location, target: str | PathLike[str] | None) -> Path:
    """Return where to: without any, what the source is called, in the current folder."""
    what = "Could not plan the download"
    if target is None:
        target = source.key.rstrip("/").rpartition("/")[2] or source.bucket
        if target in ("", ".", ".."):
            why = "there is nothing in the link that the folder could be called"
            raise LinkError(what, where=str(source), why=why)
        target = Path(target)
    place = parse_location(target)
    if place.kind != "file":
        hint = "Name a folder. Into a bucket an image goes by: omezarr save, noc.save."
        raise LinkError(what, where=str(place), why="a copy goes to this disk", hint=hint)
    path = Path(place.key)
    if source.kind == "file" and path.is_relative_to(source.key):
        why = "that is where it is" if path == Path(source.key) else "that lies in what is copied"
        raise LinkError(what, where=str(place), why=why, hint="Choose another folder.")
    return path


def plan_download(
    link: str | PathLike[str] | Location | Link,
    target: str | PathLike[str] | None = None,
    *,
    on_found: Callable[[int], None] = lambda _: None,
    **access: Any,
) -> DownloadPlan:
    """Return what `download` would download; waits while it is counted.

    Takes what :func:`download` takes. ``on_found`` is called, on the I/O thread, with how many
    objects were found so far. ``count`` and ``nbytes`` are exact where the server lists
    (``is_exact``), else they follow from the metadata and the sizes of a few objects.

    Raises
    ------
    LinkError
        If the text is no link.
    NotFoundError
        If there is nothing; or the server lists nothing, and there are no metadata to go by.
    CloudError
        As the server says.
    """
    return io_thread().wait(_planned(_asked(link, access), target, on_found))


def download_async(
    planned: DownloadPlan, on_progress: Callable[[DownloadProgress], None] = lambda _: None
) -> Future[DownloadProgress]:
    """Begin to download what was planned; cancelling the future ends it, and keeps what has come.

    Half of the requests are left to what somebody looks at meanwhile.

    ``on_progress`` is called on the I/O thread. Raises as :func:`download`, from the future.
    """
    return io_thread().submit(run_download(planned, on_progress, is_beside=True))


def download(
    link: str | PathLike[str] | Location | Link | DownloadPlan,
    target: str | PathLike[str] | None = None,
    *,
    on_progress: Callable[[DownloadProgress], None] = lambda _: None,
    **access: Any,
) -> Path:
    """Copy an image, or anything else that a link leads to, byte for byte to this disk; waits.

    Metadata come first, then levels from coarse to fine, so that what is there can be opened at any
    time; it says that it is not complete. What was cancelled or broke off goes on by the same call:
    what is here is not asked for again. Sizes are compared with what the server says, and checksums
    where it gives some.

    Parameters
    ----------
    link
        As for :func:`open`; also a plate, a well, a series, any folder of a bucket, or one zip
        file. Or what :func:`plan_download` returned.
    target
        A folder that is new, or empty; of one file, its name. None: as the source is called, in the
        current folder.
    on_progress
        Called after each object, on the I/O thread.
    endpoint, region, anonymous, profile
        How to get in, as :func:`open`.

    Returns
    -------
    Path
        Where it is.

    Raises
    ------
    ExistsError
        If something else is there.
    WriteError
        If the disk does not take it, or some objects could not be had; what has come is kept.
    CloudError
        As :func:`plan_download`.
    """
    planned = link if isinstance(link, DownloadPlan) else plan_download(link, target, **access)
    io_thread().wait(run_download(planned, on_progress))
    return planned.target
