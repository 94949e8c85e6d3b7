"""Processes that do the work of a write: of this machine, or those of a user's dask cluster.

They are asked by dask.distributed, which hands the work of a process that is lost to another. What
is sent is small (`worker.packed`): each process reads, computes and writes by itself.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from napari_omezarr_cloud.errors import CloudError, UnreachableError, WriteError
from napari_omezarr_cloud.write.merging import block_name
from napari_omezarr_cloud.write.worker import Job, Made, label_blocks, look, packed, run_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari_omezarr_cloud.pyramid import Index
    from napari_omezarr_cloud.write.blocks import Source
    from napari_omezarr_cloud.write.merging import MergedLabels
    from napari_omezarr_cloud.write.progress import Progress
    from napari_omezarr_cloud.write.waves import Task, Wave
    from napari_omezarr_cloud.write.writing import Writing

__all__ = ["AGAIN", "NO_MEMORY", "WHAT", "Crew"]

WHAT = "Could not let other processes work"
NO_MEMORY = "; perhaps there was too little memory"
AGAIN = "Run the same again: it goes on where it was. Take fewer workers or smaller chunks."

_LISTEN_S = 0.2
"""How soon it is noticed that the person cancelled."""
_COUNT_S = 2.0
"""How often it is asked whether there are workers, while nothing is done."""
_END_S = 1.5
"""How long processes may take to end what they do, once it is cancelled."""
_LABELLED = 8
"""Blocks that one call labels."""
_LEAST = 16
"""Calls that are handed out: where nobody works yet, these bring a cluster to start somebody."""


@dataclass(frozen=True)
class _Call:
    """Work for one process."""

    function: Callable[..., Made]
    arguments: tuple[Any, ...]
    again: Callable[[], _Call | None]
    """What to do where all processes that began with it were lost: the rest of it, or None where
    they have done nothing of it."""


class Crew:
    """Processes behind a dask scheduler.

    Parameters
    ----------
    client
        A `distributed.Client`.
    is_elsewhere
        Whether they are not of this program: then no secret is sent to them.
    is_alive
        Tells whether there still is somebody who could do anything.
    """

    def __init__(
        self, client: Any, *, is_elsewhere: bool, is_alive: Callable[[], bool] = lambda: True
    ) -> None:
        self._client = client
        self._is_elsewhere = is_elsewhere
        self._is_alive = is_alive

    def run(
        self, writing: Writing, source: Source, on_progress: Callable[[Progress], None]
    ) -> None:
        """Do all tasks of a write that are still to be done, but for its end; waits.

        Raises
        ------
        WriteError
            If it was cancelled, the processes cannot do it, or the place does not take it.
        UnreachableError
            If the scheduler does not answer.
        CloudError
            If the source cannot be read, or cannot be sent.
        """
        from distributed import Event

        name = f"omezarr-{uuid4().hex}"
        job = Job(writing.plan, writing.waves, writing.location, source, writing.merging, name)
        raw = packed(job, is_elsewhere=self._is_elsewhere)
        with self._client.as_current():
            run = _Run(self._client, Event(name), writing, on_progress, self._is_alive)
            run.check(raw)
            merged = writing.merged(source)
            if merged is not None:
                left = writing.unlabelled(merged)
                batches = (left[n : n + _LABELLED] for n in range(0, len(left), _LABELLED))
                run.all(_labelling(raw, merged, batch) for batch in batches)
                merged.merge()
            for wave in writing.waves:
                run.all(
                    _writing(raw, writing, task, _ids(merged, wave, task))
                    for task in writing.left(wave)
                )


def _labelling(raw: bytes, merged: MergedLabels, blocks: Sequence[Index]) -> _Call:
    def again() -> _Call | None:
        done = merged.labelled()
        left = [index for index in blocks if block_name(index) not in done]
        return _labelling(raw, merged, left) if len(left) < len(blocks) else None

    return _Call(label_blocks, (raw, blocks), again)


def _writing(raw: bytes, writing: Writing, task: Task, ids: dict[Index, Any] | None) -> _Call:
    before = len(writing.done.units(task))

    def again() -> _Call | None:
        has_more = len(writing.done.look_again(task)) > before
        return _writing(raw, writing, task, ids) if has_more else None

    return _Call(run_task, (raw, task, ids), again)


def _ids(merged: MergedLabels | None, wave: Wave, task: Task) -> dict[Index, Any] | None:
    """Return what a task must know of the objects of its blocks."""
    if merged is None or wave.base:
        return None
    return {index: merged.ids(index) for index in wave.blocks(wave.region_of(task))}


class _Run:
    """One run of a write by a crew."""

    def __init__(
        self,
        client: Any,
        event: Any,
        writing: Writing,
        on_progress: Callable[[Progress], None],
        is_alive: Callable[[], bool],
    ) -> None:
        self._client, self._event, self._is_alive = client, event, is_alive
        self._progress, self._where = writing.progress, str(writing.location)
        self._tell = partial(on_progress, self._progress)

    def check(self, raw: bytes) -> None:
        """Ask one of the processes whether it can do the job at all."""
        running = {self._client.submit(look, raw, pure=False): None}
        try:
            (future,) = self._ended(running)
            why = self._result(future)
        finally:
            self._client.cancel(list(running))
        if why:
            hint = "The workers need the same version of napari-omezarr-cloud, and to see the "
            hint += "same folders, or a bucket that they can get into."
            raise WriteError(WHAT, where=self._where, why=why, hint=hint)

    def all(self, calls: Iterable[_Call]) -> None:
        """Make all calls, in any order."""
        running: dict[Any, _Call] = {}
        try:
            # No more are handed out than can soon run: a plan may have millions.
            for call in calls:
                self._submit(call, running)
                while len(running) >= max(_LEAST, 2 * self._count_threads()):
                    self._reap(running)
            while running:
                self._reap(running)
        except BaseException:
            self._end(running)
            raise

    def _submit(self, call: _Call, running: dict[Any, _Call]) -> None:
        running[self._client.submit(call.function, *call.arguments, pure=False)] = call

    def _count_threads(self) -> int:
        return sum(self._client.nthreads().values())

    def _reap(self, running: dict[Any, _Call]) -> None:
        from distributed import KilledWorker

        for future in self._ended(running):
            call = running.pop(future)
            try:
                made: Made = self._result(future)
            except WriteError as error:
                # A cluster that grows and shrinks ends processes at work: what gets on goes on.
                left = call.again() if isinstance(error.__cause__, KilledWorker) else None
                if left is None:
                    raise
                self._submit(left, running)
                continue
            self._progress.add(made.bytes_read, made.bytes_written)
            self._progress.done(made.blocks)
            self._progress.skip(made.skipped, is_done=False)
            self._tell()

    def _ended(self, running: dict[Any, Any]) -> set[Any]:
        """Wait until one has ended; be there for who cancels, and say when nobody works."""
        from distributed import wait

        counted = time.monotonic() - _COUNT_S  # a cluster may have nobody from the beginning
        while True:
            self._progress.check(self._where)
            if not self._is_alive():
                why = "they have ended" + NO_MEMORY
                raise WriteError(WHAT, where=self._where, why=why, hint=AGAIN)
            with contextlib.suppress(TimeoutError):
                found = wait(list(running), _LISTEN_S, return_when="FIRST_COMPLETED")
                self._say_waiting(is_waiting=False)
                return set(found.done)
            if time.monotonic() - counted > _COUNT_S:
                counted = time.monotonic()
                self._say_waiting(is_waiting=not self._count_threads())

    def _say_waiting(self, *, is_waiting: bool) -> None:
        self._progress.stage = "waiting" if is_waiting else ""
        if is_waiting:
            self._tell()

    def _result(self, future: Any) -> Any:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        try:
            return future.result()
        except CloudError:
            raise
        except KilledWorker as error:
            why = "a block was begun several times, and each time its process ended" + NO_MEMORY
            raise WriteError(WHAT, where=self._where, why=why, hint=AGAIN) from error
        except FutureCancelledError as error:
            why = "the scheduler has ended, or somebody cancelled its work"
            raise UnreachableError(WHAT, where=self._where, why=why, hint=AGAIN) from error
        except Exception as error:  # whatever a worker raises: it may lack a package
            raise WriteError(
                WHAT,
                where=self._where,
                why=f"one said {type(error).__name__}: {error}",
                hint="The workers need the same packages as this program.",
            ) from error

    def _end(self, running: dict[Any, _Call]) -> None:
        """Have what runs end, so that nothing is written any more; waits, but not long.

        Who does not hear of it in time hears of it before it writes.
        """
        from distributed import wait

        with contextlib.suppress(Exception):  # the first error is the one to be told
            self._event.set()
            if running and self._is_alive() and self._count_threads():
                wait(list(running), _END_S)
        with contextlib.suppress(Exception):
            self._client.cancel(list(running))
