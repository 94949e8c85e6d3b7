"""Keep a region offline: fetch the chunks that a box needs, and hold them on the disk.

The image is opened once more, over connections of its own, while a collector notes each answer:
that way all that opening it and reading the box takes is kept, and nothing else: metadata, the
directory of a zip, shard indices, chunks.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from napari_omezarr_cloud.chunks.level_needs import (
    LevelNeeds,
    box_text,
    joined,
    level_boxes,
    needs_of,
    spread,
)
from napari_omezarr_cloud.chunks.wishes import Tier
from napari_omezarr_cloud.errors import CloudError, MetadataError, OperationError, RegionError
from napari_omezarr_cloud.pyramid import Pyramid, Region
from napari_omezarr_cloud.pyramid.opened import location_of
from napari_omezarr_cloud.pyramid.opening import OpenedImage, open_image
from napari_omezarr_cloud.pyramid.plate_opened import plate_of
from napari_omezarr_cloud.store.caching import KEEPING, Collector
from napari_omezarr_cloud.store.disk import (
    Kept,
    KeptWish,
    Usage,
    disk_cache,
    is_switched_off,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari_omezarr_cloud.chunks.engine import Engine
    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.pyramid import Index, Level
    from napari_omezarr_cloud.pyramid.plate_opened import FieldChoice
    from napari_omezarr_cloud.store.disk.ledger import Ledger

__all__ = [
    "OfflinePlan",
    "OfflineProgress",
    "keep",
    "lack_of_room",
    "plan",
]

T = TypeVar("T")

_TOGETHER = 32
"""Chunks that are under way at a time: half of the requests, so that a view gets its own soon."""
_SAMPLES = 4
"""Chunks per level that are fetched to estimate the others."""
_RANK = (float(Tier.PREFETCH) + 0.5,)
"""After everything that anybody may want to see."""
_WHAT = "Could not keep the region offline"


@dataclass(frozen=True)
class OfflineProgress:
    """How far it has come."""

    chunks: int
    """In all."""
    done: int = 0
    failed: int = 0
    nbytes: int = 0
    """On disk for this region, metadata included; some may have been there before."""
    problem: str = ""
    """Why the last chunk that failed could not be had."""


@dataclass(frozen=True, eq=False)
class OfflinePlan:
    """What keeping a region takes."""

    levels: tuple[LevelNeeds, ...]
    """Of each level that is kept; what label images take is counted where they are kept with it."""
    wish: KeptWish
    """Which region, levels and labels."""
    what: str
    """Region and levels, in words."""
    opened: OpenedImage = field(repr=False)
    boxes: tuple[tuple[Level, Region], ...] = field(repr=False)
    collector: Collector = field(repr=False)
    """What was read so far."""

    @property
    def chunks(self) -> int:
        """How many there are, stored or not."""
        return sum(each.chunks for each in self.levels)

    @property
    def nbytes(self) -> int:
        """On disk, about: the sizes of a few chunks of each level, times their number."""
        return sum(each.nbytes or 0 for each in self.levels)

    @property
    def decoded_nbytes(self) -> int:
        """Of the chunks' voxels, exactly."""
        return sum(each.decoded_nbytes for each in self.levels)


