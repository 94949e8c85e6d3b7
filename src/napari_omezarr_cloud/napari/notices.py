"""Sentences for the person at the window: one notification, no traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.notifications import (
    Notification,
    NotificationSeverity,
    notification_manager,
    show_error,
    show_info,
    show_warning,
)
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QMainWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_omezarr_cloud.errors import CloudError

__all__ = ["offer", "plain", "tell_error", "tell_info", "tell_notes", "tell_warning"]

_PATIENCE_MS, _PAUSE_MS = 5000, 100
_MOST_NOTES = 3


def plain(text: str) -> str:
    """Return a text in which Qt's labels find no markup, whoever wrote it.

    napari's notifications decide by the text itself whether it is HTML. An invisible space keeps
    ``<b>`` from being a tag and ``&lt;`` from being an entity.
    """
    return text.replace("<", "<\u200b").replace("&", "&\u200b")


def tell_error(error: CloudError) -> None:
    """Notify about something that failed; on the GUI thread."""
    _when_seen(plain(_why_first(error)), _PATIENCE_MS)


def _why_first(error: CloudError) -> str:
    """Return an error's sentence with the cause in front: napari cuts off all but a few words."""
    if not error.why:
        return str(error)
    what = error.what[:1].lower() + error.what[1:]
    place = f" at {error.where}" if error.where else ""
    key = f" (key {error.key})" if error.key else ""
    hint = f" {error.hint}" if error.hint else ""
    return f"{error.why[:1].upper()}{error.why[1:]}: {what}{place}{key}.{hint}"


def tell_warning(sentence: str) -> None:
    """Notify about something that went on with a loss; any thread."""
    show_warning(plain(sentence))


def tell_info(sentence: str) -> None:
    """Notify about something that has ended well; any thread."""
    show_info(plain(sentence))


def tell_notes(name: str, notes: Sequence[str]) -> None:
    """Say once what was odd about an image that opened; on the GUI thread."""
    if not notes:
        return
    more = len(notes) - _MOST_NOTES
    said = " ".join(notes[:_MOST_NOTES]) + (
        f" (And {more} more note{'s' if more > 1 else ''}.)" if more > 0 else ""
    )
    show_info(plain(f"{name}: {said}"))


class _Offer(Notification):
    """Leaves out what napari writes beside a button: the name of its own manager as a source."""

    @property
    def source(self) -> str:
        return ""


def offer(sentence: str, button: str, do: Callable[[], None]) -> None:
    """Notify with a button that does something; on the GUI thread."""
    said = _Offer(plain(sentence), NotificationSeverity.INFO, actions=[(button, do)])
    notification_manager.dispatch(said)


def _when_seen(text: str, patience_ms: int) -> None:
    """Wait for a window: links on the command line are read before there is one to notify."""
    app = QApplication.instance()
    windows = app.topLevelWidgets() if isinstance(app, QApplication) else []
    is_seen = any(isinstance(each, QMainWindow) and each.isVisible() for each in windows)
    if is_seen or app is None or patience_ms <= 0:
        show_error(text)
    else:
        QTimer.singleShot(_PAUSE_MS, lambda: _when_seen(text, patience_ms - _PAUSE_MS))
