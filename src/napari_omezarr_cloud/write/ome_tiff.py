"""An OME-Zarr folder as a pyramidal OME-TIFF, tile by tile: memory does not grow with the image.

References
----------
OME-TIFF specification 6.0: coarser levels are SubIFDs of each plane of the finest one. OME schema
2016-06: ``PhysicalSizeX``, ``TimeIncrement``, ``Plane``, ``Channel`` (its ``Color`` is a signed
RGBA of 32 bits).
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.ngff.units import micrometres, seconds
from napari_omezarr_cloud.write.packed_plan import tiff_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_omezarr_cloud.write.plan import LevelPlan, Plan

__all__ = ["ome_metadata", "write_ome_tiff"]

_CLASSIC_BYTES = 2**32 - 2**25
"""What a TIFF can have that is no BigTIFF, with room for its own tables."""
_TABLE_BYTES = 2**10
"""Of the tables of a plane, about, besides 16 bytes a tile."""
_ROW_BYTES = 2**23
"""What is read at once, so that not every tile costs a call."""
_MOST_PLACES = 10_000
"""Planes whose place is stated one by one; the XML would be as large as the image."""


def write_ome_tiff(
    folder: Path,
    target: Path,
    plan: Plan,
    ome: Mapping[str, Any],
    tick: Callable[[int], None],
    *,
    source: str = "",
) -> None:
    """Write a folder as one OME-TIFF.

    Parameters
    ----------
    folder
        An OME-Zarr that is whole, with a plane a chunk.
    target
        The file; replaced if it is there.
    plan
        What the folder holds.
    ome
        OME metadata of it, of which ``omero`` counts.
    tick
        Told how many bytes of voxels more are in it; what it raises ends it.
    source
        Where the voxels came from, for the description.
    """
    from tifffile import TiffWriter

    first, *coarser = plan.levels
    kind = np.dtype(plan.dtype)
    compression: dict[str, Any] = {"compression": None if plan.codec == "none" else "zlib"}
    if compression["compression"] and kind.kind in "iu":
        compression["predictor"] = 2  # differences of neighbours: deflate finds more in them
    common: dict[str, Any] = {"dtype": kind, "photometric": "minisblack", **compression}
    with TiffWriter(target, bigtiff=_is_big(plan), ome=True, byteorder="<") as tiff:
        tiff.write(
            _tiles(folder, plan, first, tick),
            shape=first.shape,
            tile=tiff_chunks(first.shape)[-2:],
            subifds=len(coarser),
            metadata=ome_metadata(plan, ome, source=source),
            **common,
        )
        for level in coarser:
            tiff.write(
                _tiles(folder, plan, level, tick),
                shape=level.shape,
                tile=tiff_chunks(level.shape)[-2:],
                subfiletype=1,
                metadata=None,
                **common,
            )


def _is_big(plan: Plan) -> bool:
    tables = sum(
        math.prod(level.shape[:-2]) * (_TABLE_BYTES + 16 * len(list(_corners(level))))
        for level in plan.levels
    )
    return plan.nbytes + tables > _CLASSIC_BYTES


def _corners(level: LevelPlan) -> Iterator[tuple[int, int]]:
    tile = tiff_chunks(level.shape)
    yield from itertools.product(
        range(0, level.shape[-2], tile[-2]), range(0, level.shape[-1], tile[-1])
    )


def _tiles(
    folder: Path, plan: Plan, level: LevelPlan, tick: Callable[[int], None]
) -> Iterator[npt.NDArray[Any]]:
    """Yield the tiles of a level, plane by plane and row by row, full of zeros at the edges."""
    import zarr

    array = zarr.open_array(str(folder / level.path), mode="r")
    height, width = tiff_chunks(level.shape)[-2:]
    itemsize = np.dtype(plan.dtype).itemsize
    several = max(1, _ROW_BYTES // (height * width * itemsize)) * width
    rows, columns = level.shape[-2:]
    for plane in np.ndindex(*level.shape[:-2]):
        for y, x in itertools.product(range(0, rows, height), range(0, columns, several)):
            part = np.asarray(array[(*plane, slice(y, y + height), slice(x, x + several))])
            for left in range(0, part.shape[1], width):
                tile = part[:, left : left + width]
                tick(tile.nbytes)
                if tile.shape == (height, width):
                    yield np.ascontiguousarray(tile)
                    continue
                full = np.zeros((height, width), part.dtype)
                full[: tile.shape[0], : tile.shape[1]] = tile
                yield full


def ome_metadata(plan: Plan, ome: Mapping[str, Any], *, source: str = "") -> dict[str, Any]:
    """Return what an OME-TIFF says of an image, as tifffile takes it.

    Parameters
    ----------
    plan
        Axes, voxel size and place; in the order time, channel, z, y, x.
    ome
        OME metadata of it, of which ``omero`` counts.
    source
        Where the voxels came from.
    """
    first = plan.levels[0]
    letters = _letters(plan)
    found: dict[str, Any] = {"axes": "".join(letters)}
    if plan.name:
        found["Name"] = plan.name
    if source:
        found["Description"] = f"A part or copy of {source}"
    place: dict[str, tuple[float, str]] = {}
    for letter, axis, step, start in zip(
        letters, plan.axes, first.scale, first.translation, strict=True
    ):
        if letter == "T" and (size := seconds(axis.unit)) is not None:
            found |= {"TimeIncrement": step * size, "TimeIncrementUnit": "s"}
        if letter in "XYZ":
            size = micrometres(axis.unit)
            unit = "µm" if size is not None else "pixel"
            size = 1.0 if size is None else size
            found[f"PhysicalSize{letter}"] = step * size
            found[f"PhysicalSize{letter}Unit"] = unit
            place[letter] = (start * size, "µm" if unit == "µm" else "reference frame")
    found |= _places(place, math.prod(first.shape[:-2]))
    count = first.shape[letters.index("C")] if "C" in letters else 1
    channels = _channels(ome.get("omero"), count)
    return {**found, "Channel": channels} if channels else found


def _letters(plan: Plan) -> list[str]:
    """Return the axes as OME-TIFF calls them: those of space by their order."""
    space = "ZYX"[-sum(axis.type == "space" for axis in plan.axes) :]
    others = ["T" if axis.type == "time" else "C" for axis in plan.axes if axis.type != "space"]
    return [*others, *space]


def _places(place: Mapping[str, tuple[float, str]], planes: int) -> dict[str, Any]:
    """Return where each plane lies, unless that is where a microscope counts from."""
    if not any(start for start, _ in place.values()) or planes > _MOST_PLACES:
        return {}
    stated: dict[str, Any] = {}
    for letter, (start, unit) in place.items():
        stated[f"Position{letter}"] = [start] * planes
        stated[f"Position{letter}Unit"] = [unit] * planes
    return {"Plane": stated}


def _channels(omero: Any, count: int) -> dict[str, Any]:
    described = omero.get("channels", []) if isinstance(omero, dict) else []
    if len(described) != count:
        return {}
    names: Sequence[str] = [each.get("label") or f"Channel {n}" for n, each in enumerate(described)]
    return {"Name": list(names), "Color": [_color(each.get("color")) for each in described]}


def _color(text: Any) -> int:
    """Return ``"RRGGBB"`` as RGBA in a signed number of 32 bits."""
    rgba = (int(str(text or "FFFFFF"), 16) << 8) | 0xFF
    return rgba - 2**32 if rgba >= 2**31 else rgba
