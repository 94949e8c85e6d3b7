"""Processes that do the work of a write: of this machine, or those of a user's dask cluster.

They are asked by dask.distributed, which hands the work of a process that is lost to another. What
is sent is small (`worker.packed`): each process reads, computes and writes by itself.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from napari_omezarr_cloud.errors import CloudError, UnreachableError, WriteError
from napari_omezarr_cloud.store.place_access import for_workers
from napari_omezarr_cloud.write.worker import Job, Made, label_blocks, look, packed, run_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from napari_omezarr_cloud.pyramid import Index
    from napari_omezarr_cloud.write.blocks import Source
    from napari_omezarr_cloud.write.merging import MergedLabels
    from napari_omezarr_cloud.write.waves import Task, Wave
    from napari_omezarr_cloud.write.writing import Progress, Writing

__all__ = ["Crew", "Hands"]

_WHAT = "Could not let other processes work"
_LISTEN_S = 0.2
"""How soon it is noticed that the person cancelled."""
_CONNECT_S, _START_S, _END_S, _STOP_S = 10.0, 60.0, 60.0, 10.0
_LABELLED = 8
"""Blocks that one call labels."""
_LEAST = 16
"""Calls that are handed out: where nobody works yet, these bring a cluster to start somebody."""

_NO_MEMORY = "; perhaps there was too little memory"
_AGAIN = "Run the same again: it goes on where it was. Take fewer workers or smaller chunks."


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
                run.all((label_blocks, raw, batch) for batch in batches)
                merged.merge()
            for wave in writing.waves:
                run.all(
                    (run_task, raw, task, writing.finished(task), _ids(merged, wave, task))
                    for task in writing.left(wave)
                )


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
        self._on_progress = on_progress

    def check(self, raw: bytes) -> None:
        """Ask one of the processes whether it can do the job at all."""
        running = {self._client.submit(look, raw, pure=False)}
        try:
            (future,) = self._ended(running)
            why = self._result(future)
        finally:
            self._client.cancel(running)
        if why:
            hint = "The workers need the same version of napari-omezarr-cloud, and to see the "
            hint += "same folders, or a bucket that they can get into."
            raise WriteError(_WHAT, where=self._where, why=why, hint=hint)

    def all(self, calls: Iterable[tuple[Any, ...]]) -> None:
        """Make all calls, in any order."""
        running: set[Any] = set()
        try:
            # No more are handed out than can soon run: a plan may have millions.
            for function, *arguments in calls:
                running.add(self._client.submit(function, *arguments, pure=False))
                while len(running) >= max(_LEAST, 2 * sum(self._client.nthreads().values())):
                    running -= self._reap(running)
            while running:
                running -= self._reap(running)
        except BaseException:
            self._end(running)
            raise

    def _reap(self, running: set[Any]) -> set[Any]:
        ended = self._ended(running)
        for future in ended:
            made: Made = self._result(future)
            self._progress.add(made.bytes_read, made.bytes_written)
            self._progress.done(made.blocks)
            self._progress.skip(made.skipped, is_done=False)
            self._on_progress(self._progress)
        return ended

    def _ended(self, running: set[Any]) -> set[Any]:
        """Wait until one has ended, and be there for who cancels."""
        from distributed import wait

        while True:
            if self._progress.is_cancelled:
                raise WriteError("Writing was cancelled", where=self._where)
            if not self._is_alive():
                why = "they have ended" + _NO_MEMORY
                raise WriteError(_WHAT, where=self._where, why=why, hint=_AGAIN)
            with contextlib.suppress(TimeoutError):
                return set(wait(running, _LISTEN_S, return_when="FIRST_COMPLETED").done)

    def _result(self, future: Any) -> Any:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        try:
            return future.result()
        except CloudError:
            raise
        except KilledWorker as error:
            why = "a block was begun several times, and each time its process ended" + _NO_MEMORY
            raise WriteError(_WHAT, where=self._where, why=why, hint=_AGAIN) from error
        except FutureCancelledError as error:
            why = "the scheduler has ended, or somebody cancelled its work"
            raise UnreachableError(_WHAT, where=self._where, why=why, hint=_AGAIN) from error
        except Exception as error:  # whatever a worker raises: it may lack a package
            raise WriteError(
                _WHAT,
                where=self._where,
                why=f"one said {type(error).__name__}: {error}",
                hint="The workers need the same packages as this program.",
            ) from error

    def _end(self, running: set[Any]) -> None:
        """Have what runs end after its block, so that nothing is written any more."""
        from distributed import wait

        with contextlib.suppress(Exception):  # the first error is the one to be told
            self._event.set()
            if running and self._is_alive():
                wait(running, _END_S)
            self._client.cancel(running)


@dataclass(frozen=True)
class Hands:
    """Who does the work of a write: threads of this process, or others."""

    threads: int | None = None
    """How many blocks at once in this process; None: as suits its processors and memory."""
    workers: int | None = None
    """How many processes to start on this machine; None: none."""
    scheduler: str | None = None
    """Address of a dask scheduler, ``tcp://host:8786``, or path of its ``.json`` file."""

    def crew(self) -> AbstractContextManager[Crew | None]:
        """Return the processes that are to do it, as long as the context lasts; None: threads.

        Raises
        ------
        WriteError
            If dask.distributed is not installed, the processes do not start, or both are said.
        UnreachableError
            If the scheduler does not answer.
        """
        if self.workers is None and self.scheduler is None:
            return contextlib.nullcontext()
        if self.workers is not None and (self.scheduler is not None or self.workers < 1):
            why = "workers and a scheduler were both asked for"
            why = why if self.scheduler is not None else f"{self.workers} of them were asked for"
            raise WriteError(_WHAT, why=why, hint="Give a number of workers, or a scheduler.")
        try:
            import distributed
        except ImportError as error:
            raise WriteError(
                _WHAT,
                why="the package distributed is not installed",
                hint='Install it: pip install "napari-omezarr-cloud[workers]".',
            ) from error
        if self.workers is not None:
            return _local(distributed, self.workers)
        return _cluster(distributed, str(self.scheduler))


