"""Affine maps between coordinate systems: a matrix and a translation, in the order of axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Affine", "Matrix"]

Vector = tuple[float, ...]
Matrix = tuple[Vector, ...]

_TINY = 1e-9
"""Relative to the largest entry: what rounding leaves where 0 was meant."""


@dataclass(frozen=True)
class Affine:
    """``output = matrix @ input + translation``.

    One row of the matrix for each output axis, one column for each input axis.
    """

    matrix: Matrix
    translation: Vector

    @classmethod
    def identity(cls, ndim: int) -> Affine:
        """Return the map that changes nothing."""
        return cls.diagonal((1.0,) * ndim)

    @classmethod
    def diagonal(cls, scale: Sequence[float], translation: Sequence[float] | None = None) -> Affine:
        """Return the map that scales each axis, then moves."""
        n = len(scale)
        rows = tuple(tuple(float(scale[i]) if i == j else 0.0 for j in range(n)) for i in range(n))
        return cls(rows, tuple(translation) if translation is not None else (0.0,) * n)

    @property
    def inputs(self) -> int:
        """Number of input axes."""
        return len(self.matrix[0]) if self.matrix else 0

    @property
    def outputs(self) -> int:
        """Number of output axes."""
        return len(self.matrix)

    @property
    def is_finite(self) -> bool:
        """Whether it can be calculated with."""
        return all(
            map(math.isfinite, (*self.translation, *(n for row in self.matrix for n in row)))
        )

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing, but for rounding."""
        return (
            self.inputs == self.outputs
            and all(
                abs(n - (i == j)) < _TINY
                for i, row in enumerate(self.matrix)
                for j, n in enumerate(row)
            )
            and all(abs(n) < _TINY for n in self.translation)
        )

    @property
    def axis_order(self) -> tuple[int, ...] | None:
        """The input axis that each output axis runs along, in its direction.

        None where an axis runs along none, along several, or backwards: what is turned or sheared.
        """
        tiny = _TINY * max((abs(n) for row in self.matrix for n in row), default=0)
        order = []
        for row in self.matrix:
            linked = [j for j, n in enumerate(row) if abs(n) > tiny]
            if len(linked) != 1 or row[linked[0]] < 0:
                return None
            order.append(linked[0])
        return tuple(order) if sorted(order) == list(range(self.inputs)) else None

    @property
    def scale(self) -> Vector | None:
        """The factor of each axis where it only scales and moves, factors > 0; else None."""
        if self.axis_order != tuple(range(self.outputs)):
            return None
        return tuple(row[i] for i, row in enumerate(self.matrix))

    def __call__(self, point: Sequence[float]) -> Vector:
        """Return where a point comes to lie."""
        return tuple(
            sum(n * x for n, x in zip(row, point, strict=True)) + t
            for row, t in zip(self.matrix, self.translation, strict=True)
        )

    def then(self, later: Affine) -> Affine:
        """Return the map that does this one first and `later` after it.

        Raises
        ------
        ValueError
            If `later` takes another number of axes than this one gives.
        """
        columns = list(zip(*self.matrix, strict=True))
        matrix = tuple(
            tuple(sum(a * b for a, b in zip(row, column, strict=True)) for column in columns)
            for row in later.matrix
        )
        return Affine(matrix, later(self.translation))

    def inverse(self) -> Affine | None:
        """Return the map back; None where there is none: it folds, or adds axes."""
        n = self.outputs
        if n != self.inputs or not self.is_finite:
            return None
        rows = [[*row, *(float(i == j) for j in range(n))] for i, row in enumerate(self.matrix)]
        for i in range(n):
            pivot = max(range(i, n), key=lambda k: abs(rows[k][i]))
            # Against its own column, since axes may differ in unit by many orders of magnitude.
            if abs(rows[pivot][i]) <= 1e-12 * max(map(abs, self.matrix_column(i))):
                return None
            rows[i], rows[pivot] = rows[pivot], rows[i]
            rows[i] = [value / rows[i][i] for value in rows[i]]
            for k in range(n):
                if k != i and rows[k][i]:
                    factor = rows[k][i]
                    rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
        linear = Affine(tuple(tuple(row[n:]) for row in rows), (0.0,) * n)
        back = Affine(linear.matrix, tuple(-x for x in linear(self.translation)))
        return back if back.is_finite else None

    def restricted(self, inputs: Sequence[int]) -> tuple[Affine, tuple[int, ...]] | None:
        """Return the map of some input axes alone, and the output axes that they lead to.

        Parameters
        ----------
        inputs
            Input axes to keep, in the order wanted. The output axes keep theirs.

        Returns
        -------
        tuple or None
            None where the others cannot be left out: they mix with those that are kept, or the
            numbers of axes differ.
        """
        others = [j for j in range(self.inputs) if j not in inputs]
        tiny = _TINY * max((abs(n) for row in self.matrix for n in row), default=0)
        rows = [
            i
            for i, row in enumerate(self.matrix)
            if any(abs(row[j]) > tiny for j in inputs)
            or not any(abs(row[j]) > tiny for j in others)
        ]
        if len(rows) != len(inputs) or any(
            abs(self.matrix[i][j]) > tiny for i in rows for j in others
        ):
            return None
        matrix = tuple(tuple(self.matrix[i][j] for j in inputs) for i in rows)
        return Affine(matrix, tuple(self.translation[i] for i in rows)), tuple(rows)

    def matrix_column(self, axis: int) -> Vector:
        """Return where one step along an input axis leads."""
        return tuple(row[axis] for row in self.matrix)
