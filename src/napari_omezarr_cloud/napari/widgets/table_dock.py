"""The table dock: measurements of the visible objects, and the way from a row to its object.

The dock wires its parts: what is chosen (`MeasuringChoices`) goes to `plan_measuring`, what that
says is shown, and *Measure what is visible* starts it. A row leads to its object (`go_to`), a click
on an object to its row (`ObjectPicker`). It looks at the viewer only while it is shown itself, and
measures only when asked.
"""

from __future__ import annotations

import re
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_omezarr_cloud.errors import CloudError, OperationError
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.compat import unwrapped
from napari_omezarr_cloud.napari.go_to import go_to
from napari_omezarr_cloud.napari.notices import tell_error
from napari_omezarr_cloud.napari.picking import ObjectPicker
from napari_omezarr_cloud.napari.region_features import set_features
from napari_omezarr_cloud.napari.region_table import plan_measuring
from napari_omezarr_cloud.napari.threads import in_thread
from napari_omezarr_cloud.napari.view_watch import ViewWatch
from napari_omezarr_cloud.napari.whole_table import plan_whole_table
from napari_omezarr_cloud.napari.widgets.dock_job import DockJob
from napari_omezarr_cloud.napari.widgets.file_question import ask_file_to_write
from napari_omezarr_cloud.napari.widgets.measuring_choices import MeasuringChoices
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.napari.widgets.region_view import RegionView
from napari_omezarr_cloud.napari.widgets.run_bar import RunBar

if TYPE_CHECKING:
    from collections.abc import Iterable

    import napari.viewer
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_omezarr_cloud.napari.region_table import Measured, MeasuringPlan
    from napari_omezarr_cloud.napari.whole_table import WholeMeasured, WholePlan
    from napari_omezarr_cloud.process.table import Table

__all__ = ["TableDock"]


