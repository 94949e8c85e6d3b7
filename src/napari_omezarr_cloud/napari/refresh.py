"""The one rhythm in which layers are painted again as chunks arrive."""

from __future__ import annotations

import threading
import time
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
    """Brings the engine's news to the GUI thread: in a rhythm, and the last of them at once."""

    arrived = Signal(bool)
    settled = Signal()
    """A layer was painted with the last chunk it waited for."""
    failed = Signal(str)
    """A chunk in view cannot be read; told once per layer and cause."""

    def __init__(self, source: Engine) -> None:
        super().__init__()
        self._displays: weakref.WeakSet[Display] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._is_told = self._is_hurried = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._refresh_next)
        self.arrived.connect(self._plan)
        self._end = source.subscribe(self._hear)

    def add(self, display: Display) -> None:
        """Refresh this display's layer from now on, as long as it lives."""
        with self._lock:
            self._displays.add(display)

    def _all(self) -> list[Display]:
        with self._lock:
            return list(self._displays)

    def _hear(self, level: int, indices: Sequence[Index]) -> None:
        """On the engine's loop: mark who is concerned, and wake the GUI thread."""
        concerned = [d for d in self._all() if d.hears(level, indices)]
        if concerned:
            self.wake(at_once=any(d.has_all for d in concerned))

    def wake(self, *, at_once: bool = False) -> None:
        """Have the GUI thread look for news, in the next beat or at once; any thread."""
        if self._is_told and (self._is_hurried or not at_once):
            return
        self._is_told = True
        self._is_hurried |= at_once
        try:
            self.arrived.emit(at_once)
        except RuntimeError:  # the application is gone, and this object with it
            self._end()

    def _plan(self, at_once: bool) -> None:
        if at_once:
            self._timer.start(0)
        elif not self._timer.isActive():
            self._timer.start(_RHYTHM_MS)

    def _refresh_next(self) -> None:
        """Refresh one layer, and come back for the next: between two the window answers."""
        self._is_told = self._is_hurried = False
        for sentence in [s for d in self._all() for s in d.new_failures()]:
            self.failed.emit(sentence)
        stale = [d for d in self._all() if d.is_stale]
        if not stale:
            return
        # Complete ones first: theirs is the last picture, the others will be painted again.
        first = min(stale, key=lambda d: (not d.has_all, d.refreshed_at))
        first.refresh()
        if not first.missing:
            self.settled.emit()
        stale = [d for d in self._all() if d.is_stale]
        if stale:
            self._timer.start(self._pause(stale, first.cost_s))

    @staticmethod
    def _pause(stale: list[Display], cost_s: float) -> int:
        """Return how long to wait before the next layer is painted, in ms."""
        if any(d.has_all for d in stale):
            return 0
        if cost_s * 1000 > _RHYTHM_MS:
            # A big volume, or software OpenGL: painting must leave as much time as it takes.
            return int(cost_s * 1000)
        waited_ms = (time.perf_counter() - min(d.refreshed_at for d in stale)) * 1000
        return max(0, int(_RHYTHM_MS - waited_ms))


_refresher: Refresher | None = None


def refresher() -> Refresher:
    """Return the refresher of this process; on the GUI thread."""
    global _refresher
    if _refresher is None:
        _refresher = Refresher(engine())
    return _refresher
