"""Measuring the visible objects of a labels layer: decided on the GUI thread, done beside it.

`plan_measuring` looks at the viewer and settles everything; from then on nobody touches a layer.
`start_measuring` loads the exact pixels and measures; never on stand-ins.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.errors import OperationError, RegionError
from napari_omezarr_cloud.napari.aligned import Sampling, sampling
from napari_omezarr_cloud.napari.inputs import is_labels
from napari_omezarr_cloud.napari.pixels import LayerPixels
from napari_omezarr_cloud.napari.region_text import bytes_text, position_text, size_text
from napari_omezarr_cloud.napari.threads import in_thread
from napari_omezarr_cloud.napari.visible import VisibleRegion, level_count, visible_region
from napari_omezarr_cloud.process.regions import find_regions, measure_regions
from napari_omezarr_cloud.store import io_thread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    import numpy.typing as npt

    from napari_omezarr_cloud.process.table import Table
    from napari_omezarr_cloud.pyramid import Region

__all__ = [
    "MAX_BYTES",
    "Measured",
    "MeasuringPlan",
    "MeasuringProgress",
    "image_names",
    "is_grey_image",
    "needed_bytes",
    "pixel_text",
    "plan_measuring",
    "start_measuring",
    "world_of",
]

MAX_BYTES = 2 << 30
"""What one table may need in memory: labels, images, and what is counted from them."""

_PIXEL_BYTES = 4 + 3 * 8
"""Per pixel beside the arrays: its number, its place, its grey value and the order of these."""


class _CancelledError(Exception):
    """Nobody wants the table any more."""


class MeasuringProgress:
    """How far a table is; written by the thread that works, read by the one that shows."""

    def __init__(self, chunks: int) -> None:
        self.chunks = chunks
        self.loaded = 0
        self.is_computing = False
        self.objects = 0
        """How many there are; 0 while it is not known."""
        self.measured = 0
        self._is_cancelled = threading.Event()

    def count(self) -> None:
        """Note that one more chunk has come."""
        self.loaded += 1

    def tell(self, done: int, objects: int) -> None:
        """Note how many objects are measured; raises where nobody wants to know any more."""
        if self._is_cancelled.is_set():
            raise _CancelledError
        self.measured, self.objects = done, objects

    def step(self) -> tuple[int, int, str]:
        """Return how much is done, of how much (0: nobody knows), and both in words."""
        if not self.is_computing:
            loaded = min(self.loaded, self.chunks)
            return loaded, self.chunks, f"{loaded} of {self.chunks} chunks"
        if self.measured:
            words = f"{self.measured} of {self.objects} objects"
            return self.measured, self.objects, words
        return 0, 0, "Measuring…"

    def cancel(self) -> None:
        """End what is being measured at the next object."""
        self._is_cancelled.set()


@dataclass(frozen=True, eq=False)
class _Image:
    """An image of a plan: which of its pixels, and how they come under the labels."""

    name: str
    pixels: LayerPixels
    region: Region
    sampling: Sampling


@dataclass(frozen=True)
class _World:
    """Where the voxels of a region lie, per axis on screen."""

    spacing: tuple[float, ...]
    offset: tuple[float, ...]
    unit: str
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class MeasuringPlan:
    """Everything about one table but its pixels."""

    asked: VisibleRegion
    """What of the labels was in view."""
    seen: VisibleRegion
    """What of it is measured: where all images are."""
    levels: int
    """How many levels the labels have."""
    labels: LayerPixels
    images: tuple[_Image, ...]
    properties: tuple[str, ...]
    world: _World
    notes: tuple[str, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels that are read."""
        return self.seen.nbytes + sum(_bytes_of(each) for each in self.images)

    @property
    def chunks(self) -> int:
        """Chunks to load, of labels and images."""
        return self.labels.chunk_count(self.seen.region) + sum(
            each.pixels.chunk_count(each.region) for each in self.images
        )

    @property
    def text(self) -> str:
        """What is read: ``"Level 2 of 5 · 1.3 µm pixels · 512 × 400 px (…) · 2.5 MB"``."""
        level = f"Level {self.seen.level.number} of {self.levels} · " if self.levels > 1 else ""
        return (
            f"{level}{pixel_text(self.seen)} · {size_text(self.seen)} · {bytes_text(self.nbytes)}"
        )

    @property
    def tip(self) -> str:
        """Where it is, in words."""
        return position_text(self.seen)

    @property
    def number(self) -> int:
        """Which level is measured."""
        return self.seen.level.number

    def begin(self) -> tuple[Future[Measured], MeasuringProgress]:
        """Begin to load and measure; returns at once."""
        return start_measuring(self)


