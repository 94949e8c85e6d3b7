"""Zip files that are in use, so that the directory of one is not read for each image in it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from napari_omezarr_cloud.store.caching import KEEPING
from napari_omezarr_cloud.store.connection import Connection, connect
from napari_omezarr_cloud.store.zipped import ZippedFile

if TYPE_CHECKING:
    from napari_omezarr_cloud.location import Location

__all__ = ["forget_zip", "open_zip"]

_SAME_S = 30.0
"""A file on a server is taken for unchanged so long. An image in it is often opened right after a
level, a well or labels of it."""


class CountedZip(ZippedFile):
    """A zip file and the requests for it."""

    def __init__(self, connection: Connection, name: str) -> None:
        super().__init__(connection.store, name)
        self.connection = connection
        self.since = time.monotonic()


_in_use: WeakValueDictionary[tuple[Location, bool], CountedZip] = WeakValueDictionary()


def open_zip(file: Location, *, anonymous: bool) -> CountedZip:
    """Return a zip file, over the connections of one that is in use where there is such.

    Parameters
    ----------
    file
        Location of the file itself.
    anonymous
        Send no signature.
    """
    is_kept = KEEPING.get() is not None  # its directory, too, must be read to be kept
    found = None if is_kept else _in_use.get((file, anonymous))
    if found is not None and time.monotonic() - found.since < _SAME_S and file.kind != "file":
        return found
    name = file.key.rpartition("/")[2]
    connection = connect(file.parent() or file, anonymous=anonymous, single_file=name)
    made = CountedZip(connection, name)
    if not is_kept:
        _in_use[file, anonymous] = made
    return made


def forget_zip(file: Location) -> None:
    """Have a zip file read anew by whoever opens it from now on: it was written."""
    for anonymous in (True, False):
        _in_use.pop((file, anonymous), None)
