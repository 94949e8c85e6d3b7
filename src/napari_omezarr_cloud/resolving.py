"""From a viewer's link to what it shows: its lookups, one after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import LinkError, NotFoundError
from napari_omezarr_cloud.store.lookup import ask

if TYPE_CHECKING:
    from napari_omezarr_cloud.links import Link, Lookup

__all__ = ["resolve"]

_MOST = 4


async def resolve(link: Link) -> Link:
    """Return a link whose sources are known; runs on the I/O loop.

    Raises
    ------
    CloudError
        If a service does not answer, or its answer leads nowhere.
    """
    for _ in range(_MOST):
        if link.lookup is None or link.sources:
            return link
        found = await _answer(link.lookup)
        # The place is in the pasted link or in the answer, never in both.
        notes = (*link.notes, *found.notes)
        link = replace(found, view=found.view or link.view, notes=notes, text=link.text)
    why = f"it leads from one place to the next more than {_MOST} times"
    raise LinkError("The link cannot be opened", why=why)


async def _answer(lookup: Lookup) -> Link:
    try:
        text = await ask(lookup.location, lookup.reason)
    except NotFoundError:
        if lookup.otherwise is None:
            raise
        return await _answer(lookup.otherwise)
    try:
        return lookup.read(text)
    except LinkError as error:
        error.where = error.where or str(lookup.location)
        raise
