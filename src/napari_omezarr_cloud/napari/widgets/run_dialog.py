"""*Run on whole image…*: a live layer's recipe over all of an image, into an OME-Zarr.

The window wires its parts: the live layer (`LayerBox`), the part of it (`RunRegion`), the place
(`TargetRows`), who computes (`HandsRows`), what would be done (`RunPreview`). A run goes on when
the window is closed.
"""

from __future__ import annotations

import time
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_omezarr_cloud.errors import CloudError, OperationError, WriteError
from napari_omezarr_cloud.location import redacted
from napari_omezarr_cloud.napari.compat import unwrapped
from napari_omezarr_cloud.napari.live import live_of, live_signals
from napari_omezarr_cloud.napari.notices import tell_error, tell_info
from napari_omezarr_cloud.napari.recipe_text import recipe_text
from napari_omezarr_cloud.napari.region_text import bytes_text
from napari_omezarr_cloud.napari.run_estimate import unbounded_steps
from napari_omezarr_cloud.napari.save_run import SaveRun
from napari_omezarr_cloud.napari.widgets.hands_rows import HandsRows
from napari_omezarr_cloud.napari.widgets.layer_box import LayerBox
from napari_omezarr_cloud.napari.widgets.occupied_question import OccupiedQuestion
from napari_omezarr_cloud.napari.widgets.open_button import OpenButton
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.napari.widgets.run_bar import RunBar
from napari_omezarr_cloud.napari.widgets.run_preview import RunPreview
from napari_omezarr_cloud.napari.widgets.run_region import RunRegion
from napari_omezarr_cloud.napari.widgets.target_rows import TargetRows
from napari_omezarr_cloud.write.estimate import duration_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_omezarr_cloud.napari.save_run import Occupied
    from napari_omezarr_cloud.write.save_plan import SavePlan

__all__ = ["RunDialog", "show_run"]

_WIDTH_PX, _HEIGHT_PX = 560, 780
_AT_ONCE = -1


def show_run(viewer: Any, layer: Any | None = None) -> RunDialog:
    """Show the one window of a viewer, about a live layer; None: the one that is selected."""
    viewer = unwrapped(viewer)
    window = viewer.window.main_menu.window()
    dialog: RunDialog | None = window.findChild(RunDialog)
    if dialog is None:
        dialog = RunDialog(viewer, window)
    dialog.show()
    dialog.raise_()
    dialog.activateWindow()
    if layer is not None:
        dialog.layer_box.choose(layer)
        dialog.look()
    return dialog


