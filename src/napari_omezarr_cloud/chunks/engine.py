"""The engine: jobs that produce chunks, and those who want them. See README.md in this folder."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.chunks.cache import ChunkCache
from napari_omezarr_cloud.chunks.compose import Peeked, peek
from napari_omezarr_cloud.chunks.pools import Pools
from napari_omezarr_cloud.errors import CloudError, OperationError, RegionError
from napari_omezarr_cloud.pyramid import Absent, Chunk, Index, Level, Pyramid, Region
from napari_omezarr_cloud.store import IoThread, io_thread
from napari_omezarr_cloud.store.gate import RANK, Rank
from napari_omezarr_cloud.store.remote import GATE

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Engine", "Tier", "Wish", "engine"]

Array = npt.NDArray[Any]
Listener = Callable[[int, Sequence[Index]], None]

_WINDOW = 256
"""Chunks of one load that are under way together; more would only wait, and cost their ranking."""

_RETRY_AFTER_S = 30.0


class Tier(IntEnum):
    """How soon a chunk is needed."""

    VISIBLE = 0
    """On screen, or somebody waits for it."""
    PREFETCH = 1
    """May be on screen soon."""


@dataclass(frozen=True)
class Wish:
    """One chunk that a view wants."""

    level: Level
    index: Index
    rank: Rank
    """(tier, order within it ...); smaller is sooner."""


class _Interest:
    """Somebody who wants chunks; asks of a job with several take the most urgent."""

    def __init__(self, rank: Callable[[], Rank]) -> None:
        self.rank = rank


class _Job:
    """Chunks of one level that are produced together, and everyone who wants one of them."""

    def __init__(self, level: Level, indices: tuple[Index, ...]) -> None:
        self.level = level
        self.indices = indices
        self.interests: set[_Interest] = set()
        self.task: asyncio.Task[dict[Index, Chunk]]

    def rank(self) -> Rank:
        return min((i.rank() for i in self.interests), default=(float("inf"),))


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
        self._io = io or io_thread()
        self._pools = pools or Pools()
        self._jobs: dict[tuple[int, Index], _Job] = {}
        self._views: dict[Hashable, dict[tuple[int, Index], tuple[_Interest, _Job]]] = {}
        self._failures: dict[tuple[int, Index], tuple[float, CloudError]] = {}
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()
        self._watched: weakref.WeakSet[Pyramid] = weakref.WeakSet()

    # ---- asking without waiting -------------------------------------------------------------

    def peek(
        self, pyramid: Pyramid, number: int, region: Region, stride: Sequence[int] | None = None
    ) -> Peeked:
        """Return what is in memory of a region of a level; see :func:`~.compose.peek`."""
        return peek(self.cache, pyramid.levels, number, region, stride)

    def want(self, view: Hashable, wishes: Sequence[Wish]) -> None:
        """Replace a view's whole wish-list; what nobody wants any more is cancelled."""
        self._io.loop.call_soon_threadsafe(self._replace, view, wishes)

    def leave(self, view: Hashable) -> None:
        """Withdraw a view and all its wishes."""
        self._io.loop.call_soon_threadsafe(self._replace, view, ())

    def failure(self, level: Level, index: Index) -> CloudError | None:
        """Return why a chunk failed, if it did and was not asked for again since."""
        found = self._failures.get((level.key, index))
        return found[1] if found else None

    @property
    def has_failures(self) -> bool:
        """Tell whether any chunk failed and was not asked for again."""
        return bool(self._failures)

    def retry(self) -> None:
        """Forget all failures, so that the next wish asks again."""
        self._failures.clear()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
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

    # ---- asking and waiting -----------------------------------------------------------------

    def load(self, level: Level, region: Region) -> Array:
        """Return a region, exactly; blocks until it is here.

        Raises
        ------
        WouldBlockError
            On the engine's own loop and pools.
        ChunkError
            If a chunk cannot be read; the message names it.
        """
        return self._io.wait(self.region(level, region))

    def start(
        self, level: Level, region: Region, on_chunk: Callable[[], None] | None = None
    ) -> Future[Array]:
        """Begin to load a region; cancelling the future gives up what nobody else wants.

        ``on_chunk`` is called on the loop for each chunk that has come.
        """
        return self._io.submit(self.region(level, region, on_chunk=on_chunk))

    async def region(
        self,
        level: Level,
        region: Region,
        *,
        rank: Callable[[], Rank] | None = None,
        on_chunk: Callable[[], None] | None = None,
    ) -> Array:
        """Return a region, exactly; awaits on the loop."""
        if region != region.within(level.grid.shape):
            raise RegionError(
                "Could not load the region",
                why=f"{region.start} to {region.stop} leaves the level of {level.grid.shape}",
            )
        out = _array_for(region, level)
        if out.size == 0:
            return out
        interest = _Interest(rank or (lambda: (float(Tier.VISIBLE), 0.5)))
        indices = list(level.grid.touching(region))
        for first in range(0, len(indices), _WINDOW):
            await self._fill(
                level, indices[first : first + _WINDOW], interest, region, out, on_chunk
            )
        return out

    async def _fill(
        self,
        level: Level,
        indices: list[Index],
        interest: _Interest,
        region: Region,
        out: Array,
        on_chunk: Callable[[], None] | None,
    ) -> None:
        """Paste these chunks into ``out`` as they come."""

        def paste(index: Index, chunk: Chunk) -> None:
            whole = level.grid.region_of(index)
            part = whole.intersect(region)
            target = out[part.relative_to(region)]
            if isinstance(chunk, Absent):
                target[...] = level.grid.fill_value
            else:
                target[...] = chunk[part.relative_to(whole)]
            if on_chunk is not None:
                on_chunk()

        missing = []
        for index in indices:
            chunk = self.cache.get(level.key, index)
            if chunk is None:
                missing.append(index)
            else:
                paste(index, chunk)
        if not missing:
            return
        jobs = self._jobs_for(level, missing, interest, even_failed=True)
        wanted = set(missing)
        try:
            pending = {job.task: job for job in jobs}
            while pending:
                done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del pending[task]
                    for index, chunk in task.result().items():
                        if index in wanted:
                            paste(index, chunk)
        finally:
            for job in jobs:
                self._release(job, interest)

    # ---- the runner that levels see ---------------------------------------------------------

    async def decode(self, function: Callable[..., Any], *args: Any) -> Any:
        return await self._pools.decode(function, *args)

    async def compute(self, function: Callable[..., Any], *args: Any) -> Any:
        return await self._pools.compute(function, *args)

    # ---- jobs (on the loop) -----------------------------------------------------------------

    def _jobs_for(
        self, level: Level, indices: Sequence[Index], interest: _Interest, *, even_failed: bool
    ) -> list[_Job]:
        """Return the jobs that produce these chunks, starting those that do not run yet."""
        jobs: dict[int, _Job] = {}
        fresh: list[Index] = []
        for index in indices:
            job = self._jobs.get((level.key, index))
            if job is not None:
                jobs[id(job)] = job
            elif even_failed or not self._failed_just_now(level, index):
                fresh.append(index)
        for group in level.jobs(fresh) if fresh else ():
            job = _Job(level, tuple(group))
            jobs[id(job)] = job
            for index in job.indices:
                self._jobs[level.key, index] = job
            context = copy_context()
            context.run(RANK.set, job.rank)
            job.interests.add(interest)  # before it runs: its first request asks for its rank
            job.task = asyncio.get_running_loop().create_task(self._run(job), context=context)
            job.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        for job in jobs.values():
            job.interests.add(interest)
        return list(jobs.values())

    def _failed_just_now(self, level: Level, index: Index) -> bool:
        found = self._failures.get((level.key, index))
        return found is not None and time.monotonic() - found[0] < _RETRY_AFTER_S

    async def _run(self, job: _Job) -> dict[Index, Chunk]:
        level = job.level
        try:
            chunks = dict(await level.produce(job.indices, _Scope(self, job)))
        except CloudError as error:
            self._fail(job, error)
            raise
        except asyncio.CancelledError:
            raise
        except Exception as error:  # an operation's own bug must not vanish with its task
            wrapped = OperationError(
                "Could not compute a chunk",
                where=level.name,
                why=f"{type(error).__name__}: {error}",
            )
            self._fail(job, wrapped)
            raise wrapped from error
        finally:
            for index in job.indices:
                if self._jobs.get((level.key, index)) is job:
                    del self._jobs[level.key, index]
        for index, chunk in chunks.items():
            self._failures.pop((level.key, index), None)
            self.cache.put(level.key, index, chunk, is_derived=level.is_derived)
        self._tell(level, job.indices)
        return chunks

    def _fail(self, job: _Job, error: CloudError) -> None:
        now = time.monotonic()
        for index in job.indices:
            self._failures[job.level.key, index] = (now, error)
        self._tell(job.level, job.indices)

    def _tell(self, level: Level, indices: Sequence[Index]) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(level.key, indices)

    def _release(self, job: _Job, interest: _Interest) -> None:
        job.interests.discard(interest)
        if not job.interests and not job.task.done():
            # Out of the table first: who asks from now on must not join a job that is being cancelled.
            for index in job.indices:
                if self._jobs.get((job.level.key, index)) is job:
                    del self._jobs[job.level.key, index]
            job.task.cancel()

    def _replace(self, view: Hashable, wishes: Sequence[Wish]) -> None:
        old = self._views.pop(view, {})
        new: dict[tuple[int, Index], tuple[_Interest, _Job]] = {}
        for level, group in _by_level(wishes):
            self._want_of_level(level, group, old, new)
        for interest, job in old.values():
            self._release(job, interest)
        if new:
            self._views[view] = new
        GATE.rerank()

    def _want_of_level(
        self,
        level: Level,
        wishes: Sequence[Wish],
        old: dict[tuple[int, Index], tuple[_Interest, _Job]],
        new: dict[tuple[int, Index], tuple[_Interest, _Job]],
    ) -> None:
        fresh: dict[Index, Wish] = {}
        for wish in wishes:
            key = (level.key, wish.index)
            if key in self.cache:
                continue
            kept = old.pop(key, None)
            if kept is not None and not kept[1].task.done():
                kept[0].rank = _constant(wish.rank)
                new[key] = kept
            else:
                fresh[wish.index] = wish
        if not fresh:
            return
        soonest = min(wish.rank for wish in fresh.values())
        shared = _Interest(_constant(soonest))
        for job in self._jobs_for(level, list(fresh), shared, even_failed=False):
            job.interests.discard(shared)
            for index in job.indices:
                if index in fresh:
                    interest = _Interest(_constant(fresh[index].rank))
                    job.interests.add(interest)
                    new[level.key, index] = (interest, job)

    # ---- ending -----------------------------------------------------------------------------

    def watch(self, pyramid: Pyramid) -> None:
        """Free a pyramid's memory when the last reference to it is gone."""
        with self._lock:
            if pyramid in self._watched:
                return
            self._watched.add(pyramid)
        keys = [level.key for level in pyramid.levels]
        weakref.finalize(pyramid, self.cache.drop, keys).atexit = False

    def forget(self, pyramid: Pyramid) -> None:
        """Free the memory of a pyramid that is no longer shown, and its failures."""
        keys = {level.key for level in pyramid.levels}
        self.cache.drop(keys)
        for failed in [key for key in list(self._failures) if key[0] in keys]:
            self._failures.pop(failed, None)

    @property
    def jobs_under_way(self) -> int:
        """How many jobs wait, fetch or compute."""
        return len({id(job) for job in list(self._jobs.values())})


