"""What keeping a region takes of each level: which box, and how many chunks. Asks nobody."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_omezarr_cloud.pyramid import Region
from napari_omezarr_cloud.pyramid.transform import Transform

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_omezarr_cloud.pyramid import Index, Level, Pyramid

__all__ = ["LevelNeeds", "box_text", "joined", "level_boxes", "level_needs", "needs_of", "spread"]


@dataclass(frozen=True)
class LevelNeeds:
    """What keeping a region takes of one level."""

    number: int
    """Of the level; 0 is the finest."""
    shape: tuple[int, ...]
    """Voxels of the region at this level, per axis of the image."""
    chunks: int
    """How many there are, stored or not."""
    decoded_nbytes: int
    """Of the chunks' voxels, exactly."""
    nbytes: int | None = None
    """On disk, about: the sizes of a few chunks, times their number. None: none was fetched."""


def level_needs(pyramid: Pyramid, region: Region | None = None) -> tuple[LevelNeeds, ...]:
    """Return what keeping a region takes of each level, without asking anybody.

    Label images are not counted, and how far the bytes are compressed is not known.

    Parameters
    ----------
    pyramid
        Of the image.
    region
        In voxels of level 0; None: all of it.
    """
    box = region or Region.whole(pyramid.levels[0].grid.shape)
    boxes = level_boxes(pyramid, pyramid, box, range(len(pyramid.levels)))
    return tuple(needs_of(number, level, part) for number, (level, part) in enumerate(boxes))


def needs_of(number: int, level: Level, region: Region, nbytes: int | None = None) -> LevelNeeds:
    """Return what a region of a level takes; ``region`` is in the level's own voxels."""
    count = math.prod(b - a for a, b in _spans(level, region))
    chunk_nbytes = math.prod(level.grid.chunks) * level.grid.dtype.itemsize
    return LevelNeeds(number, region.shape, count, count * chunk_nbytes, nbytes)


def joined(needs: Sequence[LevelNeeds]) -> LevelNeeds:
    """Return what an image's level and its labels' (first that of the image) take together."""
    return LevelNeeds(
        needs[0].number,
        needs[0].shape,
        sum(each.chunks for each in needs),
        sum(each.decoded_nbytes for each in needs),
        sum(each.nbytes or 0 for each in needs),
    )


def spread(level: Level, region: Region, most: int) -> set[Index]:
    """Return up to so many chunks of a region that lie evenly along its diagonal."""
    spans = _spans(level, region)
    return {tuple(a + (b - a) * (2 * n + 1) // (2 * most) for a, b in spans) for n in range(most)}


def _spans(level: Level, region: Region) -> list[tuple[int, int]]:
    """Return, per axis, the first chunk that a region touches and the one after the last."""
    sides = zip(region.start, region.stop, level.grid.chunks, strict=True)
    return [(a // c, (b - 1) // c + 1) for a, b, c in sides]


def level_boxes(
    image: Pyramid, target: Pyramid, region: Region, numbers: Sequence[int]
) -> Iterator[tuple[Level, Region]]:
    """Yield levels of a pyramid with the box that lies where a region of the image lies.

    A voxel more on each side, for those that look between voxels; of single planes, time points and
    channels exactly those, as each may be a chunk. Axes that the image does not have, and images
    that lie askew to each other, are taken whole.

    Parameters
    ----------
    image
        Of which ``region`` is: in voxels of level 0, axes as in ``image.axes``.
    target
        Whose boxes are wanted: the image itself, or labels that lie over it.
    numbers
        Of the target's levels.
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
                is_wide = region.stop[n] - region.start[n] > 1
                margin = int(is_wide and image.axes[n].type == "space")
                low, high = max(0, part.start[0] - margin), min(high, part.stop[0] + margin)
            start.append(low)
            stop.append(high)
        yield level, Region(tuple(start), tuple(stop))


def box_text(pyramid: Pyramid, region: Region, numbers: Sequence[int]) -> str:
    """Return a box as ``omezarr cache keep --box`` takes it, and the levels."""
    count = len(pyramid.levels)
    which = "all levels" if len(numbers) == count else "levels " + ", ".join(map(str, numbers))
    if region == Region.whole(pyramid.levels[0].grid.shape):
        return f"the whole image, {which}"
    sides = zip(pyramid.axes, region.start, region.stop, pyramid.levels[0].grid.shape, strict=True)
    parts = [f"{axis.name}={a}:{b}" for axis, a, b, size in sides if b - a < size]
    return f"{', '.join(parts)}; {which}"