@contextlib.contextmanager
def _cluster(distributed: Any, scheduler: str) -> Iterator[Crew]:
    is_file = scheduler.endswith(".json")
    if not is_file:
        try:
            distributed.comm.get_address_host_port(scheduler)
        except ValueError as error:
            # A client that has found that out itself ends with a traceback, 20 seconds later.
            raise _unreachable(scheduler, error) from error
    given = {"scheduler_file" if is_file else "address": scheduler}
    with _client(distributed, scheduler, **given) as client:
        yield Crew(client, is_elsewhere=True)


@contextlib.contextmanager
def _client(distributed: Any, where: str, **given: Any) -> Iterator[Any]:
    try:
        client = distributed.Client(**given, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise _unreachable(where, error) from error
    with client:
        yield client


def _unreachable(where: str, error: Exception) -> UnreachableError:
    return UnreachableError(
        "Could not reach the dask scheduler",
        where=where,
        why=str(error).splitlines()[0] if str(error) else type(error).__name__,
        hint="Is it running? Its address is what `dask scheduler` prints: tcp://host:8786.",
    )


@contextlib.contextmanager
def _local(distributed: Any, workers: int) -> Iterator[Crew]:
    """Start a scheduler in this process, and workers by the shell.

    Not by ``multiprocessing``, whose children run the user's ``__main__`` again.
    """
    cluster = distributed.LocalCluster(
        n_workers=0,
        processes=False,
        protocol="tcp://",
        host="127.0.0.1",
        dashboard_address=None,
        # It has a web page all the same: not where another program's may be.
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        silence_logs=logging.ERROR,
    )
    threads = max(1, (os.cpu_count() or 1) // workers)
    with (
        cluster,
        tempfile.TemporaryDirectory(prefix="omezarr-workers-") as folder,
        _client(distributed, cluster.scheduler_address, address=cluster) as client,
    ):
        command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address]
        command += ["--nworkers", str(workers), "--nthreads", str(threads), "--memory-limit", "0"]
        command += ["--no-dashboard", "--local-directory", folder, "--death-timeout", "60"]
        with _program(command) as is_alive:
            try:
                client.wait_for_workers(workers, timeout=_START_S)
            except TimeoutError as error:
                raise WriteError(
                    _WHAT, why=f"they did not start within {_START_S:.0f} s", hint=_AGAIN
                ) from error
            yield Crew(client, is_elsewhere=False, is_alive=is_alive)


@contextlib.contextmanager
def _program(command: list[str]) -> Iterator[Callable[[], bool]]:
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(  # noqa: S603 (our own Python)
        command,
        stdin=nowhere,
        stdout=nowhere,
        stderr=nowhere,
        env={**os.environ, **for_workers()},
    )
    try:
        yield lambda: process.poll() is None
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
