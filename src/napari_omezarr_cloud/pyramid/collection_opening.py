"""Collections, opened: images in groups of their own, in JSON files, or described in place."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import MetadataError, NotFoundError
from napari_omezarr_cloud.ngff import parse_group, parse_json
from napari_omezarr_cloud.ngff.attributes import ome_attributes
from napari_omezarr_cloud.ngff.collection import Member, as_image, in_collection, parse_collection
from napari_omezarr_cloud.pyramid.documents import FIRST_ROUND, GROUP_KEY, top_documents
from napari_omezarr_cloud.pyramid.first_image import first_image
from napari_omezarr_cloud.pyramid.image_opening import open_image_group
from napari_omezarr_cloud.pyramid.several import OpenInner, open_first
from napari_omezarr_cloud.store import OpenedStore, open_inside, open_store

if TYPE_CHECKING:
    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.ngff import Group
    from napari_omezarr_cloud.pyramid.opened import OpenedImage

__all__ = ["collection_file", "open_collection"]


async def collection_file(location: Location) -> OpenedStore | None:
    """Return the folder of a JSON file, with what it says as the folder's metadata.

    None where the location is no such file, or it describes no collection.

    Raises
    ------
    CloudError
        If it cannot be had.
    """
    name = location.key.rpartition("/")[2]
    folder = location.parent()
    if folder is None or not name.lower().endswith(".json"):
        return None
    opened = await open_store(folder, [name], witness=[name])
    raw = opened.documents.get(name)
    if raw is None:
        return None
    try:
        content = parse_json(bytes(raw), where=str(folder), key=name)
    except MetadataError:
        return None
    return _as_group(opened, content)


def _as_group(opened: OpenedStore, content: dict[str, Any]) -> OpenedStore | None:
    if "nodes" not in ome_attributes(content, key="", notes=[]):
        return None
    document = {"zarr_format": 3, "node_type": "group", "attributes": content}
    return replace(opened, documents={GROUP_KEY[3]: json.dumps(document).encode()})


async def open_collection(opened: OpenedStore, group: Group, open_inner: OpenInner) -> OpenedImage:
    """Open the first image of a collection, each as the collection says it is shown.

    Parameters
    ----------
    opened
        The collection's store, and what the first round brought.
    group
        Of kind ``"collection"``.
    open_inner
        Opens what is no image itself: another collection, a plate.

    Raises
    ------
    MetadataError
        If it names no images.
    CloudError
        What is wrong with the first image.
    """
    found = parse_collection(group)
    members = {id(member): member for member in found.members}

    async def open_member(member: Member) -> OpenedImage:
        if member.group is not None:
            image = in_collection(first_image(member.group), member, found.systems)
            return await open_image_group(opened, member.group, image, has_labels=False)
        if member.kind == "json":
            return await open_inner(await _json_inside(opened, member.path))
        inside = await open_inside(opened, member.path, FIRST_ROUND)
        below = parse_group(top_documents(inside.documents), where=str(inside.location))
        if below.kind == "collection":
            below = as_image(below) or below
        if below.kind != "image":
            return await open_inner(inside)
        image = in_collection(first_image(below), member, found.systems)
        return await open_image_group(inside, below, image)

    return await open_first(
        opened,
        tuple(members.values()),
        open_inner,
        notes=found.notes,
        open_entry=lambda entry: open_member(members[id(entry)]),
    )


async def _json_inside(opened: OpenedStore, path: str) -> OpenedStore:
    """Return the folder of a JSON file in a collection, as `collection_file` does."""
    folder, _, name = path.rpartition("/")
    if folder:
        inside = await open_inside(opened, folder, [name])
        raw = inside.documents.get(name)
    else:
        inside, raw = opened, await opened.store.get(name)
    where = str(inside.location)
    if raw is None:
        raise NotFoundError(
            "Could not open the collection", where=where, key=name, why="there is no such file"
        )
    known = _as_group(inside, parse_json(bytes(raw), where=where, key=name))
    if known is None:
        raise MetadataError(
            "Could not open the collection",
            where=where,
            key=name,
            why="it describes no collection (ome with nodes)",
        )
    return known
