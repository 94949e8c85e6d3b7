"""``omero``: how the channels are meant to look, and which plane to show first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from napari_omezarr_cloud.ngff.values import (
    finite_number,
    listed,
    plain_text,
    shown,
    whole_number,
)

__all__ = ["OWN_KEY", "Channel", "Rendering", "Window", "parse_omero"]

OWN_KEY = "napari-omezarr-cloud"
"""Under which we write what OME-Zarr has no word for."""

_HEX = r"(?i:(?:#|0x)?([0-9a-f]{3}|[0-9a-f]{6}|[0-9a-f]{8}))"  # not compiled: imports are quick


@dataclass(frozen=True)
class Window:
    """The range of intensities that is shown, in pixel values; ``start < end``."""

    start: float
    """Shown black."""
    end: float
    """Shown in full colour."""
    min: float | None = None
    """Lower end of the range to choose from."""
    max: float | None = None
    """Upper end of the range to choose from."""


@dataclass(frozen=True)
class Channel:
    """How one channel is meant to look; None: not stated."""

    name: str | None = None
    """Plain text."""
    color: str | None = None
    """``"RRGGBB"``, upper case."""
    window: Window | None = None
    """None: to be worked out from the pixels."""
    active: bool = True
    """False: hidden at first."""
    inverted: bool = False
    """True: dark on a bright ground."""
    colormap: str | None = None
    """Name of a colormap of napari's that is more than one colour, which only we write and read;
    ``color`` is what others show instead."""


@dataclass(frozen=True)
class Rendering:
    """What the ``omero`` metadata say."""

    channels: tuple[Channel, ...] = ()
    """As many as are described, which may be fewer or more than the channel axis holds."""
    default_z: int | None = None
    default_t: int | None = None
    model: str | None = None
    """``"color"`` or ``"greyscale"``."""


class _Troubles:
    """What was wrong with which channel: one note a kind, not one a channel."""

    def __init__(self) -> None:
        self._channels: dict[str, list[int]] = {}

    def add(self, channel: int, trouble: str) -> None:
        self._channels.setdefault(trouble, []).append(channel)

    def notes(self) -> list[str]:
        return [
            f"omero, channel{'s' if len(numbers) > 1 else ''} {listed(numbers)}: {trouble}."
            for trouble, numbers in self._channels.items()
        ]


def parse_omero(value: object, *, notes: list[str]) -> Rendering:
    """Return what the ``omero`` metadata say; never raises.

    Parameters
    ----------
    value
        The JSON value of ``omero``; None when it is absent.
    notes
        Gets a sentence for each kind of thing that could not be used; a channel's other
        properties, and the other channels, are not touched by it.
    """
    if value is None:
        return Rendering()
    if not isinstance(value, dict):
        notes.append(f"omero is no object ({shown(value)}).")
        return Rendering()
    rdefs = value.get("rdefs")
    if not isinstance(rdefs, dict):
        rdefs = {}
    return Rendering(
        channels=_channels(value.get("channels", []), notes),
        default_z=_plane(rdefs, "defaultZ", notes),
        default_t=_plane(rdefs, "defaultT", notes),
        model=_model(rdefs.get("model")),
    )


def _channels(value: object, notes: list[str]) -> tuple[Channel, ...]:
    if not isinstance(value, list):
        notes.append(f"omero: the channels are no list ({shown(value)}).")
        return ()
    troubles = _Troubles()
    channels = tuple(_channel(i, item, troubles) for i, item in enumerate(value))
    notes += troubles.notes()
    return channels


def _channel(i: int, item: object, troubles: _Troubles) -> Channel:
    if not isinstance(item, dict):
        troubles.add(i, "no object")
        return Channel()
    color = _color(i, item.get("color"), troubles)
    return Channel(
        name=_label(item.get("label")),
        color=color,
        window=_window(i, item.get("window"), troubles),
        active=_flag(i, item, "active", True, troubles),
        inverted=_flag(i, item, "inverted", False, troubles),
        colormap=_colormap(item.get(OWN_KEY), color),
    )


def _colormap(value: object, color: str | None) -> str | None:
    """Return the colormap that we wrote, unless somebody has given the channel a colour since."""
    if not isinstance(value, dict) or value.get("color") != color:
        return None
    return plain_text(value.get("colormap"), limit=100)


def _label(value: object) -> str | None:
    return plain_text(value if finite_number(value) is None else str(value))


def _color(i: int, value: object, troubles: _Troubles) -> str | None:
    if value is None:
        return None
    if (number := whole_number(value)) is not None and -(2**31) <= number < 2**32:
        troubles.add(i, f"the number {number} as color")
        # OMERO writes colours as signed 32-bit RGBA; a small number can only be RGB.
        return f"{number if 0 <= number < 2**24 else number % 2**32 >> 8:06X}"
    text = value.strip() if isinstance(value, str) else ""
    match = re.fullmatch(_HEX, text)
    if match is None:
        troubles.add(i, f"the color {shown(value)} is no RRGGBB; it is not used")
        return None
    if len(digits := match[1].upper()) == 8:
        troubles.add(i, f"the opacity of the color {shown(value)} is not used")
    color = "".join(d + d for d in digits) if len(digits) == 3 else digits[:6]
    if color != text.upper()[:6]:
        troubles.add(i, f"the color {shown(value)} was read as {color}")
    return color


def _window(i: int, value: object, troubles: _Troubles) -> Window | None:
    if not isinstance(value, dict):
        found = "no window" if value is None else f"the window {shown(value)} is no object"
        troubles.add(i, f"{found}; contrast is taken from the pixels")
        return None
    start, end = finite_number(value.get("start")), finite_number(value.get("end"))
    if start is None or end is None or start >= end:
        found = f"{shown(value.get('start'))} to {shown(value.get('end'))}"
        troubles.add(i, f"the window {found}; contrast is taken from the pixels")
        return None
    return Window(start, end, finite_number(value.get("min")), finite_number(value.get("max")))


def _flag(i: int, item: dict[str, Any], name: str, default: bool, troubles: _Troubles) -> bool:
    value = item.get(name, default)
    if isinstance(value, bool):
        return value
    if value in (0, 1):
        return bool(value)
    troubles.add(i, f"{name} is {shown(value)}, taken for {str(default).lower()}")
    return default


def _plane(rdefs: dict[str, Any], name: str, notes: list[str]) -> int | None:
    value = rdefs.get(name)
    number = whole_number(value)
    if number is not None and number >= 0:
        return number
    if value is not None:
        notes.append(f"omero: {name} is {shown(value)}, which is no plane.")
    return None


def _model(value: object) -> str | None:
    text = plain_text(value, limit=100)
    if text and text.lower() in ("greyscale", "grayscale"):
        return "greyscale"
    return text.lower() if text else None
