"""Series and collections: which images there are, and the first of them, opened."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError, MetadataError
from napari_omezarr_cloud.ngff.series import OME_XML, Entry, parse_series
from napari_omezarr_cloud.pyramid.documents import FIRST_ROUND, GROUP_KEY, top_documents
from napari_omezarr_cloud.pyramid.several import OpenInner, open_first
from napari_omezarr_cloud.store import OpenedStore, open_inside

if TYPE_CHECKING:
    from napari_omezarr_cloud.ngff import Group
    from napari_omezarr_cloud.pyramid.opened import OpenedImage

__all__ = ["open_series"]

_OME = ("zarr.json", ".zattrs", OME_XML)
_FIRST_PROBE, _MOST_PROBED = 16, 1024


async def open_series(opened: OpenedStore, group: Group, open_inner: OpenInner) -> OpenedImage:
    """Open the first image of a series; a round more than the image by itself.

    Parameters
    ----------
    opened
        The series' store, and what the first round brought.
    group
        Of kind ``"series"``.
    open_inner
        Opens one of the images.

    Raises
    ------
    MetadataError
        If there is no image.
    CloudError
        What is wrong with the first image.
    """
    ome, zero = await asyncio.gather(
        _inside(opened, "OME", _OME), _inside(opened, "0", FIRST_ROUND)
    )
    notes = []
    if isinstance(ome, CloudError):
        notes.append(f"The list of series could not be read. {ome}")
    documents = {} if isinstance(ome, CloudError) else top_documents(ome.documents)
    series = parse_series(group, documents)
    entries = series.entries
    if not entries:
        entries, more = await _count(opened, group)
        names = (*series.names, *("" for _ in entries))
        entries = tuple(replace(e, name=name) for e, name in zip(entries, names, strict=False))
        notes += more
    if not entries:
        raise MetadataError(
            "Could not open the series",
            where=group.where,
            key="OME",
            why="it lists no images, and there is none at 0",
            hint="The upload may be unfinished.",
        )
    known = {} if isinstance(zero, CloudError) else {"0": zero}
    return await open_first(opened, entries, open_inner, notes=(*series.notes, *notes), known=known)


async def _inside(
    opened: OpenedStore, path: str, keys: tuple[str, ...]
) -> OpenedStore | CloudError:
    try:
        return await open_inside(opened, path, keys)
    except CloudError as error:
        return error


async def _count(opened: OpenedStore, group: Group) -> tuple[tuple[Entry, ...], list[str]]:
    """Return the images 0, 1, 2 … as long as they are there, asking for ever more at once."""
    key = GROUP_KEY[group.zarr_format]
    count, ahead = 0, _FIRST_PROBE
    while count < _MOST_PROBED:
        paths = [str(i) for i in range(count, count + ahead)]
        answers = await asyncio.gather(*(_inside(opened, path, (key,)) for path in paths))
        there = [isinstance(each, OpenedStore) and any(each.documents.values()) for each in answers]
        if not all(there):
            count += there.index(False)
            break
        count, ahead = count + ahead, ahead * 2
    notes = [f"There may be more than these {count:,} images."] if count >= _MOST_PROBED else []
    return tuple(Entry(str(i)) for i in range(count)), notes
