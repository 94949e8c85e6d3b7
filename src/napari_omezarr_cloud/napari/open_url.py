"""The *Open URL* dialog at work: what it asks for is opened in the background and shown."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject
from qtpy.QtGui import QGuiApplication

from napari_omezarr_cloud.api import open_all_async
from napari_omezarr_cloud.errors import AccessRefusedError, CloudError
from napari_omezarr_cloud.links import Link, Source, is_of_a_viewer
from napari_omezarr_cloud.location import looks_like_ome_zarr, redacted
from napari_omezarr_cloud.napari import preferences, recent
from napari_omezarr_cloud.napari.notices import tell_error
from napari_omezarr_cloud.napari.opening import MOST_BESIDE, progress_of
from napari_omezarr_cloud.napari.place_access import show_access
from napari_omezarr_cloud.napari.showing import Showing, give_up
from napari_omezarr_cloud.napari.widgets.open_dialog import OpenDialog
from napari_omezarr_cloud.pyramid.plate_opened import field_choice
from napari_omezarr_cloud.store.aws_profiles import profile_names

if TYPE_CHECKING:
    from napari_omezarr_cloud.location import Location

__all__ = ["show_dialog", "show_refused"]

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


def show_refused(viewer: Any, link: Link, error: AccessRefusedError) -> None:
    """Show the dialog with a link that was refused: it leads to saying how to get in, and opens.

    Where the person is busy in it, only what was refused is told.
    """
    dialog = show_dialog(viewer)
    if dialog.is_opening:
        tell_error(error)
        return
    dialog.link.setEditText(link.text or str(_first_place(link)))
    dialog.show_error(str(error), is_refused=True)


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
        self._showing: Showing | None = None
        dialog.open_requested.connect(self._open)
        dialog.cancel_requested.connect(self._cancel)
        dialog.access_requested.connect(self._show_access)
        dialog.default_requested.connect(preferences.set_default_reader)

    def _open(self, target: Location | Link) -> None:
        self._cancel()
        viewer = self._viewer()
        if viewer is None:
            return
        link = target if isinstance(target, Link) else Link(sources=(Source(target),))
        try:
            opening = open_all_async(
                link,
                axes=self._dialog.axes.text().strip() or None,
                field=field_choice(self._dialog.field.text()),
                acquisition=self._dialog.chosen_acquisition,
                most=MOST_BESIDE,
            )
        except CloudError as error:
            self._fail(link, error)
            return
        self._dialog.show_progress(progress_of(link))
        self._showing = showing = Showing(viewer, link, opening, self)
        showing.arrived.connect(self._arrived)
        showing.failed.connect(self._failed)
        # A window that is closed meanwhile takes the dialog along, and the requests should go too.
        self._dialog.destroyed.connect(lambda: give_up(opening))

    def _arrived(self) -> None:
        if self._showing is not None:
            recent.remember(self._showing.link)
        self._dialog.finish()

    def _failed(self, error: BaseException) -> None:
        if self._showing is not None:
            self._fail(self._showing.link, error)

    def _fail(self, link: Link, error: BaseException) -> None:
        if isinstance(error, CloudError):
            is_refused = isinstance(error, AccessRefusedError)
            self._dialog.show_error(str(error), is_refused=is_refused)
            return
        # A mistake of ours; what libraries say may quote the link.
        place = _first_place(link)
        said = redacted(str(error), place.query)
        self._dialog.show_error(f"Could not open {place}: {type(error).__name__}: {said}")

    def _show_access(self, location: Location | None) -> None:
        viewer = self._viewer()
        if viewer is not None:
            show_access(viewer, location)

    def _cancel(self) -> None:
        if self._showing is not None:
            self._showing.cancel()
            self._showing = None


def _first_place(link: Link) -> Location:
    if link.sources or link.lookup is None:
        return link.sources[0].location
    return link.lookup.location
