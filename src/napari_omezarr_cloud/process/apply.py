"""Recipes on pyramids: every step becomes a pyramid whose chunks are computed when asked for.

Nothing is computed here but what an operation must measure first (a threshold), on a level that is
said.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.ngff.units import micrometres
from napari_omezarr_cloud.process.computation import (
    Computer,
    Fold,
    LevelFunction,
    sources_at,
)
from napari_omezarr_cloud.process.derived import DerivedLevel, derive
from napari_omezarr_cloud.process.operation import validate
from napari_omezarr_cloud.process.registry import get_operation
from napari_omezarr_cloud.process.run import resolve
from napari_omezarr_cloud.process.snapshot import Task
from napari_omezarr_cloud.pyramid import Level, Pyramid, PyramidView, Region

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_omezarr_cloud.ngff import Axis
    from napari_omezarr_cloud.process.operation import ObjectValues, Operation
    from napari_omezarr_cloud.process.recipe import Recipe, Step

__all__ = [
    "Applied",
    "AppliedStep",
    "Measured",
    "apply_recipe",
    "apply_step",
    "derived_step",
    "needs_measuring",
    "space_axes",
]

Array = npt.NDArray[Any]

TOO_COARSE = "too coarse to preview, so the source is shown"

_ENOUGH_VOXELS = 1 << 22
"""What a statistic is taken from: more would hardly change it, and this comes soon."""


_TRIAL = 256
"""Voxels per axis that an operation is tried on."""


@dataclass(frozen=True)
class Measured:
    """Numbers that an operation took from the image, and where it looked."""

    values: Mapping[str, float] = field(default_factory=dict)
    where: str = ""
    """In words: ``"level 3, 257 x 193"``."""


@dataclass(frozen=True, eq=False)
class AppliedStep:
    """One step of a recipe on an image."""

    step: Step
    """With every measured value filled in."""
    operation: Operation
    """Described by a trial, where only a run could tell what comes back."""
    pyramid: Pyramid
    measured: Measured = Measured()

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was measured, in words."""
        title = get_operation(self.step.operation).title
        return tuple(
            f"{title}: {name} {value:.6g}, measured on {self.measured.where}."
            for name, value in self.measured.values.items()
        )


@dataclass(frozen=True, eq=False)
class Applied:
    """A recipe on images."""

    recipe: Recipe
    """With every measured value filled in: the same numbers wherever it goes from here."""
    steps: tuple[AppliedStep, ...]

    @property
    def pyramid(self) -> Pyramid:
        """The result of the last step."""
        return self.steps[-1].pyramid


async def apply_recipe(
    recipe: Recipe, views: Mapping[str, PyramidView], reader: Computer
) -> Applied:
    """Return a recipe on images; awaits on the loop what must be measured first.

    Parameters
    ----------
    recipe
        Thresholds that are None in it are measured.
    views
        One per input of the recipe, by name.
    reader
        The engine.

    Raises
    ------
    OperationError
        If an input is missing, or the images do not suit an operation.
    ChunkError
        If what is to be measured cannot be read.
    """
    missing = [each.name for each in recipe.inputs if each.name not in views]
    if missing:
        raise OperationError(
            "The recipe needs more images",
            why=f"nothing was given for {' and '.join(missing)}",
            hint=f"Its inputs are {', '.join(each.name for each in recipe.inputs)}.",
        )
    done: list[AppliedStep] = []
    for step, references in zip(recipe.steps, recipe.references, strict=True):
        given = [
            views[each] if isinstance(each, str) else PyramidView.of(done[each].pyramid)
            for each in references
        ]
        done.append(await apply_step(step, given, reader))
    filled = replace(recipe, steps=tuple(each.step for each in done))
    return Applied(filled, tuple(done))


async def apply_step(step: Step, views: Sequence[PyramidView], reader: Computer) -> AppliedStep:
    """Return one step on images; awaits on the loop what must be measured first.

    Raises
    ------
    OperationError
        If the images do not suit the operation.
    ChunkError
        If what is to be measured cannot be read.
    """
    op, measured = get_operation(step.operation), Measured()
    if needs_measuring(step):
        measured = await _measure(step, views, reader)
        step = replace(step, values={**step.values, **measured.values})
    if not op.is_described:
        op = await _tried(op, step, views, reader)
    return AppliedStep(step, op, derived_step(step, views, op), measured)


def needs_measuring(step: Step) -> bool:
    """Tell whether a step has values that must be taken from the image first."""
    op = get_operation(step.operation)
    return any(p.statistic is not None and step.values[p.name] is None for p in op.parameters)


def derived_step(
    step: Step, views: Sequence[PyramidView], operation: Operation | None = None
) -> Pyramid:
    """Return the pyramid of one step whose values are all there; asks for nothing.

    Its ``preview`` shows the source where a length of the step is below half a pixel.

    Parameters
    ----------
    step, views
        What to run on what.
    operation
        The step's own, where a trial has described it.

    Raises
    ------
    OperationError
        If the images do not suit the operation, or only a trial could tell what comes back.
    """
    op = operation or get_operation(step.operation)
    plan = _plan(op, step, views)
    name = f"{op.title} of {views[0].pyramid.name}"
    pyramid = derive(plan.views, plan.level_function, name=name)
    return _with_preview(pyramid, plan)


