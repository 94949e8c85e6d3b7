"""A region as it is written in the shell: by axis, ``z=0:10,y=0:512``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import RegionError

if TYPE_CHECKING:
    from napari_omezarr_cloud.api import Derived, Image

__all__ = ["BOX", "box_of", "sides_of"]

BOX = "z=0:10,y=0:512"
"""An example, for the help."""


def box_of(text: str | None, image: Image | Derived) -> tuple[slice, ...] | None:
    """Return one slice per axis of an image; None for no text: all of it.

    Raises
    ------
    RegionError
        If it is no box of these axes.
    """
    if text is None:
        return None
    names = [axis.name for axis in image.axes]
    sides = [slice(None)] * len(names)
    for part in text.split(","):
        name, _, span = part.strip().partition("=")
        start, colon, stop = span.partition(":")
        if name not in names or not all(n.isdigit() or (colon and not n) for n in (start, stop)):
            raise RegionError(
                "Could not understand the box",
                why=f"{part.strip()!r} is no part of an axis of {''.join(names)}",
                hint="Write z=0:10,y=0:512.",
            )
        sides[names.index(name)] = slice(int(start) if start else None, int(stop) if stop else None)
    return tuple(sides)


def sides_of(text: str) -> dict[str, tuple[float | None, float | None] | float]:
    """Return a box by axis, in whatever units: ``z=3``, ``z=0.5:12``, ``z=3:``.

    Raises
    ------
    RegionError
        If it is no box.
    """
    found: dict[str, tuple[float | None, float | None] | float] = {}
    for part in text.split(","):
        name, equals, span = (each.strip() for each in part.partition("="))
        start, colon, stop = span.partition(":")
        try:
            low, high = (float(n) if n.strip() else None for n in (start, stop))
        except ValueError:
            low = high = None
            equals = ""
        if not (name and equals and (colon or low is not None)):
            raise RegionError(
                "Could not understand the box",
                why=f"{part.strip()!r} is no part of an axis",
                hint="Write z=0:10,y=0:512.",
            )
        found[name] = (low, high) if colon or low is None else low
    return found
