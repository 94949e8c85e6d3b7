"""All operations by name. A new one goes into its group's file; a new group into the table here."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process import (
    channels,
    edges,
    filters,
    measure,
    morphology,
    projections,
    thresholds,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_omezarr_cloud.process.operation import Operation

__all__ = ["get_operation", "operations"]

_GROUPS = (filters, edges, thresholds, morphology, measure, channels, projections)


@cache
def operations() -> Mapping[str, Operation]:
    """Return every operation by name, group after group, in the order of the menus."""
    return MappingProxyType({op.name: op for group in _GROUPS for op in group.OPERATIONS})


def get_operation(name: str) -> Operation:
    """Return the operation of this name.

    Raises
    ------
    OperationError
        If there is none; it names those that sound alike.
    """
    known = operations()
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    raise OperationError(
        f"There is no operation {name!r}",
        hint=f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(known)}.",
    )
