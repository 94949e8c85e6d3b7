"""An image's labels and the notes on them: they come after it, since it waits for neither."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_omezarr_cloud.napari import display
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY, labels_layer
from napari_omezarr_cloud.napari.notices import tell_notes
from napari_omezarr_cloud.napari.wiring import add_one_by_one

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.api import Image

__all__ = ["early_notes", "labels_later", "note_later"]

_POLL_MS = 30


def labels_later(viewer: Any, image: Image) -> None:
    """Add an image's labels when their metadata have come; on the GUI thread, does not wait."""

    def add(live: Any) -> None:
        here = _layers_of(live, image)
        if not here:
            return  # removed meanwhile
        source = str(image.location)
        beside = image.pyramid
        pending = [labels_layer(each, image.name, source, beside=beside) for each in image.labels]
        if not any(layer.visible for layer in here):  # of an image that is hidden as a whole
            pending = [(data, {**more, "visible": False}, kind) for data, more, kind in pending]
        add_one_by_one(live, pending, source=source)

    _when_known(viewer, image, add)


def early_notes(image: Image) -> list[str]:
    """Return what is known of the image by itself."""
    late = _late_notes(image)
    return [note for note in image.notes if note not in late]


def note_later(viewer: Any, image: Image, *, aloud: bool) -> None:
    """Write to the image's layers what was odd about its labels, once that is known.

    ``aloud`` also tells the person at the window. On the GUI thread; does not wait.
    """

    def note(live: Any) -> None:
        late = _late_notes(image)
        if not late:
            return
        for layer in _layers_of(live, image):
            about = layer.metadata.get(METADATA_KEY)
            if about is not None:
                stated = about.get("notes", [])
                about["notes"] = [*stated, *(each for each in late if each not in stated)]
        if aloud:
            tell_notes(image.name, late)

    _when_known(viewer, image, note)


def _when_known(viewer: Any, image: Image, then: Callable[[Any], None]) -> None:
    """Call ``then(viewer)`` when the labels' metadata have come, unless the viewer is gone."""
    reference = weakref.ref(viewer)

    def look() -> None:
        live = reference()
        if live is None:
            return
        if image.opened.labels.done():
            then(live)
        else:
            QTimer.singleShot(_POLL_MS, look)

    QTimer.singleShot(0, look)


def _layers_of(viewer: Any, image: Image) -> list[Any]:
    views = [(layer, display.view_of(layer)) for layer in viewer.layers]
    return [layer for layer, view in views if view is not None and view.pyramid is image.pyramid]


def _late_notes(image: Image) -> tuple[str, ...]:
    labels = image.opened.labels
    return labels.result()[1] if labels.done() and not labels.cancelled() else ()
