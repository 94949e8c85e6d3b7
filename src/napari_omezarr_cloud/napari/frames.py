"""Frames: what is on screen with a slider on each of its positions; which come next, and are here.

Pure.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.chunks import chunk_count
from napari_omezarr_cloud.process.computation import is_patched
from napari_omezarr_cloud.pyramid import Region

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_omezarr_cloud.chunks import ChunkCache
    from napari_omezarr_cloud.napari.look import Look
    from napari_omezarr_cloud.pyramid import PyramidView

__all__ = [
    "Course",
    "Playing",
    "chunk_box",
    "fitting",
    "follows",
    "in_memory",
    "runs",
]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Playing:
    """How a slider is played."""

    axis: int
    """Of the window."""
    direction: int
    """1 or -1."""
    mode: str
    """``once``, ``loop`` or ``back_and_forth``."""
    low: int
    high: int
    """First and last position that is played, both included."""

    def frames_from(self, frame: int) -> Iterator[int]:
        """Yield a frame and those that come after it, each once a round; no end but that."""
        at, direction = frame, self.direction
        length = self.high - self.low + 1
        for _ in range(length if self.mode != "back_and_forth" else 2 * length):
            yield at
            at += direction
            if self.low <= at <= self.high:
                continue
            if self.mode == "loop":
                at = self.low if direction > 0 else self.high
            elif self.mode == "back_and_forth" and length > 1:
                direction = -direction
                at += 2 * direction
            else:
                return


def follows(frame: int, now: int, playing: Playing) -> bool:
    """Tell whether a frame may be shown after another: its neighbour, or over the end of the range.

    From outside of the range any frame in it may come.
    """
    if not playing.low <= now <= playing.high:
        return True
    return abs(frame - now) == 1 or {frame, now} == {playing.low, playing.high}


@dataclass(frozen=True)
class Course:
    """The looks at one layer with a slider on each of some positions, all else as it is."""

    look: Look
    """Any of them: level, axes on screen and what is seen of these are the same for all."""
    start: Array
    stop: Array
    """Voxels of the level, half-open, of shape (positions, axes of the view)."""
    is_drawn: npt.NDArray[np.bool_]
    """Whether anything is drawn, for each position: layers may end before others."""

    def at(self, number: int) -> Look | None:
        """Return the look at one of the positions; None where nothing is drawn."""
        if not self.is_drawn[number]:
            return None
        region = Region(tuple(self.start[number].tolist()), tuple(self.stop[number].tolist()))
        return replace(self.look, region=region)

    @property
    def looks(self) -> list[Look | None]:
        """The look at each of the positions."""
        return [self.at(number) for number in range(len(self.is_drawn))]


def in_memory(course: Course, view: PyramidView, cache: ChunkCache) -> npt.NDArray[np.bool_]:
    """Tell for each position whether all that is drawn there is in memory.

    What can only be computed as one array never is: it is not kept for other positions.
    """
    level = view.level(course.look.number)
    if is_patched(level):
        return ~course.is_drawn
    grid = level.grid
    chunks = [grid.chunks[axis] for axis in view.order]
    first, last = course.start // chunks, (course.stop - 1) // chunks
    # Neighbouring positions share chunks, those of a layer without this axis all.
    boxes = np.concatenate([first, last], axis=1)
    _, examples, which = np.unique(boxes, axis=0, return_index=True, return_inverse=True)
    corners = np.zeros((len(examples), grid.ndim), int)
    corners[:, list(view.order)] = first[examples]
    for axis, index in view.fixed:
        corners[:, axis] = index // grid.chunks[axis]
    # Of most positions of a long axis nothing is here: that is seen by one look each.
    complete = [
        (level.key, corner) in cache and _is_complete(course, number, view, cache)
        for corner, number in zip(map(tuple, corners.tolist()), examples.tolist(), strict=True)
    ]
    here: npt.NDArray[np.bool_] = np.array(complete, bool)[which.reshape(-1)]
    return here | ~course.is_drawn


def _is_complete(course: Course, number: int, view: PyramidView, cache: ChunkCache) -> bool:
    look = course.at(number)
    if look is None:
        return True
    level = view.level(look.number)
    indices = level.grid.touching(view.expand(look.region))
    return all((level.key, index) in cache for index in indices)


def runs(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return where flags are set, as half-open ranges."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return list(itertools.pairwise(edges.tolist()))[::2]


def chunk_box(look: Look, view: PyramidView) -> tuple[tuple[Any, ...], int]:
    """Return what tells the chunks of a look from those of others, and their bytes in memory."""
    level = view.level(look.number)
    region = view.expand(look.region)
    if is_patched(level):
        return (level.key, region), region.size * level.grid.dtype.itemsize
    chunks = level.grid.chunks
    first = tuple(a // c for a, c in zip(region.start, chunks, strict=True))
    last = tuple((b - 1) // c for b, c in zip(region.stop, chunks, strict=True))
    nbytes = chunk_count(region, chunks) * math.prod(chunks) * level.grid.dtype.itemsize
    return (level.key, first, last), nbytes


def fitting(frames: Sequence[Mapping[Any, int]], max_bytes: int) -> int:
    """Return how many frames, from the first on, hold no more than some bytes; at least one.

    Parameters
    ----------
    frames
        The bytes of each part of a frame. Parts that frames share count once.
    max_bytes
        Bound of them together.
    """
    known: dict[Any, int] = {}
    for count, parts in enumerate(frames):
        known.update(parts)
        if count and sum(known.values()) > max_bytes:
            return count
    return len(frames)
