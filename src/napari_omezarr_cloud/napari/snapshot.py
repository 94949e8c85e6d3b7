"""An operation on what is visible: decided on the GUI thread, done beside it.

`plan_snapshot` looks at the viewer and settles everything; from then on nobody touches a layer.
`start_snapshot` loads the exact pixels and computes; the result is a layer's data.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.errors import OperationError, RegionError
from napari_omezarr_cloud.napari.aligned import Sampling, sampling
from napari_omezarr_cloud.napari.inputs import check_inputs, foldable_axes, is_labels
from napari_omezarr_cloud.napari.pixels import LayerPixels
from napari_omezarr_cloud.napari.region_text import bytes_text, size_text
from napari_omezarr_cloud.napari.result_layer import (
    Appearance,
    appearance_of,
    placement_over,
    result_layer,
)
from napari_omezarr_cloud.napari.threads import in_thread
from napari_omezarr_cloud.napari.visible import VisibleRegion, visible_region
from napari_omezarr_cloud.process.operation import validate
from napari_omezarr_cloud.process.snapshot import Snapshot, Task
from napari_omezarr_cloud.pyramid import Region
from napari_omezarr_cloud.store import io_thread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    import numpy.typing as npt

    from napari_omezarr_cloud.napari.layer_data import LayerData
    from napari_omezarr_cloud.process import Operation
    from napari_omezarr_cloud.process.recipe import StepDims

__all__ = ["Plan", "Progress", "Result", "plan_snapshot", "start_snapshot"]

_MAX_BYTES = 2 << 30
"""What one snapshot may hold in memory: its inputs, the working copy and the result."""


class Progress:
    """How far a snapshot is; written by the thread that works, read by the one that shows."""

    def __init__(self, chunks: int) -> None:
        self.chunks = chunks
        self.loaded = 0
        self.is_computing = False

    def count(self) -> None:
        """Note that one more chunk has come."""
        self.loaded += 1

    def step(self) -> tuple[int, int, str]:
        """Return how much is done, of how much (0: nobody knows), and both in words."""
        if self.is_computing:
            return 0, 0, "Computing…"
        loaded = min(self.loaded, self.chunks)
        return loaded, self.chunks, f"{loaded} of {self.chunks} chunks"


@dataclass(frozen=True)
class Result:
    """What a snapshot gives: a layer to add, and what it was made with."""

    layer: LayerData
    snapshot: Snapshot


@dataclass(frozen=True)
class _Input:
    """One layer of a plan: which of its pixels, and how they come under those of the first."""

    pixels: LayerPixels
    region: Region
    sampling: Sampling | None
    is_mask: bool

    @property
    def chunks(self) -> int:
        return self.pixels.chunk_count(self.region)

    def fitted(self, pixels: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Return what was read, on the voxels of the first input."""
        if self.is_mask:  # what is an object counts, not its number
            pixels = pixels != 0
        return pixels if self.sampling is None else self.sampling.take(pixels, shape)


