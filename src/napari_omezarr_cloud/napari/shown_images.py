"""Which opened images a window shows, and which box of each is in view: read from its layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.napari.display import view_of
from napari_omezarr_cloud.napari.visible import visible_region
from napari_omezarr_cloud.pyramid import Region
from napari_omezarr_cloud.pyramid.channels import channel_axis
from napari_omezarr_cloud.pyramid.opened import location_of

if TYPE_CHECKING:
    from napari_omezarr_cloud.pyramid import Pyramid

__all__ = ["Box", "ShownImage", "box_in_view", "shown_images"]


@dataclass(frozen=True, eq=False)
class ShownImage:
    """An image from a server, and a layer that shows it; keeps the layer alive."""

    pyramid: Pyramid
    layer: Any

    @property
    def name(self) -> str:
        """What it is called."""
        return self.pyramid.name

    @property
    def where(self) -> str:
        """Where it is; no secret in it."""
        return str(location_of(self.pyramid))


@dataclass(frozen=True)
class Box:
    """What is in view of an image."""

    region: Region
    """In voxels of level 0, in the axes of the image: all channels, and the planes on which the
    sliders stand."""
    displayed: tuple[int, ...]
    """Axes of the image that are on screen, ascending."""
    level: int
    """Which level is shown."""


def shown_images(viewer: Any) -> list[ShownImage]:
    """Return the images from servers of which a viewer has layers; the one in hand comes first.

    In hand is that of the active layer, else of the topmost visible one.
    """
    active = viewer.layers.selection.active
    from_the_top = list(reversed(viewer.layers))
    ranked = sorted(from_the_top, key=lambda layer: (layer is not active, not layer.visible))
    found: dict[int, ShownImage] = {}
    for layer in ranked:
        view = view_of(layer)
        location = None if view is None else location_of(view.pyramid)
        if view is not None and location is not None and location.kind != "file":
            found.setdefault(id(view.pyramid), ShownImage(view.pyramid, layer))
    return list(found.values())


def box_in_view(viewer: Any, image: ShownImage) -> Box | None:
    """Return what is in view of an image; None where nothing is."""
    view = view_of(image.layer)
    seen = visible_region(viewer, image.layer, level=0)
    if view is None or seen is None:
        return None
    region = view.expand(seen.region)
    channel = channel_axis(image.pyramid)
    if channel is not None:
        whole = image.pyramid.levels[0].grid.shape[channel]
        start, stop = list(region.start), list(region.stop)
        start[channel], stop[channel] = 0, whole
        region = Region(tuple(start), tuple(stop))
    displayed = tuple(sorted(view.order[axis] for axis in seen.displayed))
    return Box(region, displayed, int(image.layer.data_level))
