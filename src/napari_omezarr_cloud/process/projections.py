"""Projections: one axis folded into one plane or volume.

Whoever runs one brings the axis named by ``axis`` to the front; it is gone in the result. Most can
also go through a long axis slab by slab (`computation.Fold`): they are objects that are called like
functions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.process.dtypes import floating, unchanged
from napari_omezarr_cloud.process.halo import pixelwise
from napari_omezarr_cloud.process.operation import Operation, Parameter

__all__ = ["OPERATIONS", "maximum", "mean", "median", "minimum", "std", "total"]

_Array = npt.NDArray[Any]


class _Folded(ABC):
    """Makes a fold callable on a whole stack; its first axis is folded."""

    @abstractmethod
    def part(self, slab: _Array) -> Any: ...

    @abstractmethod
    def finish(self, state: Any) -> _Array: ...

    def __call__(self, stack: _Array, **_: Any) -> _Array:
        return self.finish(self.part(stack))


@dataclass(frozen=True)
class _Extreme(_Folded):
    """The brightest or the darkest value."""

    pick: np.ufunc

    def part(self, slab: _Array) -> _Array:
        return np.asarray(self.pick.reduce(slab, axis=0))

    def join(self, one: _Array, other: _Array) -> _Array:
        return np.asarray(self.pick(one, other))

    def finish(self, state: _Array) -> _Array:
        return state


@dataclass(frozen=True)
class _Total(_Folded):
    """The sum, in float64: float32 loses digits over hundreds of planes."""

    def part(self, slab: _Array) -> _Array:
        return np.asarray(slab.sum(axis=0, dtype=np.float64))

    def join(self, one: _Array, other: _Array) -> _Array:
        return one + other

    def finish(self, state: _Array) -> _Array:
        return state


@dataclass(frozen=True)
class _Mean(_Folded):
    """The average, in float64; its state is the number of planes and their sum."""

    def part(self, slab: _Array) -> tuple[int, _Array]:
        return len(slab), np.asarray(slab.sum(axis=0, dtype=np.float64))

    def join(self, one: tuple[int, _Array], other: tuple[int, _Array]) -> tuple[int, _Array]:
        return one[0] + other[0], one[1] + other[1]

    def finish(self, state: tuple[int, _Array]) -> _Array:
        count, total = state
        return total / count


class _Moments(NamedTuple):
    planes: int
    mean: _Array
    squares: _Array
    """Sum of squared deviations from the mean."""


@dataclass(frozen=True)
class _Deviation(_Folded):
    """The standard deviation, in float64.

    Slabs are joined by the formula of Chan, Golub and LeVeque (1983), which loses no digits.
    """

    def part(self, slab: _Array) -> _Moments:
        values = slab.astype(np.float64, copy=False)
        mean = values.mean(axis=0)
        return _Moments(len(slab), mean, np.square(values - mean).sum(axis=0))

    def join(self, one: _Moments, other: _Moments) -> _Moments:
        planes = one.planes + other.planes
        apart = other.mean - one.mean
        mean = one.mean + apart * (other.planes / planes)
        squares = one.squares + other.squares + apart**2 * (one.planes * other.planes / planes)
        return _Moments(planes, mean, squares)

    def finish(self, state: _Moments) -> _Array:
        return np.asarray(np.sqrt(state.squares / state.planes))


maximum = _Extreme(np.maximum)
minimum = _Extreme(np.minimum)
mean = _Mean()
std = _Deviation()
total = _Total()


def median(stack: _Array, **_: Any) -> _Array:
    """Return the median along the first axis; needs the whole stack at once."""
    return np.asarray(np.median(stack, axis=0))


_AXIS = Parameter(
    name="axis",
    type="choice",
    default="z",
    choices=("z", "t"),
    label="Over",
    help="The axis that is folded: depth or time.",
)


def _projection(name: str, title: str, function: str, help: str, *, is_value: bool) -> Operation:
    return Operation(
        name=name,
        title=title,
        group="Projections",
        function=f"{__name__}:{function}",
        kind="projection",
        output="image",
        parameters=(_AXIS,),
        halo_rule=pixelwise,
        dtype_rule=unchanged if is_value else floating,
        help=help,
    )


OPERATIONS = (
    _projection(
        "max_projection",
        "Maximum projection",
        "maximum",
        "Brightest value along the axis. The result has the image's dtype and range.",
        is_value=True,
    ),
    _projection(
        "mean_projection",
        "Mean projection",
        "mean",
        "Average along the axis. The result is floating point, in the image's own range.",
        is_value=False,
    ),
    _projection(
        "sum_projection",
        "Sum projection",
        "total",
        "Sum along the axis, as floating point: it does not wrap.",
        is_value=False,
    ),
    _projection(
        "min_projection",
        "Minimum projection",
        "minimum",
        "Darkest value along the axis. The result has the image's dtype and range.",
        is_value=True,
    ),
    _projection(
        "std_projection",
        "Standard deviation projection",
        "std",
        "How much each place varies along the axis. Floating point, in grey values.",
        is_value=False,
    ),
    _projection(
        "median_projection",
        "Median projection",
        "median",
        "Middle value along the axis, which a passing speck does not change. Floating point.",
        is_value=False,
    ),
)
