"""The Process dock: an operation on what is visible, once at the press of a button, or alive.

The dock wires its parts. What is chosen (`LayerBox`, `OperationBox`, `OperationForm`) goes to
`plan_snapshot`, what that says is shown, and *Apply to view* starts it; *Add live layer* makes a
layer of it that goes on following the view. While a live layer is selected in napari, the form
changes that one (`LiveEditor`). The dock looks at the viewer only while it is shown itself.
"""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_omezarr_cloud.errors import CloudError, OperationError
from napari_omezarr_cloud.napari import compare
from napari_omezarr_cloud.napari.compat import unwrapped
from napari_omezarr_cloud.napari.inputs import foldable_axes
from napari_omezarr_cloud.napari.live import LivePlan, add_live, live_of, plan_live, start_live
from napari_omezarr_cloud.napari.notices import tell_error
from napari_omezarr_cloud.napari.region_text import position_text, region_text
from napari_omezarr_cloud.napari.results import ResultLayers
from napari_omezarr_cloud.napari.snapshot import plan_snapshot, start_snapshot
from napari_omezarr_cloud.napari.view_watch import ViewWatch
from napari_omezarr_cloud.napari.visible import visible_region
from napari_omezarr_cloud.napari.widgets.choices import Choices
from napari_omezarr_cloud.napari.widgets.dock_job import DockJob
from napari_omezarr_cloud.napari.widgets.live_bar import LiveBar
from napari_omezarr_cloud.napari.widgets.live_editor import LiveEditor
from napari_omezarr_cloud.napari.widgets.operation_form import OperationForm
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.napari.widgets.recipe_menu import RecipeMenu
from napari_omezarr_cloud.napari.widgets.recipes import Recipes
from napari_omezarr_cloud.napari.widgets.run_bar import RunBar
from napari_omezarr_cloud.napari.widgets.run_dialog import show_run
from napari_omezarr_cloud.process import Step

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    import napari.viewer
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_omezarr_cloud.napari.snapshot import Plan, Progress, Result
    from napari_omezarr_cloud.process import Operation, Value
    from napari_omezarr_cloud.process.apply import Applied, AppliedStep

__all__ = ["ProcessDock"]

_WHOLE_TIP = "Compute this for the whole image, block by block, and save it as an OME-Zarr"
_LIVE_TIP = "A layer that is computed where you look, and changes as you move a slider"


