"""Units of axes, as writers spell them: how many micrometres, or which unit of time."""

from __future__ import annotations

__all__ = ["micrometres", "seconds", "time_unit"]

_PREFIXES = {
    "yocto": -24,
    "zepto": -21,
    "atto": -18,
    "femto": -15,
    "pico": -12,
    "nano": -9,
    "micro": -6,
    "milli": -3,
    "centi": -2,
    "deci": -1,
    "": 0,
    "hecto": 2,
    "kilo": 3,
    "mega": 6,
    "giga": 9,
    "tera": 12,
    "peta": 15,
    "exa": 18,
    "zetta": 21,
    "yotta": 24,
}
"""Powers of ten of the prefixes that the units of OME-Zarr have."""

_MICROMETRES = {
    **{f"{prefix}meter": float(f"1e{power + 6}") for prefix, power in _PREFIXES.items()},
    "angstrom": 1e-4,
    "inch": 25400.0,
    "foot": 304800.0,
    "yard": 914400.0,
    "mile": 1.609344e9,
    "parsec": 3.0856775814913673e22,
}
_SECONDS = {
    **{f"{prefix}second": float(f"1e{power}") for prefix, power in _PREFIXES.items()},
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
}
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
    "ps": "picosecond",
    "ns": "nanosecond",
    "us": "microsecond",
    "\N{MICRO SIGN}s": "microsecond",
    "\N{GREEK SMALL LETTER MU}s": "microsecond",
    "ms": "millisecond",
    "s": "second",
    "sec": "second",
    "secs": "second",
    "min": "minute",
    "mins": "minute",
    "h": "hour",
    "hr": "hour",
    "hrs": "hour",
    "d": "day",
}


def micrometres(unit: str | None) -> float | None:
    """Return how many micrometres one of a unit is; None if it is no length that we know."""
    return _MICROMETRES.get(_spelled_out(unit))


def seconds(unit: str | None) -> float | None:
    """Return how many seconds one of a unit is; None if it is no time that we know."""
    return _SECONDS.get(_spelled_out(unit))


def time_unit(unit: str | None) -> str | None:
    """Return the full name of a unit of time (``"second"``); None if it is none that we know."""
    word = _spelled_out(unit)
    return word if word in _SECONDS else None


def _spelled_out(unit: str | None) -> str:
    word = (unit or "").strip().lower().replace("metre", "meter")
    word = _SPELLINGS.get(word, word)
    singular = word.removesuffix("s")
    return singular if singular in _MICROMETRES or singular in _SECONDS else word
