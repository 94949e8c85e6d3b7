"""``coordinateTransformations``: scale and translation per axis, in the order they are listed."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.ngff.values import number_or_text, shown

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Transform", "Vector", "parse_transforms"]

Vector = tuple[float, ...]


@dataclass(frozen=True)
class Transform:
    """``output = scale * input + translation``, axis by axis; None: that part was not stated."""

    scale: Vector | None = None
    """Factors, never 0 and never negative, in the order of the array's dimensions."""
    translation: Vector | None = None
    """In the units of the output, in the order of the array's dimensions."""

    @property
    def ndim(self) -> int | None:
        """Number of axes, None when nothing is stated."""
        stated = self.scale if self.scale is not None else self.translation
        return None if stated is None else len(stated)

    def then(self, later: Transform) -> Transform:
        """Return the transform that does this one first and `later` after it.

        Raises
        ------
        ValueError
            If both state something for different numbers of axes.
        """
        moved = self.translation and _combined(self.translation, later.scale, operator.mul)
        return Transform(
            _combined(self.scale, later.scale, operator.mul),
            _combined(moved, later.translation, operator.add),
        )


def parse_transforms(value: object, *, of: str, notes: list[str]) -> Transform:
    """Return what a list of transformations does together.

    Parameters
    ----------
    value
        The JSON value of ``coordinateTransformations``; None when it is absent.
    of
        Whose they are, for notes: ``"level 0"``.
    notes
        Gets a sentence for everything that was not used (text, NaN, 0, another number of axes,
        binary data, kinds other than scale, translation, identity and sequence) or was changed
        (numbers written as text, negative scales).

    Returns
    -------
    Transform
        Without scale or translation where none is usable.
    """
    if isinstance(value, dict):
        notes.append(f"The transformations of {of} are one object, not a list.")
        value = [value]
    if value is None:
        return Transform()
    if not isinstance(value, list):
        notes.append(f"The coordinateTransformations {shown(value)} of {of} are no list.")
        return Transform()
    whole = Transform()
    for item in value:
        step = _parse_one(item, of, notes)
        if None not in (whole.ndim, step.ndim) and whole.ndim != step.ndim:
            notes.append(f"{_begin(of)} has transformations for different numbers of axes.")
        else:
            whole = whole.then(step)
    return whole


def _parse_one(item: object, of: str, notes: list[str]) -> Transform:
    if not isinstance(item, dict):
        notes.append(f"The transformation {shown(item)} of {of} is no object.")
        return Transform()
    kind = _kind(item)
    if kind == "sequence":
        return parse_transforms(item.get("transformations"), of=of, notes=notes)
    if kind == "scale":
        return Transform(scale=_scale(item, of, notes))
    if kind == "translation":
        return Transform(translation=_vector(item, kind, of, notes))
    if kind != "identity":
        notes.append(f"{_begin(of)} has a transformation of type {shown(kind)}, which is not used.")
    return Transform()


def _kind(item: dict[str, Any]) -> object:
    if "type" in item:
        return item["type"]
    return next((kind for kind in ("scale", "translation") if kind in item), None)


def _vector(item: dict[str, Any], kind: str, of: str, notes: list[str]) -> Vector | None:
    values = item.get(kind)
    if values is None and "path" in item:
        notes.append(f"The {kind} of {of} is kept as binary data, which are not read.")
        return None
    if not isinstance(values, list):
        values = []
    vector = tuple(number for value in values if (number := number_or_text(value)) is not None)
    if not values or len(vector) < len(values):
        notes.append(
            f"The {kind} {shown(item.get(kind))} of {of} is no list of numbers; it is not used."
        )
        return None
    if any(isinstance(value, str) for value in values):
        notes.append(f"The {kind} {shown(values)} of {of} holds numbers written as text.")
    return vector


def _scale(item: dict[str, Any], of: str, notes: list[str]) -> Vector | None:
    vector = _vector(item, "scale", of, notes)
    if vector is None or all(number > 0 for number in vector):
        return vector
    if 0 in vector:
        notes.append(f"The scale {shown(vector)} of {of} holds 0; it is not used.")
        return None
    # A mirrored axis would also move the image; size is what scale is trusted for.
    notes.append(f"The scale {shown(vector)} of {of} is negative; its size is used, not its sign.")
    return tuple(abs(number) for number in vector)


def _combined(
    first: Vector | None, second: Vector | None, how: Callable[[float, float], float]
) -> Vector | None:
    if first is None or second is None:
        return first if second is None else second
    return tuple(how(a, b) for a, b in zip(first, second, strict=True))


def _begin(of: str) -> str:
    return of[:1].upper() + of[1:]
