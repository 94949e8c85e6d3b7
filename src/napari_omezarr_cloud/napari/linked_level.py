"""A link to one level of an image: layers that stay at it, if it can be shown as a whole."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.napari.layer_data import METADATA_KEY, LayerData
from napari_omezarr_cloud.pyramid.channels import channel_axis

if TYPE_CHECKING:
    from napari_omezarr_cloud.api import Image

__all__ = ["at_linked_level", "lock_linked_level", "sentence_on_level"]

_MOST_PX = 40_000_000
"""In one plane. A locked level is read as a whole whatever is in view."""

_LEVEL = "linked_level"


def at_linked_level(image: Image, layers: list[LayerData]) -> list[LayerData]:
    """Return layers that stay at the level the image's link leads to, if it leads to one."""
    level = image.linked_level
    if level is None or not _can_be_locked(image, level):
        return layers
    marked = []
    for data, attributes, kind in layers:
        about = {**attributes["metadata"][METADATA_KEY], _LEVEL: level}
        more: dict[str, Any] = {"metadata": {**attributes["metadata"], METADATA_KEY: about}}
        if kind == "image":  # Labels of napari take no such argument
            more["locked_data_level"] = level
        marked.append((data, {**attributes, **more}, kind))
    return marked


def lock_linked_level(layer: Any) -> None:
    """Lock a layer that has just come at the level its link leads to."""
    level = (layer.metadata.get(METADATA_KEY) or {}).get(_LEVEL)
    if level is not None and layer.locked_data_level is None:
        layer.locked_data_level = level


def sentence_on_level(image: Image) -> str:
    """Say how a level that was linked is shown, and how to get the others; empty without one."""
    level = image.linked_level
    if level is None or len(image.levels) == 1:
        return ""
    if _can_be_locked(image, level):
        return (
            f"It stays at level {level}: choose Auto under 'resolution' in the layer controls for "
            "the level that suits the zoom."
        )
    return (
        f"Level {level} is too large to be read as a whole, so the level follows the zoom; it can "
        "be chosen under 'resolution' in the layer controls."
    )


def _can_be_locked(image: Image, level: int) -> bool:
    channel = channel_axis(image.pyramid)
    shape = [n for axis, n in enumerate(image.levels[level].shape) if axis != channel]
    return len(image.levels) > 1 and math.prod(shape[-2:]) <= _MOST_PX
