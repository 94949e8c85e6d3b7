"""An open image in a window: its layers, added hidden until they show what is here at once."""

from __future__ import annotations

import weakref
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.api import Image, Labels, open_async
from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.napari import wiring
from napari_omezarr_cloud.napari.adoption import expect
from napari_omezarr_cloud.napari.background import wait_for
from napari_omezarr_cloud.napari.display import view_behind
from napari_omezarr_cloud.napari.kept_look import tell_kept
from napari_omezarr_cloud.napari.late_labels import (
    early_notes,
    labels_later,
    labels_of_wells,
    note_later,
)
from napari_omezarr_cloud.napari.layer_data import (
    METADATA_KEY,
    LayerData,
    labels_layer,
    length_factor,
    to_layers,
)
from napari_omezarr_cloud.napari.linked_level import at_linked_level, sentence_on_level
from napari_omezarr_cloud.napari.notices import offer, tell_error, tell_notes
from napari_omezarr_cloud.ngff import ImageLabel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "expect_layers",
    "hidden_until",
    "image_layers",
    "label_layers",
    "show_image",
    "tell_about",
]


def image_layers(
    image: Image, *, rgb: bool | None = None, as_labels: bool = False
) -> list[LayerData]:
    """Return an image's own layers; one that is a label image, or shown as one, becomes labels."""
    label = image.opened.image.label or (ImageLabel() if as_labels else None)
    if label is not None and image.pyramid.dtype.kind in "biu":
        labels = Labels(image.pyramid, image.name, label)
        data, attributes, kind = labels_layer(labels, image.name, str(image.location))
        attributes["metadata"][METADATA_KEY]["notes"] = list(image.notes)
        return at_linked_level(image, [(data, attributes, kind)])
    return at_linked_level(image, to_layers(image, rgb=rgb))


def show_image(
    viewer: Any,
    image: Image,
    *,
    rgb: bool | None = None,
    has_labels: bool = True,
    as_labels: bool = False,
    dress: Callable[[list[LayerData]], list[LayerData]] = list,
    is_placed: bool = True,
    then: Callable[[], None] = lambda: None,
) -> None:
    """Add an open image to a viewer, layer by layer, labels last; on the GUI thread.

    The other images of its scene follow. ``as_labels`` shows integers as labels; ``dress`` may
    change how the layers look; where they are not ``is_placed``, ``wiring.show_placed`` shows
    them. ``then`` is called when the images' own layers are there; labels may come later.
    """
    rest = list(image.together)
    wiring.attach(viewer)
    layers = dress(image_layers(image, rgb=rgb, as_labels=as_labels))
    if is_placed:
        expect_layers(image, layers, viewer)

    def after() -> None:
        if has_labels:
            labels_later(viewer, image)
            labels_of_wells(viewer, image)
            note_later(viewer, image, aloud=True)
        show_next()

    def show_next() -> None:
        if rest:
            show_image(viewer, rest.pop(0), rgb=rgb, then=show_next)
        else:
            then()

    until = wiring.HIDDEN_UNTIL_ADOPTED if is_placed else wiring.HIDDEN_UNTIL_PLACED
    hidden = [hidden_until(layer, until) for layer in layers]
    wiring.add_one_by_one(viewer, hidden, source=str(image.location), then=after)


def tell_about(viewer: Any, image: Image) -> None:
    """Say what was odd about an image, and offer the one that a label image belongs to."""
    tell_kept(viewer, image)
    place = image.opened.beside
    level = sentence_on_level(image)
    told = str(image.opened.kept_rendering)
    early = [note for note in early_notes(image) if note != told]
    notes = [*([level] if level else []), *early]
    if place is None:
        tell_notes(image.name, notes)
        return
    reference = weakref.ref(viewer)

    def open_it(*_: Any) -> None:
        live = reference()
        if live is None or not wiring.is_open(live):
            return
        try:
            show_image(live, wait_for(open_async(place), f"Opening {place}"), has_labels=False)
        except CancelledError:
            return
        except CloudError as error:
            tell_error(error)

    offer(f"{image.name}: {' '.join(notes)}", "Open the image", open_it)


def label_layers(image: Image) -> list[LayerData]:
    """Return the layers of the label images beside an image; waits until they are known."""
    return [
        labels_layer(each, image.name, str(image.location), beside=image.pyramid)
        for each in image.labels
    ]


def hidden_until(layer: LayerData, until: int) -> LayerData:
    """Hide a layer until its display is there: a visible one is sliced before it can be adopted."""
    data, attributes, kind = layer
    if attributes.get("visible", True):
        attributes = {**attributes, "visible": until}
    return data, attributes, kind


def expect_layers(image: Image, layers: Sequence[LayerData], viewer: Any) -> None:
    """Ask for what those that will be visible need first, before napari has begun to add them."""
    height, width = (int(n) for n in viewer.canvas.size)
    shown = [data for data, attributes, _ in layers if attributes.get("visible", True)]
    views = [view for data in shown if (view := view_behind(data)) is not None]
    expect(views, (height, width), _planes(image, viewer))


def _planes(image: Image, viewer: Any) -> dict[str, int]:
    """Return where the sliders will stand: where they are, or where the file says to begin."""
    if not viewer.layers:
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
