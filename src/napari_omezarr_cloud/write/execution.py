"""Plans of saves, carried out: what is at their place is looked at, then they are written there."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import ExistsError
from napari_omezarr_cloud.store import io_thread
from napari_omezarr_cloud.write.hands import Hands
from napari_omezarr_cloud.write.labels_listing import list_label
from napari_omezarr_cloud.write.ome_tiff import write_ome_tiff
from napari_omezarr_cloud.write.ozx import folder_nbytes, move_into_ozx
from napari_omezarr_cloud.write.packing import Workshop, find_packed
from napari_omezarr_cloud.write.passes import Part
from napari_omezarr_cloud.write.permission import (
    check_overwriting,
    check_overwriting_file,
    in_its_image,
)
from napari_omezarr_cloud.write.progress import Progress
from napari_omezarr_cloud.write.replacing import (
    end_replacing,
    finish_replacing,
    make_room,
    put_in_place,
    snapshot,
    staging_of,
)
from napari_omezarr_cloud.write.target import Found, find, followed, looked_into, open_target
from napari_omezarr_cloud.write.writing import Writing, identity_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.write.save_plan import SavePlan

__all__ = ["look_there", "why_not_overwritten", "write_planned"]


def look_there(planned: SavePlan) -> tuple[Found, bool]:
    """Return what is at the place of a plan, and whether it is the beginning of the same; waits.

    Raises
    ------
    BusyError
        If somebody is writing there.
    CloudError
        If that cannot be found out.
    """
    if planned.packing is not None:
        found = io_thread().wait(find_packed(planned.location))
    else:
        planned, found = io_thread().wait(_looked(planned))
    is_same = found.plan is not None and found.plan == identity_of(planned.plan, planned.origin())
    if planned.packing is None and not is_same:
        found = io_thread().wait(looked_into(planned.location, found))
    return found, is_same


def write_planned(
    planned: SavePlan,
    *,
    overwrite: bool = False,
    threads: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Write what was planned; waits.

    Labels are written first, so that nobody finds the image without them.

    Parameters
    ----------
    planned
        What, and where.
    overwrite
        Whether what is there is deleted, once the new is whole beside it.
    threads
        How many blocks at once; None: as many as go well with processors and memory.
    workers
        How many processes of this machine do it; None: this one does, in threads.
    scheduler
        Of a dask cluster that does it: ``tcp://host:8786``, or the path of its ``.json`` file.
    on_progress
        Called after each block of work.
    progress
        Counts; by it another thread cancels. None: one of its own.

    Returns
    -------
    tuple of str
        What the person should know.

    Raises
    ------
    ExistsError
        If something is there already, and is not to be overwritten.
    BusyError
        If somebody is writing there.
    ChangedError
        If somebody else has changed the place meanwhile.
    WriteError
        If it was cancelled, or cannot be written so, or there, or workers cannot do it.
    CloudError
        If the source cannot be read, or cannot be sent to workers.
    """
    progress = Progress() if progress is None else progress
    hands = Hands(threads, workers, scheduler)
    with progress.cancellable("Writing", str(planned.location)):
        return _write_all(planned, overwrite, hands, on_progress or (lambda _: None), progress)


def _list(labels: SavePlan, image: Location | None) -> tuple[str, ...]:
    if image is None:
        return ()
    plan = labels.plan
    return io_thread().wait(list_label(open_target(image), plan.name, version=plan.version))


def _write_all(
    planned: SavePlan,
    overwrite: bool,
    hands: Hands,
    tell: Callable[[Progress], None],
    progress: Progress,
) -> tuple[str, ...]:
    origin = planned.origin()
    io = io_thread()
    if planned.packing is not None:
        whole = identity_of(planned.plan, origin)
        io.wait(_check_file(planned, overwrite))
        _write_packed(planned, whole, overwrite, hands, tell, progress)
        return ()
    planned, found, identity = io.wait(_found(planned))
    place = planned.location
    whole = identity_of(planned.plan, origin)
    if identity == whole:
        return _list(planned, planned.listed_in)  # it broke off when it had only to be put there
    if found.notes is not None:
        found.notes.refuse_if_busy(str(place))
    if found.plan != whole:
        found = io.wait(looked_into(place, found))
    # The notes stay until all is done: what breaks off before is gone on with, and not refused.
    notes: tuple[str, ...] = ()
    if not overwrite or found.is_empty or found.plan == whole:

        def end(writing: Writing) -> None:
            nonlocal notes
            notes = _list(planned, planned.listed_in)
            writing.clear()

        _write_tree(planned, place, found, origin, hands, tell, progress, end)
        return notes
    check_overwriting(planned, found)
    before, staging = io.wait(snapshot(place)), staging_of(place)

    def replace_old(writing: Writing) -> None:
        nonlocal notes
        io.wait(put_in_place(staging, place, writing.claim, before))
        notes = _list(planned, planned.listed_in)
        io.wait(end_replacing(staging, place, writing.claim))

    there = io.wait(make_room(staging, whole))
    _write_tree(planned, staging, there, origin, hands, tell, progress, replace_old)
    return notes


