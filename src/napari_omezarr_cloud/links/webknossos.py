"""webKnossos: a dataset's page, resolved by its REST record; the Zarr links are plain ones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.links.link import Link, Lookup, Place, Source, View, Zoom
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

_ID = r"(?:^|-)([0-9a-f]{24})$"


def read(link: Pasted) -> Link | None:
    """Return what to ask for a dataset's page.

    Raises
    ------
    LinkError
        For annotations and short links, which only webKnossos itself can resolve.
    """
    parts = link.path.split("/")
    if parts[0] in ("annotations", "links") and "webknossos" in link.host and len(parts) > 1:
        raise LinkError(
            "The link cannot be opened",
            why="annotations and short links of webKnossos do not say which data they show",
            hint="Open it in a browser, and paste the link of the dataset or its Zarr link.",
        )
    if parts[0] != "datasets" or len(parts) < 2 or not _is_page(link, parts):
        return None
    root = re.match(r"(?i)https?://[^/?#]+", link.text)
    if root is None:
        return None
    name = unquote(parts[1])
    found = re.search(_ID, name)
    if found:
        record = f"{root[0]}/api/datasets/{found[1]}"
    else:
        dataset = unquote(parts[2])
        record = f"{root[0]}/api/datasets/{quote(name, safe='')}/{quote(dataset, safe='')}"
    token = link.parameters.get("token")
    if token:
        record += f"?sharingToken={quote(token, safe='')}"
    lookup = Lookup(
        link.locate(record),
        "the layers of the webKnossos dataset",
        lambda answer: _read_record(answer, link.locate),
    )
    return Link("webKnossos", view=_view(unquote(link.fragment)) or None, lookup=lookup)


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
    return Link("webKnossos", tuple(sources), notes=tuple(left))


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
