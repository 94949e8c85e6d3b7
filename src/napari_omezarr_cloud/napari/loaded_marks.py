"""Which frames of a window are in memory, marked on its sliders as chunks come."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.frames import in_memory
from napari_omezarr_cloud.napari.play_hook import sliders_of
from napari_omezarr_cloud.napari.playing import shown_displays
from napari_omezarr_cloud.napari.slicing import course_along
from napari_omezarr_cloud.napari.widgets.loaded_bar import mark_loaded

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_omezarr_cloud.napari.display import Display
    from napari_omezarr_cloud.pyramid import Index

__all__ = ["mark_sliders"]

_RHYTHM_MS = 250
_COST_SHARE = 20
"""Long series in memory take longer to look through: marks take at most this part of the time."""


def mark_sliders(viewer: Any) -> None:
    """Mark on the sliders of a window what is loaded of our layers, as long as the window lives."""
    sliders = sliders_of(viewer)
    if hasattr(sliders, "slider_widgets"):
        _Marks(viewer, sliders)


class _Marks(QObject):
    """Renews the marks in a rhythm, if anything has happened since."""

    _came = Signal()

    def __init__(self, viewer: Any, sliders: Any) -> None:
        super().__init__(sliders)
        self._viewer = weakref.ref(viewer)
        self._sliders = weakref.ref(sliders)
        self._engine = engine()
        self._keys: frozenset[int] = frozenset()
        self._is_told = False
        self._watched: weakref.WeakSet[Any] = weakref.WeakSet()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_RHYTHM_MS)
        self._timer.timeout.connect(self._renew)
        self._came.connect(self._plan)
        end = self._end = self._engine.subscribe(self._hear)
        sliders.destroyed.connect(lambda *_: end())
        dims, layers = viewer.dims.events, viewer.layers.events
        for event in (dims.ndim, dims.order, dims.ndisplay, dims.range, dims.current_step):
            event.connect(self._plan)
        for event in (layers.inserted, layers.removed):
            event.connect(self._plan)

    def _hear(self, level: int, indices: Sequence[Index]) -> None:
        """On the engine's loop: wake the GUI thread, once for all until it has looked."""
        if level not in self._keys or self._is_told:
            return
        self._is_told = True
        try:
            self._came.emit()
        except RuntimeError:  # the window is gone, and this object with it
            self._end()

    def _plan(self, event: Any = None) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _renew(self) -> None:
        started = time.perf_counter()
        self._is_told = False  # first: what comes from now on may not be seen any more
        viewer, sliders = self._viewer(), self._sliders()
        if viewer is None or sliders is None:
            return
        self._watch(viewer)
        shown, dims = shown_displays(viewer), viewer.dims
        looks = [(each.view, each.look) for _, each in shown if each.look is not None]
        self._keys = frozenset(view.level(look.number).key for view, look in looks)
        for axis, widget in enumerate(sliders.slider_widgets):
            has_slider = axis not in dims.displayed and dims.nsteps[axis] > 1
            flags = self._flags(dims, axis, shown) if shown and has_slider else None
            mark_loaded(widget.slider, flags)
        cost_ms = (time.perf_counter() - started) * 1000
        self._timer.setInterval(max(_RHYTHM_MS, int(_COST_SHARE * cost_ms)))

    def _watch(self, viewer: Any) -> None:
        """Hear of each picture of our layers: another step, place or level."""
        for layer in viewer.layers:
            if display_of(layer) is not None and layer not in self._watched:
                self._watched.add(layer)
                layer.events.set_data.connect(self._plan)
                layer.events.visible.connect(self._plan)

    def _flags(
        self, dims: Any, axis: int, shown: Sequence[tuple[Any, Display]]
    ) -> npt.NDArray[np.bool_]:
        """Tell for each position of a slider whether all layers are in memory there."""
        positions = range(dims.nsteps[axis])
        flags = np.ones(len(positions), bool)
        for layer, display in shown:
            course = course_along(layer, display, dims, axis, positions)
            here = in_memory(course, display.view, self._engine.cache)
            here[dims.current_step[axis]] |= layer.loaded and not display.missing
            flags &= here
        return flags
