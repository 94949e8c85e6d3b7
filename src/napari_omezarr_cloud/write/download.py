"""A download under way: byte for byte copies of objects, verified, and taken up again.

Metadata come first, then arrays from the coarsest to the finest, so that what is there is a valid
image at any time; notes in it (as of a write under way) say that it is not finished. A file has
its name only when all of it is here and is what the server says: its size, and its checksum where
the ETag is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import (
    ChangedError,
    CloudError,
    CredentialsError,
    ExistsError,
    WriteError,
)
from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.pyramid.documents import WRITE_NOTES
from napari_omezarr_cloud.store.disk.stamp import is_document
from napari_omezarr_cloud.store.gate import AHEAD, RANK
from napari_omezarr_cloud.write.claiming import Claim
from napari_omezarr_cloud.write.copying import Copier, Wanted, is_here, said
from napari_omezarr_cloud.write.inside import holder_of
from napari_omezarr_cloud.write.target import delete_notes, find, open_target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from napari_omezarr_cloud.write.download_plan import DownloadPlan

__all__ = ["DownloadProgress", "run_download"]

_AT_ONCE = 48
"""Objects under way; how many requests there are at once the gate decides."""
_MOST_FAILURES = 20
"""After which nothing more is tried: it is not this or that object."""
_ALONE, _BESIDE = (AHEAD - 0.1,), (AHEAD + 1.0,)
"""What is looked at comes first; beside a window there is always room for it, too."""


@dataclass(frozen=True)
class DownloadProgress:
    """How far it has come."""

    count: int
    """Objects, as far as is known."""
    nbytes: int
    """Bytes of them, as far as is known."""
    done: int = 0
    """Objects that are here, or of which the server says that there are none."""
    absent: int = 0
    """Of these, those that are none: chunks that are blank."""
    skipped: int = 0
    """Of these, those that were here before."""
    done_nbytes: int = 0
    """Bytes that are here."""
    failed: int = 0
    problem: str = ""
    """Why the last object that failed could not be had."""


async def run_download(
    plan: DownloadPlan,
    on_progress: Callable[[DownloadProgress], None] = lambda _: None,
    *,
    is_beside: bool = False,
) -> DownloadProgress:
    """Download what was planned, or go on with it; runs on the I/O loop.

    Cancelling it leaves what has come, and the notes by which the same download goes on.

    Parameters
    ----------
    plan
        What, and where to.
    on_progress
        Called after each object.
    is_beside
        Whether somebody is looking at images meanwhile: then half of the requests are left to them.

    Raises
    ------
    ExistsError
        If something else is there.
    BusyError
        If somebody is downloading there.
    WriteError
        If the disk does not take it, or some objects could not be had.
    CloudError
        As the server says.
    """
    if plan.file is not None and os.path.lexists(plan.target):
        wanted = Wanted(plan.file.key, plan.file)
        if await asyncio.to_thread(is_here, plan.target, wanted) is None:
            raise _exists(plan, "a file of this name is there already")
        size = plan.file.nbytes
        return DownloadProgress(1, size, done=1, skipped=1, done_nbytes=size)
    folder = parse_location(plan.folder)
    if await asyncio.to_thread(os.path.isfile, plan.folder):
        raise _exists(plan, "a file of this name is there already")
    found = await find(folder)
    if not found.is_empty and found.plan != plan.identity:
        raise _exists(plan, f"something is there already ({found.in_words()})")
    holder = await holder_of(parse_location(plan.target)) if found.is_empty else None
    if holder is not None and holder.kind == "array":
        raise holder.refuse(parse_location(plan.target))
    await asyncio.to_thread(plan.check_room)
    store = open_target(folder)
    claim = Claim(store, plan.identity, _canceller())
    await claim.take()
    token = RANK.set(lambda: _BESIDE if is_beside else _ALONE)
    try:
        progress = await _Download(plan, on_progress).run()
        await asyncio.to_thread(_deliver, plan)
        await delete_notes(store)
        if plan.file is not None:
            await asyncio.to_thread(plan.folder.rmdir)
        claim.end()
    except BaseException:
        # Waited for, as whoever hears of this may begin again at once; not to be cancelled.
        released = asyncio.get_running_loop().run_in_executor(None, claim.release)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(released)
        if claim.lost is not None:
            raise claim.lost from None
        raise
    finally:
        RANK.reset(token)
    return progress


def _canceller() -> Callable[[], None]:
    task = asyncio.current_task()

    def cancel() -> None:
        if task is not None:
            task.cancel()

    return cancel


class _Download:
    def __init__(self, plan: DownloadPlan, on_progress: Callable[[DownloadProgress], None]) -> None:
        self._plan = plan
        self._source = plan.store
        self._tell = on_progress
        self._parts = plan.folder / WRITE_NOTES / "parts"
        self._progress = DownloadProgress(plan.count, plan.nbytes)
        self._copier = Copier(
            plan.store,
            plan.folder,
            self._parts,
            witness=next(iter(plan.inventory.documents), None),
            is_listed=plan.inventory.is_listed,
        )

    async def run(self) -> DownloadProgress:
        await asyncio.to_thread(self._parts.mkdir, parents=True, exist_ok=True)
        self._tell(self._progress)
        await self._copy_all(self._documents())
        await self._copy_all(self._others())
        if self._progress.failed:
            raise self._incomplete()
        return self._progress

    # ---- which ones ---------------------------------------------------------------------------

    async def _documents(self) -> AsyncIterator[Wanted]:
        for key in self._plan.inventory.documents:
            yield Wanted(key, is_document=True)

    async def _others(self) -> AsyncIterator[Wanted]:
        inventory = self._plan.inventory
        if self._plan.file is not None:
            yield Wanted(self._plan.file.key, self._plan.file)
        for array in inventory.arrays:
            if not inventory.is_listed:
                for key in array.keys():
                    yield Wanted(key, may_be_absent=True)
                continue
            async for page in self._source.walk(array.path):
                for each in page:
                    if not is_document(each.key):
                        yield Wanted(each.key, each)
        for folder in inventory.folders:
            _, objects = await self._source.look_into(folder)
            for each in objects:
                if not is_document(each.key):
                    yield Wanted(each.key, each)

    # ---- all of them --------------------------------------------------------------------------

    async def _copy_all(self, wanted: AsyncIterator[Wanted]) -> None:
        """Copy objects, some at once; no more are known at a time than that."""
        running: set[asyncio.Task[None]] = set()
        try:
            async for each in wanted:
                running.add(asyncio.create_task(self._copied(each)))
                if len(running) >= _AT_ONCE:
                    running = await _reaped(running)
            while running:
                running = await _reaped(running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _copied(self, wanted: Wanted) -> None:
        try:
            nbytes, is_new = await self._copier.copy(wanted)
        except (ExistsError, CredentialsError):
            raise
        except CloudError as error:
            # What a disk does not take, it will not take of the next one.
            if isinstance(error, WriteError) and not isinstance(error, ChangedError):
                raise
            failed = self._progress.failed + 1
            self._count(failed=failed, problem=str(error))
            if failed >= _MOST_FAILURES:
                raise self._incomplete() from error
            return
        progress = self._progress
        self._count(
            done=progress.done + 1,
            absent=progress.absent + (nbytes is None),
            skipped=progress.skipped + (not is_new),
            done_nbytes=progress.done_nbytes + (nbytes or 0),
        )

    def _count(self, **values: int | str) -> None:
        self._progress = replace(self._progress, **values)  # type: ignore[arg-type]
        self._tell(self._progress)

    def _incomplete(self) -> WriteError:
        progress = self._progress
        return WriteError(
            "The download is not complete",
            where=str(self._plan.target),
            why=f"{progress.failed:,} objects could not be had; of the last: "
            f"{progress.problem.rstrip('.')}",
            hint="Download the same again: what is here is kept.",
        )


async def _reaped(running: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    failures = [task.exception() for task in done]
    for failure in failures:
        if failure is not None:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            raise failure
    return running


def _deliver(plan: DownloadPlan) -> None:
    """Give one file its place, unless somebody else has put something there."""
    if plan.file is None:
        return
    whole = plan.folder / plan.file.key
    with said(plan.target):
        try:
            os.link(whole, plan.target)
        except FileExistsError:
            raise _exists(plan, "a file of this name has come meanwhile") from None
        except OSError:  # a disk without hard links
            if os.path.lexists(plan.target):
                raise _exists(plan, "a file of this name has come meanwhile") from None
            whole.rename(plan.target)
        else:
            whole.unlink()


def _exists(plan: DownloadPlan, why: str) -> ExistsError:
    hint = "Choose another name."
    name = plan.source.key.rstrip("/").rpartition("/")[2]
    if name and plan.target.name != name and os.path.isdir(plan.target):
        hint = f"Choose another name, {plan.target / name} for instance."
    return ExistsError("Nothing was downloaded", where=str(plan.target), why=why, hint=hint)
