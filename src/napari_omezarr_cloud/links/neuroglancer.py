"""neuroglancer: its state is JSON behind ``#!``.

Formula: one screen pixel shows ``crossSectionScale`` canonical voxels, a canonical voxel being the
smallest of the displayed ``dimensions``; ``projectionScale`` is the height of the 3-D view in them
(neuroglancer: src/navigation_state.ts).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.links.link import (
    ChannelView,
    Link,
    Lookup,
    Place,
    Source,
    Unit,
    View,
    Zoom,
)
from napari_omezarr_cloud.links.pasted import LONGEST_PLAIN
from napari_omezarr_cloud.links.pipeline import unwrapped
from napari_omezarr_cloud.links.values import (
    MOST,
    as_list,
    as_map,
    color,
    load_json,
    number,
    numbers,
    text,
    window,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.links.pasted import Pasted
    from napari_omezarr_cloud.location import Location

__all__ = ["read"]

_NAME = "neuroglancer"
_NANO = 1e-9
_PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "n": 1e-9, "p": 1e-12, "k": 1e3}
_PLANES: dict[str, tuple[str, str]] = {"xy": ("y", "x"), "xz": ("z", "x"), "yz": ("y", "z")}
_OTHER_LAYERS = ("annotation", "mesh", "pointAnnotation", "singleMesh")


def read(link: Pasted) -> Link | None:
    """Return what a neuroglancer link shows, wherever the viewer is hosted."""
    found = re.match(r"(?i)!\+?(?=\s*(?:\{|%7b))", link.fragment)
    if found and link.host:
        return _read_state(unquote(link.fragment[found.end() :]), link.locate)
    stored = re.match(r"(?i)!\+?((?:https?|gs|s3)(?::|%3a)\S*)", link.fragment)
    if stored and link.host:
        url = unquote(stored[1]) if "%3a" in stored[1].lower() else stored[1]
        reason = "the view that the neuroglancer link names"
        where = link.locate(url)
        return Link(_NAME, lookup=Lookup(where, reason, lambda a: _read_state(a, link.locate)))
    return None


def _read_state(content: str, locate: Callable[[str], Location]) -> Link:
    state = as_map(load_json(_plain_json(content), "the view in the neuroglancer link"))
    sources: list[Source] = []
    channels: list[ChannelView] = []
    notes: list[str] = []
    layers = _layers(state)
    for layer in layers[:MOST]:
        _read_layer(as_map(layer), locate, sources, channels, notes)
    if len(layers) > MOST:
        notes.append(f"Only the first {MOST} of {len(layers)} layers are opened.")
    if not sources:
        raise LinkError(
            "The link cannot be opened",
            why="no layer of this neuroglancer view is an OME-Zarr"
            + (f" ({notes[0].rstrip('.')})" if notes else ""),
        )
    view = _view(state, channels)
    if _is_turned(state):
        notes.append("The oblique plane of the neuroglancer view is not followed.")
    return Link(_NAME, tuple(sources), view or None, notes=tuple(notes))


def _plain_json(content: str) -> str:
    r"""Return JSON also of the form that neuroglancer once wrote: ``'`` for ``"``, ``_`` for ``,``.

    Inside of its texts nothing is replaced but ``\\'``.
    """
    if len(content) > LONGEST_PLAIN or not re.match(r"\s*\{\s*'", content):
        return content
    parts = re.split(r"('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")", content)
    plain = []
    for part in parts:
        if part[:1] == "'":
            plain.append('"' + part[1:-1].replace("\\'", "'").replace('"', '\\"') + '"')
        elif part[:1] == '"':
            plain.append(part)
        else:
            plain.append(part.replace("_", ","))
    return "".join(plain)


def _layers(state: dict[str, Any]) -> list[Any]:
    layers = state.get("layers")
    if isinstance(layers, dict):  # the old form: by name
        named = layers.items()
        return [{"name": name, **(as_map(v) or {"source": v})} for name, v in named]
    return as_list(layers)


def _read_layer(
    layer: dict[str, Any],
    locate: Callable[[str], Location],
    sources: list[Source],
    channels: list[ChannelView],
    notes: list[str],
) -> None:
    name, kind = text(layer.get("name")), text(layer.get("type"))
    given = layer.get("source")
    urls = [
        url
        for each in (given if isinstance(given, list) else [given])[:MOST]
        if isinstance(url := as_map(each).get("url") or each, str)
    ]
    if kind in _OTHER_LAYERS:
        notes.append(f"The layer {name!r} is not opened: it is of type {kind}.")
        return
    for url in urls:
        if url.startswith("local://"):
            continue
        try:
            location = locate(unwrapped(url))
        except LinkError as error:
            notes.append(f"The layer {name!r} is not opened: {error.why or error.what}.")
            continue
        source = Source(location, name, kind == "segmentation")
        known = [n for n, each in enumerate(sources) if each.location == location]
        if not known:
            sources.append(source)
        channels.append(_channel(layer, known[0] if known else len(sources) - 1))


def _channel(layer: dict[str, Any], source: int) -> ChannelView:
    shader = layer.get("shader")
    stated = _shader_defaults(shader[:100_000]) if isinstance(shader, str) else {}
    controls = as_map(layer.get("shaderControls"))
    shade, span = stated.get("color"), stated.get("range")
    for control in list(controls.values())[:MOST]:
        span = window(as_map(control).get("range")) or window(control) or span
        shade = color(control) or shade
    visible = layer.get("visible")
    return ChannelView(
        source,
        _channel_index(layer),
        shade,
        span,
        False if visible is False or layer.get("archived") is True else None,
    )


def _shader_defaults(shader: str) -> dict[str, Any]:
    """Return the colour and the range that a shader declares for its controls."""
    found: dict[str, Any] = {}
    shade = re.search(r"#uicontrol\s+vec3\s+\w+\s+color\(\s*default\s*=\s*\"([^\"\n]*)\"", shader)
    if shade:
        found["color"] = color(shade[1])
    span = re.search(
        r"#uicontrol\s+invlerp\s+\w+\s*\([^)\n]*?range\s*=\s*\[([^,\]\n]*),([^,\]\n]*)\]", shader
    )
    if span:
        found["range"] = window([span[1], span[2]])
    return found


def _channel_index(layer: dict[str, Any]) -> int | None:
    names = list(as_map(layer.get("localDimensions")))
    position = numbers(layer.get("localPosition"))
    for name, value in zip(names, position, strict=False):
        if name.rstrip("'^") == "c" and value is not None and value >= 0:
            return int(value)
    return None


def _view(state: dict[str, Any], channels: list[ChannelView]) -> View:
    sizes = _dimensions(state)
    position = numbers(state.get("position"))
    pose = as_map(as_map(state.get("navigation")).get("pose"))
    if not sizes and (old := as_map(pose.get("position"))):  # before 2020: nanometres
        voxel = numbers(old.get("voxelSize"))
        if len(voxel) == 3:
            sizes = {n: (v * _NANO, "meter") for n, v in zip("xyz", voxel, strict=True) if v}
        position = numbers(old.get("voxelCoordinates"))
    if sizes:
        places = [
            Place(name, value * size, unit)
            for (name, (size, unit)), value in zip(sizes.items(), position, strict=False)
            if value is not None
        ]
    else:  # the axes of the first layer, in its own order: most often x, y, z
        named = zip("xyz", position[:3], strict=False)
        places = [Place(n, v - 0.5) for n, v in named if v is not None]
    shown = [size for name, size in sizes.items() if name in _displayed(state, sizes)]
    layout = as_map(state.get("layout")).get("type") or state.get("layout")
    is_volume = layout == "3d"
    return View(
        tuple(places),
        _zoom(state, shown, is_volume=is_volume),
        tuple(c for c in channels if c != ChannelView(c.source)),
        "3d" if is_volume else ("2d" if isinstance(layout, str) else None),
        _PLANES.get(layout[:2]) if isinstance(layout, str) and not is_volume else None,
    )


def _dimensions(state: dict[str, Any]) -> dict[str, tuple[float, Unit]]:
    """Return the size of a voxel of the global coordinates by axis, in metres or seconds."""
    found: dict[str, tuple[float, Unit]] = {}
    for name, value in list(as_map(state.get("dimensions")).items())[:32]:
        pair = as_list(value)
        size = number(pair[0]) if pair else None
        unit = text(pair[1]) if len(pair) > 1 else ""
        name = name.rstrip("'^")[:40]
        if size is None or size <= 0:
            found[name] = (1.0, "index")
        elif unit[-1:] in ("m", "s") and unit[:-1] in _PREFIXES:
            kind: Unit = "meter" if unit.endswith("m") else "second"
            found[name] = (size * _PREFIXES[unit[:-1]], kind)
        else:
            # Without a unit these are the numbers of the file, most often with the size of one.
            found[name] = (size, "")
    return found


def _displayed(state: dict[str, Any], sizes: dict[str, tuple[float, Unit]]) -> list[str]:
    names = [n for n in as_list(state.get("displayDimensions"))[:3] if isinstance(n, str)]
    return names or [name for name in sizes if name not in ("t", "c")][:3]


def _zoom(
    state: dict[str, Any], shown: list[tuple[float, Unit]], *, is_volume: bool
) -> Zoom | None:
    size, unit = min(shown) if shown else (1.0, "index")
    if not is_volume and (scale := number(state.get("crossSectionScale"))) and scale > 0:
        return Zoom(scale * size, unit)
    if is_volume and (scale := number(state.get("projectionScale"))) and scale > 0:
        return Zoom(scale * size, unit, "height")
    old = number(as_map(state.get("navigation")).get("zoomFactor"))  # nanometres per pixel
    if not is_volume and old and old > 0:
        return Zoom(old * _NANO, "meter")
    return None


def _is_turned(state: dict[str, Any]) -> bool:
    turn = numbers(state.get("crossSectionOrientation"))
    return len(turn) == 4 and any(abs(part or 0) > 1e-3 for part in turn[:3])