def space_axes(axes: Sequence[Axis], dims: str) -> tuple[int, ...]:
    """Return the axes an operation works along: y and x, or z, y and x, in their order.

    Raises
    ------
    OperationError
        If the image has no two axes of space.
    """
    space = [i for i, axis in enumerate(axes) if axis.type == "space"]
    if len(space) < 2:  # unnamed axes: the last two that are no colours
        space = [i for i, axis in enumerate(axes) if axis.type != "channel"]
    if len(space) < 2:
        raise OperationError(
            "This image has no planes",
            why=f"its axes are {', '.join(axis.name for axis in axes)}",
        )
    return tuple(space[-3:] if dims == "volume" else space[-2:])


@dataclass(frozen=True)
class _Plan:
    """How an operation runs on the levels of images."""

    op: Operation
    step: Step
    views: tuple[PyramidView, ...]
    space: tuple[int, ...]
    folded: int | None
    rgb: bool

    def spacing(self, number: int) -> tuple[float, ...]:
        """Return the size of a voxel of a level along space: µm, or in level-0 voxels."""
        view = self.views[0]
        scale = view.transform(number).scale
        factors = [micrometres(view.axes[axis].unit) for axis in self.space]
        if all(factor is not None for factor in factors):
            pairs = zip(self.space, factors, strict=True)
            return tuple(abs(scale[axis] * float(factor or 1)) for axis, factor in pairs)
        finest = view.transform(0).scale
        return tuple(abs(scale[axis] / finest[axis]) for axis in self.space)

    def task(self, number: int) -> Task:
        return Task(
            operation=self.op,
            values=dict(self.step.values),
            space=self.space,
            folded=self.folded,
            spacing=self.spacing(number),
            rgb=self.rgb,
        )

    def level_function(self, number: int) -> LevelFunction:
        op, values, spacing = self.op, self.step.values, self.spacing(number)
        reach = op.halo(values, spacing)
        halo = None
        if reach is not None:
            along = dict(zip(self.space, reach, strict=True))
            halo = tuple(along.get(axis, 0) for axis in range(self.views[0].ndim))
        folding = resolve(op.function) if self.folded is not None else None
        drops_colours = self.rgb and op.colours == "together"
        return LevelFunction(
            self.task(number),
            halo,
            op.output_dtype([v.dtype for v in self.views], rgb=self.rgb and not drops_colours),
            op.title,
            space=self.space,
            folded=self.folded,
            # A function of somebody's own may only know whole stacks.
            fold=folding if isinstance(folding, Fold) else None,
            drops_colours=drops_colours,
            in_process=op.holds_gil,
            connectivity=op.connectivity_rule(values) if op.connectivity_rule else None,
            object_values=self._object_values(spacing),
            makes_objects=op.kind == "objects",
            note=TOO_COARSE if op.is_too_coarse(values, spacing) else "",
        )

    def _object_values(self, spacing: tuple[float, ...]) -> ObjectValues | None:
        op = self.op
        if op.object_rule is None:
            return None
        sizes = spacing[-2:] if op.dims == "plane" else spacing
        return op.object_rule(op.in_pixels(validate(op, self.step.values), sizes))


def _plan(op: Operation, step: Step, views: Sequence[PyramidView]) -> _Plan:
    if op.output == "table":
        raise OperationError(
            f"{op.title} makes a table, not an image", hint="Use the table of measurements."
        )
    if len(views) != len(op.inputs):
        raise OperationError(
            f"{op.title} needs {len(op.inputs)} input(s)", why=f"{len(views)} were given"
        )
    views = tuple(_colours_last(view) if op.colours == "together" else view for view in views)
    first = views[0]
    rgb = first.axes[-1].type == "channel" and first.grid(0).shape[-1] in (3, 4)
    if op.colours == "together" and not rgb:
        raise OperationError(
            f"{op.title} needs a colour picture", why="this image has no three colour channels"
        )
    dims = "plane" if op.dims == "plane" or op.kind == "projection" else step.dims
    folded = _folded(op, step, first) if op.kind == "projection" else None
    axes = [replace(a, type="time") if i == folded else a for i, a in enumerate(first.axes)]
    # Colours that an operation cannot take as such are channels like any others.
    return _Plan(op, step, views, space_axes(axes, dims), folded, rgb and op.colours != "none")


def _colours_last(view: PyramidView) -> PyramidView:
    """Return a view with its channels as the last axis."""
    types = [axis.type for axis in view.axes]
    if types[-1] == "channel" or "channel" not in types:
        return view
    at = types.index("channel")
    return replace(view, order=(*view.order[:at], *view.order[at + 1 :], view.order[at]))


