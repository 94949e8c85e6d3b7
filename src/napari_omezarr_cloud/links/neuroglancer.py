"""neuroglancer: its state is JSON behind ``#!``.

Formulas: one screen pixel shows ``crossSectionScale`` canonical voxels, a canonical voxel being the
smallest of the displayed ``dimensions``; ``projectionScale`` is the height of the 3-D view in them
(neuroglancer: src/navigation_state.ts). A volume is looked at along the third displayed dimension,
with the first to the right and the second down, all turned by ``projectionOrientation``
(src/perspective_view/panel.ts). The place of an OME-Zarr's voxel is its centre, as it is here
(src/datasource/zarr/ome.ts).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.links.link import (
    Camera,
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
_UPRIGHT = (0.0, 0.0, 0.0, 1.0)
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
        notes.append("The cross section of the neuroglancer view is oblique; it is shown upright.")
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
        channels += _channels(layer, known[0] if known else len(sources) - 1)
    if any(_is_moved(each) for each in (given if isinstance(given, list) else [given])[:MOST]):
        notes.append(f"The layer {name!r} has a transform of its own, which is not followed.")
    if kind == "segmentation" and as_list(layer.get("segments")):
        notes.append(f"All segments of {name!r} are shown, not only those that are selected.")


def _is_moved(source: Any) -> bool:
    """Return whether a source is turned, scaled or moved within the view."""
    matrix = as_map(as_map(source).get("transform")).get("matrix")
    rows = [numbers(row) for row in as_list(matrix)]
    return any(
        value != (1 if i == j else 0) for i, row in enumerate(rows) for j, value in enumerate(row)
    )


def _channels(layer: dict[str, Any], source: int) -> list[ChannelView]:
    """Return how a layer shows its channel, or its channels where its shader takes several."""
    shader = layer.get("shader")
    stated = _shader_controls(shader[:100_000]) if isinstance(shader, str) else {}
    for name, control in list(as_map(layer.get("shaderControls")).items())[:MOST]:
        was = stated.get(name, _Control())
        span = window(as_map(control).get("range")) or window(control) or was.window
        stated[name] = _Control(was.channel, color(control) or was.color, span)
    is_hidden = layer.get("visible") is False or layer.get("archived") is True
    opacity = number(layer.get("selectedAlpha", layer.get("opacity")))
    view = ChannelView(
        source,
        _channel_index(layer),
        visible=False if is_hidden else None,
        opacity=None if opacity is None else min(max(opacity, 0.0), 1.0),
        is_additive=layer.get("blend") == "additive",
        name=text(layer.get("name")),
    )
    ranges = [each for each in stated.values() if each.window or each.channel is not None]
    colors = [each.color for each in stated.values() if each.color]
    if len(ranges) > 1 and len({each.channel for each in ranges}) == len(ranges):
        shades = colors if len(colors) == len(ranges) else [None] * len(ranges)
        return [
            replace(view, index=each.channel, color=shade, window=each.window)
            for each, shade in zip(ranges, shades, strict=True)
        ]
    span = ranges[-1].window if ranges else None
    return [replace(view, color=colors[-1] if colors else None, window=span)]


@dataclass(frozen=True)
class _Control:
    """What a control of a shader sets."""

    channel: int | None = None
    color: str | None = None
    window: tuple[float, float] | None = None


def _shader_controls(shader: str) -> dict[str, _Control]:
    """Return the colours and ranges that a shader declares for its controls, by their names."""
    found: dict[str, _Control] = {}
    shade = r"#uicontrol\s+vec3\s+(\w{1,99})\s+color\(\s*default\s*=\s*\"([^\"\n]*)\""
    for name, value in re.findall(shade, shader)[:MOST]:
        found[name] = _Control(color=color(value))
    for name, inside in re.findall(r"#uicontrol\s+invlerp\s+(\w{1,99})([^\n]*)", shader)[:MOST]:
        span = re.search(r"range\s*=\s*\[([^,\]]*),([^,\]]*)\]", inside)
        channel = re.search(r"channel\s*=\s*\[?\s*(\d{1,6})", inside)
        found[name] = _Control(
            int(channel[1]) if channel else None, None, window([span[1], span[2]]) if span else None
        )
    return found


def _channel_index(layer: dict[str, Any]) -> int | None:
    names = list(as_map(layer.get("localDimensions")))
    position = numbers(layer.get("localPosition"))
    for name, value in zip(names, position, strict=False):
        if (name.rstrip("'^") == "c" or len(names) == 1) and value is not None and value >= 0:
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
            Place(name, value * size, unit, value if unit in ("meter", "second") else None)
            for (name, (size, unit)), value in zip(sizes.items(), position, strict=False)
            if value is not None
        ]
    else:  # the axes of the first layer, in its own order: most often x, y, z
        named = zip("xyz", position[:3], strict=False)
        places = [Place(n, v, "step") for n, v in named if v is not None]
    displayed = _displayed(state, sizes)
    shown = [size for name, size in sizes.items() if name in displayed]
    layout = _layout(state.get("layout"))
    is_volume = layout == "3d"
    return View(
        tuple(places),
        _zoom(state, shown, is_volume=is_volume),
        tuple(c for c in channels if c != ChannelView(c.source) or c.name),
        "3d" if is_volume else ("2d" if isinstance(layout, str) else None),
        _PLANES.get(layout[:2]) if isinstance(layout, str) and not is_volume else None,
        _camera(state, displayed) if is_volume else None,
        has_only=True,
    )


def _layout(value: Any) -> str | None:
    """Return the name of a layout; of several panels, that of the first."""
    for _ in range(8):
        if isinstance(value, str):
            return value
        panel = as_map(value)
        children = as_list(panel.get("children"))
        value = children[0] if children else panel.get("layout", panel.get("type"))
    return None


def _camera(state: dict[str, Any], displayed: list[str]) -> Camera | None:
    if len(displayed) != 3 or len(set(displayed)) != 3:
        return None
    turn = numbers(state.get("projectionOrientation", state.get("perspectiveOrientation")))
    parts = [part for part in turn if part is not None]
    length = math.hypot(*parts)
    x, y, z, w = (p / length for p in parts) if len(parts) == 4 and length > 0 else _UPRIGHT
    # The second and third column of the rotation matrix of a unit quaternion.
    down = (2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w))
    forward = (2 * (x * z + y * w), 2 * (y * z - x * w), 1 - 2 * (x * x + y * y))
    first, second, third = displayed
    return Camera((first, second, third), forward, (-down[0], -down[1], -down[2]))


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
    """Return the displayed dimensions: to the right, down, and into the screen."""
    names = [n for n in as_list(state.get("displayDimensions"))[:3] if isinstance(n, str)]
    if not names and (not sizes or {"x", "y", "z"} <= set(sizes)):
        return ["x", "y", "z"]
    return names or [name for name in sizes if name not in ("t", "c")][:3]


def _zoom(
    state: dict[str, Any], shown: list[tuple[float, Unit]], *, is_volume: bool
) -> Zoom | None:
    size, unit = min(shown) if shown else (1.0, "index")
    if not is_volume and (scale := number(state.get("crossSectionScale"))) and scale > 0:
        return Zoom(scale * size, unit, voxels=scale)
    if is_volume and (scale := number(state.get("projectionScale"))) and scale > 0:
        return Zoom(scale * size, unit, "height", voxels=scale)
    old = number(as_map(state.get("navigation")).get("zoomFactor"))  # nanometres per pixel
    if not is_volume and old and old > 0:
        return Zoom(old * _NANO, "meter")
    return None


def _is_turned(state: dict[str, Any]) -> bool:
    turn = numbers(state.get("crossSectionOrientation"))
    return len(turn) == 4 and any(abs(part or 0) > 1e-3 for part in turn[:3])
