"""From a link to layers in a window: metadata first, the first pixels asked for, then the layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.api import Image, Labels, open_async
from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.napari import display, wiring
from napari_omezarr_cloud.napari.background import is_event_loop_running, wait_for
from napari_omezarr_cloud.napari.layer_data import LayerData, labels_layer, to_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["open_layers", "show_image"]

_NO_LAYERS: list[Any] = [(None,)]
"""What npe2 takes for "read, and nothing to add": the layers are added by ourselves."""


def open_layers(link: str) -> list[Any]:
    """Open a link and return its layers for npe2.

    Raises
    ------
    CloudError
        With what failed, where and why.
    """
    location = parse_location(link)
    image = wait_for(open_async(location), f"Opening {location}")
    has_window = wiring.attach_all()
    layers = image_layers(image)
    if has_window:
        _expect(image, layers)
    viewer = _current_viewer()
    if is_event_loop_running() and viewer is not None:
        wiring.labels_later(viewer, image)
    else:
        layers += _label_layers(image)
    if has_window:
        layers = [_hidden(layer) for layer in layers]
    if location.has_secret and viewer is not None:
        # napari would write the link, secret and all, into the layers' source.
        wiring.add_layers(viewer, layers, source=str(location))
        return _NO_LAYERS
    return layers


def image_layers(image: Image) -> list[LayerData]:
    """Return an image's own layers; one that is a label image becomes labels."""
    label = image.opened.image.label
    if label is not None and image.pyramid.dtype.kind in "biu":
        labels = Labels(image.pyramid, image.name, label)
        return [labels_layer(labels, image.name, str(image.location))]
    return to_layers(image)


def show_image(viewer: Any, image: Image) -> list[Any]:
    """Add an open image to a viewer, labels when they come; on the GUI thread."""
    wiring.attach(viewer)
    layers = image_layers(image)
    _expect(image, layers)
    added = wiring.add_layers(
        viewer, [_hidden(layer) for layer in layers], source=str(image.location)
    )
    wiring.labels_later(viewer, image)
    return added


def _label_layers(image: Image) -> list[LayerData]:
    return [labels_layer(each, image.name, str(image.location)) for each in image.labels]


def _hidden(layer: LayerData) -> LayerData:
    """Hide a layer until its display is there: a visible one is sliced before it can be adopted."""
    data, attributes, kind = layer
    if attributes.get("visible", True):
        attributes = {**attributes, "visible": wiring.HIDDEN_UNTIL_ADOPTED}
    return data, attributes, kind


def _expect(image: Image, layers: Sequence[LayerData]) -> None:
    viewer = _current_viewer()
    canvas = (600, 800) if viewer is None else tuple(int(n) for n in viewer.canvas.size)
    shown = [data for data, attributes, _ in layers if attributes.get("visible", True)]
    views = [view for data in shown if (view := display.view_behind(data)) is not None]
    display.expect(views, (canvas[0], canvas[1]), _planes(image, viewer))


def _planes(image: Image, viewer: Any) -> dict[str, int]:
    """Return where the sliders will stand: where they are, or where the file says to begin."""
    if viewer is None or not viewer.layers:
        about = image.opened.image
        stated = {"z": about.default_z, "t": about.default_t}
        return {name: plane for name, plane in stated.items() if plane is not None}
    transform = image.pyramid.levels[0].transform
    names = [axis.name for axis in image.axes]
    planes = {}
    for label, point in zip(viewer.dims.axis_labels, viewer.dims.point, strict=True):
        if label in names:
            axis = names.index(label)
            factor = length_factor(image.axes[axis]) * transform.scale[axis]
            planes[label] = max(0, round(point / factor))
    return planes


def _current_viewer() -> Any:
    import napari

    return napari.current_viewer()
