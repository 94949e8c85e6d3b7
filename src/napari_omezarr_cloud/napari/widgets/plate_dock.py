"""The Plate dock: the way to a well, names of wells, and which field of each well is shown."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_omezarr_cloud.api import Image
from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.napari import wiring
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.compat import unwrapped
from napari_omezarr_cloud.napari.notices import tell_error
from napari_omezarr_cloud.napari.plate_clicks import go_to_well, plate_behind
from napari_omezarr_cloud.napari.plate_layers import show_instead
from napari_omezarr_cloud.napari.plate_notes import layers_of
from napari_omezarr_cloud.napari.refresh import refresher
from napari_omezarr_cloud.napari.well_names import WellNames
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.napari.widgets.plate_map import PlateMap
from napari_omezarr_cloud.store import io_thread

if TYPE_CHECKING:
    import napari.viewer

    from napari_omezarr_cloud.ngff.plate import PlateWell
    from napari_omezarr_cloud.pyramid.plate_opened import FieldChoice, OpenedPlate

__all__ = ["PlateDock"]


class PlateDock(QWidget):
    """Goes to wells, names them, and shows another field of each, of the selected layer's plate.

    Parameters
    ----------
    viewer
        The viewer whose layers it works on; it is not kept alive.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        viewer = unwrapped(viewer)
        self._viewer = weakref.ref(viewer)
        self._layer: weakref.ref[Any] | None = None
        self._plate: OpenedPlate | None = None
        self._job: Job[Image] | None = None
        self.names = WellNames(viewer, self)
        self._build()
        wiring.attach(viewer)
        events = viewer.layers.events
        for emitter in (events.inserted, events.removed, viewer.layers.selection.events.active):
            emitter.connect(self._look)
        refresher().settled.connect(self._say_found)
        self._look()

    def _build(self) -> None:
        self.said = PlainLabel()
        self.well = QLineEdit()
        self.well.setPlaceholderText("B3")
        self.well.setToolTip("A well's name, or its row and column: B3, b03, B/3.")
        self.well.returnPressed.connect(self.go_to_typed)
        self.go = QPushButton("Go")
        self.go.setToolTip("Bring the well into the middle, as large as fits.")
        self.go.clicked.connect(self.go_to_typed)
        self.map = PlateMap()
        self.map.chosen.connect(lambda well: self.well.setText(well.name))
        self.map.requested.connect(self._go_to)
        self.named = QCheckBox("Names of wells in the picture")
        self.named.toggled.connect(self._name_wells)
        self.field = QComboBox()
        self.field.setToolTip(
            "Which field of each well, in the order in which the wells list them; or all of them, "
            "side by side"
        )
        self.acquisition = QComboBox()
        for box in (self.field, self.acquisition):
            box.activated.connect(self.show_chosen)
        self.status = PlainLabel()
        self.found = PlainLabel()
        self.rows = QWidget()
        line = QHBoxLayout()
        line.addWidget(self.well, 1)
        line.addWidget(self.go)
        self.form = QFormLayout(self.rows)
        self.form.setContentsMargins(0, 0, 0, 0)
        self.form.addRow("Well", line)
        self.form.addRow(self.map)
        self.form.addRow(self.named)
        self.form.addRow("Field", self.field)
        self.form.addRow("Acquisition", self.acquisition)
        layout = QVBoxLayout(self)
        for widget in (self.said, self.rows, self.status, self.found):
            layout.addWidget(widget)
        layout.addStretch(1)

    # ---- which plate ------------------------------------------------------------------------

    def _look(self, *_: Any) -> None:
        """Find the plate: of the selected layer, else of the topmost that shows one."""
        viewer = self._viewer()
        if viewer is None:
            return
        active = viewer.layers.selection.active
        order = [*([active] if active is not None else []), *reversed(viewer.layers)]
        layer, plate = next(
            ((each, found) for each in order if (found := plate_behind(each)) is not None),
            (None, None),
        )
        before = self._layer() if self._layer is not None else None
        self._layer = None if layer is None else weakref.ref(layer)
        is_other = plate is not self._plate
        if is_other or plate is None:
            self._plate = plate
            self._fill()
        if self.named.isChecked() and (is_other or layer is not before):
            self._name_wells(True)
        elif not self.names.is_shown:
            self.named.setChecked(False)  # the person took the layer away

    def _fill(self) -> None:
        plate = self._plate
        self.rows.setVisible(plate is not None)
        self.field.clear()
        self.acquisition.clear()
        self._say_found()
        if plate is None:
            self.said.setText(
                "Open a plate or a well, or select one of its layers. Then this dock leads to "
                "wells and shows other fields of them."
            )
            return
        self.said.setText(_summary(plate))
        self.map.show_plate(plate)
        self.well.setPlaceholderText(plate.wells[len(plate.wells) // 2].name)
        if plate.field_count > 1:
            self.field.addItem("all", "all")
        for number in range(plate.field_count):
            self.field.addItem(f"{number} (the first)" if number == 0 else str(number), number)
        shown = "all" if plate.field is None else plate.field
        self.field.setCurrentIndex(max(0, self.field.findData(shown)))
        self.field.setEnabled(plate.field_count > 1)
        self.acquisition.addItem("any", None)
        for each in plate.acquisitions:
            name = f"{each.id}: {each.name}" if each.name else str(each.id)
            self.acquisition.addItem(name, each.id)
        self.acquisition.setCurrentIndex(max(0, self.acquisition.findData(plate.acquisition)))
        _set_row_visible(self.form, self.acquisition, bool(plate.acquisitions))
        _set_row_visible(self.form, self.named, not plate.is_well)

    def _say_found(self) -> None:
        """Show what was found of wells so far."""
        sentences = () if self._plate is None else self._plate.found.sentences
        self.found.setText("\n".join(sentences))

    # ---- the way to a well ------------------------------------------------------------------

    def go_to_typed(self) -> None:
        """Go to the well whose name was typed."""
        plate, text = self._plate, self.well.text().strip()
        if plate is None or not text:
            return
        well = plate.find(text)
        if well is None:
            last = plate.wells[-1].name
            self.status.setText(
                f"There is no well {text}; the plate lists {plate.wells[0].name} to {last}."
            )
            return
        self._go_to(well)

    def _go_to(self, well: PlateWell) -> None:
        viewer, layer = self._viewer(), self._layer() if self._layer is not None else None
        self.well.setText(well.name)
        self.map.select(well)
        self.status.setText("")
        if viewer is not None and layer is not None:
            go_to_well(viewer, layer, well)

    def _name_wells(self, is_wanted: bool) -> None:
        layer = self._layer() if self._layer is not None else None
        if not is_wanted or layer is None or self._plate is None or self._plate.is_well:
            self.names.hide()
        elif not self.names.can_show(layer):
            self.status.setText("Names need y and x as the last axes.")
        else:
            self.names.show(layer, self._plate)

    # ---- another field ----------------------------------------------------------------------

    def show_chosen(self, *_: Any) -> None:
        """Show the chosen field and acquisition in the plate's layers."""
        viewer, plate = self._viewer(), self._plate
        if viewer is None or plate is None:
            return
        field: FieldChoice = self.field.currentData()
        acquisition: int | None = self.acquisition.currentData()
        if self._job is not None:
            self._job.cancel()
        if (field, acquisition) == (
            "all" if plate.field is None else plate.field,
            plate.acquisition,
        ):
            self.status.setText("")
            return
        followers = {each for each in viewer.layers if plate_behind(each) is plate}

        async def reopened() -> Image:
            opened = await plate.reopen(field, acquisition)
            return Image(opened.pyramid, opened)

        def shown(image: Image) -> None:
            window = self._viewer()
            if window is None or not wiring.is_open(window):
                return
            direct = set(layers_of(window, plate))
            show_instead(window, plate, image, then=lambda: done(followers - direct))

        def done(results: set[Any]) -> None:
            self._look()
            left = sum(plate_behind(each) is plate for each in results)
            self.status.setText(f"{left} results still show the former field." if left else "")

        def failed(error: BaseException) -> None:
            self.status.setText(str(error))
            self._fill()  # what is shown is what it was
            if isinstance(error, CloudError):
                tell_error(error)

        self.status.setText("Opening …")
        self._job = Job(io_thread().submit(reopened()), shown, failed, self)


def _set_row_visible(form: QFormLayout, field: QWidget, is_visible: bool) -> None:
    field.setVisible(is_visible)
    label = form.labelForField(field)
    if label is not None:
        label.setVisible(is_visible)


def _summary(plate: OpenedPlate) -> str:
    many = len(plate.wells)
    if plate.is_well:
        shown = "is" if many == 1 else "are"
        fields = f"{plate.field_count:,} field{'s' * (plate.field_count != 1)}"
        return f"A well of {fields}; {many:,} {shown} shown."
    grid = f"{len(plate.rows)} rows, {len(plate.columns)} columns"
    fields = (
        f"up to {plate.field_count:,} fields each" if plate.field_count > 1 else "one field each"
    )
    return f"{many:,} well{'s' * (many != 1)} ({grid}), {fields}."
