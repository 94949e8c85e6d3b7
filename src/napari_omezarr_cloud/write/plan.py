"""What would be written: levels, chunks, shards, codec, objects and bytes. Pure arithmetic.

A plan is made before anything is written, is shown to the person, and is all that the writing goes
by; it travels to other processes as JSON.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_omezarr_cloud.ngff import Axis
from napari_omezarr_cloud.pyramid import Grid, Transform
from napari_omezarr_cloud.write.codecs import CODECS
from napari_omezarr_cloud.write.downsampling import METHODS, Method, offset
from napari_omezarr_cloud.write.geometry import (
    chunks_of,
    fitting,
    refused,
    shards_of,
    steps_of_levels,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "FOR_COMPLEX",
    "VERSIONS",
    "LevelPlan",
    "Plan",
    "Version",
    "plan_image",
]

Version = Literal["0.4", "0.5"]

VERSIONS: tuple[Version, ...] = ("0.5", "0.4")
FOR_COMPLEX = "Save their magnitude, or their real and imaginary parts as two channels."
"""What to do with complex numbers, which the field's readers do not know."""


@dataclass(frozen=True)
class LevelPlan:
    """One level that is to be written."""

    path: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    """Unit of compression and of reading."""
    shards: tuple[int, ...] | None
    """Unit of an object, a multiple of `chunks`; None: each chunk is an object."""
    scale: tuple[float, ...]
    translation: tuple[float, ...]
    factors: tuple[int, ...]
    """Voxels of the level before per voxel of this one; ones for the first."""

    @property
    def transform(self) -> Transform:
        """Where its voxels lie."""
        return Transform(self.scale, self.translation)

    @property
    def object_count(self) -> int:
        """Objects, if all of them are stored; those that are all fill value are not."""
        size = self.shards or self.chunks
        return math.prod(-(-n // c) for n, c in zip(self.shape, size, strict=True))


@dataclass(frozen=True)
class Plan:
    """An image, or a label image, that is to be written."""

    version: Version
    name: str
    axes: tuple[Axis, ...]
    dtype: str
    """As numpy writes it, ``"<u2"``."""
    fill_value: int | float
    codec: str
    """A key of `CODECS`."""
    method: Method
    levels: tuple[LevelPlan, ...]
    copied: bool = False
    """Whether the coarser levels are taken from the source as they are, and not made anew."""
    source_chunks: tuple[int, ...] = ()
    """How the source is cut along the same axes: blocks hold whole ones of these where they can."""
    block_voxels: int = 0
    """What is computed at once, at most; 0: nothing is computed, blocks are only copied."""

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels of all levels, before compression."""
        voxels = sum(math.prod(level.shape) for level in self.levels)
        return voxels * np.dtype(self.dtype).itemsize

    @property
    def object_count(self) -> int:
        """Objects of all levels, if all of them are stored, and the metadata documents."""
        documents = (1, 1) if self.version == "0.5" else (2, 1)  # of the group, and a level
        return sum(level.object_count + documents[1] for level in self.levels) + documents[0]

    @property
    def chunk_nbytes(self) -> int:
        """Bytes of a chunk of the finest level, before compression."""
        return math.prod(self.levels[0].chunks) * np.dtype(self.dtype).itemsize

    def to_json(self) -> dict[str, Any]:
        """Return it as values that JSON holds."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Plan:
        """Return the plan that `to_json` wrote."""

        def tupled(entry: Any) -> Any:
            return tuple(map(tupled, entry)) if isinstance(entry, list) else entry

        axes = tuple(Axis(**axis) for axis in value["axes"])
        levels = tuple(
            LevelPlan(**{name: tupled(part) for name, part in level.items()})
            for level in value["levels"]
        )
        others = {name: tupled(part) for name, part in value.items()}
        return cls(**{**others, "axes": axes, "levels": levels})


def plan_image(
    grid: Grid,
    axes: Sequence[Axis],
    transform: Transform,
    *,
    name: str = "",
    version: str = "0.5",
    is_labels: bool = False,
    method: str | None = None,
    factors: Sequence[Sequence[int]] | None = None,
    level_count: int | None = None,
    chunks: Sequence[int] | None = None,
    shards: Sequence[int] | Literal["auto", "always"] | None = "auto",
    codec: str = "blosc",
) -> Plan:
    """Return how an image would be written.

    Parameters
    ----------
    grid
        Shape and dtype of the finest level, in the order of `axes`, and how its source is cut.
    axes
        Names, types and units, in the order in which they are written.
    transform
        Where the voxels of the finest level lie, in the axes' units.
    name
        Of the image.
    version
        "0.5" (Zarr 3) or "0.4" (Zarr 2).
    is_labels
        Whether values are names of objects, which must not be mixed.
    method
        How coarser levels are made, one of `METHODS`; None: "mode" for labels, else "mean".
    factors
        Per coarser level and axis, how many voxels of the level before become one. None: as
        `isotropic_factors`, until the level is about a thumbnail.
    level_count
        How many levels at most; None: as many as that takes.
    chunks
        Per axis; None: about 1 MB of a plane, about 2 MB of a volume.
    shards
        Per axis, multiples of the chunks; None: without; "auto": where there would be more than a
        thousand objects; "always": also where there are few. Version 0.4 has none.
    codec
        A key of `CODECS`.

    Raises
    ------
    WriteError
        If any of these cannot be, or do not fit each other.
    """
    axes, n = tuple(axes), len(grid.shape)
    dtype = np.dtype(grid.dtype).newbyteorder("<")
    method = method or ("mode" if is_labels else "mean")
    _check(axes, n, grid, dtype, version, method, codec, is_labels)
    steps = steps_of_levels(grid.shape, transform.scale, axes, factors, level_count)
    chunks = fitting("chunks", chunks, n) if chunks else chunks_of(grid.shape, axes, dtype.itemsize)
    shapes = [tuple(grid.shape)]
    for step in steps:
        shapes.append(tuple(-(-a // f) for a, f in zip(shapes[-1], step, strict=True)))
    sharding = shards_of(shards, chunks, shapes, dtype.itemsize, version)
    levels: list[LevelPlan] = []
    here = transform
    for number, (shape, step) in enumerate(zip(shapes, [(1,) * n, *steps], strict=True)):
        here = _coarser(here, step, method)
        levels.append(
            LevelPlan(str(number), shape, chunks, sharding, here.scale, here.translation, step)
        )
    fill = 0.0 if dtype.kind in "fc" else 0
    plan = Plan(
        "0.4" if version == "0.4" else "0.5",
        name,
        axes,
        dtype.str,
        fill,
        codec,
        method,  # type: ignore[arg-type]
        tuple(levels),
        source_chunks=tuple(grid.chunks),
    )
    is_bound = shards == "always"
    return replace(plan, levels=tuple(_clipped(level, is_bound) for level in plan.levels))


def _clipped(level: LevelPlan, is_bound: bool) -> LevelPlan:
    """Return a level without chunks longer than itself: they would only be padding.

    Shards of one chunk are none, unless the level is bound to have some.
    """
    chunks = tuple(min(c, max(1, n)) for c, n in zip(level.chunks, level.shape, strict=True))
    if level.shards is None:
        return replace(level, chunks=chunks)
    # A shard is whole chunks, and no more of them than there are.
    counts = (-(-n // c) for n, c in zip(level.shape, chunks, strict=True))
    shards = tuple(
        c * min(max(1, s // c), count)
        for c, s, count in zip(chunks, level.shards, counts, strict=True)
    )
    is_plain = shards == chunks and not is_bound
    return replace(level, chunks=chunks, shards=None if is_plain else shards)


def _coarser(finer: Transform, step: Sequence[int], method: Any) -> Transform:
    return Transform(
        tuple(s * f for s, f in zip(finer.scale, step, strict=True)),
        tuple(
            t + s * offset(method, f)
            for t, s, f in zip(finer.translation, finer.scale, step, strict=True)
        ),
    )


def _check(
    axes: tuple[Axis, ...],
    n: int,
    grid: Grid,
    dtype: np.dtype[Any],
    version: str,
    method: str,
    codec: str,
    is_labels: bool,
) -> None:
    kinds = [axis.type for axis in axes]
    if version not in VERSIONS:
        raise refused(f"OME-Zarr {version} cannot be written", "Write 0.4 or 0.5.")
    if method not in METHODS:
        raise refused(f"there is no method {method!r}", f"Choose one of {', '.join(METHODS)}.")
    if codec not in CODECS:
        raise refused(f"there is no codec {codec!r}", f"Choose one of {', '.join(CODECS)}.")
    names = ", ".join(axis.name for axis in axes)
    if len({axis.name for axis in axes}) < len(axes):
        raise refused(f"its axes are called {names}", "Give each a name of its own.")
    if len(axes) != n or 0 in grid.shape:
        raise refused(
            f"its shape {tuple(grid.shape)} does not fit the axes {names}",
            "Each axis needs a length of 1 or more.",
        )
    if n > 5:
        raise refused(f"it has {n} axes, and OME-Zarr images have up to 5", "Take a part of it.")
    order = [{"time": 0, "space": 2}.get(kind or "", 1) for kind in kinds]
    if order != sorted(order) or kinds.count("space") not in (2, 3):
        raise refused(
            f"its axes are {', '.join(f'{axis.name} ({axis.type})' for axis in axes)}",
            "OME-Zarr images have time, then channel, then two or three axes of space.",
        )
    if kinds.count("time") > 1 or order.count(1) > 1:
        raise refused("it has two axes of time, or two of channels", "Take a part of it.")
    if dtype.kind not in "biuf" or (is_labels and dtype.kind not in "iu"):
        hint = FOR_COMPLEX if dtype.kind == "c" else "Convert them to numbers first."
        raise refused(
            f"its voxels are {dtype.name}", "Labels must be whole numbers." if is_labels else hint
        )
    if is_labels and method in ("mean", "gaussian"):
        raise refused(f"labels would be mixed by {method!r}", "Choose mode or nearest.")
