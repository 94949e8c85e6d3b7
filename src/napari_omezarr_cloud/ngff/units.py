"""Units of axes, as writers spell them: how many micrometres, or which unit of time."""

from __future__ import annotations

__all__ = ["micrometres", "time_unit"]

_MICROMETRES = {
    "femtometer": 1e-9,
    "picometer": 1e-6,
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "decimeter": 1e5,
    "meter": 1e6,
    "kilometer": 1e9,
    "inch": 25400.0,
    "foot": 304800.0,
    "yard": 914400.0,
    "mile": 1.609344e9,
}
_TIMES = ("nanosecond", "microsecond", "millisecond", "second", "minute", "hour", "day")
_SPELLINGS = {
    "å": "angstrom",
    "nm": "nanometer",
    "um": "micrometer",
    "\N{MICRO SIGN}m": "micrometer",
    "\N{GREEK SMALL LETTER MU}m": "micrometer",
    "micron": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "ns": "nanosecond",
    "us": "microsecond",
    "\N{MICRO SIGN}s": "microsecond",
    "\N{GREEK SMALL LETTER MU}s": "microsecond",
    "ms": "millisecond",
    "s": "second",
    "sec": "second",
    "min": "minute",
    "h": "hour",
    "d": "day",
}


def micrometres(unit: str | None) -> float | None:
    """Return how many micrometres one of a unit is; None if it is no length that we know."""
    return _MICROMETRES.get(_spelled_out(unit))


def time_unit(unit: str | None) -> str | None:
    """Return the full name of a unit of time (``"second"``); None if it is none that we know."""
    word = _spelled_out(unit)
    return word if word in _TIMES else None


def _spelled_out(unit: str | None) -> str:
    word = (unit or "").strip().lower().replace("metre", "meter")
    word = _SPELLINGS.get(word, word)
    singular = word.removesuffix("s")
    return singular if singular in _MICROMETRES or singular in _TIMES else word
