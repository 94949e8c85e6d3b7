"""Levels and pyramids: what the engine, the dask view and every layer stand on.

Nobody downstream can tell where a level's chunks come from: from a store
(:mod:`~napari_omezarr_cloud.pyramid.stored`) or computed from other levels.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.pyramid.region import Index, Region, chunk_region, chunks_touching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.ngff import Affine, Axis
    from napari_omezarr_cloud.pyramid.transform import Transform

__all__ = ["ABSENT", "Absent", "Chunk", "Decodes", "Grid", "Level", "Pyramid", "Runner", "new_key"]

Array = npt.NDArray[Any]


class Absent:
    """Stands for a chunk that is not stored: all its voxels are the level's fill value."""

    nbytes = 64
    """What its entry in the cache costs, so that a hundred million of them are not free."""


ABSENT = Absent()

Chunk = Array | Absent
"""Voxels of one chunk, cut at the level's edge, read-only; or the word that there are none."""

_keys = itertools.count()


def new_key() -> int:
    """Return an identity for a level that no other level of this process has."""
    return next(_keys)


class Decodes(Protocol):
    """What has the decode pool."""

    async def decode(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a short function that turns bytes into voxels in the decode pool."""
        ...


class Runner(Decodes, Protocol):
    """What the engine offers to a level that produces chunks; all of it awaits, nothing blocks."""

    async def compute(
        self, function: Callable[..., Any], *args: Any, in_process: bool = False
    ) -> Any:
        """Run a pure array function in the compute pool, or in a process that can be killed."""
        ...

    async def region(self, level: Level, region: Region, *, keep: bool = True) -> Array:
        """Return exact voxels of another level; not to be kept where nobody else wants them."""
        ...


@dataclass(frozen=True)
class Grid:
    """Shape, chunking and type of a level."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    fill_value: Any = 0

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def chunk_counts(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        return tuple(-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True))

    @property
    def nbytes(self) -> int:
        """Bytes of the whole level, uncompressed."""
        return math.prod(self.shape) * self.dtype.itemsize

    def region_of(self, index: Index) -> Region:
        """Return the voxels of one chunk."""
        return chunk_region(index, self.chunks, self.shape)

    def touching(self, region: Region) -> Iterable[Index]:
        """Yield the chunks that a region touches."""
        return chunks_touching(region, self.chunks)


class Level(Protocol):
    """One resolution of an image."""

    @property
    def key(self) -> int:
        """Identity in the engine's cache; a changed parameter is a new key."""
        ...

    @property
    def grid(self) -> Grid:
        """Shape, chunks and dtype."""
        ...

    @property
    def transform(self) -> Transform:
        """Where the voxels of this level lie."""
        ...

    @property
    def name(self) -> str:
        """What messages call it: a path or an operation."""
        ...

    @property
    def is_derived(self) -> bool:
        """Computed, so cheaper to lose than what came over the network."""
        ...

    @property
    def places(self) -> frozenset[Location]:
        """Where its chunks come from at last: arrays, or groups that hold them somewhere below.

        Empty for what is in memory only.
        """
        ...

    def jobs(self, indices: Sequence[Index]) -> Iterable[tuple[Index, ...]]:
        """Group chunks that are best produced in one go."""
        ...

    async def produce(self, indices: tuple[Index, ...], runner: Runner) -> Mapping[Index, Chunk]:
        """Produce these chunks; runs on the engine's loop.

        Raises
        ------
        ChunkError
            Naming the chunk's key, if its bytes make no voxels.
        CloudError
            If a source cannot be reached.
        """
        ...


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Levels of one image from fine (0) to coarse, all with the same axes."""

    axes: tuple[Axis, ...]
    levels: tuple[Level, ...]
    name: str
    notes: tuple[str, ...] = ()
    source: str = ""
    """Display form of where it came from."""
    kept: tuple[Any, ...] = field(default=(), repr=False)
    """Objects that must live as long as the pyramid."""
    preview: Pyramid | None = field(default=None, repr=False)
    """What a window shows of it, where that is not the same: levels too coarse to show anything of
    an operation show its source."""
    affine: Affine | None = None
    """What comes after the levels' transforms: a rotation, shear, mirror or another order of axes,
    as many axes, in their units (:func:`~napari_omezarr_cloud.pyramid.world.in_world`). None:
    nothing."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Without what a window shows of it, or keeps it alive: neither can leave this process.
        about = (self.axes, self.levels, self.name, self.notes, self.source)
        return Pyramid, (*about, (), None, self.affine)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.axes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""
        return self.levels[0].grid.dtype

    def axis(self, name: str) -> int | None:
        """Return the position of the axis of this name, if there is one."""
        names = [axis.name for axis in self.axes]
        return names.index(name) if name in names else None
