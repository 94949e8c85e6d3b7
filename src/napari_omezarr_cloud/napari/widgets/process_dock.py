"""The Process dock: an operation on what is visible, at the press of a button.

The dock wires its parts: what is chosen (`LayerBox`, `OperationBox`, `OperationForm`) goes to
`plan_snapshot`, what that says is shown, and *Apply to view* starts it. It looks at the viewer
only while it is shown itself.
"""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_omezarr_cloud.errors import CloudError, OperationError
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.inputs import foldable_axes, suggested_input
from napari_omezarr_cloud.napari.notices import tell_error
from napari_omezarr_cloud.napari.region_text import position_text, region_text
from napari_omezarr_cloud.napari.results import ResultLayers
from napari_omezarr_cloud.napari.snapshot import plan_snapshot, start_snapshot
from napari_omezarr_cloud.napari.view_watch import ViewWatch
from napari_omezarr_cloud.napari.visible import visible_region
from napari_omezarr_cloud.napari.widgets.layer_box import LayerBox
from napari_omezarr_cloud.napari.widgets.operation_box import OperationBox
from napari_omezarr_cloud.napari.widgets.operation_form import OperationForm
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.napari.widgets.run_bar import RunBar

if TYPE_CHECKING:
    import napari.viewer
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_omezarr_cloud.napari.snapshot import Plan, Progress, Result
    from napari_omezarr_cloud.process import Operation, Value

__all__ = ["ProcessDock"]

_PROGRESS_MS = 80


class _Running:
    """What is under way; ends with the dock, whoever deletes it."""

    def __init__(self) -> None:
        self.job: Job[Result] | None = None

    def cancel(self, *_: object) -> None:
        """Give up what is under way."""
        if self.job is not None:
            self.job.cancel()
            self.job = None