@dataclass(frozen=True, eq=False)
class Measured:
    """A table, and where its objects are."""

    plan: MeasuringPlan
    table: Table
    boxes: npt.NDArray[np.intp]
    """``(row, axis on screen, 2)``: start and stop of each object in voxels of the region."""

    def stale_text(self, viewer: Any, layer: Any, level: int | None) -> str:
        """Return a sentence if another place is shown than the one that was measured."""
        then = self.plan.asked
        if visible_region(viewer, layer, level) == then:
            return ""
        number = f"level {then.level.number} · " if self.plan.levels > 1 else ""
        return f"Measured at another place: {number}{position_text(then)}"

    def corners(self, row: int) -> npt.NDArray[np.float64]:
        """Return the outer corners of an object, low and high, in data coordinates of the layer.

        Along the sliders both are where the measured plane is.
        """
        seen = self.plan.seen
        low = np.array(seen.region.start, float)
        high = low.copy()
        for place, axis in enumerate(seen.displayed):
            low[axis] += self.boxes[row, place, 0] - 0.5
            high[axis] += self.boxes[row, place, 1] - 0.5
        scale, shift = np.array(seen.level.to_data.scale), np.array(seen.level.to_data.translation)
        return np.stack([low * scale + shift, high * scale + shift])


def is_grey_image(layer: Any) -> bool:
    """Tell whether a layer has one grey value per pixel."""
    from napari.layers import Image

    return isinstance(layer, Image) and not layer.rgb and layer.ndim >= 2


def image_names(layers: Sequence[Any]) -> list[str]:
    """Return short, different names: without the name of the image that channels share."""
    names = [layer.name for layer in layers]
    short = [name.rpartition(": ")[2] or name for name in names]
    return [s if short.count(s) == 1 else n for s, n in zip(short, names, strict=True)]


def pixel_text(seen: VisibleRegion) -> str:
    """Return ``"1.3 µm pixels"``."""
    size, in_um = seen.pixel_size
    return f"{size:.3g} µm pixels" if in_um else f"{size:.3g} px pixels"


def needed_bytes(seen: VisibleRegion, images: Sequence[Any]) -> int:
    """Return about how much memory a table of a region needs."""
    arrays = [seen.level.dtype, *(np.dtype(layer.dtype) for layer in images)]
    pixel = _PIXEL_BYTES + sum(int(dtype.itemsize) for dtype in arrays)
    return seen.region.size * pixel


def plan_measuring(
    viewer: Any,
    labels: Any,
    images: Sequence[Any],
    properties: Sequence[str],
    level: int | None = None,
) -> MeasuringPlan:
    """Settle what a table of the visible objects will read and measure.

    Parameters
    ----------
    viewer
        Holds the layers; on the GUI thread.
    labels
        A labels layer: its objects, its level and its region.
    images
        Image layers with one grey value per pixel, read under the pixels of the labels.
    properties
        Groups or single properties of ``process.regions.GROUPS``.
    level
        Which level of the labels; None is the one on screen.

    Raises
    ------
    OperationError
        If the layers do not suit.
    RegionError
        If nothing is in view, or more than fits in memory.
    """
    if not is_labels(labels):
        raise OperationError("There are no labels to measure", hint="Open or make a labels layer.")
    if not properties:
        raise OperationError("Nothing is chosen to be measured", hint="Tick size, for instance.")
    asked = visible_region(viewer, labels, level)
    if asked is None:
        raise RegionError(f"Nothing of “{labels.name}” is in view", hint="Move it into view.")
    if len(asked.displayed) not in (2, 3):
        raise OperationError(
            "Could not measure",
            why=f"{len(asked.displayed)} axis of “{labels.name}” is on screen",
            hint="Show y and x.",
        )
    for image in images:
        if not is_grey_image(image):
            raise OperationError(
                f"Could not measure “{image.name}”",
                why="it has no single grey value per pixel",
                hint="Choose an image without colours.",
            )
    seen = asked
    for image in images:
        seen, _ = sampling(viewer, labels, seen, image)
    # Again: a later one may have made the region smaller.
    samplings = [sampling(viewer, labels, seen, image)[1] for image in images]
    needed = needed_bytes(seen, images)
    if needed > MAX_BYTES:
        raise RegionError(
            "The region is too large",
            why=f"{size_text(seen)} would need about {bytes_text(needed)} of memory",
            hint="Zoom in, or choose a coarser level.",
        )
    world = world_of(labels, seen)
    notes = list(world.notes)
    if seen != asked:
        notes.append(f"Measured where all layers are: {size_text(seen)}.")
    return MeasuringPlan(
        asked=asked,
        seen=seen,
        levels=level_count(labels),
        labels=LayerPixels.of(labels, seen.level.number),
        images=tuple(
            _Image(name, LayerPixels.of(image, each.level.number), each.region, each)
            for name, image, each in zip(image_names(images), images, samplings, strict=True)
        ),
        properties=tuple(properties),
        world=world,
        notes=tuple(notes),
    )


