"""Keep a region offline: fetch the chunks that a box needs, and hold them on the disk.

The image is opened once more, over connections of its own, while a collector notes each answer:
that way all that opening it and reading the box takes is kept, and nothing else: metadata, the
directory of a zip, shard indices, chunks.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from napari_omezarr_cloud.chunks.wishes import Tier
from napari_omezarr_cloud.errors import CloudError, OperationError, RegionError
from napari_omezarr_cloud.pyramid import Pyramid, Region
from napari_omezarr_cloud.pyramid.opening import OpenedImage, open_image
from napari_omezarr_cloud.pyramid.transform import Transform
from napari_omezarr_cloud.store.caching import KEEPING, Collector
from napari_omezarr_cloud.store.disk import Kept, Usage, disk_cache, is_switched_off

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_omezarr_cloud.chunks.engine import Engine
    from napari_omezarr_cloud.pyramid import Index, Level
    from napari_omezarr_cloud.store.disk.ledger import Ledger

__all__ = ["OfflinePlan", "OfflineProgress", "keep", "plan"]

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


@dataclass(frozen=True, eq=False)
class OfflinePlan:
    """What keeping a region takes."""

    chunks: int
    """How many there are, stored or not."""
    nbytes: int
    """On disk, about: the sizes of a few chunks of each level, times their number."""
    decoded_nbytes: int
    """Of the chunks' voxels, exactly."""
    what: str
    """Region and levels, in words."""
    opened: OpenedImage = field(repr=False)
    boxes: tuple[tuple[Level, Region], ...] = field(repr=False)
    collector: Collector = field(repr=False)
    """What was read so far."""


