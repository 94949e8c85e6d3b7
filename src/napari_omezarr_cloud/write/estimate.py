"""What a write will take: told before it begins, from one block that is read and computed."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_omezarr_cloud.pyramid import Region
from napari_omezarr_cloud.write.waves import waves

if TYPE_CHECKING:
    from napari_omezarr_cloud.write.plan import Plan
    from napari_omezarr_cloud.write.sources import ViewSource

__all__ = ["Estimate", "duration_text", "estimate"]

_COPIES = 3
"""Arrays of float64 that an operation makes of a block, its result among them."""
_QUICK = 5.0
"""Seconds; what takes longer is not measured twice."""


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
    """To read and compute all blocks; what writing takes comes on top where it is slower."""
    memory: int
    """Bytes that the blocks under way take; what the program takes anyway comes on top."""

    def __str__(self) -> str:
        blocks = "1 block" if self.block_count == 1 else f"{self.block_count:,} blocks"
        return (
            f"{blocks}, about {self.bytes_read / 1e6:,.1f} MB to read and "
            f"{self.bytes_written / 1e6:,.1f} MB to write before compression, "
            f"{'' if self.seconds < 1 else 'about '}{duration_text(self.seconds)} to compute, "
            f"about {self.memory / 1e6:,.0f} MB of memory"
        )


def duration_text(seconds: float) -> str:
    """Return ``"3 minutes"``."""
    if seconds < 1:
        return "less than a second"
    for unit, size in (("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds" if seconds >= 2 else f"{seconds:.1f} seconds"


def _measured(source: ViewSource, region: Region) -> tuple[float, int]:
    """Return in how many seconds a region is had, and how many bytes are read for it."""
    if source.reader is not None:
        source = replace(source, reader=source.reader.sampling())
    before = source.reader.bytes_read if source.reader else 0
    began = time.perf_counter()
    block = source.read(0, region)
    seconds = time.perf_counter() - began
    return seconds, source.reader.bytes_read - before if source.reader else block.nbytes


def estimate(plan: Plan, source: ViewSource, *, threads: int | None = None) -> Estimate:
    """Return what a write takes, from the block in the middle of it; reads that, and waits.

    Parameters
    ----------
    plan, source
        What would be written, and from what.
    threads
        As it will be written with; None: as many as there are processors.

    Raises
    ------
    CloudError
        If the block cannot be read or computed.
    """
    wave = waves(plan)[0]
    region = wave.block_region(0, tuple(n // 2 for n in wave.block_counts))
    # What steps compute at once serves all blocks of it.
    region = region.along(source.at_once, Region.whole(wave.shape(0)))
    seconds, read = _measured(source, region)
    if seconds < _QUICK:  # what a first call loads and prepares, no other block pays
        seconds, read = _measured(source, region)
    blocks = wave.block_count
    # Blocks at the borders are smaller than the others.
    share = math.prod(wave.shapes[0]) / region.size
    side_by_side = min(threads or os.cpu_count() or 1, blocks)
    own = read + region.size * (8 * _COPIES + np.dtype(plan.dtype).itemsize)
    return Estimate(
        block_count=blocks,
        bytes_read=round(read * share),
        bytes_written=plan.nbytes,
        seconds=seconds * share / side_by_side,
        memory=own * side_by_side,
    )
