"""The dock *Full resolution in 3D*: what the box in view would cost, before it is loaded."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_omezarr_cloud.errors import CloudError, OperationError
from napari_omezarr_cloud.napari.box_view import (
    BoxLoading,
    chosen_plan,
    show_whole_volume,
    shows_box,
)
from napari_omezarr_cloud.napari.compat import unwrapped
from napari_omezarr_cloud.napari.view_watch import ViewWatch
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.napari.widgets.run_bar import RunBar

if TYPE_CHECKING:
    import napari.viewer
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_omezarr_cloud.napari.box_plan import BoxPlan

__all__ = ["BoxDock"]

_PROGRESS_MS = 80


class BoxDock(QWidget):
    """Shows the box in view as finely as it fits, and all of the volume again.

    Parameters
    ----------
    viewer
        The viewer whose volumes it works on; it is not kept alive.
    """

    ended = Signal()
    """What was asked for is shown, or could not be."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        # napari hands out a proxy that nobody holds: a weak reference to it is dead at once.
        viewer = unwrapped(viewer)
        self._viewer = weakref.ref(viewer)
        self._loading: BoxLoading | None = None
        self._build()
        self._watch = ViewWatch(viewer, self)
        self._watch.changed.connect(self.look)
        self._clock = QTimer(self)
        self._clock.setInterval(_PROGRESS_MS)
        self._clock.timeout.connect(self._show_progress)
        self.run_bar.apply_requested.connect(self.show_box)
        self.run_bar.cancel_requested.connect(self.cancel)
        self.whole_button.clicked.connect(self.show_whole)

    # ---- what a script may do, too ------------------------------------------------------------

    def show_box(self) -> None:
        """Show the box that is in view, or was drawn; returns at once."""
        try:
            viewer = self._live_viewer()
            _, plan = chosen_plan(viewer)
        except CloudError as error:
            self.run_bar.show_error(str(error), self._viewer())
            return
        loading = BoxLoading(viewer, plan)
        self._loading = loading
        loading.ended.connect(lambda: self._on_ended(loading, plan))
        loading.start()
        self._show_progress()
        self._clock.start()
        self.look()

    def cancel(self) -> None:
        """Give up what is being loaded, and show the whole volume again."""
        loading, self._loading = self._loading, None
        if loading is not None:
            loading.cancel()
            self._clock.stop()
            self.run_bar.show_idle("Cancelled: the whole volume is shown.")
            self.look()

    def show_whole(self) -> None:
        """Show all of the volumes again."""
        self.cancel()
        viewer = self._viewer()
        if viewer is not None:
            show_whole_volume(viewer)
            self.run_bar.show_idle("The whole volume is shown.")
            self.look()

    def look(self) -> None:
        """Say what would be shown now; does nothing while the dock is hidden."""
        if not self.isVisible():
            return
        try:
            viewer = self._live_viewer()
            self.whole_button.setEnabled(shows_box(viewer))
            what, plan = chosen_plan(viewer)
        except CloudError as error:
            self.region.setText(str(error))
            self.run_bar.allow(False)
            return
        lines = f"{what}: {plan.costs}".split(" · ")
        self.region.setText("\n\n".join(["\n".join(lines), *plan.notes]))
        self.run_bar.apply_button.setText(plan.action)
        self.run_bar.allow(True)

    # ---- building -----------------------------------------------------------------------------

    def _build(self) -> None:
        help_text = PlainLabel()
        help_text.setText(
            "Zoom to a part of the volume, then show only that part, as finely as fits. The "
            "rectangle of a selected shapes layer bounds it instead."
        )
        self.region = PlainLabel()
        self.run_bar = RunBar(
            action="Show at full resolution",
            tip="Load this box finer, in place of the whole volume (Alt+B on the canvas)",
        )
        self.whole_button = QPushButton("Show whole volume")
        self.whole_button.setToolTip("End the box (Alt+Shift+B on the canvas; 2D ends it too)")
        self.whole_button.setEnabled(False)
        layout = QVBoxLayout(self)
        for widget in (help_text, self.region, self.run_bar, self.whole_button):
            layout.addWidget(widget)
        layout.addStretch(1)

    # ---- following the viewer, only while shown ------------------------------------------------

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take up again."""
        super().showEvent(event)
        viewer = self._viewer()
        if viewer is not None:
            for emitter in _list_emitters(viewer):
                emitter.connect(self._on_layers)
        self._watch.start()
        self.look()
        if self._loading is not None:
            self._clock.start()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Leave the viewer alone; what is being loaded goes on, as the person asked for it."""
        super().hideEvent(event)
        viewer = self._viewer()
        if viewer is not None:
            for emitter in _list_emitters(viewer):
                emitter.disconnect(self._on_layers)
        self._watch.stop()
        self._clock.stop()

    def _on_layers(self, event: Any = None) -> None:
        self.look()

    # ---- the run --------------------------------------------------------------------------------

    def _live_viewer(self) -> Any:
        viewer = self._viewer()
        if viewer is None:
            raise OperationError("The viewer was closed")
        return viewer

    def _show_progress(self) -> None:
        loading = self._loading
        if loading is not None:
            words = f"{loading.loaded} of {loading.chunks} chunks"
            self.run_bar.show_step(loading.loaded, loading.chunks, words)

    def _on_ended(self, loading: BoxLoading, plan: BoxPlan) -> None:
        if loading is not self._loading:
            return
        self._loading = None
        self._clock.stop()
        failures = loading.failures
        if failures:
            words = f"{len(failures)} chunks could not be read, so it stays coarser. {failures[0]}"
            self.run_bar.show_error(words, self._viewer())
        else:
            self.run_bar.show_idle(f"Level {plan.level} of the box is shown.")
        self.look()
        self.ended.emit()


def _list_emitters(viewer: Any) -> list[Any]:
    events = viewer.layers.events
    return [events.inserted, events.removed, viewer.layers.selection.events.changed]
