"""Where the OME metadata sit inside a document: under ``ome`` (0.5), or at the root (before)."""

from __future__ import annotations

from typing import Any

from napari_omezarr_cloud.ngff.values import listed, shown

__all__ = ["ome_attributes"]

_OME_KEYS = (
    "multiscales",
    "omero",
    "image-label",
    "labels",
    "plate",
    "well",
    "bioformats2raw.layout",
    "series",
    "scene",
)


def ome_attributes(attributes: object, *, key: str, notes: list[str]) -> dict[str, Any]:
    """Return the OME metadata of a group's attributes, wherever they sit.

    Parameters
    ----------
    attributes
        ``zarr.json``'s ``attributes``, or the whole ``.zattrs``.
    key
        The document they are from, for notes.
    notes
        Gets a sentence when they sit where they should not, or in both places.

    Returns
    -------
    dict
        What is under ``ome``, with the OME keys that are only at the root; without ``ome``, the
        attributes as they are. Empty when there are none.
    """
    if not isinstance(attributes, dict):
        if attributes is not None:
            notes.append(f"{key}: the attributes are no object ({shown(attributes)}).")
        return {}
    ome = attributes.get("ome")
    if not isinstance(ome, dict):
        if "ome" in attributes:
            notes.append(f"{key}: 'ome' is no object ({shown(ome)}).")
        if key.endswith("zarr.json") and any(name in attributes for name in _OME_KEYS):
            notes.append(f"{key}: the metadata stand at the root and not under 'ome'.")
        return attributes
    beside = {name: attributes[name] for name in _OME_KEYS if name in attributes.keys() - ome}
    if beside:
        notes.append(f"{key}: {listed(beside)} stands beside 'ome' and not in it; it was read.")
    return {**ome, **beside}
