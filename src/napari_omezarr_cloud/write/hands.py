"""Who does the work of a write: threads, processes of this machine, or a user's dask cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import UnreachableError, WriteError
from napari_omezarr_cloud.store.place_access import for_workers
from napari_omezarr_cloud.write.crew import AGAIN, NO_MEMORY, WHAT, Crew

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from napari_omezarr_cloud.write.progress import Progress

__all__ = ["Hands"]

_CONNECT_S, _START_S = 10.0, 60.0
_LOOK_S = 0.1
"""How soon it is noticed that the person cancelled."""


@dataclass(frozen=True)
class Hands:
    """Who does the work of a write: threads of this process, or others."""

    threads: int | None = None
    """How many blocks at once in this process; None: as suits its processors and memory."""
    workers: int | None = None
    """How many processes to start on this machine; None: none."""
    scheduler: str | None = None
    """Address of a dask scheduler, ``tcp://host:8786``, or path of its ``.json`` file."""

    @property
    def side_by_side(self) -> int | None:
        """How many blocks at once, for an estimate; None: as many as go well with this machine."""
        return self.workers or self.threads

    @property
    def waiting_text(self) -> str:
        """What is waited for while nobody works."""
        if self.scheduler is not None:
            return f"Waiting for workers of {self.scheduler}…"
        return "Starting processes…"

    def check(self) -> None:
        """See that it makes sense.

        Raises
        ------
        WriteError
            If it does not, or dask.distributed is not installed.
        """
        why, hint = "", "Give a number of workers, or a scheduler."
        if self.workers is not None and self.scheduler is not None:
            why = "workers and a scheduler were both asked for"
        elif self.workers is not None and self.workers < 1:
            why = f"{self.workers} of them were asked for"
        elif self.scheduler is not None and not self.scheduler.strip():
            why = "nobody said where the cluster's scheduler is"
            hint = "Give its address, tcp://host:8786, or the path of its .json file."
        elif (self.workers, self.scheduler) != (None, None) and find_spec("distributed") is None:
            why = "the package distributed is not installed"
            hint = 'Install it: pip install "napari-omezarr-cloud[workers]".'
        if why:
            raise WriteError(WHAT, why=why, hint=hint)

    def crew(self, progress: Progress) -> AbstractContextManager[Crew | None]:
        """Return the processes that are to do it, as long as the context lasts; None: threads.

        Parameters
        ----------
        progress
            By it another thread cancels, also while they start.

        Raises
        ------
        WriteError
            If dask.distributed is not installed, the processes do not start, both are said, or it
            was cancelled.
        UnreachableError
            If the scheduler does not answer.
        """
        if self.workers is None and self.scheduler is None:
            return contextlib.nullcontext()
        self.check()
        import distributed

        progress.stage = "waiting"
        if self.workers is not None:
            return _local(distributed, self.workers, progress)
        return _cluster(distributed, str(self.scheduler), progress)


@contextlib.contextmanager
def _cluster(distributed: Any, scheduler: str, progress: Progress) -> Iterator[Crew]:
    is_file = scheduler.endswith(".json")
    if not is_file:
        try:
            distributed.comm.get_address_host_port(scheduler)
        except ValueError as error:
            # A client that has found that out itself ends with a traceback, 20 seconds later.
            raise _unreachable(scheduler, error) from error
    given = {"scheduler_file" if is_file else "address": scheduler}
    with _client(distributed, scheduler, progress, **given) as client:
        yield Crew(client, is_elsewhere=True)


@contextlib.contextmanager
def _client(distributed: Any, where: str, progress: Progress, **given: Any) -> Iterator[Any]:
    held: list[Any] = []

    def connect() -> None:
        try:
            client = distributed.Client(**given, timeout=_CONNECT_S, set_as_default=False)
        except Exception as error:  # told by the thread that waits
            held.append(error)
        else:
            held.append(client)
            if progress.is_cancelled:
                client.close()

    # In a thread of its own: a server that does not answer cannot be left otherwise.
    thread = threading.Thread(target=connect, name="omezarr-connect", daemon=True)
    thread.start()
    while thread.is_alive():
        progress.check()
        thread.join(_LOOK_S)
    (found,) = held
    if isinstance(found, OSError | ValueError):
        raise _unreachable(where, found) from found
    if isinstance(found, Exception):
        raise found
    with found:
        yield found


def _unreachable(where: str, error: Exception) -> UnreachableError:
    return UnreachableError(
        "Could not reach the dask scheduler",
        where=where,
        why=str(error).splitlines()[0] if str(error) else type(error).__name__,
        hint="Is it running? Its address is what `dask scheduler` prints: tcp://host:8786.",
    )


@contextlib.contextmanager
def _local(distributed: Any, workers: int, progress: Progress) -> Iterator[Crew]:
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
        _client(distributed, cluster.scheduler_address, progress, address=cluster) as client,
    ):
        command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address]
        command += ["--nworkers", str(workers), "--nthreads", str(threads), "--memory-limit", "0"]
        command += ["--no-dashboard", "--local-directory", folder, "--death-timeout", "60"]
        with _program(command) as is_alive:
            began = time.monotonic()
            while len(client.nthreads()) < workers:
                progress.check()
                if not is_alive():
                    raise WriteError(WHAT, why="they have ended" + NO_MEMORY, hint=AGAIN)
                if time.monotonic() - began > _START_S:
                    why = f"they did not start within {_START_S:.0f} s"
                    raise WriteError(WHAT, why=why, hint=AGAIN)
                time.sleep(_LOOK_S)
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
        start_new_session=True,  # of Ctrl+C it hears from here
    )
    try:
        yield lambda: process.poll() is None
    finally:
        # All that counts is written, and a worker that ends by itself takes seconds.
        if sys.platform == "win32":
            process.terminate()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
