"""The Save dock: layers → one OME-Zarr in a folder or a bucket, with what will be written shown."""

from __future__ import annotations

import re
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_omezarr_cloud.api import Image, locate, open_all_async, open_async
from napari_omezarr_cloud.errors import CloudError, WriteError
from napari_omezarr_cloud.links import Link, Source
from napari_omezarr_cloud.location import redacted
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.compat import unwrapped
from napari_omezarr_cloud.napari.display import view_of
from napari_omezarr_cloud.napari.inputs import is_labels
from napari_omezarr_cloud.napari.layer_saving import plan_layers
from napari_omezarr_cloud.napari.notices import tell_error, tell_info
from napari_omezarr_cloud.napari.region_text import bytes_text
from napari_omezarr_cloud.napari.save_run import SaveRun
from napari_omezarr_cloud.napari.showing import Showing
from napari_omezarr_cloud.napari.visible import has_pixels
from napari_omezarr_cloud.napari.widgets.layer_checks import LayerChecks
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.napari.widgets.run_bar import RunBar
from napari_omezarr_cloud.napari.widgets.save_options import SaveOptions
from napari_omezarr_cloud.pyramid.opened import location_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari.viewer
    from qtpy.QtGui import QEnterEvent, QHideEvent, QShowEvent

    from napari_omezarr_cloud.location import Location
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
        self.question: QMessageBox | None = None
        """What is asked before anything that is there is touched."""
        self._saved: Location | None = None
        self._is_named = False
        self._folder = Path.home()
        self._images: list[tuple[str, Location]] = []
        self._beside: Image | None = None
        self._opening: Job[Image] | None = None
        self._showing: Showing | None = None
        self._build(viewer)
        self.checks.layers_changed.connect(self._on_layers)
        self.target.textEdited.connect(self._on_named)
        self.target.textChanged.connect(self.look)
        self.version.currentIndexChanged.connect(self.look)
        self.place.currentIndexChanged.connect(self._on_place)
        self.options.changed.connect(self.look)
        self.run_bar.apply_requested.connect(self.save)
        self.run_bar.cancel_requested.connect(self.cancel)
        self._on_layers()

    # ---- what a script may do, too ------------------------------------------------------------

    def save_to(self, layers: Sequence[Any], target: str) -> None:
        """Choose layers and a target, and save."""
        self.checks.choose(layers)
        self.place.setCurrentIndex(0)
        self._is_named = True
        self.target.setText(target)
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
        self._show_saved(None)
        self.run = run = SaveRun(planned, self)
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

    def open_saved(self) -> None:
        """Show what was saved in the viewer."""
        viewer = self._viewer()
        if viewer is None or self._saved is None:
            return
        link = Link(sources=(Source(self._saved),))
        self._showing = Showing(viewer, link, open_all_async(link), self)
        self._showing.failed.connect(self._on_not_opened)

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
            "Writes layers into one OME-Zarr, as they are on screen: images become its channels, "
            "labels its label images."
        )
        self.checks = LayerChecks(viewer, has_pixels, lambda layers: [str(x.name) for x in layers])
        self.target = QLineEdit()
        self.target.setPlaceholderText("A folder, s3://bucket/name, gs://… or az://…")
        self.browse = QPushButton("Browse…")
        self.browse.clicked.connect(self._browse)
        target = QHBoxLayout()
        target.addWidget(self.target, 1)
        target.addWidget(self.browse)
        self.place, self.version = QComboBox(), QComboBox()
        for box in (self.place, self.version):  # a long link must not widen the dock
            box.setSizeAdjustPolicy(box.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(14)
        self.version.addItem("OME-Zarr 0.5 (Zarr 3)", "0.5")
        self.version.addItem("OME-Zarr 0.4 (Zarr 2), for older software", "0.4")
        self.options = SaveOptions()
        self.options.hide()
        self.more = QToolButton()
        self.more.setText("More")
        self.more.setCheckable(True)
        self.more.setAutoRaise(True)
        self.more.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.more.setArrowType(Qt.ArrowType.RightArrow)
        self.more.toggled.connect(self._unfold)
        self.plan = PlainLabel()
        self.run_bar = RunBar(action="Save", tip="Write what is said above")
        self.open_button = QPushButton("Open it")
        self.open_button.setToolTip("Show what was saved as new layers")
        self.open_button.clicked.connect(self.open_saved)
        self.open_button.hide()
        self._place_label = QLabel("Where")
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Layers", self.checks)
        form.addRow(self._place_label, self.place)
        form.addRow("Save to", target)
        form.addRow("Format", self.version)
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.addWidget(help_text)
        layout.addLayout(form)
        for widget in (self.more, self.options, self.plan):
            layout.addWidget(widget)
        layout.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(scroll.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inside)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        below = QVBoxLayout()
        below.setContentsMargins(9, 0, 9, 6)
        below.addWidget(self.run_bar)
        below.addWidget(self.open_button)
        whole.addWidget(scroll)
        whole.addLayout(below)
        self.inside = inside

    def _unfold(self, is_open: bool) -> None:
        self.more.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        self.options.setVisible(is_open)

    # ---- following the viewer, only while shown -----------------------------------------------

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take up again."""
        super().showEvent(event)
        viewer = self._viewer()
        if viewer is not None:
            self.checks.watch()
            viewer.layers.selection.events.changed.connect(self._on_layers)
        self._on_layers()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Leave the viewer alone; what is under way goes on, as the person asked for it."""
        super().hideEvent(event)
        viewer = self._viewer()
        if viewer is not None:
            self.checks.unwatch()
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
        self.options.offer_levels([x for x in layers if not is_labels(x)] or layers)
        self._offer_places(layers)
        self._suggest_target(layers)
        self.look()

    def _layers(self) -> list[Any]:
        return self.checks.layers[::-1]  # lowest first: the order of channels

    def _suggest_target(self, layers: Sequence[Any]) -> None:
        """Name a folder after the image, until the person names one."""
        if self._is_named or not layers:
            return
        view = view_of(layers[0])
        name = layers[0].name if view is None or len(layers) == 1 else view.pyramid.name
        stem = re.sub(r"(\.ome)?\.zarr$", "", re.sub(r"[^\w.-]+", "_", str(name))).strip("._")
        self.target.setText(str(self._folder / f"{stem or 'image'}.ome.zarr"))

    def _offer_places(self, layers: Sequence[Any]) -> None:
        """Offer the images that one labels layer can be put beside."""
        viewer = self._viewer()
        images: dict[str, tuple[str, Location]] = {}
        if viewer is not None and len(layers) == 1 and is_labels(layers[0]):
            for layer in viewer.layers:
                view = None if is_labels(layer) else view_of(layer)
                location = None if view is None else location_of(view.pyramid)
                if view is not None and location is not None:
                    images.setdefault(str(location), (view.pyramid.name, location))
        if list(images.values()) != self._images:
            self._images = list(images.values())
            self.place.blockSignals(True)
            self.place.clear()
            self.place.addItem("An image of its own")
            for name, location in self._images:
                self.place.addItem(f"Beside “{name}”, in {location}")
            self.place.blockSignals(False)
            self._on_place()
        for widget in (self.place, self._place_label):
            widget.setVisible(bool(self._images))

    def _on_place(self, *_: Any) -> None:
        """Open the image that the labels go beside: its version decides how they are written."""
        number = self.place.currentIndex() - 1
        self._beside, self._opening = None, None
        if 0 <= number < len(self._images):
            opening = open_async(self._images[number][1])
            self._opening = Job(opening, self._on_image, self._on_error, self)
        self._enable()
        self.look()

    def _on_image(self, image: Image) -> None:
        self._beside = image
        self.look()

    def _on_named(self, text: str) -> None:
        self._is_named = bool(text)

    def _browse(self) -> None:
        dialog = QFileDialog(self, "Save as OME-Zarr", self.target.text() or str(self._folder))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        # The dock asks by itself, and says what is there.
        dialog.setOption(QFileDialog.Option.DontConfirmOverwrite, True)
        dialog.fileSelected.connect(self._take_target)
        dialog.open()

    def _take_target(self, path: str) -> None:
        if not path.lower().endswith(".zarr"):
            path += ".ome.zarr"
        self._is_named, self._folder = True, Path(path).parent
        self.target.setText(path)

    # ---- the plan -----------------------------------------------------------------------------

    def _planned(self) -> SavePlan:
        layers, options = self._layers(), self.options.options(self.version.currentData())
        viewer = self._viewer()
        if self.place.currentIndex() > 0 and layers:
            if self._beside is None:
                raise WriteError("The image is being looked at", hint="One moment.")
            return plan_layers(layers, self._beside.location, options, beside=self._beside)
        text = self.target.text().strip()
        if not text:
            raise WriteError(
                "It is not said yet where to save",
                hint="Type a folder or a link to a bucket, or browse.",
            )
        location = locate(text, **self.options.way_in())
        return plan_layers(layers, location, options, viewer=viewer)

    def _show_plan(self, text: str, *, may_save: bool) -> None:
        self.plan.setText(text)
        self.run_bar.allow(may_save)

    def _enable(self) -> None:
        is_idle = self.run is None
        self.inside.setEnabled(is_idle)
        is_own = self.place.currentIndex() <= 0
        for widget in (self.target, self.browse, self.version):
            widget.setEnabled(is_own)

    # ---- the run ------------------------------------------------------------------------------

    def _ask(self, there: Occupied) -> None:
        """Ask before anything that is there is touched; `cancel` is what Escape means."""
        box = QMessageBox(self)
        self.question = box
        box.setTextFormat(Qt.TextFormat.PlainText)
        box.setWindowTitle("Save as OME-Zarr")
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        cancel = box.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
        go_on = overwrite = None
        if there.is_same:
            box.setText(f"At {there.where} there is {there.what}. Go on with it?")
            go_on = box.addButton("Go on", QMessageBox.ButtonRole.AcceptRole)
        elif there.may_overwrite:
            box.setText(f"At {there.where} there is {there.what}. Overwrite it?")
            box.setInformativeText(
                "All that is there is deleted, once the new image is whole. This cannot be undone."
            )
            overwrite = box.addButton("Overwrite", QMessageBox.ButtonRole.DestructiveRole)
        else:
            box.setText(f"{there.where} is no OME-Zarr: it holds {there.what}.")
            box.setInformativeText("Nothing is overwritten there. Choose another name.")
        box.setDefaultButton(go_on if there.is_same else cancel)
        box.setEscapeButton(cancel)

        def answered(button: Any) -> None:
            self.question = None
            run = self.run
            if run is None:
                return
            if button is not None and button is go_on:
                run.write()
            elif button is not None and button is overwrite:
                run.write(overwrite=True)
            else:
                run.cancel()

        box.buttonClicked.connect(answered)
        box.open()

    def _on_done(self, notes: Sequence[str]) -> None:
        run = self._ended()
        if run is None:
            return
        planned = run.planned
        sentence = " ".join([f"Saved {bytes_text(planned.nbytes)} to {planned.location}.", *notes])
        self._show_saved(planned.listed_in or planned.location)
        self.run_bar.show_idle(sentence)
        if not self.isVisible():
            tell_info(sentence)
        self.saved.emit(planned.location)

    def _on_cancelled(self) -> None:
        self._ended()
        self.run_bar.show_idle("Cancelled. Saving the same again goes on where it ended.")

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

    def _on_not_opened(self, error: BaseException) -> None:
        if not isinstance(error, CloudError):
            raise error
        tell_error(error)

    def _ended(self) -> SaveRun | None:
        run, self.run = self.run, None
        if run is not None:
            run.deleteLater()
        self._enable()
        self.look()
        return run

    def _show_saved(self, location: Location | None) -> None:
        self._saved = location
        self.open_button.setVisible(location is not None)
