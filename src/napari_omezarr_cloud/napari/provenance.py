"""Where the voxels of layers came from: links without secrets, and the recipes they went by."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.napari.compare import remembered_source
from napari_omezarr_cloud.napari.display import view_of
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY
from napari_omezarr_cloud.napari.live import live_of
from napari_omezarr_cloud.napari.live_recipe import recipe_of
from napari_omezarr_cloud.process import Recipe, RecipeInput, Step
from napari_omezarr_cloud.write.save_plan import CREATOR

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["provenance_of"]


def provenance_of(layers: Sequence[Any]) -> dict[str, Any]:
    """Return what a file says of where it came from, as JSON holds it.

    Live layers say the recipe they are computed by; results of what was visible the one they were
    computed by, as far as the layers they were made from are known.
    """
    found: dict[str, Any] = {"version": installed_version(CREATOR)}
    made = [_made(layer) for layer in layers]
    views = [view_of(root) for root, _ in made]
    _say(found, "source", [v.pyramid.source for v in views if v is not None])
    _say(found, "recipe", [recipe.to_yaml() for _, recipe in made if recipe is not None])
    return found


def _say(found: dict[str, Any], key: str, values: Sequence[str]) -> None:
    different = [value for value in dict.fromkeys(values) if value]
    if different:
        found[key] = different[0] if len(different) == 1 else different


def _made(layer: Any) -> tuple[Any, Recipe | None]:
    """Return the layer that all began with, and the recipe from there; None: it is that."""
    if live_of(layer):
        return layer, recipe_of(layer)
    about = layer.metadata.get(METADATA_KEY, {})
    if "operation" not in about:
        return layer, None
    source = remembered_source(layer)
    root, before = (layer, None) if source is None else _made(source)
    try:
        step = Step(about["operation"], about["values"])
        if before is not None:
            return root, replace(before, steps=(*before.steps, step))
        names = dict.fromkeys(about["made_from"])
        return root, Recipe((step,), tuple(map(RecipeInput, names)))
    except OperationError:  # of a plugin that is gone, or of two results
        return root, before
