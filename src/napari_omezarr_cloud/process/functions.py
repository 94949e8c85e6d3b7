"""Functions that cannot be imported by a path, kept by it.

An operation names its function as ``"package.module:function"``. What was defined in a notebook, at
the prompt or inside another function is at no such place; it is known here from the moment it is
made an operation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["remember", "remembered"]

_kept: dict[str, Callable[..., Any]] = {}


def remember(function: Callable[..., Any]) -> str:
    """Keep a function, in place of an earlier one of the same module and name; return its path."""
    path = f"{function.__module__}:{function.__qualname__}"
    _kept[path] = function
    return path


def remembered(path: str) -> Callable[..., Any] | None:
    """Return the function that is kept by a path, if there is one."""
    return _kept.get(path)
