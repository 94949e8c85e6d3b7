"""An OME-Zarr folder as one zip file (``.ozx``).

References
----------
RFC-9 of OME-Zarr, "Zipped OME-Zarr": the hierarchy's root is that of the zip, members are stored as
they are, all ``zarr.json`` come first and breadth-first, ZIP64, and a comment that says so.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_omezarr_cloud.pyramid.documents import ROOT, WRITE_NOTES
from napari_omezarr_cloud.store.zip_writing import ZipWriter

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["folder_nbytes", "move_into_ozx"]

_TWICE_BYTES = 2**28
"""What lies both in the folder and in the file, at most."""
_SLEPT_S = 5.0
"""Much longer than a file takes to be read: others may have taken over."""


def folder_nbytes(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in _files(folder))


def move_into_ozx(
    folder: Path,
    target: Path,
    version: str,
    tick: Callable[[int], None],
    check: Callable[[], None] = lambda: None,
) -> None:
    """Move the voxels of a folder into one zip file; the disk need not hold them twice.

    A file leaves the folder once its copy is on the disk, documents stay. What breaks off is gone
    on with by the next call.

    Parameters
    ----------
    folder
        An OME-Zarr that is whole.
    target
        The file; if it is there, what an earlier call left of it.
    version
        Of OME-Zarr.
    tick
        Told how many bytes more are in it; what it raises ends it.
    check
        Raises if both have become somebody else's; asked before anything is deleted, and when this
        process slept.
    """
    names = sorted((path.relative_to(folder).as_posix() for path in _files(folder)), key=_rank)
    left = {name for name in names if not _is_document(name)}
    copied: list[str] = []
    target.touch()
    with target.open("r+b") as file:
        zipped = ZipWriter.resumed(file, lambda name: name not in left)
        seen, waiting = time.time(), 0
        for name in names:
            if name in zipped.names:
                continue
            data = (folder / name).read_bytes()
            if time.time() - seen > _SLEPT_S:
                check()
            zipped.add(name, data)
            seen, waiting = time.time(), waiting + len(data)
            if name in left:
                copied.append(name)
            if waiting >= _TWICE_BYTES:
                file.flush()
                os.fsync(file.fileno())
                check()
                for done in copied:
                    (folder / done).unlink()
                copied, waiting = [], 0
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
    is_document = _is_document(name)
    return not is_document, name.count("/") if is_document else 0, name


def _is_document(name: str) -> bool:
    return name.rpartition("/")[2] in ROOT


def _comment(version: str) -> bytes:
    if version == "0.4":  # Zarr 2, which the RFC knows nothing of
        return b""
    about = {"version": version, "zipFile": {"centralDirectory": {"jsonFirst": True}}}
    return json.dumps({"ome": about}, separators=(",", ":")).encode()
