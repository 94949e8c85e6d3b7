"""The engine: the one place to ask for chunks. See README.md in this folder."""

from __future__ import annotations

import asyncio
import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.chunks.cache import ChunkCache
from napari_omezarr_cloud.chunks.compose import Peeked, peek
from napari_omezarr_cloud.chunks.jobs import Interest, Job, JobTable
from napari_omezarr_cloud.chunks.lookups import Lookup, Lookups
from napari_omezarr_cloud.chunks.pools import Pools
from napari_omezarr_cloud.chunks.wishes import Tier, Wish, WishLists
from napari_omezarr_cloud.errors import CloudError, RegionError
from napari_omezarr_cloud.pyramid import Absent, Chunk, Index, Level, Pyramid, Region
from napari_omezarr_cloud.settings import settings, subscribe
from napari_omezarr_cloud.store import IoThread, io_thread
from napari_omezarr_cloud.store.remote import GATE

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from concurrent.futures import Future

    from napari_omezarr_cloud.settings import Settings
    from napari_omezarr_cloud.store.gate import Rank

__all__ = ["Engine", "Hits", "engine"]

Array = npt.NDArray[Any]

_WINDOW_BYTES = 2**28
"""Chunks of a region that are asked for at once hold no more than this, or are one."""
_WINDOW = 256
"""Chunks of one load that are under way together; more would only wait, and cost their ranking."""

_WAITED_FOR: Rank = (float(Tier.VISIBLE), 0.5)
"""A load's rank: after the overview of what is on screen, before its details."""


