"""N5's way to name a group in a container: ``container?/group#attribute``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_omezarr_cloud.links.link import Link, Source
from napari_omezarr_cloud.links.pipeline import refused_format

if TYPE_CHECKING:
    from napari_omezarr_cloud.links.pasted import Pasted

__all__ = ["read"]


def read(link: Pasted) -> Link | None:
    """Return the group that is meant; the attribute is found by itself.

    Raises
    ------
    LinkError
        If the container is an N5, whose blocks are no zarr.
    """
    found = re.fullmatch(
        r"(?s)([a-zA-Z][a-zA-Z0-9+.-]{0,15}://[^?#]+)\?(/[^#&=?]*)(?:#[\w./-]*)?", link.text
    )
    if not found:
        return None
    if re.search(r"(?i)\.n5/?$", found[1]):
        raise refused_format("n5")
    group = found[2].strip("/")
    text = f"{found[1].rstrip('/')}/{group}" if group else found[1]
    return Link("N5", (Source(link.locate(text)),))
