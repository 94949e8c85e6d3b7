"""Which part of a layer: all, what is in view, numbers or a rectangle, and which planes of it."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QComboBox

from napari_omezarr_cloud.errors import RegionError
from napari_omezarr_cloud.napari.rectangle import is_shapes, rectangle_spans
from napari_omezarr_cloud.napari.view_watch import ViewWatch
from napari_omezarr_cloud.napari.visible import axis_names, level_of, visible_region
from napari_omezarr_cloud.napari.widgets.plane_range import PlaneRange
from napari_omezarr_cloud.pyramid import Region

if TYPE_CHECKING:
    from qtpy.QtWidgets import QFormLayout, QWidget

__all__ = ["RunRegion"]

_WHOLE, _VIEW, _NUMBERS = 0, 1, 2
_CHOICES = ("The whole image", "What is in view", "Numbers of voxels")


class RunRegion(QObject):
    """A row for the region, and one for each slider of more than one position.

    Parameters
    ----------
    viewer
        Whose view and rectangles; it is not kept alive.
    form
        Where the rows go.
    parent
        The window.
    """

    changed = Signal()
    """Another part is chosen, or it is in view."""

    def __init__(self, viewer: Any, form: QFormLayout, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = weakref.ref(viewer)
        self._form = form
        self._shapes: list[weakref.ref[Any]] = []
        self.take_box = QComboBox()
        self.take_box.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.take_box.addItems(_CHOICES)
        self.take_box.setMinimumContentsLength(14)
        self.planes: dict[str, PlaneRange] = {}
        """By the name of the axis."""
        self._counts: dict[str, int] = {}
        form.addRow("Region", self.take_box)
        self._watch, self._box_watch = ViewWatch(viewer, self), ViewWatch(viewer, self)
        self._watch.changed.connect(self._on_view)
        self._box_watch.changed.connect(self._on_view)
        self.take_box.currentIndexChanged.connect(self._on_take)

    def start(self) -> None:
        """Follow the view from now on."""
        self._watch.start()
        self._box_watch.start()

    def stop(self) -> None:
        """Leave the viewer alone."""
        self._watch.stop()
        self._box_watch.stop()
        self._watch.watch_layer(None)
        self._box_watch.watch_layer(None)

    def follow(self, layer: Any | None) -> None:
        """Look at a layer, and offer the rectangles that are there."""
        viewer = self._viewer()
        if viewer is None:
            return
        self._watch.watch_layer(layer)
        shapes = [each for each in viewer.layers if is_shapes(each)]
        if shapes != [each() for each in self._shapes]:
            before = self._taken()
            self._shapes = [weakref.ref(each) for each in shapes]
            self.take_box.blockSignals(True)
            while self.take_box.count() > len(_CHOICES):
                self.take_box.removeItem(len(_CHOICES))
            self.take_box.addItems([f"Rectangle in “{each.name}”" for each in shapes])
            if before in shapes:
                self.take_box.setCurrentIndex(len(_CHOICES) + shapes.index(before))
            self.take_box.blockSignals(False)

    def region(self, layer: Any, number: int) -> Region | None:
        """Return what is taken of a level, in the layer's axes; None: all of it.

        Raises
        ------
        RegionError
            If nothing of the layer is there.
        OperationError
            If there is no rectangle in the layer of shapes.
        """
        viewer = self._viewer()
        level = level_of(layer, number)
        whole = Region.whole(level.shape)
        names = axis_names(layer)
        offset = 0 if viewer is None else viewer.dims.ndim - layer.ndim
        on_screen = [] if viewer is None else [d - offset for d in viewer.dims.displayed]
        region = whole
        if self.take_box.currentIndex() != _WHOLE and viewer is not None:
            shapes = self._taken()
            spans = None if shapes is None else rectangle_spans(viewer, shapes)
            seen = visible_region(viewer, layer, number, spans)
            if seen is None and self.take_box.currentIndex() != _NUMBERS:
                place = "in view" if shapes is None else f"in the rectangle of “{shapes.name}”"
                raise RegionError(f"Nothing of “{layer.name}” is {place}", hint="Move it there.")
            region = whole if seen is None else seen.region
        is_by_numbers = self.take_box.currentIndex() == _NUMBERS
        rest = {
            names[axis]: level.shape[axis]
            for axis in range(layer.ndim)
            if (axis not in on_screen or is_by_numbers) and level.shape[axis] > 1
        }
        self._offer_planes(rest)
        start, stop = list(region.start), list(region.stop)
        for axis, name in enumerate(names):
            if name in rest:
                self.planes[name].follow(start[axis], stop[axis])
                start[axis], stop[axis] = self.planes[name].span
        found = Region(tuple(start), tuple(stop))
        return None if found == whole else found

    def _offer_planes(self, counts: dict[str, int]) -> None:
        if counts == self._counts:
            return
        for rows in self.planes.values():
            self._form.removeRow(rows)
        self._counts = dict(counts)
        self.planes = {name: PlaneRange(count) for name, count in counts.items()}
        row = self._form.getWidgetPosition(self.take_box)[0]
        for place, (name, rows) in enumerate(self.planes.items(), start=row + 1):
            usual = f"{'Planes' if name not in ('y', 'x') else 'Voxels'} along {name}"
            words = {"t": "Time points", "c": "Channels"}.get(name, usual)
            self._form.insertRow(place, words, rows)
            rows.changed.connect(self.changed)

    def _taken(self) -> Any | None:
        index = self.take_box.currentIndex() - len(_CHOICES)
        return self._shapes[index]() if 0 <= index < len(self._shapes) else None

    def _on_take(self) -> None:
        self._box_watch.watch_layer(self._taken())
        self.changed.emit()

    def _on_view(self) -> None:
        if self.take_box.currentIndex() != _WHOLE:
            self.changed.emit()
