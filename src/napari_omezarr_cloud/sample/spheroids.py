"""Synthetic spheroids: cells packed into ellipsoids, drawn as nuclei and membranes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SPACING_UM = (2.0, 0.3, 0.3)  # z, y, x
PLANES = 32
PERIOD = 5  # the motion is back where it began after so many time points
CELL_UM = 8.5  # radius of a cell that has room
PITCH_UM = 10.0  # least distance of two cells
REACH_UM = CELL_UM + 2.0  # a cell changes no voxel further away than this
MEMBRANE_UM = 0.6
FULL_WELL = 4095  # of the 12-bit camera


@dataclass(frozen=True)
class Spheroid:
    """Cells at rest; lengths in µm from the corner of their box, axes z, y, x."""

    box: tuple[int, int, int]  # voxels
    centres: NDArray[np.float64]  # (cells, 3)
    sway: NDArray[np.float64]  # (cells, 3), radius of each cell's own small circle
    radii: NDArray[np.float64]  # (cells, 3), half axes of the nuclei
    angles: NDArray[np.float64]  # (cells,), direction of the nuclei in the plane
    brightness: NDArray[np.float64]  # (cells,), of the nuclei, about 1

    def centres_at(self, phase: int) -> NDArray[np.float64]:
        """Return the centres at one time point: each circles, and all rock to and fro."""
        now = 2 * math.pi * phase / PERIOD
        own = np.arange(len(self.centres)) * 2.4
        circles = np.stack([np.sin(now + own), np.cos(now + own), np.sin(now + 2 * own)], axis=1)
        moved: NDArray[np.float64] = self.centres + self.sway * circles
        turn = 0.1 * math.sin(now)
        middle = np.multiply(self.box, SPACING_UM)[1:] / 2
        y, x = (moved[:, 1:] - middle).T
        moved[:, 1] = middle[0] + y * math.cos(turn) + x * math.sin(turn)
        moved[:, 2] = middle[1] - y * math.sin(turn) + x * math.cos(turn)
        return moved


def grow(side: int, hollow: float) -> Spheroid:
    """Pack cells into an ellipsoid of ``side`` voxels in y and x.

    ``hollow`` is the part of its radius without cells. The same arguments give the same cells.
    """
    random = np.random.default_rng(side)
    box = (PLANES, side, side)
    half = np.multiply(box, SPACING_UM) / 2
    places = random.uniform(-1, 1, (20_000, 3))
    radius = np.linalg.norm(places, axis=1)
    centres: list[NDArray[np.float64]] = []
    for place in places[(radius < 1) & (radius > hollow)]:
        # Nothing may touch the faces of the box, also when it moves.
        centre = half + place * (half - REACH_UM - 1.5)
        if not centres or np.square(np.subtract(centres, centre)).sum(axis=1).min() > PITCH_UM**2:
            centres.append(centre)
    count = len(centres)
    return Spheroid(
        box,
        np.array(centres),
        random.uniform(0.3, 1.2, (count, 3)),
        random.uniform(4.0, 5.2, (count, 1)) * random.uniform(0.85, 1.2, (count, 3)),
        random.uniform(0, math.pi, count),
        np.clip(random.normal(1, 0.25, count), 0.55, 1.8),
    )


class Stage:
    """Draws spheroids; holds the random textures that all drawings share."""

    def __init__(self) -> None:
        from skimage.filters import gaussian

        random = np.random.default_rng(7)
        self.noise: NDArray[np.float32] = random.standard_normal(1 << 22, dtype=np.float32)
        rough = random.standard_normal((48, 256, 256), dtype=np.float32)
        smooth = gaussian(rough, (0.7, 2.5, 2.5), mode="wrap")
        self.chromatin: NDArray[np.float32] = 1 + 0.22 * smooth / smooth.std()

    def draw(self, spheroid: Spheroid, phase: int) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Draw one spheroid at one time point.

        Returns
        -------
        image : (2, z, y, x) uint16
            Nuclei and membranes, zero outside of the spheroid.
        labels : (z, y, x) uint16
            Number of the cell, from 1, in its nucleus.
        """
        nearest = np.full(spheroid.box, REACH_UM, np.float32)
        runner_up = np.full(spheroid.box, 2 * REACH_UM, np.float32)
        nuclei = np.zeros(spheroid.box, np.float32)
        labels = np.zeros(spheroid.box, np.uint16)
        for number, centre in enumerate(spheroid.centres_at(phase)):
            window, offsets = _window(centre, spheroid.box)
            distance = np.sqrt(sum(offset**2 for offset in offsets))
            np.minimum(
                runner_up[window], np.maximum(nearest[window], distance), out=runner_up[window]
            )
            np.minimum(nearest[window], distance, out=nearest[window])
            inside = _nucleus(spheroid, number, offsets)
            labels[window][inside > 0.5] = number + 1
            lit = inside * self._texture(number, inside.shape) * spheroid.brightness[number]
            np.maximum(nuclei[window], lit, out=nuclei[window])
        # Zero in the middle between two cells, and where a cell without neighbours ends.
        wall = np.minimum((runner_up - nearest) / 2, CELL_UM - nearest)
        membranes = np.exp(-np.square(wall / MEMBRANE_UM))
        cytoplasm = 1 / (1 + np.exp((nearest - CELL_UM) / 0.25))
        first = self._expose(1100 * nuclei + 45 * cytoplasm, 2 * phase)
        second = self._expose(800 * membranes + 80 * cytoplasm, 2 * phase + 1)
        return np.stack([first, second]), labels

    def _texture(self, number: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        # The cut depends on the cell alone, so that its chromatin moves with it.
        z, y, x = (
            slice(start, start + length)
            for start, length in zip(
                (number % 30, number * 7 % 180, number * 11 % 180), shape, strict=True
            )
        )
        return self.chromatin[z, y, x]

    def _expose(self, signal: NDArray[np.float32], salt: int) -> NDArray[np.uint16]:
        """Return counts: dimmer with depth, with shot noise, and nothing where nothing is."""
        depth = np.linspace(1.0, 0.65, len(signal), dtype=np.float32)[:, None, None]
        signal = signal * depth
        noise = np.resize(np.roll(self.noise, salt * 7919), signal.shape)
        counts = signal + 1.5 * np.sqrt(signal) * noise
        counts[signal < 4] = 0
        return np.clip(counts, 0, FULL_WELL).astype(np.uint16)


def _nucleus(
    spheroid: Spheroid, number: int, offsets: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return 1 inside of a nucleus, 0 outside, and a soft edge."""
    z, y, x = offsets
    a, b, c = (float(radius) for radius in spheroid.radii[number])
    cos, sin = math.cos(spheroid.angles[number]), math.sin(spheroid.angles[number])
    v, u = cos * y + sin * x, cos * x - sin * y
    depth = np.sqrt((z / a) ** 2 + (v / b) ** 2 + (u / c) ** 2)
    edge = np.clip((1 - depth) * (a / 1.2) + 0.5, 0, 1)
    return (edge * edge * (3 - 2 * edge)).astype(np.float32, copy=False)


def _window(
    centre: NDArray[np.float64], box: tuple[int, int, int]
) -> tuple[tuple[slice, ...], list[NDArray[np.float32]]]:
    """Return the voxels a cell may change, and their offsets from its centre in µm per axis."""
    window: list[slice] = []
    offsets: list[NDArray[Any]] = []
    for axis, (middle, size, step) in enumerate(zip(centre, box, SPACING_UM, strict=True)):
        start = max(math.ceil((middle - REACH_UM) / step), 0)
        stop = min(math.floor((middle + REACH_UM) / step) + 1, size)
        window.append(slice(start, stop))
        along = (np.arange(start, stop) * step - middle).astype(np.float32)
        offsets.append(along.reshape([-1 if i == axis else 1 for i in range(3)]))
    return tuple(window), offsets
