"""The one rhythm in which layers are painted again as chunks arrive."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_omezarr_cloud.chunks import Engine, engine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.napari.display import Display
    from napari_omezarr_cloud.pyramid import Index

__all__ = ["Refresher", "refresher"]

_RHYTHM_MS = 33


class Refresher(QObject):
    """Brings the engine's news to the GUI thread, at most once per rhythm."""

    arrived = Signal()
    settled = Signal()
    """A layer was painted with the last chunk it waited for."""
    failed = Signal(str)
    """A chunk in view cannot be read; told once per layer and cause."""

    def __init__(self, source: Engine) -> None:
        super().__init__()
        self._displays: weakref.WeakSet[Display] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._is_told = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._refresh_next)
        self.arrived.connect(self._wait_a_beat)
        self._end = source.subscribe(self._hear)

    def add(self, display: Display) -> None:
        """Refresh this display's layer from now on, as long as it lives."""
        with self._lock:
            self._displays.add(display)

    def _all(self) -> list[Display]:
        with self._lock:
            return list(self._displays)

    def _hear(self, level: int, indices: Sequence[Index]) -> None:
        """On the engine's loop: mark who is concerned, and wake the GUI thread once."""
        concerned = [d for d in self._all() if d.hears(level, indices)]
        if concerned:
            self.wake()

    def wake(self) -> None:
        """Have the GUI thread look for news soon; any thread."""
        if not self._is_told:
            self._is_told = True
            try:
                self.arrived.emit()
            except RuntimeError:  # the application is gone, and this object with it
                self._end()

    def _wait_a_beat(self) -> None:
        if not self._timer.isActive():
            self._timer.start(_RHYTHM_MS)

    def _refresh_next(self) -> None:
        """Refresh one layer, and come back for the next: between two the window answers."""
        self._is_told = False
        for sentence in [s for d in self._all() for s in d.new_failures()]:
            self.failed.emit(sentence)
        stale = [d for d in self._all() if d.is_stale]
        if not stale:
            return
        first = min(stale, key=lambda d: d.refreshed_at)
        first.refresh()
        if not first.missing:
            self.settled.emit()
        pause = 0 if len(stale) > 1 else _RHYTHM_MS
        # A slow refresh (a big volume, software OpenGL) must leave as much time as it takes.
        self._timer.start(max(pause, int(first.cost_s * 1000)))


_refresher: Refresher | None = None


def refresher() -> Refresher:
    """Return the refresher of this process; on the GUI thread."""
    global _refresher
    if _refresher is None:
        _refresher = Refresher(engine())
    return _refresher
