"""Levels as dask arrays: real ones, that anyone may compute and that give exact voxels."""

from __future__ import annotations

import uuid
import weakref
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.chunks.engine import Engine, engine
from napari_omezarr_cloud.pyramid import PyramidView, Region

if TYPE_CHECKING:
    from napari_omezarr_cloud.location import Location

__all__ = ["LevelReader", "dask_array", "reader_of"]

_process = uuid.uuid4().hex[:8]
_readers: weakref.WeakValueDictionary[str, LevelReader] = weakref.WeakValueDictionary()


class LevelReader:
    """A level of a view as an array that loads what it is indexed with, exactly."""

    def __init__(self, view: PyramidView, number: int, reader: Engine | None = None) -> None:
        grid = view.grid(number)
        self.view = view
        self.number = number
        self.shape = grid.shape
        self.dtype = grid.dtype
        self.ndim = grid.ndim
        self.chunks = grid.chunks
        self._engine = reader

    @property
    def places(self) -> frozenset[Location]:
        """Where its voxels come from."""
        return self.view.level(self.number).places

    def __getitem__(self, item: Any) -> npt.NDArray[Any]:
        """Return the voxels of a numpy-style index (integers and slices); blocks.

        Raises
        ------
        CloudError
            If a chunk cannot be had; never silent zeros.
        """
        items = item if isinstance(item, tuple) else (item,)
        if Ellipsis in items:
            at = items.index(Ellipsis)
            fill = (slice(None),) * (self.ndim - len(items) + 1)
            items = items[:at] + fill + items[at + 1 :]
        items += (slice(None),) * (self.ndim - len(items))
        boxed = tuple(_unit_step(part, n) for part, n in zip(items, self.shape, strict=True))
        region = Region.from_slices([box for box, _ in boxed], self.shape)
        reader = self._engine or engine()
        pixels = reader.load(self.view.level(self.number), self.view.expand(region))
        taken: npt.NDArray[Any] = self.view.reduce(pixels)[tuple(rest for _, rest in boxed)]
        return taken


def _unit_step(part: Any, size: int) -> tuple[slice | int, Any]:
    """Split an index along one axis into a box to load and what to take of it."""
    if isinstance(part, slice):
        start, stop, step = part.indices(size)
        if step == 1:
            return part, slice(None)
        steps = range(start, stop, step)
        if not steps:
            return slice(0, 0), slice(None)
        low, high = min(steps), max(steps)
        return slice(low, high + 1), slice(None, None, step)
    return int(part), 0


def dask_array(view: PyramidView, number: int, reader: Engine | None = None) -> da.Array:
    """Return a level as a dask array, chunked as stored.

    Parameters
    ----------
    view
        Which part of which pyramid.
    number
        Which level, 0 the finest.
    reader
        The engine; the process's own if None.

    Notes
    -----
    The graph holds the reader in each task (``inline_array``) and no slicing over all chunks: an
    image of 10⁸ chunks costs nothing until it is computed.
    """
    level = view.level(number)
    grid = view.grid(number)
    source = LevelReader(view, number, reader)
    part = "-".join([*(f"{a}.{i}" for a, i in view.fixed), *map(str, view.order), str(view.dtype)])
    name = f"omezarr-{_process}-{level.key}-{part}"
    _readers[name] = source
    array: da.Array = da.from_array(
        source,
        chunks=grid.chunks,
        name=name,
        lock=False,
        inline_array=True,
        meta=np.empty((0,) * grid.ndim, grid.dtype),
    )
    return array


def reader_of(array: object) -> LevelReader | None:
    """Return the reader behind a dask array of ours; None for any other array."""
    return _readers.get(getattr(array, "name", ""))
