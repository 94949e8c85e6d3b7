"""napari as the shell starts it: the window first, then what was asked for, one after the other."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_omezarr_cloud.api import Image, open_all_async
from napari_omezarr_cloud.errors import AccessRefusedError, CloudError
from napari_omezarr_cloud.napari import recent
from napari_omezarr_cloud.napari.notices import tell_error
from napari_omezarr_cloud.napari.open_url import show_refused
from napari_omezarr_cloud.napari.opening import MOST_BESIDE, progress_of
from napari_omezarr_cloud.napari.showing import Showing, give_up

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from napari_omezarr_cloud.links import Link
    from napari_omezarr_cloud.pyramid.plate_opened import FieldChoice

__all__ = ["show_until_closed"]


def show_until_closed(
    links: Sequence[Link],
    *,
    rgb: bool | None = None,
    field: FieldChoice = None,
    acquisition: int | None = None,
) -> tuple[int, list[CloudError]]:
    """Show links in a new viewer, and return when its window is closed.

    Parameters
    ----------
    links
        Of images, also of other viewers, in the order of their layers.
    rgb
        As for :func:`~napari_omezarr_cloud.napari.layer_data.to_layers`.
    field, acquisition
        As for :func:`~napari_omezarr_cloud.api.open`, of plates and wells.

    Returns
    -------
    shown : int
        How many links were shown. The window closes by itself when it would be none, unless one of
        them was refused: then it asks how to get in.
    errors : list of CloudError
        Why the others were not; the person at the window has been told, if there was one.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl+C.
    """
    # Asked for before napari is even imported, which takes longer than most servers' answers.
    openings = [
        (
            link,
            open_all_async(link, field=field, acquisition=acquisition, most=MOST_BESIDE),
        )
        for link in links
    ]
    try:
        import napari

        queue = _Queue(napari.Viewer(), openings, rgb)
        QTimer.singleShot(0, queue.next)
        napari.run(gui_exceptions=True)
    finally:
        for _, opening in openings:
            give_up(opening)
    return queue.shown, queue.errors


class _Queue(QObject):
    """Shows what comes in the order in which it was asked for."""

    def __init__(
        self,
        viewer: Any,
        openings: Sequence[tuple[Link, Future[tuple[Link, list[Future[Image]]]]]],
        rgb: bool | None,
    ) -> None:
        super().__init__()
        self.shown = 0
        self.errors: list[CloudError] = []
        self._refused: tuple[Link, AccessRefusedError] | None = None
        self._viewer = viewer
        self._waiting = deque(openings)
        self._rgb = rgb

    def next(self) -> None:
        """Wait for the next link; when there is none left, see to it that something was shown."""
        if self._waiting:
            link, opening = self._waiting.popleft()
            self._viewer.status = progress_of(link)
            self._showing = Showing(self._viewer, link, opening, self, rgb=self._rgb)
            self._showing.arrived.connect(self._arrived)
            self._showing.failed.connect(self._fail)
            # The next link waits for this one's layers, so that they lie in the order asked for.
            self._showing.ended.connect(self.next)
        elif self.shown:
            return
        elif self._refused is None:
            self._viewer.close()
        else:
            show_refused(self._viewer, *self._refused)

    def _arrived(self) -> None:
        self.shown += 1
        link = self._showing.link
        if link.sources[0].location.kind != "file":
            recent.remember(link)
        if self.shown == 1:  # now it is certain that there will be someone to read them
            for error in self.errors:
                tell_error(error)

    def _fail(self, error: BaseException) -> None:
        if not isinstance(error, CloudError):
            raise error
        self.errors.append(error)
        if isinstance(error, AccessRefusedError) and self._refused is None:
            self._refused = self._showing.link, error
        if self.shown:
            tell_error(error)
        self.next()
