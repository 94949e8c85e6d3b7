"""Pages of files on GitHub: the same files as they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_omezarr_cloud.links.link import Link, Source

if TYPE_CHECKING:
    from napari_omezarr_cloud.links.pasted import Pasted

__all__ = ["read"]


def read(link: Pasted) -> Link | None:
    """Return the raw form of ``github.com/owner/repository/tree/branch/path``."""
    found = re.fullmatch(r"([^/]+)/([^/]+)/(?:tree|blob|raw)/(.+?/.+)", link.path)
    if link.host not in ("github.com", "www.github.com") or not found:
        return None
    owner, repository, path = found.groups()
    raw = f"https://raw.githubusercontent.com/{owner}/{repository}/{path}"
    return Link("GitHub", (Source(link.locate(raw)),))
