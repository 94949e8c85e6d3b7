"""A time-lapse volume that is large on paper and small on disk."""

from __future__ import annotations

import colorsys
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .pyramids import (
    channel,
    coarsen,
    coarsen_labels,
    create_arrays,
    plan_levels,
    write_metadata,
)
from .spheroids import FULL_WELL, PERIOD, PLANES, SPACING_UM, Spheroid, Stage, grow

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    import zarr
    from numpy.typing import NDArray

    from .pyramids import PlannedLevel

CHUNK = 256
CHUNK_PLANES = 16
FIELD = 8 * CHUNK  # the layout repeats with this period
WIDEST = 4 * FIELD  # more nuclei would not fit into uint16
INTERVAL_S = 600.0

# Top left corner (y, x) in chunks, phase of the motion and quarter turns of the copies of each
# kind: 2 by 2 chunks with a lumen, and 1 by 1 without. At chunk corners copies can share bytes.
LARGE = {
    (0, 0): (0, 0),
    (0, 5): (2, 1),
    (2, 2): (4, 1),
    (3, 6): (1, 0),
    (5, 0): (3, 1),
    (5, 4): (2, 0),
}
SMALL = {
    (0, 3): (1, 1),
    (2, 0): (4, 0),
    (2, 5): (0, 0),
    (2, 7): (1, 0),
    (4, 2): (3, 1),
    (6, 7): (4, 1),
    (7, 3): (2, 0),
}


@dataclass(frozen=True)
class Copy:
    """One place of a spheroid in the field."""

    y: int  # of its corner, in pixels of full resolution
    x: int
    phase: int
    turns: int  # quarter turns in the plane
    first_label: int  # label of its first cell


@dataclass(frozen=True)
class Kind:
    """A spheroid and its copies."""

    spheroid: Spheroid
    copies: tuple[Copy, ...]


@dataclass(frozen=True)
class Drawing:
    """One spheroid at one phase on every level: (2, z, y, x) pixels, (z, y, x) cell numbers."""

    image: tuple[NDArray[np.uint16], ...]
    labels: tuple[NDArray[np.uint16], ...]


