"""Functions that cannot be imported by a path, kept by it.

An operation names its function as ``"package.module:function"``. What was defined in a notebook, at
the prompt or inside another function is at no such place; it is known here from the moment it is
made an operation. One that is defined again gets a path of its own: layers and chunks that were
made with the earlier one stay what they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["remember", "remembered", "without_version"]

_kept: dict[str, Callable[..., Any]] = {}


def remember(function: Callable[..., Any]) -> str:
    """Keep a function; return its path, the second of one name as ``"module:name#2"``."""
    path = first = f"{function.__module__}:{function.__qualname__}"
    version = 1
    while _kept.setdefault(path, function) is not function:
        version += 1
        path = f"{first}#{version}"
    return path


def without_version(path: str) -> str:
    """Return what all functions of one module and name have in common."""
    return path.partition("#")[0]


def remembered(path: str) -> Callable[..., Any] | None:
    """Return the function that is kept by a path, if there is one."""
    return _kept.get(path)
