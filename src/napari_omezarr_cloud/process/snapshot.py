"""One operation on arrays with all axes of their image.

An image has more axes than an operation works on: time, channels, and the axis that a projection
folds. Here they are put aside and put back, so that the result has the axes of its source and can
be laid over it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
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
        """Compute, in the calling thread, and tell what was measured.

        Parameters
        ----------
        arrays
            One per input, all of one shape; every position along an axis that is neither space,
            nor folded, nor colour is treated alone. They are not changed.

        Raises
        ------
        OperationError
            If the arrays or values do not suit the operation.
        """
        op = self.operation
        values = validate(op, self.values)
        # Measured first and then given: what is shown as measured is what was used.
        values |= self.measure(arrays)
        return Snapshot(replace(self, values=values)(arrays), values)

    def measure(self, arrays: Sequence[_Array]) -> dict[str, float]:
        """Return what the operation needs to be measured first, over all of the arrays.

        Raises
        ------
        OperationError
            If there is nothing that can be measured.
        """
        inputs = [self._ordered(array) for array in arrays]
        if math.prod(inputs[0].shape[: len(self._others(inputs[0].ndim))]) > 1:
            plane = 2 + self.rgb
            inputs = [array.reshape(-1, *array.shape[-plane:]) for array in inputs]
        else:
            inputs = [array[(0,) * len(self._others(array.ndim))] for array in inputs]
        return statistic(self.operation, inputs, self.values, rgb=self.rgb)

    def __call__(self, arrays: Sequence[_Array]) -> _Array:
        """Return the result for arrays of any extent: each position along the other axes alone.

        Parameters
        ----------
        arrays
            As for `run`, but as thick along the other axes as one likes.

        Returns
        -------
        ndarray
            In the axes of the arrays: one voxel thick along the folded one, and without colours
            where the operation takes them together.
        """
        inputs = [self._ordered(array) for array in arrays]
        others = len(self._others(arrays[0].ndim))
        where = list(np.ndindex(inputs[0].shape[:others]))
        parts = [self._run([array[index] for array in inputs]) for index in where]
        result = parts[0][np.newaxis] if len(parts) == 1 else np.stack(parts)
        return self._restored(result, arrays[0].shape)

    def _run(self, inputs: Sequence[_Array]) -> _Array:
        return run(self.operation, inputs, self.values, spacing=self.spacing, rgb=self.rgb)

    def _others(self, ndim: int) -> tuple[int, ...]:
        """Return the axes of which every position is treated alone."""
        known = {*self.space, self.folded, ndim - 1 if self.rgb else None}
        return tuple(axis for axis in range(ndim) if axis not in known)

    def _order(self, ndim: int) -> tuple[int, ...]:
        """Return the axes as the operation knows them: others, folded, space, colours."""
        front = () if self.folded is None else (self.folded,)
        colour = (ndim - 1,) if self.rgb else ()
        return (*self._others(ndim), *front, *self.space, *colour)

    def _ordered(self, array: _Array) -> _Array:
        ordered: _Array = np.transpose(array, self._order(array.ndim))
        return ordered

    def _restored(self, result: _Array, shape: tuple[int, ...]) -> _Array:
        """Give a result (others flattened, space, colours) the axes of its source."""
        ndim = len(shape)
        order = [axis for axis in self._order(ndim) if axis != self.folded]
        if self.rgb and self.operation.colours != "each":
            order.remove(ndim - 1)
        result = result.reshape([shape[axis] for axis in order])
        result = np.transpose(result, np.argsort(order))
        return result if self.folded is None else np.expand_dims(result, self.folded)
