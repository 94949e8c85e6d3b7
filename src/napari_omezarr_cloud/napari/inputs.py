"""Which layers an operation can take, and which one it takes unless told otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.napari.display import view_of
from napari_omezarr_cloud.napari.visible import axis_names, has_pixels, level_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_omezarr_cloud.process import Input, Operation

__all__ = [
    "check_input",
    "check_inputs",
    "foldable_axes",
    "is_labels",
    "refusal",
    "suggested_input",
]


def is_labels(layer: Any) -> bool:
    """Tell whether a layer's values are the numbers of objects."""
    from napari.layers import Labels

    return isinstance(layer, Labels)


def foldable_axes(layer: Any) -> tuple[str, ...]:
    """Return those of z and t that a layer has, with more than one plane."""
    sizes = dict(zip(axis_names(layer), level_of(layer, 0).shape, strict=False))
    return tuple(name for name in ("z", "t") if sizes.get(name, 1) > 1)


def refusal(op: Operation, wanted: Input, layer: Any) -> str:
    """Return why an operation cannot take a layer as one of its inputs; empty where it can."""
    if not has_pixels(layer):
        return f"{op.title} works on images. Choose an image layer."
    if wanted.kind == "image" and is_labels(layer):
        return f"{op.title} works on grey values, not on labels. Choose an image layer."
    if wanted.kind == "labels" and not is_labels(layer):
        return f"{op.title} needs labels as its {wanted.name}. Choose a labels layer."
    is_rgb = bool(getattr(layer, "rgb", False))
    if is_rgb and op.colours == "none":
        return f"{op.title} works on one value per pixel. Choose a layer without colours."
    if not is_rgb and op.colours == "together":
        return f"{op.title} needs a colour picture. Choose one, or open the image as RGB."
    if op.kind == "projection" and not foldable_axes(layer):
        return f"{op.title} needs several planes along z or t. This layer has one."
    return ""


def check_inputs(op: Operation, layers: Sequence[Any]) -> None:
    """Check that there is a layer for each input of an operation, and that it can take it.

    Raises
    ------
    OperationError
        With what is missing, or why a layer does not suit.
    """
    if len(layers) != len(op.inputs):
        raise OperationError(f"{op.title} needs {len(op.inputs)} layers", why="one is not chosen")
    for wanted, layer in zip(op.inputs, layers, strict=True):
        check_input(op, wanted, layer)


def check_input(op: Operation, wanted: Input, layer: Any) -> None:
    """Check that an operation can take a layer as one of its inputs.

    Raises
    ------
    OperationError
        With why not.
    """
    reason = refusal(op, wanted, layer)
    if reason:
        raise OperationError(reason.rstrip("."))


def suggested_input(
    op: Operation, wanted: Input, layers: Iterable[Any], first: Any, taken: Iterable[Any] = ()
) -> Any | None:
    """Return the layer that is taken beside ``first`` where an operation needs several.

    The next channel of the same image; else the nearest layer below or above that suits.

    Parameters
    ----------
    op, wanted
        The operation, and which of its inputs.
    layers
        Of the viewer, in its order.
    first
        The layer of the first input.
    taken
        Those of other inputs; they are not suggested again.
    """
    every = list(layers)
    if first not in every:
        return None
    gone = {id(first), *(id(layer) for layer in taken)}
    at = every.index(first)
    around = [
        layer
        for layer in every[at + 1 :] + every[:at][::-1]
        if id(layer) not in gone and not refusal(op, wanted, layer)
    ]
    view = view_of(first)
    if view is not None:
        siblings = [layer for layer in around if _is_sibling(view, view_of(layer))]
        # The next channel, and after the last one the first.
        siblings.sort(key=lambda layer: (every.index(layer) < at, every.index(layer)))
        around = siblings + around
    return around[0] if around else None


def _is_sibling(view: Any, other: Any) -> bool:
    return other is not None and other.pyramid is view.pyramid