async def plan(
    image: Pyramid,
    engine: Engine,
    region: Region | None = None,
    levels: Sequence[int] | None = None,
    *,
    labels: bool = True,
) -> OfflinePlan:
    """Return what keeping a region takes; awaits on the loop, and fetches a few of its chunks.

    Parameters
    ----------
    image
        Opened from a server.
    engine
        Fetches.
    region
        In voxels of level 0; None: all of it.
    levels
        Which resolutions; None: all.
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
    location = await _checked_place(image)
    numbers = _numbers(image, levels)
    shape = image.levels[0].grid.shape
    box = region or Region.whole(shape)
    if box.is_empty or box != box.within(shape):
        raise RegionError(_WHAT, where=str(location), why="the region is not in the image")
    collector = Collector()
    token = KEEPING.set(collector)
    try:
        opened = await _reopened(image, location)
        own = level_boxes(opened.pyramid, opened.pyramid, box, numbers)
        parts = list(zip(numbers, own, strict=True))
        found, _ = await opened.labels
        for each in found if labels else ():
            # Of labels with fewer levels the coarsest stands for those that they lack.
            last = len(each.pyramid.levels) - 1
            theirs = {min(number, last): number for number in reversed(numbers)}
            own = level_boxes(opened.pyramid, each.pyramid, box, list(theirs))
            parts += zip(theirs.values(), own, strict=True)
        if collector.is_private:
            await _check_private(location)
        needs = [
            needs_of(number, level, part, await _estimate(engine, level, part))
            for number, (level, part) in parts
        ]
    finally:
        KEEPING.reset(token)
    return OfflinePlan(
        tuple(joined([each for each in needs if each.number == number]) for number in numbers),
        KeptWish(box.start, box.stop, tuple(numbers), labels),
        box_text(opened.pyramid, box, numbers),
        opened,
        tuple(part for _, part in parts),
        collector,
    )


async def keep(
    planned: OfflinePlan,
    engine: Engine,
    on_progress: Callable[[OfflineProgress], None] | None = None,
) -> Kept:
    """Fetch a planned region and hold it; awaits on the loop. Cancelled, it lets go of all again.

    ``on_progress`` is called on the loop. What cannot be had is counted and left out: the region is
    then not whole. To keep the same part of the same image once more is to go on with it; cancelled
    then, what was held before stays held.

    Raises
    ------
    OperationError
        If it is more than the cache may hold beside what is kept already.
    """
    opened, collector = planned.opened, planned.collector
    where = str(opened.location)
    await _check_room(planned)
    number, is_new = await _on_disk(
        lambda ledger: ledger.begin_kept(opened.name, where, planned.what, planned.wish)
    )
    token = KEEPING.set(collector)
    try:
        progress = OfflineProgress(planned.chunks)
        held: set[bytes] = set()
        for level, region in planned.boxes:
            indices = iter(level.grid.touching(region))
            while some := list(islice(indices, _TOGETHER)):
                told = await asyncio.gather(*(_fetch(engine, level, index) for index in some))
                engine.cache.drop({level.key})
                fresh = collector.names - held
                held |= fresh
                await _on_disk(partial(_pin, number, fresh))
                failed = [each for each in told if each is not None]
                progress = replace(
                    progress,
                    done=progress.done + len(told) - len(failed),
                    failed=progress.failed + len(failed),
                    nbytes=collector.nbytes,
                    problem=failed[-1].why if failed else progress.problem,
                )
                if on_progress is not None:
                    on_progress(progress)
        if not progress.failed:
            await _on_disk(lambda ledger: ledger.end_kept(number))
        kept = await _on_disk(lambda ledger: ledger.kept())
        return next(each for each in kept if each.id == number)
    except BaseException:
        if is_new:
            disk_cache().call(lambda ledger: ledger.release(number))
        raise
    finally:
        KEEPING.reset(token)
        engine.forget(opened.pyramid)


async def _on_disk(work: Callable[[Ledger], T]) -> T:
    return await asyncio.wrap_future(disk_cache().call(work))


async def _usage() -> Usage:
    await _on_disk(lambda ledger: None)  # what was counted before may be a while ago
    return disk_cache().usage


async def _check_room(planned: OfflinePlan) -> None:
    kept = await _on_disk(lambda ledger: ledger.kept())
    why = lack_of_room(planned, await _usage(), kept)
    if why:
        raise OperationError(
            _WHAT,
            where=str(planned.opened.location),
            why=why,
            hint="Enlarge the cache, release what is kept, or take fewer levels.",
        )


def lack_of_room(planned: OfflinePlan, usage: Usage, kept: Iterable[Kept]) -> str:
    """Return why a planned region cannot be held on the disk; empty where it can.

    Parameters
    ----------
    planned
        What is to be kept.
    usage
        Of the disk cache.
    kept
        What is kept already; a part that is gone on with has its place.
    """
    here = str(planned.opened.location), planned.wish
    there = sum(each.nbytes for each in kept if (each.where, each.wish) == here)
    others, needed = usage.kept_nbytes - there, f"it takes about {_megabytes(planned.nbytes)}"
    if others + planned.nbytes > usage.max_bytes:
        most, held = _megabytes(usage.max_bytes), _megabytes(others)
        return f"{needed}, and the disk cache of {most} keeps {held} already"
    if planned.nbytes - there > usage.free_nbytes:
        return f"{needed}, and {_megabytes(usage.free_nbytes)} are free on the disk"
    return ""


def _megabytes(nbytes: int) -> str:
    return f"{nbytes / (1 << 20):,.0f} MB"  # as the settings count


def _pin(number: int, names: set[bytes], ledger: Ledger) -> None:
    ledger.pin(number, names)


async def _fetch(engine: Engine, level: Level, index: Index) -> CloudError | None:
    """Return why a chunk could not be had; None where it is here."""
    try:
        await engine.region(level, level.grid.region_of(index), rank=lambda: _RANK)
    except CloudError as error:
        return error
    return None


async def _estimate(engine: Engine, level: Level, region: Region) -> int:
    """Return about how many bytes the chunks of a region take on disk."""
    some = spread(level, region, _SAMPLES)
    collector = KEEPING.get()
    before = collector.nbytes if collector else 0
    told = await asyncio.gather(*(_fetch(engine, level, index) for index in some))
    engine.cache.drop({level.key})
    fetched = (collector.nbytes if collector else 0) - before
    return fetched * needs_of(0, level, region).chunks // max(1, told.count(None))


async def _checked_place(image: Pyramid) -> Location:
    location = location_of(image)
    if location is None or location.kind == "file":
        raise OperationError(_WHAT, where=image.source, why="it is on this machine already")
    if is_switched_off() or (await _usage()).max_bytes == 0:
        raise OperationError(
            _WHAT,
            where=str(location),
            why="the disk cache is switched off",
            hint="Give it a size: in the settings, or with OMEZARR_DISK_CACHE_MB.",
        )
    return location


async def _check_private(location: Location) -> None:
    if not (await _usage()).private:
        raise OperationError(
            _WHAT,
            where=str(location),
            why="it needs credentials, and private images are not kept on this disk",
            hint="Allow it in the settings, or with OMEZARR_DISK_CACHE_PRIVATE=1.",
        )


def _numbers(pyramid: Pyramid, levels: Sequence[int] | None) -> list[int]:
    count = len(pyramid.levels)
    if levels is None:
        return list(range(count))
    wrong = [n for n in levels if not -count <= n < count]
    if wrong or not levels:
        why = (
            f"there is no level {wrong[0]}; the image has {count}" if wrong else "no level is named"
        )
        raise RegionError(_WHAT, where=pyramid.source, why=why)
    return sorted({n % count for n in levels})


async def _reopened(image: Pyramid, location: Location) -> OpenedImage:
    """Open an image again, as it was opened before."""
    plate = plate_of(image)
    if plate is None:
        again = await _opened_again(image, location)
    else:
        shown: FieldChoice = plate.field
        if shown is None and not plate.is_well:
            shown = "all"
        again = await open_image(location, field=shown, acquisition=plate.acquisition)
    if _names(again.pyramid) == _names(image):
        return again
    for sibling in again.series:
        if not sibling.path:  # one group describes several images
            other = await sibling.open()
            if _names(other.pyramid) == _names(image):
                return other
    raise OperationError(
        _WHAT,
        where=str(location),
        why="the image there is another one by now",
        hint="Open it again.",
    )


async def _opened_again(image: Pyramid, location: Location) -> OpenedImage:
    try:
        return await open_image(location)
    except MetadataError:  # axes that the person has named, where the metadata name none
        return await open_image(location, axes=[axis.name for axis in image.axes])


def _names(pyramid: Pyramid) -> list[tuple[str, tuple[int, ...]]]:
    return [(level.name, level.grid.shape) for level in pyramid.levels]
