"""What the documents of a group name as being below it. Pure; trusts nobody."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff.paths import check_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari_omezarr_cloud.store import Bytes

__all__ = ["Children", "children_of", "parsed"]

_MOST_NESTED = 32


@dataclass(frozen=True)
class Children:
    """What may be below a group: not all of it need be there."""

    paths: tuple[str, ...] = ()
    """Groups and arrays below it."""
    siblings: tuple[str, ...] = ()
    """The same, beside it: of an ``OME`` that lists the images around it."""
    files: tuple[str, ...] = ()
    """Other files in it."""
    is_series: bool = False
    """Whether images may be in it that are called 0, 1, 2 … and are listed nowhere."""


def parsed(raw: Bytes) -> dict[str, Any]:
    """Return a document; empty if it makes no sense."""
    try:
        value = json.loads(bytes(raw))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def children_of(documents: Mapping[str, Mapping[str, Any]], name: str = "") -> Children:
    """Return what the documents of a group name.

    Parameters
    ----------
    documents
        ``zarr.json``, ``.zattrs`` and ``.zmetadata``, those that there are.
    name
        Of the group.
    """
    found: dict[str, None] = dict.fromkeys(_consolidated(documents))
    siblings: list[str] = []
    is_series = False
    for document in (documents.get("zarr.json", {}).get("attributes"), documents.get(".zattrs")):
        if not isinstance(document, dict):
            continue
        inner = document.get("ome")
        attributes = inner if isinstance(inner, dict) else document
        found |= dict.fromkeys(_paths(attributes))
        found |= dict.fromkeys(_texts(attributes.get("labels")))
        if "multiscales" in attributes:
            found["labels"] = None
        if "bioformats2raw.layout" in attributes:
            found["OME"] = None
            is_series = "plate" not in attributes
        siblings += _texts(attributes.get("series"))
    files = ("METADATA.ome.xml",) if name == "OME" else ()
    return Children(_safe(found), _safe(siblings), files, is_series)


def _safe(paths: Any) -> tuple[str, ...]:
    found = []
    for path in paths:
        try:
            found.append(check_path(path, where="", key=""))
        except MetadataError:
            continue
    return tuple(found)


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _paths(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield all that is called a path: of levels, wells, fields, nodes of collections."""
    if depth > _MOST_NESTED:
        return
    if isinstance(value, dict):
        path = value.get("path")
        if isinstance(path, str):
            yield path
        for each in value.values():
            yield from _paths(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            yield from _paths(each, depth + 1)


def _consolidated(documents: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the groups and arrays that consolidated metadata know."""
    whole = documents.get("zarr.json", {}).get("consolidated_metadata")
    nodes = whole.get("metadata") if isinstance(whole, dict) else None
    if isinstance(nodes, dict):
        yield from nodes
    older = documents.get(".zmetadata", {}).get("metadata")
    if isinstance(older, dict):
        yield from (key.rpartition("/")[0] for key in older if "/" in key)
