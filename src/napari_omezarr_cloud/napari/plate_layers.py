"""The layers of a plate, and another field in them."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.napari import wiring
from napari_omezarr_cloud.napari.display import display_of, view_of
from napari_omezarr_cloud.napari.image_layers import show_image
from napari_omezarr_cloud.napari.late_labels import labels_of_wells
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY, labels_layer, pyramid_layer
from napari_omezarr_cloud.napari.plate_notes import layers_of, state_again
from napari_omezarr_cloud.napari.slicing import replace_data
from napari_omezarr_cloud.napari.sources import sources

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_omezarr_cloud.api import Image
    from napari_omezarr_cloud.napari.layer_data import LayerData
    from napari_omezarr_cloud.pyramid import Pyramid
    from napari_omezarr_cloud.pyramid.plate_opened import OpenedPlate

__all__ = ["show_instead"]

_LOOK = ("opacity", "blending", "visible", "gamma", "contrast_limits", "colormap", "name")
"""What a person may have set, and another field keeps."""
_POLL_MS = 30


def show_instead(
    viewer: Any, plate: OpenedPlate, image: Image, then: Callable[[], None] = lambda: None
) -> None:
    """Show the plate as it was opened anew, with the looks that its layers have; on the GUI thread.

    Where voxels lie as before, layers take the new ones, and what was computed from them follows.
    Else other layers take their place, and the camera stays on the same wells. ``then`` is called
    when the images' layers show it; labels may come later.
    """
    old = layers_of(viewer, plate)
    images = [layer for layer in old if not _is_labels(layer)]
    labels = [layer for layer in old if _is_labels(layer)]
    if images and all(_fits(layer, image.pyramid) for layer in images):
        for layer in images:
            _exchange(layer, image.pyramid, list(image.notes))
        then()
        _exchange_labels(viewer, labels, image)
        return
    _replace_layers(viewer, plate, image, images, labels, then)


def _is_labels(layer: Any) -> bool:
    return "labels" in layer.metadata.get(METADATA_KEY, {})


def _fits(layer: Any, pyramid: Pyramid) -> bool:
    """Tell whether a layer's voxels lie where those of another pyramid do."""
    view = view_of(layer)
    if view is None or len(view.pyramid.levels) != len(pyramid.levels):
        return False
    return view.pyramid.dtype == pyramid.dtype and all(
        a.grid.shape == b.grid.shape and a.transform == b.transform
        for a, b in zip(view.pyramid.levels, pyramid.levels, strict=True)
    )


def _exchange(layer: Any, pyramid: Pyramid, notes: list[str]) -> None:
    view = view_of(layer)
    if view is None:
        return
    view = replace(view, pyramid=pyramid)
    levels, _ = pyramid_layer(view)
    replace_data(layer, levels)
    state_again(layer, notes)
    shown = display_of(layer)
    if shown is None:
        layer.refresh()
    else:
        engine().cache.pin(view.level(len(pyramid.levels) - 1).key)
        shown.show(view)
    sources().changed.emit(layer)  # what was made from it is made anew


def _exchange_labels(viewer: Any, layers: Sequence[Any], image: Image) -> None:
    """Give label layers the labels of the new field, as soon as those are known."""

    def exchange(window: Any) -> None:
        new = {each.name: each for each in image.labels}
        for layer in layers:
            if layer not in window.layers:
                continue
            found = new.pop(layer.metadata[METADATA_KEY]["labels"], None)
            if found is not None and _fits(layer, found.pyramid):
                _exchange(layer, found.pyramid, list(found.notes))
            else:  # the new field has no such labels, or others in their place
                window.layers.remove(layer)
                if found is not None:
                    new[found.name] = found
        _add_labels(window, image, list(new.values()), layers)
        labels_of_wells(window, image)

    _when_labels_are_known(viewer, image, exchange)


def _replace_layers(
    viewer: Any,
    plate: OpenedPlate,
    image: Image,
    images: Sequence[Any],
    labels: Sequence[Any],
    then: Callable[[], None],
) -> None:
    channels = {layer.metadata.get(METADATA_KEY, {}).get("channel"): layer for layer in images}
    selected = viewer.layers.selection.active
    before = set(viewer.layers)

    def dress(layers: list[LayerData]) -> list[LayerData]:
        return [
            (data, _with_look(more, channels.get(more["metadata"][METADATA_KEY].get("channel"))), k)
            for data, more, k in layers
        ]

    def added() -> None:
        new = [layer for layer in viewer.layers if layer not in before]
        names = [(layer, layer.name) for layer in images]
        for layer in images:
            if layer in viewer.layers:
                viewer.layers.remove(layer)
        # The former name is free now; beside its namesake the new layer was given a number.
        for layer in new:
            old = channels.get(layer.metadata.get(METADATA_KEY, {}).get("channel"))
            layer.name = next((name for each, name in names if each is old), layer.name)
            if old is not None and old is selected:
                viewer.layers.selection.active = layer
        if not plate.is_well and image.plate is not None:
            _stay_on_wells(viewer, plate, image.plate)
        then()

    def labels_known(window: Any) -> None:
        for layer in labels:
            if layer in window.layers:
                window.layers.remove(layer)
        _add_labels(window, image, image.labels, labels)
        labels_of_wells(window, image)

    show_image(viewer, image, has_labels=False, dress=dress, then=added)
    _when_labels_are_known(viewer, image, labels_known)


def _with_look(attributes: dict[str, Any], old: Any | None) -> dict[str, Any]:
    if old is None:
        return attributes
    kept = {name: getattr(old, name) for name in _LOOK if hasattr(old, name)}
    if getattr(old, "rgb", False):
        kept = {name: kept[name] for name in ("opacity", "blending", "visible", "name")}
    metadata = {**attributes["metadata"]}
    if "contrast_limits" in kept:
        metadata[METADATA_KEY] = {**metadata[METADATA_KEY], "guess_contrast": False}
    return {**attributes, **kept, "metadata": metadata}


def _stay_on_wells(viewer: Any, old: OpenedPlate, new: OpenedPlate) -> None:
    """Move the camera such that the same wells are as large and where they were."""
    ratio = np.array(new.cell) / old.cell
    camera = viewer.scene.camera
    center = np.array(camera.center, float)
    center[-2:] *= ratio
    camera.center = tuple(center)
    camera.zoom /= float(ratio.max())


def _add_labels(window: Any, image: Image, labels: Sequence[Any], old: Sequence[Any]) -> None:
    looks = {layer.metadata[METADATA_KEY]["labels"]: layer for layer in old}
    layers = []
    for each in labels:
        source = str(image.location)
        data, more, kind = labels_layer(each, image.name, source, beside=image.pyramid)
        former = looks.get(each.name)
        if former is not None:
            more |= {name: getattr(former, name) for name in ("opacity", "blending", "visible")}
        layers.append((data, more, kind))
    wiring.add_one_by_one(window, layers, source=str(image.location))


def _when_labels_are_known(viewer: Any, image: Image, act: Callable[[Any], None]) -> None:
    reference = weakref.ref(viewer)

    def look() -> None:
        window = reference()
        if window is None or not wiring.is_open(window):
            return
        if image.opened.labels.done():
            act(window)
        else:
            QTimer.singleShot(_POLL_MS, look)

    look()
