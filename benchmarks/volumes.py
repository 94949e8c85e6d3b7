"""Volumes to save and to run on: written once, with zarr; cells in noise, or next to nothing."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["CHUNKS", "OPERATIONS", "cells", "nbytes_of", "sparse"]

OPERATIONS = (("Otsu and label", "label"), ("gaussian", "gaussian"))
"""What is run on them, as tables and recipes call it."""

CHUNKS = (16, 256, 256)
_WIDTH, _QUICK_WIDTH = 2048, 256
"""Voxels along y and x."""
_TILE = (16, 256, 256)


def nbytes_of(gib: float) -> int:
    """Return the bytes of so many GiB."""
    return round(gib * 2**30)


def cells(folder: Path, gib: float, *, quick: bool) -> Path:
    """Return a volume of uint16 with bright blobs in noise; it compresses as microscopy does."""

    def write(array: Any) -> None:
        tile = _tile()
        across = (1, array.shape[1] // _TILE[1], array.shape[2] // _TILE[2])
        for z in range(0, array.shape[0], _TILE[0]):
            array[z : z + _TILE[0]] = np.tile(np.roll(tile, 5 * z, axis=2), across)

    return _once(folder, f"cells-{gib:g}", gib, quick=quick, write=write)


def sparse(folder: Path, gib: float, *, quick: bool) -> Path:
    """Return a volume of uint16 of which one chunk in 64 is stored."""

    def write(array: Any) -> None:
        tile, (z, y, x) = _tile(), _TILE
        for at in range(0, array.shape[0], 4 * z):
            for down in range(0, array.shape[1], 4 * y):
                for right in range(0, array.shape[2], 4 * x):
                    array[at : at + z, down : down + y, right : right + x] = tile

    return _once(folder, f"sparse-{gib:g}", gib, quick=quick, write=write)


def _tile() -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(0)
    at = np.indices(_TILE) - np.array([8, 128, 128]).reshape(3, 1, 1, 1)
    width = np.array([4.0, 40.0, 40.0]).reshape(3, 1, 1, 1)
    blob = 8000 * np.exp(-((at / width) ** 2).sum(axis=0) / 2)
    return (rng.poisson(300, _TILE) + blob).astype(np.uint16)


def _once(
    folder: Path, name: str, gib: float, *, quick: bool, write: Callable[[Any], None]
) -> Path:
    place = folder / f"{name}.zarr"
    if place.exists():
        return place
    unfinished = folder / f"unfinished-{name}"
    shutil.rmtree(unfinished, ignore_errors=True)
    width = _QUICK_WIDTH if quick else _WIDTH
    depth = max(_TILE[0], nbytes_of(gib) // (2 * width * width))
    group = zarr.open_group(unfinished, mode="w", zarr_format=3)
    array = group.create_array(
        "0",
        shape=(depth, width, width),
        chunks=CHUNKS,
        dtype="u2",
        compressors=BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"),
    )
    write(array)
    scale = {"type": "scale", "scale": [1.0, 1.0, 1.0]}
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    dataset = {"path": "0", "coordinateTransformations": [scale]}
    image = {"axes": axes, "datasets": [dataset]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    unfinished.rename(place)
    return place
