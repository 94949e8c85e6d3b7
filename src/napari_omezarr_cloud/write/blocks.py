"""One task of a write: read, make coarser, write. Blocks, so it is called on ordinary threads."""

from __future__ import annotations

import asyncio
import math
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import WriteError
from napari_omezarr_cloud.pyramid import Index, Region
from napari_omezarr_cloud.pyramid.region import chunk_region, chunks_touching
from napari_omezarr_cloud.store import io_thread
from napari_omezarr_cloud.store.zarr_store import ZarrStore
from napari_omezarr_cloud.write.downsampling import downsample, halo
from napari_omezarr_cloud.write.encoding import Encoder, is_all, level_document
from napari_omezarr_cloud.write.waves import finer_region

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from napari_omezarr_cloud.store import ByteStore
    from napari_omezarr_cloud.write.plan import Plan
    from napari_omezarr_cloud.write.waves import Task, Wave

__all__ = ["Blocks", "Source", "Tree"]

Array = npt.NDArray[Any]


class Source(Protocol):
    """Where the voxels come from. Called on ordinary threads, several at once; may wait."""

    def read(self, level: int, region: Region) -> Array:
        """Return a region of a level, in the order of the plan's axes."""
        ...


class Blocks:
    """What all tasks of a plan share: where voxels come from, and where they go.

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
        self.plan = plan
        self.on_voxels = on_voxels
        self.encoders = [Encoder(plan, level) for level in plan.levels]
        self._source = source
        self._store = store
        self._is_cancelled = is_cancelled

    def check(self) -> None:
        """Raise a `WriteError` if the write was cancelled."""
        if self._is_cancelled():
            raise WriteError("Writing was cancelled", where=self._store.where)

    def first(self, number: int, region: Region) -> Array:
        """Return voxels of the finest level of a wave, of the source or of the level before."""
        if number == 0 or self.plan.copied:
            block = self._source.read(number, region)
            self.on_voxels(block.nbytes, 0)
            return block.astype(self.plan.dtype, copy=False)
        factors, method = self.plan.levels[number].factors, self.plan.method
        finer = self.plan.levels[number - 1].shape
        inner = finer_region(region, factors, finer)
        outer = inner.grow([halo(method, f) for f in factors]).within(finer)
        return downsample(self.stored(number - 1, outer), factors, method, inner.relative_to(outer))

    def stored(self, number: int, region: Region) -> Array:
        """Return voxels that are written already."""
        from zarr import AsyncArray
        from zarr.storage import StorePath

        # The array's document is not there yet: until it is, nobody can open the array.
        level = self.plan.levels[number]
        place = StorePath(ZarrStore(self._store), level.path)
        document = level_document(self.plan, level)
        array = AsyncArray.from_dict(place, document)
        pixels: Array = np.asarray(io_thread().wait(array.getitem(region.slices)))
        return pixels

    def put(self, objects: list[tuple[str, bytes]]) -> None:
        """Write objects, all at once."""

        async def put_all() -> None:
            await asyncio.gather(*(self._store.put(key, raw) for key, raw in objects))

        if objects:
            io_thread().wait(put_all())


@dataclass
class _Shard:
    """A shard that is not whole yet."""

    left: int
    """Chunks that are still to come, or to turn out as nothing."""
    chunks: dict[Index, bytes] = field(default_factory=dict)


@dataclass
class _Coarse:
    """A block that is put together of finer ones."""

    left: int
    """Voxels that are still to come."""
    block: Array | None = None
    """None: all that came is fill value."""


class Tree:
    """One task under way: its blocks in any order, from several threads.

    Parameters
    ----------
    blocks
        Of the whole write.
    wave, task
        Which of its tasks.
    finished
        Units, by the voxel that they start at, that an earlier run has written: these are read back
        from there.
    on_unit
        Called when another unit is written, unless that is all of the task.
    """

    def __init__(
        self,
        blocks: Blocks,
        wave: Wave,
        task: Task,
        finished: Collection[Index] = (),
        on_unit: Callable[[Index], None] | None = None,
    ) -> None:
        self.wave, self.task = wave, task
        self._blocks = blocks
        self._plan = blocks.plan
        self._finished = finished
        self._on_unit = on_unit
        self._lock = threading.Lock()
        self._left = wave.block_count_of(wave.region_of(task))
        self._units: dict[Index, int] = {}
        self._shards: dict[tuple[int, Index], _Shard] = {}
        self._coarse: dict[tuple[int, Index], _Coarse] = {}

    def leaves(self) -> Iterator[Index]:
        """Yield the blocks of the finest level, in the order in which shards soon are whole."""
        for unit in self.wave.units(self.task):
            yield from self.wave.blocks(unit)

    def is_finished(self, index: Index) -> bool:
        """Tell whether an earlier run has written a block."""
        return self._unit(index) in self._finished

    def make(self, index: Index) -> bool:
        """Make a block of the finest level, and of the coarser ones what it was the last part of.

        Doing it again changes nothing.

        Returns
        -------
        bool
            Whether that was the last block of the task.

        Raises
        ------
        CloudError
            If the source cannot be read, or the target not be written.
        """
        self._blocks.check()
        base, unit = self.wave.base, self._unit(index)
        region = self.wave.block_region(base, index)
        if unit in self._finished:
            self._made(base, index, self._blocks.stored(base, region), is_stored=True)
        else:
            self._made(base, index, self._blocks.first(base, region))
        with self._lock:
            self._left -= 1
            if unit not in self._units:
                whole = chunk_region(self._at(unit), self.wave.unit, self.wave.shape(base))
                self._units[unit] = self.wave.block_count_of(whole)
            self._units[unit] -= 1
            is_last, is_unit = not self._left, not self._units[unit]
        if self._on_unit and is_unit and not is_last and unit not in self._finished:
            self._on_unit(unit)
        return is_last

    def _unit(self, index: Index) -> Index:
        """Return where the unit of a block starts."""
        starts = (i * b for i, b in zip(index, self.wave.block, strict=True))
        return tuple(a - a % u for a, u in zip(starts, self.wave.unit, strict=True))

    def _at(self, unit: Index) -> Index:
        return tuple(a // u for a, u in zip(unit, self.wave.unit, strict=True))

    def _made(
        self, number: int, index: Index, block: Array | None, *, is_stored: bool = False
    ) -> None:
        """Write a block, and hand it up to the coarser one that it is a part of."""
        region = self.wave.block_region(number, index)
        if block is not None and is_all(block, self._plan.fill_value):
            block = None
        if not is_stored:
            self._write(number, region, block)
        if number == self.wave.top:
            return
        factors = self._plan.levels[number + 1].factors
        start = tuple(a // f for a, f in zip(region.start, factors, strict=True))
        shape = tuple(-(-n // f) for n, f in zip(region.shape, factors, strict=True))
        coarse = None if block is None else downsample(block, factors, self._plan.method)
        above = tuple(a // b for a, b in zip(start, self.wave.block, strict=True))
        part = Region(start, tuple(a + n for a, n in zip(start, shape, strict=True)))
        del block
        whole = self._joined(number + 1, above, part, coarse)
        if whole is not None:
            self._made(number + 1, above, whole.block)

    def _joined(
        self, number: int, index: Index, part: Region, voxels: Array | None
    ) -> _Coarse | None:
        """Put a part into a coarser block; return that if it is whole now."""
        region = self.wave.block_region(number, index)
        with self._lock:
            coarse = self._coarse.setdefault((number, index), _Coarse(region.size))
            if voxels is not None and coarse.block is None:
                coarse.block = np.full(region.shape, self._plan.fill_value, self._plan.dtype)
        if voxels is not None and coarse.block is not None:
            coarse.block[part.relative_to(region)] = voxels
        with self._lock:
            coarse.left -= math.prod(part.shape)
            return None if coarse.left else self._coarse.pop((number, index))

    def _write(self, number: int, region: Region, block: Array | None) -> None:
        encoder = self._blocks.encoders[number]
        encoded = {} if block is None else dict(encoder.chunks(region, block))
        if encoder.level.shards is None:
            self._blocks.put([(encoder.key(index), raw) for index, raw in encoded.items()])
        else:
            self._blocks.put(self._whole_shards(number, region, encoded))
        if block is not None:
            self._blocks.on_voxels(0, block.nbytes)

    def _whole_shards(
        self, number: int, region: Region, encoded: dict[Index, bytes]
    ) -> list[tuple[str, bytes]]:
        """Keep chunks for their shards; return the shards that are whole now."""
        encoder = self._blocks.encoders[number]
        whole = []
        with self._lock:
            for index in chunks_touching(region, encoder.level.chunks):
                at = encoder.object_of(index)
                shard = self._shards.get((number, at))
                if shard is None:
                    shard = self._shards[number, at] = _Shard(encoder.chunk_count(at))
                shard.left -= 1
                if index in encoded:
                    shard.chunks[index] = encoded.pop(index)
                if not shard.left:
                    whole.append((at, self._shards.pop((number, at))))
        return [
            (encoder.key(at), encoder.shard(shard.chunks)) for at, shard in whole if shard.chunks
        ]
