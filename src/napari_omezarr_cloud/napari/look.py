"""What a layer is looked at: a region of a level, and the chunks that it needs first. Pure."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_omezarr_cloud.chunks import ChunkCache, Tier, Wish, nearest_chunks
from napari_omezarr_cloud.pyramid import PyramidView, Region

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_omezarr_cloud.store.gate import Rank

__all__ = ["Look", "first_look", "missing_chunks", "same_place", "wish_list"]

_MAX_WISHES = 1024
"""More chunks than this are not asked for at once; the next ones when some of these have come."""
_MAX_IN_VIEW = 1 << 14
"""Chunks beyond this, or beyond a quarter of the cache, are asked for as one comes nearer."""


@dataclass(frozen=True)
class Look:
    """A region of a level of a view, and which of its axes are on screen."""

    number: int
    region: Region
    displayed: tuple[int, ...]
    stride: tuple[int, ...]
    """Every n-th voxel per axis is painted; 1 but for what is too large for the screen."""


def wish_list(view: PyramidView, look: Look, cache: ChunkCache) -> list[Wish]:
    """Return what a look needs, most urgent first: the coarsest level, then the level itself.

    The coarsest gives every place a stand-in; of the level, the centre comes before the edges.
    """
    last = len(view.pyramid.levels) - 1
    wishes: list[Wish] = []
    if look.number != last:
        coarsest = same_place(view, look, last)
        wishes += missing_chunks(view, coarsest, cache, rank=(float(Tier.VISIBLE), 0.0))
    return wishes + missing_chunks(view, look, cache, rank=(float(Tier.VISIBLE), 1.0))


def same_place(view: PyramidView, look: Look, number: int) -> Look:
    """Return the look at another level that covers the same world."""
    across = view.transform(look.number).to(view.transform(number))
    region = across.covering(look.region, view.grid(number).shape)
    return Look(number, region, look.displayed, (1,) * view.ndim)


def missing_chunks(view: PyramidView, look: Look, cache: ChunkCache, *, rank: Rank) -> list[Wish]:
    """Return the chunks of a look that are not here; of equal ``rank``, the middle comes first."""
    level = view.level(look.number)
    region = view.expand(look.region)
    grid = level.grid
    chunk_bytes = math.prod(grid.chunks) * grid.dtype.itemsize
    most = min(_MAX_IN_VIEW, max(16, cache.max_bytes // 4 // chunk_bytes))
    missing = (
        Wish(level, tuple(row[:-1]), (*rank, float(row[-1])))
        for row in nearest_chunks(region, grid.chunks, most).tolist()
        if (level.key, tuple(row[:-1])) not in cache
    )
    return list(itertools.islice(missing, _MAX_WISHES))


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
