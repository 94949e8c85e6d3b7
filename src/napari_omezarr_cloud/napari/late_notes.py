"""Notes on an image's labels: they come after the image, which waits for no labels."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_omezarr_cloud.napari import display
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY
from napari_omezarr_cloud.napari.notices import tell_notes

if TYPE_CHECKING:
    from napari_omezarr_cloud.api import Image

__all__ = ["early_notes", "note_later"]

_POLL_MS = 30


def early_notes(image: Image) -> list[str]:
    """Return what is known of the image by itself."""
    late = _late_notes(image)
    return [note for note in image.notes if note not in late]


def note_later(viewer: Any, image: Image, *, aloud: bool) -> None:
    """Write to the image's layers what was odd about its labels, once that is known.

    ``aloud`` also tells the person at the window. On the GUI thread; does not wait.
    """
    reference = weakref.ref(viewer)

    def look() -> None:
        live = reference()
        if live is None:
            return
        if not image.opened.labels.done():
            QTimer.singleShot(_POLL_MS, look)
            return
        late = _late_notes(image)
        if not late:
            return
        for layer in live.layers:
            view, about = display.view_of(layer), layer.metadata.get(METADATA_KEY)
            if view is not None and view.pyramid is image.pyramid and about is not None:
                stated = about.get("notes", [])
                about["notes"] = [*stated, *(note for note in late if note not in stated)]
        if aloud:
            tell_notes(image.name, late)

    QTimer.singleShot(0, look)


def _late_notes(image: Image) -> tuple[str, ...]:
    labels = image.opened.labels
    return labels.result()[1] if labels.done() and not labels.cancelled() else ()
