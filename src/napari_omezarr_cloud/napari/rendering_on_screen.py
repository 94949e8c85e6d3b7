"""How an image's layers look now → rendering settings, and back."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.api import Image
from napari_omezarr_cloud.api import open as open_image
from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.napari.display import view_of
from napari_omezarr_cloud.napari.inputs import foldable_axes, is_labels
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY, channel_name, colormap_of
from napari_omezarr_cloud.napari.layer_rendering import (
    channel_of,
    is_magnitude,
    lost_look,
    plain_names,
    planes_on_screen,
)
from napari_omezarr_cloud.napari.wiring import go_to_planes
from napari_omezarr_cloud.ngff import Channel
from napari_omezarr_cloud.ngff.omero import Rendering
from napari_omezarr_cloud.ngff.values import listed
from napari_omezarr_cloud.pyramid.channels import channel_axis
from napari_omezarr_cloud.pyramid.opened import location_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.pyramid import Pyramid

__all__ = ["ImageOnScreen", "images_on_screen", "rendering_on_screen"]


@dataclass(frozen=True, eq=False)
class ImageOnScreen:
    """An image and the layers that show its channels; keeps the layers alive."""

    pyramid: Pyramid
    location: Location
    layers: tuple[Any, ...]
    """The one in hand first."""

    @property
    def name(self) -> str:
        """What the image is called."""
        return self.pyramid.name

    @property
    def count(self) -> int:
        """How many channels it has."""
        axis = channel_axis(self.pyramid)
        return 1 if axis is None else self.pyramid.levels[0].grid.shape[axis]

    @property
    def planes(self) -> tuple[str, ...]:
        """Of z and t, those that it has more than one plane of."""
        return foldable_axes(self.layers[0])

    @property
    def is_rgb(self) -> bool:
        """Whether all channels are shown as one colour picture."""
        return bool(self.layers[0].rgb)

    def rendering(
        self, viewer: Any, *, with_planes: bool = True
    ) -> tuple[Rendering, tuple[str, ...]]:
        """Return how it looks now, and what of that cannot be said in OME-Zarr, in sentences.

        ``with_planes`` also says on which planes of z and t the sliders stand. Contrast limits are
        data values, as in a window of ``omero``. A channel without a layer, and a name that nobody
        has given, are None there: they stay as they are in the image.
        """
        planes = planes_on_screen(viewer, self.layers[0]) if with_planes else {}
        rendering = Rendering((), planes.get("z"), planes.get("t"), "color")
        if self.is_rgb:
            note = "It is shown as one colour picture: only its plane and time point can be saved."
            return rendering, (note,)
        found, notes = self._by_channel(), []
        channels = []
        for number in range(self.count):
            layer = found.get(number)
            if layer is None:
                channels.append(Channel())
                continue
            channel = channel_of(layer, plain_names([layer])[0])
            name = self._given_name(layer, number, viewer.layers)
            channels.append(replace(channel, name=name))
            notes += lost_look(layer, channel)
            if is_magnitude(layer):
                notes.append(f"“{layer.name}”: its contrast limits are those of the magnitude.")
        missing = [number for number in range(self.count) if number not in found]
        if missing:
            which = f"channel{'s' if len(missing) > 1 else ''} {listed(missing)}"
            notes.append(f"No layer shows {which}: nothing is changed there.")
        if all(channel.color == "FFFFFF" for channel in channels):
            rendering = replace(rendering, model="greyscale")
        return replace(rendering, channels=tuple(channels)), tuple(notes)

    def show(self, viewer: Any, rendering: Rendering) -> None:
        """Let the layers look so; what is not stated looks as it does when the image is opened.

        Contrast that is not stated stays as it is.
        """
        if not self.is_rgb:
            for number, layer in self._by_channel().items():
                stated = rendering.channels[number : number + 1]
                self._show_channel(layer, stated[0] if stated else Channel(), number)
        planes = {"z": rendering.default_z, "t": rendering.default_t}
        go_to_planes(viewer, self.layers[0], planes)

    def _show_channel(self, layer: Any, channel: Channel, number: int) -> None:
        layer.name = channel_name(self.name, channel, number, self.count)
        layer.colormap = colormap_of(channel, number, self.count)
        layer.visible = channel.active
        if channel.window is not None:
            low, high = layer.contrast_limits_range
            start, end = channel.window.start, channel.window.end
            layer.contrast_limits_range = [min(low, start), max(high, end)]
            layer.contrast_limits = [start, end]

    def _by_channel(self) -> dict[int, Any]:
        """Return one layer a channel: of several that show it, the one in hand."""
        axis = channel_axis(self.pyramid)
        found: dict[int, Any] = {}
        for layer in self.layers:
            view = view_of(layer)
            if view is not None:
                found.setdefault(dict(view.fixed).get(-1 if axis is None else axis, 0), layer)
        return dict(sorted(found.items()))

    def _given_name(self, layer: Any, number: int, others: Iterable[Any]) -> str | None:
        """Return the name of a channel, unless it is one that we, or napari, made up."""
        (name,) = plain_names([layer])
        made_up = channel_name(self.name, Channel(), number, self.count)
        ours = (made_up, made_up.removeprefix(f"{self.name}: "))
        stated = layer.metadata.get(METADATA_KEY, {}).get("channel_name")
        stem = re.sub(r" \[\d+\]$", "", name)  # napari numbers layers of one name
        if stem in (*ours, stated, *(plain_names([other])[0] for other in others)):
            name = stem
        return None if name in ours else name


def images_on_screen(viewer: Any) -> list[ImageOnScreen]:
    """Return the opened images that a viewer has layers of; the one in hand comes first.

    In hand is that of the active layer, else of the topmost visible one. What is computed is none
    of them, nor are labels.
    """
    active = viewer.layers.selection.active
    from_the_top = list(reversed(viewer.layers))
    ranked = sorted(from_the_top, key=lambda layer: (layer is not active, not layer.visible))
    found: dict[int, tuple[Pyramid, Location, list[Any]]] = {}
    for layer in ranked:
        view = None if is_labels(layer) else view_of(layer)
        location = None if view is None else location_of(view.pyramid)
        if view is not None and location is not None:
            found.setdefault(id(view.pyramid), (view.pyramid, location, []))[2].append(layer)
    return [ImageOnScreen(pyramid, place, tuple(all_)) for pyramid, place, all_ in found.values()]


def rendering_on_screen(viewer: Any, layer: Any = None) -> tuple[Image, Rendering]:
    """Return how an image looks in a viewer, and the image, opened again; waits.

    Parameters
    ----------
    viewer
        A viewer that shows it; its sliders say which plane comes first.
    layer
        One of the image's layers; None: the image of the active layer, else the topmost one.

    Returns
    -------
    image : Image
    rendering : Rendering
        For ``noc.stored_rendering(image).plan(rendering)``.

    Raises
    ------
    OperationError
        If no layer shows an image that was opened from a link or a folder.
    CloudError
        If it cannot be opened any more.
    """
    shown = images_on_screen(viewer)
    chosen = [each for each in shown if layer is None or layer in each.layers]
    if not chosen:
        raise OperationError(
            "There are no rendering settings",
            why="no image layer here was opened from a link or a folder",
            hint="Results and arrays have none until they are saved as OME-Zarr.",
        )
    rendering, _ = chosen[0].rendering(viewer)
    return open_image(chosen[0].location), rendering
