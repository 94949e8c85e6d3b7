"""Contrast from the pixels of the coarsest level, where the file says nothing of it.

Of a plate only wells on screen are asked for, so it is from the first of those, and then from all.
"""

from __future__ import annotations

import itertools
import math
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, QTimer

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY
from napari_omezarr_cloud.napari.refresh import refresher
from napari_omezarr_cloud.pyramid import Region
from napari_omezarr_cloud.pyramid.plate_opened import plate_of

if TYPE_CHECKING:
    from napari_omezarr_cloud.napari.look import Look
    from napari_omezarr_cloud.pyramid import PyramidView

__all__ = ["correct_guess", "limits_of"]

_jobs: set[Job[Any]] = set()


def limits_of(pixels: npt.NDArray[Any], low: float = 0.1, high: float = 99.9) -> list[float] | None:
    """Return contrast limits by percentiles of the finite pixels; None where there are none."""
    finite = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
    if finite.size == 0:
        return None
    start, end = (float(n) for n in np.percentile(finite, (low, high)))
    if end <= start:
        start, end = float(finite.min()), float(finite.max())
    return [start, end if end > start else start + 1]


def correct_guess(layer: Any) -> None:
    """Replace a guessed contrast when the coarsest level has come, unless the person was faster."""
    about = layer.metadata.get(METADATA_KEY, {})
    shown = display_of(layer)
    if not about.get("guess_contrast") or shown is None:
        return
    view = shown.view
    if plate_of(view.pyramid) is not None:
        _FromWells(layer)
        return
    number = len(view.pyramid.levels) - 1
    region = _middle(view.grid(number).shape)
    reference = weakref.ref(layer)
    guessed = list(layer.contrast_limits)

    def apply(pixels: npt.NDArray[Any]) -> None:
        live = reference()
        _jobs.discard(job)
        limits = limits_of(view.reduce(pixels))
        if live is not None and limits is not None and list(live.contrast_limits) == guessed:
            _set(live, limits)

    future = engine().start(view.level(number), view.expand(region))
    job: Job[Any] = Job(future, apply, lambda _: _jobs.discard(job))
    _jobs.add(job)


def _set(layer: Any, limits: list[float]) -> None:
    low, high = layer.contrast_limits_range
    layer.contrast_limits_range = [min(low, limits[0]), max(high, limits[1])]
    layer.contrast_limits = limits


class _FromWells(QObject):
    """Sets the contrast of a plate's layer when some wells have come, and when all in view have."""

    def __init__(self, layer: Any) -> None:
        super().__init__(refresher())
        self._layer = weakref.ref(layer)
        self._limits = list(layer.contrast_limits)
        self._is_first = True
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(_BEAT_MS)

    def _look(self) -> None:
        layer = self._layer()
        shown = None if layer is None else display_of(layer)
        if layer is None or shown is None or list(layer.contrast_limits) != self._limits:
            self.deleteLater()  # removed, or the person was faster
        elif shown.look is not None and (self._is_first or not shown.missing):
            pixels = _here(shown.view, shown.look)
            if pixels is not None and (not shown.missing or len(pixels) >= _FEW_WELLS):
                self._apply(layer, limits_of(np.concatenate(pixels)))
            if not shown.missing:
                self.deleteLater()

    def _apply(self, layer: Any, limits: list[float] | None) -> None:
        self._is_first = False
        if limits is not None:
            _set(layer, limits)
        self._limits = list(layer.contrast_limits)


def _here(view: PyramidView, look: Look) -> list[npt.NDArray[Any]] | None:
    """Return pixels of the chunks of a look that are in memory, of many some; None: there are none.

    What is blank is no part of them.
    """
    level, region = view.level(look.number), view.expand(look.region)
    cache = engine().cache
    found = []
    for index in itertools.islice(level.grid.touching(region), _MOST_CHUNKS):
        if isinstance(cache.get(level.key, index), np.ndarray):
            part = level.grid.region_of(index).intersect(region)
            found.append(view.reduce(engine().peek(view.pyramid, look.number, part).pixels))
    step = max(1, sum(each.size for each in found) // _MOST)
    return [each.reshape(-1)[::step] for each in found] or None


_BEAT_MS = 200
_FEW_WELLS = 12
_MOST_CHUNKS = 1 << 14
_MOST = 1 << 22
"""Pixels that are looked at: enough for percentiles, few enough to come at once."""


def _middle(shape: tuple[int, ...]) -> Region:
    """Return the middle of a level: all of it where it is small, else fewer planes, then less."""
    start, stop = [0] * len(shape), list(shape)

    def size() -> float:
        return math.prod(b - a for a, b in zip(start, stop, strict=True))

    for axis, n in enumerate(shape[:-2]):
        if size() > _MOST:
            start[axis], stop[axis] = n // 2, n // 2 + 1
    for axis in range(max(len(shape) - 2, 0), len(shape)):
        if size() > _MOST:
            n = shape[axis]
            start[axis], stop[axis] = max(0, n // 2 - 1024), min(n, n // 2 + 1024)
    return Region(tuple(start), tuple(stop))
