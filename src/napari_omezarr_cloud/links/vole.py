"""Vol-E: ``?url=`` or ``?manifest=`` (vole-app: documentation/URL_SPEC.md)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.links.link import ChannelView, Link, Lookup, Place, Source, View
from napari_omezarr_cloud.links.values import (
    MOST,
    as_list,
    as_map,
    color,
    load_json,
    number,
    window,
)

if TYPE_CHECKING:
    from napari_omezarr_cloud.links.pasted import Pasted

__all__ = ["read"]

_LAYOUTS = {"Z": ("y", "x"), "Y": ("z", "x"), "X": ("z", "y")}


def read(link: Pasted) -> Link | None:
    """Return what a Vol-E link shows; ``,`` parts sources of channels and ``+`` scenes."""
    found = re.search(r"(?:^|[&?])url=([^&]*)", link.query)
    is_vole = re.search(r"vole|volumeviewer|website-3d-cell-viewer", f"{link.host}/{link.path}")
    if not is_vole:
        return None
    if not found:
        return _ask_manifest(link)
    urls = [unquote(each) for each in re.split(r"[,+]", found[1]) if each][:MOST]
    if not urls or not all(re.match(r"(?i)[a-z][a-z0-9+.-]{0,15}://", url) for url in urls):
        return None
    sources = tuple(Source(link.locate(url)) for url in urls)
    view, notes = _view(link.parameters)
    return Link("Vol-E", sources, view or None, notes=notes)


def _ask_manifest(link: Pasted) -> Link | None:
    """Return what to ask for the scenes that a JSON elsewhere lists."""
    url = link.link_in("manifest")
    if not re.match(r"(?i)https?://", url):
        return None
    folder = url.partition("?")[0].rpartition("/")[0]

    def read_manifest(answer: str) -> Link:
        scenes = as_list(as_map(load_json(answer, "the manifest of Vol-E")).get("scenes"))
        urls = [
            each
            for scene in scenes
            for each in (scene if isinstance(scene, list) else [scene])
            if isinstance(each, str) and each and ".." not in each
        ]
        if not urls:
            raise LinkError("The link cannot be opened", why="the manifest of Vol-E lists no image")
        left = len(urls) - MOST
        notes = (f"Only the first {MOST} of {len(urls)} images are listed.",) if left > 0 else ()
        whole = [each if "://" in each else f"{folder}/{each.lstrip('/')}" for each in urls[:MOST]]
        return Link("Vol-E", tuple(Source(link.locate(each)) for each in whole), notes=notes)

    lookup = Lookup(link.locate(url), "the images that Vol-E shows", read_manifest)
    view, notes = _view(link.parameters)
    return Link("Vol-E", view=view or None, lookup=lookup, notes=notes)


def _view(settings: dict[str, str]) -> tuple[View, tuple[str, ...]]:
    notes: list[str] = []
    channels = []
    for name, value in settings.items():
        if re.fullmatch(r"c\d{1,4}", name):
            channels.append(_channel(int(name[1:]), value, notes))
    if "cam" in settings or "reg" in settings:
        notes.append("Camera angle and clipping of the Vol-E view are not followed.")
    view = View(
        _places(settings),
        channels=tuple(channels),
        layout=_layout(settings.get("view", "")),
        plane=_LAYOUTS.get(settings.get("view", "")),
    )
    return view, tuple(notes)


def _layout(name: str) -> Literal["2d", "3d"] | None:
    if name == "3D":
        return "3d"
    return "2d" if name in _LAYOUTS else None


def _places(settings: dict[str, str]) -> tuple[Place, ...]:
    parts = settings.get("slice", "").split(",")
    places = [
        Place(axis, value, "fraction")
        for axis, part in zip("xyz", parts, strict=False)
        if (value := number(part)) is not None and 0 <= value <= 1
    ]
    time = number(settings.get("t"))
    return (*places, Place("t", time)) if time is not None and time >= 0 else tuple(places)


def _channel(number_: int, value: str, notes: list[str]) -> ChannelView:
    words = dict(part.partition(":")[::2] for part in value.split(",")[:100])
    visible = {"1": True, "0": False}.get(words.get("ven", ""))
    ends = words.get("lut", "").split(":")
    span = window([end[1:] for end in ends]) if all(e[:1] == "v" for e in ends) else None
    if words.get("lut") and span is None:
        notes.append(
            f"The contrast of channel {number_} is not given in pixel values, and is that of the"
            " image itself."
        )
    return ChannelView(0, number_, color(words.get("col")), span, visible)
