"""A plain Python value as a person types it: ``3``, ``None``, ``(1, 2)``, ``reflect``."""

from __future__ import annotations

import ast
from typing import Any, TypeAlias

import numpy as np

__all__ = ["Literal", "plain_literal", "typed"]

Literal: TypeAlias = "bool | int | float | str | tuple[Literal, ...] | None"


def plain_literal(value: Any) -> Literal:
    """Return a value as plain numbers, words and tuples of them.

    Parameters
    ----------
    value
        From a form, a recipe or a script. A text is read as Python would; where it cannot be, and
        does not look as if it should, it stands for itself. Lists (YAML has no tuples), ranges
        and arrays become tuples.

    Raises
    ------
    ValueError
        If it is anything else, or a text with an open bracket or quote.
    """
    if isinstance(value, str):
        return _plain(_read(value))
    return _plain(value)


def typed(value: Literal) -> str:
    """Return what to type for a value; the inverse of `plain_literal`."""
    if isinstance(value, str):
        return value if _reads_as_itself(value) else repr(value)
    return repr(value)


def _reads_as_itself(text: str) -> bool:
    try:
        return bool(_read(text) == text)
    except ValueError:
        return False


def _read(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        words = text.strip()
        if not words or not (words[0].isalpha() or words[0] == "_") or set(words) & set("([{'\""):
            raise ValueError(f"{text!r} cannot be read as a value") from None
        return words


def _plain(value: Any) -> Literal:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None:
        return None
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, tuple | list | range):
        return tuple(_plain(part) for part in value)
    raise ValueError(f"{value!r} is neither a number, a text, nor a list of them")
