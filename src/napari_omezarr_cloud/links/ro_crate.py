"""RO-Crate: its metadata file lies beside the zarr's own, and leads to the folder."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_omezarr_cloud.links.link import Link, Source

if TYPE_CHECKING:
    from napari_omezarr_cloud.links.pasted import Pasted

__all__ = ["read"]


def read(link: Pasted) -> Link | None:
    """Return the folder of a pasted ``ro-crate-metadata.json``."""
    folder, count = re.subn(r"/ro-crate-metadata\.json(?=$|[?#])", "", link.text)
    return Link("RO-Crate", (Source(link.locate(folder)),)) if count else None
