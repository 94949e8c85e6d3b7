"""A region as it is written in the shell: by axis, ``t=3,z=0:10``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import RegionError

if TYPE_CHECKING:
    from napari_omezarr_cloud.api import Derived, Image, Labels

__all__ = ["BOX", "box_of", "sides_of"]

BOX = "t=3,z=0:10"
"""An example, for the help."""


def box_of(
    text: str | None, image: Image | Labels | Derived, level: int = 0
) -> tuple[slice, ...] | None:
    """Return one slice per axis of a level of an image; None: all of it.

    A level that does not exist is left to whoever takes the box, and all of it returned.

    Raises
    ------
    RegionError
        If it is no box of these axes, or nothing of the level is in it.
    """
    count = len(image.levels)
    if text is None or not -count <= level < count:
        return None
    from napari_omezarr_cloud.write.boxes import region_of_box

    found = image.pyramid.levels[level]
    shape, transform = found.grid.shape, found.transform
    return region_of_box(sides_of(text), "pixel", image.axes, shape, transform).slices


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
                hint="Write t=3,z=0:10,y=0:512.",
            )
        found[name] = (low, high) if colon or low is None else low
    return found
