"""Shards that may be looked into next: where their chunks lie is found out before."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from napari_omezarr_cloud.chunks.wishes import Tier
from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.store.gate import Rank, ranked_task

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from napari_omezarr_cloud.pyramid import Decodes, Index
    from napari_omezarr_cloud.pyramid.stored import StoredLevel

__all__ = ["Lookup", "Lookups"]

Lookup = tuple["StoredLevel", "Index"]
"""A level, and one chunk of the shard in question."""

_RANK: Rank = (float(Tier.PREFETCH), -1.0)
"""Before chunks that are loaded ahead: an index is small, and saves a round trip."""


class Lookups:
    """The shard indices that views want ahead of time; runs on the I/O loop.

    They are kept by their levels. What cannot be read is told when its chunks are wanted.
    """

    def __init__(self, runner: Decodes) -> None:
        self._runner = runner
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}

    def replace(self, view: Hashable, lookups: Sequence[Lookup]) -> None:
        """Make these the lookups of a view; what it no longer wants is given up."""
        former = self._tasks.pop(view, None)
        if lookups:
            task = self._tasks[view] = ranked_task(self._run(lookups), lambda: _RANK)
            task.add_done_callback(lambda done: self._forget(view, done))
        if former is not None:
            # Once the new ones have joined what goes on: a request that both want is kept.
            asyncio.get_running_loop().call_soon(former.cancel)

    def _forget(self, view: Hashable, task: asyncio.Task[None]) -> None:
        if self._tasks.get(view) is task:
            del self._tasks[view]

    async def _run(self, lookups: Sequence[Lookup]) -> None:
        async with asyncio.TaskGroup() as group:
            for level, index in lookups:
                group.create_task(self._look_up(level, index))

    async def _look_up(self, level: StoredLevel, index: Index) -> None:
        with suppress(CloudError):
            await level.look_up(index, self._runner)
