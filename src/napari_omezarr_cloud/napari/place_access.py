"""The *Access to this place* dialog at work: what it asks for is done beside the window."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject

from napari_omezarr_cloud.access import (
    forget_access,
    known_access,
    set_access,
    try_access_async,
)
from napari_omezarr_cloud.errors import CloudError, LinkError
from napari_omezarr_cloud.location import Location, parse_location, redacted
from napari_omezarr_cloud.napari.adoption import retry
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.threads import in_thread
from napari_omezarr_cloud.napari.widgets.access_dialog import AccessDialog, AccessWish
from napari_omezarr_cloud.store.aws_profiles import profile_names
from napari_omezarr_cloud.store.keys import keyring_name
from napari_omezarr_cloud.store.place_access import access_for, place_of, settled

if TYPE_CHECKING:
    from concurrent.futures import Future

    from napari_omezarr_cloud.store.trial import AccessTrial

__all__ = ["show_access"]


def show_access(viewer: Any, location: Location | None = None) -> AccessDialog:
    """Show the one dialog of a viewer's window.

    Parameters
    ----------
    viewer
        Over whose window.
    location
        Which place is meant: what was said of the nearest one above, else its bucket or server.
        None: that of the selected layer.
    """
    window = viewer.window.main_menu.window()
    dialog: AccessDialog | None = window.findChild(AccessDialog)
    if dialog is None:
        dialog = AccessDialog(window)
        _Keeper(dialog, viewer)
    dialog.set_profiles(profile_names())
    dialog.set_known(known_access())
    where = location or _location_of(viewer)
    keeper = dialog.findChild(_Keeper)
    if keeper is not None:
        keeper.meant = where
        keeper.find_keyring()
    if where is not None and where.kind != "file":
        bucket = where.as_s3()
        said = access_for(where) or (access_for(bucket) if bucket is not None else None)
        place = said.place if said else place_of(where)
        dialog.show_place(place, place_of(bucket) if bucket is not None else "")
    dialog.show()
    dialog.raise_()
    dialog.activateWindow()
    return dialog


def _location_of(viewer: Any) -> Location | None:
    """Return where the selected layer comes from, or the first one that is not a local folder."""
    for layer in (viewer.layers.selection.active, *viewer.layers):
        shown = None if layer is None else display_of(layer)
        if shown is None:
            continue
        try:
            found = parse_location(shown.view.pyramid.source)
        except LinkError:
            continue
        if found.kind != "file":
            return found
    return None


class _Keeper(QObject):
    """Does what a dialog asks for; lives as long as the dialog."""

    def __init__(self, dialog: AccessDialog, viewer: Any) -> None:
        super().__init__(dialog)
        self._dialog = dialog
        self._viewer = weakref.ref(viewer)
        self._job: Job[Any] | None = None
        self._ring_job: Job[Any] | None = None
        self.meant: Location | None = None
        """What the person wants to get at; it is what is tried."""
        dialog.save_requested.connect(self._save)
        dialog.test_requested.connect(self._test)
        dialog.forget_requested.connect(self._forget)

    def find_keyring(self) -> None:
        """Ask what the keyring is called: on some systems that takes a moment."""
        found: Future[Any] = in_thread(keyring_name)
        ring = self._dialog.set_keyring
        self._ring_job = Job(found, ring, lambda _: ring(None), self)

    def _save(self, wish: AccessWish) -> None:
        self._dialog.show_progress("Saving …")

        def saved(_: object) -> None:
            self._renewed()
            self._dialog.show_outcome("Saved. What is open there goes on with it.")

        self._job = Job(in_thread(_set, wish), saved, self._failed, self)

    def _test(self, wish: AccessWish, writes: bool) -> None:
        self._dialog.show_progress("Trying to get in …")

        def saved(place: str) -> None:
            self._renewed()
            at = self._to_try(place)
            self._job = Job(try_access_async(at, write=writes), tried, self._failed, self)

        def tried(trial: AccessTrial) -> None:
            lines = [trial.place, *map(str, trial.steps)]
            self._dialog.show_outcome(trial.verdict, lines)

        self._job = Job(in_thread(_set, wish), saved, self._failed, self)

    def _to_try(self, place: str) -> Location:
        """Return the image that was meant, if it lies in the place; else the place."""
        root = parse_location(place, environ={})
        meant = self.meant
        if meant is not None and root.kind == "s3":
            meant = meant.as_s3() or meant
        return meant if meant is not None and root.covers(settled(meant)) else root

    def _forget(self, place: str) -> None:
        self._dialog.show_progress("Forgetting …")

        def forgotten(_: object) -> None:
            self._renewed()
            self._dialog.show_outcome("Forgotten: nothing is known of this place any more.")

        self._job = Job(in_thread(forget_access, place), forgotten, self._failed, self)

    def _renewed(self) -> None:
        """List what is known now, and ask again for what was refused."""
        self._dialog.set_known(known_access())
        viewer = self._viewer()
        if viewer is not None:
            retry(viewer.layers)

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, CloudError):
            self._dialog.set_known(known_access())
            self._dialog.show_error(str(error))
            return
        # A mistake of ours; what libraries say may quote what was typed.
        self._dialog.show_error(f"That failed: {type(error).__name__}: {redacted(str(error))}")


def _set(wish: AccessWish) -> str:
    given: dict[str, Any] = {**wish.options, **wish.secrets.values}
    return set_access(wish.place, wish.way, **given).place
