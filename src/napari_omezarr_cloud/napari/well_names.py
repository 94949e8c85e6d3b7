"""Names of wells over a plate: of those on screen where they fit, else of rows and columns."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject

from napari_omezarr_cloud.napari.display import view_of
from napari_omezarr_cloud.napari.plate_place import well_box
from napari_omezarr_cloud.napari.view_watch import ViewWatch
from napari_omezarr_cloud.pyramid.mosaic import plane_axes

if TYPE_CHECKING:
    from napari_omezarr_cloud.pyramid.plate_opened import OpenedPlate

__all__ = ["LAYER_NAME", "WellNames"]

LAYER_NAME = "wells"
_TEXT_PX = 9
_ROOM_PX = (16.0, 34.0)
"""Height and width of a cell on screen into which a name of three letters fits."""
_MOST_NAMES = 600
"""Texts are drawn one by one: more of them make moving slow."""


@dataclass(frozen=True)
class _Names:
    texts: list[str]
    places: np.ndarray[Any, Any]
    """Shape (n, 2): y and x in world units."""


class WellNames(QObject):
    """Keeps a layer of names over a plate in a viewer, as long as both are there.

    Parameters
    ----------
    viewer
        Not kept alive.
    parent
        Owns this object.
    """

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = weakref.ref(viewer)
        self._layer: weakref.ref[Any] | None = None
        self._names: weakref.ref[Any] | None = None
        self._plate: OpenedPlate | None = None
        self._last: list[str] | None = None
        self._is_adding = False
        self._watch = ViewWatch(viewer, self)
        self._watch.changed.connect(self._update)

    @property
    def is_shown(self) -> bool:
        """Whether there is a layer of names."""
        return self._is_adding or self._live() is not None

    def can_show(self, layer: Any) -> bool:
        """Tell whether a layer's rows and columns are the last axes, over which names can lie."""
        view = view_of(layer)
        if view is None:
            return False
        last = (layer.ndim - 2, layer.ndim - 1)
        return tuple(view.order.index(axis) for axis in plane_axes(view.pyramid)) == last

    def show(self, layer: Any, plate: OpenedPlate) -> None:
        """Name the wells that a layer shows."""
        from napari.layers import Points

        viewer = self._viewer()
        if viewer is None or self._is_adding or not self.can_show(layer):
            return
        self._layer, self._plate, self._last = weakref.ref(layer), plate, None
        self._watch.watch_layer(layer)
        if self._live() is None:
            active = list(viewer.layers.selection)
            names = Points(
                np.zeros((0, 2)),
                name=LAYER_NAME,
                size=1,
                opacity=1.0,
                face_color="transparent",
                border_color="transparent",
                features={"well": np.array([], dtype=str)},
                text={"string": "{well}", "size": _TEXT_PX, "color": "yellow"},
                units=layer.units[-2:],
                axis_labels=layer.axis_labels[-2:],
            )
            self._is_adding = True  # those who are told of a new layer may ask us again
            viewer.add_layer(names)
            self._names, self._is_adding = weakref.ref(names), False
            viewer.layers.selection = set(active)  # who hovers wants to know the pixels
        elif viewer.layers[-1] is not self._live():
            viewer.layers.move(viewer.layers.index(self._live()), len(viewer.layers))
        self._watch.start()
        self._update()

    def hide(self) -> None:
        """Take the names away."""
        self._watch.stop()
        viewer, names = self._viewer(), self._live()
        if viewer is not None and names is not None:
            viewer.layers.remove(names)
        self._names = None

    def _live(self) -> Any | None:
        viewer = self._viewer()
        names = self._names() if self._names is not None else None
        return names if viewer is not None and names in viewer.layers else None

    def _update(self) -> None:
        names, layer, viewer = self._live(), self._layer() if self._layer else None, self._viewer()
        if names is None or viewer is None or self._plate is None:
            self._watch.stop()
            return
        if layer is None or layer not in viewer.layers:
            self.hide()
            return
        found = self._fitting(viewer, layer, self._plate)
        if found.texts == self._last:
            return
        self._last = found.texts
        # Texts are formatted when places change: features must be of as many points by then.
        with names.events.blocker_all():
            names.data = found.places
        names.features = {"well": np.array(found.texts, dtype=str)}
        names.refresh()

    def _fitting(self, viewer: Any, layer: Any, plate: OpenedPlate) -> _Names:
        """Return names that fit at the zoom of now."""
        view = view_of(layer)
        if view is None or not plate.wells or viewer.dims.ndisplay != 2:
            return _Names([], np.zeros((0, 2)))
        first = well_box(view, plate, plate.wells[0], np.zeros(layer.ndim))
        low, high = (np.array(layer.data_to_world(corner))[-2:] for corner in first)
        pitch = high - low
        origin = low - pitch * (plate.wells[0].row, plate.wells[0].column)
        zoom = float(viewer.scene.camera.zoom)
        center = np.array(viewer.scene.camera.center)[-2:]
        half = np.array(viewer.canvas.viewbox_size(viewer.layers)) / zoom / 2
        start, stop = (center - half - origin) / pitch - 1, (center + half - origin) / pitch
        seen = [
            well
            for well in plate.wells
            if start[0] < well.row < stop[0] and start[1] < well.column < stop[1]
        ]
        if (pitch * zoom >= _ROOM_PX).all() and len(seen) <= _MOST_NAMES:
            middle = origin + pitch / 2
            places = [middle + pitch * (well.row, well.column) for well in seen]
            return _Names([well.name for well in seen], np.array(places).reshape(-1, 2))
        return _edges(plate, origin, pitch, zoom)


def _edges(
    plate: OpenedPlate, origin: np.ndarray[Any, Any], pitch: np.ndarray[Any, Any], zoom: float
) -> _Names:
    """Return names of rows to the left and of columns above, as many of them as fit."""
    texts: list[str] = []
    places: list[Any] = []
    away = 14 / zoom
    for axis, lines in enumerate((plate.rows, plate.columns)):
        room = (18.0, 24.0)[axis] / (pitch[axis] * zoom)
        for number in range(0, len(lines), max(1, math.ceil(room))):
            place = origin.copy()
            place[axis] += (number + 0.5) * pitch[axis]
            place[1 - axis] -= away
            texts.append(lines[number])
            places.append(place)
    return _Names(texts, np.array(places).reshape(-1, 2))
