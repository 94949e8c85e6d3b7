"""What another process does of a write: whole tasks, by a description that is small and has no key.

The description (`packed`) is a pickle: the plan, the target's location and the source as locations
and recipes. Engines, clients and credentials are made anew here, by this process' own environment.
"""

from __future__ import annotations

import io
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.errors import CloudError, WriteError
from napari_omezarr_cloud.location import Location
from napari_omezarr_cloud.pyramid.documents import WRITE_NOTES
from napari_omezarr_cloud.store import io_thread
from napari_omezarr_cloud.store.place_access import ready
from napari_omezarr_cloud.write.blocks import Blocks, Source
from napari_omezarr_cloud.write.merging import MergedLabels, Merging, NumberedLabels
from napari_omezarr_cloud.write.progress import Progress
from napari_omezarr_cloud.write.writing import Writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from napari_omezarr_cloud.pyramid import Index
    from napari_omezarr_cloud.write.plan import Plan
    from napari_omezarr_cloud.write.waves import Task, Wave

__all__ = ["Job", "Made", "label_blocks", "look", "packed", "run_task"]

_AT_ONCE = 2
"""Blocks of a task under way: one is read while another is computed."""
_LISTEN_S = 0.5
"""How often the scheduler is asked whether the run was cancelled."""


@dataclass(frozen=True)
class Job:
    """A write, as another process needs to know it."""

    plan: Plan
    waves: tuple[Wave, ...]
    location: Location
    source: Source
    merging: Merging | None
    run: str
    """Names this run of the write: so its cancelling is heard of."""
    version: str = version("napari-omezarr-cloud")
    """Of this package, where the job was made."""


@dataclass(frozen=True)
class Made:
    """What was made of a write in another process."""

    blocks: int
    skipped: int
    bytes_read: int
    bytes_written: int


class _Pickler(pickle.Pickler):
    """Refuses links with secrets in them where these must not go."""

    def __init__(self, file: io.BytesIO, *, is_elsewhere: bool) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._is_elsewhere = is_elsewhere

    def reducer_override(self, value: Any) -> Any:
        if self._is_elsewhere and isinstance(value, Location) and value.has_secret:
            raise WriteError(
                "Could not send the work to other machines",
                where=str(value),
                why="its link carries a key, which is not sent",
                hint="Let the workers sign themselves (with a profile, or variables of their "
                "environment), or run it on this machine.",
            )
        return NotImplemented


def packed(job: Job, *, is_elsewhere: bool) -> bytes:
    """Return a job as it is sent.

    Parameters
    ----------
    job
        What is to be done.
    is_elsewhere
        Whether to other machines, where secrets must not go.

    Raises
    ------
    CloudError
        If the source lives in this process, or its link carries a secret.
    """
    file = io.BytesIO()
    try:
        _Pickler(file, is_elsewhere=is_elsewhere).dump(job)
    except CloudError:
        raise
    except Exception as error:  # each class may have its own reason to refuse
        raise WriteError(
            "Could not send the work to other processes",
            where=str(job.location),
            why="it is put together of what only this one knows",
            hint="Run it without workers, or save it first and run on what was saved.",
        ) from error
    if b"__main__" in file.getvalue():
        raise WriteError(
            "Could not send the work to other processes",
            where=str(job.location),
            why="it uses a function that was defined in this session",
            hint="Put the function into a module that the workers can import, or run it without "
            "workers.",
        )
    return file.getvalue()


class _Here:
    """A job in this process."""

    def __init__(self, raw: bytes) -> None:
        from distributed import get_worker

        self.job: Job = pickle.loads(raw)  # noqa: S301 (from who started this process)
        engine().compute_at_once(get_worker().state.nthreads)
        io_thread().wait(ready(self.job.location))
        self.writing = Writing(self.job.plan, self.job.location)


_made = lru_cache(maxsize=2)(_Here)
"""Kept from task to task: connections, and what is known of the source's shards and wells."""
_making = threading.Lock()


def _here(raw: bytes) -> _Here:
    with _making:  # once, however many threads begin
        return _made(raw)


def look(raw: bytes) -> str:
    """Return why this process cannot do a job, or an empty text."""
    own = version("napari-omezarr-cloud")
    here = _here(raw)
    if here.job.version != own:
        return f"they have napari-omezarr-cloud {own}, and this program {here.job.version}"
    notes = io_thread().wait(here.writing.store.get(f"{WRITE_NOTES}/plan.json"))
    return "" if notes is not None else f"they do not find {here.job.location}"


def run_task(
    raw: bytes,
    task: Task,
    ids: Mapping[Index, Any] | None,
) -> Made:
    """Do a task, and note that it is done.

    Parameters
    ----------
    raw
        As `packed` returned it.
    task
        Which one.
    ids
        For each of its blocks, the numbers of its objects in the whole image, where blocks were
        labelled.

    Raises
    ------
    CloudError
        If the source cannot be read or the target not be written, or the write was cancelled.
    """
    here = _here(raw)
    writing, source = here.writing, here.job.source
    wave = here.job.waves[task.wave]
    if ids is not None:
        source = NumberedLabels(writing.store, wave, here.job.plan.dtype, ids.__getitem__)
    try:
        with _cancelled_from_afar(here.job) as progress:
            blocks = Blocks(
                here.job.plan,
                source,
                writing.store,
                on_voxels=progress.add,
                is_cancelled=lambda: progress.is_cancelled,
            )
            writing.done.look_again(task)  # a worker that was lost may have begun with it
            tree = writing.tree(blocks, wave, task)
            leaves = list(tree.leaves())
            _side_by_side(tree.make, leaves, progress)
            writing.done.note(task)
    finally:
        writing.done.keep(task)
    skipped = sum(map(tree.is_finished, leaves))
    return Made(len(leaves), skipped, progress.bytes_read, progress.bytes_written)


def label_blocks(raw: bytes, indices: Sequence[Index]) -> Made:
    """Label blocks each for itself, and keep that beside the notes of the write.

    Takes and raises as `run_task`.
    """
    here = _here(raw)
    merging = here.job.merging
    assert merging is not None  # noqa: S101 (for the type checker)
    writing = here.writing
    with _cancelled_from_afar(here.job) as progress:
        merged = MergedLabels(
            here.job.plan,
            here.job.waves[0],
            here.job.source,
            writing.store,
            merging,
            lambda: progress.is_cancelled,
        )
        _side_by_side(merged.label, indices, progress)
    return Made(len(indices), 0, 0, 0)


def _side_by_side(function: Callable[[Any], Any], items: Sequence[Any], progress: Progress) -> None:
    with ThreadPoolExecutor(_AT_ONCE, "omezarr-write", progress.waits.join) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            for future in futures:
                future.result()
        except BaseException:
            progress.cancel()
            for future in futures:
                future.cancel()
            raise


@contextmanager
def _cancelled_from_afar(job: Job) -> Iterator[Progress]:
    """Give a progress that is cancelled when the run is, and have that end what this one waits for.

    Raises
    ------
    WriteError
        If it was cancelled.
    """
    from distributed import Event, get_client

    progress, ended = Progress(), threading.Event()
    event = Event(job.run, client=get_client())

    def listen() -> None:
        with suppress(Exception):  # without the scheduler, this process ends
            while not ended.wait(_LISTEN_S):
                if event.is_set():
                    progress.cancel()
                    return

    threading.Thread(target=listen, name="omezarr-listen", daemon=True).start()
    try:
        with progress.cancellable("Writing", str(job.location)):
            yield progress
    finally:
        ended.set()
