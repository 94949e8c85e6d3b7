"""Which part of a volume a camera sees: flat-faced bodies as half-spaces. Pure arithmetic."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Sight", "box_in_sight"]

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sight:
    """What a camera in 3-D shows; lengths in the world, vectors in the order of the axes on screen.

    Without a perspective that is a prism of the canvas' shape, with one a pyramid whose tip is the
    eye; both go through ``centre``, where they are as large as ``half_height`` and ``half_width``
    say.
    """

    centre: Vector
    """On what the camera looks, and around what it turns; shape (3,)."""
    ahead: Vector
    """Where it looks; length 1."""
    up: Vector
    """What is up on the canvas; length 1."""
    half_height: float
    half_width: float
    eye_distance: float = math.inf
    """From the eye to the centre; infinite without a perspective."""
    half_depth: float = math.inf
    """How far before and behind the centre it sees."""

    def half_spaces(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return normals, shape (n, 3), and offsets, shape (n,): inside, normal · p ≤ offset."""
        right = np.cross(self.ahead, self.up)
        sides = [(right, self.half_width), (self.up, self.half_height)]
        rows = []
        for (across, half), sign in itertools.product(sides, (1, -1)):
            # It widens with the distance d ahead of the centre: half · (1 + d / eye_distance).
            rows.append((sign * across - half / self.eye_distance * self.ahead, half))
        if math.isfinite(self.half_depth):
            rows += [(sign * self.ahead, self.half_depth) for sign in (1, -1)]
        normals = np.array([normal for normal, _ in rows])
        return normals, np.array([offset for _, offset in rows]) + normals @ self.centre


def box_in_sight(
    sight: Sight, shape: tuple[int, ...], to_world: npt.NDArray[np.float64], origin: Vector
) -> tuple[Vector, Vector] | None:
    """Return the smallest box around what is seen of a volume.

    Parameters
    ----------
    sight
        What the camera shows.
    shape
        Voxels of the volume along its three axes.
    to_world
        Shape (3, 3): a voxel ``v`` lies at ``to_world @ v + origin``.
    origin
        Shape (3,): the centre of the first voxel.

    Returns
    -------
    low, high : ndarray, shape (3,)
        In voxels, whose centres are whole numbers. None where nothing of it is seen.
    """
    normals, offsets = sight.half_spaces()
    faces = np.vstack([np.eye(3), -np.eye(3), normals @ to_world])
    limits = np.concatenate([np.array(shape) - 0.5, [0.5] * 3, offsets - normals @ origin])
    lengths = np.linalg.norm(faces, axis=1)
    faces, limits = faces / lengths[:, None], limits / lengths
    # Both bodies are convex: the corners of what they share are where three of their faces meet.
    threes = np.array(list(itertools.combinations(range(len(faces)), 3)))
    meet = np.abs(np.linalg.det(faces[threes])) > 1e-9
    corners = np.linalg.solve(faces[threes][meet], limits[threes][meet][..., None])[..., 0]
    inside = np.all(corners @ faces.T <= limits + 1e-6, axis=1)
    if not inside.any():
        return None
    return corners[inside].min(axis=0), corners[inside].max(axis=0)
