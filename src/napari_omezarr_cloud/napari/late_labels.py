"""An image's labels and the notes on them: they come after it, since it waits for neither."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_omezarr_cloud.napari.display import display_of, view_of
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY, labels_layer
from napari_omezarr_cloud.napari.notices import tell_notes
from napari_omezarr_cloud.napari.refresh import refresher
from napari_omezarr_cloud.napari.view_watch import ViewWatch
from napari_omezarr_cloud.napari.wiring import add_one_by_one, is_open
from napari_omezarr_cloud.pyramid.mosaic import plane_axes
from napari_omezarr_cloud.store import io_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.api import Image
    from napari_omezarr_cloud.pyramid.plate_opened import OpenedPlate

__all__ = ["early_notes", "labels_later", "labels_of_wells", "note_later"]

_POLL_MS = 30
_ASK_MS = 200
_CLOSE = 9
"""Wells on screen, or less: then each is asked for labels."""


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


def labels_of_wells(viewer: Any, image: Image) -> None:
    """Ask wells that are looked at closely for labels, where a plate is not known to have any.

    Until some are found, which are added, or its layers are gone; on the GUI thread, does not wait.
    """
    plate = image.plate

    def watch(live: Any) -> None:
        if plate is not None and not image.labels:
            _WellLabels(live, image, plate)

    _when_known(viewer, image, watch)


class _WellLabels(QObject):
    """Asks when another part of a plate is on screen."""

    def __init__(self, viewer: Any, image: Image, plate: OpenedPlate) -> None:
        super().__init__(refresher())
        self._viewer, self._image, self._plate = weakref.ref(viewer), image, plate
        self._asked: set[str] = set()
        self._was_here = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._look)
        self._watch = ViewWatch(viewer, self)
        self._watch.changed.connect(self._look)
        self._watch.start()
        self._look()

    def _look(self) -> None:
        viewer, image = self._viewer(), self._image
        is_alive = viewer is not None and is_open(viewer)
        here = _layers_of(viewer, image) if is_alive else []
        self._was_here |= bool(here) or not is_alive
        if here and not self._plate.labels.late:
            if self._ask(here[0]) or self._plate.labels.is_looking:
                self._timer.start(_ASK_MS)
            return
        if here:
            layers = [
                labels_layer(each, image.name, str(image.location), beside=image.pyramid)
                for each in image.labels
            ]
            add_one_by_one(viewer, layers, source=str(image.location))
        elif not self._was_here:
            return
        self._watch.stop()
        self.deleteLater()

    def _ask(self, layer: Any) -> bool:
        """Ask the wells that a layer shows, if they are few; tell whether any was asked now."""
        shown = display_of(layer)
        if shown is None or shown.look is None:
            return False
        region = shown.view.expand(shown.look.region)
        scale = shown.view.level(shown.look.number).transform.scale
        y, x = plane_axes(self._image.pyramid)
        wells = self._plate.wells_in(
            (region.start[y] * scale[y], region.start[x] * scale[x]),
            (region.stop[y] * scale[y], region.stop[x] * scale[x]),
            _CLOSE,
        )
        fresh = [well for well in wells if well.path not in self._asked]
        self._asked.update(well.path for well in fresh)
        for well in fresh:
            io_thread().post(self._plate.ask_for_labels, well)
        return bool(fresh)


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
    views = [(layer, view_of(layer)) for layer in viewer.layers]
    return [layer for layer, view in views if view is not None and view.pyramid is image.pyramid]


def _late_notes(image: Image) -> tuple[str, ...]:
    labels = image.opened.labels
    return labels.result()[1] if labels.done() and not labels.cancelled() else ()
