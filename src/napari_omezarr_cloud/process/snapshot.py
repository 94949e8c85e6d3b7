"""One operation on one region, as arrays: the half of a snapshot that knows no window.

A layer's array has more axes than an operation works on: sliders, one voxel thick, and the axis
that a projection folds. Here they are put aside and put back, so that the result has the axes of
its source and can be laid over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.process.operation import Operation, Value, validate
from napari_omezarr_cloud.process.run import run, statistic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Snapshot", "Task"]

_Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class Snapshot:
    """A result, and what it was made with."""

    pixels: _Array
    """Axes as the source; the folded one is one voxel thick."""
    values: Mapping[str, Value]
    """Every parameter, what was measured on the pixels too."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What to compute from arrays that are here.

    Attributes
    ----------
    operation, values
        What to run.
    space
        Axes of the arrays that the operation works along, ascending.
    folded
        The axis that a projection folds.
    spacing
        Size of a voxel per axis of ``space``, in the unit of the lengths (µm, or level-0 pixels).
    rgb
        The arrays have colours on their last axis.
    """

    operation: Operation
    values: Mapping[str, Any]
    space: tuple[int, ...]
    folded: int | None = None
    spacing: tuple[float, ...] | None = None
    rgb: bool = False

    def run(self, arrays: Sequence[_Array]) -> Snapshot:
        """Compute, in the calling thread.

        Parameters
        ----------
        arrays
            One per input, all of one shape; one voxel thick along every axis that is neither
            space, nor folded, nor colour. They are not changed.

        Raises
        ------
        OperationError
            If the arrays or values do not suit the operation.
        """
        op = self.operation
        inputs = [self._reduced(array) for array in arrays]
        values = validate(op, self.values)
        # Measured first and then given: what is shown as measured is what was used.
        values |= statistic(op, inputs, values, rgb=self.rgb)
        result = run(op, inputs, values, spacing=self.spacing, rgb=self.rgb)
        whole = arrays[0].shape
        axes = whole[:-1] if self.rgb else whole
        shape = [n if axis in self.space else 1 for axis, n in enumerate(axes)]
        if self.rgb and op.colours == "each":
            shape.append(whole[-1])
        return Snapshot(result.reshape(shape), values)

    def _reduced(self, array: _Array) -> _Array:
        """Return the array with the axes the operation knows: folded first, colours last."""
        front = () if self.folded is None else (self.folded,)
        colour = (array.ndim - 1,) if self.rgb else ()
        kept = (*front, *self.space, *colour)
        rest = tuple(axis for axis in range(array.ndim) if axis not in kept)
        reduced: _Array = np.transpose(array, (*rest, *kept))[(0,) * len(rest)]
        return reduced
