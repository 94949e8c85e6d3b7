"""A whole write: notes, tasks, then the documents that make it an image. Resumable at any point."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import ChangedError, CloudError, ExistsError
from napari_omezarr_cloud.ngff import Dataset
from napari_omezarr_cloud.ngff.writing import group_documents, image_attributes, json_bytes
from napari_omezarr_cloud.pyramid.documents import WRITE_NOTES
from napari_omezarr_cloud.store import io_thread
from napari_omezarr_cloud.write.blocks import Blocks, Tree
from napari_omezarr_cloud.write.claiming import HOW_TO_OVERWRITE, PLAN_KEY, Claim
from napari_omezarr_cloud.write.done import Done
from napari_omezarr_cloud.write.encoding import level_document
from napari_omezarr_cloud.write.merging import MergedLabels, block_name
from napari_omezarr_cloud.write.progress import Progress
from napari_omezarr_cloud.write.target import (
    delete_half_files,
    delete_notes,
    delete_tree,
    open_target,
)
from napari_omezarr_cloud.write.waves import blocks_at_once, waves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.pyramid import Index
    from napari_omezarr_cloud.store import RemoteStore
    from napari_omezarr_cloud.write.blocks import Source
    from napari_omezarr_cloud.write.crew import Crew
    from napari_omezarr_cloud.write.merging import Merging
    from napari_omezarr_cloud.write.plan import Plan
    from napari_omezarr_cloud.write.target import Found
    from napari_omezarr_cloud.write.waves import Task, Wave

__all__ = ["Writing", "identity_of", "image_documents"]


def image_documents(
    plan: Plan,
    ome: Mapping[str, Any] | None = None,
    beside: Mapping[str, Any] | None = None,
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return the documents of a plan's levels, and those of its group, by key.

    Parameters
    ----------
    plan
        What was written.
    ome
        More OME metadata of the group: ``omero``, ``image-label``.
    beside
        Attributes that are no OME metadata, where it came from.
    """
    name = "zarr.json" if plan.version == "0.5" else ".zarray"
    levels = {
        f"{level.path}/{name}": json_bytes(level_document(plan, level)) for level in plan.levels
    }
    attributes = image_attributes(
        version=plan.version,
        name=plan.name,
        axes=plan.axes,
        datasets=[Dataset(lv.path, lv.scale, lv.translation) for lv in plan.levels],
        method=None if len(plan.levels) == 1 or plan.copied else plan.method,
    )
    own = {**attributes, **(ome or {})}
    return levels, group_documents(own, version=plan.version, beside=beside)


def identity_of(plan: Plan, origin: str) -> dict[str, Any]:
    """Return what a write is known by in its notes, as JSON gives it back.

    Takes what `Writing` takes.
    """
    found: dict[str, Any] = json.loads(json.dumps({"plan": plan.to_json(), "origin": origin}))
    return found


