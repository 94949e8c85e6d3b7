"""Contrast from the pixels of the coarsest level, where the file says nothing of it."""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY
from napari_omezarr_cloud.pyramid import Region

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
    number = len(view.pyramid.levels) - 1
    region = _middle(view.grid(number).shape)
    reference = weakref.ref(layer)
    guessed = list(layer.contrast_limits)

    def apply(pixels: npt.NDArray[Any]) -> None:
        live = reference()
        _jobs.discard(job)
        limits = limits_of(view.reduce(pixels))
        if live is None or limits is None or list(live.contrast_limits) != guessed:
            return
        low, high = live.contrast_limits_range
        live.contrast_limits_range = [min(low, limits[0]), max(high, limits[1])]
        live.contrast_limits = limits

    future = engine().start(view.level(number), view.expand(region))
    job: Job[Any] = Job(future, apply, lambda _: _jobs.discard(job))
    _jobs.add(job)


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
