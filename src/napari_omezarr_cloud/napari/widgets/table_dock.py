"""The table dock: measurements of the visible objects, and the way from a row to its object.

The dock wires its parts: what is chosen (`LayerBox`, `LayerChecks`, `LevelBox`) goes to
`plan_measuring`, what that says is shown, and *Measure what is visible* starts it. A row leads to
its object (`go_to`), a click on an object to its row (`ObjectPicker`). It looks at the viewer only
while it is shown itself, and measures only when asked.
"""

from __future__ import annotations

import re
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_omezarr_cloud.errors import CloudError, OperationError
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.compat import unwrapped
from napari_omezarr_cloud.napari.go_to import go_to
from napari_omezarr_cloud.napari.inputs import is_labels
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY
from napari_omezarr_cloud.napari.notices import tell_error
from napari_omezarr_cloud.napari.picking import ObjectPicker
from napari_omezarr_cloud.napari.region_features import set_features
from napari_omezarr_cloud.napari.region_table import (
    MAX_BYTES,
    image_names,
    is_grey_image,
    needed_bytes,
    pixel_text,
    plan_measuring,
)
from napari_omezarr_cloud.napari.region_text import bytes_text
from napari_omezarr_cloud.napari.threads import in_thread
from napari_omezarr_cloud.napari.view_watch import ViewWatch
from napari_omezarr_cloud.napari.visible import level_count, level_of, visible_region
from napari_omezarr_cloud.napari.whole_table import plan_whole_table
from napari_omezarr_cloud.napari.widgets.file_question import ask_file_to_write
from napari_omezarr_cloud.napari.widgets.layer_box import LayerBox
from napari_omezarr_cloud.napari.widgets.layer_checks import LayerChecks
from napari_omezarr_cloud.napari.widgets.level_box import LevelBox, LevelChoice
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.napari.widgets.region_view import RegionView
from napari_omezarr_cloud.napari.widgets.run_bar import RunBar

if TYPE_CHECKING:
    from collections.abc import Iterable

    import napari.viewer
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_omezarr_cloud.napari.region_table import (
        Measured,
        MeasuringPlan,
        MeasuringProgress,
    )
    from napari_omezarr_cloud.napari.whole_table import WholeMeasured, WholePlan, WholeProgress
    from napari_omezarr_cloud.process.table import Table

__all__ = ["TableDock"]

_PROGRESS_MS = 80
_FILES = "Comma-separated values (*.csv);;Parquet (*.parquet)"

_GROUPS = {
    "size": ("Size", "Area or volume, and the diameter of a circle or ball of that size"),
    "position": ("Position", "Centre and bounding box"),
    "intensity": ("Intensity", "Mean, lowest, highest, spread, sum, median, weighted centre"),
    "shape": (
        "Shape",
        "Axes, eccentricity, solidity … takes a second per 1000 objects, in 3D per 30",
    ),
}


