"""Plates and wells: recognised and named here; their models come when they can be opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff.paths import check_path

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["first_path"]


def first_path(attributes: Mapping[str, Any], kind: str, *, where: str, key: str) -> str | None:
    """Return the first safe path that a plate's wells, or a well's images, name.

    Parameters
    ----------
    attributes
        OME metadata of a plate or well.
    kind
        ``"plate"`` or ``"well"``.
    where, key
        Where the metadata are from.
    """
    holder = attributes.get(kind)
    items = holder.get("wells" if kind == "plate" else "images") if isinstance(holder, dict) else ()
    for item in items if isinstance(items, list) else ():
        try:
            return check_path(
                item.get("path") if isinstance(item, dict) else item, where=where, key=key
            )
        except MetadataError:
            continue
    return None
