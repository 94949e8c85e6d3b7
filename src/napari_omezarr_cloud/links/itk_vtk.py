"""itk-vtk-viewer: ``?fileToLoad=`` or ``image=``, and ``labelImage=``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_omezarr_cloud.links.link import Link, Source, View
from napari_omezarr_cloud.links.values import MOST

if TYPE_CHECKING:
    from napari_omezarr_cloud.links.pasted import Pasted

__all__ = ["read"]

_NAMES = ("fileToLoad", "image", "fixedImage", "labelImage")


def read(link: Pasted) -> Link | None:
    """Return the images that a link names; ``use2D`` is the only word about the view."""
    if not link.host:
        return None
    given = [(name, link.link_in(name)) for name in _NAMES]
    found = [(name, each) for name, value in given if value for each in _several(value)]
    if not found or not all(re.match(r"(?i)[a-z][a-z0-9+.-]{0,15}://", url) for _, url in found):
        return None
    sources = tuple(
        Source(link.locate(url), is_labels=name == "labelImage") for name, url in found[:MOST]
    )
    view = View(layout="2d") if link.parameters.get("use2D", "false") != "false" else None
    return Link("itk-vtk-viewer", sources, view)


def _several(value: str) -> list[str]:
    """Return the links of a list; a comma inside of one is no end."""
    return re.split(r",(?=[a-zA-Z][a-zA-Z0-9+.-]{0,15}://)", value)