class Writing:
    """The write of one image to one place.

    Parameters
    ----------
    plan
        What is written.
    location
        Root of the image; empty, or with an unfinished write of the same plan.
    ome, beside
        As for `image_documents`.
    merging
        How objects go on across blocks, where the source labels each block for itself.
    origin
        What the voxels are, as text without secrets: an unfinished write is taken up again only
        for the same plan and origin.
    progress
        Counts this write, too: of an image and its labels together; None: one of its own.
    """

    def __init__(
        self,
        plan: Plan,
        location: Location,
        *,
        ome: Mapping[str, Any] | None = None,
        beside: Mapping[str, Any] | None = None,
        merging: Merging | None = None,
        origin: str = "",
        progress: Progress | None = None,
    ) -> None:
        self.plan = plan
        self.location = location
        self.waves: tuple[Wave, ...] = waves(plan)
        self.progress = Progress() if progress is None else progress
        self.merging = merging
        self.task_count = sum(wave.block_count for wave in self.waves)
        if merging is not None:
            self.task_count += self.waves[0].block_count
        self.progress.task_count += self.task_count
        self._documents = image_documents(plan, ome, beside)
        self.identity = identity_of(plan, origin)
        self._was_image = False
        self.is_whole = False
        """Whether an earlier run has done all of it, and only left its notes."""

    @property
    def store(self) -> RemoteStore:
        """Where it goes."""
        return self._store

    @cached_property
    def _store(self) -> RemoteStore:
        return open_target(self.location)  # makes a folder: not before it is written to

    @cached_property
    def done(self) -> Done:
        """What is done of it."""
        return Done(self._store)

    @cached_property
    def claim(self) -> Claim:
        """That this process writes there."""
        return Claim(self._store, self.identity, self.progress.cancel)

    def begin(self, found: Found) -> None:
        """Note what is about to be written, or find what was done of it.

        Parameters
        ----------
        found
            What is at the place, as `find` told.

        Raises
        ------
        ExistsError
            If something else is there.
        BusyError
            If somebody is writing there.
        CloudError
            If nothing can be written there.
        """
        if found.notes is not None:
            found.notes.refuse_if_busy(str(self.location))
        if not found.is_empty and found.plan != self.identity:
            why = f"something is there already ({found.in_words()})"
            hint = f"Choose another name, or {HOW_TO_OVERWRITE}."
            if found.notes is not None:
                why = f"the beginning of {found.notes.in_words()} is there"
                hint = f"Do that again to go on with it. {hint}"
            raise ExistsError("Nothing was written", where=str(self.location), why=why, hint=hint)
        if io_thread().wait(self.claim.take()):
            delete_half_files(self.location)
            self.done.look()
            self.is_whole = io_thread().wait(self._is_ended())
        elif found.names:
            io_thread().wait(delete_tree(self._store, WRITE_NOTES, but=PLAN_KEY))
        self._was_image = found.is_image

    def run(
        self,
        source: Source,
        *,
        threads: int | None = None,
        crew: Crew | None = None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        """Write all that was not yet written; waits.

        Parameters
        ----------
        source
            Gives the voxels.
        threads
            How many blocks at once; None: as many as `blocks_at_once` says.
        crew
            Other processes that do it; None: this one does.
        on_progress
            Called in this thread after each task.

        Raises
        ------
        WriteError
            If it was cancelled, or the place does not take what is written.
        CloudError
            If voxels cannot be read.
        """
        try:
            self.write(source, threads=threads, crew=crew, on_progress=on_progress)
            self.clear()
        finally:
            self.release()

    def write(
        self,
        source: Source,
        *,
        threads: int | None = None,
        crew: Crew | None = None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        """Do what `run` does, all but deleting the notes; waits."""
        if self.is_whole:
            self.progress.skip(self.task_count)
            return
        try:
            with self.progress.cancellable("Writing", str(self.location)):
                if crew is not None:
                    crew.run(self, source, on_progress)
                else:
                    at_once = threads or blocks_at_once(self.plan, self.waves[0])
                    join = self.progress.waits.join
                    with ThreadPoolExecutor(at_once, "omezarr-write", join) as pool:
                        self._run_here(pool, source, on_progress)
                self.finish()
        except CloudError as error:
            if self.claim.lost is not None:
                raise self.claim.lost from None
            if not isinstance(error, ChangedError):
                error.hint = f"{error.hint} {self._kept()}".strip()
            raise

    def _kept(self) -> str:
        """Return what a write that broke off leaves behind, and how to go on."""
        done, count = self.progress.tasks_done, self.progress.task_count
        if not done:
            return "Nothing was written yet, and nothing else was touched."
        return (
            f"What was written is kept ({done:,} of {count:,} blocks), and nothing else was "
            "touched: save the same again to go on."
        )

    def _run_here(
        self, pool: ThreadPoolExecutor, source: Source, on_progress: Callable[[Progress], None]
    ) -> None:
        merged = self.merged(source)
        if merged is not None:
            self._run_all(pool, merged.label, self.unlabelled(merged), on_progress)
            merged.merge()
            source = merged.numbered()
        blocks = Blocks(
            self.plan,
            source,
            self._store,
            on_voxels=self.progress.add,
            is_cancelled=lambda: self.progress.is_cancelled,
        )
        for wave in self.waves:
            self._run_all(pool, self._make, self._leaves(blocks, wave), on_progress)

    def merged(self, source: Source) -> MergedLabels | None:
        """Return what joins the objects of blocks, where there are such."""
        if self.merging is None:
            return None
        progress = self.progress
        return MergedLabels(
            self.plan,
            self.waves[0],
            source,
            self._store,
            self.merging,
            lambda: progress.is_cancelled,
        )

    def unlabelled(self, merged: MergedLabels) -> list[Index]:
        """Return the blocks that are still to be labelled; waits."""
        done = merged.labelled()
        left = [index for index in merged.blocks() if block_name(index) not in done]
        self.progress.skip(self.waves[0].block_count - len(left))
        return left

    def left(self, wave: Wave) -> Iterator[Task]:
        """Yield the tasks of a wave that are still to be done."""
        for task in wave.tasks():
            if self.done.has(task):
                self.progress.skip(wave.block_count_of(wave.region_of(task)))
            else:
                yield task

    def count_done(self) -> int:
        """Return how many pieces of work an earlier run has done, without doing any; waits.

        Raises
        ------
        CloudError
            If that cannot be found out.
        """
        self.done.look()
        # Each block that is labelled has its faces kept.
        done = len(io_thread().wait(self._store.list(f"{WRITE_NOTES}/faces")))
        for wave in self.waves:
            for task in wave.tasks():
                regions = [wave.region_of(task)]
                if not self.done.has(task):
                    at = self.done.units(task)
                    regions = [unit for unit in wave.units(task) if unit.start in at] if at else []
                done += sum(map(wave.block_count_of, regions))
        return done

    def tree(self, blocks: Blocks, wave: Wave, task: Task) -> Tree:
        """Return a task, to be done in this process but for the units that are finished."""
        return Tree(blocks, wave, task, self.done.units(task), partial(self.done.note_unit, task))

    def _leaves(self, blocks: Blocks, wave: Wave) -> Iterator[tuple[Tree, Index]]:
        for task in self.left(wave):
            tree = self.tree(blocks, wave, task)
            for index in tree.leaves():
                yield tree, index

    def _make(self, leaf: tuple[Tree, Index]) -> None:
        tree, index = leaf
        is_last = tree.make(index)
        if tree.is_finished(index):
            self.progress.skip(1, is_done=False)
        if is_last:
            self.done.note(tree.task)

    def _run_all(
        self,
        pool: ThreadPoolExecutor,
        function: Callable[[Any], None],
        items: Iterable[Any],
        on_progress: Callable[[Progress], None],
    ) -> None:
        running: set[Future[None]] = set()
        try:
            # No more are handed out than can run: a plan may have millions.
            for item in items:
                running.add(pool.submit(function, item))
                if len(running) > pool._max_workers:
                    running = self._reap(running, on_progress)
            while running:
                running = self._reap(running, on_progress)
        except BaseException:
            self.progress.cancel()
            wait(running)
            self.done.keep()
            raise

    def _reap(
        self, running: set[Future[None]], on_progress: Callable[[Progress], None]
    ) -> set[Future[None]]:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
            self.progress.done(1)
            on_progress(self.progress)
        return running

    def finish(self) -> None:
        """Write the documents, the one that makes it an image last.

        Raises
        ------
        ChangedError
            If somebody else writes, or has written, at the place.
        CloudError
            If they cannot be written.
        """

        async def end() -> None:
            await self.claim.check()
            levels, group = self._documents
            root = list(group)[-1]
            if not self._was_image and await self._store.get(root) is not None:
                raise ChangedError(
                    "The image was not finished",
                    where=str(self.location),
                    key=root,
                    why="somebody else has put an image there meanwhile",
                    hint="Look at it, and save to another place.",
                )
            await asyncio.gather(*(self._store.put(key, raw) for key, raw in levels.items()))
            for key, raw in group.items():
                await self._store.put(key, raw)

        self.progress.check(str(self.location))
        io_thread().wait(end())

    async def _is_ended(self) -> bool:
        """Tell whether what is written last is there."""
        _, group = self._documents
        root = list(group)[-1]
        raw = await self._store.get(root)
        return raw is not None and bytes(raw) == group[root]

    def clear(self) -> None:
        """Delete the notes of what is whole; waits."""
        self.claim.end()
        io_thread().wait(delete_notes(self._store))

    def release(self) -> None:
        """Let others go on with what is not whole; waits. After `clear`, does nothing."""
        if "claim" in vars(self):
            self.claim.release()
