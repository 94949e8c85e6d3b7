"""Living layers: operations that follow the view, and change when a slider does.

Behind each live layer stands a `Live`: one step of a recipe, and the layers it was made from. A
chain of live layers is a recipe. A changed value gives the layer another pyramid; what was computed
of the former one is never painted again.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.errors import CloudError, OperationError
from napari_omezarr_cloud.napari import compare, wiring
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.inputs import check_inputs, is_labels
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY, LayerData, pyramid_layer
from napari_omezarr_cloud.napari.notices import tell_error
from napari_omezarr_cloud.napari.result_layer import appearance_of, placement_of_whole
from napari_omezarr_cloud.napari.slicing import replace_data
from napari_omezarr_cloud.napari.sources import sources
from napari_omezarr_cloud.process import get_operation
from napari_omezarr_cloud.process.apply import (
    AppliedStep,
    apply_step,
    derived_step,
    needs_measuring,
)
from napari_omezarr_cloud.pyramid import Pyramid, PyramidView
from napari_omezarr_cloud.store import io_thread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    from napari_omezarr_cloud.process import Input, Operation, Step, Value
    from napari_omezarr_cloud.process.recipe import StepDims

__all__ = [
    "Live",
    "LivePlan",
    "LiveSignals",
    "add_live",
    "change",
    "input_view",
    "live_of",
    "live_signals",
    "plan_live",
    "start_live",
]


@dataclass(frozen=True)
class LivePlan:
    """One live layer to be: decided on the GUI thread, measured beside it."""

    step: Step
    views: tuple[PyramidView, ...]
    layers: tuple[weakref.ref[Any], ...]

    @property
    def first(self) -> Any | None:
        """The layer it will lie over, while it is there."""
        return self.layers[0]()


class Live:
    """What is behind a live layer."""

    def __init__(self, layer: Any, plan: LivePlan, applied: AppliedStep) -> None:
        self._layer = weakref.ref(layer)
        self.layers = plan.layers
        """The layers it was made from; they may be gone by now, their pixels are not."""
        self.views = plan.views
        self.asked = plan.step
        """The step as it was asked for: a threshold to be measured is None."""
        self.applied = applied
        """The step as it is, with everything that was measured."""
        self.job: Job[AppliedStep] | None = None

    @property
    def layer(self) -> Any | None:
        """The live layer, while it is alive."""
        return self._layer()

    @property
    def operation(self) -> Operation:
        """What it runs."""
        return self.applied.operation

    @property
    def inputs(self) -> list[Any]:
        """The layers it was made from; in place of one that is gone, its view."""
        pairs = zip(self.layers, self.views, strict=True)
        return [reference() or view for reference, view in pairs]

    def made_from(self, layer: Any) -> bool:
        """Tell whether a layer is one of its inputs."""
        return any(reference() is layer for reference in self.layers)


class LiveSignals(QObject):
    """Tells what happens to live layers."""

    changed = Signal(object)
    """A live layer has other values now: the layer."""
    failed = Signal(object, str)
    """Its new values could not be used: the layer, and the sentence that is shown."""


_lives: weakref.WeakKeyDictionary[Any, Live] = weakref.WeakKeyDictionary()
_signals: LiveSignals | None = None


def live_signals() -> LiveSignals:
    """Return what tells of all live layers; on the GUI thread."""
    global _signals
    if _signals is None:
        _signals = LiveSignals()
        sources().changed.connect(_follow)
    return _signals


def live_of(layer: Any) -> Live | None:
    """Return what is behind a live layer; None for any other."""
    return _lives.get(layer)


def plan_live(step: Step, layers: Sequence[Any]) -> LivePlan:
    """Settle what a live layer will be computed from; on the GUI thread, asks for nothing.

    Parameters
    ----------
    step
        What to run; thresholds that are None will be measured.
    layers
        One per input. The result lies over the first.

    Raises
    ------
    OperationError
        If the layers do not suit the operation.
    """
    op = get_operation(step.operation)
    check_inputs(op, layers)
    views = tuple(input_view(op.inputs[number], layer) for number, layer in enumerate(layers))
    # What speaks against it is said now, not when the person has waited.
    if not needs_measuring(step) and op.is_described:
        derived_step(step, views)
    return LivePlan(replace(step, inputs=(), name=""), views, tuple(map(weakref.ref, layers)))


def start_live(plan: LivePlan) -> Future[AppliedStep]:
    """Measure what must be measured first; returns at once."""
    return io_thread().submit(apply_step(plan.step, plan.views, engine()))


def add_live(viewer: Any, plan: LivePlan, applied: AppliedStep, *, visible: bool = True) -> Any:
    """Add a live layer over the layer it was made from, and return it; on the GUI thread.

    Raises
    ------
    OperationError
        If the layer it was made from is gone.
    """
    from napari.layers import Layer

    wiring.attach(viewer)
    live_signals()
    layers = [reference() for reference in plan.layers]
    if any(layer is None or layer not in viewer.layers for layer in layers):
        raise OperationError(
            f"{applied.operation.title} has nothing to work on", why="its layer was removed"
        )
    data, attributes, kind = _layer_data(applied, layers)
    # Else napari would compute the picture here and now, before it is ours.
    attributes["visible"] = wiring.HIDDEN_UNTIL_ADOPTED if visible else False
    layer = Layer.create(data, attributes, kind)
    live = Live(layer, plan, applied)
    _lives[layer] = live
    compare.remember(layer, layers[0])
    viewer.add_layer(layer)
    return layer


def change(layer: Any, values: Mapping[str, Value], dims: StepDims | None = None) -> None:
    """Give a live layer other values; what is not given stays. On the GUI thread, returns at once.

    What is on screen is computed anew, then everything that was made from this layer. A later
    change takes the place of one that is still being measured.

    Raises
    ------
    OperationError
        If a value is not allowed.
    """
    live = _lives[layer]
    values = {**live.asked.values, **values}
    asked = replace(live.asked, values=values, dims=dims or live.asked.dims)
    if asked != live.asked:
        _rebuild(live, asked, live.views)


# ---- making layers ------------------------------------------------------------------------------


def input_view(wanted: Input, layer: Any) -> PyramidView:
    """Return a layer as an input of an operation takes it; on the GUI thread."""
    view = sources().view(layer)
    if wanted.kind == "any" and is_labels(layer):
        return replace(view, shown_as=np.dtype(bool))  # what is an object counts, not its number
    return view


def _layer_data(applied: AppliedStep, layers: Sequence[Any]) -> LayerData:
    op, first = applied.operation, layers[0]
    view = _shown(applied.pyramid, op)
    look = appearance_of(op, layers)
    levels, attributes = pyramid_layer(view, without=[view.ndim - 1] if look.rgb else [])
    folded = None
    if op.kind == "projection":
        names = [axis.name.lower() for axis in applied.pyramid.axes]
        folded = names.index(str(applied.step.values["axis"]))
    planes = 1 if folded is None else sources().view(first).grid(0).shape[folded]
    attributes |= placement_of_whole(first, folded, planes)
    attributes["name"] = f"{', '.join(layer.name for layer in layers)} → {op.title}"
    attributes["metadata"] = {METADATA_KEY: _about(applied, layers)}
    if op.output in ("mask", "labels"):
        from napari.layers._multiscale_data import MultiScaleData

        return MultiScaleData(levels), attributes, "labels"
    # Over everything below: added to its source it would only look brighter.
    attributes |= {"rgb": look.rgb, "blending": "translucent_no_depth"}
    if not look.rgb:
        limits = look.contrast_limits or _first_limits(view.dtype)
        attributes |= {"colormap": look.colormap, "contrast_limits": limits}
        attributes["metadata"][METADATA_KEY]["guess_contrast"] = look.contrast_limits is None
    return levels, attributes, "image"


def _shown(pyramid: Pyramid, op: Operation) -> PyramidView:
    """Return a result as napari takes it: it has no layers of booleans."""
    return PyramidView.of(pyramid, shown_as=np.dtype("u1") if op.output == "mask" else None)


def _first_limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return limits until the pixels have come, which say better ones."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return float(limits.min), float(limits.max)
    return 0.0, 1.0


def _about(applied: AppliedStep, layers: Sequence[Any]) -> dict[str, Any]:
    return {
        "operation": applied.step.operation,
        "values": dict(applied.step.values),
        "made_from": [layer.name for layer in layers],
        "live": True,
    }


# ---- changing them ------------------------------------------------------------------------------


def _rebuild(live: Live, asked: Step, views: tuple[PyramidView, ...]) -> None:
    live.asked, live.views = asked, views
    if live.job is not None:
        live.job.cancel()
        live.job = None
    if not needs_measuring(asked):
        pyramid = derived_step(asked, views, live.operation)
        _take(live, AppliedStep(asked, live.operation, pyramid))
        return
    future = io_thread().submit(apply_step(asked, views, engine()))
    live.job = Job(future, lambda applied: _take(live, applied), lambda e: _fail(live, e))


def _take(live: Live, applied: AppliedStep) -> None:
    """Show what was built, and build what is made from it."""
    layer = live.layer
    live.job = None
    if layer is None:
        return
    live.applied = applied
    view = _shown(applied.pyramid, applied.operation)
    levels, _ = pyramid_layer(view)
    replace_data(layer, levels)
    shown = display_of(layer)
    if shown is not None:
        shown.show(view)
    else:
        layer.refresh()
    layer.metadata[METADATA_KEY]["values"] = dict(applied.step.values)
    live_signals().changed.emit(layer)
    _follow(layer)


def _fail(live: Live, error: BaseException) -> None:
    live.job = None
    if not isinstance(error, CloudError):
        error = OperationError(f"{live.operation.title} failed", why=str(error))
    tell_error(error)
    if live.layer is not None:
        live_signals().failed.emit(live.layer, str(error))


def _follow(layer: Any) -> None:
    """Rebuild the live layers that were made from a layer."""
    for live in [each for each in list(_lives.values()) if each.made_from(layer)]:
        views = list(live.views)
        for number, reference in enumerate(live.layers):
            if reference() is layer:
                views[number] = input_view(live.operation.inputs[number], layer)
        _rebuild(live, live.asked, tuple(views))
