"""Waiting without freezing: jobs beside the GUI thread, and a window that stays alive meanwhile."""

from __future__ import annotations

import weakref
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from qtpy.QtCore import QCoreApplication, QEventLoop, QObject, Qt, QThread, QTimer, Signal
from qtpy.QtWidgets import QApplication, QLabel, QMainWindow, QProgressDialog, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Job", "is_event_loop_running", "is_window_served", "wait_for"]

T = TypeVar("T")

_SHOW_AFTER_MS = 300


def is_event_loop_running() -> bool:
    """Tell whether the calling thread serves a window, so that waiting would freeze it."""
    app = QCoreApplication.instance()
    if app is None or QThread.currentThread() is not app.thread():
        return False
    thread = app.thread()
    return thread is not None and thread.loopLevel() > 0


def is_window_served() -> bool:
    """Tell whether waiting here would freeze a window: one is open and this is its thread."""
    app = QApplication.instance()
    if not isinstance(app, QApplication) or QThread.currentThread() is not app.thread():
        return False
    return any(window.isVisible() for window in app.topLevelWidgets())


class _Landing(QObject):
    """Brings a future's end to the GUI thread."""

    done = Signal()

    def watch(self, future: Future[Any]) -> None:
        future.add_done_callback(lambda _: self._emit())

    def _emit(self) -> None:
        try:
            self.done.emit()
        except RuntimeError:  # this object went with its application
            return


def wait_for(future: Future[T], label: str) -> T:
    """Return a future's result without freezing the window.

    Where a window is open, a local event loop keeps it painting; after 300 ms a modal dialog
    says what is going on and can cancel it. It is modal because a nested loop is re-entrant: a
    second drop or a removed layer in between would find a half-opened image. Where no window is
    open yet (the command line, a script without one), this simply waits.

    Raises
    ------
    concurrent.futures.CancelledError
        If the person cancelled.
    """
    if not is_window_served() or future.done():
        return future.result()
    loop, landing = QEventLoop(), _Landing()
    landing.done.connect(loop.quit, Qt.ConnectionType.QueuedConnection)  # type: ignore[call-arg]
    landing.watch(future)
    patience = QTimer()
    patience.setSingleShot(True)
    patience.timeout.connect(loop.quit)
    patience.start(_SHOW_AFTER_MS)
    # Until a dialog is modal, the loop itself keeps user input out: it would be re-entrant as well.
    loop.exec(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
    patience.stop()
    if not future.done():
        dialog = _dialog(label, future)
        dialog.show()
        loop.exec()
        dialog.reset()
        dialog.deleteLater()
    return future.result()


def _dialog(label: str, future: Future[Any]) -> QProgressDialog:
    """Return a modal dialog that says what is waited for, and can cancel it."""
    dialog = QProgressDialog("", "Cancel", 0, 0, _window())
    text = QLabel(_shortened(label))
    text.setTextFormat(Qt.TextFormat.PlainText)  # a link may look like HTML
    dialog.setLabel(text)
    dialog.setWindowModality(Qt.WindowModality.ApplicationModal)
    dialog.setWindowTitle("Opening")
    dialog.canceled.connect(future.cancel)
    return dialog


def _window() -> QWidget | None:
    """Return the window in front, whose look a dialog takes over."""
    shown = [each for each in QApplication.topLevelWidgets() if each.isVisible()]
    windows = [each for each in shown if isinstance(each, QMainWindow)]
    return QApplication.activeWindow() or next(iter(windows), None)


def _shortened(text: str, most: int = 80) -> str:
    half = most // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


class Job(QObject, Generic[T]):
    """One piece of work whose end is told on the GUI thread, unless it was replaced before.

    ``on_done`` gets the result, ``on_error`` the exception; after `cancel` neither is called, nor
    when nobody keeps this object any more.
    """

    _ended = Signal()

    def __init__(
        self,
        future: Future[T],
        on_done: Callable[[T], None],
        on_error: Callable[[BaseException], None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._future: Future[T] | None = future
        self._on_done, self._on_error = on_done, on_error
        self._ended.connect(self._finish, Qt.ConnectionType.QueuedConnection)  # type: ignore[call-arg]
        reference = weakref.ref(self)

        def tell(_: Future[T]) -> None:
            # The future must not own this object: its last reference ends on another thread.
            job = reference()
            if job is not None:
                job._tell()

        future.add_done_callback(tell)

    @property
    def is_running(self) -> bool:
        """Whether its end is still to be told."""
        return self._future is not None

    def _tell(self) -> None:
        try:
            self._ended.emit()
        except RuntimeError:  # the widget that asked is gone
            return

    def _finish(self) -> None:
        future, self._future = self._future, None
        if future is None or future.cancelled():
            return
        try:
            result = future.result()
        except CancelledError:
            return
        except Exception as error:  # whatever the job raised goes to the one who shows it
            self._on_error(error)
            return
        self._on_done(result)

    def cancel(self) -> None:
        """Give up; nothing is told any more."""
        future, self._future = self._future, None
        if future is not None:
            future.cancel()
