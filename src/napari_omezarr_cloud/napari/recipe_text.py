"""A live layer's recipe in words: what is done, with which numbers, and which were measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.napari.live import live_of
from napari_omezarr_cloud.napari.live_recipe import chain_of, roots_of
from napari_omezarr_cloud.napari.visible import pixel_sizes_um

if TYPE_CHECKING:
    from napari_omezarr_cloud.napari.live import Live
    from napari_omezarr_cloud.process import Parameter, Value

__all__ = ["recipe_text"]


def recipe_text(layer: Any) -> str:
    """Return a line for each step of a live layer, and before them what it is made from.

    Numbers that were measured on the image are said to be: they are pinned, and the whole image is
    computed with the very same.
    """
    roots = [getattr(root, "name", "a layer that was removed") for root in roots_of(layer)]
    in_um = all(pixel_sizes_um(layer)[-2:])
    lines = [f"On {' and '.join(roots)}:"]
    for number, one in enumerate(chain_of(layer), start=1):
        live = live_of(one)
        if live is not None:
            lines.append(f"{number}. {_step_text(live, in_um=in_um)}")
    return "\n".join(lines)


def _step_text(live: Live, *, in_um: bool) -> str:
    applied = live.applied
    measured = applied.measured
    said = []
    for parameter in applied.operation.parameters:
        value = applied.step.values.get(parameter.name)
        text = f"{parameter.label.lower()} {_value_text(value, parameter, in_um=in_um)}"
        if parameter.name in measured.values:
            text += f" (measured on {measured.where})"
        said.append(text)
    whole = " in 3D" if applied.step.dims == "volume" else ""
    return f"{applied.operation.title}{whole}" + (f": {', '.join(said)}" if said else "")


def _value_text(value: Value | None, parameter: Parameter, *, in_um: bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    unit = parameter.unit if parameter.type != "length" or in_um else "px"
    return f"{text} {unit}" if unit else text
