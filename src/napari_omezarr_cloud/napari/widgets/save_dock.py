"""The Save dock: layers → one OME-Zarr in a folder or a bucket, with what will be written shown."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from napari_omezarr_cloud.errors import CloudError, WriteError
from napari_omezarr_cloud.location import redacted
from napari_omezarr_cloud.napari.compat import unwrapped
from napari_omezarr_cloud.napari.inputs import is_labels
from napari_omezarr_cloud.napari.notices import tell_error, tell_info
from napari_omezarr_cloud.napari.placed_layers import placed_layer
from napari_omezarr_cloud.napari.region_text import bytes_text
from napari_omezarr_cloud.napari.save_run import SaveRun
from napari_omezarr_cloud.napari.visible import has_pixels
from napari_omezarr_cloud.napari.widgets.layer_checks import LayerChecks
from napari_omezarr_cloud.napari.widgets.occupied_question import OccupiedQuestion
from napari_omezarr_cloud.napari.widgets.open_button import OpenButton
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.napari.widgets.run_bar import RunBar
from napari_omezarr_cloud.napari.widgets.run_region import RunRegion
from napari_omezarr_cloud.napari.widgets.target_rows import TargetRows
from napari_omezarr_cloud.napari.widgets.upright_area import UprightArea
from napari_omezarr_cloud.napari.widgets.voxel_size import VoxelSize

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari.viewer
    from qtpy.QtGui import QEnterEvent, QHideEvent, QShowEvent

    from napari_omezarr_cloud.napari.save_run import Occupied
    from napari_omezarr_cloud.write.save_plan import SavePlan

__all__ = ["SaveDock"]


class SaveDock(QWidget):
    """Saves image and labels layers as one OME-Zarr.

    Parameters
    ----------
    viewer
        The viewer whose layers it saves; it is not kept alive.
    """

    TITLE = "Save as OME-Zarr…"

    saved = Signal(object)
    """It is written: its `Location`."""
    failed = Signal(str)
    """It could not be done: the sentence that is shown."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        viewer = unwrapped(viewer)
        self._viewer = weakref.ref(viewer)
        self.run: SaveRun | None = None
        """The save that is under way."""
        self.question: OccupiedQuestion | None = None
        """What is asked before anything that is there is touched."""
        self._build(viewer)
        self.checks.layers_changed.connect(self._on_layers)
        self.part.changed.connect(self.look)
        self.rows.changed.connect(self.look)
        self.rows.failed.connect(self._on_error)
        self.voxel.changed.connect(self.look)
        self.run_bar.apply_requested.connect(self.save)
        self.run_bar.cancel_requested.connect(self.cancel)
        self._on_layers()

    # ---- what a script may do, too ------------------------------------------------------------

    def save_to(self, layers: Sequence[Any], target: str) -> None:
        """Choose layers and a target, and save."""
        self.checks.choose(layers)
        self.rows.name(target)
        self.save()

    def save(self) -> None:
        """Save what is chosen; returns at once. `saved` or `failed` tells the end."""
        if self.run is not None:
            return
        try:
            planned = self._planned()
        except CloudError as error:
            self._on_error(error)
            return
        self.open_button.offer(None)
        self.run = run = SaveRun(planned, self, viewer=self._viewer())
        run.stepped.connect(self.run_bar.show_step)
        run.occupied.connect(self._ask)
        run.done.connect(self._on_done)
        run.failed.connect(self._on_error)
        run.cancelled.connect(self._on_cancelled)
        self._enable()
        run.start()

    def cancel(self) -> None:
        """Give up; what is written by then is taken up by saving the same again."""
        if self.run is not None:
            self.run.cancel()

    def look(self) -> None:
        """Show what would be written now."""
        if self.run is not None:
            return
        try:
            self._show_plan(str(self._planned()), may_save=True)
        except CloudError as error:
            self._show_plan(str(error), may_save=False)

    # ---- building -----------------------------------------------------------------------------

    def _build(self, viewer: Any) -> None:
        help_text = PlainLabel()
        help_text.setText(
            "Writes layers, or a part of them, into one image, as they are on screen: images "
            "become its channels, labels its label images."
        )
        self.checks = LayerChecks(viewer, has_pixels, lambda layers: [str(x.name) for x in layers])
        self.plan = PlainLabel()
        self.run_bar = RunBar(action="Save", tip="Write what is said above")
        self.open_button = OpenButton(viewer, "Show what was saved as new layers")
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Layers", self.checks)
        self.part = RunRegion(viewer, form, self)
        self.rows = TargetRows(form, self)
        self.voxel = VoxelSize(form, self)
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.addWidget(help_text)
        layout.addLayout(form)
        for widget in (self.rows.more, self.rows.options, self.plan):
            layout.addWidget(widget)
        layout.addStretch(1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        below = QVBoxLayout()
        below.setContentsMargins(9, 0, 9, 6)
        below.addWidget(self.run_bar)
        below.addWidget(self.open_button)
        whole.addWidget(UprightArea(inside))
        whole.addLayout(below)
        self.inside = inside

    # ---- following the viewer, only while shown -----------------------------------------------

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take up again."""
        super().showEvent(event)
        viewer = self._viewer()
        if viewer is not None:
            self.checks.watch()
            self.part.start()
            viewer.layers.selection.events.changed.connect(self._on_layers)
        self._on_layers()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Leave the viewer alone; what is under way goes on, as the person asked for it."""
        super().hideEvent(event)
        viewer = self._viewer()
        if viewer is not None:
            self.checks.unwatch()
            self.part.stop()
            viewer.layers.selection.events.changed.disconnect(self._on_layers)

    def enterEvent(self, event: QEnterEvent | None) -> None:
        """Look again: scale and place of a layer may be others by now."""
        super().enterEvent(event)
        self.look()

    def _on_layers(self, event: Any = None) -> None:
        viewer = self._viewer()
        if viewer is None or self.run is not None:
            return
        selected = [x for x in viewer.layers if x in viewer.layers.selection and has_pixels(x)]
        self.checks.suggest(selected or [x for x in viewer.layers if has_pixels(x)])
        layers = self._layers()
        self.part.follow(_leading(layers))
        self.rows.offer(viewer, layers)
        self.look()

    def _layers(self) -> list[Any]:
        return self.checks.layers[::-1]  # lowest first: the order of channels

    # ---- the plan -----------------------------------------------------------------------------

    def _planned(self) -> SavePlan:
        layers, options = self._layers(), self.rows.chosen()
        leading = _leading(layers)
        if leading is None:
            self.voxel.offer(None)
            return self.rows.planned(layers, options, self._viewer())
        try:
            placed = placed_layer(leading, options.level)
        except WriteError:
            self.voxel.offer(None)
            raise
        self.voxel.offer(placed, is_free=not self.rows.is_beside)
        region = self.part.region(leading, options.level)
        options = replace(options, region=region, **self.voxel.chosen())
        return self.rows.planned(layers, options, self._viewer())

    def _show_plan(self, text: str, *, may_save: bool) -> None:
        self.plan.setText(text)
        self.run_bar.allow(may_save)

    def _enable(self) -> None:
        self.inside.setEnabled(self.run is None)

    # ---- the run ------------------------------------------------------------------------------

    def _ask(self, there: Occupied) -> None:
        if self.run is not None:
            self.question = OccupiedQuestion(there, self.run, "Save as OME-Zarr", self)
            self.question.finished.connect(self._on_answered)
            self.question.open()

    def _on_answered(self, *_: Any) -> None:
        self.question = None

    def _on_done(self, notes: Sequence[str]) -> None:
        run = self._ended()
        if run is None:
            return
        planned = run.planned
        sentence = " ".join([f"Saved {bytes_text(planned.nbytes)} to {planned.location}.", *notes])
        self.open_button.offer(planned.to_open)
        self.run_bar.show_idle(sentence)
        if not self.isVisible():
            tell_info(sentence)
        self.saved.emit(planned.location)

    def _on_cancelled(self) -> None:
        run = self._ended()
        was_begun = run is not None and run.is_writing
        more = "Saving the same again goes on where it ended."
        self.run_bar.show_idle(f"Cancelled. {more if was_begun else 'Nothing was written.'}")

    def _on_error(self, error: BaseException) -> None:
        run = self._ended()
        if not isinstance(error, CloudError):
            # A mistake of ours; what libraries say may quote the link.
            query = "" if run is None else run.planned.location.query
            said = redacted(str(error), query)
            error = WriteError("Could not save", why=f"{type(error).__name__}: {said}")
        self.run_bar.show_error(str(error), self._viewer())
        tell_error(error)
        self.failed.emit(str(error))

    def _ended(self) -> SaveRun | None:
        run, self.run = self.run, None
        if run is not None:
            run.deleteLater()
        self._enable()
        self.look()
        return run


def _leading(layers: Sequence[Any]) -> Any | None:
    """Return the layer that says which levels and planes there are."""
    return next((x for x in layers if not is_labels(x)), next(iter(layers), None))
