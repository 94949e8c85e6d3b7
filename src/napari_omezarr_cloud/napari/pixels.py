"""Exact pixels of a layer, awaited: through the engine where the layer is ours, else from a thread.

Never of a stand-in: what is painted may be coarse, what is processed is not.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.napari.display import view_of
from napari_omezarr_cloud.napari.threads import in_thread
from napari_omezarr_cloud.process.computation import is_patched
from napari_omezarr_cloud.pyramid import PyramidView, Region

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

__all__ = ["LayerPixels"]


@dataclass(frozen=True)
class LayerPixels:
    """The pixels of one level of a layer; holds its arrays, not the layer."""

    number: int
    view: PyramidView | None
    array: Any
    """What another's layer holds for this level; None where the layer is ours."""

    @classmethod
    def of(cls, layer: Any, number: int) -> LayerPixels:
        """Take hold of a level of a layer; on the GUI thread, without reading."""
        view = view_of(layer)
        if view is not None:
            return cls(number, view, None)
        return cls(number, None, layer.data[number] if layer.multiscale else layer.data)

    def chunk_count(self, region: Region) -> int:
        """Return of how many chunks `read` will tell."""
        if self.view is None:
            return 1
        level = self.view.level(self.number)
        if is_patched(level):
            return 1
        grid = level.grid
        stored = self.view.expand(region)
        spans = zip(stored.start, stored.stop, grid.chunks, strict=True)
        return prod((b - 1) // c - a // c + 1 for a, b, c in spans)

    async def read(self, region: Region, on_chunk: Callable[[], None]) -> npt.NDArray[Any]:
        """Return a region in the axes of the layer's data; on the engine's loop.

        Raises
        ------
        ChunkError
            If a chunk cannot be read; the message names it.
        """
        if self.view is None:
            pixels = await asyncio.wrap_future(in_thread(_copy, self.array, region))
            on_chunk()
            return pixels
        level, there = self.view.level(self.number), self.view.expand(region)
        if is_patched(level):
            # What has no finite halo is computed on just this region, as it is shown.
            level = level.patch(there)
            there = Region.whole(level.grid.shape)
        return self.view.reduce(await engine().region(level, there, on_chunk=on_chunk))


def _copy(array: Any, region: Region) -> npt.NDArray[Any]:
    # A copy: the person may go on painting in the layer while its pixels are being worked on.
    return np.array(array[region.slices])
