"""vizarr, its BioNGFF fork and the ome-ngff-validator: ``?source=``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.links.link import ChannelView, Link, Place, Source, View, Zoom
from napari_omezarr_cloud.links.pipeline import is_wrapped, unwrapped
from napari_omezarr_cloud.links.values import as_map, color, load_json, number, numbers

if TYPE_CHECKING:
    from napari_omezarr_cloud.links.pasted import Pasted

__all__ = ["read"]

_PROXIES = r"(?i)https?://(?:corsproxy\.io/\?(?:url=)?|cors-anywhere\.herokuapp\.com/)(?=\w+://)"


def read(link: Pasted) -> Link | None:
    """Return what a link with ``source=`` shows: the parameter decides, as copies are common."""
    source = link.link_in("source") if link.host else ""
    if not re.match(r"(?i)[a-z][a-z0-9+.-]{0,15}:", source):
        return None
    source = re.sub(_PROXIES, "", source)
    if is_wrapped(source):
        source = unwrapped(source)
    is_validator = "validator" in link.host + link.path
    view, notes = (None, ()) if is_validator else _view(link)
    viewer = "ome-ngff-validator" if is_validator else "vizarr"
    return Link(viewer, (Source(link.locate(source)),), view or None, notes=notes)


def _view(link: Pasted) -> tuple[View, tuple[str, ...]]:
    """Return the place and the look; target and zoom count pixels of the finest level."""
    stated = link.parameters
    shade = color(stated.get("colormap"))
    channels = (ChannelView(color=shade),) if shade else ()
    try:
        state = as_map(load_json(stated.get("viewState") or "{}", "the view in the vizarr link"))
    except LinkError as error:
        return View(channels=channels), (f"{error.what}: {error.why}.",)
    target = numbers(state.get("target"))
    places = tuple(
        Place(axis, value) for axis, value in zip("xy", target, strict=False) if value is not None
    )
    zoom = number(state.get("zoom"))
    size = 2.0**-zoom if zoom is not None and abs(zoom) < 60 else None
    return View(places, Zoom(size) if size else None, channels), ()
