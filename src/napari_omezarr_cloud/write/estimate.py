"""What a write will take: told before it begins, from one block that is read and computed."""

from __future__ import annotations

import math
import os
import threading
import time
import tracemalloc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.pyramid import Region
from napari_omezarr_cloud.write.downsampling import downsample
from napari_omezarr_cloud.write.encoding import Encoder
from napari_omezarr_cloud.write.merging import (
    FACES_KEPT,
    packed_labels,
    renumbered,
    touching,
    unpacked_faces,
)
from napari_omezarr_cloud.write.sizes import bytes_text
from napari_omezarr_cloud.write.waves import blocks_at_once, waves

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.write.merging import Merging
    from napari_omezarr_cloud.write.plan import Plan
    from napari_omezarr_cloud.write.sources import ViewSource
    from napari_omezarr_cloud.write.waves import Wave

__all__ = ["Estimate", "duration_text", "estimate"]

_COPIES = 3
"""Arrays of float64 that an operation makes of a block, where that is not measured."""
_QUICK = 5.0
"""Seconds; what takes longer is not measured twice."""
_REST = 60 * 10**6
"""Bytes that a write takes besides, as measured: what pools of threads and the allocator hold."""
_PER_OBJECT = 48
"""Bytes that an object of a block takes while it is joined with those of others, as measured."""

_tracing = threading.Lock()


@dataclass(frozen=True)
class Estimate:
    """What a write takes, about."""

    block_count: int
    """Blocks of the finest level, each read and computed by itself."""
    bytes_read: int
    """Of the source's voxels, before compression; what lies around blocks is counted again."""
    bytes_written: int
    """Of voxels of all levels, before compression."""
    seconds: float
    """To read, compute and compress all blocks; a slow line to the target comes on top."""
    memory: int
    """Bytes that the blocks under way take; what the program takes anyway comes on top."""

    def after(self, first: Estimate) -> Estimate:
        """Return what it takes with a pass that comes first."""
        return Estimate(
            self.block_count + first.block_count,
            self.bytes_read + first.bytes_read,
            self.bytes_written + first.bytes_written,
            self.seconds + first.seconds,
            max(self.memory, first.memory),
        )

    def __str__(self) -> str:
        blocks = "1 block" if self.block_count == 1 else f"{self.block_count:,} blocks"
        lasts = duration_text(self.seconds)
        lasts = lasts if lasts.startswith("less") else f"about {lasts}"
        return (
            f"{blocks}, about {bytes_text(self.bytes_read)} to read and "
            f"{bytes_text(self.bytes_written)} to write before compression, "
            f"{lasts} to compute, "
            f"about {bytes_text(self.memory)} of memory"
        )


