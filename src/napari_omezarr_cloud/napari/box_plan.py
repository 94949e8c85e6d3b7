"""A box of the volumes on screen, as fine as it fits: what would be shown, in numbers and words."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.errors import OperationError, RegionError
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.frustum import Sight, box_in_sight
from napari_omezarr_cloud.napari.look import Look
from napari_omezarr_cloud.napari.region_text import bytes_text, size_text
from napari_omezarr_cloud.napari.visible import VisibleRegion, box_in_data, visible_region
from napari_omezarr_cloud.napari.volume import displayed_axes, finest_fitting, texture_limit
from napari_omezarr_cloud.pyramid import Region
from napari_omezarr_cloud.settings import settings

if TYPE_CHECKING:
    from napari_omezarr_cloud.napari.display import Display
    from napari_omezarr_cloud.napari.visible import Spans

__all__ = ["BoxPart", "BoxPlan", "plan_box", "volumes_on_screen"]

_ROUNDING = 1e-4
"""In voxels: a face that is off by rounding must not let one more voxel in."""


@dataclass(frozen=True)
class BoxPart:
    """The box of one layer."""

    layer: weakref.ref[Any]
    box: Region
    """In voxels of level 0; whole along axes that are not on screen."""
    seen: VisibleRegion
    """What would be shown of it: the finest level that fits."""
    finest_bytes: int
    """What the box has at level 0."""
    chunks: int
    """Chunks of the level in the box."""
    missing: int
    """Of these, how many are to be loaded."""


@dataclass(frozen=True)
class BoxPlan:
    """The boxes of all visible volumes."""

    parts: tuple[BoxPart, ...]
    is_cut: bool = False
    """Whether the box is less deep than the view, as the whole depth does not fit."""

    @property
    def is_full(self) -> bool:
        """Whether all of them are shown at level 0."""
        return all(part.seen.level.number == 0 for part in self.parts)

    @property
    def missing(self) -> int:
        """Chunks to load."""
        return sum(part.missing for part in self.parts)

    @property
    def level(self) -> int:
        """The level that is shown; of several, the coarsest."""
        return max(part.seen.level.number for part in self.parts)

    @property
    def action(self) -> str:
        """What showing it is called, on a button."""
        return "Show at full resolution" if self.is_full else f"Show at level {self.level}"

    @property
    def costs(self) -> str:
        """Which level it is, how large, and how much is to be loaded."""
        levels = sorted({part.seen.level.number for part in self.parts})
        name = f"level {' and '.join(map(str, levels))}"
        count = f" in {len(self.parts)} layers" if len(self.parts) > 1 else ""
        nbytes = bytes_text(sum(part.seen.nbytes for part in self.parts))
        chunks = sum(part.chunks for part in self.parts)
        return (
            f"{'full resolution, ' if self.is_full else ''}{name} · "
            f"{size_text(self.parts[0].seen)} · {nbytes}{count} · "
            f"{self.missing} of {chunks} chunks to load"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Why it is no more and no finer, in sentences."""
        cut = (
            "It is as deep as the view is wide, around the middle: the whole depth does not fit "
            "at this level."
        )
        return (*([cut] if self.is_cut else []), *([] if self.is_full else [self._why_not_full()]))

    def _why_not_full(self) -> str:
        most = settings().volume_mb
        worst = max(part.finest_bytes for part in self.parts)
        if worst > settings().volume_bytes:
            why = f"would be {bytes_text(worst)}, and {most} MB is the most for a volume"
        else:
            why = "is more than the graphics card or the memory for pixels takes"
        return f"Full resolution {why} (Settings…). Zoom in for a smaller box."


def volumes_on_screen(viewer: Any) -> list[tuple[Any, Display]]:
    """Return the visible layers of ours with all three axes on screen, in 3-D."""
    found = []
    for layer in viewer.layers:
        shown = display_of(layer)
        if shown is not None and layer.visible and len(displayed_axes(viewer, layer)) == 3:
            found.append((layer, shown))
    return found


