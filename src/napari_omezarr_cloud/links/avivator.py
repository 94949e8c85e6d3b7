"""Avivator: ``?image_url=``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.links.link import Link, Source

if TYPE_CHECKING:
    from napari_omezarr_cloud.links.pasted import Pasted

__all__ = ["read"]


def read(link: Pasted) -> Link | None:
    """Return the image of an Avivator link.

    Raises
    ------
    LinkError
        If it is a TIFF, which Avivator reads as well.
    """
    url = link.link_in("image_url") if link.host else ""
    if not url:
        return None
    if re.search(r"(?i)\.tiff?(?=$|\?)", url):
        raise LinkError(
            "The link cannot be opened",
            why="this Avivator link shows a TIFF, and only OME-Zarr is read",
        )
    return Link("Avivator", (Source(link.locate(url)),))
