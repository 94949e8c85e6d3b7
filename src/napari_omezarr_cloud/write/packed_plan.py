"""What is written, suited to the kind of file that it becomes. Pure arithmetic."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.errors import WriteError
from napari_omezarr_cloud.pyramid import Grid
from napari_omezarr_cloud.write.packing import packed_as
from napari_omezarr_cloud.write.plan import FOR_COMPLEX, plan_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.ngff import Axis
    from napari_omezarr_cloud.pyramid import Transform
    from napari_omezarr_cloud.write.plan import Plan
    from napari_omezarr_cloud.write.save_plan import SavePlan

__all__ = ["check_packing", "plan_packed", "tiff_chunks", "tiff_dtype"]

_TILE = 512
_SIXTEENTH = 16
"""Sides of tiles are multiples of it (TIFF 6.0, section 15)."""
_COARSEST = 256

_TIFF_DTYPES = ("u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8")
"""Pixel types of OME that others read; complex numbers and bits are others'."""


def plan_packed(
    location: Location,
    levels: Sequence[tuple[Grid, Transform]],
    axes: Sequence[Axis],
    **options: Any,
) -> Plan:
    """Return how an image would be written to a place, as `plan_image` does, and suited to it.

    An ``.ozx`` is sharded, as RFC-9 recommends. An OME-TIFF has square tiles, and levels that are
    coarser along y and x only.

    Parameters
    ----------
    location
        Where to.
    levels
        Shape, dtype and place of the finest level; of several, all are copied as they are.
    axes, **options
        As for `plan_image`.

    Raises
    ------
    WriteError
        As `plan_image`, and if the file cannot hold it.
    """
    if len(levels) == 1:
        plan = _plan_one(location, *levels[0], axes, options)
    else:
        each = {**options, "factors": None, "level_count": 1}
        plans = [_plan_one(location, *level, axes, each) for level in levels]
        copied = tuple(
            replace(plan.levels[0], path=str(number)) for number, plan in enumerate(plans)
        )
        plan = replace(plans[0], levels=copied, copied=True)
    planes = {level.shape[:-2] for level in plan.levels}
    if packed_as(location) == "ome-tiff" and len(planes) > 1:
        raise _refused(
            location,
            "its coarser levels have fewer planes, and in an OME-TIFF all levels have the same",
            "Take levels that are coarser along y and x only, or one of them.",
        )
    return plan


def _plan_one(
    location: Location,
    grid: Grid,
    transform: Transform,
    axes: Sequence[Axis],
    options: dict[str, Any],
) -> Plan:
    kind = packed_as(location)
    if kind == "zip" and options.get("shards", "auto") == "auto":
        shards = "auto" if options.get("version") == "0.4" else "always"
        options = {**options, "shards": shards}
    if kind == "ome-tiff":
        grid = Grid(grid.shape, grid.chunks, tiff_dtype(grid.dtype))
        options = {
            **options,
            "version": "0.5",
            "chunks": tiff_chunks(grid.shape),
            "shards": "auto",
            "codec": "none" if options.get("codec") == "none" else "blosc-lz4",
            "factors": options.get("factors") or _plane_factors(grid.shape, options),
        }
    return plan_image(grid, axes, transform, **options)


def tiff_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which OME-TIFF holds such voxels.

    Raises
    ------
    WriteError
        If it has none.
    """
    kind = np.dtype(dtype)
    wider = {"b1": "u1", "f2": "f4"}.get(kind.str[1:], kind.str[1:])
    if wider not in _TIFF_DTYPES:
        raise WriteError(
            "Could not plan the image",
            why=f"its voxels are {kind.name}, which OME-TIFF has not",
            hint=FOR_COMPLEX if kind.kind == "c" else "Write OME-Zarr, a folder or one .ozx file.",
        )
    return np.dtype(wider)


def tiff_chunks(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the tile of a TIFF: one plane, up to 512 voxels along y and x."""
    sides = (min(_TILE, -(-n // _SIXTEENTH) * _SIXTEENTH) for n in shape[-2:])
    return (*(1 for _ in shape[:-2]), *sides)


def _plane_factors(shape: Sequence[int], options: dict[str, Any]) -> list[tuple[int, ...]]:
    """Halve y and x until the plane is about a thumbnail."""
    count = options.get("level_count")
    found: list[tuple[int, ...]] = []
    side = max(shape[-2:])
    while side > _COARSEST if count is None else (len(found) < count - 1 and side > 1):
        found.append((*(1 for _ in shape[:-2]), 2, 2))
        side = -(-side // 2)
    return found


def check_packing(planned: SavePlan) -> None:
    """Refuse what the file at a plan's place cannot hold.

    Raises
    ------
    WriteError
        If OME-Zarr 0.4 is to go into an ``.ozx``, or labels with their image into an OME-TIFF.
    """
    place = planned.location
    kind = packed_as(place)
    if kind == "zip" and planned.plan.version == "0.4" and place.key.lower().endswith(".ozx"):
        raise _refused(
            place, "an .ozx holds OME-Zarr 0.5", "Write version 0.5, or a file named .zip."
        )
    if kind == "ome-tiff" and planned.labels:
        raise _refused(
            place,
            "an OME-TIFF holds one image, and no label images with it",
            "Save the labels by themselves, or everything as OME-Zarr (.ozx is one file, too).",
        )


def _refused(location: Location, why: str, hint: str) -> WriteError:
    return WriteError("Could not plan the image", where=str(location), why=why, hint=hint)