async def plan(
    image: OpenedImage,
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
        Of a server.
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
    await _check_place(image)
    numbers = _numbers(image.pyramid, levels)
    box = region or Region.whole(image.pyramid.levels[0].grid.shape)
    if box.is_empty or box != box.within(image.pyramid.levels[0].grid.shape):
        raise RegionError(_WHAT, where=str(image.location), why="the region is not in the image")
    collector = Collector()
    token = KEEPING.set(collector)
    try:
        opened = await _reopened(image)
        boxes = list(_boxes(opened.pyramid, opened.pyramid, box, numbers))
        found, _ = await opened.labels
        for each in found if labels else ():
            count = len(each.pyramid.levels)
            theirs = sorted({min(n, count - 1) for n in numbers})
            boxes += _boxes(opened.pyramid, each.pyramid, box, theirs)
        if collector.is_private:
            await _check_private(image)
        nbytes = sum([await _estimate(engine, level, part) for level, part in boxes])
    finally:
        KEEPING.reset(token)
    return OfflinePlan(
        sum(_count(level, part) for level, part in boxes),
        nbytes,
        sum(_count(lv, p) * math.prod(lv.grid.chunks) * lv.grid.dtype.itemsize for lv, p in boxes),
        _in_words(opened.pyramid, region, numbers),
        opened,
        tuple(boxes),
        collector,
    )


async def keep(
    planned: OfflinePlan,
    engine: Engine,
    on_progress: Callable[[OfflineProgress], None] | None = None,
) -> Kept:
    """Fetch a planned region and hold it; awaits on the loop. Cancelled, it lets go of all again.

    ``on_progress`` is called on the loop. What cannot be had is counted and left out: the region is
    then not whole.

    Raises
    ------
    OperationError
        If it is more than the cache may hold beside what is kept already.
    """
    usage = await _usage()
    if usage.kept_nbytes + planned.nbytes > usage.max_bytes:
        raise OperationError(
            _WHAT,
            where=str(planned.opened.location),
            why=f"it takes about {planned.nbytes / 1e6:,.0f} MB, and the disk cache of "
            f"{usage.max_bytes / 1e6:,.0f} MB keeps {usage.kept_nbytes / 1e6:,.0f} MB already",
            hint="Enlarge the cache, release what is kept, or take fewer levels.",
        )
    opened = planned.opened
    collector = planned.collector
    number = await _on_disk(
        lambda ledger: ledger.begin_kept(opened.name, str(opened.location), planned.what)
    )
    token = KEEPING.set(collector)
    try:
        progress = OfflineProgress(planned.chunks)
        held: set[bytes] = set()
        for level, region in planned.boxes:
            indices = iter(level.grid.touching(region))
            while some := list(islice(indices, _TOGETHER)):
                good = await asyncio.gather(*(_fetch(engine, level, index) for index in some))
                engine.cache.drop({level.key})
                fresh = collector.names - held
                held |= fresh
                await _on_disk(partial(_pin, number, fresh))
                progress = replace(
                    progress,
                    done=progress.done + sum(good),
                    failed=progress.failed + len(good) - sum(good),
                    nbytes=collector.nbytes,
                )
                if on_progress is not None:
                    on_progress(progress)
        if not progress.failed:
            await _on_disk(lambda ledger: ledger.end_kept(number))
        kept = await _on_disk(lambda ledger: ledger.kept())
        return next(each for each in kept if each.id == number)
    except BaseException:
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


def _pin(number: int, names: set[bytes], ledger: Ledger) -> None:
    ledger.pin(number, names)


async def _fetch(engine: Engine, level: Level, index: Index) -> bool:
    try:
        await engine.region(level, level.grid.region_of(index), rank=lambda: _RANK)
    except CloudError:
        return False
    return True


async def _estimate(engine: Engine, level: Level, region: Region) -> int:
    """Return about how many bytes the chunks of a region take on disk."""
    spans = _spans(level, region)
    count = _count(level, region)
    some = {
        tuple(a + (b - a) * (2 * n + 1) // (2 * _SAMPLES) for a, b in spans)
        for n in range(_SAMPLES)
    }
    collector = KEEPING.get()
    before = collector.nbytes if collector else 0
    good = await asyncio.gather(*(_fetch(engine, level, index) for index in some))
    engine.cache.drop({level.key})
    fetched = (collector.nbytes if collector else 0) - before
    return fetched * count // max(1, sum(good))


def _spans(level: Level, region: Region) -> list[tuple[int, int]]:
    """Return, per axis, the first chunk that a region touches and the one after the last."""
    sides = zip(region.start, region.stop, level.grid.chunks, strict=True)
    return [(a // c, (b - 1) // c + 1) for a, b, c in sides]


def _count(level: Level, region: Region) -> int:
    return math.prod(b - a for a, b in _spans(level, region))


async def _check_place(image: OpenedImage) -> None:
    where = str(image.location)
    if image.location.kind == "file":
        raise OperationError(_WHAT, where=where, why="it is on this machine already")
    if is_switched_off() or (await _usage()).max_bytes == 0:
        raise OperationError(
            _WHAT,
            where=where,
            why="the disk cache is switched off",
            hint="Give it a size: in the settings, or with OMEZARR_DISK_CACHE_MB.",
        )


async def _check_private(image: OpenedImage) -> None:
    if not (await _usage()).private:
        raise OperationError(
            _WHAT,
            where=str(image.location),
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


async def _reopened(image: OpenedImage) -> OpenedImage:
    """Open an image again, as it was opened before."""
    if image.plate is None:
        again = await open_image(image.location)
    else:
        shown: Any = image.plate.field
        if shown is None and not image.plate.is_well:
            shown = "all"
        acquisition = image.plate.acquisition
        again = await open_image(image.location, field=shown, acquisition=acquisition)
    if _names(again.pyramid) == _names(image.pyramid):
        return again
    for sibling in again.series:
        if not sibling.path:  # one group describes several images
            other = await sibling.open()
            if _names(other.pyramid) == _names(image.pyramid):
                return other
    raise OperationError(
        _WHAT,
        where=str(image.location),
        why="the image there is another one by now",
        hint="Open it again.",
    )


def _names(pyramid: Pyramid) -> list[tuple[str, tuple[int, ...]]]:
    return [(level.name, level.grid.shape) for level in pyramid.levels]


def _boxes(
    image: Pyramid, target: Pyramid, region: Region, numbers: Sequence[int]
) -> Iterator[tuple[Level, Region]]:
    """Yield levels of a pyramid with the box that lies where a region of the image lies.

    A voxel more on each side, for those that look between voxels. Axes that the image does not
    have, and images that lie askew to each other, are taken whole.
    """
    names = [axis.name for axis in image.axes]
    at = [names.index(axis.name) if axis.name in names else None for axis in target.axes]
    place = image.levels[0].transform
    for number in numbers:
        level = target.levels[number]
        whole = Region.whole(level.grid.shape)
        if target.affine != image.affine:
            yield level, whole
            continue
        start, stop = [], []
        for axis, n in enumerate(at):
            low, high = whole.start[axis], whole.stop[axis]
            if n is not None:
                own = level.transform
                line = Transform((place.scale[n],), (place.translation[n],)).to(
                    Transform((own.scale[axis],), (own.translation[axis],))
                )
                part = line.covering(Region((region.start[n],), (region.stop[n],)), (high,))
                low, high = max(0, part.start[0] - 1), min(high, part.stop[0] + 1)
            start.append(low)
            stop.append(high)
        yield level, Region(tuple(start), tuple(stop))


def _in_words(pyramid: Pyramid, region: Region | None, numbers: Sequence[int]) -> str:
    count = len(pyramid.levels)
    which = "all levels" if len(numbers) == count else "levels " + ", ".join(map(str, numbers))
    if region is None or region == Region.whole(pyramid.levels[0].grid.shape):
        return f"the whole image, {which}"
    sides = zip(pyramid.axes, region.start, region.stop, strict=True)
    return ", ".join(f"{axis.name} {a} to {b}" for axis, a, b in sides) + f"; {which}"
