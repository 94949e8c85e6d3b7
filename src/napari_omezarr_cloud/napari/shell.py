"""napari as the shell starts it: the window first, then what was asked for, one after the other."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_omezarr_cloud.api import Image, open_async
from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.napari import recent, wiring
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.notices import tell_error
from napari_omezarr_cloud.napari.opening import show_image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from napari_omezarr_cloud.location import Location

__all__ = ["show_until_closed"]


def show_until_closed(
    locations: Sequence[Location], *, rgb: bool | None = None
) -> tuple[int, list[CloudError]]:
    """Show images in a new viewer, and return when its window is closed.

    Parameters
    ----------
    locations
        Of the images, in the order of their layers.
    rgb
        As for :func:`~napari_omezarr_cloud.napari.layer_data.to_layers`.

    Returns
    -------
    shown : int
        How many were shown. The window closes by itself when it would be none.
    errors : list of CloudError
        Why the others were not; the person at the window has been told, if there was one.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl+C.
    """
    # Asked for before napari is even imported, which takes longer than most servers' answers.
    openings = [(location, open_async(location)) for location in locations]
    try:
        import napari

        queue = _Queue(napari.Viewer(), openings, rgb)
        QTimer.singleShot(0, queue.next)
        napari.run(gui_exceptions=True)
    finally:
        for _, opening in openings:
            opening.cancel()
    return queue.shown, queue.errors


class _Queue(QObject):
    """Shows what comes in the order in which it was asked for."""

    def __init__(
        self, viewer: Any, openings: Sequence[tuple[Location, Future[Image]]], rgb: bool | None
    ) -> None:
        super().__init__()
        self.shown = 0
        self.errors: list[CloudError] = []
        self._viewer = viewer
        self._waiting = deque(openings)
        self._rgb = rgb

    def next(self) -> None:
        """Wait for the next image; when there is none left, see to it that something was shown."""
        if self._waiting:
            location, opening = self._waiting.popleft()
            self._viewer.status = f"Opening {location}"
            self._job = Job(opening, lambda image: self._show(location, image), self._fail, self)
        elif not self.shown:
            self._viewer.close()

    def _show(self, location: Location, image: Image) -> None:
        if not wiring.is_open(self._viewer):
            return
        self.shown += 1
        # The next image waits for this one's layers, so that they lie in the order asked for.
        show_image(self._viewer, image, rgb=self._rgb, then=self.next)
        if location.kind != "file":
            recent.remember(location)
        if self.shown == 1:  # now it is certain that there will be someone to read them
            for error in self.errors:
                tell_error(error)

    def _fail(self, error: BaseException) -> None:
        if not isinstance(error, CloudError):
            raise error
        self.errors.append(error)
        if self.shown:
            tell_error(error)
        self.next()
