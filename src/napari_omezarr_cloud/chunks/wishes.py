"""Wish-lists: what each view wants now. A new list replaces the old one as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from napari_omezarr_cloud.chunks.jobs import Interest, Job, JobTable
from napari_omezarr_cloud.store.gate import AHEAD

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from napari_omezarr_cloud.chunks.cache import ChunkCache
    from napari_omezarr_cloud.pyramid import Index, Level
    from napari_omezarr_cloud.store.gate import Rank

__all__ = ["Tier", "Wish", "WishLists"]


class Tier(IntEnum):
    """How soon a chunk is needed."""

    VISIBLE = 0
    """On screen, or somebody waits for it."""
    PREFETCH = int(AHEAD)
    """May be on screen soon."""


@dataclass(frozen=True)
class Wish:
    """One chunk that a view wants."""

    level: Level
    index: Index
    rank: Rank
    """(tier, order within it ...); smaller is sooner."""


class WishLists:
    """The wishes of all views; runs on the I/O loop."""

    def __init__(self, cache: ChunkCache, jobs: JobTable) -> None:
        self._cache = cache
        self._jobs = jobs
        self._views: dict[Hashable, _Granted] = {}

    def replace(self, view: Hashable, wishes: Sequence[Wish]) -> None:
        """Make these the wishes of a view; what it no longer wants is given up."""
        old = self._views.pop(view, {})
        new: _Granted = {}
        for level, group in _by_level(wishes):
            self._grant(level, group, old, new)
        for interest, job in old.values():
            self._jobs.leave(job, interest)
        if new:
            self._views[view] = new

    def _grant(self, level: Level, wishes: Sequence[Wish], old: _Granted, new: _Granted) -> None:
        """Keep the jobs that still serve, with the new rank, and join or start the others."""
        fresh: dict[Index, Wish] = {}
        for wish in wishes:
            key = (level.key, wish.index)
            if key in self._cache:
                continue
            kept = old.pop(key, None)
            if kept is not None and not kept[1].task.done():
                kept[0].rank = _always(wish.rank)
                new[key] = kept
            else:
                fresh[wish.index] = wish
        if not fresh:
            return
        # One interest to join with, replaced by one per chunk: each has a rank of its own.
        soonest = Interest(_always(min(wish.rank for wish in fresh.values())))
        for job in self._jobs.join(level, list(fresh), soonest, even_failed=False):
            job.interests.discard(soonest)
            for index in job.indices:
                if index in fresh:
                    interest = Interest(_always(fresh[index].rank))
                    job.interests.add(interest)
                    new[level.key, index] = (interest, job)


_Granted = dict[tuple[int, "Index"], tuple[Interest, Job]]


def _always(rank: Rank) -> Callable[[], Rank]:
    return lambda: rank


def _by_level(wishes: Iterable[Wish]) -> list[tuple[Level, list[Wish]]]:
    groups: dict[int, tuple[Level, list[Wish]]] = {}
    for wish in wishes:
        groups.setdefault(wish.level.key, (wish.level, []))[1].append(wish)
    return list(groups.values())
