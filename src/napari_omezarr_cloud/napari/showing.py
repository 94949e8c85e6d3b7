"""A link on its way into a window: looked up, opened, shown image by image, at its place."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.napari import wiring
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.choosing import chooser_for
from napari_omezarr_cloud.napari.image_layers import show_image, tell_about
from napari_omezarr_cloud.napari.kept_look import tell_kept
from napari_omezarr_cloud.napari.link_view import dressed, go_there
from napari_omezarr_cloud.napari.notices import tell_error, tell_notes
from napari_omezarr_cloud.napari.opening import can_choose, left_out

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from napari_omezarr_cloud.api import Image, SeriesEntry
    from napari_omezarr_cloud.links import Link

__all__ = ["Showing", "give_up"]


def give_up(opening: Future[tuple[Link, list[Future[Image]]]]) -> None:
    """Cancel what has been begun for a link: its lookups, or the images it was found to show."""
    if not opening.cancel() and not opening.cancelled() and opening.exception() is None:
        for image in opening.result()[1]:
            image.cancel()


class Showing(QObject):
    """Adds what a link shows to a viewer; of a series, what the person chooses."""

    arrived = Signal()
    """The first image is open, and its layers come; `link` is complete from now on."""
    failed = Signal(object)
    """Nothing can be shown; the first error. Nothing more will be said."""
    ended = Signal()
    """All images are shown, or the viewer is gone."""

    def __init__(
        self,
        viewer: Any,
        link: Link,
        opening: Future[tuple[Link, list[Future[Image]]]],
        parent: QObject,
        *,
        rgb: bool | None = None,
    ) -> None:
        super().__init__(parent)
        self.link = link
        """With its sources known as soon as they are."""
        self._viewer = weakref.ref(viewer)
        self._opening = opening
        self._rgb = rgb
        self._images: list[Future[Image]] = []
        self._number = 0
        self._is_placed = False
        self._errors: list[CloudError] = []
        self._job: Job[Any] = Job(opening, self._known, self.failed.emit, self)

    def cancel(self) -> None:
        """Give up; nothing is told any more."""
        self._job.cancel()
        give_up(self._opening)

    @property
    def _live_viewer(self) -> Any:
        viewer = self._viewer()
        return viewer if viewer is not None and wiring.is_open(viewer) else None

    def _known(self, found: tuple[Link, list[Future[Image]]]) -> None:
        self.link, self._images = found
        self._wait()

    def _wait(self) -> None:
        self._job = Job(self._images[self._number], self._open, self._missed, self)

    def _open(self, image: Image) -> None:
        viewer = self._live_viewer
        if viewer is None:
            self.ended.emit()
            return
        if self._number == len(self._errors):
            self.arrived.emit()
        if len(self.link.sources) == 1 and can_choose(image):
            self._choose(viewer, image)
        else:
            self._show(image, self._go_on)

    def _missed(self, error: BaseException) -> None:
        """One image less; one that is not there keeps the others from nothing."""
        if not isinstance(error, CloudError):
            self.failed.emit(error)
            return
        self._errors.append(error)
        self._go_on()

    def _go_on(self) -> None:
        self._number += 1
        if self._number < len(self._images) and self._live_viewer is not None:
            self._wait()
        elif len(self._errors) == self._number:
            self.failed.emit(self._errors[0])
        else:
            failed = [str(error) for error in self._errors]
            tell_notes(self.link.viewer, [*self.link.notes, *failed, *left_out(self.link)])
            self.ended.emit()

    def _show(self, image: Image, then: Any) -> None:
        viewer, source = self._live_viewer, self.link.sources[self._number]
        if viewer is None:
            self.ended.emit()
            return
        first = len(viewer.layers)

        def shown() -> None:
            self._go_to_place(first)
            then()

        show_image(
            viewer,
            image,
            rgb=self._rgb,
            as_labels=source.is_labels,
            dress=lambda layers: dressed(layers, self.link.view, self._number),
            is_placed=self.link.view is None or self._is_placed,
            then=shown,
        )
        tell_about(viewer, image)
        for each in image.together:
            tell_kept(viewer, each)

    def _go_to_place(self, first: int) -> None:
        """Go where the view says, once: the person may move on while other images come."""
        viewer, view = self._live_viewer, self.link.view
        if viewer is None or view is None or self._is_placed:
            return
        if first < len(viewer.layers):
            self._is_placed = True
            go_there(viewer, view, viewer.layers[first])
        wiring.show_placed(viewer)

    def _choose(self, viewer: Any, image: Image) -> None:
        """Ask which images of a series to show, and show them one after the other."""
        chooser = chooser_for(image, viewer.window.main_menu.window())

        def done(result: int) -> None:
            # When it is finished, and not as soon as it is accepted: its own reading has ended.
            chosen = chooser.chosen if result else []
            chooser.deleteLater()
            self._show_entries([image.series[number] for number in chosen])

        chooser.finished.connect(done)
        chooser.open()

    def _show_entries(self, entries: Sequence[SeriesEntry]) -> None:
        if not entries:
            self._go_on()
            return
        first, *rest = entries

        def failed(error: BaseException) -> None:
            if isinstance(error, CloudError):
                tell_error(error)
            self._show_entries(rest)

        def shown(image: Image) -> None:
            self._show(image, lambda: self._show_entries(rest))

        self._job = Job(first.open_async(), shown, failed, self)
