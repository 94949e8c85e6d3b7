"""How another viewer showed it → how napari does: colours and contrast, then place and zoom."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.napari.layer_data import METADATA_KEY, LayerData
from napari_omezarr_cloud.napari.wiring import show_placed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.links import Camera, ChannelView, Place, View

__all__ = ["dressed", "go_there", "go_there_with"]

_NUDGE = 1e-6


def dressed(layers: Sequence[LayerData], view: View | None, source: int) -> list[LayerData]:
    """Return layers of a link's source with the colours, contrast and visibility of the view."""
    if view is None:
        return list(layers)
    stated = [channel for channel in view.channels if channel.source == source]
    hides_others = view.has_only and all(channel.index is not None for channel in stated)
    result = []
    for data, attributes, kind in layers:
        about = attributes.get("metadata", {}).get(METADATA_KEY, {})
        meant = [each for each in stated if each.index in (None, about.get("channel", 0))]
        for channel in meant:
            is_named = bool(channel.name) and (channel.index is not None or len(layers) == 1)
            named = {"name": channel.name} if is_named else {}
            attributes = {**_dressed(attributes, kind, channel), **named}
        if stated and not meant and hides_others:
            attributes = {**attributes, "visible": False}
        result.append((data, attributes, kind))
    return result


def _dressed(attributes: dict[str, Any], kind: str, channel: ChannelView) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if channel.visible is not None:
        more["visible"] = channel.visible
    if channel.opacity is not None:
        more["opacity"] = channel.opacity
    if channel.is_additive:
        more["blending"] = "additive"
    if kind == "image" and not attributes.get("rgb"):
        if channel.color is not None:
            more["colormap"] = "gray" if channel.color == "#FFFFFF" else channel.color
        if channel.window is not None:
            more["contrast_limits"] = list(channel.window)
            metadata = attributes.get("metadata", {})
            about = {**metadata.get(METADATA_KEY, {}), "guess_contrast": False}
            more["metadata"] = {**metadata, METADATA_KEY: about}
    return {**attributes, **more}


def go_there_with(viewer: Any, view: View, count: int) -> None:
    """Go to a view's place as soon as so many layers have been added, of which the first counts."""
    reference, left = weakref.ref(viewer), [count]
    first: list[Any] = []

    def on_inserted(event: Any) -> None:
        first.append(weakref.ref(event.value))
        left[0] -= 1
        if left[0] > 0:
            return
        live, layer = reference(), first[0]()
        if live is None:
            return
        live.layers.events.inserted.disconnect(on_inserted)
        if layer is not None:
            go_there(live, view, layer)
        show_placed(live)

    # Last, as napari fits its view to the first layer on the same event.
    viewer.layers.events.inserted.connect(on_inserted, position="last")


def go_there(viewer: Any, view: View, layer: Any) -> None:
    """Put sliders, camera and the number of dimensions where a view says.

    Parameters
    ----------
    viewer, layer
        The layer is in the viewer; its scale and units say what voxels and metres are.
    view
        What it does not say stays as it is.
    """
    names = [str(name) for name in layer.axis_labels]
    offset = viewer.dims.ndim - layer.ndim
    _lay_out(viewer, view, names, offset)
    shown = viewer.dims.displayed
    camera = viewer.scene.camera
    center = list(camera.center)
    for place in view.places:
        if place.axis not in names:
            continue
        axis = names.index(place.axis)
        world = _world(place, layer, axis)
        if world is None:
            continue
        if axis + offset in shown:
            center[list(shown).index(axis + offset) - len(shown)] = world
        else:
            # Half a step goes up, as in other viewers; napari rounds it to the even plane.
            viewer.dims.set_point(axis + offset, world + _NUDGE * float(layer.scale[axis]))
    camera.center = tuple(center)
    if view.zoom is not None and shown and shown[-1] >= offset:
        axis = shown[-1] - offset
        size = _length(view.zoom.value, view.zoom.unit, layer, axis)
        if size is None and view.zoom.voxels is not None:
            size = _length(view.zoom.voxels, "index", layer, axis)
        if size:
            pixels = float(viewer.canvas.size[0]) if view.zoom.of == "height" else 1.0
            camera.zoom = pixels / size
    if view.camera is not None and len(shown) == 3:
        _turn(camera, view.camera, [names[axis - offset] for axis in shown if axis >= offset])


def _turn(camera: Any, asked: Camera, names: list[str]) -> None:
    """Look from where another viewer did: the displayed axes are called so, in napari's order."""
    if set(names) != set(asked.axes):
        return
    order = [asked.axes.index(name) for name in names]
    # In other viewers depth grows away from the eye; napari's own way shows the mirror image.
    camera.orientation = ("away", "down", "right")
    camera.set_view_direction(
        tuple(asked.forward[i] for i in order), tuple(asked.up[i] for i in order)
    )


def _lay_out(viewer: Any, view: View, names: list[str], offset: int) -> None:
    if view.layout == "3d" and viewer.dims.ndim > 2:
        viewer.dims.ndisplay = 3
    elif view.layout == "2d":
        viewer.dims.ndisplay = 2
        if view.plane is not None and set(view.plane) <= set(names):
            plane = [names.index(name) + offset for name in view.plane]
            rest = [axis for axis in range(viewer.dims.ndim) if axis not in plane]
            viewer.dims.order = (*rest, *plane)


def _world(place: Place, layer: Any, axis: int) -> float | None:
    """Return a place in the layer's world; None if it is in a unit that the layer cannot have."""
    begin, step = float(layer.translate[axis]), float(layer.scale[axis])
    if place.unit == "index":
        return begin + place.value * step
    if place.unit == "step":
        return place.value * step
    if place.unit == "fraction":
        count = layer.data[0].shape[axis] if layer.multiscale else layer.data.shape[axis]
        return begin + (place.value * int(count) - 0.5) * step
    world = _length(place.value, place.unit, layer, axis)
    return begin + place.voxels * step if world is None and place.voxels is not None else world


def _length(value: float, unit: str, layer: Any, axis: int) -> float | None:
    if unit == "index":
        return abs(value * float(layer.scale[axis]))
    if not unit:
        return value
    import pint

    registry: Any = pint.get_application_registry()  # type: ignore[no-untyped-call]
    try:
        return float(registry.Quantity(value, unit).to(str(layer.units[axis])).magnitude)
    except (pint.DimensionalityError, pint.UndefinedUnitError):
        return None
