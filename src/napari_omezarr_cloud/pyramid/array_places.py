"""Where lazy arrays of other libraries read from: known of zarr, and of dask on top of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.location import parse_location

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_omezarr_cloud.location import Location

__all__ = ["places_of_array"]


def places_of_array(array: Any) -> frozenset[Location]:
    """Return where an array reads from on this disk, and all levels of ours that it reads.

    Parameters
    ----------
    array
        Anything. Of a dask array, all that it was made from is looked at, and nothing computed.

    Returns
    -------
    frozenset of Location
        Empty for what is in memory, and for what tells nobody where it reads from.
    """
    return frozenset(place for each in _sources(array) for place in _places(each))


def _sources(array: Any) -> Iterator[Any]:
    graph = getattr(array, "dask", None)
    if graph is None:
        yield array
        return
    for layer in getattr(graph, "layers", {"": graph}).values():
        # What an array was made from is a task by itself, or stands in the task of all chunks.
        found = list(layer.values()) if len(layer) == 1 else []
        found += [value for value, axes in getattr(layer, "indices", ()) if axes is None]
        yield from (getattr(each, "value", each) for each in found)


def _places(array: Any) -> Iterator[Location]:
    yield from getattr(array, "places", ())
    store = getattr(array, "store", None)
    root = getattr(store, "root", None)  # of zarr's LocalStore
    if root is None and hasattr(store, "fs"):
        root = getattr(store, "path", None)  # of its FsspecStore; on a disk a path of it
    if root is not None and str(root).startswith("/"):
        yield parse_location(f"{root}/{getattr(array, 'path', '')}".rstrip("/"))
