"""Why chunks are not here: for the person who looks at a picture with holes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError, StoppedError
from napari_omezarr_cloud.pyramid import Absent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_omezarr_cloud.chunks.engine import Engine
    from napari_omezarr_cloud.pyramid import Index, Level, Region

__all__ = ["Missing", "count_absent", "why_missing"]

_MOST = 1 << 11


@dataclass(frozen=True)
class Missing:
    """Chunks that are not here, by cause."""

    under_way: int = 0
    """Waiting for their turn, being fetched, decoded or computed."""
    stopped: int = 0
    """Given up by the person."""
    not_asked: int = 0
    """Not asked for yet: there are others whose turn comes before."""
    failed: tuple[CloudError, ...] = ()
    """Why the others could not be read; one for each chunk."""

    def __add__(self, other: Missing) -> Missing:
        return Missing(
            self.under_way + other.under_way,
            self.stopped + other.stopped,
            self.not_asked + other.not_asked,
            self.failed + other.failed,
        )


def why_missing(engine: Engine, chunks: Sequence[tuple[Level, Index]]) -> Missing:
    """Return why these chunks are not here; those that have come meanwhile are left out.

    Any thread, and never waits.
    """
    under_way = stopped = not_asked = 0
    failed = []
    for level, index in chunks:
        if (level.key, index) in engine.cache:
            continue
        if engine.is_under_way(level, index):
            under_way += 1
            continue
        error = engine.failure(level, index)
        if error is None:
            not_asked += 1
        elif isinstance(error, StoppedError):
            stopped += 1
        else:
            failed.append(error)
    return Missing(under_way, stopped, not_asked, tuple(failed))


def count_absent(engine: Engine, level: Level, region: Region) -> int:
    """Return how many chunks of a region are known not to be stored; of very many, the first."""
    indices: Iterable[Index] = itertools.islice(level.grid.touching(region), _MOST)
    return sum(isinstance(engine.cache.get(level.key, index), Absent) for index in indices)
