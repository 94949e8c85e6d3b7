"""Jobs: each produces some chunks of a level once, for everyone who wants one of them.

All of it runs on the I/O loop.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from copy import copy
from functools import partial
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError, OperationError, StoppedError
from napari_omezarr_cloud.store.gate import AHEAD, LAST, Rank, ranked_task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_omezarr_cloud.chunks.cache import ChunkCache
    from napari_omezarr_cloud.pyramid import Chunk, Index, Level, Runner

__all__ = ["Interest", "Job", "JobTable"]

Key = tuple[int, "Index"]
Failures = dict[Key, tuple[float, CloudError]]

_RETRY_AFTER_S = 30.0
"""How long a failed chunk is left alone by those who only wish for it."""


class Interest:
    """Somebody who wants chunks; ``rank`` says how soon, and may change its mind.

    ``keeps`` is False of those who take what comes and will not ask for it again.
    """

    def __init__(self, rank: Callable[[], Rank], *, keeps: bool = True) -> None:
        self.rank = rank
        self.keeps = keeps


class Job:
    """Chunks of one level that are produced together, and everyone who wants one of them."""

    def __init__(self, level: Level, indices: tuple[Index, ...]) -> None:
        self.level = level
        self.indices = indices
        self.interests: set[Interest] = set()
        self.is_stopped = False
        """Whether the person gave it up; who waits for it is told so."""
        self.task: asyncio.Task[dict[Index, Chunk]]

    @property
    def rank(self) -> Callable[[], Rank]:
        """Gives the rank of the most urgent of those who want it, without holding the job."""
        return partial(_most_urgent, self.interests)


def _most_urgent(interests: set[Interest]) -> Rank:
    return min((each.rank() for each in interests), default=LAST)


class JobTable:
    """The jobs under way, and the chunks that failed.

    Parameters
    ----------
    cache
        Where produced chunks go.
    runner
        What a job's level may use; called with the job.
    tell
        Called with a level and chunks that came or failed.
    """

    def __init__(
        self,
        cache: ChunkCache,
        runner: Callable[[Job], Runner],
        tell: Callable[[Level, Sequence[Index]], None],
    ) -> None:
        self._cache = cache
        self._runner = runner
        self._tell = tell
        self._jobs: dict[Key, Job] = {}
        self.failures: Failures = {}
        """When and why chunks failed that were not produced since."""
        self._watched: weakref.WeakSet[Level] = weakref.WeakSet()

    def __len__(self) -> int:
        return len({id(job) for job in list(self._jobs.values())})

    def join(
        self, level: Level, indices: Sequence[Index], interest: Interest, *, even_failed: bool
    ) -> list[Job]:
        """Return the jobs that produce these chunks, starting those that do not run yet.

        Parameters
        ----------
        level, indices
            Chunks that are not in the cache.
        interest
            Who wants them; must be given back to `leave`.
        even_failed
            Try again what failed a moment ago.
        """
        jobs: dict[int, Job] = {}
        fresh: list[Index] = []
        for index in indices:
            job = self._jobs.get((level.key, index))
            if job is not None:
                jobs[id(job)] = job
            elif even_failed or not self._failed_just_now(level, index):
                fresh.append(index)
        for group in level.jobs(fresh) if fresh else ():
            job = self._start(Job(level, tuple(group)), interest)
            jobs[id(job)] = job
        for job in jobs.values():
            job.interests.add(interest)
        return list(jobs.values())

    def leave(self, job: Job, interest: Interest) -> None:
        """Take an interest from a job; without any it is cancelled, in flight too."""
        job.interests.discard(interest)
        if not job.interests and not job.task.done():
            # Out of the table first: who asks from now on must not join a job that is dying.
            self._remove(job)
            job.task.cancel()

    def stop(self) -> None:
        """Give up all that is under way; its chunks count as failed until they are asked for."""
        for job in set(self._jobs.values()):
            job.is_stopped = True
            self._remove(job)  # who asks from now on starts anew
            # After its first step: a task that never began could not say why it ended.
            asyncio.get_running_loop().call_soon(job.task.cancel)

    def is_under_way(self, level: int, index: Index) -> bool:
        """Tell whether a job is to bring a chunk; any thread."""
        return (level, index) in self._jobs

    def forget(self, levels: set[int]) -> None:
        """Forget the failures of these levels."""
        _forget(self.failures, levels)

    def _watch(self, level: Level) -> None:
        """Free a level's memory, and its failures, when the last reference to it is gone."""
        if level not in self._watched:
            self._watched.add(level)
            gone = (self._cache, self.failures, level.key)
            weakref.finalize(level, _abandon, *gone).atexit = False

    def _start(self, job: Job, interest: Interest) -> Job:
        self._watch(job.level)
        for index in job.indices:
            self._jobs[job.level.key, index] = job
        job.interests.add(interest)  # before it runs: its first request asks for its rank
        job.task = ranked_task(self._run(job), job.rank)
        # Whoever waits takes the exception; where nobody does any more, it has been recorded.
        job.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return job

    def _failed_just_now(self, level: Level, index: Index) -> bool:
        found = self.failures.get((level.key, index))
        return found is not None and time.monotonic() - found[0] < _RETRY_AFTER_S

    async def _run(self, job: Job) -> dict[Index, Chunk]:
        try:
            chunks = await self._produce(job)
        except CloudError as error:
            # What nobody looks at yet is not told, and not held against it when somebody does.
            if job.rank()[0] < AHEAD:
                # Copied: where it was raised holds the level, which then would never be freed.
                now, kept = time.monotonic(), copy(error)
                for index in job.indices:
                    self.failures[job.level.key, index] = (now, kept)
                self._tell(job.level, job.indices)
            raise
        finally:
            self._remove(job)
        key, is_derived, is_ahead = job.level.key, job.level.is_derived, job.rank()[0] == AHEAD
        is_kept = any(each.keeps for each in job.interests)
        for index, chunk in chunks.items():
            self.failures.pop((key, index), None)
            if is_kept:
                self._cache.put(key, index, chunk, is_derived=is_derived, is_ahead=is_ahead)
        self._tell(job.level, job.indices)
        return chunks

    async def _produce(self, job: Job) -> dict[Index, Chunk]:
        try:
            return dict(await job.level.produce(job.indices, self._runner(job)))
        except asyncio.CancelledError:
            if not job.is_stopped:
                raise
            why, hint = "loading was stopped", "Retry in the Network dock loads it after all."
            raise StoppedError("Could not read", where=job.level.name, why=why, hint=hint) from None
        except CloudError:
            raise
        except Exception as error:  # an operation's own bug must not vanish with its task
            why = f"{type(error).__name__}: {error}"
            what = "Could not compute a chunk"
            raise OperationError(what, where=job.level.name, why=why) from error

    def _remove(self, job: Job) -> None:
        for index in job.indices:
            if self._jobs.get((job.level.key, index)) is job:
                del self._jobs[job.level.key, index]


def _forget(failures: Failures, levels: set[int]) -> None:
    for key in [key for key in list(failures) if key[0] in levels]:
        failures.pop(key, None)


def _abandon(cache: ChunkCache, failures: Failures, level: int) -> None:
    """Forget a level that nobody can ask for any more; may be called by a garbage collector."""
    _forget(failures, {level})
    cache.abandon(level)
