"""``omero`` inside the document of a group: found, and exchanged for another one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff.documents import parse_json
from napari_omezarr_cloud.ngff.omero import OWN_KEY
from napari_omezarr_cloud.ngff.writing import json_bytes

__all__ = ["HeldOmero", "is_same_omero", "omero_in", "with_omero", "with_omero_in_copy"]

_FORMER = "former_omero"
"""Below our own key, beside the OME metadata."""


@dataclass(frozen=True)
class HeldOmero:
    """What a document says of how channels look."""

    omero: Any = None
    """The JSON value; None: there is none."""
    former: Any = None
    """What was there before we changed it the last time; None: there was none."""
    has_former: bool = False
    """Whether we have changed it."""


def omero_in(raw: bytes, *, where: str, key: str) -> HeldOmero:
    """Return what a group's document holds.

    Parameters
    ----------
    raw
        The document.
    where, key
        The group, and which document of it: ``zarr.json``, or ``.zattrs``.

    Raises
    ------
    MetadataError
        If it cannot be read.
    """
    attributes = _attributes(parse_json(raw, where=where, key=key), where, key)
    own = attributes.get(OWN_KEY)
    own = own if isinstance(own, dict) else {}
    holder = _holder(attributes)
    return HeldOmero(holder.get("omero"), own.get(_FORMER), _FORMER in own)


def with_omero(raw: bytes, omero: Any, *, where: str, key: str) -> bytes:
    """Return a group's document with another ``omero``, and the former one kept beside.

    Nothing else of it changes; the former one stands under ``napari-omezarr-cloud`` among the
    attributes. Parameters and errors are those of `omero_in`; None takes ``omero`` away.

    Raises
    ------
    MetadataError
        Also where somebody else uses our own key for something that is no object.
    """
    document = parse_json(raw, where=where, key=key)
    attributes = _attributes(document, where, key)
    holder = _holder(attributes)
    if is_same_omero(holder.get("omero"), omero):
        return raw
    own = attributes.setdefault(OWN_KEY, {})
    if not isinstance(own, dict):
        raise MetadataError(
            "The rendering settings were not saved",
            where=where,
            key=key,
            why=f"the former ones are kept under {OWN_KEY!r}, and something else stands there",
            hint="Rename that key in the document.",
        )
    own[_FORMER] = holder.get("omero")
    _put(holder, omero)
    return _bytes(document)


def with_omero_in_copy(raw: bytes, omero: Any, *, where: str) -> bytes:
    """Return Zarr 2's ``.zmetadata``, a copy of all documents, with another ``omero`` of the root.

    Readers that find it look nowhere else. Raises as `omero_in`.
    """
    document = parse_json(raw, where=where, key=".zmetadata")
    copies = document.get("metadata")
    attributes = copies.get(".zattrs") if isinstance(copies, dict) else None
    if not isinstance(attributes, dict) or is_same_omero(_holder(attributes).get("omero"), omero):
        return raw
    _put(_holder(attributes), omero)
    return _bytes(document)


def is_same_omero(one: Any, other: Any) -> bool:
    """Tell whether two JSON values say the same; NaN, which some write, is the same as itself."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _attributes(document: dict[str, Any], where: str, key: str) -> dict[str, Any]:
    if key == ".zattrs":
        return document
    attributes = document.get("attributes")
    if not isinstance(attributes, dict):
        why = "it holds no attributes"
        raise MetadataError("Could not read the metadata", where=where, key=key, why=why)
    return attributes


def _holder(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return where ``omero`` stands or should: as `ome_attributes` reads it."""
    ome = attributes.get("ome")
    if not isinstance(ome, dict) or ("omero" in attributes and "omero" not in ome):
        return attributes
    return ome


def _put(holder: dict[str, Any], omero: Any) -> None:
    if omero is None:
        holder.pop("omero", None)
    else:
        holder["omero"] = omero


def _bytes(document: dict[str, Any]) -> bytes:
    try:
        return json_bytes(document)
    except ValueError:
        # Somebody wrote NaN, or half a character: it stays as it is.
        return json.dumps(document, indent=2).encode()
