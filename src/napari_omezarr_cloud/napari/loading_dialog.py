"""How far something is that loads, when it takes long; the window stays usable."""

from __future__ import annotations

import weakref
from typing import Any, Protocol

from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtWidgets import QLabel, QProgressDialog

__all__ = ["Loading", "LoadingDialog"]

_SHOW_AFTER_MS, _PROGRESS_MS = 500, 80


class Loading(Protocol):
    """What loads: a QObject that tells its end."""

    chunks: int
    """Chunks to load."""
    ended: Any
    """The signal that it is over."""

    @property
    def loaded(self) -> int:
        """Chunks that have come."""
        ...

    def cancel(self) -> None:
        """Give up."""
        ...


class LoadingDialog(QObject):
    """Shows how far it is and can cancel; lives as long as what loads.

    Parameters
    ----------
    viewer
        In whose window it shows.
    loading
        A QObject, the parent of this one.
    title, words
        Of the dialog; shown as they are.
    """

    def __init__(self, viewer: Any, loading: Any, title: str, words: str) -> None:
        super().__init__(loading)
        dialog = QProgressDialog("", "Cancel", 0, loading.chunks, viewer.window.main_menu.window())
        text = QLabel(words)
        text.setTextFormat(Qt.TextFormat.PlainText)  # a layer's name may come from a file
        text.setWordWrap(True)
        dialog.setLabel(text)
        dialog.setWindowTitle(title)
        dialog.setAutoClose(False)
        dialog.setAutoReset(False)
        dialog.setAttribute(Qt.WidgetAttribute.WA_ShowWithoutActivating)
        dialog.setMinimumDuration(_SHOW_AFTER_MS)
        dialog.setValue(0)
        dialog.canceled.connect(loading.cancel)
        self._dialog: QProgressDialog | None = dialog
        self._loading: weakref.ref[Loading] = weakref.ref(loading)
        dialog.destroyed.connect(self._forget)  # with the window
        self._clock = QTimer(self)
        self._clock.setInterval(_PROGRESS_MS)
        self._clock.timeout.connect(self._show_progress)
        self._clock.start()
        loading.ended.connect(self._close)

    def _show_progress(self) -> None:
        loading = self._loading()
        if self._dialog is None or loading is None:
            return
        # Not the same value again: a first 0 sets out the time after which the dialog shows.
        loaded = loading.loaded
        if loaded:
            self._dialog.setValue(loaded)

    def _close(self) -> None:
        self._clock.stop()
        dialog, self._dialog = self._dialog, None
        if dialog is not None:
            dialog.hide()
            dialog.deleteLater()

    def _forget(self) -> None:
        """Give up with the window."""
        self._dialog = None
        loading = self._loading()
        if loading is not None:
            loading.cancel()
