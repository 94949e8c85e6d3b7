"""How layers look, as OME-Zarr says it: channels of ``omero``, colours and properties of labels.

The way back of `layer_data`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_omezarr_cloud.napari.display import view_of
from napari_omezarr_cloud.napari.layer_data import is_known_colormap
from napari_omezarr_cloud.napari.visible import axis_names
from napari_omezarr_cloud.ngff import Channel, ImageLabel
from napari_omezarr_cloud.ngff.omero import Rendering, Window
from napari_omezarr_cloud.ngff.values import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "channel_of",
    "image_label_of",
    "is_magnitude",
    "lost_look",
    "plain_names",
    "planes_on_screen",
    "rendering_of",
]

_SAMPLES, _TOLERANCE = 17, 0.02
"""Of a colormap, and by how much of full colour it may differ from an even one."""

_RGBA = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"), ("opacity", "FFFFFF"))


def rendering_of(
    layers: Sequence[Any], channel_count: int, planes: Mapping[str, int] | None = None
) -> Rendering:
    """Return how image layers look.

    Parameters
    ----------
    layers
        One per channel; or one alone, for all channels that it has.
    channel_count
        How many channels there are.
    planes
        By the axis' name, which plane is on screen: of z and t.
    """
    first, names = layers[0], plain_names(layers)
    if getattr(first, "rgb", False):
        channels = [
            Channel(name, color, Window(*_full_range(first)), active=name != "opacity")
            for name, color in _RGBA[:channel_count]
        ]
    elif len(layers) == 1 and channel_count > 1:
        channels = [channel_of(first, f"{names[0]} {n}") for n in range(channel_count)]
    else:
        channels = [channel_of(layer, name) for layer, name in zip(layers, names, strict=True)]
    planes = planes or {}
    is_grey = all(channel.color == "FFFFFF" for channel in channels)
    model = "greyscale" if is_grey else "color"
    return Rendering(tuple(channels), planes.get("z"), planes.get("t"), model)


def channel_of(layer: Any, name: str) -> Channel:
    """Return how one image layer looks, under a name.

    OME-Zarr has one colour for a channel. A colormap of more is grey for others, and its name is
    for napari; one of the person's own, which has no name there, is the nearest colour.
    """
    ramp, colormap = _ramp_of(layer.colormap), None
    if not ramp.is_exact and is_known_colormap(str(layer.colormap.name)):
        ramp, colormap = _GREY, str(layer.colormap.name)
    low, high = (float(limit) for limit in layer.contrast_limits)
    least, most = (float(limit) for limit in layer.contrast_limits_range)
    if (least, most) == (low, high):  # napari's word for a range that nobody gave
        least, most = _full_range(layer)
    return Channel(
        name=name,
        color=ramp.color,
        window=Window(low, high, min(least, low), max(most, high)) if low < high else None,
        active=bool(layer.visible),
        inverted=ramp.is_inverted,
        colormap=colormap,
    )


class _Ramp(NamedTuple):
    """A colormap that goes evenly from black to a colour, all that OME-Zarr can say."""

    color: str
    is_inverted: bool
    is_exact: bool
    """Whether the colormap is this one, and not only near it."""


_GREY = _Ramp("FFFFFF", False, False)


def _ramp_of(colormap: Any) -> _Ramp:
    """Return the ramp that a colormap is, or that differs least from it (squares of RGB)."""
    at = np.linspace(0, 1, _SAMPLES)
    colours = np.asarray(colormap.map(at), float)[:, :3]
    # A colour that ends in black was turned round: dark on a bright ground.
    is_inverted = not colours[-1].any() and bool(colours[0].any())
    end = colours[0 if is_inverted else -1]
    evenly = 1 - at if is_inverted else at
    is_exact = bool(np.abs(colours - evenly[:, None] * end).max() <= _TOLERANCE)
    if not is_exact:
        nearest = evenly @ colours / (evenly @ evenly)
        # As bright as it is: a ramp through a curve would come out dim.
        end = np.minimum(nearest * colours.max() / nearest.max(), 1) if nearest.any() else nearest
    red, green, blue = (round(255 * part) for part in end.tolist())
    return _Ramp(f"{red:02X}{green:02X}{blue:02X}", is_inverted, is_exact)


def lost_look(layer: Any, channel: Channel) -> list[str]:
    """Return what of an image layer's look OME-Zarr has no word for, in sentences.

    Parameters
    ----------
    layer
        Of one channel.
    channel
        As `channel_of` gave it.
    """
    notes = []
    if channel.colormap is not None:
        notes.append(
            f"“{layer.name}”: OME-Zarr knows one colour a channel, so others will see "
            f"{channel.colormap} as grey. Here it will be {channel.colormap}."
        )
    elif not _ramp_of(layer.colormap).is_exact:
        notes.append(
            f"“{layer.name}”: OME-Zarr knows one colour a channel. Its colormap, which is your "
            f"own, will be the nearest one, {channel.color}."
        )
    more = [name for name in ("gamma", "opacity") if getattr(layer, name) != 1]
    if more:
        notes.append(f"“{layer.name}”: its {listed(more)} cannot be saved.")
    return notes


def is_magnitude(layer: Any) -> bool:
    """Tell whether an image layer shows the magnitude of complex numbers."""
    view = view_of(layer)
    return layer.dtype.kind == "f" and view is not None and view.pyramid.dtype.kind == "c"


def _full_range(layer: Any) -> tuple[float, float]:
    dtype = np.dtype(layer.dtype)
    if dtype.kind not in "iu":
        return 0.0, 1.0
    return float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)


def plain_names(layers: Sequence[Any]) -> list[str]:
    """Return the names of layers without the name of the image that they are channels of."""
    names = []
    for layer in layers:
        view = view_of(layer)
        image = "" if view is None else f"{view.pyramid.name}: "
        name = str(layer.name)
        names.append(name[len(image) :] if image and name.startswith(image) else name)
    return names


def planes_on_screen(viewer: Any, layer: Any) -> dict[str, int]:
    """Return on which planes of z and t the sliders stand, by the names of a layer's axes."""
    at = np.asarray(layer.world_to_data(np.array(viewer.dims.point, float)), float)
    offset = viewer.dims.ndim - layer.ndim
    displayed = {axis - offset for axis in viewer.dims.displayed}
    shape = layer.data[0].shape if layer.multiscale else layer.data.shape
    return {
        name.lower(): min(max(round(float(at[axis])), 0), shape[axis] - 1)
        for axis, name in enumerate(axis_names(layer))
        if name.lower() in ("z", "t") and axis not in displayed
    }


def image_label_of(layer: Any) -> ImageLabel:
    """Return the colours that somebody chose for single labels, and their properties.

    Colours that napari gives to all labels by a rule are not stored: every viewer has its own.
    """
    colours: dict[int, tuple[int, int, int, int]] = {}
    for value, colour in getattr(layer.colormap, "color_dict", {}).items():
        if value is not None and value != 0:
            red, green, blue, alpha = (round(255 * float(part)) for part in colour)
            colours[int(value)] = (red, green, blue, alpha)
    return ImageLabel(colors=colours, properties=_properties(layer.features))


def _properties(features: Any) -> dict[int, dict[str, object]]:
    """Return the rows of a table by label; the label is its ``index``, else the row's number."""
    columns = [name for name in features.columns if name != "index"]
    if not columns:
        return {}
    labels = features["index"] if "index" in features.columns else range(len(features))
    found = {}
    for row, label in enumerate(labels):
        values = {str(name): _plain(features[name].iloc[row]) for name in columns}
        kept = {name: value for name, value in values.items() if value is not None}
        if kept:
            found[int(label)] = kept
    return found


def _plain(value: Any) -> object:
    """Return a value as JSON holds it; None for what it does not hold."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float) else str(value)