def write_cell_volume(
    path: str | os.PathLike[str], *, timepoints: int = 5, width: int = FIELD
) -> Path:
    """Write a two-channel time-lapse volume of spheroids as OME-Zarr 0.5.

    Axes are t, c, z, y, x: nuclei and membranes, 10 minutes and 2 by 0.3 by 0.3 µm apart, with
    omero colours and windows, and ``labels/nuclei`` (t, z, y, x) with colours and properties.
    A cell keeps its label over time.

    In full resolution it is uint16 of ``timepoints * 128 * width**2`` bytes, 2.7 GB by default,
    and far fewer are made. What lies between spheroids is zero, and its chunks are not stored.
    One large and one small spheroid are drawn at each of five phases of a motion that repeats;
    their copies in the field, turned or not, are the same encoded bytes under several keys.

    Parameters
    ----------
    path
        Folder to make; its parent must exist.
    timepoints
        Length of t.
    width
        Pixels in y and in x; a multiple of 512, at most 8192.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileExistsError
        If ``path`` exists.
    ValueError
        If there is no such ``width``, or not one time point.
    """
    if timepoints < 1 or width not in range(512, WIDEST + 1, 512):
        raise ValueError(f"no volume with {timepoints} time points of {width} pixels")
    folder = Path(path)
    folder.mkdir()
    levels = plan_levels((PLANES, width, width), SPACING_UM, smallest=128)
    chunks = (1, 1, CHUNK_PLANES, CHUNK, CHUNK)
    image = create_arrays(folder, "tczyx", levels, (timepoints, 2), "uint16", chunks)
    nuclei = folder / "labels" / "nuclei"
    stacks = (1, PLANES, CHUNK, CHUNK)  # labels compress well: half as many objects
    labels = create_arrays(nuclei, "tzyx", levels, (timepoints,), "uint16", stacks)
    kinds = _place(width)
    _write_pixels(folder, levels, image, labels, kinds)
    _write_labels_metadata(folder, levels, kinds)
    omero = {
        "channels": [
            channel("nuclei", "FF00FF", 40, 1500, FULL_WELL),
            channel("membranes", "00FF00", 40, 950, FULL_WELL),
        ],
        "rdefs": {"defaultT": 0, "defaultZ": PLANES // 2, "model": "color"},
    }
    write_metadata(folder, "tczyx", levels, interval_s=INTERVAL_S, omero=omero)
    return folder


def _place(width: int) -> list[Kind]:
    """Return both kinds of spheroid with all copies that fit the width, labels counted through."""
    kinds: list[Kind] = []
    label = 1
    for side, hollow, places in ((2 * CHUNK, 0.5, LARGE), (CHUNK, 0.0, SMALL)):
        spheroid = grow(side, hollow)
        copies: list[Copy] = []
        for top in range(0, width, FIELD):
            for left in range(0, width, FIELD):
                for (row, column), (phase, turns) in places.items():
                    y, x = top + row * CHUNK, left + column * CHUNK
                    if max(y, x) + side <= width:
                        copies.append(Copy(y, x, phase, turns, label))
                        label += len(spheroid.centres)
        kinds.append(Kind(spheroid, tuple(copies)))
    return kinds


def _write_pixels(
    folder: Path,
    levels: Sequence[PlannedLevel],
    image: Sequence[zarr.Array[Any]],
    labels: Sequence[zarr.Array[Any]],
    kinds: Sequence[Kind],
) -> None:
    stage = Stage()
    times = range(image[0].shape[0])
    tasks = {
        (number, (copy.phase + time) % PERIOD)
        for number, kind in enumerate(kinds)
        for copy in kind.copies
        for time in times
    }

    def draw(task: tuple[int, int]) -> tuple[tuple[int, int], Drawing]:
        number, phase = task
        drawing = _coarsened(levels, *stage.draw(kinds[number].spheroid, phase))
        _write_copies(folder, image[0], labels[0], kinds[number], phase, drawing)
        return task, drawing

    def write(time: int) -> None:
        for level in range(1, len(levels)):
            _write_coarse(time, level, image[level], labels[level], kinds, drawings)

    # Drawing and encoding release the GIL most of the time.
    with ThreadPoolExecutor(2) as pool:
        drawings = dict(pool.map(draw, sorted(tasks)))
        list(pool.map(write, times))


def _coarsened(
    levels: Sequence[PlannedLevel], image: NDArray[np.uint16], labels: NDArray[np.uint16]
) -> Drawing:
    images, label_images = [image], [labels]
    for level in levels[1:]:
        images.append(coarsen(images[-1], level.factors))
        label_images.append(coarsen_labels(label_images[-1], level.factors))
    return Drawing(tuple(images), tuple(label_images))


def _write_copies(
    folder: Path,
    image: zarr.Array[Any],
    labels: zarr.Array[Any],
    kind: Kind,
    phase: int,
    drawing: Drawing,
) -> None:
    """Write full resolution wherever this phase is due: encode pixels once, copy the bytes."""
    due = [
        (time, copy)
        for time in range(image.shape[0])
        for copy in kind.copies
        if (copy.phase + time) % PERIOD == phase
    ]
    side = kind.spheroid.box[-1]
    encoded: dict[int, tuple[int, Copy]] = {}
    for time, copy in due:
        area = (slice(copy.y, copy.y + side), slice(copy.x, copy.x + side))
        labels[(time, slice(None), *area)] = _numbered(drawing.labels[0], copy)
        if copy.turns in encoded:
            _copy_chunks(folder / "s0" / "c", encoded[copy.turns], (time, copy), side // CHUNK)
        else:
            image[(time, slice(None), slice(None), *area)] = _turned(drawing.image[0], copy)
            encoded[copy.turns] = (time, copy)


def _copy_chunks(
    chunks: Path, source: tuple[int, Copy], target: tuple[int, Copy], side: int
) -> None:
    """Copy the files of a square of ``side`` by ``side`` chunks, all channels and planes."""
    for c, z, y, x in np.ndindex(2, PLANES // CHUNK_PLANES, side, side):
        source_file, target_file = (
            chunks / f"{time}/{c}/{z}/{copy.y // CHUNK + y}/{copy.x // CHUNK + x}"
            for time, copy in (source, target)
        )
        if source_file.exists():
            target_file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source_file, target_file)


def _turned(pixels: NDArray[np.uint16], copy: Copy) -> NDArray[np.uint16]:
    return np.rot90(pixels, copy.turns, axes=(-2, -1))


def _numbered(labels: NDArray[np.uint16], copy: Copy) -> NDArray[np.uint16]:
    """Turn numbers of cells, from 1, into the labels of one copy."""
    offset = np.uint16(copy.first_label - 1)
    return _turned(labels + offset * (labels > 0), copy)


def _write_coarse(
    time: int,
    level: int,
    image: zarr.Array[Any],
    labels: zarr.Array[Any],
    kinds: Sequence[Kind],
    drawings: dict[tuple[int, int], Drawing],
) -> None:
    """Write one time point of a coarse level, put together from the coarsened spheroids."""
    pixels = np.zeros(image.shape[1:], np.uint16)
    numbers = np.zeros(labels.shape[1:], np.uint16)
    for number, kind in enumerate(kinds):
        for copy in kind.copies:
            drawing = drawings[number, (copy.phase + time) % PERIOD]
            part = _turned(drawing.image[level], copy)
            # Corners are multiples of a chunk, so that they fall on whole pixels here too.
            y, x = copy.y >> level, copy.x >> level
            area = (..., slice(y, y + part.shape[-2]), slice(x, x + part.shape[-1]))
            pixels[area] = part
            numbers[area] = _numbered(drawing.labels[level], copy)
    image[time] = pixels
    labels[time] = numbers


def _write_labels_metadata(
    folder: Path, levels: Sequence[PlannedLevel], kinds: Sequence[Kind]
) -> None:
    import zarr
    from ome_zarr.format import FormatV05
    from ome_zarr.writer import write_label_metadata

    write_metadata(folder / "labels" / "nuclei", "tzyx", levels, interval_s=INTERVAL_S)
    described = list(_describe(kinds))
    colors = [{"label-value": one["label-value"], "rgba": one.pop("rgba")} for one in described]
    group = zarr.open_group(folder / "labels", mode="a", zarr_format=3)
    with zarr.config.set({"json_indent": None}):  # two entries a nucleus: a third of the bytes
        write_label_metadata(group, "nuclei", colors=colors, properties=described, fmt=FormatV05())


def _describe(kinds: Sequence[Kind]) -> Iterator[dict[str, Any]]:
    """Yield a colour and what is known of each nucleus; a spheroid has one hue."""
    number = 0
    for kind in kinds:
        volumes = 4 / 3 * np.pi * kind.spheroid.radii.prod(axis=1)
        for copy in kind.copies:
            number += 1
            for cell, volume in enumerate(volumes):
                shade = 0.6 + 0.4 * (cell * 0.618 % 1)
                colour = colorsys.hsv_to_rgb(
                    number * 0.618 % 1, 0.35 + 0.5 * (cell * 0.382 % 1), shade
                )
                yield {
                    "label-value": copy.first_label + cell,
                    "rgba": [*(round(255 * part) for part in colour), 255],
                    "spheroid": number,
                    "volume_um3": round(float(volume), 1),
                }
