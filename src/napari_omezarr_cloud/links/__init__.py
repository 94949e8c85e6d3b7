"""Links of other viewers → what to open and where to look. No I/O; secrets stay in locations."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError, LinkError
from napari_omezarr_cloud.links import (
    avivator,
    bia,
    console,
    dandi,
    github,
    itk_vtk,
    mobie,
    n5,
    neuroglancer,
    omero,
    pipeline,
    ro_crate,
    vizarr,
    vole,
    webknossos,
    zenodo,
)
from napari_omezarr_cloud.links.link import (
    Camera,
    ChannelView,
    Link,
    Lookup,
    Place,
    Source,
    View,
    Zoom,
    let_in,
)
from napari_omezarr_cloud.links.pasted import AROUND, LONGEST, LONGEST_PLAIN, pasted
from napari_omezarr_cloud.links.secrets import is_fit_to_keep
from napari_omezarr_cloud.location import Access, Location, parse_location

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "LONGEST",
    "Camera",
    "ChannelView",
    "Link",
    "Lookup",
    "Place",
    "Source",
    "View",
    "Zoom",
    "is_of_a_viewer",
    "let_in",
    "read_link",
]

_REMOTE = r"(?i)(?:https?|s3|s3a|s3\+https?|gs|az|abfss?):/"
_READERS = (
    # Viewers, by the shape of their links: the link of an image inside is theirs to read.
    neuroglancer.read,
    vizarr.read,
    itk_vtk.read,
    avivator.read,
    vole.read,
    webknossos.read,
    # What wraps a link.
    pipeline.read,
    n5.read,
    # Archives and services, by their hosts.
    omero.read,
    bia.read,
    zenodo.read,
    console.read,
    dandi.read,
    ro_crate.read,
    mobie.read,
    github.read,
)


def read_link(
    text: str,
    *,
    endpoint: str | None = None,
    access: Access | None = None,
    environ: Mapping[str, str] | None = None,
) -> Link:
    """Understand a pasted text: the link of a viewer, or of an image itself.

    Parameters
    ----------
    text
        What was pasted.
    endpoint, access, environ
        As for ``parse_location``, for every image that the link leads to.

    Returns
    -------
    Link
        With ``sources``, or with a ``lookup`` that leads to them. Nothing in it but the query of a
        `Location` holds a secret.

    Raises
    ------
    LinkError
        If it is no link, or leads to nothing that can be read.
    """

    def locate(text: str) -> Location:
        if len(text) > LONGEST_PLAIN:
            raise LinkError("The link cannot be opened", why="it is longer than servers accept")
        return parse_location(text, endpoint=endpoint, access=access, environ=environ)

    def locate_from_afar(text: str) -> Location:
        place = locate(text)
        if place.kind == "file":
            raise LinkError(
                "The link cannot be opened",
                why="it leads to a file of this computer, and comes from elsewhere",
                hint="If the file is meant, paste its path itself.",
            )
        return place

    is_remote = bool(re.match(_REMOTE, text.lstrip(AROUND)))
    link = pasted(text, locate_from_afar if is_remote else locate)
    # Only a view makes a link this long.
    for read in _READERS if len(text) <= LONGEST_PLAIN else (neuroglancer.read,):
        found = read(link)
        if found is not None:
            return replace(found, text=link.text) if is_fit_to_keep(link, found) else found
    return Link(sources=(Source(locate(text)),))


def is_of_a_viewer(text: str) -> bool:
    """Return whether a text is a link of a viewer or service that leads to an image.

    Never raises, asks no server.
    """
    if len(text) > LONGEST or "://" not in text[:4096]:
        return False
    try:
        return bool(read_link(text).viewer)
    except CloudError:
        return False
