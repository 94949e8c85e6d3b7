"""Which layers an operation can take, and which one it takes unless told otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.napari.display import view_of
from napari_omezarr_cloud.napari.visible import axis_names, has_pixels, level_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_omezarr_cloud.process import Operation

__all__ = ["foldable_axes", "is_labels", "other_input", "refusal"]


def is_labels(layer: Any) -> bool:
    """Tell whether a layer's values are the numbers of objects."""
    from napari.layers import Labels

    return isinstance(layer, Labels)


def foldable_axes(layer: Any) -> tuple[str, ...]:
    """Return those of z and t that a layer has, with more than one plane."""
    sizes = dict(zip(axis_names(layer), level_of(layer, 0).shape, strict=False))
    return tuple(name for name in ("z", "t") if sizes.get(name, 1) > 1)


def refusal(op: Operation, layer: Any) -> str:
    """Return why an operation cannot take a layer, as a sentence; empty where it can."""
    if not has_pixels(layer):
        return f"{op.title} works on images. Choose an image layer."
    if is_labels(layer) and op.output != "labels":
        return f"{op.title} works on grey values, not on labels. Choose an image layer."
    if getattr(layer, "rgb", False) and not op.per_channel:
        return f"{op.title} works on one value per pixel. Choose a layer without colours."
    if op.kind == "projection" and not foldable_axes(layer):
        return f"{op.title} needs several planes along z or t. This layer has one."
    return ""


def other_input(op: Operation, layers: Iterable[Any], first: Any) -> Any | None:
    """Return the layer that is taken with ``first`` where an operation needs two.

    The next channel of the same image; else the nearest layer below or above that suits.
    """
    suitable = [layer for layer in layers if layer is first or not refusal(op, layer)]
    suitable = [layer for layer in suitable if is_labels(layer) == is_labels(first)]
    if first not in suitable:
        return None
    at = suitable.index(first)
    after = suitable[at + 1 :] + suitable[:at][::-1]
    view = view_of(first)
    if view is not None:
        siblings = [layer for layer in suitable if _is_sibling(view, view_of(layer))]
        at = siblings.index(first)
        around = siblings[at + 1 :] + siblings[:at]
        after = around + after
    return after[0] if after else None


def _is_sibling(view: Any, other: Any) -> bool:
    return other is not None and other.pyramid is view.pyramid
