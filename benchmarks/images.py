"""The images that are opened: written once into a folder, with zarr, as anybody's tool would."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["write_all"]

_OMERO = {
    "channels": [
        {
            "label": label,
            "color": color,
            "active": True,
            "window": {"start": 0, "end": 20000, "min": 0, "max": 65535},
        }
        for label, color in (("one", "00FF00"), ("two", "FF00FF"))
    ]
}


def write_all(folder: Path, *, quick: bool) -> None:
    """Write every image that is not there yet.

    Parameters
    ----------
    folder
        Gets ``plane04.zarr``, ``plane05.zarr``, ``stack.zarr``, ``tiny.zarr``, ``huge.zarr``.
    quick
        Small ones, to see that the benchmarks run.
    """
    width, depth = (1024, 8) if quick else (8192, 64)
    plane, tiny = (2, width, width), (2, 256, 256)
    stack = (2, depth, width // 8, width // 8)
    planar, deep = (1, 512, 512), (1, 16, 128, 128)
    writers: dict[str, Callable[[Path], None]] = {
        "plane04.zarr": lambda at: _write(at, plane, "cyx", planar, zarr_format=2),
        "plane05.zarr": lambda at: _write(at, plane, "cyx", planar, zarr_format=3),
        "stack.zarr": lambda at: _write(at, stack, "czyx", deep, zarr_format=3),
        "tiny.zarr": lambda at: _write(at, tiny, "cyx", (1, 128, 128), zarr_format=3),
        "huge.zarr": _write_huge,
    }
    for name, write in writers.items():
        if not (folder / name).exists():
            # Renamed when complete: half an image must not be taken for one in the next run.
            unfinished = folder / f"unfinished-{name}"
            shutil.rmtree(unfinished, ignore_errors=True)
            write(unfinished)
            unfinished.rename(folder / name)


def _texture(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return uint16 noise over a slope: it compresses about as microscopy does."""
    rng = np.random.default_rng(0)
    tile = rng.integers(0, 3000, (*shape[:-2], 256, 256), dtype=np.uint16)
    repeats = (1,) * (len(shape) - 2) + tuple(-(-n // 256) for n in shape[-2:])
    whole = np.tile(tile, repeats)[..., : shape[-2], : shape[-1]]
    slope = np.linspace(0, 15000, shape[-1]).astype(np.uint16)
    return whole + slope


def _write(
    path: Path, shape: tuple[int, ...], axes: str, chunks: tuple[int, ...], *, zarr_format: int
) -> None:
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)  # type: ignore[arg-type]
    keys: dict[str, Any] = {"encoding": {"name": "v2", "separator": "/"}}
    datasets = []
    level, factor = _texture(shape), 1
    while True:
        name = str(len(datasets))
        extra = {} if zarr_format == 3 else {"chunk_key_encoding": keys["encoding"]}
        group.create_array(name, data=level, chunks=chunks, **extra)
        scale = [0.1 * factor if axis in "yx" else 1.0 for axis in axes]
        datasets.append(
            {"path": name, "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
        if max(level.shape[-2:]) <= 256:
            break
        level, factor = level[..., ::2, ::2].copy(), factor * 2
    _describe(group, axes, datasets, zarr_format)


def _describe(group: Any, axes: str, datasets: list[Any], zarr_format: int) -> None:
    kinds = {"c": {"type": "channel"}}
    space = {"type": "space", "unit": "micrometer"}
    listed = [{"name": axis, **kinds.get(axis, space)} for axis in axes]
    about: dict[str, Any] = {"multiscales": [{"axes": listed, "datasets": datasets}]}
    if "c" in axes:
        about["omero"] = _OMERO
    if zarr_format == 3:
        group.attrs["ome"] = {"version": "0.5", **about}
    else:
        about["multiscales"][0]["version"] = "0.4"
        group.attrs.update(about)


def _write_huge(path: Path) -> None:
    """Write 10 TB of nothing: 10⁸ chunks, of which none is stored."""
    group = zarr.open_group(path, mode="w", zarr_format=3)
    datasets = []
    for number in range(8):
        width = math.ceil(2_500_000 / 2**number)
        group.create_array(
            str(number), shape=(width, width), chunks=(250, 250), dtype="u2", fill_value=7
        )
        scale = [float(2**number)] * 2
        datasets.append(
            {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
    _describe(group, "yx", datasets, 3)
