"""Levels over arrays that somebody else holds: in memory, or lazy ones of another library."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.pyramid.array_places import places_of_array
from napari_omezarr_cloud.pyramid.level import Chunk, Grid, Pyramid, Runner, new_key
from napari_omezarr_cloud.pyramid.transform import Transform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.ngff import Axis
    from napari_omezarr_cloud.pyramid.region import Index

__all__ = ["PROCESS", "ArrayLevel", "array_pyramid", "transform_of_level"]

PROCESS = uuid4().hex
"""Stands for this run of the program, in which keys of levels are unique."""

_CHUNK = 512


class ArrayLevel:
    """An array as a level: its chunks are copied when they are asked for, and no sooner."""

    is_derived = True  # cheaper to lose than what came over the network

    def __init__(self, array: Any, axes: Sequence[Axis], transform: Transform, name: str) -> None:
        self.key = new_key()
        self.name = name
        self.transform = transform
        shape = tuple(int(n) for n in array.shape)
        self.grid = Grid(
            shape, _chunks(array, shape, axes), np.dtype(array.dtype).newbyteorder("=")
        )
        self._array = array

    def __reduce__(self) -> tuple[Any, ...]:
        raise OperationError(
            "Could not send the image to other processes",
            where=self.name,
            why="it is in the memory of this one",
            hint="Save it first, and run on what was saved; or run without workers.",
        )

    @property
    def places(self) -> frozenset[Location]:
        """Where its chunks come from."""
        return places_of_array(self._array)

    def jobs(self, indices: Sequence[Index]) -> Iterable[tuple[Index, ...]]:
        """Take each chunk by itself."""
        return [(index,) for index in indices]

    async def produce(self, indices: tuple[Index, ...], runner: Runner) -> Mapping[Index, Chunk]:
        """Copy these chunks; awaits on the loop."""
        if isinstance(self._array, np.ndarray):
            return {index: await runner.decode(self._copy, index) for index in indices}
        # A lazy array may do what a decoder must not: wait, even for chunks of ours.
        return {index: await asyncio.to_thread(self._copy, index) for index in indices}

    def fingerprint(self) -> str:
        """Return what tells it from another array of the same shape; goes through all of it.

        A lazy array is known by its name (dask), or in this process only.
        """
        if isinstance(self._array, np.ndarray):
            total = 0
            for part in self._array if self._array.ndim > 2 else (self._array,):
                total = zlib.crc32(np.ascontiguousarray(part).data.cast("B"), total)
            return f"{total:08x}"
        name = getattr(self._array, "name", None)
        return name if name and hasattr(self._array, "dask") else f"{PROCESS} {self.key}"

    def _copy(self, index: Index) -> npt.NDArray[Any]:
        part = np.array(self._array[self.grid.region_of(index).slices], self.grid.dtype, order="C")
        part.flags.writeable = False
        return part


def array_pyramid(
    arrays: Sequence[Any], axes: Sequence[Axis], transforms: Sequence[Transform], name: str
) -> Pyramid:
    """Return a pyramid over arrays.

    Parameters
    ----------
    arrays
        Fine to coarse; anything with ``shape``, ``dtype`` and numpy-style indexing.
    axes
        Of all of them.
    transforms
        Where each one's voxels lie.
    name
        For messages and layers.

    Notes
    -----
    Voxels are remembered once they were read: an array that changes needs a new pyramid.
    """
    levels = tuple(
        ArrayLevel(array, axes, transform, name)
        for array, transform in zip(arrays, transforms, strict=True)
    )
    return Pyramid(tuple(axes), levels, name)


def transform_of_level(
    finest: Sequence[int], shape: Sequence[int], scale: Sequence[float]
) -> Transform:
    """Return where a level lies that covers the same extent as the finest, corner to corner.

    Parameters
    ----------
    finest, shape
        Voxels per axis of the finest level and of this one.
    scale
        Size of a voxel of the finest level.
    """
    factors = [n / m for n, m in zip(finest, shape, strict=True)]
    pairs = list(zip(factors, scale, strict=True))
    return Transform(tuple(f * s for f, s in pairs), tuple((f - 1) / 2 * s for f, s in pairs))


def _chunks(array: Any, shape: tuple[int, ...], axes: Sequence[Axis]) -> tuple[int, ...]:
    """Return the array's own chunks where it has some, else planes of moderate size."""
    own = getattr(array, "chunksize", None) or getattr(array, "chunks", None)
    if isinstance(own, tuple) and len(own) == len(shape) and all(isinstance(n, int) for n in own):
        return tuple(max(1, min(n, size)) for n, size in zip(own, shape, strict=True))
    colours = axes[-1].type == "channel"
    first = len(shape) - 2 - colours
    return tuple(max(1, min(_CHUNK if axis >= first else 1, n)) for axis, n in enumerate(shape))
