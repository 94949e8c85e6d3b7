"""DANDI: a zarr by its id, or an asset that is asked where its zarr is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.links.link import Link, Lookup, Source
from napari_omezarr_cloud.links.values import as_list, as_map, load_json, text

if TYPE_CHECKING:
    from napari_omezarr_cloud.links.pasted import Pasted

__all__ = ["read"]

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def read(link: Pasted) -> Link | None:
    """Return what a link to the archive's API leads to; those to its bucket are plain ones."""
    if link.host != "api.dandiarchive.org":
        return None
    if found := re.search(rf"zarr/({_UUID})", link.path):
        return Link("DANDI", (Source(link.locate(f"s3://dandiarchive/zarr/{found[1]}")),))
    if not (found := re.search(rf"assets/({_UUID})", link.path)):
        return None

    def read_asset(answer: str) -> Link:
        asset = as_map(load_json(answer, "the DANDI asset"))
        urls = [u for u in as_list(asset.get("contentUrl")) if isinstance(u, str)]
        zarrs = [u for u in urls if "/zarr/" in u and "://" in u]
        if not zarrs:
            raise LinkError("The link cannot be opened", why="this DANDI asset is no zarr")
        return Link("DANDI", (Source(link.locate(zarrs[0]), text(asset.get("path"))),))

    where = link.locate(f"https://api.dandiarchive.org/api/assets/{found[1]}")
    return Link("DANDI", lookup=Lookup(where, "where the asset's zarr is", read_asset))
