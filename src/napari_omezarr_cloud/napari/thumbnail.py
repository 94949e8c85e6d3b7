"""A small picture of an image, of its coarsest level: what to read for it, and how it is made."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.napari.contrast import limits_of
from napari_omezarr_cloud.pyramid import Region
from napari_omezarr_cloud.pyramid.channels import channel_axis, is_rgb

if TYPE_CHECKING:
    from napari_omezarr_cloud.api import Image
    from napari_omezarr_cloud.ngff import Channel
    from napari_omezarr_cloud.pyramid import Level

__all__ = ["render", "what_to_read"]

_MOST_VOXELS = 1 << 22
"""Where even the coarsest level has more in one plane, there is no picture: it would be slow."""

_MOST_CHANNELS = 4
_COLORS = ("00FF00", "FF00FF", "00FFFF", "FFFF00")


def what_to_read(image: Image) -> tuple[Level, Region] | None:
    """Return the level and region that a thumbnail needs; None where that is too much to read.

    The middle plane, the first time point, and the first channels.
    """
    level = image.pyramid.levels[-1]
    shape = level.grid.shape
    channel = channel_axis(image.pyramid)
    start, stop = [], []
    for axis, n in enumerate(shape):
        is_seen = axis in _plane(image)
        if axis == channel:
            start.append(0)
            stop.append(min(n, _MOST_CHANNELS))
        elif is_seen:
            start.append(0)
            stop.append(n)
        else:
            middle = 0 if image.axes[axis].type == "time" else n // 2
            start.append(middle)
            stop.append(middle + 1)
    region = Region(tuple(start), tuple(stop))
    return (level, region) if math.prod(region.shape) <= _MOST_VOXELS else None


def _plane(image: Image) -> tuple[int, int]:
    """Return the axes of the picture, vertical and horizontal."""
    channel = channel_axis(image.pyramid)
    rest = [axis for axis in range(image.pyramid.ndim) if axis != channel]
    return rest[-2], rest[-1]


def render(image: Image, pixels: npt.NDArray[Any], side_px: int) -> npt.NDArray[np.uint8]:
    """Return a picture of at most ``side_px`` voxels a side: height, width, 3.

    Parameters
    ----------
    image
        Whose picture it is.
    pixels
        What was read of it: axes as the image's.
    side_px
        Of the picture.
    """
    channel = channel_axis(image.pyramid)
    plane = _plane(image)
    order = [*([channel] if channel is not None else []), *plane]
    rest = [axis for axis in range(pixels.ndim) if axis not in order]
    planes = np.transpose(pixels, (*rest, *order))[(0,) * len(rest)]
    planes = planes if channel is not None else planes[None]
    step = max(1, math.ceil(max(planes.shape[1:]) / side_px))
    planes = planes[:, ::step, ::step]
    if planes.dtype.kind == "c":
        planes = np.abs(planes)
    if is_rgb(image.pyramid):
        return np.ascontiguousarray(np.moveaxis(planes[:3], 0, -1).astype(np.uint8))
    if image.opened.image.label is not None:
        return _as_labels(planes[0])
    return _composite(planes, image.channels)


def _composite(planes: npt.NDArray[Any], channels: tuple[Channel, ...]) -> npt.NDArray[np.uint8]:
    seen = [n for n in range(len(planes)) if channels[n].active] or [0]
    canvas = np.zeros((*planes.shape[1:], 3))
    for n in seen:
        channel = channels[n]
        limits = limits_of(planes[n])
        if limits is None:
            continue
        grey = np.clip((np.nan_to_num(planes[n]) - limits[0]) / (limits[1] - limits[0]), 0, 1)
        colour = channel.color or ("FFFFFF" if len(seen) == 1 else _COLORS[n % len(_COLORS)])
        rgb = [int(colour[i : i + 2], 16) for i in (0, 2, 4)]
        canvas += grey[..., None] * rgb
    return np.clip(canvas, 0, 255).astype(np.uint8)


def _as_labels(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Give each label a colour of its own, background black."""
    mixed = values.astype(np.uint64) * np.uint64(0x9E3779B1)
    channels = [(mixed >> np.uint64(shift)) & np.uint64(0xFF) for shift in (3, 11, 19)]
    rgb = np.stack(channels, -1).astype(np.uint8) // 2 + 96
    rgb[values == 0] = 0
    return rgb