class ProcessDock(QWidget):
    """Runs an operation on the visible pixels of a layer, once or as a live layer.

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
        viewer = unwrapped(viewer)
        self._viewer = weakref.ref(viewer)
        self._results = ResultLayers()
        self._build(viewer)
        self._running = DockJob(self, self.run_bar)
        self.editor = LiveEditor(self.form, self)
        self.recipes = Recipes(viewer, self.recipe_menu, self.editor, self.choices, self)
        self._watch = ViewWatch(viewer, self)
        self._watch.changed.connect(self.look)
        self._connect()
        self._on_mode()

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
        self.editor.end()
        if layer is not None:
            self.choices.source_box.choose(layer)
        if operation is not None:
            self.choices.operation_box.choose(operation)
        if other is not None:
            self.choices.other_boxes[0].choose(other)
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
        source, op = weakref.ref(self.choices.source_box.layer), plan.task.operation
        started = time.perf_counter()
        future, progress = start_snapshot(plan)

        def on_done(result: Result) -> None:
            self._show_result(result, source(), op, time.perf_counter() - started)

        self._run(future, on_done, progress)

    def add_live(self) -> None:
        """Add a live layer of what is chosen; returns at once, `applied` or `failed` tells."""
        self.cancel()
        self._catch_up()
        try:
            plan = self._live_plan()
        except CloudError as error:
            self._on_error(error)
            return
        self.form.keep()

        def on_done(applied: AppliedStep) -> None:
            viewer = self._viewer()
            if viewer is None:
                return
            layer = add_live(viewer, plan, applied)
            self.run_bar.show_idle(f"Added: {layer.name}")
            self.applied.emit(layer)

        self.run_bar.show_step(0, 0, "Preparing…")
        self._run(start_live(plan), on_done)

    def cancel(self) -> None:
        """Give up what is under way, also what is being computed; nothing comes of it later."""
        if self.is_running:
            self._running.end()
            self.run_bar.show_idle("Cancelled.")

    @property
    def is_running(self) -> bool:
        """Whether a result is under way."""
        return self._running.is_running

    def look(self) -> None:
        """Show what would go in now; does nothing while the dock is hidden."""
        if self.isVisible():
            self._look()

    # ---- building -----------------------------------------------------------------------------

    def _build(self, viewer: Any) -> None:
        self.choices = Choices(viewer)
        self.live_bar = LiveBar()
        self.help = PlainLabel()
        self.form = OperationForm()
        self.region = PlainLabel()
        self.note = PlainLabel()
        self.replace = QCheckBox("Replace the last result")
        self.replace.setToolTip(
            "Change the result of the same operation on the same layer instead of adding one"
        )
        self.live_button = QPushButton("Add live layer")
        self.recipe_menu = RecipeMenu()
        self.whole_button = QPushButton("Run on whole image…")
        self.whole_button.setToolTip(_WHOLE_TIP)
        self.run_bar = RunBar()
        row = QHBoxLayout()
        row.addWidget(self.live_button, 1)
        row.addWidget(self.recipe_menu)
        layout = QVBoxLayout(self)
        for widget in (self.live_bar, self.choices, self.help, self.form, self.region, self.note):
            layout.addWidget(widget)
        layout.addLayout(row)
        layout.addWidget(self.whole_button)
        layout.addWidget(self.run_bar)
        layout.addWidget(self.replace)
        layout.addStretch(1)

    def _connect(self) -> None:
        self.choices.changed.connect(self._on_choice)
        self.choices.input_changed.connect(self._on_input)
        self.form.changed.connect(self.look)
        self.run_bar.apply_requested.connect(self.apply)
        self.run_bar.cancel_requested.connect(self.cancel)
        self.live_button.clicked.connect(self.add_live)
        self.whole_button.clicked.connect(self._run_whole)
        self.editor.begun.connect(self._on_mode)
        self.editor.told.connect(self._on_told)
        self.live_bar.next_requested.connect(self._next)
        self.live_bar.dims_box.chosen.connect(
            lambda: self.editor.set_dims(self.live_bar.dims_box.dims)
        )
        self.live_bar.toggle_requested.connect(self._toggle)
        self.live_bar.wipe_requested.connect(self._wipe)
        self.recipes.begun.connect(self._apply_recipe)
        self.recipes.told.connect(self._on_recipe_told)
        self.recipes.failed.connect(self._on_error)

    # ---- following the viewer, only while shown ------------------------------------------------

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take up again."""
        super().showEvent(event)
        self.choices.watch()
        self._watch.start()
        viewer = self._viewer()
        if viewer is not None:
            viewer.layers.selection.events.active.connect(self._on_active)
            viewer.layers.events.removed.connect(self._on_removed)
        self._on_choice()
        self._on_active()
        self._running.resume()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Leave the viewer alone; what is under way goes on, as the person asked for it."""
        super().hideEvent(event)
        self._watch.stop()
        self._running.pause()
        self.choices.unwatch()
        viewer = self._viewer()
        if viewer is not None:
            viewer.layers.selection.events.active.disconnect(self._on_active)
            viewer.layers.events.removed.disconnect(self._on_removed)

    def _on_active(self, event: Any = None) -> None:
        """Change the live layer that is selected; of other layers nothing is changed."""
        viewer = self._viewer()
        active = None if viewer is None else viewer.layers.selection.active
        if active is not None and live_of(active) is not None:
            self.editor.begin(active)
        elif active is not None:
            self.editor.end()

    def _on_removed(self, event: Any) -> None:
        """Stop changing a live layer that is gone; no other one need become active."""
        if event.value is self.editor.layer:
            self.editor.end()

    def _on_mode(self) -> None:
        """Show the rows of a live layer, or those to make one."""
        live = self.editor.live
        is_editing = live is not None
        self.live_bar.setVisible(is_editing)
        self.choices.setVisible(not is_editing)
        self.replace.setVisible(not is_editing)
        self.run_bar.setVisible(not is_editing or self.is_running)
        self.live_button.setVisible(not is_editing)
        self.whole_button.setVisible(is_editing)
        if live is not None:
            self.live_bar.show_live(live)
            self._watch.watch_layer(self.editor.layer)
            self.help.setText(live.operation.help)
            self._look()
            self.editor.show_values()
        else:
            self._on_choice()

    def _on_choice(self) -> None:
        """Follow another layer or operation."""
        if self.editor.live is not None:
            return
        self.choices.fit()
        self._watch.watch_layer(self.choices.layer)
        if not self.is_running:
            self.run_bar.show_idle()  # what was said was said of another choice
        self.help.setText(self.choices.operation.help)
        self._look()

    def _on_input(self) -> None:
        self.look()

    def _look(self) -> None:
        live = self.editor.live
        self.recipe_menu.allow(has_layer=self.choices.layer is not None, has_live=live is not None)
        if live is not None:
            self._look_at_live()
            return
        viewer, layer = self._viewer(), self.choices.layer
        self._fit_form(viewer, layer, self.choices.operation)
        self.choices.suggest()
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

    def _look_at_live(self) -> None:
        viewer, layer, live = self._viewer(), self.editor.layer, self.editor.live
        if viewer is None or live is None or layer not in viewer.layers:
            self.editor.end()
            return
        self._fit_form(viewer, layer, live.operation)
        self.form.show_measured(live.applied.step.values)
        seen = visible_region(viewer, layer)
        self.region.setText("Not in view." if seen is None else region_text(seen, seen.nbytes))
        self.note.setText(self.editor.remark)
        self.note.setVisible(bool(self.editor.remark))

    def _fit_form(self, viewer: Any, layer: Any | None, op: Operation) -> None:
        """Build the form of another operation; give it ranges that suit the pixels on screen."""
        seen = None if viewer is None or layer is None else visible_region(viewer, layer)
        if seen is not None:
            size, in_um = seen.pixel_size
            self.form.show_operation(op, size, in_um=in_um, axes=foldable_axes(layer))
        elif self.form.operation is not op:
            self.form.show_operation(op, 1.0, in_um=False)

    def _catch_up(self) -> None:
        """Take over layers that came while the dock was hidden, or has not been shown yet."""
        self.choices.refresh()
        self._look()

    def _plan(self) -> Plan:
        """Return what *Apply* would do now; raises what speaks against it."""
        viewer, layer, op = self._viewer(), self.choices.layer, self.choices.operation
        if viewer is None or layer is None or layer not in viewer.layers:
            raise OperationError("There is no image to work on", hint="Open one first.")
        layers = self.choices.layers
        return plan_snapshot(viewer, op, self.form.values, layers, self.choices.dims)

    def _live_plan(self) -> LivePlan:
        """Return what *Add live layer* would do now; raises what speaks against it."""
        op = self.choices.operation
        step = Step(op.name, self.form.values, dims=self.choices.dims or "plane")
        return plan_live(step, self.choices.layers)

    def _allow_live(self) -> None:
        try:
            self._live_plan()
        except CloudError as error:
            self.live_button.setEnabled(False)
            self.live_button.setToolTip(str(error))
        else:
            self.live_button.setEnabled(True)
            self.live_button.setToolTip(_LIVE_TIP)

    def _tell(self, region: str, note: str, *, may_apply: bool) -> None:
        self.region.setText(region)
        self.region.setToolTip("")
        self.note.setText(note)
        self.note.setVisible(bool(note))
        self.run_bar.allow(may_apply)
        self._allow_live()

    # ---- the run --------------------------------------------------------------------------------

    def _run(
        self,
        future: Future[Any],
        on_done: Callable[[Any], None],
        progress: Progress | None = None,
    ) -> None:
        """Show how far something is, and how it ends."""

        def done(result: Any) -> None:
            self._running.end()
            try:
                on_done(result)
            except Exception as error:  # napari refuses what the graphics card cannot draw
                self._on_error(error)

        self.run_bar.setVisible(True)
        self._running.begin(future, done, self._on_error, steps=progress)

    def _show_result(self, result: Result, source: Any, op: Operation, seconds: float) -> None:
        viewer = self._viewer()
        if viewer is None or source is None or source not in viewer.layers:
            self.run_bar.show_idle()  # the viewer was closed, or the layer taken away
            return
        with self.choices.source_box.not_following():
            layer = self._results.show(
                viewer, result.layer, source, op.name, replace=self.replace.isChecked()
            )
        self.form.show_measured(result.snapshot.values)
        self.run_bar.show_idle(f"Done in {seconds:.2g} s: {layer.name}")
        self.applied.emit(layer)

    def _on_error(self, error: BaseException) -> None:
        self._running.end()
        if not isinstance(error, CloudError):
            title = self.choices.operation.title
            error = OperationError(f"{title} failed", why=str(error) or type(error).__name__)
        sentence = str(error)
        self.run_bar.show_error(sentence, self._viewer())
        tell_error(error)
        self.failed.emit(sentence)

    def _on_told(self, sentence: str) -> None:
        """Say what is wrong with the values of a live layer."""
        self.run_bar.setVisible(bool(sentence))
        self.run_bar.show_error(sentence, self._viewer())

    # ---- the live layer and its recipe ----------------------------------------------------------

    def _next(self) -> None:
        """Choose an operation for the live layer's result."""
        layer = self.editor.layer
        self.editor.end()
        if layer is not None:
            self.choices.source_box.follow(layer)

    def _toggle(self) -> None:
        viewer = self._viewer()
        if viewer is not None and self.editor.layer is not None:
            compare.toggle(viewer, self.editor.layer)

    def _wipe(self) -> None:
        viewer = self._viewer()
        if viewer is None or self.editor.layer is None:
            return
        button = self.live_bar.wipe_button
        if compare.is_wiping(viewer):
            compare.stop_wipe(viewer)
        else:
            began = compare.start_wipe(viewer, self.editor.layer, lambda: button.setChecked(False))
            button.setChecked(began)

    def _run_whole(self) -> None:
        viewer = self._viewer()
        if viewer is not None and self.editor.layer is not None:
            show_run(viewer, self.editor.layer)

    def _on_recipe_told(self, sentence: str) -> None:
        self.run_bar.setVisible(True)
        self.run_bar.show_idle(sentence)

    def _apply_recipe(
        self, future: Future[Applied], on_done: Callable[[Applied], list[Any]]
    ) -> None:
        self.cancel()
        self.run_bar.show_step(0, 0, "Preparing the recipe…")

        def done(applied: Applied) -> None:
            layers = on_done(applied)
            self.run_bar.show_idle(f"Added: {layers[-1].name}")
            self.applied.emit(layers[-1])

        self._run(future, done)
