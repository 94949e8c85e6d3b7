"""Which of several images a person wants: the chooser at work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.thumbnail import render, what_to_read
from napari_omezarr_cloud.napari.widgets.series_chooser import THUMBNAIL_PX, SeriesChooser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtWidgets import QWidget

    from napari_omezarr_cloud.api import Image, SeriesEntry

__all__ = ["chooser_for", "is_to_be_chosen", "where_they_are"]


def is_to_be_chosen(image: Image) -> bool:
    """Tell whether there are more images than are shown with this one."""
    return bool(image.series) and not image.together


def where_they_are(image: Image) -> str:
    """Return the display form of the place that holds the images of a series."""
    first = image.series[0]
    place = first.location
    for _ in first.path.split("/") if first.path else ():
        place = place.parent() or place
    return str(place)


def chooser_for(image: Image, parent: QWidget | None) -> SeriesChooser:
    """Return a dialog that asks which images of a series to open, not shown yet.

    Sizes and pictures are read while it is open, of what is in view; its ``chosen`` are numbers in
    ``image.series``.
    """
    names = [entry.name for entry in image.series]
    dialog = SeriesChooser(names, where_they_are(image), parent)
    _Pictures(dialog, image.series)
    return dialog


class _Pictures(QObject):
    """Gives a dialog sizes and pictures; lives as long as the dialog."""

    def __init__(self, dialog: SeriesChooser, entries: Sequence[SeriesEntry]) -> None:
        super().__init__(dialog)
        self._dialog, self._entries = dialog, entries
        self._jobs: list[Job[Any]] = []
        dialog.seen.connect(self._open)
        dialog.finished.connect(self._stop)

    def _open(self, number: int) -> None:
        future = self._entries[number].open_async()
        self._jobs.append(
            Job(
                future,
                lambda image: self._opened(number, image),
                lambda error: self._failed(number, error),
                self,
            )
        )

    def _opened(self, number: int, image: Image) -> None:
        self._dialog.show_details(number, size_text(image))
        wanted = what_to_read(image)
        if wanted is None:
            return

        def show(pixels: Any) -> None:
            self._dialog.show_picture(number, render(image, pixels, THUMBNAIL_PX * 2))

        # Without a picture the row is as good: what is wrong with the pixels is told later.
        self._jobs.append(Job(engine().start(*wanted), show, lambda _: None, self))

    def _failed(self, number: int, error: BaseException) -> None:
        if isinstance(error, CloudError):
            self._dialog.show_details(number, f"cannot be opened: {error.why or error.what}")

    def _stop(self, *_: Any) -> None:
        for job in self._jobs:
            job.cancel()


def size_text(image: Image) -> str:
    """Return an image's size in a line: ``2 × 5 × 256 × 256 (c z y x), uint16``."""
    level = image.levels[0]
    size = " × ".join(f"{n:,}" for n in level.shape)
    return f"{size} ({' '.join(axis.name for axis in image.axes)}), {level.dtype}"
