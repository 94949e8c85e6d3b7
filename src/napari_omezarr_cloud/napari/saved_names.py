"""What saved layers are called: the image, the folders of its labels, and the file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.napari.display import view_of
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY
from napari_omezarr_cloud.napari.layer_rendering import plain_names
from napari_omezarr_cloud.napari.live import live_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.location import Location

__all__ = ["ENDINGS", "image_name", "label_names", "shortened"]

_NAME_BYTES = 200
"""Disks take 255, and something is put around some names."""
ENDINGS = r"(?i)(\.ome)?\.(zarr(\.zip)?|ozx|zip|tiff?|btf)$"
"""How names of targets end."""


def image_name(layers: Sequence[Any], wanted: str, target: Location) -> str:
    """Return the name of an image that is made of layers, unless somebody said one."""
    if wanted:
        return wanted
    views = [view_of(layer) for layer in layers]
    names = {view.pyramid.name for view in views if view is not None}
    if len(names) == 1 and None not in views and not any(map(live_of, layers)):
        return str(names.pop())
    place = re.sub(ENDINGS, "", target.key.rstrip("/").rpartition("/")[2])
    return str(layers[0].name) if len(layers) == 1 else place


def label_names(layers: Sequence[Any]) -> list[str]:
    """Return names for folders of label images, each once also where disks ignore case."""
    names: list[str] = []
    for layer, plain in zip(layers, plain_names(layers), strict=True):
        about = layer.metadata.get(METADATA_KEY, {})
        stem = str(about.get("labels") or (_operation_of(layer) if "operation" in about else plain))
        stem = shortened(re.sub(r"[^\w. -]+", "_", stem).strip(" .")) or "labels"
        name, number = stem, 2
        while name.casefold() in map(str.casefold, names):
            name, number = f"{stem} {number}", number + 1
        names.append(name)
    return names


def _operation_of(result: Any) -> str:
    """Return the name of a result without what it was made from and how, unless it was renamed."""
    about, name = result.metadata[METADATA_KEY], str(result.name)
    made = f" of {' and '.join(about.get('made_from', ()))}"
    if name.endswith(made):
        return name.removesuffix(made).partition(" (")[0]
    return name.rpartition("→")[2]


def shortened(stem: str) -> str:
    """Return the beginning of a name that is too long for a disk, else the name."""
    return stem.encode()[:_NAME_BYTES].decode(errors="ignore").rstrip(" .")
