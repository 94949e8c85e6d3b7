"""What has been opened: an image with its pyramid, and its label images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_omezarr_cloud.location import Location

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from napari_omezarr_cloud.kept_rendering import KeptRendering
    from napari_omezarr_cloud.ngff import Image, ImageLabel
    from napari_omezarr_cloud.pyramid.level import Pyramid
    from napari_omezarr_cloud.pyramid.plate_opened import OpenedPlate
    from napari_omezarr_cloud.store import ByteStore, Traffic

__all__ = ["OpenedImage", "OpenedLabels", "Sibling", "location_of"]


@dataclass(frozen=True, eq=False)
class OpenedLabels:
    """A label image beside an image."""

    name: str
    image: Image
    pyramid: Pyramid
    label: ImageLabel | None


@dataclass(frozen=True, eq=False)
class OpenedImage:
    """An image and what is known of its surroundings."""

    location: Location
    image: Image
    pyramid: Pyramid
    store: ByteStore
    traffic: Traffic
    notes: tuple[str, ...]
    labels: asyncio.Task[tuple[tuple[OpenedLabels, ...], tuple[str, ...]]]
    """Labels and notes about those that could not be read; still under way at first."""
    name: str = ""
    series: tuple[Sibling, ...] = ()
    """All images that were found where the link leads, this one included; empty where it is the
    only one."""
    together: tuple[OpenedImage, ...] = ()
    """Images that are shown at once with it: the others of its scene."""
    linked_level: int | None = None
    """The level that the link leads to, where it leads to an array of the image."""
    beside: Location | None = None
    """Of a label image by itself: where the image should be that it belongs to."""
    plate: OpenedPlate | None = None
    """Of a plate or well, whose fields make up the image: which there are, and where they lie."""
    kept_rendering: KeptRendering | None = None
    """What is kept on this computer of how it looks; None: it looks as it says itself."""
    own: Image | None = None
    """The image as it says itself, where another look is kept on this computer."""


def location_of(pyramid: Pyramid) -> Location | None:
    """Return where the image was opened that a pyramid shows; None: it was not opened anywhere."""
    # The last: fields that a plate is put together of have places of their own.
    return next((each for each in reversed(pyramid.kept) if isinstance(each, Location)), None)


@dataclass(frozen=True, eq=False)
class Sibling:
    """One of several images in one place, not opened yet."""

    name: str
    """As the metadata call it, else its path; plain text."""
    path: str
    """Below the place; empty where several images are described in one group."""
    location: Location
    """Its own, which leads to it alone where it has a folder of its own."""
    open: Callable[[], Awaitable[OpenedImage]]
    """Opens it; on the I/O loop."""