def plan_box(viewer: Any, spans: Spans | None = None) -> BoxPlan:
    """Settle which box is shown, and at which level; on the GUI thread, without reading.

    Parameters
    ----------
    viewer
        With a window.
    spans
        The box in the world. None: what is in view. If that does not fit at full resolution, it is
        no deeper than the view is wide, around what the camera turns around.

    Raises
    ------
    OperationError
        If the view is 2-D, or shows no volume of ours.
    RegionError
        If nothing of a volume is in view, or in the box.
    """
    if viewer.dims.ndisplay != 3:
        raise OperationError(
            "A box at full resolution needs the 3D view",
            hint="Switch to 3D (the square below the layer list), then zoom to what you want.",
        )
    volumes = volumes_on_screen(viewer)
    if not volumes:
        raise OperationError(
            "There is no volume to show at full resolution",
            hint="Open an OME-Zarr with z, y and x, and make it visible.",
        )
    if spans is not None:
        parts = [_part(viewer, each, box_in_data(viewer, each[0], spans)) for each in volumes]
        found = BoxPlan(tuple(part for part in parts if part is not None))
    else:
        sight = _sight(viewer)
        found = _plan_in_sight(viewer, volumes, sight)
        if found.parts and not found.is_full:
            depth = max(sight.half_height, sight.half_width)
            cut = _plan_in_sight(viewer, volumes, replace(sight, half_depth=depth))
            if cut.parts and cut.level < found.level:
                found = replace(cut, is_cut=True)
    if not found.parts:
        raise RegionError(
            f"Nothing of a volume is in {'view' if spans is None else 'the box'}",
            hint="Move it there.",
        )
    return found


def _plan_in_sight(viewer: Any, volumes: list[tuple[Any, Display]], sight: Sight) -> BoxPlan:
    parts = []
    for layer, shown in volumes:
        axes = list(displayed_axes(viewer, layer))
        at = np.array(layer.world_to_data(np.array(viewer.dims.point, float)), float)
        at[axes] = 0
        origin = np.array(layer.data_to_world(at))[axes]
        steps = np.eye(layer.ndim)[axes]
        columns = [np.array(layer.data_to_world(at + step))[axes] - origin for step in steps]
        shape = tuple(shown.view.grid(0).shape[axis] for axis in axes)
        ends = box_in_sight(sight, shape, np.array(columns).T, origin)
        if ends is None:
            continue
        low, high = np.zeros(layer.ndim), np.zeros(layer.ndim)
        low[axes], high[axes] = ends
        part = _part(viewer, (layer, shown), (low, high))
        parts += [] if part is None else [part]
    return BoxPlan(tuple(parts))


def _sight(viewer: Any) -> Sight:
    camera = viewer.scene.camera
    # Of one cell where the grid is on: every cell shows its layer at the same place.
    height, width = (float(n) / camera.zoom for n in viewer.canvas.viewbox_size(viewer.layers))
    angle = math.radians(camera.perspective)
    return Sight(
        centre=np.array(camera.center, float),
        ahead=np.array(camera.view_direction, float),
        up=np.array(camera.up_direction, float),
        half_height=height / 2,
        half_width=width / 2,
        eye_distance=height / 2 / math.tan(angle / 2) if angle else math.inf,
    )


def _part(viewer: Any, volume: tuple[Any, Display], ends: tuple[Any, Any]) -> BoxPart | None:
    """Return the box of a layer between two corners in its data coordinates."""
    layer, shown = volume
    view, axes = shown.view, displayed_axes(viewer, layer)
    whole = Region.whole(view.grid(0).shape)
    start, stop = list(whole.start), list(whole.stop)
    for axis in axes:
        start[axis] = max(math.floor(ends[0][axis] + 0.5 + _ROUNDING), 0)
        stop[axis] = min(math.ceil(ends[1][axis] + 0.5 - _ROUNDING), whole.stop[axis])
    box = Region(tuple(start), tuple(stop))
    if box.is_empty:
        return None
    here = engine().cache
    most = settings().volume_bytes
    level = finest_fitting(view, axes, texture_limit(), box, max_bytes=most, cache=here)
    seen = visible_region(viewer, layer, level, box=box)
    if seen is None:
        return None
    chunks, missing = shown.count(Look(level, seen.region, axes, (1,) * view.ndim))
    finest_bytes = math.prod(box.shape[axis] for axis in axes) * view.dtype.itemsize
    return BoxPart(weakref.ref(layer), box, seen, finest_bytes, chunks, missing)
