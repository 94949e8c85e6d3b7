"""The images that are opened: written once into a folder, with zarr, as anybody's tool would."""

from __future__ import annotations

import json
import math
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from tests.fixtures.plates import write_bare_plate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["FRAMES", "frame_of", "load", "write_all"]

FRAMES = 40
"""Time points of the series."""
_STEP = 100
"""Between the pixels of two time points, which differ by less among themselves."""

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
        Gets ``NAME.zarr``: planes of two channels as OME-Zarr 0.4 and 0.5 and in shards, a stack, a
        series, a plate of 384 wells, a five-fold pyramid through time and depth, a tiny one and one
        of 10⁸ chunks.
    quick
        Small ones, to see that the benchmarks run.
    """
    width, depth = (1024, 8) if quick else (8192, 64)
    plane, tiny = (2, width, width), (2, 256, 256)
    stack = (2, depth, width // 8, width // 8)
    planar, deep = (1, 512, 512), (1, 16, 128, 128)
    frame, piece = (176, 88) if quick else (704, 352)
    rows, columns = (2, 3) if quick else (16, 24)
    writers: dict[str, Callable[[Path], None]] = {
        "plane04.zarr": lambda at: _write(at, plane, "cyx", planar, zarr_format=2),
        "plane05.zarr": lambda at: _write(at, plane, "cyx", planar, zarr_format=3),
        "stack.zarr": lambda at: _write(at, stack, "czyx", deep, zarr_format=3),
        "tiny.zarr": lambda at: _write(at, tiny, "cyx", (1, 128, 128), zarr_format=3),
        "sharded.zarr": lambda at: _write(
            at, plane, "cyx", (1, 256, 256), zarr_format=3, shards=(1, 2048, 2048)
        ),
        "series.zarr": lambda at: _write_series(at, frame, piece),
        "plate.zarr": lambda at: write_bare_plate(at, rows, columns, size=512, chunk=128),
        "journey.zarr": lambda at: _write_journey(at, 2048 if quick else 16384),
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
    path: Path,
    shape: tuple[int, ...],
    axes: str,
    chunks: tuple[int, ...],
    *,
    zarr_format: int,
    shards: tuple[int, ...] | None = None,
) -> None:
    _write_levels(path, _texture(shape), axes, chunks, zarr_format=zarr_format, shards=shards)


def _write_levels(
    path: Path,
    level: np.ndarray[Any, Any],
    axes: str,
    chunks: tuple[int, ...],
    *,
    zarr_format: int = 3,
    shards: tuple[int, ...] | None = None,
) -> None:
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)  # type: ignore[arg-type]
    keys: dict[str, Any] = {"encoding": {"name": "v2", "separator": "/"}}
    datasets: list[Any] = []
    factor = 1
    while True:
        name = str(len(datasets))
        extra = {} if zarr_format == 3 else {"chunk_key_encoding": keys["encoding"]}
        if shards is not None:
            extra["shards"] = tuple(map(min, level.shape, shards))
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
    kinds = {"c": {"type": "channel"}, "t": {"type": "time", "unit": "second"}}
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


def _write_series(path: Path, side: int, piece: int) -> None:
    """Write frames of which each pixel says to which time point it belongs, on each level."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, _STEP, (1, 2, side, side), dtype=np.uint16)
    numbers = np.arange(1, FRAMES + 1, dtype=np.uint16).reshape(-1, 1, 1, 1)
    _write_levels(path, noise + _STEP * numbers, "tcyx", (1, 1, piece, piece))


def frame_of(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return for each pixel of the series its time point; -1 for what is of no time point."""
    return pixels.astype(np.int64) // _STEP - 1


def _write_journey(path: Path, width: int) -> None:
    """Write 8 time points of 10 planes, as far as the session goes: links to the chunks of one."""
    times, planes, stop = 8, 10, 6
    _write_levels(path, _texture((1, 1, width, width)), "tzyx", (1, 1, 512, 512))
    for level in sorted(each for each in path.iterdir() if each.is_dir()):
        about = level / "zarr.json"
        document = json.loads(about.read_text())
        document["shape"][:2] = times, planes
        about.write_text(json.dumps(document))
        for t, z in [(0, z) for z in range(1, planes)] + [(t, stop) for t in range(1, times)]:
            there = level / "c" / str(t) / str(z)
            shutil.copytree(level / "c" / "0" / "0", there, copy_function=os.link)


def load(path: Path) -> tuple[str, list[np.ndarray[Any, Any]]]:
    """Return the axes of an image and its levels in memory; of a plate, wells side by side."""
    group = zarr.open_group(path, mode="r")
    about: Any = group.attrs.get("ome", group.attrs)
    if "plate" not in about:
        axes = "".join(axis["name"] for axis in about["multiscales"][0]["axes"])
        return axes, [group[key][...] for key in sorted(group.array_keys())]
    rows, columns = (
        [each["name"] for each in about["plate"][kind]] for kind in ("rows", "columns")
    )

    def well(row: str, column: str) -> list[np.ndarray[Any, Any]]:
        return load(path / row / column / "0")[1]

    wells = [[well(row, column) for column in columns] for row in rows]
    return "yx", [
        np.block([[levels[number] for levels in row] for row in wells])
        for number in range(len(wells[0][0]))
    ]


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
