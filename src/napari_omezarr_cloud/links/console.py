"""Pages of the consoles of Amazon and Google: the folder of the bucket that they show."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from napari_omezarr_cloud.links.link import Link, Source

if TYPE_CHECKING:
    from napari_omezarr_cloud.links.pasted import Pasted

__all__ = ["read"]

_AMAZON = r"(?:([a-z]{2}(?:-[a-z]+)+-\d)\.|s3\.)?console\.aws\.amazon\.com"
_GOOGLE_PATH = r"storage/browser/(?:_details/)?([^/]+)((?:/[^;]*)?)(?:;.*)?"


def read(link: Pasted) -> Link | None:
    """Return the folder that a page of a console shows; who looks at it is not part of the link."""
    if amazon := re.fullmatch(_AMAZON, link.host):
        found = re.fullmatch(r"s3/(?:buckets|object)/([^/]+)", link.path)
        if not found:
            return None
        key = quote(link.parameters.get("prefix", "").strip("/"), safe="/")
        region = link.parameters.get("region") or amazon[1]
        option = f"?region={quote(region, safe='')}" if region else ""
        where = f"s3://{unquote(found[1])}/{key}{option}"
        return Link("Amazon S3 console", (Source(link.locate(where)),))
    if link.host == "console.cloud.google.com":
        found = re.fullmatch(_GOOGLE_PATH, link.path)
        if not found:
            return None
        return Link("Google Cloud console", (Source(link.locate(f"gs://{found[1]}{found[2]}")),))
    return None