class _Scope:
    """The engine as one job sees it: what it asks for is as urgent as the job itself."""

    def __init__(self, owner: Engine, job: _Job) -> None:
        self._engine = owner
        self._job = job

    async def decode(self, function: Callable[..., Any], *args: Any) -> Any:
        return await self._engine.decode(function, *args)

    async def compute(self, function: Callable[..., Any], *args: Any) -> Any:
        return await self._engine.compute(function, *args)

    async def region(self, level: Level, region: Region) -> Array:
        return await self._engine.region(level, region, rank=self._job.rank)


def _array_for(region: Region, level: Level) -> Array:
    try:
        return np.empty(region.shape, level.grid.dtype)
    except (MemoryError, ValueError) as error:  # ValueError: more than numpy can count
        nbytes = region.size * level.grid.dtype.itemsize
        raise RegionError(
            "Could not load the region",
            why=f"its {nbytes / 1e9:,.3g} GB do not fit into memory",
            hint="Take a smaller region or a coarser level.",
        ) from error


def _constant(rank: Rank) -> Callable[[], Rank]:
    return lambda: rank


def _by_level(wishes: Iterable[Wish]) -> list[tuple[Level, list[Wish]]]:
    groups: dict[int, tuple[Level, list[Wish]]] = {}
    for wish in wishes:
        groups.setdefault(wish.level.key, (wish.level, []))[1].append(wish)
    return list(groups.values())


_the_engine: Engine | None = None
_engine_lock = threading.Lock()

_DEFAULT_CACHE_BYTES = 1 << 30


def engine() -> Engine:
    """Return the engine of this process; its cache holds 1 GiB, or ``OMEZARR_CACHE_MB``."""
    import os

    global _the_engine
    with _engine_lock:
        if _the_engine is None or _the_engine._io.loop is not io_thread().loop:
            megabytes = os.environ.get("OMEZARR_CACHE_MB", "")
            size = int(megabytes) << 20 if megabytes.isdigit() else _DEFAULT_CACHE_BYTES
            _the_engine = Engine(size)
        return _the_engine
