"""Sources to write from, without a store behind them, and how a write begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.ngff import Axis
from napari_omezarr_cloud.pyramid import Grid, Transform
from napari_omezarr_cloud.store import io_thread
from napari_omezarr_cloud.write.plan import plan_image
from napari_omezarr_cloud.write.target import find
from napari_omezarr_cloud.write.writing import Writing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np

    from napari_omezarr_cloud.pyramid import Region
    from napari_omezarr_cloud.write.plan import Plan

TYPES = {"t": "time", "c": "channel"}


class ArraySource:
    """Gives regions of an array in memory, and remembers which."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array
        self.regions: list[Region] = []
        self.before_read: Callable[[], None] = lambda: None

    def read(self, level: int, region: Region) -> np.ndarray[Any, Any]:
        assert level == 0
        self.before_read()
        self.regions.append(region)
        return self.array[region.slices]


def axes(names: str) -> tuple[Axis, ...]:
    """Return axes of these letters, space in micrometres."""
    return tuple(
        Axis(a, TYPES.get(a, "space"), None if a in TYPES else "micrometer") for a in names
    )


def planned(array: np.ndarray, names: str, scale: tuple[float, ...], **options: Any) -> Plan:
    """Return the plan for an array; its first voxel lies at 0, 1, 2 …"""
    grid = Grid(array.shape, (1,) * array.ndim, array.dtype)
    transform = Transform(scale, tuple(float(i) for i in range(array.ndim)))
    return plan_image(grid, axes(names), transform, name="cells", **options)


def begun(plan: Plan, folder: Path, **more: Any) -> Writing:
    """Return a write into a folder that has begun."""
    location = parse_location(folder)
    writing = Writing(plan, location, **more)
    writing.begin(io_thread().wait(find(location)))
    return writing