def _folded(op: Operation, step: Step, view: PyramidView) -> int:
    wanted = str(step.values["axis"])
    names = [axis.name.lower() for axis in view.axes]
    if wanted not in names:
        raise OperationError(
            f"{op.title} cannot fold {wanted}",
            why=f"the image has the axes {', '.join(names)}",
        )
    return names.index(wanted)


# ---- what is shown where nothing would be seen ---------------------------------------------------


@dataclass(frozen=True)
class _Unchanged:
    """Stands in for an operation of which nothing would be seen."""

    is_shown: bool
    dtype: np.dtype[Any]

    def __call__(self, arrays: Sequence[Array]) -> Array:
        source = arrays[0]
        if not self.is_shown:
            return np.zeros(source.shape, self.dtype)
        if self.dtype.kind == "b":
            return np.asarray(source != 0)
        return source.astype(self.dtype, copy=False)


def _with_preview(pyramid: Pyramid, plan: _Plan) -> Pyramid:
    """Return the pyramid with what a window shows of it, where that is something else."""
    op = plan.op
    previews = [view.preview for view in plan.views]
    levels: list[Level] = []
    for level in pyramid.levels:
        assert isinstance(level, DerivedLevel)  # noqa: S101 (for the type checker)
        sources = [
            replace(source, view=view) for view, source in zip(previews, level.sources, strict=True)
        ]
        same = all(a.level is b.level for a, b in zip(sources, level.sources, strict=True))
        compute = level.compute
        if compute.note and not compute.drops_colours:
            # A mask of a grey image would be no mask: then nothing lies over the source.
            is_shown = op.output == op.inputs[0].kind
            standing_in = _Unchanged(is_shown, compute.dtype)
            halo = (0,) * plan.views[0].ndim
            compute = replace(compute, function=standing_in, halo=halo, in_process=False)
        if same and compute is level.compute:
            levels.append(level)
        else:
            levels.append(DerivedLevel(sources, compute))
    if all(a is b for a, b in zip(levels, pyramid.levels, strict=True)):
        return pyramid
    return replace(pyramid, preview=replace(pyramid, levels=tuple(levels)))


# ---- what must be known before ------------------------------------------------------------------


async def _measure(step: Step, views: Sequence[PyramidView], reader: Computer) -> Measured:
    op = get_operation(step.operation)
    plan = _plan(op, step, views)
    wanted = [p for p in op.parameters if p.statistic and step.values[p.name] is None]
    is_of_detail = any(p.is_of_detail for p in wanted)
    number, region = _statistic_region(plan.views[0], finest=is_of_detail)
    arrays = await _inputs(plan, number, region, reader)
    values = await reader.compute(plan.task(number).measure, arrays)
    shape = " x ".join(map(str, region.shape))
    whole = region == Region.whole(plan.views[0].grid(number).shape)
    where = f"level {number}" + ("" if whole else f", the middle {shape}")
    return Measured(values, where)


async def _tried(
    op: Operation, step: Step, views: Sequence[PyramidView], reader: Computer
) -> Operation:
    """Return an operation described by what it gives for a small part of the image."""
    plan = _plan(op, step, views)
    number = len(views[0].pyramid.levels) - 1
    shape = plan.views[0].grid(number).shape
    start, stop = [n // 2 for n in shape], [n // 2 + 1 for n in shape]
    for axis in (*plan.space, *([len(shape) - 1] if plan.rgb else [])):
        start[axis] = max(0, shape[axis] // 2 - _TRIAL // 2)
        stop[axis] = min(shape[axis], start[axis] + _TRIAL)
    arrays = await _inputs(plan, number, Region(tuple(start), tuple(stop)), reader)
    result = await reader.compute(plan.task(number), arrays, in_process=op.holds_gil)
    return op.settled(result.dtype)


async def _inputs(plan: _Plan, number: int, region: Region, reader: Computer) -> list[Array]:
    """Return every input at the voxels of a region of the first one's level."""
    transform = plan.views[0].transform(number)
    sources = sources_at(plan.views, number)
    reading = (source.pixels(region, transform, reader, patched=True) for source in sources)
    return list(await asyncio.gather(*reading))


def _statistic_region(view: PyramidView, *, finest: bool) -> tuple[int, Region]:
    """Return where to measure: the finest level small enough, else the middle of the coarsest.

    Or, of what only the finest level has, the middle of that.
    """
    for number in [0] if finest else range(len(view.pyramid.levels)):
        shape = view.grid(number).shape
        if math.prod(shape) <= _ENOUGH_VOXELS:
            return number, Region.whole(shape)
    start, stop = [0] * len(shape), list(shape)
    planes = range(len(shape) - 2)
    for axis in (*planes, *range(len(shape) - 2, len(shape))):
        over = math.prod(b - a for a, b in zip(start, stop, strict=True)) / _ENOUGH_VOXELS
        if over > 1:
            kept = max(1 if axis in planes else 1024, int(shape[axis] / over))
            start[axis] = max(0, (shape[axis] - kept) // 2)
            stop[axis] = min(shape[axis], start[axis] + kept)
    return number, Region(tuple(start), tuple(stop))
