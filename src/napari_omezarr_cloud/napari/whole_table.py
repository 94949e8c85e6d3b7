"""A table of all objects of a labels layer, wherever they are: decided here, measured beside it.

The same columns as of what is visible (`region_table`), but nothing has to fit into memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.napari.display import view_of
from napari_omezarr_cloud.napari.inputs import is_labels
from napari_omezarr_cloud.napari.layer_data import placement
from napari_omezarr_cloud.napari.pace import Pace
from napari_omezarr_cloud.napari.region_table import image_names, is_grey_image, world_of
from napari_omezarr_cloud.napari.region_text import bytes_text
from napari_omezarr_cloud.napari.sources import sources
from napari_omezarr_cloud.napari.threads import in_thread
from napari_omezarr_cloud.napari.visible import (
    VisibleRegion,
    axis_names,
    level_of,
    pixel_sizes_um,
)
from napari_omezarr_cloud.process.whole_measuring import WholeTable, plan_whole
from napari_omezarr_cloud.pyramid import Region
from napari_omezarr_cloud.write.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    import numpy.typing as npt

    from napari_omezarr_cloud.process.table import Table
    from napari_omezarr_cloud.process.whole_measuring import WholeMeasuring
    from napari_omezarr_cloud.pyramid import Transform

__all__ = ["WholeMeasured", "WholePlan", "WholeProgress", "plan_whole_table"]


@dataclass(frozen=True, eq=False)
class WholeMeasured:
    """A table, and where its objects are."""

    plan: WholePlan
    found: WholeTable

    @property
    def table(self) -> Table:
        """What was measured."""
        return self.found.table

    def stale_text(self, viewer: Any, layer: Any, level: int | None) -> str:
        """Return nothing: wherever one looks, it is a table of all."""
        return ""

    def corners(self, row: int) -> npt.NDArray[np.float64]:
        """Return the outer corners of an object, low and high, in data coordinates of the layer."""
        region = self.found.region(row)
        space = self.found.measuring.grid.space
        low, high = np.array(region.start, float), np.array(region.stop, float) - 1
        low[list(space)] -= 0.5
        high[list(space)] += 0.5
        scale, shift = np.array(self.plan.to_data.scale), np.array(self.plan.to_data.translation)
        return np.stack([low * scale + shift, high * scale + shift])


class WholeProgress:
    """How far a table is."""

    def __init__(self) -> None:
        self.progress = Progress()
        self._pace = Pace()

    def cancel(self) -> None:
        """End what is being measured at the next block."""
        self.progress.cancel()

    def step(self) -> tuple[int, int, str]:
        """Return how much is done, of how much, and both in words."""
        done, count = self.progress.tasks_done, self.progress.task_count
        return done, count, self._pace.text(done, count) or "Measuring…"


@dataclass(frozen=True, eq=False)
class WholePlan:
    """Everything about one table but its pixels."""

    measuring: WholeMeasuring
    to_data: Transform
    """Voxels of the level → data coordinates of the layer."""

    @property
    def text(self) -> str:
        """What is read, in words."""
        plan = self.measuring
        pixels = " × ".join(str(n) for n in reversed(plan.grid.region.shape))
        return (
            f"Level {plan.number} · {pixels} px · {plan.block_count:,} blocks, "
            f"{bytes_text(plan.nbytes)}, about {bytes_text(plan.memory)} of memory each"
        )

    @property
    def tip(self) -> str:
        """What is known to be odd about it."""
        return "\n".join(self.measuring.notes)

    @property
    def number(self) -> int:
        """Which level is measured."""
        return self.measuring.number

    def begin(self) -> tuple[Future[WholeMeasured], WholeProgress]:
        """Begin to read and measure; returns at once."""
        progress = WholeProgress()

        def work() -> WholeMeasured:
            return WholeMeasured(self, self.measuring.run(progress=progress.progress))

        return in_thread(work), progress


def plan_whole_table(
    labels: Any,
    images: Sequence[Any],
    properties: Sequence[str],
    level: int = 0,
    *,
    by_plane: bool = False,
) -> WholePlan:
    """Settle what a table of all objects will read and measure; on the GUI thread.

    Parameters
    ----------
    labels
        A labels layer.
    images
        Image layers with one grey value per pixel, read under the voxels of the labels.
    properties
        As for `plan_measuring`.
    level
        Which level of the labels.
    by_plane
        Whether each plane is alone.

    Raises
    ------
    OperationError
        If the layers do not suit, or lie otherwise than their files say.
    """
    if not is_labels(labels):
        raise OperationError("There are no labels to measure", hint="Open or make a labels layer.")
    if not properties:
        raise OperationError("Nothing is chosen to be measured", hint="Tick size, for instance.")
    for image in images:
        if not is_grey_image(image):
            raise OperationError(
                f"Could not measure “{image.name}”",
                why="it has no single grey value per pixel",
                hint="Choose an image without colours.",
            )
        _check_place(labels, image)
    view = sources().view(labels)
    found = level_of(labels, level)
    space = tuple(n for n, axis in enumerate(view.axes) if axis.type == "space")[-3:]
    seen = VisibleRegion(
        level=found,
        region=Region.whole(found.shape),
        displayed=space,
        pixel_um=pixel_sizes_um(labels),
        axes=axis_names(labels),
    )
    world = world_of(labels, seen)
    spacing, offset = [1.0] * view.ndim, [0.0] * view.ndim
    for axis, size, first in zip(space, world.spacing, world.offset, strict=True):
        spacing[axis], offset[axis] = size, first
    measuring = plan_whole(
        view,
        {
            name: sources().view(image)
            for name, image in zip(image_names(images), images, strict=True)
        },
        properties=properties,
        number=level,
        by_plane=by_plane,
        spacing=spacing,
        offset=offset,
        unit=world.unit,
        notes=world.notes,
    )
    return WholePlan(measuring, found.to_data)


def _check_place(labels: Any, image: Any) -> None:
    """Refuse an image that was moved against the labels: voxels are found by what files say."""
    one, other = _moved(labels), _moved(image)
    n = min(len(one[0]), len(other[0]))
    is_alike = all(
        np.allclose(a[-n:], b[-n:], rtol=1e-6, atol=1e-9) for a, b in zip(one, other, strict=True)
    ) and np.allclose(
        labels.affine.linear_matrix[-n:, -n:], image.affine.linear_matrix[-n:, -n:], rtol=1e-6
    )
    if not is_alike:
        raise OperationError(
            f"Could not measure “{image.name}” under all of “{labels.name}”",
            why="one of them was moved, scaled or rotated on screen",
            hint="Measure what is visible, or save them as they are now and measure that.",
        )


def _moved(layer: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Return how a layer is scaled and moved against what its file says, and how rotated."""
    turned = np.asarray(layer.rotate)
    view = view_of(layer)
    if view is None:  # what it says is what is on screen
        return np.ones(layer.ndim), np.zeros(layer.ndim), turned
    shown = placement(view, without=range(layer.ndim, view.ndim))
    ratio = np.asarray(layer.scale) / np.asarray(shown["scale"])
    return ratio, np.asarray(layer.translate) - np.asarray(shown["translate"]) * ratio, turned
