"""Images and labels → what napari's layers are made of. Pure: no napari, no Qt, no waiting.

Here OME-Zarr's words become napari's: scale and translation → ``scale`` and ``translate``,
window → ``contrast_limits``, colour → ``colormap``, axis names and units → ``axis_labels`` and
``units``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.chunks.dask_view import dask_array
from napari_omezarr_cloud.ngff.units import micrometres, time_unit
from napari_omezarr_cloud.pyramid import PyramidView
from napari_omezarr_cloud.pyramid.beside import placed_beside
from napari_omezarr_cloud.pyramid.channels import channel_axis, is_rgb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_omezarr_cloud.api import Image, Labels
    from napari_omezarr_cloud.ngff import Affine, Axis, Channel
    from napari_omezarr_cloud.pyramid import Pyramid

__all__ = [
    "METADATA_KEY",
    "LayerData",
    "channel_name",
    "colormap_of",
    "is_known_colormap",
    "labels_layer",
    "length_factor",
    "placement",
    "pyramid_layer",
    "to_layers",
]

LayerData = tuple[Any, dict[str, Any], str]
"""(levels, attributes, layer type), as npe2 wants it."""

METADATA_KEY = "omezarr"
"""Where our layers carry where they came from: written here, read by display and the widgets."""

_PALETTES: dict[int, Sequence[str]] = {
    1: ("gray",),
    2: ("#00FF00", "#FF00FF"),
    3: ("#FF0000", "#00FF00", "#0000FF"),
}
_CLEAR = np.zeros(4, np.float32)
_GREY = np.array([0.7, 0.7, 0.7, 1], np.float32)
_MOST_COLOURED = 1 << 16
_MANY = ("#00FFFF", "#FFFF00", "#FF00FF", "#FF0000", "#00FF00", "#0000FF")


@dataclass(frozen=True)
class _Unit:
    """napari's name of a unit, and how many of it one of the file's makes."""

    name: str
    factor: float


def _unit(axis: Axis) -> _Unit:
    """Return the unit a layer gets: µm for every length, as mixed ones mislead napari."""
    factor = micrometres(axis.unit)
    if factor is not None:
        return _Unit("micrometer", factor)
    return _Unit(time_unit(axis.unit) or "pixel", 1.0)


def length_factor(axis: Axis) -> float:
    """Return how many of the layer's units (µm) one of the file's makes."""
    return _unit(axis).factor


def placement(view: PyramidView, *, without: Sequence[int] = ()) -> dict[str, Any]:
    """Return scale, translate, units and axis_labels of a layer that shows a view.

    An image that is rotated or sheared in its coordinate system also has ``affine``, in the units
    of the layer.

    Parameters
    ----------
    view
        What is shown; level 0 decides.
    without
        Positions of axes of the view that are no axes of the layer (the colours of RGB).
    """
    transform = view.transform(0)
    keep = [i for i in range(view.ndim) if i not in without]
    units = [_unit(view.axes[i]) for i in keep]
    affine = view.affine(keep)
    more = {} if affine is None else {"affine": _homogeneous(affine, [u.factor for u in units])}
    return {
        **more,
        "scale": [transform.scale[i] * u.factor for i, u in zip(keep, units, strict=True)],
        "translate": [
            transform.translation[i] * u.factor for i, u in zip(keep, units, strict=True)
        ],
        "units": [u.name for u in units],
        "axis_labels": [view.axes[i].name for i in keep],
    }


def _homogeneous(affine: Affine, factors: Sequence[float]) -> np.ndarray[Any, Any]:
    """Return napari's matrix of an affine map, in other units: how many one of each axis' makes."""
    n = len(factors)
    whole = np.eye(n + 1)
    f = np.array(factors)
    whole[:n, :n] = np.array(affine.matrix) * f[:, None] / f[None, :]
    whole[:n, n] = np.array(affine.translation) * f
    return whole


def pyramid_layer(
    view: PyramidView, *, without: Sequence[int] = ()
) -> tuple[list[Any], dict[str, Any]]:
    """Return levels as dask arrays, and the attributes that every layer of ours has."""
    levels = [dask_array(view, number) for number in range(len(view.pyramid.levels))]
    attributes = {"multiscale": True, "cache": False, **placement(view, without=without)}
    return levels, attributes


def to_layers(image: Image, *, rgb: bool | None = None) -> list[LayerData]:
    """Return the layers of an image, one per channel; labels are not among them.

    Parameters
    ----------
    image
        An open image.
    rgb
        True shows three or four channels as one colour picture, False never does. None: only when
        the colours are the last axis.

    Returns
    -------
    list of (data, attributes, "image")
        ``data`` are dask arrays, fine to coarse, that compute to exact voxels. Make labels into
        layers with :func:`labels_layer`.
    """
    axis = channel_axis(image.pyramid)
    if rgb is None:
        rgb = is_rgb(image.pyramid)
    if rgb and axis is not None:
        return [_rgb_layer(image, axis)]
    channels = image.channels
    dtype = image.pyramid.dtype
    # napari refuses complex numbers; the magnitude is shown, the image object keeps the numbers.
    magnitude = np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else None
    fixed: list[Mapping[int, int]] = (
        [{}] if axis is None else [{axis: i} for i in range(len(channels))]
    )
    return [
        _channel_layer(
            image,
            PyramidView.in_world_order(image.pyramid, where, shown_as=magnitude),
            number,
            channel,
        )
        for number, (where, channel) in enumerate(zip(fixed, channels, strict=True))
    ]


def _rgb_layer(image: Image, axis: int) -> LayerData:
    order = [*PyramidView.in_world_order(image.pyramid, {axis: 0}).order, axis]
    view = PyramidView.of(image.pyramid, order=order)
    levels, attributes = pyramid_layer(view, without=[view.ndim - 1])
    attributes |= {"name": image.name, "rgb": True, "metadata": _metadata(image)}
    return levels, attributes, "image"


def _channel_layer(image: Image, view: PyramidView, number: int, channel: Channel) -> LayerData:
    levels, attributes = pyramid_layer(view)
    count = len(image.channels)
    limits, is_guess = _contrast(channel, view.dtype)
    attributes |= {
        "name": channel_name(image.name, channel, number, count),
        "colormap": colormap_of(channel, number, count),
        "contrast_limits": limits,
        "blending": "additive" if count > 1 else "translucent_no_depth",
        "visible": channel.active,
        "metadata": _metadata(
            image, channel=number, channel_name=channel.name, guess_contrast=is_guess
        ),
    }
    return levels, attributes, "image"


def channel_name(image_name: str, channel: Channel, number: int, count: int) -> str:
    """Return what a layer is called that shows one of so many channels."""
    if count == 1:
        return f"{image_name}: {channel.name}" if channel.name else image_name
    return f"{image_name}: {channel.name or f'channel {number}'}"


def colormap_of(channel: Channel, number: int, count: int) -> Any:
    """Return the colormap, as napari takes it, of one of so many channels."""
    if channel.colormap is not None and is_known_colormap(channel.colormap):
        return channel.colormap
    colour = f"#{channel.color}" if channel.color else None
    if colour is None:
        palette = _PALETTES.get(count, _MANY)
        colour = palette[number % len(palette)]
    elif colour.upper() == "#FFFFFF":
        colour = "gray"
    if channel.inverted:
        end = "#FFFFFF" if colour == "gray" else colour
        return {"colors": [end, "#000000"], "name": f"inverted {end}"}
    return colour


def is_known_colormap(name: str) -> bool:
    """Tell whether every napari has a colormap of this name, not only this one."""
    from napari.utils.colormaps.colormap_utils import ALL_COLORMAPS

    return name in ALL_COLORMAPS


def _contrast(channel: Channel, dtype: np.dtype[Any]) -> tuple[list[float], bool]:
    """Return contrast limits, and whether they are a guess that the pixels should correct."""
    window = channel.window
    if window is not None:
        return [window.start, window.end], False
    if dtype.kind == "b":
        return [0, 1], False
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return [float(max(limits.min, 0)), float(limits.max)], True
    return [0.0, 1.0], True


def _metadata(image: Image, **more: Any) -> dict[str, Any]:
    """Return what a layer says about where it came from; a display form without secrets."""
    about = {"source": str(image.location), "notes": list(image.notes), **more}
    for name in ("default_z", "default_t"):
        value = getattr(image.opened.image, name)
        if value is not None:
            about[name] = value
    return {METADATA_KEY: about}


def labels_layer(
    labels: Labels, image_name: str, source: str, *, beside: Pyramid | None = None
) -> LayerData:
    """Return the layer of a label image: its colours, and its properties where hovering shows them.

    Parameters
    ----------
    labels
        An open label image.
    image_name
        Name of the image it belongs to, for the layer's name.
    source
        Display form of where it came from.
    beside
        The image that it belongs to: labels that lack axes of it are placed by the axes' names.
    """
    pyramid = labels.pyramid if beside is None else placed_beside(labels.pyramid, beside)
    axis = channel_axis(pyramid)
    fixed = {axis: 0} if axis is not None else {}
    # napari would turn booleans into another array, which nobody could recognise as ours.
    dtype = np.dtype("u1") if labels.pyramid.dtype.kind == "b" else None
    view = PyramidView.in_world_order(pyramid, fixed, shown_as=dtype)
    arrays, attributes = pyramid_layer(view)
    levels = _multiscale(arrays)
    attributes |= {
        "name": labels.name if labels.name == image_name else f"{image_name}: labels {labels.name}",
        "opacity": 0.5,
        "metadata": {
            METADATA_KEY: {"source": source, "labels": labels.name, "notes": list(labels.notes)}
        },
    }
    if labels.label.colors and _can_be_coloured(labels.label.colors, view.dtype):
        colours: dict[int | None, Any] = {
            value: np.array(rgba, np.float32) / 255 for value, rgba in labels.label.colors.items()
        }
        # A direct colormap has one colour for all that is not listed: grey, so that it is seen.
        attributes["colormap"] = {0: _CLEAR, None: _GREY, **colours}
    elif labels.label.colors:
        attributes["metadata"][METADATA_KEY]["notes"].append(
            "The colours of the labels are not shown: napari takes colours of values above "
            f"{_MOST_COLOURED:,} only with numba, which is not installed."
        )
    features = _features(labels.label.properties)
    if features is not None:
        attributes["features"] = features
    return levels, attributes, "labels"


def _can_be_coloured(colors: Mapping[int, Any], dtype: np.dtype[Any]) -> bool:
    """Tell whether napari can show colours of these values: without numba it needs a table."""
    if dtype.itemsize <= 2 or find_spec("numba") is not None:
        return True
    most = max(map(abs, colors)) * (2 if min(colors) < 0 else 1)
    return most <= _MOST_COLOURED


def _multiscale(levels: list[Any]) -> Any:
    """Return levels in napari's own word for them.

    A plain list of one level, or of levels of one size, is no pyramid for its Labels.
    """
    from napari.layers._multiscale_data import MultiScaleData

    return MultiScaleData(levels)


def _features(properties: Mapping[int, Mapping[str, object]]) -> dict[str, list[Any]] | None:
    if not properties:
        return None
    names = list(dict.fromkeys(name for each in properties.values() for name in each))
    table: dict[str, list[Any]] = {"index": list(properties)}
    for name in names:
        if name != "index":
            table[name] = [each.get(name) for each in properties.values()]
    return table
