"""Cells of a mosaic: how large they are on each level, and how each is cut into chunks. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_omezarr_cloud.pyramid.region import Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.pyramid.region import Index

__all__ = ["CellAxis", "cell_axis", "cell_of"]

_GAP = 0.02
"""Of a tile's length; a plate should look like one, and waste little of the window."""
_MOST_STRETCH = 0.25
"""How much longer than a tile a cell may get for the sake of whole factors between levels."""


@dataclass(frozen=True)
class CellAxis:
    """Cells along one axis: per level, in voxels of that level."""

    pitches: tuple[int, ...]
    """From the start of one cell to that of the next."""
    chunks: tuple[int, ...]
    """Whole parts of the pitch, so that each chunk lies in one cell."""
    scales: tuple[float, ...]
    """Size of a voxel, such that a cell is as long on all levels."""

    def locate(self, level: int, start: int, stop: int) -> tuple[int, int, int]:
        """Return the cell of a span that lies in one, and the span relative to the cell."""
        pitch = self.pitches[level]
        cell = start // pitch
        return cell, start - cell * pitch, stop - cell * pitch


def cell_axis(
    sizes: Sequence[int],
    chunks: Sequence[int],
    scales: Sequence[float],
    length: float | None = None,
) -> CellAxis:
    """Return cells along one axis that hold tiles with a small gap behind each.

    Parameters
    ----------
    sizes, chunks, scales
        Of a tile per level, fine to coarse: voxels, voxels per chunk, length of a voxel.
    length
        Of a cell, in the unit of the scales; None: as the tile needs.

    Notes
    -----
    Where levels differ by whole factors, cells do too, so that voxels of the mosaic lie exactly
    where those of the tiles do. A chunk of the mosaic is a tile's chunk or a bit less: the cell
    divided by a power of two.
    """
    parts = [
        1 << (math.ceil(size / chunk) - 1).bit_length()
        for size, chunk in zip(sizes, chunks, strict=True)
    ]
    if length is None:
        length = _first_pitch(sizes, parts, scales) * scales[0]
    pitches = [max(1, round(length / scale)) for scale in scales]
    for n, pitch in enumerate(pitches):
        while pitch % parts[n]:
            parts[n] //= 2
    return CellAxis(
        tuple(pitches),
        tuple(pitch // part for pitch, part in zip(pitches, parts, strict=True)),
        tuple(length / pitch for pitch in pitches),
    )


def _first_pitch(sizes: Sequence[int], parts: Sequence[int], scales: Sequence[float]) -> int:
    """Return the pitch of level 0: the tile and a gap, in whole chunks on all levels if it can."""
    factors = [_whole(scale / scales[0]) for scale in scales]
    longest = max(size * scale / scales[0] for size, scale in zip(sizes, scales, strict=True))
    # One voxel of the coarsest level at least, so that neighbours stay apart there.
    coarsest = max(scale / scales[0] for scale in scales)
    gap = max(1.0, longest * _GAP, min(coarsest, longest * _MOST_STRETCH))
    step = parts[0]
    for factor, part in zip(factors, parts, strict=True):
        wider = math.lcm(step, factor * part) if factor is not None else 0
        if 0 < wider <= max(longest * _MOST_STRETCH, parts[0]):
            step = wider
    return math.ceil((longest + gap) / step) * step


def _whole(ratio: float) -> int | None:
    factor = round(ratio)
    return factor if factor >= 1 and abs(ratio - factor) < 1e-3 * factor else None


def cell_of(
    axes: tuple[CellAxis, CellAxis], level: int, region: Region, at: tuple[int, int]
) -> tuple[Index, Region]:
    """Return the cell (row, column) that a region lies in, and the region relative to the cell.

    ``at`` gives the positions of y and x among the region's axes; the other axes stay.
    """
    start, stop, cell = list(region.start), list(region.stop), []
    for axis, position in zip(axes, at, strict=True):
        number, start[position], stop[position] = axis.locate(
            level, start[position], stop[position]
        )
        cell.append(number)
    return tuple(cell), Region(tuple(start), tuple(stop))
