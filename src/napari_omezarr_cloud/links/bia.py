"""BioImage Archive: old pages lead to their image, studies and images are asked for at its API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.links.link import Link, Lookup, Source
from napari_omezarr_cloud.links.values import MOST, as_list, as_map, load_json, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.links.pasted import Pasted
    from napari_omezarr_cloud.location import Location

__all__ = ["read"]

_NAME = "BioImage Archive"
_API = "https://wwwdev.ebi.ac.uk/bioimage-archive/api/v2"
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_OLD_PAGE = r"bia-integrator-data/pages/([^/]+)/([^/]+)\.html"


def read(link: Pasted) -> Link | None:
    """Return the image of an old page, or what to ask for a study or an image."""
    if not re.search(r"(?:^|\.)ebi\.ac\.uk$", link.host.partition(":")[0]):
        return None
    old = re.fullmatch(_OLD_PAGE, link.path)
    if old:
        study, image = old.groups()
        where = f"https://{link.host}/bia-integrator-data/{study}/{image}/{image}.zarr/0"
        return Link(_NAME, (Source(link.locate(where)),))
    if not re.match(r"(?i)(?:biostudies|bioimage-archive|bioimaging)\b", link.path):
        return None
    image_id = re.search(rf"(?i)image/({_UUID})", link.path)
    study_id = re.search(r"S-BIAD\d+|S-BSST\d+", link.path, re.IGNORECASE)
    if image_id:
        path, reason = f"image/{image_id[1].lower()}/image_representation", "the image's zarr"
    elif study_id:
        # Files of a study carry its accession in their path: one request instead of four.
        path = f"search/image_representation/file_uri_fragment?file_uri_fragment={study_id[0]}"
        reason = f"the images of study {study_id[0]}"
    else:
        return None
    where_asked = link.locate(f"{_API}/{path}")
    lookup = Lookup(where_asked, reason, lambda answer: _read_answer(answer, link.locate))
    return Link(_NAME, lookup=lookup)


def _read_answer(answer: str, locate: Callable[[str], Location]) -> Link:
    found = load_json(answer, "the answer of the BioImage Archive")
    uris = [
        uri
        for each in as_list(found)
        for uri in _uris(as_map(each).get("file_uri"))
        if re.search(r"(?i)\.zarr(?:\.zip)?(?:/|$)|\.ozx$", uri)
    ]
    if not uris:
        raise LinkError(
            "The link cannot be opened", why="the BioImage Archive knows no OME-Zarr of it"
        )
    left = len(uris) - MOST
    notes = (f"Only the first {MOST} of {len(uris)} images are listed.",) if left > 0 else ()
    sources = tuple(
        Source(locate(uri), text(uri.rstrip("/").rpartition("/")[2])) for uri in uris[:MOST]
    )
    return Link(_NAME, sources, notes=notes)


def _uris(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str) and "://" in each]
