"""The list of an image's label images, ``labels/``: one name more, everything else as it was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff.writing import group_documents, json_bytes, labels_attributes
from napari_omezarr_cloud.write.exchange import exchange

if TYPE_CHECKING:
    from napari_omezarr_cloud.store import RemoteStore

__all__ = ["list_label"]


async def list_label(store: RemoteStore, name: str, *, version: str) -> tuple[str, ...]:
    """Add a label image to those that an image lists; one that is listed stays where it is.

    Parameters
    ----------
    store
        Root of the image.
    name
        Of the group below ``labels/``; must be whole before it is listed.
    version
        Of the image's metadata, "0.4" or "0.5".

    Returns
    -------
    tuple of str
        As `exchange`.

    Raises
    ------
    MetadataError
        If the list that is there cannot be understood: it is left as it is.
    WriteError, CloudError
        As `exchange`.
    """
    fresh = group_documents(labels_attributes([name]), version=version)
    if version == "0.4" and await store.get("labels/.zgroup") is None:
        await store.put("labels/.zgroup", fresh[".zgroup"])
    key = ".zattrs" if version == "0.4" else "zarr.json"

    def change(raw: bytes | None) -> bytes:
        if raw is None:
            return fresh[key]
        document = _parsed(raw, store.where, f"labels/{key}")
        held = document if version == "0.4" else document.setdefault("attributes", {})
        if version != "0.4" and not ("labels" in held and "ome" not in held):
            held = held.setdefault("ome", {"version": version})
        names = held.setdefault("labels", [])
        if not isinstance(names, list):
            raise _unclear(store.where, f"labels/{key}", "its labels are no list")
        if name in names:
            return raw
        names.append(name)
        return json_bytes(document)

    return await exchange(store, f"labels/{key}", change)


def _parsed(raw: bytes, where: str, key: str) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("attributes", {}), dict):
        raise _unclear(where, key, "it is no JSON object")
    return document


def _unclear(where: str, key: str, why: str) -> MetadataError:
    return MetadataError(
        "The label image was written, but not listed",
        where=where,
        key=key,
        why=why,
        hint="Mend that document; the label image is there and can be opened by its own link.",
    )