@dataclass(frozen=True)
class Plan:
    """Everything about one snapshot but its pixels."""

    task: Task
    seen: VisibleRegion
    """The region of the first layer that goes in, with every plane of a projection."""
    shown: VisibleRegion
    """What of it is kept: planes that were only looked at are left out."""
    inputs: tuple[_Input, ...]
    names: tuple[str, ...]
    appearance: Appearance
    placement: Mapping[str, Any]
    in_um: bool
    """Whether lengths count in µm; otherwise in pixels of level 0."""

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels that go in."""
        return sum(_bytes_of(each) for each in self.inputs)

    @property
    def chunks(self) -> int:
        """Chunks to load, of all inputs."""
        return sum(each.chunks for each in self.inputs)

    @property
    def is_too_coarse(self) -> bool:
        """Whether nothing would be seen of the operation at this level."""
        task = self.task
        sizes = (1.0,) * len(task.space) if task.spacing is None else task.spacing
        return task.operation.is_too_coarse(task.values, sizes)


def plan_snapshot(
    viewer: Any,
    op: Operation,
    values: Mapping[str, Any],
    layers: Sequence[Any],
    dims: StepDims | None = None,
) -> Plan:
    """Settle what an operation on the visible pixels of layers will read and make.

    Parameters
    ----------
    viewer
        Holds the layers; on the GUI thread.
    op, values
        What to run; lengths in µm where the first layer has units, else in level-0 pixels.
    layers
        One per input. Region and level are those of the first.
    dims
        ``"plane"`` treats each plane that is in view alone; ``"volume"`` looks along z too, also
        where one plane is in view. None is what is on screen.

    Raises
    ------
    OperationError
        If the layers or values do not suit the operation.
    RegionError
        If nothing is in view, or more than fits in memory.
    """
    values = validate(op, values)
    check_inputs(op, layers)
    first = layers[0]
    seen = visible_region(viewer, first)
    if seen is None:
        raise RegionError(f"Nothing of “{first.name}” is in view", hint="Move it into view.")
    folded = _folded_axis(op, values, first, seen)
    shown = seen
    if folded is not None:
        shown = seen = _all_planes(seen, folded)
    space = tuple(axis for axis in seen.displayed if axis != folded)
    if dims == "plane":
        space = space[-2:]
    elif dims == "volume" and folded is None:
        seen, space = _with_depth(op, values, seen, space)
    seen, inputs = _inputs(viewer, op, layers, seen)
    spacing, in_um = _spacing(op, seen, space)
    task = Task(
        operation=op,
        values=values,
        space=space,
        folded=folded,
        spacing=spacing,
        rgb=bool(getattr(first, "rgb", False)),
    )
    shown = replace(shown, region=shown.region.intersect(seen.region))
    plan = Plan(
        task=task,
        seen=seen,
        shown=shown,
        inputs=inputs,
        names=tuple(layer.name for layer in layers),
        appearance=appearance_of(op, layers),
        placement=placement_over(first, shown, folded),
        in_um=in_um,
    )
    _check_size(plan)
    return plan


def start_snapshot(plan: Plan) -> tuple[Future[Result], Progress]:
    """Begin to load and compute; returns at once.

    Returns
    -------
    future
        Gives the result, or raises ``ChunkError``, ``OperationError`` … Cancelling it gives up
        what is being loaded; what is being computed in a thread cannot be interrupted and is
        dropped, and of an operation that holds the GIL the process is killed.
    progress
        How far it is.
    """
    progress = Progress(plan.chunks)
    return io_thread().submit(_load_and_compute(plan, progress)), progress


async def _load_and_compute(plan: Plan, progress: Progress) -> Result:
    reading = [each.pixels.read(each.region, progress.count) for each in plan.inputs]
    arrays = await asyncio.gather(*reading)
    progress.is_computing = True
    if not plan.task.operation.holds_gil:
        return await asyncio.wrap_future(in_thread(_compute, plan, arrays))
    fitted = await asyncio.wrap_future(in_thread(_fitted, plan, arrays))
    snapshot = await engine().compute(plan.task.run, fitted, in_process=True)
    return await asyncio.wrap_future(in_thread(_result, plan, snapshot))


def _compute(plan: Plan, arrays: Sequence[npt.NDArray[Any]]) -> Result:
    return _result(plan, plan.task.run(_fitted(plan, arrays)))


def _fitted(plan: Plan, arrays: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    shape = plan.seen.shape
    return [each.fitted(a, shape) for each, a in zip(plan.inputs, arrays, strict=True)]


def _result(plan: Plan, snapshot: Snapshot) -> Result:
    if plan.shown.region != plan.seen.region:
        kept = list(plan.shown.region.relative_to(plan.seen.region))
        snapshot = replace(snapshot, pixels=snapshot.pixels[tuple(kept[: snapshot.pixels.ndim])])
    layer = result_layer(
        plan.task.operation,
        snapshot,
        plan.names,
        appearance=plan.appearance,
        placement=plan.placement,
        in_um=plan.in_um,
    )
    return Result(layer, snapshot)


def _inputs(
    viewer: Any, op: Operation, layers: Sequence[Any], seen: VisibleRegion
) -> tuple[VisibleRegion, tuple[_Input, ...]]:
    """Return what of the region all layers cover, and what to read of each."""
    first, *others = layers
    samplings: list[Sampling] = []
    for other in others:
        seen, _ = sampling(viewer, first, seen, other)
    for other in others:  # again: a later one may have made the region smaller
        samplings.append(sampling(viewer, first, seen, other)[1])
    masks = [each.kind == "any" and is_labels(x) for each, x in zip(op.inputs, layers, strict=True)]
    inputs = [_Input(LayerPixels.of(first, seen.level.number), seen.region, None, masks[0])]
    inputs += [
        _Input(LayerPixels.of(other, each.level.number), each.region, each, is_mask)
        for other, each, is_mask in zip(others, samplings, masks[1:], strict=True)
    ]
    return seen, tuple(inputs)


def _folded_axis(
    op: Operation, values: Mapping[str, Any], layer: Any, seen: VisibleRegion
) -> int | None:
    """Return the axis a projection folds."""
    if op.kind != "projection":
        return None
    name = str(values["axis"])
    if name not in foldable_axes(layer):
        raise OperationError(
            f"{op.title} cannot fold {name}",
            why=f"“{layer.name}” has one plane along it",
            hint=f"Choose {' or '.join(foldable_axes(layer))}.",
        )
    folded = seen.axes.index(name)
    if len([axis for axis in seen.displayed if axis != folded]) < 2:
        raise OperationError(
            f"{op.title} cannot fold {name}",
            why="it is on screen",
            hint=f"Bring {name} to a slider, or switch to 3D.",
        )
    return folded


def _all_planes(seen: VisibleRegion, axis: int) -> VisibleRegion:
    start, stop = list(seen.region.start), list(seen.region.stop)
    start[axis], stop[axis] = 0, seen.level.shape[axis]
    return replace(seen, region=Region(tuple(start), tuple(stop)))


def _with_depth(
    op: Operation, values: Mapping[str, Any], seen: VisibleRegion, space: tuple[int, ...]
) -> tuple[VisibleRegion, tuple[int, ...]]:
    """Return a region with the planes around it that a volume operation looks at."""
    names = [name.lower() for name in seen.axes]
    if "z" not in names or names.index("z") in space:
        return seen, space
    depth = names.index("z")
    space = tuple(sorted((*space, depth)))
    spacing, _ = _spacing(op, seen, space)
    halo = op.halo(values, (1.0,) * len(space) if spacing is None else spacing)
    if halo is None:
        return _all_planes(seen, depth), space
    margin = [0] * len(seen.shape)
    margin[depth] = halo[space.index(depth)]
    return replace(seen, region=seen.region.grow(margin).within(seen.level.shape)), space


def _spacing(
    op: Operation, seen: VisibleRegion, space: Sequence[int]
) -> tuple[tuple[float, ...] | None, bool]:
    """Return the size of a voxel per axis in the unit of lengths, and whether that is µm."""
    sizes = [seen.pixel_um[axis] for axis in space]
    lengths = tuple(size for size in sizes if size is not None)
    if len(lengths) == len(sizes):
        return lengths, True
    if lengths and any(p.type == "length" for p in op.parameters):
        odd = " and ".join(seen.axes[a] for a, size in zip(space, sizes, strict=True) if not size)
        raise OperationError(
            f"{op.title} cannot measure lengths here",
            why=f"{odd} is on screen, and is no length",
            hint="Show y and x.",
        )
    return tuple(abs(seen.level.to_data.scale[axis]) for axis in space), False


def _bytes_of(each: _Input) -> int:
    view, array = each.pixels.view, each.pixels.array
    dtype = array.dtype if view is None else view.dtype
    return each.region.size * int(np.dtype(dtype).itemsize)


def _check_size(plan: Plan) -> None:
    # Most of scikit-image works in float64, on a copy, and gives a third array; a projection
    # goes through its planes and keeps one.
    one = plan.seen.region.size
    if plan.task.folded is not None:
        one //= plan.seen.shape[plan.task.folded]
    needed = plan.nbytes + 2 * 8 * one
    if needed > _MAX_BYTES:
        raise RegionError(
            "The region is too large",
            why=f"{size_text(plan.seen)} would need about {bytes_text(needed)} of memory",
            hint="Zoom in to a smaller part.",
        )
