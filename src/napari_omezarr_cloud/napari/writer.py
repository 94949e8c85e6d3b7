"""npe2's writer: *File > Save Selected Layers…* and ``viewer.layers.save`` with a ``.zarr``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.api import locate
from napari_omezarr_cloud.napari.background import is_event_loop_running
from napari_omezarr_cloud.napari.layer_saving import save_layers
from napari_omezarr_cloud.napari.preferences import PLUGIN
from napari_omezarr_cloud.napari.saved_names import ENDINGS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["write_layers"]


def write_layers(path: str, layers: Sequence[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Write layers as one OME-Zarr.

    At the window the Save dock does it, which asks before anything is overwritten, shows how far it
    is and can be cancelled: this returns when it has begun. A script waits.

    Parameters
    ----------
    path
        A folder, or a link to a bucket. A name without an ending, as napari's dialog hands it over
        where none was typed, becomes one of an OME-Zarr.
    layers
        (data, attributes, layer type) as npe2 hands them over.

    Returns
    -------
    list of str
        The path, with its ending.

    Raises
    ------
    CloudError
        In a script: what failed, where and why.
    """
    import napari

    if "://" not in path and not re.search(ENDINGS, path):
        path += ".ome.zarr"
    viewer = napari.current_viewer()
    found = [_layer(viewer, *each) for each in layers]
    if viewer is not None and is_event_loop_running() and all(x in viewer.layers for x in found):
        from napari_omezarr_cloud.napari.widgets.save_dock import SaveDock

        _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, SaveDock.TITLE)
        dock.save_to(found, path)
    else:
        save_layers(found, locate(path), viewer=viewer)
    return [path]


def _layer(viewer: Any, data: Any, attributes: dict[str, Any], kind: str) -> Any:
    """Return the layer of a viewer that npe2 took apart, else one like it."""
    from napari.layers import Layer

    for layer in () if viewer is None else viewer.layers:
        if layer.data is data and layer.name == attributes.get("name"):
            return layer
    return Layer.create(data, attributes, kind)