class RunDialog(QDialog):
    """Runs what a live layer does on the whole image.

    Parameters
    ----------
    viewer
        Whose live layers; it is not kept alive.
    parent
        The viewer's window.
    """

    saved = Signal(object)
    """It is written: its `Location`."""
    failed = Signal(str)
    """It could not be done: the sentence that is shown."""

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("omezarr-run")
        self.setWindowTitle("Run on whole image")
        self._viewer = weakref.ref(viewer)
        self.run: SaveRun | None = None
        """The run that is under way."""
        self.question: OccupiedQuestion | None = None
        """What is asked before anything that is there is touched."""
        self._began = 0.0
        self._build(viewer)
        self.layer_box.layer_changed.connect(self._on_layer)
        self.part.changed.connect(self.look)
        self.rows.changed.connect(self.look)
        self.rows.failed.connect(self._on_error)
        self.overlap.valueChanged.connect(self.look)
        self.hands.changed.connect(self.look)
        self.preview.changed.connect(self._on_other_plan)
        self.preview.found.connect(self._on_found)
        self.run_bar.apply_requested.connect(self.start)
        self.run_bar.cancel_requested.connect(self.cancel)
        live_signals().changed.connect(self._on_live)

    # ---- building -----------------------------------------------------------------------------

    def _build(self, viewer: Any) -> None:
        about = PlainLabel()
        about.setText(
            "Computes what a live layer shows for the whole image, block by block, and writes it "
            "as an OME-Zarr. Cancelled or broken off, the same run goes on where it was."
        )
        self.layer_box = LayerBox(viewer, follows=True, accepts=lambda x: live_of(x) is not None)
        self.recipe = PlainLabel()
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Live layer", self.layer_box)
        form.addRow(self.recipe)
        self.part = RunRegion(viewer, form, self)
        self.overlap = QSpinBox()
        self.overlap.setRange(_AT_ONCE, 100_000)
        self.overlap.setValue(_AT_ONCE)
        self.overlap.setSpecialValueText("none: all at once")
        self.overlap.setSuffix(" voxels")
        self.overlap.setKeyboardTracking(False)
        self._overlap_label = QLabel("Overlap")
        self.overlap_note = PlainLabel()
        form.addRow(self._overlap_label, self.overlap)
        form.addRow(self.overlap_note)
        self.rows = TargetRows(form, self)
        form.insertRow(2, "Level", self.rows.options.lend_level())
        self.hands = HandsRows(form, self)
        self.preview = RunPreview()
        self.run_bar = RunBar(action="Run", tip="Compute and write what is said above")
        self.open_button = OpenButton(viewer, "Show what was written as new layers")
        self.choices = QWidget()
        column = QVBoxLayout(self.choices)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(about)
        column.addLayout(form)
        column.addWidget(self.rows.more)
        column.addWidget(self.rows.options)
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.addWidget(self.choices)
        layout.addWidget(self.preview)
        layout.addStretch(1)
        scroll = QScrollArea()  # on a small screen the buttons must stay in reach
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidget(inside)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        below = QHBoxLayout()
        below.addWidget(self.open_button)
        below.addStretch(1)
        below.addWidget(buttons)
        whole = QVBoxLayout(self)
        whole.addWidget(scroll)
        whole.addWidget(self.run_bar)
        whole.addLayout(below)
        self.resize(_WIDTH_PX, _HEIGHT_PX)

    # ---- what a script may do, too ------------------------------------------------------------

    def start(self) -> None:
        """Run what is chosen; returns at once. `saved` or `failed` tells the end."""
        if self.run is not None:
            return
        try:
            planned = self._plan()
        except CloudError as error:
            self._on_error(error)
            return
        self.preview.rest()
        self.open_button.offer(None)
        self._began = time.monotonic()
        self.run = run = SaveRun(planned, self, hands=self.hands.hands, viewer=self._viewer())
        run.stepped.connect(self.run_bar.show_step)
        run.occupied.connect(self._ask)
        run.done.connect(self._on_done)
        run.failed.connect(self._on_error)
        run.cancelled.connect(self._on_cancelled)
        self.choices.setEnabled(False)
        run.start()

    def cancel(self) -> None:
        """Give up; the same run goes on where this one ended."""
        if self.run is not None:
            self.run.cancel()

    # ---- when it is seen ----------------------------------------------------------------------

    def showEvent(self, event: QShowEvent | None) -> None:
        """Begin to follow the viewer."""
        super().showEvent(event)
        self.layer_box.watch()
        self.part.start()
        self.preview.forget()
        self._on_layer()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Follow it no more; what is under way goes on, as the person asked for it."""
        super().hideEvent(event)
        self.layer_box.unwatch()
        self.part.stop()
        self.preview.rest()

    def _on_layer(self) -> None:
        viewer, layer = self._viewer(), self.layer_box.layer
        if viewer is not None and layer is not None and self.run is None:
            name = " ".join(part.strip() for part in str(layer.name).split("→"))
            self.rows.offer(viewer, [layer], name)
        self.look()

    def _on_live(self, layer: Any) -> None:
        if layer is self.layer_box.layer:
            self.look()

    # ---- what would be done -------------------------------------------------------------------

    def look(self) -> None:
        """Show what would be done now; does nothing while the window is hidden, or a run is."""
        layer = self.layer_box.layer
        if not self.isVisible() or self.run is not None:
            return
        self.recipe.setText("" if layer is None else recipe_text(layer))
        self.part.follow(layer)
        self._show_overlap(layer)
        try:
            planned = self._plan()
        except CloudError as error:
            self.preview.show_refusal(str(error))
            self.run_bar.allow(False)
            return
        self.preview.show_plan(planned, self.hands.hands, self._overlap())
        self.run_bar.allow(True)

    def _on_other_plan(self) -> None:
        """Forget how the last run ended: it was another one."""
        if self.run is None:
            self.run_bar.show_idle()
            self.open_button.offer(None)

    def _on_found(self, is_same: bool) -> None:
        self.run_bar.apply_button.setText("Go on" if is_same else "Run")

    def _show_overlap(self, layer: Any | None) -> None:
        steps = [] if layer is None else unbounded_steps(layer, self._level())
        for widget in (self._overlap_label, self.overlap, self.overlap_note):
            widget.setVisible(bool(steps))
        self.overlap_note.setText(
            f"{' and '.join(steps)} may look everywhere. Without an overlap each plane (in 3D each "
            "volume) is computed at once: exact, where it is small enough. With one, each block "
            "sees so many voxels around it: what depends on voxels farther away comes out "
            "differently, and may show at the borders of blocks; more is truer and slower."
        )

    def _level(self) -> int:
        return max(self.rows.options.level.currentIndex(), 0)

    def _overlap(self) -> int | None:
        """Return the overlap that is chosen; one that is not asked for does not count."""
        overlap = self.overlap.value()
        return None if self.overlap.isHidden() or overlap == _AT_ONCE else overlap

    def _plan(self) -> SavePlan:
        """Return what a run would write now; raises what speaks against it."""
        viewer, layer = self._viewer(), self.layer_box.layer
        if viewer is None or layer is None or layer not in viewer.layers:
            raise OperationError(
                "There is no live layer to run",
                hint="Make one in “Process what is visible”: Add live layer.",
            )
        self.hands.hands.check()
        options = replace(
            self.rows.chosen(),
            region=self.part.region(layer, self._level()),
            overlap=self._overlap(),
        )
        return self.rows.planned([layer], options, viewer)

    # ---- the run --------------------------------------------------------------------------------

    def _ask(self, there: Occupied) -> None:
        """Ask before anything that is there is touched."""
        if self.run is None:
            return
        if there.is_same:  # the window said so, and the button
            self.run.write()
            return
        self.question = OccupiedQuestion(there, self.run, self.windowTitle(), self)
        self.question.finished.connect(self._on_answered)
        self.question.open()

    def _on_answered(self, *_: Any) -> None:
        self.question = None

    def _on_done(self, notes: Sequence[str]) -> None:
        run = self._ended()
        if run is None:
            return
        planned = run.planned
        took = duration_text(time.monotonic() - self._began)
        done = f"Done in {took}: {bytes_text(planned.nbytes)} in {planned.location}."
        sentence = " ".join([done, *notes])
        self.run_bar.show_idle(sentence)
        self.open_button.offer(planned.to_open)
        if not self.isVisible():
            tell_info(sentence)
        self.saved.emit(planned.location)

    def _on_cancelled(self) -> None:
        self.preview.forget()
        run = self._ended()
        has_begun = run is not None and run.has_done_something
        more = "The same run goes on where it was." if has_begun else "Nothing was done yet."
        self.run_bar.show_idle(f"Cancelled. {more}")

    def _on_error(self, error: BaseException) -> None:
        self.preview.forget()
        run = self._ended()
        if not isinstance(error, CloudError):
            # A mistake of ours; what libraries say may quote the link.
            query = "" if run is None else run.planned.location.query
            said = redacted(str(error), query)
            error = WriteError("The run failed", why=f"{type(error).__name__}: {said}")
        self.run_bar.show_error(str(error), self._viewer())
        if not self.isVisible():
            tell_error(error)
        self.failed.emit(str(error))

    def _ended(self) -> SaveRun | None:
        run, self.run = self.run, None
        if run is not None:
            run.deleteLater()
        self.choices.setEnabled(True)
        self.look()
        return run
