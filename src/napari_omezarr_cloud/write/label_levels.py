"""Levels of a label image that is written beside its image. Pure arithmetic."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_omezarr_cloud.ngff.units import micrometres

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_omezarr_cloud.ngff import Axis

__all__ = ["label_factors", "steps_of"]

_ALIKE = 0.1
"""How far scales may be apart, as the logarithm of their ratio, to be those of one level."""


def steps_of(axes: Sequence[Axis], scale: Sequence[float]) -> dict[str, float]:
    """Return the scale of a level by the names of axes: in micrometres, where it has a unit."""
    return {a.name: s * (micrometres(a.unit) or 1.0) for a, s in zip(axes, scale, strict=True)}


def label_factors(
    scale: Mapping[str, float], levels: Sequence[Mapping[str, float]]
) -> list[tuple[int, ...]]:
    """Return the factors by which labels get as many levels as their image, of the same voxels.

    Parameters
    ----------
    scale
        Of the labels' finest level, as `steps_of`, in the order of their axes.
    levels
        The same of the image's levels, from fine to coarse.

    Returns
    -------
    list of tuple of int
        One for each level but the first. Labels of a coarser level of the image have the rest of
        its levels, and their coarsest one again for what is missing; those of none have its
        factors.

    References
    ----------
    OME-Zarr 0.4 and 0.5, "labels": the ``datasets`` of a label image must be as many as those of
    its image.
    """

    def distance(level: Mapping[str, float]) -> float:
        return sum(abs(math.log(abs(level[a] / s))) for a, s in scale.items() if a in level and s)

    first = min(range(len(levels)), key=lambda number: distance(levels[number]))
    if distance(levels[first]) > _ALIKE:
        first = 0
    found = [
        tuple(
            max(1, round(coarse[a] / fine[a])) if a in coarse and fine.get(a) else 1 for a in scale
        )
        for fine, coarse in zip(levels[first:], levels[first + 1 :], strict=False)
    ]
    return found + [(1,) * len(scale)] * first