def start_measuring(plan: MeasuringPlan) -> tuple[Future[Measured], MeasuringProgress]:
    """Begin to load and measure; returns at once.

    Returns
    -------
    future
        Gives the table, or raises ``ChunkError``, ``OperationError`` … Cancelling it gives up
        what is being loaded.
    progress
        How far it is; cancelling it ends what is being measured.
    """
    progress = MeasuringProgress(plan.chunks)
    return io_thread().submit(_load_and_measure(plan, progress)), progress


async def _load_and_measure(plan: MeasuringPlan, progress: MeasuringProgress) -> Measured:
    labels, *images = await asyncio.gather(
        plan.labels.read(plan.seen.region, progress.count),
        *(each.pixels.read(each.region, progress.count) for each in plan.images),
    )
    progress.is_computing = True
    return await asyncio.wrap_future(in_thread(_measure, plan, labels, images, progress))


def _measure(
    plan: MeasuringPlan,
    labels: npt.NDArray[Any],
    images: Sequence[npt.NDArray[Any]],
    progress: MeasuringProgress,
) -> Measured:
    seen = plan.seen
    regions = find_regions(_on_screen(labels, seen))
    progress.tell(0, len(regions))
    under: Mapping[str, npt.NDArray[Any]] = {
        each.name: _on_screen(each.sampling.take(pixels, seen.shape), seen)
        for each, pixels in zip(plan.images, images, strict=True)
    }
    table = measure_regions(
        regions,
        under,
        properties=plan.properties,
        spacing=plan.world.spacing,
        offset=plan.world.offset,
        axes=[seen.axes[axis] for axis in seen.displayed],
        unit=plan.world.unit,
        on_progress=progress.tell,
    )
    return Measured(plan, table.with_notes(*plan.notes), regions.boxes)


def _on_screen(pixels: npt.NDArray[Any], seen: VisibleRegion) -> npt.NDArray[Any]:
    """Return an array without the axes of sliders, which are one voxel thick."""
    rest = tuple(axis for axis in range(pixels.ndim) if axis not in seen.displayed)
    return np.squeeze(pixels, axis=rest)


def world_of(layer: Any, seen: VisibleRegion) -> _World:
    """Return where the voxels of a region lie in the world; in µm where that has lengths."""
    shown = list(seen.displayed)
    to_data = seen.level.to_data
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)), float)
    steps = np.stack(
        [np.asarray(layer.data_to_world(unit), float) - origin for unit in np.eye(layer.ndim)],
        axis=1,
    ) * np.array(to_data.scale[: layer.ndim])
    first = np.array(seen.region.start, float)[: layer.ndim]
    shift = np.array(to_data.translation[: layer.ndim]) / np.array(to_data.scale[: layer.ndim])
    start = origin + steps @ (first + shift)
    across = steps[:, shown]
    sizes = np.linalg.norm(across, axis=0)
    lengths = across.T @ across
    if (np.abs(lengths - np.diag(np.diag(lengths))) > 1e-6 * sizes.max() ** 2).any():
        raise OperationError(
            f"Could not measure “{layer.name}”",
            why="it is sheared, so its pixels are no rectangles",
            hint="Take the shear away, or measure the layer it was made from.",
        )
    notes = []
    if not np.allclose(steps[np.ix_(shown, shown)], np.diag(sizes), atol=1e-6 * sizes.max()):
        # Its boxes are along its own axes, and so have to be the positions.
        offset = sizes * first[shown]
        notes.append(
            f"“{layer.name}” is rotated or mirrored: positions are along its own axes, from its "
            "first pixel."
        )
    else:
        offset = start[shown]
    in_um = [_in_um(layer.units[axis]) for axis in shown]
    factors = [factor for factor in in_um if factor is not None]
    if len(factors) == len(in_um):
        spacing, offset, unit = sizes * factors, offset * factors, "µm"
    else:
        spacing, unit = sizes, ""
        is_plain = np.allclose(np.asarray(layer.scale, float)[shown], 1)
        unit = "px" if is_plain and not factors else ""
        notes.append(
            f"“{layer.name}” has no length unit: lengths are in "
            + ("pixels of its finest level." if unit else "the coordinates of the viewer.")
        )
    return _World(tuple(map(float, spacing)), tuple(map(float, offset)), unit, tuple(notes))


def _in_um(unit: Any) -> float | None:
    """Return how many µm a unit makes; None where it is no length."""
    if dict(unit.dimensionality) != {"[length]": 1}:
        return None
    return float((1 * unit).to("micrometer").magnitude)


def _bytes_of(each: _Image) -> int:
    view, array = each.pixels.view, each.pixels.array
    dtype = array.dtype if view is None else view.dtype
    return each.region.size * int(np.dtype(dtype).itemsize)
