"""What a layer is looked at: a region of a level, and the chunks that it needs first. Pure."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_omezarr_cloud.chunks import ChunkCache, Tier, Wish, chunk_count, nearest_chunks
from napari_omezarr_cloud.pyramid import PyramidView, Region

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_omezarr_cloud.pyramid import Level
    from napari_omezarr_cloud.store.gate import Rank

__all__ = [
    "Look",
    "first_look",
    "is_asked_for_whole",
    "loaded_bytes",
    "missing_chunks",
    "same_place",
    "steps_to",
    "voxel_at",
    "wish_list",
]

_MAX_WISHES = 1024
"""More chunks than this are not asked for at once; the next ones when some of these have come."""
_MAX_IN_VIEW = 1 << 14
"""Chunks beyond this, or beyond a quarter of the cache, are asked for as one comes nearer."""
_MOST_OF_NEXT = 1 / 3
"""A level between is shown in 3-D if it costs no more than this part of the next finer one."""


@dataclass(frozen=True)
class Look:
    """A region of a level of a view, and which of its axes are on screen."""

    number: int
    region: Region
    displayed: tuple[int, ...]
    stride: tuple[int, ...]
    """Every n-th voxel per axis is painted; 1 but for what is too large for the screen."""


def wish_list(view: PyramidView, look: Look, cache: ChunkCache) -> list[Wish]:
    """Return what a look needs, most urgent first: coarser levels, then the level itself.

    The coarsest gives every place a stand-in; of the level, the centre comes before the edges. A
    volume is shown when it is whole: the levels between are its way from coarse to fine.
    """
    target = missing_chunks(view, look, cache, rank=(float(Tier.VISIBLE), 1.0))
    before = steps_to(view, look) if target else _overview(view, look)
    wishes: list[Wish] = []
    for order, each in enumerate(before):
        rank = (float(Tier.VISIBLE), order / len(before))
        wishes += missing_chunks(view, each, cache, rank=rank)
    return wishes + target


def _overview(view: PyramidView, look: Look) -> list[Look]:
    last = len(view.pyramid.levels) - 1
    return [] if look.number == last else [same_place(view, look, last)]


def steps_to(view: PyramidView, look: Look) -> list[Look]:
    """Return the coarser looks that are shown before this one, coarsest first.

    In 2-D, where each chunk is painted as it comes, that is the coarsest level alone. In 3-D it is
    every level that costs at most a third of the next finer one that is shown: all of them together
    then at most half of the look itself.
    """
    steps = _overview(view, look)
    if len(look.displayed) < 3 or not steps:
        return steps
    finer, between = loaded_bytes(view, look), []
    for number in range(look.number + 1, len(view.pyramid.levels) - 1):
        coarse = same_place(view, look, number)
        nbytes = loaded_bytes(view, coarse)
        if nbytes <= finer * _MOST_OF_NEXT:
            between.append(coarse)
            finer = nbytes
    return [*steps, *reversed(between)]


def loaded_bytes(view: PyramidView, look: Look) -> int:
    """Return the bytes in memory of all chunks that a look touches."""
    grid = view.level(look.number).grid
    count = chunk_count(view.expand(look.region), grid.chunks)
    return count * math.prod(grid.chunks) * grid.dtype.itemsize


def same_place(view: PyramidView, look: Look, number: int) -> Look:
    """Return the look at another level that covers the same world."""
    across = view.transform(look.number).to(view.transform(number))
    region = across.covering(look.region, view.grid(number).shape)
    return Look(number, region, look.displayed, (1,) * view.ndim)


def missing_chunks(view: PyramidView, look: Look, cache: ChunkCache, *, rank: Rank) -> list[Wish]:
    """Return the chunks of a look that are not here; of equal ``rank``, the middle comes first."""
    level = view.level(look.number)
    region = view.expand(look.region)
    most = _most_chunks(level, cache)
    missing = (
        Wish(level, tuple(row[:-1]), (*rank, float(row[-1])))
        for row in nearest_chunks(region, level.grid.chunks, most).tolist()
        if (level.key, tuple(row[:-1])) not in cache
    )
    return list(itertools.islice(missing, _MAX_WISHES))


def is_asked_for_whole(view: PyramidView, look: Look, cache: ChunkCache) -> bool:
    """Tell whether all chunks of a look are asked for, sooner or later: there may be too many."""
    level = view.level(look.number)
    return chunk_count(view.expand(look.region), level.grid.chunks) <= _most_chunks(level, cache)


def _most_chunks(level: Level, cache: ChunkCache) -> int:
    chunk_bytes = math.prod(level.grid.chunks) * level.grid.dtype.itemsize
    return min(_MAX_IN_VIEW, max(16, cache.max_bytes // 4 // chunk_bytes))


def first_look(view: PyramidView, canvas_px: tuple[int, int], planes: Mapping[str, int]) -> Look:
    """Return the look at a whole image fitted on the canvas."""
    is_rgb = view.axes[-1].type == "channel"
    displayed = tuple(range(view.ndim - is_rgb))[-2:]
    number = 0
    for candidate in range(len(view.pyramid.levels)):
        shape = view.grid(candidate).shape
        if all(shape[a] >= n * 0.95 for a, n in zip(displayed, canvas_px, strict=True)):
            number = candidate
    shape, finest = view.grid(number).shape, view.grid(0).shape
    across = view.transform(0).to(view.transform(number))
    start, stop = [0] * view.ndim, list(shape)
    for axis in range(view.ndim - is_rgb):
        if axis not in displayed:
            # napari puts the sliders of a first image on its middle, rounded down.
            plane = planes.get(view.axes[axis].name, (finest[axis] - 1) // 2)
            start[axis] = int(across.nearest(axis, np.array([plane]), shape[axis])[0])
            stop[axis] = start[axis] + 1
    return Look(number, Region(tuple(start), tuple(stop)), displayed, (1,) * view.ndim)


def voxel_at(view: PyramidView, number: int, position: Sequence[float]) -> Region | None:
    """Return the voxel of a level at a position in level-0 voxels; None beside the image.

    Of RGB, whose colours are an axis that a position does not have, it is all of them.
    """
    shape = view.grid(number).shape
    across = view.transform(0).to(view.transform(number))
    place = []
    for axis in range(view.ndim):
        if axis >= len(position):
            place.append((0, shape[axis]))
            continue
        at = math.floor(across.scale[axis] * position[axis] + across.translation[axis] + 0.5)
        if not 0 <= at < shape[axis]:
            return None
        place.append((at, at + 1))
    return Region(tuple(a for a, _ in place), tuple(b for _, b in place))