class TableDock(QWidget):
    """Measures the visible objects of a labels layer, or all of them, and shows them as a table.

    Parameters
    ----------
    viewer
        The viewer whose layers it works on; it is not kept alive.
    """

    measured = Signal(object)
    """A table is shown: the `Table`."""
    failed = Signal(str)
    """It could not be done: the sentence that is shown."""
    exported = Signal(str)
    """A file is written: its path."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        # napari hands out a proxy that nobody holds: a weak reference to it is dead at once.
        viewer = unwrapped(viewer)
        self._viewer = weakref.ref(viewer)
        self._measured: Measured | WholeMeasured | None = None
        self._measured_layer: weakref.ref[Any] | None = None
        self._export: Job[None] | None = None
        dock = weakref.ref(self)
        self._picker = ObjectPicker(viewer, lambda label: _tell_picked(dock, label))
        self.destroyed.connect(self._picker.stop)
        self._build(viewer)
        self._running = DockJob(self, self.run_bar)
        self._watch = ViewWatch(viewer, self)
        self._watch.changed.connect(self.look)
        self.choices.labels_changed.connect(self._on_choice)
        self.choices.changed.connect(self.look)
        self.run_bar.apply_requested.connect(self.measure)
        self.run_bar.cancel_requested.connect(self.cancel)
        self.view.row_chosen.connect(self.go_to_row)
        self.copy_button.clicked.connect(self.view.copy)
        self.export_button.clicked.connect(self._ask_and_export)
        self._show_table_state()
        self._on_choice()

    # ---- what a script may do, too ------------------------------------------------------------

    def choose(
        self,
        labels: Any = None,
        *,
        images: Iterable[Any] | None = None,
        properties: Iterable[str] | None = None,
        level: int | None = None,
        whole: bool = False,
    ) -> None:
        """Choose what is measured, as the person does in the form.

        Parameters
        ----------
        labels, images
            Layers of the viewer; None leaves what is chosen.
        properties
            Of ``size``, ``position``, ``intensity`` and ``shape``.
        level
            Of the labels; None is the one on screen, of the whole image the finest.
        whole
            Whether all objects are measured, and not only those that are visible.
        """
        self._catch_up()
        self.choices.choose(labels, images, properties, whole=whole)
        self._look()
        self.choices.level_box.choose(level)
        self._look()

    def measure(self) -> None:
        """Measure what is visible now; returns at once. `measured` or `failed` tells the end."""
        self.cancel()
        self._catch_up()
        try:
            plan = self._plan()
        except CloudError as error:
            self._on_error(error)
            return
        layer = weakref.ref(self.choices.labels)
        started = time.perf_counter()
        future, progress = plan.begin()

        def on_done(result: Measured | WholeMeasured) -> None:
            self._running.end()
            self._show_result(result, layer(), time.perf_counter() - started)

        self._running.begin(
            future, on_done, self._on_error, steps=progress, give_up=progress.cancel
        )

    def cancel(self) -> None:
        """Give up what is under way; the table that is shown stays."""
        if self.is_running:
            self._running.end()
            self.run_bar.show_idle("Cancelled.")

    @property
    def is_running(self) -> bool:
        """Whether a table is under way."""
        return self._running.is_running

    @property
    def table(self) -> Table:
        """The table that is shown."""
        return self.view.table

    def go_to_row(self, row: int) -> None:
        """Bring the object of a row of the table into view and select its label."""
        viewer, layer = self._viewer(), self._labels_measured()
        if viewer is None or layer is None or self._measured is None:
            return
        go_to(viewer, layer, self._measured.corners(row))
        layer.selected_label = int(self.table["label"][row])

    def export(self, path: str, *, overwrite: bool = False) -> None:
        """Write the table as ``.csv`` or ``.parquet``. `exported` or `failed` tells the end."""
        write = partial(self.table.save, path, overwrite=overwrite)

        def on_done(_: None) -> None:
            self.run_bar.show_idle(f"Written: {path}")
            self.exported.emit(path)

        self._export = Job(in_thread(write), on_done, self._on_error)

    def look(self) -> None:
        """Show what would be measured now; does nothing while the dock is hidden."""
        if self.isVisible():
            self._look()

    # ---- building -----------------------------------------------------------------------------

    def _build(self, viewer: Any) -> None:
        self.choices = MeasuringChoices(viewer)
        self.region = PlainLabel()
        self.note = PlainLabel()
        self.run_bar = RunBar(
            action="Measure what is visible",
            tip="Measure each object of the labels that is on screen; one row per object",
        )
        self.stale = PlainLabel()
        self.notes = PlainLabel()
        self.view = RegionView()
        self.export_button = QPushButton("Export…")
        self.export_button.setToolTip("Write the whole table to a file, CSV or Parquet, with units")
        self.copy_button = QPushButton("Copy rows")
        self.copy_button.setToolTip("Copy the selected rows, or all, for a spreadsheet (Ctrl+C)")
        buttons = QHBoxLayout()
        buttons.addWidget(self.export_button)
        buttons.addWidget(self.copy_button)
        layout = QVBoxLayout(self)
        for widget in (self.choices, self.region, self.note, self.run_bar, self.stale, self.notes):
            layout.addWidget(widget)
        layout.addWidget(self.view, 1)
        layout.addLayout(buttons)

    # ---- following the viewer, only while shown ------------------------------------------------

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take up again."""
        super().showEvent(event)
        self.choices.watch()
        self._watch.start()
        self._picker.start()
        self._on_choice()
        self._running.resume()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Leave the viewer alone; what is under way goes on, as the person asked for it."""
        super().hideEvent(event)
        self._watch.stop()
        self._picker.stop()
        self._running.pause()
        self.choices.unwatch()

    def _on_choice(self) -> None:
        """Follow another labels layer."""
        is_whole = self.choices.is_whole
        action = "Measure the whole image" if is_whole else "Measure what is visible"
        self.run_bar.apply_button.setText(action)
        self._watch.watch_layer(self.choices.labels)
        if not self.is_running:
            self.run_bar.show_idle()  # what was said was said of another choice
        self._look()

    def _look(self) -> None:
        self.choices.fit()
        try:
            plan = self._plan()
        except CloudError as error:
            self._tell(str(error), "", may_measure=False)
        else:
            notes = []
            if plan.number:
                notes.append("Not the finest level: small objects are coarse, or missing.")
            if "intensity" in self.choices.properties and not self.choices.images:
                notes.append("No image is ticked, so no intensity is measured.")
            self._tell(plan.text, "\n".join(notes), may_measure=True)
            self.region.setToolTip(plan.tip)
        self._show_stale()

    def _show_stale(self) -> None:
        """Say so where the table is of another place than the one that is shown."""
        text = ""
        if self._measured is not None:
            layer, viewer = self._labels_measured(), self._viewer()
            if layer is None or viewer is None:
                text = "The labels of this table were removed."
            else:
                text = self._measured.stale_text(viewer, layer, self.choices.level)
        self.stale.setText(text)
        self.stale.setVisible(bool(text))

    def _catch_up(self) -> None:
        """Take over layers that came while the dock was hidden, or has not been shown yet."""
        self.choices.refresh()
        self._look()

    def _plan(self) -> MeasuringPlan | WholePlan:
        """Return what would be measured now; raises what speaks against it."""
        choices = self.choices
        viewer, layer = self._viewer(), choices.labels
        if viewer is None or layer is None or layer not in viewer.layers:
            raise OperationError(
                "There are no labels to measure",
                hint="Open an image with labels, or make some: “Process what is visible”, "
                "“Label connected regions”.",
            )
        images, wanted, level = choices.images, choices.properties, choices.level
        if choices.is_whole:
            by_plane = choices.by_plane.isChecked()
            return plan_whole_table(layer, images, wanted, level or 0, by_plane=by_plane)
        return plan_measuring(viewer, layer, images, wanted, level)

    def _tell(self, region: str, note: str, *, may_measure: bool) -> None:
        self.region.setText(region)
        self.region.setToolTip("")
        self.note.setText(note)
        self.note.setVisible(bool(note))
        self.run_bar.allow(may_measure)

    def _labels_measured(self) -> Any | None:
        viewer = self._viewer()
        layer = self._measured_layer() if self._measured_layer else None
        return layer if viewer is not None and layer in viewer.layers else None

    # ---- the run --------------------------------------------------------------------------------

    def _show_result(self, result: Measured | WholeMeasured, layer: Any, seconds: float) -> None:
        viewer = self._viewer()
        if viewer is None or layer is None or layer not in viewer.layers:
            self.run_bar.show_idle()  # the viewer was closed, or the layer taken away
            return
        self._measured, self._measured_layer = result, weakref.ref(layer)
        self._picker.watch_layer(layer)
        is_joined = len(np.unique(result.table["label"])) == len(result.table)
        if is_joined:  # else a number alone does not say which object it is
            set_features(layer, result.table)
        self.view.show_table(result.table)
        self._show_table_state()
        self._show_stale()
        count = len(result.table)
        objects = "1 object" if count == 1 else f"{count} objects"
        self.run_bar.show_idle(f"{objects}, measured in {seconds:.2g} s")
        self.measured.emit(result.table)

    def _show_table_state(self) -> None:
        """Show notes and buttons of the table that is there."""
        notes = "\n".join(self.table.notes)
        self.notes.setText(notes)
        self.notes.setVisible(bool(notes))
        for button in (self.export_button, self.copy_button):
            button.setEnabled(bool(len(self.table)))

    def _on_error(self, error: BaseException) -> None:
        self._running.end()
        if not isinstance(error, CloudError):
            error = OperationError("Measuring failed", why=str(error) or type(error).__name__)
        sentence = str(error)
        self.run_bar.show_error(sentence, self._viewer())
        tell_error(error)
        self.failed.emit(sentence)

    # ---- from the canvas to the table, and to a file --------------------------------------------

    def _on_picked(self, label: int) -> None:
        if not len(self.table):
            return
        if self.view.select(label):
            layer = self._labels_measured()
            if layer is not None:
                layer.selected_label = label
            self.run_bar.show_idle(f"Object {label}")
        else:
            self.run_bar.show_idle(f"Object {label} is not in the table.")

    def _ask_and_export(self) -> None:
        kinds = "Comma-separated values (*.csv);;Parquet (*.parquet)"
        path = ask_file_to_write(self, "Export table", self._file_name(), kinds, ".csv")
        if path:
            self.export(path, overwrite=True)  # the dialog has asked

    def _file_name(self) -> str:
        """Return a name for a file: of the layer, without a link's query."""
        layer = self._labels_measured()
        name = "objects" if layer is None else re.split("[?#]", layer.name)[0]
        plain = re.sub(r"[^\w.-]+", "_", name).strip("._")[:80]
        return f"{plain or 'objects'}.csv"


def _tell_picked(dock: weakref.ref[TableDock], label: int) -> None:
    live = dock()
    if live is not None:
        live._on_picked(label)