class ProcessDock(QWidget):
    """Runs an operation on the visible pixels of a layer and adds the result as a layer.

    Parameters
    ----------
    viewer
        The viewer whose layers it works on; it is not kept alive.
    """

    applied = Signal(object)
    """A result is in the viewer: its layer."""
    failed = Signal(str)
    """It could not be done: the sentence that is shown."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        # napari hands out a proxy that nobody holds: a weak reference to it is dead at once.
        viewer = getattr(viewer, "__wrapped__", viewer)
        self._viewer = weakref.ref(viewer)
        self._results = ResultLayers()
        self._progress: Progress | None = None
        self._running = _Running()
        self.destroyed.connect(self._running.cancel)
        self._build(viewer)
        self._watch = ViewWatch(viewer, self)
        self._watch.changed.connect(self.look)
        self._clock = QTimer(self)
        self._clock.setInterval(_PROGRESS_MS)
        self._clock.timeout.connect(self._show_progress)
        self.source_box.layer_changed.connect(self._on_choice)
        self.other_box.layer_changed.connect(self.look)
        self.operation_box.currentIndexChanged.connect(self._on_choice)
        self.form.changed.connect(self.look)
        self.run_bar.apply_requested.connect(self.apply)
        self.run_bar.cancel_requested.connect(self.cancel)
        self._on_choice()

    # ---- what a script may do, too ------------------------------------------------------------

    def choose(
        self, operation: str | None = None, *, layer: Any = None, other: Any = None, **values: Value
    ) -> None:
        """Choose operation, layers and parameter values, as the person does in the form.

        Raises
        ------
        OperationError
            If there is no operation of this name.
        """
        self._catch_up()
        if layer is not None:
            self.source_box.choose(layer)
        if operation is not None:
            self.operation_box.choose(operation)
        if other is not None:
            self.other_box.choose(other)
        self._look()
        self.form.set_values(values)

    def apply(self) -> None:
        """Run on what is visible now; returns at once. `applied` or `failed` tells the end."""
        self.cancel()
        self._catch_up()
        try:
            plan = self._plan()
        except CloudError as error:
            self._on_error(error)
            return
        self.form.keep()
        source, op = weakref.ref(self.source_box.layer), plan.task.operation
        started = time.perf_counter()
        future, self._progress = start_snapshot(plan)

        def on_done(result: Result) -> None:
            self._end()
            self._show_result(result, source(), op, time.perf_counter() - started)

        # Without a parent: who deletes a dock with PySide would leave it to be deleted twice.
        self._running.job = Job(future, on_done, self._on_error)
        self._show_progress()
        self._clock.start()

    def cancel(self) -> None:
        """Give up what is under way, also what is being computed; nothing comes of it later."""
        if self.is_running:
            self._running.cancel()
            self._end()
            self.run_bar.show_idle("Cancelled.")

    @property
    def is_running(self) -> bool:
        """Whether a result is under way."""
        return self._running.job is not None

    def look(self) -> None:
        """Show what would go in now; does nothing while the dock is hidden."""
        if self.isVisible():
            self._look()

    # ---- building -----------------------------------------------------------------------------

    def _build(self, viewer: Any) -> None:
        self.source_box = LayerBox(viewer, follows=True)
        self.other_box = LayerBox(viewer, follows=False)
        self.operation_box = OperationBox()
        self.help = PlainLabel()
        self.form = OperationForm()
        self.region = PlainLabel()
        self.note = PlainLabel()
        self.replace = QCheckBox("Replace the last result")
        self.replace.setToolTip(
            "Change the result of the same operation on the same layer instead of adding one"
        )
        self.run_bar = RunBar()
        self._choices = QFormLayout()
        self._choices.setContentsMargins(0, 0, 0, 0)
        self._choices.addRow("Layer", self.source_box)
        self._choices.addRow("Operation", self.operation_box)
        self._other_label = QLabel()
        self._choices.addRow(self._other_label, self.other_box)
        layout = QVBoxLayout(self)
        layout.addLayout(self._choices)
        for widget in (self.help, self.form, self.region, self.note, self.replace, self.run_bar):
            layout.addWidget(widget)
        layout.addStretch(1)

    # ---- following the viewer, only while shown ------------------------------------------------

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take up again."""
        super().showEvent(event)
        self.source_box.watch()
        self.other_box.watch()
        self._watch.start()
        self._on_choice()
        if self.is_running:
            self._clock.start()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Leave the viewer alone; what is under way goes on, as the person asked for it."""
        super().hideEvent(event)
        self._watch.stop()
        self._clock.stop()
        self.source_box.unwatch()
        self.other_box.unwatch()

    def _on_choice(self) -> None:
        """Follow another layer or operation."""
        op = self.operation_box.operation
        self._watch.watch_layer(self.source_box.layer)
        if not self.is_running:
            self.run_bar.show_idle()  # what was said was said of another choice
        self.help.setText(op.help)
        needs_two = len(op.inputs) > 1
        self._other_label.setText(op.inputs[-1].name.capitalize())
        self._other_label.setVisible(needs_two)
        self.other_box.setVisible(needs_two)
        self._look()

    def _look(self) -> None:
        viewer, layer = self._viewer(), self.source_box.layer
        self._fit_form(viewer, layer)
        if viewer is not None and layer is not None:
            # Each time: the layer that was suggested may be gone, or a better one have come.
            op = self.operation_box.operation
            if len(op.inputs) > 1:
                other = suggested_input(op, op.inputs[1], viewer.layers, layer)
                self.other_box.suggest(other)
        try:
            plan = self._plan()
        except CloudError as error:
            self._tell(str(error), "", may_apply=False)
            return
        note = ""
        if plan.is_too_coarse:
            note = "Too coarse to preview: at this level it is less than half a pixel. Zoom in."
        self._tell(region_text(plan.seen, plan.nbytes), note, may_apply=True)
        self.region.setToolTip(position_text(plan.seen))

    def _fit_form(self, viewer: Any, layer: Any | None) -> None:
        """Build the form of another operation; give it ranges that suit the pixels on screen."""
        op = self.operation_box.operation
        seen = None if viewer is None or layer is None else visible_region(viewer, layer)
        if seen is not None:
            size, in_um = seen.pixel_size
            self.form.show_operation(op, size, in_um=in_um, axes=foldable_axes(layer))
        elif self.form.operation is not op:
            self.form.show_operation(op, 1.0, in_um=False)

    def _catch_up(self) -> None:
        """Take over layers that came while the dock was hidden, or has not been shown yet."""
        self.source_box.refresh()
        self.other_box.refresh()
        self._look()

    def _plan(self) -> Plan:
        """Return what *Apply* would do now; raises what speaks against it."""
        viewer, layer, op = self._viewer(), self.source_box.layer, self.operation_box.operation
        if viewer is None or layer is None or layer not in viewer.layers:
            raise OperationError("There is no image to work on", hint="Open one first.")
        layers = [layer]
        if len(op.inputs) > 1 and self.other_box.layer is not None:
            layers.append(self.other_box.layer)
        return plan_snapshot(viewer, op, self.form.values, layers)

    def _tell(self, region: str, note: str, *, may_apply: bool) -> None:
        self.region.setText(region)
        self.region.setToolTip("")
        self.note.setText(note)
        self.note.setVisible(bool(note))
        self.run_bar.allow(may_apply)

    # ---- the run --------------------------------------------------------------------------------

    def _show_progress(self) -> None:
        if self._progress is not None:
            self.run_bar.show_running(self._progress)

    def _end(self) -> None:
        self._clock.stop()
        self._running.job, self._progress = None, None

    def _show_result(self, result: Result, source: Any, op: Operation, seconds: float) -> None:
        viewer = self._viewer()
        if viewer is None or source is None or source not in viewer.layers:
            self.run_bar.show_idle()  # the viewer was closed, or the layer taken away
            return
        try:
            with self.source_box.not_following():
                layer = self._results.show(
                    viewer, result.layer, source, op.name, replace=self.replace.isChecked()
                )
        except Exception as error:  # napari refuses what the graphics card cannot draw
            self._on_error(error)
            return
        self.form.show_measured(result.snapshot.values)
        self.run_bar.show_idle(f"Done in {seconds:.2g} s: {layer.name}")
        self.applied.emit(layer)

    def _on_error(self, error: BaseException) -> None:
        self._end()
        if not isinstance(error, CloudError):
            title = self.operation_box.operation.title
            error = OperationError(f"{title} failed", why=str(error) or type(error).__name__)
        sentence = str(error)
        self.run_bar.show_idle(sentence, color=self._error_color())
        tell_error(error)
        self.failed.emit(sentence)

    def _error_color(self) -> str:
        """Return a colour that can be read on the theme's background; napari's own is for fills."""
        viewer = self._viewer()
        is_light = viewer is not None and viewer.theme == "light"
        return "#b00020" if is_light else "#ff8a80"
