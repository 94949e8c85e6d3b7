"""The npe2 reader: decides by the text alone, then opens, waits politely, and hands over layers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.links import is_of_a_viewer
from napari_omezarr_cloud.location import looks_like_ome_zarr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["get_reader", "read"]

_MARKS = (".zattrs", "zarr.json", ".zgroup", ".zarray")
_LOOKED_AT = 2**20
"""Bytes of a zip file that are read to tell whether it is one of Zarr."""


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[Any]] | None:
    """Return our reader if this may be an OME-Zarr; asks no server.

    Parameters
    ----------
    path
        A link or local path, or several of them.
    """
    paths = [path] if isinstance(path, str) else list(path)
    return read if paths and all(_may_be_ours(each) for each in paths) else None


def _may_be_ours(path: str) -> bool:
    if path.lower().startswith(("http://", "https://")):
        # The manifest lets only those through that end like no other file, or were meant for us.
        return True
    if "://" in path and is_of_a_viewer(path):
        return True
    if "://" in path or not Path(path).is_dir():
        return looks_like_ome_zarr(path) or _is_zip_of_zarr(Path(path))
    # Every folder is offered to every reader of folders: ours is one with zarr's own files.
    return looks_like_ome_zarr(path) or any((Path(path) / mark).exists() for mark in _MARKS)


def _is_zip_of_zarr(path: Path) -> bool:
    """Tell whether a local zip file names Zarr's own files where it begins or ends.

    Its list of members is at its end; a look at all of it would take seconds for a million.
    """
    if path.suffix.lower() != ".zip" or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            found = file.read(_LOOKED_AT)
            file.seek(max(path.stat().st_size - _LOOKED_AT, 0))
            found += file.read(_LOOKED_AT)
    except OSError:
        return False
    return any(mark.encode() in found for mark in _MARKS)


def read(path: str | Sequence[str]) -> list[Any]:
    """Open links and return their layers; the window stays alive meanwhile."""
    from napari_omezarr_cloud.napari.opening import NO_LAYERS, read_link

    paths = [path] if isinstance(path, str) else list(path)
    layers = [layer for each in paths for layer in read_link(each) if layer[0] is not None]
    return layers or NO_LAYERS
