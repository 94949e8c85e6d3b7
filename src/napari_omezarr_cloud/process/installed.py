"""Operations that installed packages bring.

They announce them as entry points of the group ``napari_omezarr_cloud.operations``; each names a
module (imported for its decorators), an `Operation`, or a list of them.
"""

from __future__ import annotations

import threading
import warnings
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process.functions import remembered
from napari_omezarr_cloud.process.operation import Operation
from napari_omezarr_cloud.process.registry import add_operation

__all__ = ["ENTRY_POINTS", "load_installed"]

ENTRY_POINTS = "napari_omezarr_cloud.operations"
"""The group of entry points that is looked for."""

_loading = threading.RLock()
_is_begun = _is_done = False


def load_installed() -> None:
    """Add the operations of installed packages; does it once.

    A package whose operations cannot be loaded is named in a warning, and the rest goes on.
    """
    global _is_begun, _is_done
    if _is_done:
        return
    with _loading:
        if _is_begun:  # by this thread: what is imported here may ask for operations itself
            return
        _is_begun = True
        problems = [problem for entry in _entries() if (problem := _load(entry))]
        _is_done = True
    for problem in problems:
        warnings.warn(str(problem), stacklevel=3)


def _entries() -> list[EntryPoint]:
    found = entry_points(group=ENTRY_POINTS)
    return sorted(found, key=lambda entry: (_distribution(entry), entry.name))


def _load(entry: EntryPoint) -> OperationError | None:
    """Add what an entry point names; return what went wrong."""
    try:
        for op in _operations_in(entry.load()):
            add_operation(op)
    except (Exception, SystemExit) as exc:  # importing others' code can do anything
        why = str(exc) if isinstance(exc, OperationError) else f"{type(exc).__name__}: {exc}"
        return OperationError(
            f"Could not load the operations of {_distribution(entry)} "
            f"(entry point {entry.name} = {entry.value})",
            why=why.rstrip("."),
            hint="Update or uninstall that package.",
        )
    return None


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "a package"


def _operations_in(value: Any) -> list[Operation]:
    """Return the operations an entry point gives; a module has added its own by being imported."""
    if isinstance(value, ModuleType) or _is_decorated(value):
        return []
    found = list(value) if isinstance(value, list | tuple) else [value]
    for each in found:
        if not isinstance(each, Operation):
            raise TypeError(f"{each!r} is no operation")
    return found


def _is_decorated(value: Any) -> bool:
    path = f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', '')}"
    return callable(value) and remembered(path) is not None
