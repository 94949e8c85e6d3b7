"""All operations by name. A new one goes into its group's file; a new group into the table here.

Beside them stand those that users (`own`) and packages (`installed`) add, and, by their dotted
names, the functions of scikit-image that nobody described (`anything`).
"""

from __future__ import annotations

import threading
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process import (
    channels,
    color,
    edges,
    exposure,
    feature,
    filters,
    labels,
    measure,
    morphology,
    projections,
    restoration,
    segmentation,
    thresholds,
)
from napari_omezarr_cloud.process.anything import PREFIX, any_operation
from napari_omezarr_cloud.process.functions import without_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_omezarr_cloud.process.operation import Operation

__all__ = ["add_operation", "get_operation", "operations", "remove_operation"]

_GROUPS = (
    filters,
    restoration,
    edges,
    thresholds,
    exposure,
    morphology,
    labels,
    segmentation,
    feature,
    measure,
    channels,
    color,
    projections,
)

_own: dict[str, Operation] = {}
_changing = threading.Lock()


@cache
def _described() -> Mapping[str, Operation]:
    return MappingProxyType({op.name: op for group in _GROUPS for op in group.OPERATIONS})


def operations() -> Mapping[str, Operation]:
    """Return every operation by name, group after group, in the order of the menus.

    Those that users added come last. Asked for the first time, this loads what installed packages
    add; what cannot be loaded is told as a warning and left out.
    """
    from napari_omezarr_cloud.process.installed import load_installed  # it adds to this

    load_installed()
    return MappingProxyType({**_described(), **_own})


def get_operation(name: str) -> Operation:
    """Return the operation of this name.

    Parameters
    ----------
    name
        One of `operations`, or a function of scikit-image by its full name, such as
        ``"skimage.filters.frangi"``.

    Raises
    ------
    OperationError
        If there is none; it names those that sound alike.
    """
    if name in _described():  # the way of every step of every recipe
        return _described()[name]
    if name.startswith(f"{PREFIX}."):
        return any_operation(name)
    known = operations()
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    raise OperationError(
        f"There is no operation {name!r}",
        hint=f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(known)}.",
    )


def add_operation(op: Operation) -> None:
    """Add an operation beside those that are described here.

    Parameters
    ----------
    op
        Takes the place of an earlier one of the same name, if its function has the same path.

    Raises
    ------
    OperationError
        If its name is no word, or taken by another function.
    """
    if not op.name.isidentifier():
        raise OperationError(
            f"An operation cannot be called {op.name!r}",
            why="a name is a word of letters, digits and _",
        )
    with _changing:
        other = _described().get(op.name) or _own.get(op.name)
        if other is not None and without_version(other.function) != without_version(op.function):
            raise OperationError(
                f"There is already an operation {op.name!r}",
                why=f"it is {other.title} ({other.group}), {other.function}",
                hint="Give this one another name.",
            )
        _own[op.name] = op


def remove_operation(name: str) -> None:
    """Take away an operation that was added."""
    with _changing:
        _own.pop(name, None)
