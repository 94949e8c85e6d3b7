"""Levels, chunks and shards where nobody says which: chosen from shape and voxel size. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import WriteError
from napari_omezarr_cloud.ngff.units import micrometres

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.ngff import Axis

__all__ = [
    "chunks_of",
    "fitting",
    "isotropic_factors",
    "refused",
    "repeated",
    "shards_of",
    "steps_of_levels",
]

_COARSEST = 256
"""Voxels per axis of space below which no coarser level is made: about a thumbnail."""
_PLANAR_BYTES, _VOLUME_BYTES = 2**20, 2**21
_SHARD_BYTES = 2**26
_MANY_OBJECTS = 1000
"""Chunks of an image from which on they are put into shards, unless told otherwise."""


def isotropic_factors(
    shape: Sequence[int], scale: Sequence[float], axes: Sequence[Axis]
) -> tuple[int, ...]:
    """Return by how much the next level is coarser per axis, 1 or 2, so that voxels become cubes.

    An axis of space is halved where that brings its voxel size nearer to that of the finest axis
    (as a ratio), and where anything is left of it.
    """
    sizes = {
        n: step * (micrometres(axis.unit) or 1.0)
        for n, (axis, step, length) in enumerate(zip(axes, scale, shape, strict=True))
        if axis.type == "space" and length > 1
    }
    finest = min((size for n, size in sizes.items() if shape[n] > _COARSEST // 16), default=0.0)
    halved = {n for n, size in sizes.items() if size <= math.sqrt(2) * finest}
    return tuple(2 if n in halved else 1 for n in range(len(shape)))


def repeated(
    step: Sequence[int], shape: Sequence[int], level_count: int | None
) -> tuple[tuple[int, ...], ...]:
    """Return factors that are the same for every coarser level.

    Parameters
    ----------
    step
        Per axis.
    shape
        Of the finest level.
    level_count
        How many levels; None: until the axes that become coarser are about those of a thumbnail.

    Raises
    ------
    WriteError
        If they are not one number for each axis.
    """
    step = fitting("factors", step, len(shape))
    found: list[tuple[int, ...]] = []
    lengths = [n for n, factor in zip(shape, step, strict=True) if factor > 1]
    factor = max(step, default=1)
    longest = max(lengths, default=0)
    while len(found) < level_count - 1 if level_count is not None else longest > _COARSEST:
        found.append(step)
        longest = -(-longest // factor)
    return tuple(found)


def steps_of_levels(
    shape: Sequence[int],
    scale: Sequence[float],
    axes: Sequence[Axis],
    factors: Sequence[Sequence[int]] | None,
    level_count: int | None,
) -> list[tuple[int, ...]]:
    """Return by how much each coarser level is coarser than the one before, per axis.

    Parameters
    ----------
    shape, scale, axes
        Of the finest level.
    factors
        If somebody says which; None: as `isotropic_factors`, down to about a thumbnail.
    level_count
        How many levels at most, the finest among them; None: as many as that takes.

    Raises
    ------
    WriteError
        If there would be no level, or factors are not one number for each axis.
    """
    if level_count is not None and level_count < 1:
        raise refused(f"it would have {level_count} levels", "Write one level at least.")
    if factors is not None:
        steps = [fitting("factors", step, len(shape)) for step in factors]
        return steps if level_count is None else steps[: level_count - 1]
    steps = []
    shape, scale = tuple(shape), tuple(scale)
    space = [n for n, axis in enumerate(axes) if axis.type == "space"]
    while level_count is None or len(steps) < level_count - 1:
        if max((shape[n] for n in space), default=0) <= _COARSEST and level_count is None:
            break
        step = isotropic_factors(shape, scale, axes)
        if set(step) == {1}:
            break
        steps.append(step)
        shape = tuple(-(-a // f) for a, f in zip(shape, step, strict=True))
        scale = tuple(a * f for a, f in zip(scale, step, strict=True))
    return steps


def chunks_of(shape: Sequence[int], axes: Sequence[Axis], itemsize: int) -> tuple[int, ...]:
    """Return squares of a plane, or flat bricks of a volume: both are quick to look through."""
    plane = [n for n, axis in enumerate(axes) if axis.type == "space"][-2:]
    depth = [n for n, axis in enumerate(axes) if axis.type == "space" and n not in plane]
    deep = math.prod(shape[n] for n in depth) > 1
    found = [1] * len(shape)
    budget = (_VOLUME_BYTES if deep else _PLANAR_BYTES) // itemsize
    for n in depth:
        found[n] = min(16, shape[n])
        budget //= found[n]
    edge = 2 ** int(math.log2(max(1.0, budget)) / 2) if plane else 1
    for n in plane:
        found[n] = edge
    return tuple(found)


def shards_of(
    shards: Sequence[int] | str | None,
    chunks: tuple[int, ...],
    shapes: Sequence[tuple[int, ...]],
    itemsize: int,
    version: str,
) -> tuple[int, ...] | None:
    """Return the voxels per axis of an object; None: each chunk is one.

    Parameters
    ----------
    shards
        If somebody says so, else "auto" (where there are many chunks), "always", or None.
    chunks, shapes
        Of all levels, and of each.
    itemsize
        Bytes of a voxel.
    version
        Of OME-Zarr.

    Raises
    ------
    WriteError
        If they are no multiples of the chunks, or the version has none.
    """
    if shards is None or (version == "0.4" and shards == "auto"):
        return None
    if version == "0.4":
        raise refused("OME-Zarr 0.4 has no shards", "Write version 0.5, or without shards.")
    if not isinstance(shards, str):
        found = fitting("shards", shards, len(chunks))
        if any(s % c for s, c in zip(found, chunks, strict=True)):
            raise refused(
                f"shards of {found} are no whole number of chunks of {chunks}",
                "Take multiples of the chunks.",
            )
        return None if found == chunks else found
    counts = [[-(-n // c) for n, c in zip(shape, chunks, strict=True)] for shape in shapes]
    if shards == "auto" and sum(map(math.prod, counts)) <= _MANY_OBJECTS:
        return None
    # Doubled along the axes with the most chunks in turn, so that shards are as cubic as chunks.
    found_shards, left = list(chunks), list(counts[0])
    while math.prod(found_shards) * itemsize * 2 <= _SHARD_BYTES and max(left) > 1:
        axis = len(left) - 1 - left[::-1].index(max(left))
        found_shards[axis] *= 2
        left[axis] = -(-left[axis] // 2)
    return tuple(found_shards)


def fitting(what: str, value: Sequence[int], n: int) -> tuple[int, ...]:
    """Return numbers that somebody gave, one for each of so many axes; else raises `WriteError`."""
    found = tuple(int(v) for v in value)
    if len(found) != n or any(v < 1 for v in found):
        raise refused(
            f"{what} {tuple(value)} are not {n} whole numbers of 1 and more",
            "Give one for each axis.",
        )
    return found


def refused(why: str, hint: str) -> WriteError:
    """Return the error of a plan that cannot be."""
    return WriteError("Could not plan the image", why=why, hint=hint)
