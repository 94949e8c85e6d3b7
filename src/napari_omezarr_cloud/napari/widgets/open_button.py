"""The button below a window that wrote something: it opens that."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QPushButton

from napari_omezarr_cloud.api import open_all_async
from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.links import Link, Source
from napari_omezarr_cloud.napari.notices import tell_error
from napari_omezarr_cloud.napari.showing import Showing

if TYPE_CHECKING:
    from napari_omezarr_cloud.location import Location

__all__ = ["OpenButton"]


class OpenButton(QPushButton):
    """Adds what was written to a viewer as new layers; hidden while there is nothing to open.

    Parameters
    ----------
    viewer
        It is not kept alive.
    tip
        What it does, for the mouse.
    """

    def __init__(self, viewer: Any, tip: str) -> None:
        super().__init__("Open it")
        self.setToolTip(tip)
        self._viewer = weakref.ref(viewer)
        self._location: Location | None = None
        self._showing: Showing | None = None
        self.clicked.connect(self._open)
        self.hide()

    def offer(self, location: Location | None) -> None:
        """Say what can be opened; None: nothing."""
        self._location = location
        self.setVisible(location is not None)

    def _open(self) -> None:
        viewer = self._viewer()
        if viewer is None or self._location is None:
            return
        link = Link(sources=(Source(self._location),))
        self._showing = Showing(viewer, link, open_all_async(link), self)
        self._showing.failed.connect(self._on_failed)

    def _on_failed(self, error: BaseException) -> None:
        if not isinstance(error, CloudError):
            raise error
        tell_error(error)
