"""The Network dock: what is being loaded, how fast, and why parts of the picture are missing.

It counts nothing itself: stores and layers count in plain numbers all the time, and while it is
seen it reads them twice a second. Hidden, it does nothing.
"""

from __future__ import annotations

import time
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QFormLayout,
    QGridLayout,
    QHeaderView,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QSpinBox,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.chunks.engine import Hits
from napari_omezarr_cloud.chunks.missing import Missing, count_absent, why_missing
from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.napari.adoption import retry
from napari_omezarr_cloud.napari.compat import unwrapped
from napari_omezarr_cloud.napari.display import Display, display_of
from napari_omezarr_cloud.napari.network_text import (
    best_place,
    count_rows,
    headline,
    mebibytes,
    missing_text,
)
from napari_omezarr_cloud.napari.notices import plain, tell_error, tell_warning
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.napari.widgets.speed_plot import SpeedPlot
from napari_omezarr_cloud.settings import DESCRIPTIONS, choose, in_force, settings
from napari_omezarr_cloud.store.places import Counts, Rate, all_counts, counts_by_place

if TYPE_CHECKING:
    import napari.viewer
    from qtpy.QtGui import QHideEvent, QShowEvent

__all__ = ["NetworkDock"]

_BEAT_MS = 500
_PLOTTED = 120
_REQUESTS = next(each for each in DESCRIPTIONS if each.name == "requests")
_ALL = "All together"


