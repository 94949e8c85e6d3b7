"""What a link says: what to open, where to look, and whom to ask first. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.location import Location

__all__ = [
    "Camera",
    "ChannelView",
    "Link",
    "Lookup",
    "Place",
    "Source",
    "View",
    "Zoom",
    "let_in",
]

Unit = Literal["index", "step", "fraction", "meter", "second", ""]
"""``index``: voxels of the finest level, from the centre of the first. ``step``: as long as these,
from the origin of the world. ``fraction``: 0 to 1 of the extent. Empty: as the file."""


@dataclass(frozen=True)
class Source:
    """One image that a link shows."""

    location: Location
    name: str = ""
    """What the viewer calls it; plain text, empty if it has no name."""
    is_labels: bool = False
    """Whether it is shown as a segmentation."""


@dataclass(frozen=True)
class Place:
    """Where the view stands along one axis."""

    axis: str
    value: float
    unit: Unit = "index"
    voxels: float | None = field(default=None, compare=False)
    """The same in voxels, for images that have no such unit."""


@dataclass(frozen=True)
class Zoom:
    """How much of the world one screen pixel, or the height of the canvas, shows."""

    value: float
    unit: Unit = "index"
    of: Literal["pixel", "height"] = "pixel"
    voxels: float | None = field(default=None, compare=False)
    """The same in voxels, for images that have no such unit."""


@dataclass(frozen=True)
class ChannelView:
    """How one channel is shown; None: as the image says itself."""

    source: int = 0
    """Which of the link's sources."""
    index: int | None = None
    """Which of its channels; None: all of them."""
    color: str | None = None
    """``#RRGGBB``."""
    window: tuple[float, float] | None = None
    """Pixel values shown as black and as full colour."""
    visible: bool | None = None
    opacity: float | None = None
    """From 0 to 1."""
    is_additive: bool = False
    """Whether it is added to what lies below; else as the image's kind suggests."""
    name: str = field(default="", compare=False)
    """What the viewer calls it; plain text."""


@dataclass(frozen=True)
class Camera:
    """From where a volume is looked at."""

    axes: tuple[str, str, str]
    """Names, of which the directions are components."""
    forward: tuple[float, float, float]
    """Into the screen."""
    up: tuple[float, float, float]


@dataclass(frozen=True)
class View:
    """How another viewer showed it."""

    places: tuple[Place, ...] = ()
    zoom: Zoom | None = None
    channels: tuple[ChannelView, ...] = ()
    layout: Literal["2d", "3d"] | None = None
    plane: tuple[str, str] | None = None
    """Axes from top to bottom and from left to right, of a layout that shows one plane."""
    camera: Camera | None = None
    """Of a volume."""
    has_only: bool = False
    """Whether of an image whose channels are named by their index no others are shown."""

    def __bool__(self) -> bool:
        """Return whether it says anything."""
        return self != View(has_only=self.has_only)


@dataclass(frozen=True)
class Lookup:
    """One request that a service must answer before it is known what to open."""

    location: Location
    """What to ask for."""
    reason: str
    """What is asked, as the end of "asked … for …"."""
    read: Callable[[str], Link] = field(repr=False, compare=False)
    """Makes a link of the answer's text; pure. Raises ``LinkError`` if it does not say."""
    otherwise: Lookup | None = None
    """What to ask if there is nothing at this place."""


@dataclass(frozen=True)
class Link:
    """What a pasted text asks for: sources, or a lookup that leads to them."""

    viewer: str = ""
    """Name of the viewer or service; empty for a plain link to an image."""
    sources: tuple[Source, ...] = ()
    view: View | None = None
    lookup: Lookup | None = None
    notes: tuple[str, ...] = ()
    """What of it is not followed, in sentences."""
    text: str = field(default="", repr=False, compare=False)
    """What was pasted, to be shown and kept; empty where it is long or may hold a secret."""


def let_in(link: Link, way: Callable[[Location], Location]) -> Link:
    """Return a link whose places, also those that a lookup will find, have another way in."""
    sources = tuple(replace(each, location=way(each.location)) for each in link.sources)
    lookup = link.lookup and _let_in(link.lookup, way)
    return replace(link, sources=sources, lookup=lookup)


def _let_in(lookup: Lookup, way: Callable[[Location], Location]) -> Lookup:
    return Lookup(
        way(lookup.location),
        lookup.reason,
        lambda answer: let_in(lookup.read(answer), way),
        lookup.otherwise and _let_in(lookup.otherwise, way),
    )
