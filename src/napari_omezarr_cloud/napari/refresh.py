"""The one rhythm in which layers are painted again as chunks arrive."""

from __future__ import annotations

import statistics
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_omezarr_cloud.chunks import Engine, engine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.napari.display import Display
    from napari_omezarr_cloud.pyramid import Index

__all__ = ["Refresher", "refresher"]

_RHYTHM_MS, _MOST_MS = 33, 500
_FIRST_COST_S = 0.05
"""Of painting, as long as it was not measured."""
_TURN_S = 0.1
"""Layers are refreshed one after the other for as long as a painting takes, and no longer than
this, before the window answers and paints them: one painting shows them all."""


class Refresher(QObject):
    """Brings the engine's news to the GUI thread: in a rhythm, and the last of them at once."""

    arrived = Signal(int)
    settled = Signal()
    """A layer was painted with the last chunk it waited for."""
    failed = Signal(object)
    """The `CloudError` of a chunk in view; told once per layer and cause."""

    def __init__(self, source: Engine) -> None:
        super().__init__()
        self._displays: weakref.WeakSet[Display] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._told_ms: int | None = None
        self._costs_s = deque([_FIRST_COST_S], maxlen=3)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._refresh_stale)
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
        displays = self._all()
        concerned = [display for display in displays if display.hears(level, indices)]
        if not concerned:
            return
        if all(display.has_all for display in displays):
            self.wake(0)
        elif any(display.is_through(level) for display in concerned):
            self.wake(_RHYTHM_MS)  # other layers may be about to come so far as well
        else:
            self.wake(self._beat_ms)

    @property
    def _beat_ms(self) -> int:
        """How long chunks are gathered before a level that is not complete is painted.

        Painting may take a third of the time. Where it is slow (software OpenGL), a burst of chunks
        is over before it would begin, and shown as a whole.
        """
        return min(max(_RHYTHM_MS, int(2000 * statistics.median(self._costs_s))), _MOST_MS)

    def wake(self, within_ms: int = _RHYTHM_MS) -> None:
        """Have the GUI thread look for news; any thread."""
        if self._told_ms is not None and self._told_ms <= within_ms:
            return
        self._told_ms = within_ms
        try:
            self.arrived.emit(within_ms)
        except RuntimeError:  # the application is gone, and this object with it
            self._end()

    def _plan(self, within_ms: int) -> None:
        if not self._timer.isActive() or self._timer.remainingTime() > within_ms:
            self._timer.start(within_ms)

    def _refresh_stale(self) -> None:
        """Refresh what has changed, for a moment, and come back for the rest."""
        self._told_ms = None
        for error in [e for d in self._all() for e in d.new_failures()]:
            self.failed.emit(error)
        stale = [d for d in self._all() if d.is_stale]
        if not stale:
            return
        started, cost_s = time.perf_counter(), min(statistics.median(self._costs_s), _TURN_S)
        # Complete ones first: theirs is the last picture, the others will be painted again.
        for display in sorted(stale, key=lambda d: (not d.has_all, d.refreshed_at)):
            self._refresh(display)
            if time.perf_counter() - started > cost_s:
                break
        # What Qt has been asked to paint by now comes before a timer: it ends when that is done.
        QTimer.singleShot(0, lambda: self._costs_s.append(time.perf_counter() - started))
        stale = [d for d in self._all() if d.is_stale]
        if stale:
            self._plan(0 if any(d.has_all for d in stale) else self._beat_ms)

    def _refresh(self, display: Display) -> None:
        display.refresh()
        if not display.missing:
            self.settled.emit()

    def show_complete(self) -> None:
        """Refresh at once the layers of which all is here; on the GUI thread.

        For those who know that a painting is about to come: a later refresh would need another one.
        """
        for display in self._all():
            if display.is_stale and display.has_all:
                self._refresh(display)


_refresher: Refresher | None = None


def refresher() -> Refresher:
    """Return the refresher of this process; on the GUI thread."""
    global _refresher
    if _refresher is None:
        _refresher = Refresher(engine())
    return _refresher