class Engine:
    """Gives chunks of any level, each produced once, in the order of their urgency.

    Parameters
    ----------
    max_bytes
        Bound of the memory cache.
    io
        The loop to run on.
    pools
        Where decoding and computing happen.
    """

    def __init__(
        self, max_bytes: int, *, io: IoThread | None = None, pools: Pools | None = None
    ) -> None:
        self.cache = ChunkCache(max_bytes)
        self.io = io or io_thread()
        self._pools = pools or Pools()
        self._jobs = JobTable(self.cache, lambda job: _Scope(self, self._pools, job), self._tell)
        self._wishes = WishLists(self.cache, self._jobs)
        self._lookups = Lookups(self._pools)
        self.hits = Hits()
        """Of all looks: how many chunks were wanted, and how many were in memory."""
        self._listeners: list[Callable[[int, Sequence[Index]], None]] = []
        self._lock = threading.Lock()

    # ---- asking without waiting -------------------------------------------------------------

    def peek(
        self, pyramid: Pyramid, number: int, region: Region, stride: Sequence[int] | None = None
    ) -> Peeked:
        """Return what is in memory of a region of a level; see :func:`~.compose.peek`."""
        return peek(self.cache, pyramid.levels, number, region, stride)

    def want(self, view: Hashable, wishes: Sequence[Wish], lookups: Sequence[Lookup] = ()) -> None:
        """Replace a view's whole wish-list; what nobody wants any more is cancelled.

        ``lookups`` are chunks that are not wanted yet, but in shards which may be looked into next.
        """
        self.io.post(self._replace, view, wishes, lookups)

    def leave(self, view: Hashable) -> None:
        """Withdraw a view and all its wishes."""
        self.want(view, ())

    def _replace(self, view: Hashable, wishes: Sequence[Wish], lookups: Sequence[Lookup]) -> None:
        self._wishes.replace(view, wishes)
        self._lookups.replace(view, lookups)
        GATE.rerank()
        self._pools.rerank()

    def failure(self, level: Level, index: Index) -> CloudError | None:
        """Return why a chunk failed, if it did and was not produced since."""
        found = self._jobs.failures.get((level.key, index))
        return found[1] if found else None

    @property
    def has_failures(self) -> bool:
        """Tell whether any chunk failed and was not produced since."""
        return bool(self._jobs.failures)

    def retry(self) -> None:
        """Forget all failures, so that the next wish asks again."""
        self._jobs.failures.clear()

    def is_under_way(self, level: Level, index: Index) -> bool:
        """Tell whether a chunk waits for its turn, is being fetched or is being computed."""
        return self._jobs.is_under_way(level.key, index)

    def stop_loading(self) -> None:
        """Give up all chunks that are not here yet, whoever wants them; in flight too.

        They count as failed, with a :class:`~napari_omezarr_cloud.errors.StoppedError`, until they
        are asked for again.
        """
        self.io.post(self._jobs.stop)

    @property
    def is_paused(self) -> bool:
        """Whether new requests wait."""
        return GATE.is_paused

    def pause(self) -> None:
        """Let new requests for chunks wait until `resume`; those in flight are answered."""
        self.io.post(GATE.pause)

    def resume(self) -> None:
        """Send the requests that waited."""
        self.io.post(GATE.resume)

    def subscribe(self, listener: Callable[[int, Sequence[Index]], None]) -> Callable[[], None]:
        """Call ``listener(level key, chunk indices)`` on the loop when chunks came or failed.

        Returns
        -------
        callable
            Ends the subscription.
        """
        with self._lock:
            self._listeners.append(listener)

        def end() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return end

    def _tell(self, level: Level, indices: Sequence[Index]) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(level.key, indices)

    # ---- asking and waiting -----------------------------------------------------------------

    def load(self, level: Level, region: Region) -> Array:
        """Return a region, exactly; blocks until it is here.

        Raises
        ------
        WouldBlockError
            On the engine's own loop and pools.
        ChunkError
            If a chunk cannot be read; the message names it.
        RegionError
            If the region leaves the level or does not fit into memory.
        """
        return self.io.wait(self.region(level, region))

    def start(
        self, level: Level, region: Region, on_chunk: Callable[[], None] | None = None
    ) -> Future[Array]:
        """Begin to load a region; cancelling the future gives up what nobody else wants.

        ``on_chunk`` is called on the loop for each chunk that has come.
        """
        return self.io.submit(self.region(level, region, on_chunk=on_chunk))

    async def region(
        self,
        level: Level,
        region: Region,
        *,
        rank: Callable[[], Rank] | None = None,
        on_chunk: Callable[[], None] | None = None,
        keep: bool = True,
    ) -> Array:
        """Return a region, exactly; awaits on the loop.

        Without ``keep`` its chunks are not kept in memory, unless somebody else wants them.
        """
        if region != region.within(level.grid.shape):
            raise RegionError(
                "Could not load the region",
                why=f"{region.start} to {region.stop} leaves the level of {level.grid.shape}",
            )
        canvas = _Canvas(level, region, on_chunk)
        interest = Interest(rank or (lambda: _WAITED_FOR), keeps=keep)
        indices = list(level.grid.touching(region))
        nbytes = math.prod(level.grid.chunks) * level.grid.dtype.itemsize
        window = max(1, min(_WINDOW, _WINDOW_BYTES // max(nbytes, 1)))
        for first in range(0, len(indices), window):
            await self._fill(canvas, indices[first : first + window], interest)
        return canvas.pixels

    async def _fill(self, canvas: _Canvas, indices: list[Index], interest: Interest) -> None:
        """Paste these chunks as they come."""
        level = canvas.level
        missing = set()
        for index in indices:
            chunk = self.cache.get(level.key, index)
            if chunk is None:
                missing.add(index)
            else:
                canvas.paste(index, chunk)
        if not missing:
            return
        jobs = self._jobs.join(level, sorted(missing), interest, even_failed=True)
        try:
            pending = {job.task for job in jobs}
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    # From the job, not the cache: a small cache may have lost it by now.
                    for index, chunk in task.result().items():
                        if index in missing:
                            canvas.paste(index, chunk)
        finally:
            for job in jobs:
                self._jobs.leave(job, interest)

    # ---- computing and ending ---------------------------------------------------------------

    async def compute(
        self, function: Callable[..., Any], *args: Any, in_process: bool = False
    ) -> Any:
        """Run a pure function in the compute pool or a process; awaits on the loop."""
        return await self._pools.compute(function, *args, in_process=in_process)

    def compute_at_once(self, threads: int) -> None:
        """Compute no more at a time than so many threads can: of a machine's, some are others'."""
        self.io.post(self._pools.limit, threads)

    def forget(self, pyramid: Pyramid) -> None:
        """Free the memory of a pyramid that is no longer shown, and its failures."""
        keys = {level.key for level in pyramid.levels}
        self.cache.drop(keys)
        self._jobs.forget(keys)

    @property
    def jobs_under_way(self) -> int:
        """How many jobs wait, fetch or compute."""
        return len(self._jobs)


@dataclass
class Hits:
    """Chunks of looks at a layer, counted once per look."""

    wanted: int = 0
    found: int = 0
    """Of those, how many were in memory."""

    def add(self, wanted: int, found: int) -> None:
        """Count one look more."""
        self.wanted += wanted
        self.found += found


class _Canvas:
    """An array that holds a region, and takes chunks of a level."""

    def __init__(self, level: Level, region: Region, on_chunk: Callable[[], None] | None) -> None:
        self.level = level
        self._region = region
        self._on_chunk = on_chunk
        try:
            self.pixels: Array = np.empty(region.shape, level.grid.dtype)
        except (MemoryError, ValueError) as error:  # ValueError: more than numpy can count
            nbytes = region.size * level.grid.dtype.itemsize
            raise RegionError(
                "Could not load the region",
                why=f"its {nbytes / 1e9:,.3g} GB do not fit into memory",
                hint="Take a smaller region or a coarser level.",
            ) from error

    def paste(self, index: Index, chunk: Chunk) -> None:
        grid = self.level.grid
        whole = grid.region_of(index)
        part = whole.intersect(self._region)
        target = self.pixels[part.relative_to(self._region)]
        if isinstance(chunk, Absent):
            target[...] = grid.fill_value
        else:
            target[...] = chunk[part.relative_to(whole)]
        if self._on_chunk is not None:
            self._on_chunk()


class _Scope:
    """The engine as one job sees it: what it asks for is as urgent as the job itself."""

    def __init__(self, owner: Engine, pools: Pools, job: Job) -> None:
        self._engine = owner
        self._job = job
        self.decode = pools.decode
        self.compute = pools.compute

    async def region(self, level: Level, region: Region, *, keep: bool = True) -> Array:
        return await self._engine.region(level, region, rank=self._job.rank, keep=keep)


_the_engine: Engine | None = None
_engine_lock = threading.Lock()


def engine() -> Engine:
    """Return the engine of this process; it goes by the settings, also when they change."""
    global _the_engine
    with _engine_lock:
        if _the_engine is None:
            subscribe(_apply)
        if _the_engine is None or _the_engine.io is not io_thread():
            _the_engine = Engine(settings().cache_bytes)
        return _the_engine


def _apply(changed: Settings) -> None:
    here = engine()
    here.cache.resize(changed.cache_bytes)
    here.io.post(GATE.resize, changed.requests)
