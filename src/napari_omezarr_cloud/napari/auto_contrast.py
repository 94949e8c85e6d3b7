"""Contrast from what is visible: percentiles of its exact pixels, worked out beside the window."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.errors import CloudError, OperationError
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.contrast import limits_of
from napari_omezarr_cloud.napari.notices import tell_error, tell_warning
from napari_omezarr_cloud.napari.pixels import LayerPixels
from napari_omezarr_cloud.napari.threads import in_thread
from napari_omezarr_cloud.napari.visible import visible_region
from napari_omezarr_cloud.store import io_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_omezarr_cloud.pyramid import Region

__all__ = ["contrast_of_visible", "sampled_limits"]

_ENOUGH = 1 << 20
"""Pixels from which contrast is worked out; more would not change it."""

_MAX_BYTES = 512 << 20

_jobs: weakref.WeakKeyDictionary[Any, Job[Any]] = weakref.WeakKeyDictionary()


def sampled_limits(pixels: npt.NDArray[Any]) -> list[float] | None:
    """Return contrast limits of pixels, or of evenly spread ones of very many; None without any.

    They always differ, also in single precision, as napari needs it.
    """
    if pixels.dtype.kind == "b":
        return [0.0, 1.0]
    flat = pixels.reshape(-1)
    limits = limits_of(flat[:: max(1, flat.size // _ENOUGH)])
    if limits is None:
        return None
    low, high = limits
    return [low, high if np.float32(high) > np.float32(low) else low + max(1.0, abs(low))]


def contrast_of_visible(viewer: Any) -> None:
    """Set the contrast of the selected image layers, or of all that are shown where none is.

    Returns at once; each layer changes when its pixels have come, unless somebody has moved its
    contrast meanwhile. Colour pictures have no contrast and are left alone.
    """
    layers = _layers(viewer)
    if not layers:
        tell_warning("There is no image whose contrast could be set. Select an image layer.")
    for layer in layers:
        seen = visible_region(viewer, layer)
        if seen is None:
            continue
        if seen.nbytes > _MAX_BYTES:
            tell_warning(f"Too much of “{layer.name}” is in view to look at all of it. Zoom in.")
            continue
        _begin(layer, LayerPixels.of(layer, seen.level.number), seen.region)


def _layers(viewer: Any) -> Sequence[Any]:
    from napari.layers import Image

    images = [x for x in viewer.layers if isinstance(x, Image) and not x.rgb and x.ndim >= 2]
    selected = [layer for layer in images if layer in viewer.layers.selection]
    return selected or [layer for layer in images if layer.visible]


def _begin(layer: Any, source: LayerPixels, region: Region) -> None:
    reference = weakref.ref(layer)
    before = list(layer.contrast_limits)

    def apply(limits: list[float] | None) -> None:
        live = reference()
        if live is None or limits is None or list(live.contrast_limits) != before:
            return
        low, high = live.contrast_limits_range
        live.contrast_limits_range = [min(low, limits[0]), max(high, limits[1])]
        live.contrast_limits = limits

    if layer in _jobs:
        _jobs[layer].cancel()
    future = io_thread().submit(_limits(source, region))
    _jobs[layer] = Job(future, apply, _on_error)


def _on_error(error: BaseException) -> None:
    if not isinstance(error, CloudError):
        error = OperationError("Could not set the contrast", why=str(error))
    tell_error(error)


async def _limits(source: LayerPixels, region: Region) -> list[float] | None:
    pixels = await source.read(region, lambda: None)
    return await asyncio.wrap_future(in_thread(sampled_limits, pixels))
