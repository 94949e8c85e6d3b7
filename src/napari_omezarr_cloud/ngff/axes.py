"""Axes: their names, types and units, stated or guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_omezarr_cloud.ngff.values import listed, plain_text, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Axis", "guess_axes", "guess_plain_axes", "named_axes", "parse_axes"]

_TYPE_OF_NAME = {
    "t": "time",
    "time": "time",
    "c": "channel",
    "ch": "channel",
    "channel": "channel",
    "z": "space",
    "y": "space",
    "x": "space",
}
_NO_UNIT = frozenset({"", "none", "null", "nan", "n/a", "na", "unknown", "undefined", "unit"})


@dataclass(frozen=True)
class Axis:
    """One axis of an image; axes come in the order of the array's dimensions."""

    name: str
    """As written: ``"z"``, and ``"Z"`` from writers that prefer it."""
    type: str | None = None
    """``"space"``, ``"time"``, ``"channel"`` or another word of the writer; None: no idea."""
    unit: str | None = None
    """As written, mostly UDUNITS-2 (``"micrometer"``); None: not stated."""


def parse_axes(value: object, *, notes: list[str]) -> tuple[Axis, ...]:
    """Return the axes that ``multiscales[].axes`` holds, in the order of dimensions.

    Parameters
    ----------
    value
        Strings (version 0.3) or objects with ``name``, ``type`` and ``unit`` (since 0.4).
    notes
        Gets a sentence for each thing that is missing or odd.

    Returns
    -------
    tuple of Axis
        Empty when there are no usable axes, which :func:`resolve_axes` fills as soon as the
        number of dimensions is known.
    """
    if value is None:
        return ()
    names = [_name(item) for item in value] if isinstance(value, list) else []
    if not names or None in names:
        notes.append(f"The axes {shown(value)} have no usable names.")
        return ()
    if len(set(names)) < len(names):
        notes.append(f"The names of the axes repeat ({shown(names)}), so they were not used.")
        return ()
    assert isinstance(value, list)  # noqa: S101 (for the type checker: names came from it)
    axes = tuple(_axis(str(name), item, notes) for name, item in zip(names, value, strict=True))
    untyped = [axis for axis, item in zip(axes, value, strict=True) if _lacks_type(item)]
    if untyped:
        told = listed(f"{axis.name} ({axis.type or 'unknown'})" for axis in untyped)
        notes.append(f"Axes without a type, which was guessed from the name: {told}.")
    return axes


def guess_axes(ndim: int, *, has_channels: bool = False) -> tuple[Axis, ...]:
    """Return the last `ndim` of t, c, z, y, x; further ones in front are ``dim_0`` and so on.

    Parameters
    ----------
    ndim
        Number of dimensions of the array.
    has_channels
        If several channels are described: three dimensions are then c, y, x.
    """
    names = list("cyx" if has_channels and ndim == 3 else "tczyx"[max(0, 5 - ndim) :])
    names = [f"dim_{i}" for i in range(ndim - len(names))] + names
    return tuple(Axis(name, _TYPE_OF_NAME.get(name)) for name in names)


def guess_plain_axes(shape: Sequence[int]) -> tuple[Axis, ...]:
    """Return the axes that an array without any description most likely has.

    Parameters
    ----------
    shape
        Of the array.

    Returns
    -------
    tuple of Axis
        The last of t, c, z, y, x; of three dimensions, a first one of up to four is c and a last
        one of three or four, c of a colour picture: y, x, c.
    """
    if len(shape) == 3 and shape[2] in (3, 4) and min(shape[:2]) > 4:
        return named_axes("yxc")
    return guess_axes(len(shape), has_channels=len(shape) == 3 and shape[0] <= 4)


def named_axes(names: Sequence[str], known: Sequence[Axis] = ()) -> tuple[Axis, ...]:
    """Return axes of these names; type and unit are those of known ones of the same name."""
    stated = {axis.name: axis for axis in known}
    return tuple(stated.get(name, Axis(name, _TYPE_OF_NAME.get(name.lower()))) for name in names)


def _name(item: object) -> str | None:
    return plain_text(item.get("name") if isinstance(item, dict) else item, limit=100)


def _axis(name: str, item: object, notes: list[str]) -> Axis:
    guess = _TYPE_OF_NAME.get(name.lower())
    if not isinstance(item, dict):
        return Axis(name, guess)
    stated = plain_text(item.get("type"), limit=100)
    return Axis(name, stated.lower() if stated else guess, _unit(name, item.get("unit"), notes))


def _lacks_type(item: object) -> bool:
    # Axes that are strings (0.3) cannot have one.
    return isinstance(item, dict) and plain_text(item.get("type")) is None


def _unit(name: str, value: object, notes: list[str]) -> str | None:
    unit = plain_text(value, limit=100)
    if value is None or (unit and unit.lower() not in _NO_UNIT):
        return unit
    notes.append(f"The unit {shown(value)} of the axis {shown(name)} says nothing.")
    return None
