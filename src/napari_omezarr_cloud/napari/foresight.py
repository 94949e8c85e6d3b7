"""What will probably be looked at next, from how the view has moved. Pure.

No chunk is guessed before the view has moved once: opening an image costs what it shows. Only the
indices of shards nearby are read by then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_omezarr_cloud.chunks import Tier, nearest_chunks
from napari_omezarr_cloud.napari.look import Look, missing_chunks, same_place
from napari_omezarr_cloud.process.derived import DerivedLevel
from napari_omezarr_cloud.pyramid import Region
from napari_omezarr_cloud.pyramid.stored import StoredLevel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.chunks import ChunkCache, Lookup, Wish
    from napari_omezarr_cloud.pyramid import Index, PyramidView
    from napari_omezarr_cloud.store.gate import Rank

__all__ = ["Foresight", "shards_ahead"]

_PLANES_AHEAD = 8
_CACHE_SHARE = 8
"""What is loaded ahead takes at most this part of the memory cache."""
_MOST_LOOKUPS, _MOST_LOOKUP_BYTES = 24, 2**18
"""Shards whose indices are read ahead of one look, and the bytes of these."""


@dataclass(frozen=True)
class _Motion:
    """How the view moved last: across the plane, along another axis, or to another level."""

    pan: tuple[int, ...]
    """-1, 0 or 1 for each axis."""
    step: tuple[int, ...]
    level: int


class Foresight:
    """Remembers how one layer is looked at, and guesses what comes next."""

    def __init__(self) -> None:
        self._look: Look | None = None
        self._motion: _Motion | None = None

    def note(self, look: Look) -> None:
        """Take notice of a look of which all is here: those one only passes through say nothing."""
        last, self._look = self._look, look
        if last is None or last == look:
            return
        if last.displayed != look.displayed:
            self._motion = None
            return
        none = (0,) * len(look.stride)
        if last.number != look.number:
            self._motion = _Motion(none, none, -1 if look.number < last.number else 1)
            return
        moved = tuple(np.sign(np.subtract(_middle(look.region), _middle(last.region))).tolist())
        pan = tuple(int(m) if a in look.displayed else 0 for a, m in enumerate(moved))
        step = tuple(int(m) if a not in look.displayed else 0 for a, m in enumerate(moved))
        if any(step):
            self._motion = _Motion(none, step, 0)
        elif any(pan):
            self._motion = _Motion(pan, none, 0)

    def wishes(
        self, view: PyramidView, look: Look, cache: ChunkCache, max_bytes: int
    ) -> list[Wish]:
        """Return what is not here of the looks that may come next, the most probable first.

        Parameters
        ----------
        view
            What is looked at. Nothing is computed ahead: of a live layer its source is loaded.
        look
            At what one looks now; all of it is here.
        cache
            What is here.
        max_bytes
            At most as many bytes of voxels; 0 for nothing at all.
        """
        budget = min(max_bytes, cache.max_bytes // _CACHE_SHARE)
        if max(look.stride) > 1:
            return []  # one sees all of it
        wishes: dict[tuple[int, Index], Wish] = {}
        for order, following in enumerate(self._following(view, look)):
            rank = (float(Tier.PREFETCH), float(order))
            for wish in _missing(view, following, cache, rank):
                grid = wish.level.grid
                if (wish.level.key, wish.index) in wishes or isinstance(wish.level, DerivedLevel):
                    continue
                budget -= math.prod(grid.chunks) * grid.dtype.itemsize
                if budget < 0:
                    return list(wishes.values())
                wishes[wish.level.key, wish.index] = wish
        return list(wishes.values())

    def _following(self, view: PyramidView, look: Look) -> list[Look]:
        motion = self._motion
        if motion is None:
            return []
        if motion.level:
            return _zoomed(view, look, motion.level)
        shape = view.grid(look.number).shape
        if any(motion.pan):
            half = [m * -(-n // 2) for m, n in zip(motion.pan, look.region.shape, strict=True)]
            return _moved(look, shape, half)
        ahead = [
            near
            for planes in range(1, _PLANES_AHEAD + 1)
            for near in _moved(look, shape, [m * planes for m in motion.step])
        ]
        return [*ahead, *_moved(look, shape, [-m for m in motion.step])]


def shards_ahead(view: PyramidView, look: Look) -> list[Lookup]:
    """Return a chunk of each shard that a zoom or a pan may come to next; the middle first.

    A chunk in a shard whose index is not known takes two round trips. Indices are so small that
    they are worth having wherever one may go.
    """
    if len(look.displayed) > 2 or max(look.stride) > 1:
        return []
    found: list[Lookup] = []
    budget = _MOST_LOOKUP_BYTES
    for number in (*reversed(range(look.number)), look.number):
        level = view.level(number)
        if not isinstance(level, StoredLevel) or level.description.sharding is None:
            continue
        is_finer = number < look.number
        each = same_place(view, look, number) if is_finer else _with_margin(view, look)
        sharding = level.description.sharding
        most = min(_MOST_LOOKUPS - len(found), budget // sharding.index_nbytes)
        if most <= 0:
            break
        shape = np.multiply(sharding.chunks_per_shard, level.grid.chunks).tolist()
        shards = nearest_chunks(view.expand(each.region), shape, most)[:, :-1]
        firsts = shards * sharding.chunks_per_shard
        found += [(level, tuple(index)) for index in firsts.tolist()]
        budget -= len(firsts) * sharding.index_nbytes
    return found


def _with_margin(view: PyramidView, look: Look) -> Look:
    """Return the look and half as much on each side."""
    shape = view.grid(look.number).shape
    start, stop = list(look.region.start), list(look.region.stop)
    for axis in look.displayed:
        margin = -(-(stop[axis] - start[axis]) // 2)
        start[axis], stop[axis] = (
            max(start[axis] - margin, 0),
            min(stop[axis] + margin, shape[axis]),
        )
    return Look(look.number, Region(tuple(start), tuple(stop)), look.displayed, look.stride)


def _missing(view: PyramidView, look: Look, cache: ChunkCache, rank: Rank) -> list[Wish]:
    """Return what the look will ask for: its overview as well."""
    last = len(view.pyramid.levels) - 1
    coarsest = [] if look.number == last else [same_place(view, look, last)]
    looks = [*coarsest, look]
    return [wish for each in looks for wish in missing_chunks(view, each, cache, rank=rank)]


def _middle(region: Region) -> tuple[float, ...]:
    return tuple((a + b) / 2 for a, b in zip(region.start, region.stop, strict=True))


def _moved(look: Look, shape: Sequence[int], by: Sequence[int]) -> list[Look]:
    """Return the look moved by voxels of its level; none where that leaves the image."""
    start = tuple(max(a + d, 0) for a, d in zip(look.region.start, by, strict=True))
    stop = tuple(min(b + d, n) for b, d, n in zip(look.region.stop, by, shape, strict=True))
    region = Region(start, stop)
    if any(a >= b for a, b in zip(start, stop, strict=True)) or region == look.region:
        return []
    return [Look(look.number, region, look.displayed, look.stride)]


def _zoomed(view: PyramidView, look: Look, by: int) -> list[Look]:
    """Return the middle half of what is seen one level finer, or twice as much one coarser."""
    number = look.number + by
    if not 0 <= number < len(view.pyramid.levels) or len(look.displayed) > 2:
        return []
    shape = view.grid(look.number).shape
    start, stop = list(look.region.start), list(look.region.stop)
    for axis in look.displayed:
        size = stop[axis] - start[axis]
        margin = size // 4 if by < 0 else -(size // 2)
        start[axis] = max(start[axis] + margin, 0)
        stop[axis] = min(stop[axis] - margin, shape[axis])
    region = Region(tuple(start), tuple(stop))
    if region.is_empty:
        return []
    return [same_place(view, Look(look.number, region, look.displayed, look.stride), number)]