def duration_text(seconds: float) -> str:
    """Return ``"3 minutes"``."""
    if seconds < 1:
        return "less than a second"
    for unit, size in (("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds" if seconds >= 2 else f"{seconds:.1f} seconds"


@dataclass(frozen=True)
class _Sample:
    """What one block took."""

    read_seconds: float
    """Until it was here and computed."""
    store_seconds: float
    """To compress it, and make it coarser."""
    bytes_read: int
    bytes_stored: int
    """Compressed."""
    memory: int
    """Bytes, at the most."""
    objects: int = 0
    """That are to be joined with those of other blocks."""


def _sampled(
    plan: Plan,
    source: ViewSource,
    merging: Merging | None,
    wave: Wave,
    region: Region,
    seen: Region,
) -> _Sample:
    """Read what is computed at once, and compress one block of it."""
    if source.reader is not None:
        source = replace(source, reader=source.reader.sampling())
    before = source.reader.bytes_read if source.reader else 0
    began = time.perf_counter()
    pixels = source.read(0, seen)
    here = time.perf_counter()
    read = source.reader.bytes_read - before if source.reader else pixels.nbytes
    block = pixels[region.relative_to(seen)].astype(plan.dtype, copy=False)
    objects = 0 if merging is None else _rehearsed(block, merging)
    stored = sum(len(raw) for _, raw in Encoder(plan, plan.levels[0]).chunks(region, block))
    if wave.top > wave.base:
        downsample(block, plan.levels[1].factors, plan.method)
    # Unless it is traced: a float64 copy for each axis of a filter, and the result.
    memory = read + seen.size * (8 * _COPIES + block.dtype.itemsize)
    return _Sample(here - began, time.perf_counter() - here, read, stored, memory, objects)


def _rehearsed(block: npt.NDArray[Any], merging: Merging) -> int:
    """Do to the labels of a block what joining does, and return how many there are."""
    kept, packed = packed_labels(block, merging.space)
    faces = unpacked_faces(packed)
    count = int(faces["count"])
    if count:
        renumbered(kept, np.arange(count), block.dtype)
        for axis in merging.space:
            free = [each for each in merging.space if each != axis]
            last, first = faces[f"{axis}last"], faces[f"{axis}first"]
            touching(last, first, free, merging.connectivity - 1)
    return count


def _traced(sample: Callable[[], _Sample]) -> _Sample:
    """Take a sample and measure what memory it takes; what others do meanwhile counts, too."""
    with _tracing:
        if tracemalloc.is_tracing():  # somebody else's, with his numbers
            return sample()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            found = sample()
            return replace(found, memory=tracemalloc.get_traced_memory()[1] - before)
        finally:
            tracemalloc.stop()


def estimate(
    plan: Plan,
    source: ViewSource,
    *,
    merging: Merging | None = None,
    has_passes: bool = False,
    threads: int | None = None,
) -> Estimate:
    """Return what a write takes, from the block in the middle of it; reads that, and waits.

    Parameters
    ----------
    plan, source, merging
        What would be written, and from what.
    has_passes
        Whether some of it will have been written before, which is not counted.
    threads
        As it will be written with; None: as many as `blocks_at_once` says.

    Raises
    ------
    CloudError
        If the block cannot be read or computed.
    """
    if source.reader is not None:
        source = replace(source, reader=source.reader.sampling())  # for both samples
    wave = waves(plan)[0]
    region = wave.block_region(0, tuple(n // 2 for n in wave.block_counts))
    # What steps compute at once serves all blocks of it.
    seen = region.along(source.at_once, Region.whole(wave.shape(0)))
    began = time.perf_counter()
    sample = _sampled(plan, source, merging, wave, region, seen)
    if time.perf_counter() - began < _QUICK or has_passes:
        # What a first call loads and prepares, no other block pays; nor what passes will have done.
        sample = _traced(lambda: _sampled(plan, source, merging, wave, region, seen))
    at_once = min(threads or blocks_at_once(plan, wave), wave.block_count)
    # Blocks at the borders are smaller than the others.
    voxels = math.prod(wave.shapes[0])
    reading = voxels / seen.size * sample.read_seconds
    storing = plan.nbytes / (region.size * np.dtype(plan.dtype).itemsize) * sample.store_seconds
    memory = sample.memory * (1 if source.at_once else at_once)
    return Estimate(
        block_count=wave.block_count,
        bytes_read=round(sample.bytes_read * voxels / seen.size),
        bytes_written=plan.nbytes,
        seconds=(reading + storing) / min(at_once, os.cpu_count() or 1),
        memory=memory + _waiting(plan, wave, sample, at_once, merging),
    )


def _waiting(plan: Plan, wave: Wave, sample: _Sample, at_once: int, merging: Merging | None) -> int:
    """Return the bytes that wait: what is sent, coarser blocks, shards, borders of objects."""
    itemsize, stored = np.dtype(plan.dtype).itemsize, sample.bytes_stored
    block = math.prod(wave.block)
    # Compressed, it is there twice while it is sent.
    total = _REST + at_once * 2 * stored
    for level in range(wave.base + 1, wave.top + 1):
        cell = zip(wave.cell(level), wave.factors[level - wave.base], strict=True)
        total += math.prod(n // f for n, f in cell) * itemsize
    if plan.levels[0].shards is not None:
        shard = stored / block * math.prod(wave.unit)
        # Of each level one is filled; of the finest, one more is sent.
        total += round(shard * (2 + wave.top - wave.base))
    if merging is not None:
        borders = sum(2 * block // wave.block[axis] for axis in merging.space) * 4
        total += min(FACES_KEPT, wave.block_count) * borders
        total += sample.objects * wave.block_count * _PER_OBJECT
    return total
