"""Whether one place lies in another, however the two are written."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_omezarr_cloud.location import aliases

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_omezarr_cloud.location import Location

__all__ = ["lies_in", "share_bytes"]

_OWN_HOST = r"^(localhost|127(\.\d+){3}|\[::1\])(?=:|/|$)"


def share_bytes(place: Location, others: Iterable[Location]) -> bool:
    """Tell whether a place and any of others are the same, or one lies in the other."""
    return any(lies_in(each, place) or lies_in(place, each) for each in others)


def lies_in(inner: Location, outer: Location) -> bool:
    """Tell whether a place is another one, or lies below it.

    Folders are compared as the disk has them: through links, and by capitals where it tells them
    apart. ``https://server/bucket/key`` is ``s3://bucket/key`` on that server.
    """
    if inner.kind == "file" or outer.kind == "file":
        return inner.kind == outer.kind and _is_below(inner.key, outer.key)
    return any(_plain(outer).covers(_plain(each)) for each in aliases(inner))


def _plain(location: Location) -> Location:
    bucket = replace(location, query="").as_s3() or location
    host = (bucket.endpoint or "").partition("://")[2].lower()
    host = re.sub(_OWN_HOST, "localhost", host).removesuffix(":443").removesuffix(":80")
    return replace(bucket, endpoint=host or None, key=bucket.key.strip("/"))


def _is_below(inner: str, outer: str) -> bool:
    """Tell whether a path leads into a folder, or to it; either may not be there."""
    above, found = Path(os.path.realpath(outer)), Path(os.path.realpath(inner))
    steps = (found, *found.parents)
    if above in steps:
        return True
    try:
        there = above.stat()
    except OSError:
        return False
    return any(_is_same(step, there) for step in steps)


def _is_same(path: Path, there: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), there)
    except OSError:
        return False
