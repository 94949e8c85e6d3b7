"""One coordinate transformation of version 0.6 (RFC-5) → an `Affine`, or a note why it is none.

``projectAxis``, ``displacements``, ``coordinates`` and what is kept as binary data are named in a
note and not used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from napari_omezarr_cloud.ngff.affine import Affine
from napari_omezarr_cloud.ngff.values import number_or_text, shown, whole_number

__all__ = ["MAX_AXES", "MOST_STEPS", "TransformationReader"]

MAX_AXES = 8
"""Systems with more axes are not used."""

MOST_STEPS = 2000
"""Transformations that are read of one document; files can be hostile."""

_IS_ROTATION = 0.01
"""How far a rotation may be from orthonormal: some are written with three digits."""

Names = tuple[str, ...]


class _UnusableError(Exception):
    """What is wrong with a transformation; becomes a note."""


@dataclass
class TransformationReader:
    """Reads the transformations of one document, within a bound on their number."""

    notes: list[str]
    """Gets a sentence for each that is not used."""
    left: int = field(default=MOST_STEPS)
    """How many more are read."""

    def read(self, item: object, inputs: Names, outputs: Names | None, *, of: str) -> Affine | None:
        """Return what a transformation does; None, with a note, where it is not affine or wrong.

        Parameters
        ----------
        item
            The JSON object.
        inputs, outputs
            Names of the axes it takes and gives; outputs are None where they are not known.
        of
            Whose it is, for notes: ``"the scene"``.
        """
        try:
            affine = self._read(item, inputs, outputs)
            if outputs is not None and affine.outputs != len(outputs):
                raise _UnusableError(
                    f"gives {affine.outputs} axes where the coordinate system has {len(outputs)}"
                )
            if not affine.is_finite:
                raise _UnusableError("exceeds what can be calculated with")
        except _UnusableError as error:
            self.notes.append(f"A transformation of {of} is not used: {_called(item)} {error}.")
            return None
        return affine

    def _read(self, item: object, inputs: Names, outputs: Names | None) -> Affine:
        if self.left <= 0:
            raise _UnusableError("is one of too many")
        self.left -= 1
        if not isinstance(item, dict):
            raise _UnusableError("is no object")
        kind = item.get("type")
        if kind is None:
            kind = next((name for name in ("scale", "translation", "affine") if name in item), None)
        if kind == "sequence":
            return self._sequence(item, inputs, outputs)
        if kind == "byDimension":
            return self._by_dimension(item, inputs, outputs)
        if kind == "bijection":
            return self._bijection(item, inputs, outputs)
        if kind == "identity":
            return Affine.identity(len(inputs))
        if not isinstance(kind, str) or kind not in _READERS:
            raise _UnusableError("is of a type that is not shown")
        if item.get(kind) is None and "path" in item:
            raise _UnusableError("is kept as binary data, which are not read")
        affine = _READERS[kind](item.get(kind), inputs, outputs)
        if kind == "affine" and len(item[kind]) > affine.outputs:
            self.notes.append("An affine has a last row of 0 … 0 1, which was left out.")
        return affine

    def _sequence(self, item: dict[str, Any], inputs: Names, outputs: Names | None) -> Affine:
        steps = item.get("transformations")
        if not isinstance(steps, list):
            raise _UnusableError("lists no transformations")
        whole = Affine.identity(len(inputs))
        for number, step in enumerate(steps):
            given = inputs if whole.outputs == len(inputs) else _numbered(whole.outputs)
            wanted = outputs if number == len(steps) - 1 else None
            if isinstance(step, dict) and _part_axes(step, "input") is not None:
                raise _UnusableError("holds steps for a part of the axes")
            try:
                whole = whole.then(self._read(step, given, wanted))
            except _UnusableError as error:
                raise _UnusableError(f"holds {_called(step)}, which {error}") from None
        return whole

    def _by_dimension(self, item: dict[str, Any], inputs: Names, outputs: Names | None) -> Affine:
        parts = item.get("transformations")
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            raise _UnusableError("lists no transformations")
        rows: dict[int, tuple[tuple[float, ...], float]] = {}
        for part in parts:
            taken = _axes(_part_axes(part, "input"), inputs)
            given = _axes(_part_axes(part, "output"), outputs or ())
            # Drafts had the axes inside the transformation itself.
            inner = part.get("transformation", part)
            names = tuple(inputs[axis] for axis in taken)
            try:
                affine = self._read(inner, names, None)
            except _UnusableError as error:
                raise _UnusableError(f"holds {_called(inner)}, which {error}") from None
            if affine.outputs != len(given):
                raise _UnusableError("holds a part for another number of axes")
            for axis, row, shift in zip(given, affine.matrix, affine.translation, strict=True):
                if axis in rows:
                    raise _UnusableError("gives one axis twice")
                whole = [0.0] * len(inputs)
                for value, at in zip(row, taken, strict=True):
                    whole[at] = value
                rows[axis] = tuple(whole), shift
        missing = [axis for axis in range(len(inputs)) if axis not in rows]
        untouched = all(row[axis] == 0 for row, _ in rows.values() for axis in missing) and len(
            outputs or inputs
        ) == len(inputs)
        if missing and untouched:
            self.notes.append(
                f"A byDimension leaves out the axes {missing}; they stay as they are."
            )
            for axis in missing:
                rows[axis] = tuple(float(axis == j) for j in range(len(inputs))), 0.0
        if sorted(rows) != list(range(len(rows))):
            raise _UnusableError("does not give every axis")
        ordered = [rows[axis] for axis in range(len(rows))]
        return Affine(tuple(row for row, _ in ordered), tuple(shift for _, shift in ordered))

    def _bijection(self, item: dict[str, Any], inputs: Names, outputs: Names | None) -> Affine:
        try:
            return self._read(item.get("forward"), inputs, outputs)
        except _UnusableError as error:
            raise _UnusableError(
                f"holds {_called(item.get('forward'))} as its forward part, which {error}"
            ) from None


def _scale(value: object, inputs: Names, outputs: Names | None) -> Affine:
    scale = _vector(value, len(inputs))
    if 0 in scale:
        raise _UnusableError("holds 0")
    return Affine.diagonal(scale)


def _translation(value: object, inputs: Names, outputs: Names | None) -> Affine:
    return Affine.diagonal((1.0,) * len(inputs), _vector(value, len(inputs)))


def _map_axis(value: object, inputs: Names, outputs: Names | None) -> Affine:
    if isinstance(value, dict) and outputs is not None:  # drafts: output name → input name
        value = [value.get(name) for name in outputs]
    order = _axes(value, inputs)
    if sorted(order) != list(range(len(inputs))):
        raise _UnusableError(f"({shown(value)}) is no new order of {len(inputs)} axes")
    rows = tuple(tuple(float(axis == j) for j in range(len(inputs))) for axis in order)
    return Affine(rows, (0.0,) * len(rows))


def _affine(value: object, inputs: Names, outputs: Names | None) -> Affine:
    n = len(inputs)
    rows = _rows(value, n + 1)
    wanted = n if outputs is None else len(outputs)
    if len(rows) == wanted + 1 and rows[-1] == (*(0.0,) * n, 1.0):
        rows = rows[:-1]  # the homogeneous row, which some write though the specification does not
    return Affine(tuple(row[:-1] for row in rows), tuple(row[-1] for row in rows))


def _rotation(value: object, inputs: Names, outputs: Names | None) -> Affine:
    n = len(inputs)
    rows = _rows(value, n)
    if len(rows) != n:
        raise _UnusableError(f"has {len(rows)} rows for {n} axes")
    for i, first in enumerate(rows):
        for j, second in enumerate(rows):
            product = sum(a * b for a, b in zip(first, second, strict=True))
            # Written so that infinity and NaN do not pass either.
            if not abs(product - (i == j)) < _IS_ROTATION:
                raise _UnusableError(f"({shown(value)}) is no matrix of a rotation")
    return Affine(rows, (0.0,) * n)


_READERS = {
    "scale": _scale,
    "translation": _translation,
    "mapAxis": _map_axis,
    "affine": _affine,
    "rotation": _rotation,
}


def _vector(value: object, count: int) -> tuple[float, ...]:
    values = value if isinstance(value, list) else []
    vector = tuple(number for each in values if (number := number_or_text(each)) is not None)
    if not values or len(vector) != len(values):
        raise _UnusableError(f"({shown(value)}) is no list of numbers")
    if len(vector) != count:
        raise _UnusableError(f"has {len(vector)} numbers for {count} axes")
    return vector


def _rows(value: object, count: int) -> tuple[tuple[float, ...], ...]:
    if not isinstance(value, list) or not value or len(value) > MAX_AXES + 1:
        raise _UnusableError(f"({shown(value)}) is no matrix")
    return tuple(_vector(row, count) for row in value)


def _axes(value: object, names: Names) -> list[int]:
    """Return positions of axes, which drafts gave by name."""
    if not isinstance(value, list) or not value or len(value) > MAX_AXES:
        raise _UnusableError(f"names no axes ({shown(value)})")
    found = []
    for each in value:
        number = whole_number(each)
        if isinstance(each, str) and each in names:
            number = names.index(each)
        if number is None or not 0 <= number < (len(names) or MAX_AXES):
            raise _UnusableError(f"names an axis that is not there ({shown(each)})")
        found.append(number)
    if len(set(found)) < len(found):
        raise _UnusableError(f"names one axis twice ({shown(value)})")
    return found


def _part_axes(part: dict[str, Any], side: str) -> object:
    """Return what a part of the axes is given as, which drafts of version 0.6 spelled otherwise."""
    for name in (f"{side}Axes", f"{side}_axes"):
        if part.get(name) is not None:
            return part[name]
    names = part.get(side)  # the first drafts; a string is the name of a coordinate system
    return names if isinstance(names, list) else None


def _numbered(count: int) -> Names:
    return tuple(f"dim_{i}" for i in range(count))


def _called(item: object) -> str:
    kind = item.get("type") if isinstance(item, dict) else None
    return (
        f"the {kind}" if isinstance(kind, str) and kind in _KNOWN else f"one of type {shown(kind)}"
    )


_KNOWN = frozenset(
    (
        *_READERS,
        *("identity", "sequence", "byDimension", "bijection"),
        *("projectAxis", "displacements", "coordinates"),
    )
)
