"""Public archives that moved: the same data under another host."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_omezarr_cloud.location.place import Location

__all__ = ["aliases", "moved_note"]

_OLD_HOST = "uk1s3.embassy.ebi.ac.uk"
_NEW_HOST = "livingobjects.ebi.ac.uk"

# Paths that changed with the move: ome/omero-guide-python#63, ome/ome2024-ngff-challenge#109.
_MOVED_PATHS = (
    ("idr/zarr/v0.1/4007801.zarr", "idr/zarr/v0.4/idr0044A/4007801.zarr"),
    ("ebi-ngff-challenge-2024", "bioimaging-01-pub/ebi-ngff-challenge-2024"),
)


def aliases(location: Location) -> tuple[Location, ...]:
    """Return the places to try for a location, in this order; most often only itself.

    The EBI's old object store is being switched off and not everything was copied, so its links
    are tried on the new one first (an absent key is answered at once, a dead host is not), and
    on the old one last.

    Returns
    -------
    tuple of Location
        Holds ``location`` itself, and no place twice.
    """
    host = (location.endpoint or "").partition("://")[2]
    if host not in (_OLD_HOST, _NEW_HOST) or location.kind not in ("http", "s3"):
        return (location,)
    if location.has_secret:  # what was signed for one host is not sent to another
        return (location,)
    new = replace(location, endpoint=f"https://{_NEW_HOST}")
    moved = _moved(new)
    places = (moved, new, location) if host == _OLD_HOST else (location, moved)
    return tuple(dict.fromkeys(places))


def moved_note(asked: Location, used: Location) -> str:
    """Return what to tell the person when ``used``, one of ``asked``'s aliases, has the data."""
    if asked == used:
        return ""
    return f"{asked} has moved and was opened at {used}; please use the new link from now on."


def _moved(location: Location) -> Location:
    path = f"{location.bucket}/{location.key}" if location.bucket else location.key
    for old, new in _MOVED_PATHS:
        if path == old or path.startswith(old + "/"):
            path = new + path[len(old) :]
    if not location.bucket:
        return replace(location, key=path)
    bucket, _, key = path.partition("/")
    return replace(location, bucket=bucket, key=key)
