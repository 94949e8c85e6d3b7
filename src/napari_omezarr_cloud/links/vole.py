"""Vol-E: ``?url=`` with settings of channels and place (vole-app: documentation/URL_SPEC.md)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from napari_omezarr_cloud.links.link import ChannelView, Link, Place, Source, View
from napari_omezarr_cloud.links.values import MOST, color, number, window

if TYPE_CHECKING:
    from napari_omezarr_cloud.links.pasted import Pasted

__all__ = ["read"]

_LAYOUTS = {"Z": ("y", "x"), "Y": ("z", "x"), "X": ("z", "y")}


def read(link: Pasted) -> Link | None:
    """Return what a Vol-E link shows; ``,`` parts sources of channels and ``+`` scenes."""
    found = re.search(r"(?:^|[&?])url=([^&]*)", link.query)
    is_vole = re.search(r"vole|volumeviewer|website-3d-cell-viewer", f"{link.host}/{link.path}")
    if not found or not is_vole:
        return None
    urls = [unquote(each) for each in re.split(r"[,+]", found[1]) if each][:MOST]
    if not urls or not all(re.match(r"(?i)[a-z][a-z0-9+.-]{0,15}://", url) for url in urls):
        return None
    settings = link.parameters
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
    sources = tuple(Source(link.locate(url)) for url in urls)
    return Link("Vol-E", sources, view or None, notes=tuple(notes))


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
