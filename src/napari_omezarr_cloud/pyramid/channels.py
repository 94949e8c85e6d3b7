"""Which channels a pyramid has, and whether they are one colour picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_omezarr_cloud.ngff import Channel, Image

if TYPE_CHECKING:
    from napari_omezarr_cloud.pyramid.level import Pyramid

__all__ = ["channel_axis", "channels_of", "is_rgb", "note_on_channels"]


def channel_axis(pyramid: Pyramid) -> int | None:
    """Return the position of the channel axis: by its type, else by its name.

    None where the other axes would be no plane: channels along one axis are shown as rows.
    """
    if pyramid.ndim < 3:
        return None
    for number, axis in enumerate(pyramid.axes):
        if axis.type == "channel":
            return number
    return pyramid.axis("c")


def channels_of(image: Image, pyramid: Pyramid) -> tuple[Channel, ...]:
    """Return one description per index of the channel axis.

    Files describe fewer or more channels than they hold; missing ones are plain, those too many
    are left out.
    """
    axis = channel_axis(pyramid)
    count = 1 if axis is None else pyramid.levels[0].grid.shape[axis]
    described = image.channels[:count]
    return described + (Channel(),) * (count - len(described))


def note_on_channels(image: Image, pyramid: Pyramid) -> str | None:
    """Return a sentence where other channels are described than there are."""
    described, count = len(image.channels), len(channels_of(image, pyramid))
    if described in (0, count):
        return None
    plural = "" if described == 1 else "s"
    then = "the others look plain" if described < count else "those too many are left out"
    return f"omero describes {described} channel{plural}, the image has {count}; {then}."


def is_rgb(pyramid: Pyramid) -> bool:
    """Tell whether the channels are the colours of one picture: 3 or 4 of 8 bits, on the last axis.

    OME-Zarr has no word for it and puts channels before space; who puts them last wrote a
    picture as imaging libraries do. Channels that come first are shown as channels, whatever
    their colours.
    """
    axis = channel_axis(pyramid)
    last = pyramid.ndim - 1
    return axis == last and pyramid.levels[0].grid.shape[last] in (3, 4) and pyramid.dtype == "u1"
