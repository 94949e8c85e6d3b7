"""Passes of a write: labellings that must be whole before what comes after them can be computed.

Their objects are joined when all of them are known. So they are written first, as an image of their
own among the notes of the write, and read from there; it goes when the notes go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.pyramid.array_metadata import parse_array
from napari_omezarr_cloud.pyramid.documents import WRITE_NOTES
from napari_omezarr_cloud.pyramid.stored import StoredLevel
from napari_omezarr_cloud.store import io_thread
from napari_omezarr_cloud.store.late import LateStore
from napari_omezarr_cloud.store.place_access import ready
from napari_omezarr_cloud.write.encoding import level_document
from napari_omezarr_cloud.write.target import find, open_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.store.protocol import ByteStore
    from napari_omezarr_cloud.write.crew import Crew
    from napari_omezarr_cloud.write.plan import Plan
    from napari_omezarr_cloud.write.progress import Progress
    from napari_omezarr_cloud.write.save_plan import SavePlan
    from napari_omezarr_cloud.write.sources import ViewSource
    from napari_omezarr_cloud.write.writing import Writing

__all__ = ["Part", "PassLevel", "pass_place"]


def pass_place(location: Location, number: int) -> Location:
    """Return where a pass goes of a write to a location."""
    return location.child(f"{WRITE_NOTES}/pass{number}")


class _Target(LateStore):
    """What is written to, as it is let in by who writes: past all that is kept of places."""

    async def _open(self) -> ByteStore:
        await ready(self.location)
        return open_target(self.location)


class PassLevel(StoredLevel):
    """The level that a pass has written.

    Parameters
    ----------
    location, plan
        Where, and what.
    """

    def __init__(self, location: Location, plan: Plan) -> None:
        (level,) = plan.levels
        document = level_document(plan, level)
        description = parse_array(document, where=str(location), key=level.path)
        super().__init__(_Target(location, ""), level.path, description, level.transform)
        self._plan = plan

    def __reduce__(self) -> tuple[Any, ...]:
        return PassLevel, (self.store.location, self._plan)


@dataclass(frozen=True)
class Part:
    """The write of one image, and the passes that come first. Make one with `of`."""

    planned: SavePlan
    writing: Writing
    passes: tuple[Part, ...]

    @classmethod
    def of(cls, planned: SavePlan, at: Location, origin: str, progress: Progress | None) -> Part:
        """Return the write of a plan to a place; nothing begins.

        Takes what `SavePlan.writing` takes.
        """
        writing = planned.writing(at, origin, progress)
        first = tuple(
            cls.of(each, pass_place(at, number), each.origin(), writing.progress)
            for number, each in enumerate(planned.passes)
        )
        return cls(planned, writing, first)

    @property
    def task_count(self) -> int:
        """Pieces of work, those of the passes too."""
        return self.writing.task_count + sum(each.task_count for each in self.passes)

    def count_done(self) -> int:
        """Return how many of them an earlier run has done; waits."""
        found = io_thread().wait(find(self.writing.location))
        if found.is_empty or not found.is_unfinished:
            return 0 if found.is_empty else self.task_count
        return self.writing.count_done() + sum(each.count_done() for each in self.passes)

    def source(
        self, threads: int | None, crew: Crew | None, tell: Callable[[Progress], None]
    ) -> ViewSource:
        """Write the passes, and return what gives the voxels of the image; waits.

        Takes and raises as `Writing.run` does.
        """
        for each in self.passes:
            if self.writing.is_whole:
                self.writing.progress.skip(each.task_count)
            else:
                each.write_below(threads, crew, tell)
        return self.planned.source_at(self.writing.location)

    def write_below(
        self, threads: int | None, crew: Crew | None, tell: Callable[[Progress], None]
    ) -> None:
        """Write it below an image that is under way, unless it is whole by now; waits.

        Takes and raises as `Writing.run` does.
        """
        found = io_thread().wait(find(self.writing.location))
        if not found.is_empty and not found.is_unfinished:
            self.writing.progress.skip(self.task_count)
            return
        try:
            self.writing.begin(found)
            source = self.source(threads, crew, tell)
            self.writing.run(source, threads=threads, crew=crew, on_progress=tell)
        finally:
            self.writing.release()
