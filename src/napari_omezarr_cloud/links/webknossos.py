"""webKnossos: pages resolved by their REST records; the Zarr links are plain ones.

Requests: ``/api/datasets/<id>``, ``/api/annotations/<id>/info`` for the dataset that an annotation
is drawn on, ``/api/shortLinks/byKey/<key>`` (webknossos: frontend/javascripts/admin/rest_api.ts).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.links.link import Link, Lookup, Place, Source, View, Zoom
from napari_omezarr_cloud.links.pasted import pasted
from napari_omezarr_cloud.links.values import (
    MOST,
    as_list,
    as_map,
    load_json,
    number,
    numbers,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.links.pasted import Pasted
    from napari_omezarr_cloud.location import Location

__all__ = ["read"]

_NAME = "webKnossos"
_ID = r"(?:^|-)([0-9a-f]{24})$"


def read(link: Pasted) -> Link | None:
    """Return what to ask for the page of a dataset or an annotation, or for a short link."""
    parts = link.path.split("/")
    root = re.match(r"(?i)https?://[^/?#]+", link.text)
    if root is None:
        return None
    if parts[0] == "links" and "webknossos" in link.host and len(parts) == 2:
        return Link(_NAME, lookup=_ask_short_link(root[0], parts[1], link))
    if parts[0] == "annotations" and (found := re.search(r"[0-9a-f]{24}", link.path)):
        lookup = _ask_annotation(root[0], found[0], _token(link), link.locate)
        return Link(_NAME, view=_view(unquote(link.fragment)) or None, lookup=lookup)
    if parts[0] != "datasets" or len(parts) < 2 or not _is_page(link, parts):
        return None
    name = unquote(parts[1])
    found = re.search(_ID, name)
    path = found[1] if found else _path_of(name, unquote(parts[2]))
    lookup = _ask_dataset(root[0], path, _token(link), link.locate)
    return Link(_NAME, view=_view(unquote(link.fragment)) or None, lookup=lookup)


def _token(link: Pasted) -> str:
    token = link.parameters.get("token")
    return f"sharingToken={quote(token, safe='')}" if token else ""


def _path_of(*names: str) -> str:
    return "/".join(quote(name, safe="") for name in names)


def _ask_dataset(root: str, path: str, token: str, locate: Callable[[str], Location]) -> Lookup:
    return Lookup(
        locate(f"{root}/api/datasets/{path}{'?' if token else ''}{token}"),
        "the layers of the webKnossos dataset",
        lambda answer: _read_record(answer, locate),
    )


def _ask_annotation(
    root: str, number: str, token: str, locate: Callable[[str], Location]
) -> Lookup:
    def read_annotation(answer: str) -> Link:
        about = as_map(load_json(answer, "the record of the webKnossos annotation"))
        dataset, names = about.get("datasetId"), [about.get("organization")]
        names.append(about.get("dataSetName") or about.get("datasetName"))
        if isinstance(dataset, str) and re.fullmatch(r"[0-9a-f]{24}", dataset):
            path = dataset
        elif all(isinstance(name, str) and name for name in names):
            path = _path_of(*map(str, names))
        else:
            raise LinkError(
                "The link cannot be opened",
                why="the record of this webKnossos annotation names no dataset",
                hint="Ask webKnossos for the Zarr link of a layer, and paste that.",
            )
        note = "The dataset of the annotation is opened; what was drawn on it is not."
        return Link(_NAME, lookup=_ask_dataset(root, path, token, locate), notes=(note,))

    more = f"&{token}" if token else ""
    # The server notes the time as that of the last look at it; older ones ask for it.
    place = locate(f"{root}/api/annotations/{number}/info?timestamp=0{more}")
    return Lookup(place, "the dataset of the webKnossos annotation", read_annotation)


def _ask_short_link(root: str, key: str, link: Pasted) -> Lookup:
    def read_short_link(answer: str) -> Link:
        found = as_map(load_json(answer, "the webKnossos short link")).get("longLink")
        if isinstance(found, str):
            whole = pasted(found if "://" in found else f"{root}/{found.lstrip('/')}", link.locate)
            is_short = whole.path.startswith("links/")
            if whole.host == link.host and not is_short and (page := read(whole)):
                return page
        raise LinkError(
            "The link cannot be opened",
            why="the short link leads to no dataset or annotation of the same webKnossos",
        )

    place = link.locate(f"{root}/api/shortLinks/byKey/{key}")
    return Lookup(place, "where the webKnossos short link leads", read_short_link)


def _is_page(link: Pasted, parts: list[str]) -> bool:
    is_webknossos = "webknossos" in link.host or parts[-1] in ("view", "sandbox")
    return is_webknossos and (bool(re.search(_ID, unquote(parts[1]))) or len(parts) > 2)


def _view(fragment: str) -> View:
    """Return the place: voxels of the finest level; zoom is voxels per screen pixel."""
    if fragment.startswith("{"):
        try:
            state = as_map(load_json(fragment, "the view in the webKnossos link"))
        except LinkError:
            return View()
        position, zoom = numbers(state.get("position")), number(state.get("zoomStep"))
    else:
        values: list[Any] = fragment.split(",")[:16]
        position = [number(each) for each in values[:3]]
        zoom = number(values[4]) if len(values) > 4 else None
    named = zip("xyz", position, strict=False)
    places = tuple(Place(axis, value) for axis, value in named if value is not None)
    return View(places, Zoom(zoom) if zoom and zoom > 0 else None)


def _read_record(answer: str, locate: Callable[[str], Location]) -> Link:
    record = as_map(load_json(answer, "the record of the webKnossos dataset"))
    data = as_map(record.get("dataSource"))
    layers = [as_map(each) for each in as_list(data.get("dataLayers"))[:MOST]]
    sources, left = [], []
    for layer in layers:
        url = _remote_path(layer) or _streamed(record, layer)
        name = text(layer.get("name"))
        if url:
            sources.append(Source(locate(url), name, layer.get("category") == "segmentation"))
        else:
            left.append(f"The layer {name!r} is not opened: the record does not say where it is.")
    if not sources:
        raise LinkError(
            "The link cannot be opened",
            why="the record of this webKnossos dataset names no layer that can be streamed",
            hint="Ask webKnossos for the Zarr link of a layer, and paste that.",
        )
    return Link(_NAME, tuple(sources), notes=tuple(left))


def _remote_path(layer: dict[str, Any]) -> str:
    """Return the group above the finest level, where the layer is a Zarr elsewhere."""
    if not str(layer.get("dataFormat", "zarr")).lower().startswith("zarr"):
        return ""
    for mag in as_list(layer.get("mags"))[:1]:
        path = as_map(mag).get("path")
        if isinstance(path, str) and re.match(r"(?i)(?:https?|s3|gs)://", path):
            head, _, query = path.partition("?")
            group = head.rstrip("/").rpartition("/")[0]
            return f"{group}?{query}" if query else group
    return ""


def _streamed(record: dict[str, Any], layer: dict[str, Any]) -> str:
    """Return the Zarr link under which webKnossos streams a layer of its own."""
    store = as_map(record.get("dataStore")).get("url")
    names = (
        record.get("owningOrganization"),
        record.get("directoryName") or record.get("name"),
        layer.get("name"),
    )
    if not isinstance(store, str) or not all(isinstance(n, str) and n for n in names):
        return ""
    return "/".join([store.rstrip("/"), "data/zarr", *(quote(str(n), safe="") for n in names)])
