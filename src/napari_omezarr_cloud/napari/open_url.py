"""The *Open URL* dialog at work: what it asks for is opened in the background and shown."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject
from qtpy.QtGui import QGuiApplication

from napari_omezarr_cloud.api import open_async, resolve_async
from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.links import Link, is_of_a_viewer
from napari_omezarr_cloud.location import looks_like_ome_zarr, redacted
from napari_omezarr_cloud.napari import preferences, recent, wiring
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.choosing import chooser_for
from napari_omezarr_cloud.napari.link_view import dressed, go_there
from napari_omezarr_cloud.napari.notices import tell_error, tell_notes
from napari_omezarr_cloud.napari.opening import MOST_BESIDE, can_choose, show_image, tell_about
from napari_omezarr_cloud.napari.profiles import profile_names
from napari_omezarr_cloud.napari.widgets.open_dialog import OpenDialog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from napari_omezarr_cloud.api import Image, SeriesEntry
    from napari_omezarr_cloud.location import Location

__all__ = ["show_dialog"]

_LONGEST_LINK = 4096


def show_dialog(viewer: Any) -> OpenDialog:
    """Show the one dialog of a viewer's window, with a link from the clipboard if there is one."""
    window = viewer.window.main_menu.window()
    dialog: OpenDialog | None = window.findChild(OpenDialog)
    if dialog is None:
        dialog = OpenDialog(window)
        _Opener(dialog, viewer)
    if not dialog.is_opening:
        dialog.set_recent_links(recent.recent_links())
        dialog.set_profiles(profile_names())
        dialog.set_default(preferences.is_default_reader())
        dialog.offer(_link_in_clipboard())
    dialog.show()
    dialog.raise_()
    dialog.activateWindow()
    return dialog


def _link_in_clipboard() -> str:
    """Return what lies in the clipboard if it is, by its characters, a link or path for us."""
    clipboard = QGuiApplication.clipboard()
    text = clipboard.text().strip() if clipboard is not None else ""
    if is_of_a_viewer(text):
        return text
    return text if len(text) <= _LONGEST_LINK and looks_like_ome_zarr(text) else ""


class _Opener(QObject):
    """Does what a dialog asks for, and tells it how it ended; lives as long as the dialog."""

    def __init__(self, dialog: OpenDialog, viewer: Any) -> None:
        super().__init__(dialog)
        self._dialog = dialog
        self._viewer = weakref.ref(viewer)
        self._job: Job[Any] | None = None
        dialog.open_requested.connect(self._open)
        dialog.cancel_requested.connect(self._cancel)
        dialog.default_requested.connect(preferences.set_default_reader)

    def _open(self, target: Location | Link) -> None:
        self._cancel()
        if isinstance(target, Link):
            self._look_up(target)
        else:
            self._open_location(target)

    def _look_up(self, link: Link) -> None:
        """Find out what a viewer's link shows, then open it."""
        asked = link.sources[0].location if link.sources else None
        if asked is None and link.lookup is not None:
            asked = link.lookup.location
        future = resolve_async(link)
        self._dialog.show_progress(f"{link.viewer}: opening {asked}")

        def known(found: Link) -> None:
            self._open_sources(found, 0, [])

        self._job = Job(future, known, lambda error: self._fail(asked, error), self)
        self._dialog.destroyed.connect(future.cancel)

    def _open_sources(self, link: Link, number: int, failed: list[str]) -> None:
        """Open the images of a link one after the other, and go to its place with the first."""
        source = link.sources[number]
        future = open_async(source.location)
        is_last = number + 1 >= min(len(link.sources), MOST_BESIDE)

        def go_on(place_of: int | None = None) -> None:
            viewer = self._viewer()
            if viewer is None or not wiring.is_open(viewer):
                return
            if link.view is not None and place_of is not None and place_of < len(viewer.layers):
                go_there(viewer, link.view, viewer.layers[place_of])
            if not is_last:
                self._open_sources(link, number + 1, failed)
                return
            left = len(link.sources) - MOST_BESIDE
            more = [f"{left} more images of the link are not opened."] if left > 0 else []
            tell_notes(link.viewer, [*link.notes, *failed, *more])

        def shown(image: Image) -> None:
            viewer = self._viewer()
            if viewer is None or not wiring.is_open(viewer):
                return
            if self._dialog.is_opening:
                recent.remember(source.location)
                self._dialog.finish()
            # Only the first that could be opened: the person may have moved on since.
            place_of = len(viewer.layers) if number == len(failed) else None
            show_image(
                viewer,
                image,
                as_labels=source.is_labels,
                dress=lambda layers: dressed(layers, link.view, number),
                then=lambda: go_on(place_of),
            )
            tell_about(viewer, image)

        def missed(error: BaseException) -> None:
            if not isinstance(error, CloudError) or (is_last and self._dialog.is_opening):
                self._fail(source.location, error)
                return
            failed.append(str(error))
            go_on()

        self._job = Job(future, shown, missed, self)
        self._dialog.destroyed.connect(future.cancel)

    def _open_location(self, location: Location) -> None:
        try:
            axes = self._dialog.axes.text().strip() or None
            future: Future[Image] = open_async(location, axes=axes)
        except CloudError as error:
            self._fail(location, error)
            return
        self._dialog.show_progress(f"Opening {location}")

        def shown(image: Image) -> None:
            viewer = self._viewer()
            if viewer is None or not wiring.is_open(viewer):
                return
            recent.remember(location)
            self._dialog.finish()
            if can_choose(image):
                self._choose(viewer, image)
            else:
                show_image(viewer, image)
                tell_about(viewer, image)

        self._job = Job(future, shown, lambda error: self._fail(location, error), self)
        # A window that is closed meanwhile takes the dialog along, and the requests should go too.
        self._dialog.destroyed.connect(future.cancel)

    def _choose(self, viewer: Any, image: Image) -> None:
        """Ask which images of a series to open, and show them one after the other."""
        chooser = chooser_for(image, viewer.window.main_menu.window())

        def done(result: int) -> None:
            # When it is finished, and not as soon as it is accepted: its own reading has ended.
            chosen = chooser.chosen if result else []
            chooser.deleteLater()
            self._show([image.series[number] for number in chosen])

        chooser.finished.connect(done)
        chooser.open()

    def _show(self, entries: Sequence[SeriesEntry]) -> None:
        if not entries:
            return
        first, *rest = entries

        def shown(image: Image) -> None:
            viewer = self._viewer()
            if viewer is not None and wiring.is_open(viewer):
                show_image(viewer, image, then=lambda: self._show(rest))

        def failed(error: BaseException) -> None:
            if isinstance(error, CloudError):
                tell_error(error)
            self._show(rest)

        self._job = Job(first.open_async(), shown, failed, self)

    def _fail(self, location: Location | None, error: BaseException) -> None:
        if isinstance(error, CloudError):
            self._dialog.show_error(str(error))
        else:  # a mistake of ours; what libraries say may quote the link
            said = redacted(str(error), location.query if location is not None else "")
            self._dialog.show_error(f"Could not open {location}: {type(error).__name__}: {said}")

    def _cancel(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self._job = None
