"""One task of a write: read, make coarser, write. Blocks, so it is called on ordinary threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import CloudError, WriteError
from napari_omezarr_cloud.pyramid import Index, Region
from napari_omezarr_cloud.store.zarr_store import ZarrStore
from napari_omezarr_cloud.write.codecs import array_document
from napari_omezarr_cloud.write.downsampling import downsample, halo

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.store import ByteStore
    from napari_omezarr_cloud.write.plan import LevelPlan, Plan
    from napari_omezarr_cloud.write.waves import Task, Wave

__all__ = ["Blocks", "Source", "level_document"]

Array = npt.NDArray[Any]


class Source(Protocol):
    """Where the voxels come from. Called on ordinary threads, several at once; may wait."""

    def read(self, level: int, region: Region) -> Array:
        """Return a region of a level, in the order of the plan's axes."""
        ...


def level_document(plan: Plan, level: LevelPlan) -> dict[str, Any]:
    """Return ``.zarray`` or ``zarr.json`` of a level."""
    return array_document(
        zarr_format=2 if plan.version == "0.4" else 3,
        shape=level.shape,
        chunks=level.chunks,
        shards=level.shards,
        dtype=plan.dtype,
        fill_value=plan.fill_value,
        codec=plan.codec,
        dimension_names=tuple(axis.name for axis in plan.axes),
    )


class Blocks:
    """Runs the tasks of a plan.

    Parameters
    ----------
    plan
        What is written.
    source
        Gives the finest level, or every level of a plan that copies.
    store
        Root of the image that is written; its arrays have no documents before the end.
    on_voxels
        Called with the number of bytes read from the source, and of voxels' bytes written; from
        any thread.
    is_cancelled
        Asked before each block.
    """

    def __init__(
        self,
        plan: Plan,
        source: Source,
        store: ByteStore,
        *,
        on_voxels: Callable[[int, int], None] = lambda read, written: None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._plan = plan
        self._source = source
        self._where = store.where
        self._on_voxels = on_voxels
        self._is_cancelled = is_cancelled
        self._arrays = [_array(store, plan, level) for level in plan.levels]

    def run(self, wave: Wave, task: Task) -> None:
        """Make all blocks of a task; doing it again changes nothing.

        Raises
        ------
        CloudError
            If the source cannot be read, or the target not be written.
        """
        self._made(wave, wave.top, task.index)

    def _made(self, wave: Wave, number: int, index: Index) -> Array | None:
        """Make a unit of a level, and all below it; None where all of it is fill value."""
        if self._is_cancelled():
            raise WriteError("Writing was cancelled", where=self._where)
        region = wave.region(number, index)
        block = (
            self._first(number, region)
            if number == wave.base
            else self._from_finer(wave, number, region)
        )
        if block is None or not (block != self._plan.fill_value).any():
            return None
        self._write(number, region, block)
        return block

    def _first(self, number: int, region: Region) -> Array:
        if number == 0 or self._plan.copied:
            block = self._source.read(number, region)
            self._on_voxels(block.nbytes, 0)
            return block.astype(self._plan.dtype, copy=False)
        level = self._plan.levels[number]
        finer = self._plan.levels[number - 1].shape
        inner = _finer(region, level.factors).within(finer)
        margin = [halo(self._plan.method, f) for f in level.factors]
        outer = inner.grow(margin).within(finer)
        around = self._arrays[number - 1][outer.slices]
        return downsample(around, level.factors, self._plan.method, inner.relative_to(outer))

    def _from_finer(self, wave: Wave, number: int, region: Region) -> Array | None:
        """Put a unit together of the finer ones it covers."""
        level, finer = self._plan.levels[number], self._plan.levels[number - 1]
        covered = _finer(region, level.factors).within(finer.shape)
        block: Array | None = None
        first = tuple(a // u for a, u in zip(covered.start, wave.unit, strict=True))
        stop = tuple(-(-b // u) for b, u in zip(covered.stop, wave.unit, strict=True))
        for offset in np.ndindex(*(b - a for a, b in zip(first, stop, strict=True))):
            index = tuple(a + o for a, o in zip(first, offset, strict=True))
            part = self._made(wave, number - 1, index)
            if part is None:
                continue
            if block is None:
                block = np.full(region.shape, self._plan.fill_value, self._plan.dtype)
            start = tuple(
                a // f
                for a, f in zip(wave.region(number - 1, index).start, level.factors, strict=True)
            )
            coarse = downsample(part, level.factors, self._plan.method)
            stops = tuple(a + n for a, n in zip(start, coarse.shape, strict=True))
            block[Region(start, stops).relative_to(region)] = coarse
        return block

    def _write(self, number: int, region: Region, block: Array) -> None:
        try:
            self._arrays[number][region.slices] = block
        except CloudError:
            raise
        except OSError as error:
            raise WriteError(
                "Could not write",
                where=self._where,
                key=self._plan.levels[number].path,
                why=error.strerror or str(error),
                hint="What was written is kept; free some room and resume.",
            ) from error
        self._on_voxels(0, block.nbytes)


class _NewArrays(ZarrStore):
    """A store in which every chunk is new, so that one which is all fill value costs no request."""

    async def delete(self, key: str) -> None:
        """Leave what is not there: zarr deletes each chunk that it does not store."""


def _finer(region: Region, factors: tuple[int, ...]) -> Region:
    return Region(
        tuple(a * f for a, f in zip(region.start, factors, strict=True)),
        tuple(b * f for b, f in zip(region.stop, factors, strict=True)),
    )


def _array(store: ByteStore, plan: Plan, level: LevelPlan) -> Any:
    """Return the array without storing its document: until that is there, it cannot be opened."""
    import zarr
    from zarr.storage import StorePath

    place = StorePath(_NewArrays(store, read_only=False), level.path)
    return zarr.Array.from_dict(place, level_document(plan, level))
