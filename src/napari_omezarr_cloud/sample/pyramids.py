"""Pyramids of the sample images: planned levels, 2× coarsening, OME-Zarr 0.5 on disk.

zarr lays down the arrays; ome-zarr-py writes the metadata around them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import zarr
    from numpy.typing import NDArray

UNITS = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}
TYPES = {"t": "time", "c": "channel"}


@dataclass(frozen=True)
class PlannedLevel:
    """One level of a pyramid, over the spatial axes only."""

    shape: tuple[int, ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]  # of the centre of the first pixel
    factors: tuple[int, ...]  # 1 or 2 per axis, from the level before


def plan_levels(
    shape: tuple[int, ...], spacing: tuple[float, ...], smallest: int
) -> list[PlannedLevel]:
    """Halve y and x until both are at most ``smallest``, and z once it is as fine as x.

    Parameters
    ----------
    shape, spacing
        Of full resolution, axes (z,) y, x.
    smallest
        Pixels along y or x that need no coarser level.

    Returns
    -------
    list of PlannedLevel
        From fine to coarse. Odd sizes are rounded up: the last pixel lies half outside.
    """
    ones = tuple(1 for _ in shape)
    levels = [PlannedLevel(shape, spacing, tuple(0.0 for _ in shape), ones)]
    while max(levels[-1].shape[-2:]) > smallest:
        last = levels[-1]
        factors = tuple(2 if step <= last.scale[-1] else 1 for step in last.scale)
        levels.append(
            PlannedLevel(
                tuple(-(-n // f) for n, f in zip(last.shape, factors, strict=True)),
                tuple(s * f for s, f in zip(last.scale, factors, strict=True)),
                tuple(
                    t + s * (f - 1) / 2
                    for t, s, f in zip(last.translation, last.scale, factors, strict=True)
                ),
                factors,
            )
        )
    return levels


def coarsen(image: NDArray[Any], factors: Sequence[int]) -> NDArray[Any]:
    """Return the rounded mean of each block over the last axes, unsigned integers only."""
    blocks = list(_corners(image, factors))
    total = blocks[0].astype(np.uint32)
    for block in blocks[1:]:
        total += block
    mean: NDArray[Any] = (total + len(blocks) // 2) // len(blocks)
    return mean.astype(image.dtype)


def coarsen_labels(labels: NDArray[Any], factors: Sequence[int]) -> NDArray[Any]:
    """Return the most frequent label of each block; among equals the one that comes first."""
    blocks = list(_corners(labels, factors))
    best = blocks[0].copy()
    best_count = np.zeros(best.shape, np.uint8)
    for block in blocks:
        count = np.zeros(best.shape, np.uint8)
        for other in blocks:
            count += other == block
        better = count > best_count
        best[better], best_count[better] = block[better], count[better]
    return best


def _corners(image: NDArray[Any], factors: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Yield one view per pixel of a block; an odd edge is repeated."""
    axes = range(image.ndim - len(factors), image.ndim)
    missing = {axis: -image.shape[axis] % f for axis, f in zip(axes, factors, strict=True)}
    if any(missing.values()):
        image = np.pad(image, [(0, missing.get(axis, 0)) for axis in range(image.ndim)], "edge")
    for starts in product(*(range(f) for f in factors)):
        steps = (slice(start, None, f) for start, f in zip(starts, factors, strict=True))
        picked: tuple[Any, ...] = (..., *steps)
        yield image[picked]


def create_arrays(
    folder: Path,
    axes: str,
    levels: Sequence[PlannedLevel],
    leading: tuple[int, ...],
    dtype: str,
    chunks: tuple[int, ...],
) -> list[zarr.Array[Any]]:
    """Create empty arrays ``s0``, ``s1`` … in a new zarr v3 group.

    Parameters
    ----------
    folder
        Where the group comes to lie.
    axes
        Their names, as ``"tczyx"``.
    levels, leading
        Spatial levels, and the lengths of the axes before the spatial ones.
    dtype
        Of the pixels.
    chunks
        Per axis, cut to the shape of small levels.
    """
    import zarr
    from zarr.codecs import BloscCodec

    group = zarr.open_group(folder, mode="w-", zarr_format=3)
    arrays: list[zarr.Array[Any]] = []
    for number, level in enumerate(levels):
        shape = leading + level.shape
        arrays.append(
            group.create_array(
                f"s{number}",
                shape=shape,
                dtype=dtype,
                chunks=tuple(min(c, n) for c, n in zip(chunks, shape, strict=True)),
                compressors=BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"),
                dimension_names=list(axes),
            )
        )
    return arrays


def write_metadata(
    folder: Path,
    axes: str,
    levels: Sequence[PlannedLevel],
    *,
    interval_s: float | None = None,
    has_units: bool = True,
    omero: dict[str, Any] | None = None,
) -> None:
    """Write ``multiscales`` and ``omero``; last, so that a broken run is not taken for an image."""
    import zarr
    from ome_zarr.format import FormatV05
    from ome_zarr.writer import write_multiscales_metadata

    steps = {"t": interval_s or 1.0}
    leading = [steps.get(name, 1.0) for name in axes[: len(axes) - len(levels[0].shape)]]
    datasets = [
        {
            "path": f"s{number}",
            "coordinateTransformations": [
                {"type": "scale", "scale": [*leading, *level.scale]},
                {"type": "translation", "translation": [0.0] * len(leading) + [*level.translation]},
            ],
        }
        for number, level in enumerate(levels)
    ]
    described = [{"name": name, "type": TYPES.get(name, "space")} for name in axes]
    for axis in described:
        if has_units and axis["name"] in UNITS:
            axis["unit"] = UNITS[axis["name"]]
    group = zarr.open_group(folder, mode="r+")
    write_multiscales_metadata(
        group,
        datasets,
        fmt=FormatV05(),
        axes=described,
        name=folder.name.removesuffix(".ome.zarr"),
        metadata={"omero": omero} if omero else {},
    )


def channel(label: str, color: str, start: int, end: int, top: int) -> dict[str, Any]:
    """Return an omero channel with a window from ``start`` to ``end`` out of 0 to ``top``."""
    window = {"min": 0, "max": top, "start": start, "end": end}
    return {"label": label, "color": color, "active": True, "window": window}
