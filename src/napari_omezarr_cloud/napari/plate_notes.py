"""What is found of a plate's wells while they are looked at, in the metadata of its layers."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.napari.display import view_of
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY
from napari_omezarr_cloud.pyramid.plate_opened import plate_of

if TYPE_CHECKING:
    from napari_omezarr_cloud.pyramid.plate_opened import OpenedPlate

__all__ = ["layers_of", "state_again", "tell_found"]

_stated: weakref.WeakKeyDictionary[Any, list[str]] = weakref.WeakKeyDictionary()


def layers_of(viewer: Any, plate: OpenedPlate) -> list[Any]:
    """Return the layers that show a plate's fields or their labels themselves."""
    return [layer for layer in viewer.layers if _is_of(layer, plate)]


def _is_of(layer: Any, plate: OpenedPlate) -> bool:
    view = view_of(layer)
    kept = () if view is None else view.pyramid.kept
    return any(each is plate or each is plate.found for each in kept)


def tell_found(viewer: Any) -> None:
    """Write what was found of wells so far to the metadata of the plates' layers."""
    for layer in viewer.layers:
        about, view = layer.metadata.get(METADATA_KEY), view_of(layer)
        plate = None if view is None else plate_of(view.pyramid)
        if about is None or plate is None or not plate.found.sentences:
            continue
        stated = _stated.setdefault(layer, list(about.get("notes", ())))
        about["notes"] = [*stated, *(s for s in plate.found.sentences if s not in stated)]


def state_again(layer: Any, notes: list[str]) -> None:
    """Note what the metadata of another field say, in place of the former ones'."""
    _stated.pop(layer, None)
    about = layer.metadata.get(METADATA_KEY)
    if about is not None:
        about["notes"] = notes
