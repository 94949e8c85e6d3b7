"""The Plate dock: which field of each well is shown, and the way to a well."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QComboBox, QFormLayout, QPushButton, QSpinBox, QVBoxLayout, QWidget

from napari_omezarr_cloud.api import Image
from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.napari import display, wiring
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.go_to import go_to
from napari_omezarr_cloud.napari.notices import tell_error
from napari_omezarr_cloud.napari.opening import show_image
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.pyramid.mosaic import plane_axes
from napari_omezarr_cloud.pyramid.plate_opened import OpenedPlate
from napari_omezarr_cloud.store import io_thread

if TYPE_CHECKING:
    import napari.viewer

    from napari_omezarr_cloud.ngff.plate import PlateWell

__all__ = ["PlateDock", "plate_behind"]

_MOST_WELLS = 2000
"""In the drop-down; of larger plates the first ones."""


def plate_behind(layer: Any) -> OpenedPlate | None:
    """Return the plate or well that a layer shows; None for any other layer."""
    view = display.view_of(layer)
    kept = () if view is None else view.pyramid.kept
    return next((each for each in kept if isinstance(each, OpenedPlate)), None)


class PlateDock(QWidget):
    """Shows another field of each well, and goes to a well, of the plate of the selected layer.

    Parameters
    ----------
    viewer
        The viewer whose layers it works on; it is not kept alive.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = weakref.ref(viewer)
        self._layer: weakref.ref[Any] | None = None
        self._plate: OpenedPlate | None = None
        self._job: Job[Image] | None = None
        self._build()
        events = viewer.layers.events, viewer.layers.selection.events.active
        events[0].inserted.connect(self._look)
        events[0].removed.connect(self._look)
        events[1].connect(self._look)
        self._look()

    def _build(self) -> None:
        self.said = PlainLabel()
        self.well = QComboBox()
        self.go = QPushButton("Go to the well")
        self.go.clicked.connect(self.go_to_well)
        self.field = QSpinBox()
        self.field.setToolTip(
            "Which field of each well, in the order in which the wells list them."
        )
        self.acquisition = QComboBox()
        self.show_button = QPushButton("Show this field")
        self.show_button.clicked.connect(self.show_field)
        self.status = PlainLabel()
        self.rows = QWidget()
        form = QFormLayout(self.rows)
        form.addRow("Well", self.well)
        form.addRow("", self.go)
        form.addRow("Field (first: 0)", self.field)
        form.addRow("Acquisition", self.acquisition)
        form.addRow("", self.show_button)
        layout = QVBoxLayout(self)
        for widget in (self.said, self.rows, self.status):
            layout.addWidget(widget)
        layout.addStretch(1)

    def _look(self, *_: Any) -> None:
        """Find the plate: of the selected layer, else of the topmost that shows one."""
        viewer = self._viewer()
        if viewer is None:
            return
        active = viewer.layers.selection.active
        order = [*([active] if active is not None else []), *reversed(viewer.layers)]
        found = next(
            ((layer, plate) for layer in order if (plate := plate_behind(layer)) is not None),
            (None, None),
        )
        self._layer = None if found[0] is None else weakref.ref(found[0])
        if found[1] is not self._plate or found[1] is None:
            self._plate = found[1]
            self._fill()

    def _fill(self) -> None:
        plate = self._plate
        self.rows.setVisible(plate is not None)
        self.well.clear()
        self.acquisition.clear()
        if plate is None:
            self.said.setText("Open a plate or a well, or select one of its layers.")
            return
        count = plate.field_count
        self.said.setText(_summary(plate))
        for well in plate.wells[:_MOST_WELLS]:
            self.well.addItem(well.name, well)
        self.field.setRange(-1 if plate.is_well else 0, max(count - 1, 0))
        self.field.setSpecialValueText("all" if plate.is_well else "")
        self.field.setValue(-1 if plate.field is None else plate.field)
        self.acquisition.addItem("any", None)
        for each in plate.acquisitions:
            self.acquisition.addItem(
                f"{each.id}: {each.name}" if each.name else str(each.id), each.id
            )
        self.acquisition.setCurrentIndex(max(0, self.acquisition.findData(plate.acquisition)))
        self.acquisition.setEnabled(bool(plate.acquisitions))

    def go_to_well(self) -> None:
        """Bring the chosen well into the middle of the canvas, as large as fits."""
        viewer, layer = self._viewer(), self._layer() if self._layer is not None else None
        well: PlateWell | None = self.well.currentData()
        if viewer is None or layer is None or self._plate is None or well is None:
            return
        view = display.view_of(layer)
        if view is None:
            return
        low = np.array(layer.world_to_data(viewer.dims.point)[-layer.ndim :], float)
        high = low.copy()
        cells = zip(
            plane_axes(view.pyramid), (well.row, well.column), self._plate.cell, strict=True
        )
        for axis, number, length in cells:
            pitch = length / view.pyramid.levels[0].transform.scale[axis]
            position = view.order.index(axis)
            low[position], high[position] = number * pitch, (number + 1) * pitch
        go_to(viewer, layer, np.array([low, high]), fill=True)

    def show_field(self) -> None:
        """Open the plate with the chosen field; its layers take the place of those there are."""
        viewer, plate = self._viewer(), self._plate
        if viewer is None or plate is None:
            return
        field = self.field.value() if self.field.value() >= 0 else None
        acquisition = self.acquisition.currentData()
        old = [each for each in viewer.layers if _is_of(each, plate)]

        async def reopened() -> Image:
            opened = await plate.reopen(field, acquisition)
            return Image(opened.pyramid, opened)

        def shown(image: Image) -> None:
            self._end("")
            window = self._viewer()
            if window is None or not wiring.is_open(window):
                return

            def replace_old() -> None:
                for each in old:
                    if each in window.layers:
                        window.layers.remove(each)

            show_image(window, image, then=replace_old)

        def failed(error: BaseException) -> None:
            self._end(str(error))
            if isinstance(error, CloudError):
                tell_error(error)

        self.show_button.setEnabled(False)
        self.status.setText("Opening …")
        self._job = Job(io_thread().submit(reopened()), shown, failed, self)

    def _end(self, sentence: str) -> None:
        self.show_button.setEnabled(True)
        self.status.setText(sentence)


def _summary(plate: OpenedPlate) -> str:
    many = len(plate.wells)
    if plate.is_well:
        return f"A well: {many:,} field{'s' * (many != 1)} shown"
    fields = f"{plate.field_count:,} field{'s' * (plate.field_count != 1)} each"
    listed = f"; the first {_MOST_WELLS:,} are listed here" if many > _MOST_WELLS else ""
    return f"{many:,} well{'s' * (many != 1)}, up to {fields}{listed}"


def _is_of(layer: Any, plate: OpenedPlate) -> bool:
    """Tell whether a layer shows the plate's fields or their labels themselves."""
    view = display.view_of(layer)
    return view is not None and any(
        each is plate or each is plate.found for each in view.pyramid.kept
    )