def _write_tree(
    planned: SavePlan,
    at: Location,
    found: Found,
    origin: str,
    hands: Hands,
    tell: Callable[[Progress], None],
    progress: Progress,
    end: Callable[[Writing], None] = Writing.clear,
) -> None:
    """Write an image and its labels as a folder, or as objects of a bucket."""
    whole = Part.of(planned, at, origin, progress)
    writing = whole.writing
    # All of them before the first begins: so that it is known how much there is to do.
    below = [
        Part.of(each, at.child(f"labels/{each.plan.name}"), each.origin(), progress)
        for each in planned.labels
    ]
    try:
        writing.begin(found)
        with hands.crew(progress) as crew:
            for each in below:
                each.write_below(hands.threads, crew, tell)
                _list(each.planned, at)
            source = whole.source(hands.threads, crew, tell)
            writing.write(source, threads=hands.threads, crew=crew, on_progress=tell)
        end(writing)
    finally:
        writing.release()


def _write_packed(
    planned: SavePlan,
    whole: dict[str, Any],
    overwrite: bool,
    hands: Hands,
    tell: Callable[[Progress], None],
    progress: Progress,
) -> None:
    """Write a folder, pack it into one file, and put that in its place."""
    shop, place = Workshop.of(planned.location), planned.location
    stamp = shop.begin(place, whole, overwrite=overwrite)

    def pack(writing: Writing) -> None:
        # The folder is this process' own until the file is in its place.
        if not shop.packed.exists():
            shop.pack(partial(_pack, planned, Path(shop.image.key), writing, tell))
        progress.enter("sending", shop.packed.stat().st_size)
        tick = _ticking(progress, tell)
        shop.deliver(place, overwrite=overwrite, tick=tick, stamp=stamp)
        writing.claim.end()
        shop.delete()

    found = io_thread().wait(find(shop.image))
    _write_tree(planned, shop.image, found, whole["origin"], hands, tell, progress, pack)


def _pack(
    planned: SavePlan,
    folder: Path,
    writing: Writing,
    tell: Callable[[Progress], None],
    target: Path,
) -> None:
    progress = writing.progress
    tick = _ticking(progress, tell)
    if planned.packing == "ome-tiff":
        progress.enter("packing", planned.plan.nbytes)
        write_ome_tiff(folder, target, planned.plan, planned.ome, tick, source=_source(planned))
    else:
        progress.enter("packing", folder_nbytes(folder))

        def check() -> None:
            io_thread().wait(writing.claim.check())

        move_into_ozx(folder, target, planned.plan.version, tick, check)


def _source(planned: SavePlan) -> str:
    source = planned.provenance.get("source", "")
    return source if isinstance(source, str) else ", ".join(source)


def _ticking(progress: Progress, tell: Callable[[Progress], None]) -> Callable[[int], None]:
    def tick(nbytes: int) -> None:
        progress.tick(nbytes)
        tell(progress)

    return tick


def why_not_overwritten(planned: SavePlan, found: Found) -> str:
    """Return why what `look_there` found cannot be overwritten; empty: it can be; may wait.

    Raises
    ------
    BusyError
        If somebody is writing there.
    """
    try:
        if planned.packing is not None and found.is_file:
            io_thread().wait(check_overwriting_file(planned))
        else:
            check_overwriting(planned, found)
    except ExistsError as error:
        return error.why
    return ""


async def _looked(planned: SavePlan) -> tuple[SavePlan, Found]:
    """Return what is there, and put a folder back that was about to be overwritten."""
    location = followed(planned.location)
    planned = replace(planned, location=location)
    found = await find(location)
    if location.kind == "file":
        found, _ = await finish_replacing(location, found)
    staged = await find(staging_of(location)) if found.is_image else Found()
    for notes in (found.notes, staged.notes):
        if notes is not None:
            notes.refuse_if_busy(str(location))
    found = replace(found, replacing=None if staged.plan is None else staged.notes)
    return await in_its_image(planned, is_new=found.is_empty), found


async def _found(planned: SavePlan) -> tuple[SavePlan, Found, dict[str, Any] | None]:
    """Return the plan as what it is at its place, and what `finish_replacing` says of that."""
    place = followed(planned.location)
    planned = replace(planned, location=place)
    found, identity = await finish_replacing(place, await find(place))
    return await in_its_image(planned, is_new=found.is_empty), found, identity


async def _check_file(planned: SavePlan, overwrite: bool) -> None:
    found = await find_packed(planned.location)
    await in_its_image(planned, is_new=not found.names)
    if overwrite and found.is_file:
        await check_overwriting_file(planned)
