"""The one place that knows how napari plays a slider: a step is made when we say that it may be.

napari's animation thread counts frames by the clock and asks the window to show them; what cannot
be drawn in time is skipped. Here the thread is set back after each question, so that it asks for
the same frame again until it was shown.
"""

from __future__ import annotations

import warnings
import weakref
from contextlib import suppress
from typing import Any, Protocol

from qtpy.QtCore import QObject, Qt

from napari_omezarr_cloud.napari.frames import Playing, follows

__all__ = ["Conductor", "PlayHook", "can_hook_play", "sliders_of"]


class Conductor(Protocol):
    """Says when play goes on."""

    @property
    def holds(self) -> bool:
        """Whether play has to be waited for at all; if not, napari plays by itself."""
        ...

    def may_show(self, frame: int, playing: Playing) -> bool:
        """Tell whether a frame may be shown now; asked again and again until it may."""
        ...

    def end(self) -> None:
        """Take notice that nothing is played any more."""
        ...


def sliders_of(viewer: Any) -> Any | None:
    """Return napari's widget of the sliders of a window; None where there is none."""
    window = getattr(viewer, "window", None)
    return getattr(getattr(window, "_qt_viewer", None), "dims", None)


def can_hook_play(sliders: Any) -> bool:
    """Tell whether this napari plays as it is known here."""
    thread = getattr(sliders, "_animation_thread", None)
    signals = ("frame_requested", "finished", "isRunning")
    state = ("current", "step", "dims_range", "min_point", "max_point", "loop_mode", "axis")
    return (
        all(hasattr(thread, name) for name in (*signals, *state))
        and hasattr(sliders, "_set_frame")
        and hasattr(getattr(sliders, "dims", None), "_play_ready")
    )


class PlayHook(QObject):
    """Stands between the animation thread of a window and its sliders, as long as these live.

    Parameters
    ----------
    sliders
        napari's widget of the sliders (`sliders_of`).
    conductor
        Says when play goes on.
    """

    def __init__(self, sliders: Any, conductor: Conductor) -> None:
        super().__init__(sliders)
        self._sliders = weakref.ref(sliders)
        self._conductor = conductor
        self._thread = thread = sliders._animation_thread
        self._holds = True
        _disconnect(thread.frame_requested, sliders._set_frame)
        # napari connects it again each time something is played, so it must do nothing.
        sliders._set_frame = _ignore
        thread.frame_requested.connect(self._hold, Qt.ConnectionType.DirectConnection)
        thread.frame_requested.connect(self._on_frame, Qt.ConnectionType.QueuedConnection)
        thread.finished.connect(self._on_finished, Qt.ConnectionType.QueuedConnection)

    def _hold(self, axis: int, frame: int) -> None:
        """In the animation thread: set it back, so that it asks for this frame again."""
        if self._holds:
            self._thread.current = self._before(frame)

    def _on_frame(self, axis: int, frame: int) -> None:
        """In the GUI thread: show a frame if it may be shown; late questions are none."""
        sliders, thread = self._sliders(), self._thread
        if sliders is None or not thread.isRunning() or axis != thread.axis:
            return
        self._holds = self._conductor.holds
        if not self._holds:
            type(sliders)._set_frame(sliders, axis, frame)
            return
        low, high = thread.min_point, thread.max_point - 1
        playing = Playing(axis, thread.step, str(thread.loop_mode), low, high)
        frame, now = self._within(frame), sliders.dims.current_step[axis]
        if frame == now or not follows(frame, now, playing):
            if thread.current == self._before(frame):
                thread.current = now  # its question crossed a step, ours or the person's
        elif sliders.dims._play_ready and self._conductor.may_show(frame, playing):
            type(sliders)._set_frame(sliders, axis, frame)

    def _on_finished(self) -> None:
        self._conductor.end()

    def _before(self, frame: int) -> int:
        """Return from where the thread comes to ask for a frame."""
        return self._within(frame) - int(self._thread.step * self._thread.dims_range[2])

    def _within(self, frame: int) -> int:
        """Return the frame in the range that is played: napari asks for one beyond its end."""
        first, last = int(self._thread.min_point), int(self._thread.max_point) - 1
        return min(max(frame, first), last)


def _ignore(axis: int, frame: int) -> None:
    """Show nothing: `PlayHook` does."""


def _disconnect(signal: Any, slot: Any) -> None:
    """Take a slot off a signal as often as it is connected, if at all."""
    with warnings.catch_warnings(), suppress(TypeError, RuntimeError):
        warnings.simplefilter("ignore")  # PySide warns where PyQt raises
        while signal.disconnect(slot) is not False:
            pass