class NetworkDock(QWidget):
    """Shows what is being loaded for a viewer, and can pause it, stop it and try again.

    Parameters
    ----------
    viewer
        The viewer whose layers are explained; it is not kept alive. Requests are those of the
        whole program.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # napari hands out a proxy that nobody holds: a weak reference to it is dead at once.
        self._viewer = weakref.ref(unwrapped(viewer))
        self._rates: dict[str, Rate] = {}
        self._build()
        self._clock = QTimer(self)
        self._clock.setInterval(_BEAT_MS)
        self._clock.timeout.connect(self.look)

    def _build(self) -> None:
        self.headline = PlainLabel()
        self.plot = SpeedPlot(_PLOTTED, "last minute")
        self.pause_button = QPushButton("Pause")
        self.pause_button.setToolTip(
            "Send no new requests for pixels until you resume. What was asked for still comes."
        )
        self.pause_button.clicked.connect(self.pause_or_resume)
        self.stop_button = QPushButton("Stop loading")
        self.stop_button.setToolTip(
            "Give up everything that is being loaded now. Moving the view or Retry loads again."
        )
        self.stop_button.clicked.connect(self.stop)
        self.offline_button = QPushButton("Keep this region offline…")
        self.offline_button.setToolTip("Download what is in view, and hold it on this disk")
        self.offline_button.clicked.connect(self._show_offline)
        self.settings_button = QPushButton("Settings…")
        self.settings_button.setToolTip("Memory, disk, loading ahead, 3D")
        self.settings_button.clicked.connect(self._show_settings)
        self.limit = QSpinBox()
        self.limit.setRange(_REQUESTS.low, _REQUESTS.high)
        self.limit.setKeyboardTracking(False)  # "12" is not first 1 and then 12
        self.limit.valueChanged.connect(self._set_limit)
        self.memory = PlainLabel()
        self.tree = _Tree()
        self.missing = QPlainTextEdit()  # plain: keys and causes come from servers
        self.missing.setReadOnly(True)
        self.missing.setLineWrapMode(QPlainTextEdit.LineWrapMode.WidgetWidth)
        self.missing.setMinimumHeight(64)
        self.retry_button = QPushButton("Retry")
        self.retry_button.setToolTip("Ask again for what could not be read or was stopped.")
        self.retry_button.clicked.connect(self.retry)
        buttons = QGridLayout()
        buttons.addWidget(self.pause_button, 0, 0)
        buttons.addWidget(self.stop_button, 0, 1)
        buttons.addWidget(self.settings_button, 0, 2)
        buttons.addWidget(self.offline_button, 1, 0, 1, 3)
        form = QFormLayout()
        form.addRow(_REQUESTS.title, self.limit)
        form.addRow("Pixels in memory", self.memory)
        layout = QVBoxLayout(self)
        layout.addWidget(self.headline)
        layout.addWidget(self.plot)
        layout.addLayout(buttons)
        layout.addLayout(form)
        layout.addWidget(self.tree, 3)
        layout.addWidget(QLabel("What is missing in view, and why"))
        layout.addWidget(self.missing, 2)
        layout.addWidget(self.retry_button)

    # ---- what a script may do, too ------------------------------------------------------------

    def pause_or_resume(self) -> None:
        """Let new requests wait, or go on, in the whole program."""
        here = engine()
        if here.is_paused:
            here.resume()
        else:
            here.pause()
        self._look_soon()

    def stop(self) -> None:
        """Give up all that is being loaded."""
        engine().stop_loading()
        self._look_soon()

    def retry(self) -> None:
        """Ask again for what failed or was stopped."""
        viewer = self._viewer()
        if viewer is not None:
            retry(viewer.layers)
            self._look_soon()

    def look(self) -> None:
        """Read all counters and show them."""
        total, places = all_counts(), counts_by_place()
        is_paused = engine().is_paused
        shown = self._displays()
        self.headline.setText(headline(total, is_paused=is_paused))
        self.pause_button.setText("Resume" if is_paused else "Pause")
        self.stop_button.setEnabled(engine().jobs_under_way > 0)
        rate = self._rate(_ALL, total)
        self.plot.add(rate)
        self._show_counts(total, rate, places, shown)
        self._show_missing(shown, is_paused)
        self._show_limits()

    # ---- when it is seen ----------------------------------------------------------------------

    def showEvent(self, event: QShowEvent | None) -> None:
        """Begin to look."""
        super().showEvent(event)
        self._rates.clear()
        self.plot.clear()
        self.look()
        self._clock.start()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Look no more; a pause that is no longer seen is mentioned, or ends with the window."""
        super().hideEvent(event)
        self._clock.stop()
        is_minimised = event is not None and event.spontaneous()
        if is_minimised or not engine().is_paused:
            return
        window = self.window()
        if window is not None and window.isVisible():
            tell_warning("Loading is still paused. The Network dock resumes it.")
        else:
            engine().resume()

    def _look_soon(self) -> None:
        """Look when the engine's loop has done what was asked for."""
        QTimer.singleShot(60, self._look_if_seen)

    def _look_if_seen(self) -> None:
        if self.isVisible():
            self.look()

    # ---- how it is shown ----------------------------------------------------------------------

    def _displays(self) -> list[Display]:
        viewer = self._viewer()
        if viewer is None:
            return []
        found = (display_of(layer) for layer in viewer.layers if layer.visible)
        return [each for each in found if each is not None]

    def _rate(self, name: str, counts: Counts) -> float:
        rate = self._rates.setdefault(name, Rate())
        return rate.feed(time.monotonic(), counts.nbytes)

    def _show_counts(
        self, total: Counts, rate: float, places: dict[str, Counts], shown: list[Display]
    ) -> None:
        hits: dict[str, Hits] = {}
        for each in self._all_displays():
            place = best_place(each.view.pyramid.source, places)
            if place is not None:
                hits.setdefault(place, Hits()).add(each.hits.wanted, each.hits.found)
        everything, ahead = engine().hits, engine().cache.ahead
        rows = count_rows(total, rate, everything.wanted, everything.found, ahead)
        self.tree.show_rows(_ALL, "", rows)
        seen = {_ALL}
        for where, counts in places.items():
            if where in hits or counts.in_flight or counts.queued:
                seen.add(where)
                found = hits.get(where, Hits())
                rows = count_rows(counts, self._rate(where, counts), found.wanted, found.found)
                self.tree.show_rows(where, where, rows)
        self.tree.keep(seen)
        self._rates = {name: rate for name, rate in self._rates.items() if name in seen}

    def _all_displays(self) -> list[Display]:
        """Return those behind all layers, hidden ones too."""
        viewer = self._viewer()
        layers = [] if viewer is None else viewer.layers
        return [each for layer in layers if (each := display_of(layer)) is not None]

    def _show_missing(self, shown: list[Display], is_paused: bool) -> None:
        here = engine()
        missing, absent = Missing(), 0
        for each in shown:
            missing += why_missing(here, each.awaited)
            if each.look is not None:
                level = each.view.level(each.look.number)
                absent += count_absent(here, level, each.view.expand(each.look.region))
        text = missing_text(missing, absent, is_paused=is_paused)
        if text != self.missing.toPlainText():  # what is marked to be copied stays marked
            self.missing.setPlainText(text)
        self.retry_button.setEnabled(bool(missing.failed or missing.stopped))

    def _show_limits(self) -> None:
        by_variable = "requests" in in_force().from_environment
        self.limit.setEnabled(not by_variable)
        self.limit.setToolTip(
            f"{_REQUESTS.variable} in the environment decides." if by_variable else _REQUESTS.help
        )
        if not self.limit.hasFocus():
            self.limit.blockSignals(True)
            self.limit.setValue(settings().requests)
            self.limit.blockSignals(False)
        cache = engine().cache
        self.memory.setText(f"{mebibytes(cache.nbytes)} of {mebibytes(cache.max_bytes)}")

    def _set_limit(self, requests: int) -> None:
        try:
            choose(replace(in_force().chosen, requests=requests))
        except CloudError as error:
            tell_error(error)

    def _show_settings(self) -> None:
        from napari_omezarr_cloud.napari.widgets.settings_dialog import show_settings

        viewer = self._viewer()
        if viewer is not None:
            show_settings(viewer)

    def _show_offline(self) -> None:
        from napari_omezarr_cloud.napari.widgets.offline_dialog import show_offline

        viewer = self._viewer()
        if viewer is not None:
            show_offline(viewer)


