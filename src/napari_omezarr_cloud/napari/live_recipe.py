"""Chains of live layers as recipes, and recipes as chains of live layers."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.napari.inputs import check_input, is_labels, refusal, suggested_input
from napari_omezarr_cloud.napari.live import LivePlan, add_live, input_view, live_of
from napari_omezarr_cloud.napari.sources import sources
from napari_omezarr_cloud.process import Recipe, RecipeInput, get_operation
from napari_omezarr_cloud.process.apply import apply_recipe
from napari_omezarr_cloud.pyramid import PyramidView
from napari_omezarr_cloud.pyramid.channels import channel_axis
from napari_omezarr_cloud.store import io_thread

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Future

    from napari_omezarr_cloud.process import Input
    from napari_omezarr_cloud.process.apply import Applied

__all__ = [
    "add_recipe",
    "chain_of",
    "recipe_of",
    "roots_of",
    "start_recipe",
    "suggested_layers",
]


def recipe_of(layer: Any) -> Recipe:
    """Return how a live layer is made, down to the layers that are no live ones."""
    roots, chain = roots_of(layer), chain_of(layer)
    names = dict(zip(map(id, roots), _input_names(roots), strict=True))
    names |= {id(one): f"step {number}" for number, one in enumerate(chain, start=1)}
    steps = []
    for one in chain:
        live = live_of(one)
        assert live is not None  # noqa: S101 (for the type checker)
        references = tuple(names[id(source)] for source in live.inputs)
        name = "" if one is layer else names[id(one)]
        steps.append(replace(live.applied.step, inputs=references, name=name))
    inputs = tuple(RecipeInput(names[id(root)], _channel(root)) for root in roots)
    return _without_obvious(Recipe(tuple(steps), inputs))


def chain_of(layer: Any) -> list[Any]:
    """Return the live layers that a live layer is made through, itself the last."""
    found: list[Any] = []

    def visit(one: Any) -> None:
        live = live_of(one)
        if live is None or any(one is each for each in found):
            return
        for source in live.inputs:
            visit(source)
        found.append(one)

    visit(layer)
    return found


def roots_of(layer: Any) -> list[Any]:
    """Return the layers a live layer is made from in the end, each once.

    A layer that was removed meanwhile is stood in for by what is left of it: its view.
    """
    live = live_of(layer)
    if live is None:
        return [layer]
    roots: list[Any] = []
    for source in live.inputs:
        roots += [root for root in roots_of(source) if all(root is not each for each in roots)]
    return roots


def suggested_layers(recipe: Recipe, viewer: Any, first: Any) -> list[Any | None]:
    """Return a layer for each input of a recipe: by its channel, else one that suits.

    Parameters
    ----------
    recipe
        Its first input gets ``first``.
    viewer
        Whose layers.
    first
        An image or labels layer.
    """
    found: list[Any | None] = [first]
    for each in recipe.inputs[1:]:
        op, wanted = _first_use(recipe, each.name)
        candidates = [layer for layer in viewer.layers if not refusal(op, wanted, layer)]
        of_channel = [
            layer
            for layer in candidates
            if each.channel is not None
            and _is_sibling(first, layer)
            and _channel(layer) == each.channel
        ]
        taken = [layer for layer in found if layer is not None]
        suited = suggested_input(op, wanted, viewer.layers, first, taken[1:])
        found.append(of_channel[0] if of_channel else suited)
    return found


def start_recipe(recipe: Recipe, layers: Sequence[Any]) -> Future[Applied]:
    """Begin to apply a recipe to layers, one per input; returns at once.

    Raises
    ------
    OperationError
        If a layer does not suit what is to be done with it.
    """
    views = {}
    for each, layer in zip(recipe.inputs, layers, strict=True):
        op, wanted = _first_use(recipe, each.name)
        check_input(op, wanted, layer)
        views[each.name] = input_view(wanted, layer)
    return io_thread().submit(apply_recipe(recipe, views, engine()))


def add_recipe(viewer: Any, recipe: Recipe, layers: Sequence[Any], applied: Applied) -> list[Any]:
    """Add a live layer for each step of a recipe, the last one visible; on the GUI thread.

    Parameters
    ----------
    viewer
        Holds the layers.
    recipe
        As it was asked for: its thresholds may be None, and are then measured again when something
        before them changes.
    layers
        One per input.
    applied
        What `start_recipe` gave.

    Raises
    ------
    OperationError
        If a layer is gone.
    """
    named = dict(zip([each.name for each in recipe.inputs], layers, strict=True))
    added: list[Any] = []
    for number, (step, references) in enumerate(zip(recipe.steps, recipe.references, strict=True)):
        given = [named[each] if isinstance(each, str) else added[each] for each in references]
        inputs = get_operation(step.operation).inputs
        plan = LivePlan(
            replace(step, inputs=(), name=""),
            tuple(input_view(*pair) for pair in zip(inputs, given, strict=True)),
            tuple(map(weakref.ref, given)),
        )
        is_last = number == len(recipe.steps) - 1
        added.append(add_live(viewer, plan, applied.steps[number], visible=is_last))
    return added


def _first_use(recipe: Recipe, name: str) -> tuple[Any, Input]:
    """Return the first operation that takes an input of a recipe, and as which of its own."""
    for step, references in zip(recipe.steps, recipe.references, strict=True):
        if name in references:
            op = get_operation(step.operation)
            return op, op.inputs[references.index(name)]
    op = get_operation(recipe.steps[0].operation)
    return op, op.inputs[0]


def _is_sibling(one: Any, other: Any) -> bool:
    return sources().view(one).pyramid is sources().view(other).pyramid


def _input_names(roots: Iterable[Any]) -> list[str]:
    """Return names for inputs: no layer's own, which may hold a path."""
    names: list[str] = []
    for root in roots:
        is_mask = not isinstance(root, PyramidView) and is_labels(root)
        stem = "labels" if is_mask else "image"
        count = sum(name.split(" ")[0] == stem for name in names)
        names.append(f"{stem} {count + 1}" if count else stem)
    return names


def _channel(root: Any) -> int | None:
    """Return which channel of its image a layer shows."""
    view = root if isinstance(root, PyramidView) else sources().view(root)
    axis = channel_axis(view.pyramid)
    return dict(view.fixed).get(axis) if axis is not None else None


def _without_obvious(recipe: Recipe) -> Recipe:
    """Leave out what a recipe means anyway: each step works on the one before."""
    steps = list(recipe.steps)
    for number, step in enumerate(steps):
        before = recipe.steps[number - 1].name if number else recipe.inputs[0].name
        first_takes_all = not number and step.inputs == tuple(i.name for i in recipe.inputs)
        if step.inputs == (before,) or first_takes_all:
            steps[number] = replace(step, inputs=())
    needed = {name for step in steps for name in step.inputs}
    steps = [replace(s, name=s.name if s.name in needed else "") for s in steps]
    return replace(recipe, steps=tuple(steps))
