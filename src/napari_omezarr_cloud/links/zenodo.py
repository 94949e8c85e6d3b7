"""Zenodo: zipped zarrs of a record, read where they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.links.link import Link, Lookup, Source
from napari_omezarr_cloud.links.values import MOST, as_list, as_map, load_json, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.links.pasted import Pasted
    from napari_omezarr_cloud.location import Location

__all__ = ["read"]

_HOSTS = ("zenodo.org", "www.zenodo.org", "sandbox.zenodo.org")


def read(link: Pasted) -> Link | None:
    """Return the file of a record, or what to ask for those that it has."""
    found = re.fullmatch(r"(?:api/)?records?/(\d+)(?:/files/([^/]+)(?:/content)?)?", link.path)
    if link.host not in _HOSTS or not found:
        return None
    record, name = found.groups()
    token = link.parameters.get("token")
    secret = f"?token={quote(token, safe='')}" if token else ""
    if name:
        file = f"https://{link.host}/records/{record}/files/{name}{secret}"
        return Link("Zenodo", (Source(link.locate(file)),))

    def read_record(answer: str) -> Link:
        return _read_record(answer, f"https://{link.host}/records/{record}/files", link.locate)

    where = link.locate(f"https://{link.host}/api/records/{record}{secret}")
    return Link("Zenodo", lookup=Lookup(where, f"the files of record {record}", read_record))


def _read_record(answer: str, folder: str, locate: Callable[[str], Location]) -> Link:
    record = as_map(load_json(answer, "the Zenodo record"))
    names = [as_map(each).get("key") for each in as_list(record.get("files"))]
    zipped = [n for n in names if isinstance(n, str) and re.search(r"(?i)\.(zip|ozx)$", n)]
    zipped.sort(key=lambda n: not re.search(r"(?i)\.zarr\.zip$|\.ozx$", n))
    if not zipped:
        why = "none of the record's files is a zipped zarr (.ozx or .zarr.zip)"
        raise LinkError("The link cannot be opened", where=folder, why=why)
    sources = [Source(locate(f"{folder}/{quote(name)}"), text(name)) for name in zipped[:MOST]]
    return Link("Zenodo", tuple(sources))