class _Tree(QTreeWidget):
    """Names and values, by place; what the person opened stays open while they change."""

    def __init__(self) -> None:
        super().__init__()
        self.setColumnCount(2)
        self.setHeaderHidden(True)
        self.setUniformRowHeights(True)
        self.setIndentation(12)
        self.setSelectionMode(QTreeWidget.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setMinimumHeight(150)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        header = self.header()
        if header is not None:
            header.setStretchLastSection(False)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
            header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self._places: dict[str, QTreeWidgetItem] = {}

    def show_rows(self, name: str, where: str, rows: list[tuple[str, str]]) -> None:
        """Show what was counted in a place; ``where`` is its full name, empty for all together."""
        item = self._places.get(name)
        if item is None:
            item = QTreeWidgetItem([where.rstrip("/").rpartition("/")[2] or name, ""])
            item.setToolTip(0, plain(where))
            self.addTopLevelItem(item)
            self._places[name] = item
        values = dict(rows)
        item.setText(1, values["Speed"])
        if item.childCount() != len(rows):  # what is paid for is listed once something is
            is_open = item.isExpanded() if item.childCount() else not where
            item.takeChildren()
            item.addChildren([QTreeWidgetItem(list(row)) for row in rows])
            item.setExpanded(is_open)
        for number, (_, value) in enumerate(rows):
            child = item.child(number)
            if child is not None and child.text(1) != value:
                child.setText(1, value)

    def keep(self, names: set[str]) -> None:
        """Take away the places that are not among these."""
        for name in self._places.keys() - names:
            item = self._places.pop(name)
            self.takeTopLevelItem(self.indexOfTopLevelItem(item))

    def values(self, name: str) -> dict[str, str]:
        """Return what is shown of a place."""
        item = self._places[name]
        children = (item.child(number) for number in range(item.childCount()))
        return {child.text(0): child.text(1) for child in children if child is not None}

    @property
    def places(self) -> list[str]:
        """What is listed."""
        return list(self._places)
