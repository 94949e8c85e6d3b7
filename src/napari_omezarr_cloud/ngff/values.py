"""Single JSON values, written by anyone: text and numbers that are safe to use and to show.

Each function answers ``None`` when the value is not what it should be, so that the caller can
write the note that names it.
"""

from __future__ import annotations

import math
import reprlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "finite_number",
    "listed",
    "number_or_text",
    "plain_text",
    "settled",
    "shown",
    "whole_number",
]

_MAX_NOTES = 100

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 300
_SHORT.maxlong = 40
_SHORT.maxlevel = 3


def shown(value: object) -> str:
    """Return a value as bounded text for a message: control characters escaped, long ones cut."""
    return _SHORT.repr(value)


def plain_text(value: object, *, limit: int = 500) -> str | None:
    """Return remote text as one printable line, or None when it is no text or blank.

    Markup is kept, since it is to be shown as it stands; line breaks, control characters and
    lone surrogates (which no file or window could encode) become blanks.
    """
    if not isinstance(value, str):
        return None
    line = "".join(c if c.isprintable() else " " for c in value[: limit + 1]).strip()
    return line[:limit] + "…" if len(line) > limit else line or None


def finite_number(value: object) -> float | None:
    """Return a JSON number as a finite float; None for bool, text, NaN, infinity and 10**400."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def number_or_text(value: object) -> float | None:
    """Return a finite number, also one that a writer put in quotes; else None."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return finite_number(value)


def whole_number(value: object) -> int | None:
    """Return a JSON number without a fraction as int (``2.0`` too), else None."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = finite_number(value)
    return int(number) if number is not None and number.is_integer() else None


def listed(items: Iterable[object], *, most: int = 8) -> str:
    """Join items for a sentence; after `most` of them only their number is said."""
    texts = [str(item) for item in items]
    if len(texts) > most:
        return f"{', '.join(texts[:most])} … ({len(texts)} in all)"
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def settled(notes: Iterable[str]) -> tuple[str, ...]:
    """Return each note once; after 100 only how many there were, since files can be hostile."""
    kept = list(dict.fromkeys(notes))
    more = len(kept) - _MAX_NOTES
    return (*kept[:_MAX_NOTES], *([f"There are {more:,} more notes."] if more > 0 else []))
