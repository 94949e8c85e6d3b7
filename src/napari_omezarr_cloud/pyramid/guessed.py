"""A level whose description was taken from another array: it says so where that shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import ChunkError
from napari_omezarr_cloud.pyramid.level import Absent, Chunk, Level, Runner, new_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.pyramid.region import Index

__all__ = ["GuessedLevel"]


class GuessedLevel:
    """A level that fails with a `ChunkError` if it turns out to be described otherwise.

    Chunks that have the right number of bytes are believed. One that is not there is not, as it may
    lie elsewhere, or stand for another fill value.

    Parameters
    ----------
    inner
        By the other array's description.
    is_other
        Finds out what the array's own description is, and tells whether it is another.
    """

    is_derived = False

    def __init__(self, inner: Level, is_other: Callable[[], Awaitable[bool]]) -> None:
        self.key = new_key()
        self.name, self.grid, self.transform = inner.name, inner.grid, inner.transform
        self._inner, self._is_other = inner, is_other

    @property
    def places(self) -> frozenset[Location]:
        """Where its chunks come from."""
        return self._inner.places

    def jobs(self, indices: Sequence[Index]) -> Iterable[tuple[Index, ...]]:
        """Group chunks that are best produced in one go."""
        return self._inner.jobs(indices)

    async def produce(self, indices: tuple[Index, ...], runner: Runner) -> Mapping[Index, Chunk]:
        """Produce these chunks; awaits on the loop."""
        chunks = await self._inner.produce(indices, runner)
        if any(isinstance(chunk, Absent) for chunk in chunks.values()) and await self._is_other():
            raise ChunkError(
                "Could not read a chunk",
                where=self.name,
                why="its array is another than it was taken for",
            )
        return chunks