class _Running:
    """What is under way and listening; ends with the dock, whoever deletes it."""

    def __init__(self, picker: ObjectPicker) -> None:
        self.picker = picker
        self.job: Job[Any] | None = None
        self.progress: MeasuringProgress | WholeProgress | None = None

    def cancel(self) -> None:
        """Give up what is under way."""
        if self.progress is not None:
            self.progress.cancel()
        if self.job is not None:
            self.job.cancel()
        self.job, self.progress = None, None

    def close(self, *_: object) -> None:
        """Give up, and leave the viewer alone."""
        self.cancel()
        self.picker.stop()


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
        self._running = _Running(self._picker)
        self.destroyed.connect(self._running.close)
        self._build(viewer)
        self._watch = ViewWatch(viewer, self)
        self._watch.changed.connect(self.look)
        self._clock = QTimer(self)
        self._clock.setInterval(_PROGRESS_MS)
        self._clock.timeout.connect(self._show_progress)
        self.labels_box.layer_changed.connect(self._on_choice)
        self.image_checks.layers_changed.connect(self.look)
        self.level_box.level_changed.connect(self.look)
        self.run_bar.apply_requested.connect(self.measure)
        self.run_bar.cancel_requested.connect(self.cancel)
        self.view.row_chosen.connect(self.go_to_row)
        self.copy_button.clicked.connect(self.view.copy)
        self.export_button.clicked.connect(self._ask_and_export)
        self._show_table_state()
        self._on_part()

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
        self.part_box.setCurrentIndex(int(whole))
        if labels is not None:
            self.labels_box.choose(labels)
        if images is not None:
            self.image_checks.choose(images)
        if properties is not None:
            wanted = set(properties)
            for name, box in self.groups.items():
                box.setChecked(name in wanted)
        self._look()
        self.level_box.choose(level)
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
        layer = weakref.ref(self.labels_box.layer)
        started = time.perf_counter()
        future, self._running.progress = plan.begin()

        def on_done(result: Measured | WholeMeasured) -> None:
            self._end()
            self._show_result(result, layer(), time.perf_counter() - started)

        # Without a parent: who deletes a dock with PySide would leave it to be deleted twice.
        self._running.job = Job(future, on_done, self._on_error)
        self._show_progress()
        self._clock.start()

    def cancel(self) -> None:
        """Give up what is under way; the table that is shown stays."""
        if self.is_running:
            self._end()
            self.run_bar.show_idle("Cancelled.")

    @property
    def is_running(self) -> bool:
        """Whether a table is under way."""
        return self._running.job is not None

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
        self.labels_box = LayerBox(viewer, follows=True, accepts=is_labels)
        self.image_checks = LayerChecks(viewer, is_grey_image, image_names)
        self.image_checks.setToolTip("Images whose grey values are measured under the objects")
        self.level_box = LevelBox()
        self.level_box.setToolTip("Finer levels measure small objects better, and take longer")
        self.groups = {}
        boxes = QGridLayout()
        boxes.setContentsMargins(0, 0, 0, 0)
        for place, (name, (title, tip)) in enumerate(_GROUPS.items()):
            box = QCheckBox(title)
            box.setToolTip(tip)
            box.setChecked(True)
            box.toggled.connect(self.look)
            boxes.addWidget(box, place // 2, place % 2)
            self.groups[name] = box
        self.part_box = QComboBox()
        self.part_box.addItems(["What is visible", "The whole image"])
        self.part_box.currentIndexChanged.connect(self._on_part)
        self.by_plane = QCheckBox("Each plane alone, in 2D")
        self.by_plane.setToolTip("For labels that were made plane by plane")
        self.by_plane.toggled.connect(self.look)
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
        choices = QFormLayout()
        choices.setContentsMargins(0, 0, 0, 0)
        choices.addRow("Labels", self.labels_box)
        choices.addRow("Images", self.image_checks)
        choices.addRow("Measure", boxes)
        choices.addRow("Region", self.part_box)
        choices.addRow("", self.by_plane)
        self._level_label = QLabel("Level")
        choices.addRow(self._level_label, self.level_box)
        buttons = QHBoxLayout()
        buttons.addWidget(self.export_button)
        buttons.addWidget(self.copy_button)
        layout = QVBoxLayout(self)
        layout.addLayout(choices)
        for widget in (self.region, self.note, self.run_bar, self.stale, self.notes):
            layout.addWidget(widget)
        layout.addWidget(self.view, 1)
        layout.addLayout(buttons)

    # ---- following the viewer, only while shown ------------------------------------------------

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take up again."""
        super().showEvent(event)
        self.labels_box.watch()
        self.image_checks.watch()
        self._watch.start()
        self._picker.start()
        self._on_choice()
        if self.is_running:
            self._clock.start()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Leave the viewer alone; what is under way goes on, as the person asked for it."""
        super().hideEvent(event)
        self._watch.stop()
        self._picker.stop()
        self._clock.stop()
        self.labels_box.unwatch()
        self.image_checks.unwatch()

    def _on_choice(self) -> None:
        """Follow another labels layer."""
        self._watch.watch_layer(self.labels_box.layer)
        if not self.is_running:
            self.run_bar.show_idle()  # what was said was said of another choice
        self._look()

    def _look(self) -> None:
        viewer, layer = self._viewer(), self.labels_box.layer
        if viewer is not None and layer is not None and layer in viewer.layers:
            # Each time: the image that was suggested may be gone, or a better one have come.
            self.image_checks.suggest(_suggested_images(viewer, layer))
            self._show_levels(viewer, layer)
        else:
            self._show_level_box(False)
        try:
            plan = self._plan()
        except CloudError as error:
            self._tell(str(error), "", may_measure=False)
        else:
            notes = []
            if plan.number:
                notes.append("Not the finest level: small objects are coarse, or missing.")
            if self.groups["intensity"].isChecked() and not self.image_checks.layers:
                notes.append("No image is ticked, so no intensity is measured.")
            self._tell(plan.text, "\n".join(notes), may_measure=True)
            self.region.setToolTip(plan.tip)
        self._show_stale()

    @property
    def is_whole(self) -> bool:
        """Whether all objects are measured."""
        return bool(self.part_box.currentIndex())

    def _on_part(self) -> None:
        self.by_plane.setVisible(self.is_whole)
        self.level_box.choose(None)
        action = "Measure the whole image" if self.is_whole else "Measure what is visible"
        self.run_bar.apply_button.setText(action)
        self._on_choice()

    def _show_levels(self, viewer: Any, layer: Any) -> None:
        count, images = level_count(layer), self.image_checks.layers
        choices = []
        for number in range(count if self.is_whole else 0):
            shape = " × ".join(map(str, reversed(level_of(layer, number).shape)))
            choices.append(LevelChoice(f"Level {number} · {shape} px"))
        if self.is_whole:
            self.level_box.show_levels(choices, "The finest level")
            self._show_level_box(count > 1)
            return
        for number in range(count):
            seen = visible_region(viewer, layer, number)
            if seen is None:
                choices.append(LevelChoice(f"Level {number}"))
                continue
            is_small = needed_bytes(seen, images) <= MAX_BYTES
            size = bytes_text(seen.nbytes) if is_small else "too large, zoom in"
            choices.append(LevelChoice(f"Level {number} · {pixel_text(seen)} · {size}", is_small))
        self.level_box.show_levels(choices)
        self._show_level_box(count > 1)

    def _show_level_box(self, is_shown: bool) -> None:
        for widget in (self.level_box, self._level_label):
            widget.setVisible(is_shown)

    def _show_stale(self) -> None:
        """Say so where the table is of another place than the one that is shown."""
        text = ""
        if self._measured is not None:
            layer, viewer = self._labels_measured(), self._viewer()
            if layer is None or viewer is None:
                text = "The labels of this table were removed."
            else:
                text = self._measured.stale_text(viewer, layer, self.level_box.level)
        self.stale.setText(text)
        self.stale.setVisible(bool(text))

    def _catch_up(self) -> None:
        """Take over layers that came while the dock was hidden, or has not been shown yet."""
        self.labels_box.refresh()
        self.image_checks.refresh()
        self._look()

    def _plan(self) -> MeasuringPlan | WholePlan:
        """Return what would be measured now; raises what speaks against it."""
        viewer, layer = self._viewer(), self.labels_box.layer
        if viewer is None or layer is None or layer not in viewer.layers:
            raise OperationError(
                "There are no labels to measure",
                hint="Open an image with labels, or make some: “Process what is visible”, "
                "“Label connected regions”.",
            )
        wanted = [name for name, box in self.groups.items() if box.isChecked()]
        images = self.image_checks.layers if "intensity" in wanted else []
        if self.is_whole:
            level, by_plane = self.level_box.level or 0, self.by_plane.isChecked()
            return plan_whole_table(layer, images, wanted, level, by_plane=by_plane)
        return plan_measuring(viewer, layer, images, wanted, self.level_box.level)

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

    def _show_progress(self) -> None:
        progress = self._running.progress
        if progress is None:
            return
        self.run_bar.show_step(*progress.step())

    def _end(self) -> None:
        self._clock.stop()
        self._running.cancel()

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
        self._end()
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
            self.export(path, overwrite=True)

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


def _suggested_images(viewer: Any, labels: Any) -> list[Any]:
    """Return the images that labels belong to; else the topmost one that is visible."""
    images = [layer for layer in reversed(viewer.layers) if is_grey_image(layer)]
    source = _source(labels)
    siblings = [layer for layer in images if source and _source(layer) == source]
    return siblings or [layer for layer in images if layer.visible][:1]


def _source(layer: Any) -> str:
    about = layer.metadata.get(METADATA_KEY)
    return str(about.get("source", "")) if isinstance(about, dict) else ""
