"""An OME-Zarr folder as one zip file (``.ozx``).

References
----------
RFC-9 of OME-Zarr, "Zipped OME-Zarr": the hierarchy's root is that of the zip, members are stored as
they are, all ``zarr.json`` come first and breadth-first, ZIP64, and a comment that says so.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from napari_omezarr_cloud.pyramid.documents import ROOT, WRITE_NOTES
from napari_omezarr_cloud.store.zip_writing import ZipWriter

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["folder_nbytes", "write_ozx"]


def folder_nbytes(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in _files(folder))


def write_ozx(folder: Path, target: Path, version: str, tick: Callable[[int], None]) -> None:
    """Write a folder as one zip file.

    Parameters
    ----------
    folder
        An OME-Zarr that is whole.
    target
        The file; replaced if it is there.
    version
        Of OME-Zarr.
    tick
        Told how many bytes more are in it; what it raises ends it.
    """
    names = [path.relative_to(folder).as_posix() for path in _files(folder)]
    with target.open("wb") as file:
        zipped = ZipWriter(file)
        for name in sorted(names, key=_rank):
            data = (folder / name).read_bytes()
            zipped.add(name, data)
            tick(len(data))
        zipped.finish(_comment(version))


def _files(folder: Path) -> list[Path]:
    """Return all files of an image; the notes of its write are none."""
    found = []
    for base, folders, names in os.walk(folder):
        if Path(base) == folder and WRITE_NOTES in folders:
            folders.remove(WRITE_NOTES)
        found += [Path(base, name) for name in names]
    return found


def _rank(name: str) -> tuple[bool, int, str]:
    """Documents come first, those nearer to the root before the others."""
    is_document = name.rpartition("/")[2] in ROOT
    return not is_document, name.count("/") if is_document else 0, name


def _comment(version: str) -> bytes:
    if version == "0.4":  # Zarr 2, which the RFC knows nothing of
        return b""
    about = {"version": version, "zipFile": {"centralDirectory": {"jsonFirst": True}}}
    return json.dumps({"ome": about}, separators=(",", ":")).encode()
