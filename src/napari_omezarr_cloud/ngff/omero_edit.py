"""``omero`` with another look of its channels: the rest of it stays, and what changes is told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.ngff.omero import OWN_KEY, Channel, Rendering, Window, parse_omero
from napari_omezarr_cloud.ngff.values import finite_number, plain_text, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["OmeroChange", "edited_omero", "omero_changes"]

_WORDS = {
    "label": "name",
    "color": "colour",
    "active": "shown",
    "window": "contrast limits",
    OWN_KEY: "colormap in napari",
    "defaultZ": "z shown first",
    "defaultT": "t shown first",
}
_RANGE = "range of the contrast slider"


def edited_omero(omero: object, rendering: Rendering) -> dict[str, Any]:
    """Return ``omero`` with its channels looking as given.

    Parameters
    ----------
    omero
        The JSON value that is there; None: none. It is not changed.
    rendering
        What it shall say: channels in the order of the channel axis. What is None stays as it is,
        as do channels beyond these, and every key that is not written here. So does what already
        means the same, however it is spelt; only a colour is always spelt as the format asks.

    References
    ----------
    OME-Zarr 0.4 and 0.5, "omero": ``color`` is six hexadecimal digits without ``#``; ``start``
    and ``end`` of a window are data values, and ``min`` and ``max`` bound them.
    """
    known = parse_omero(omero, notes=[])
    block = dict(omero) if isinstance(omero, dict) else {}
    held = block.get("channels")
    channels = list(held) if isinstance(held, list) else []
    wanted = list(rendering.channels)
    while len(wanted) > len(channels) and wanted[-1] == Channel():
        wanted.pop()  # nothing is said of it, and nothing was
    for number, channel in enumerate(wanted):
        if number >= len(channels):
            channels.append({})
        there = channels[number] if isinstance(channels[number], dict) else {}
        was = known.channels[number] if number < len(known.channels) else Channel()
        channels[number] = _edited(there, was, channel)
    if channels:
        block["channels"] = channels
    defaults = block.get("rdefs")
    defaults = dict(defaults) if isinstance(defaults, dict) else {}
    if rendering.default_t is not None and rendering.default_t != known.default_t:
        defaults["defaultT"] = rendering.default_t
    if rendering.default_z is not None and rendering.default_z != known.default_z:
        defaults["defaultZ"] = rendering.default_z
    model = _model(known.model, rendering)
    if model is not None and model != known.model:
        defaults["model"] = model
    if defaults:
        block["rdefs"] = defaults
    return block


def _model(known: str | None, rendering: Rendering) -> str | None:
    """Return the model: the one that is stated, unless the channels have colours that it denies."""
    if known is None:
        return rendering.model
    has_colour = any(each.color not in (None, "FFFFFF") for each in rendering.channels)
    return "color" if known == "greyscale" and has_colour else known


def _edited(there: dict[str, Any], was: Channel, channel: Channel) -> dict[str, Any]:
    found = dict(there)
    if channel.name is not None and channel.name != was.name:
        found["label"] = channel.name
    if channel.color is not None:
        is_well_spelt = re.fullmatch("[0-9A-Fa-f]{6}", str(there.get("color")))
        if channel.color != was.color or not is_well_spelt:
            found["color"] = channel.color
        # With the colour that goes with it: who changes that one later means to change the look.
        own = there.get(OWN_KEY)
        own = dict(own) if isinstance(own, dict) else {}
        own.pop("colormap", None)
        own.pop("color", None)
        if channel.colormap is not None:
            own |= {"colormap": channel.colormap, "color": channel.color}
        found.pop(OWN_KEY, None)
        if own:
            found[OWN_KEY] = own
    if channel.window is not None:
        found["window"] = _window(there.get("window"), was.window, channel.window)
    if channel.active != was.active or "active" not in there:
        found["active"] = channel.active
    if channel.inverted != was.inverted:
        found["inverted"] = channel.inverted
    return found


def _window(there: object, was: Window | None, window: Window) -> dict[str, Any]:
    found = dict(there) if isinstance(there, dict) else {}
    if was is None or was.start != window.start:
        found["start"] = _number(window.start)
    if was is None or was.end != window.end:
        found["end"] = _number(window.end)
    low, high = finite_number(found.get("min")), finite_number(found.get("max"))
    if low is None:
        found["min"] = _number(window.start if window.min is None else window.min)
    elif low > window.start:
        found["min"] = _number(window.start)
    if high is None:
        found["max"] = _number(window.end if window.max is None else window.max)
    elif high < window.end:
        found["max"] = _number(window.end)
    return found


def _number(value: float) -> float | int:
    """Return a number as people write it: data values are mostly whole."""
    return int(value) if float(value).is_integer() and abs(value) < 2**53 else float(value)


@dataclass(frozen=True)
class OmeroChange:
    """One value that is not the same any more; plain text, of one line each."""

    subject: str
    """Whose: ``'channel 0 “DAPI”'`` or ``'image'``."""
    what: str
    """Which: ``'colour'``."""
    before: str
    """Empty: there was none."""
    after: str
    """Empty: there is none any more."""

    def __str__(self) -> str:
        before, after = (each or "not stated" for each in (self.before, self.after))
        return f"{self.subject}, {self.what}: {before} → {after}"


def omero_changes(before: object, after: object) -> tuple[OmeroChange, ...]:
    """Return all that differs between two values of ``omero``, in the order of the channels.

    Parameters
    ----------
    before, after
        JSON values; None: none.
    """
    old, new = dict(_leaves(before)), dict(_leaves(after))
    names = {**_names(before), **_names(after)}
    changes = [
        OmeroChange(_subject(place[0], names), place[1], *_texts(place, old, new))
        for place in sorted({**old, **new}, key=lambda place: (place[0] is None, place[0] or 0))
        if place not in old or place not in new or not _is_same(old[place], new[place])
    ]
    return tuple(changes)


_Place = tuple[int | None, str]
"""Which channel, None: the image; and what of it."""


def _leaves(omero: object) -> Iterator[tuple[_Place, object]]:
    if not isinstance(omero, dict):
        if omero is not None:
            yield (None, "omero"), omero
        return
    for key, value in omero.items():
        if key == "channels" and isinstance(value, list):
            for number, channel in enumerate(value):
                for what, part in _parts(channel):
                    yield (number, what), part
        elif key == "rdefs" and isinstance(value, dict):
            for name, part in value.items():
                yield (None, _WORDS.get(name, str(name))), part
        else:
            yield (None, str(key)), value


def _parts(channel: object) -> Iterator[tuple[str, object]]:
    if not isinstance(channel, dict):
        yield "channel", channel
        return
    for key, value in channel.items():
        if key == "window" and isinstance(value, dict):
            limits = (value.get("start"), value.get("end"))
            if limits != (None, None):
                yield _WORDS["window"], limits
            ends = (value.get("min"), value.get("max"))
            if ends != (None, None):
                yield _RANGE, ends
            rest = value.keys() - {"start", "end", "min", "max"}
            yield from ((f"window, {name}", value[name]) for name in sorted(rest))
        elif key == OWN_KEY and isinstance(value, dict):
            if "colormap" in value:
                yield _WORDS[OWN_KEY], value["colormap"]
        else:
            yield _WORDS.get(key, str(key)), value


def _is_same(one: object, other: object) -> bool:
    # In Python, True equals 1.
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _texts(place: _Place, old: Mapping[_Place, object], new: Mapping[_Place, object]) -> list[str]:
    texts = [_text(values[place]) if place in values else "" for values in (old, new)]
    if texts[0] == texts[1]:  # they differ beyond the digits that are shown
        return [shown(values[place]) for values in (old, new)]
    return texts


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return " to ".join(_text(each) for each in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return plain_text(value) or "(blank)"
    if isinstance(value, float):
        return f"{value:.6g}"
    return shown(value)


def _names(omero: object) -> dict[int, str]:
    channels = parse_omero(omero, notes=[]).channels
    return {number: each.name for number, each in enumerate(channels) if each.name}


def _subject(number: int | None, names: Mapping[int, str]) -> str:
    if number is None:
        return "image"
    return f"channel {number}" + (f" “{names[number]}”" if number in names else "")
