"""Collections (RFC-8, a draft: versions 0.9.dev): nodes that are images, or hold them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff.paths import check_path
from napari_omezarr_cloud.ngff.series import Entry, Series
from napari_omezarr_cloud.ngff.values import plain_text, settled, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_omezarr_cloud.ngff.group import Group

__all__ = ["as_image", "parse_collection"]

_MOST_NODES = 10_000
_DRAFT = "This follows a draft (collections, RFC-8) that may still change."


def as_image(group: Group) -> Group | None:
    """Return the group as one image, if it is a ``multiscale`` whose nodes are its levels.

    Parameters
    ----------
    group
        Of kind ``"collection"``.
    """
    attributes = group.attributes
    if attributes.get("type") != "multiscale":
        return None
    nodes = attributes.get("nodes")
    own = _object(attributes.get("attributes"))
    multiscale: dict[str, Any] = {
        "name": attributes.get("name"),
        "datasets": [
            {
                "path": node.get("path"),
                "coordinateTransformations": _object(node.get("attributes")).get(
                    "coordinateTransformations"
                ),
            }
            for node in (nodes if isinstance(nodes, list) else [])
            if isinstance(node, dict) and node.get("type", "singlescale") == "singlescale"
        ],
    }
    for key in ("axes", "coordinateSystems", "coordinateTransformations"):
        if key in own:
            multiscale[key] = own[key]
    has_systems = "coordinateSystems" in own
    known = {key: own[key] for key in ("omero", "image-label") if key in own}
    return replace(
        group,
        kind="image",
        version="0.6" if has_systems else "0.5",
        attributes={
            "version": "0.6" if has_systems else "0.5",
            "multiscales": [multiscale],
            **known,
        },
        notes=(*group.notes, _DRAFT),
    )


def parse_collection(group: Group) -> Series:
    """Return the images that a collection names, those of collections inside it too.

    Parameters
    ----------
    group
        Of kind ``"collection"``. Nodes without a path are looked into; those that describe an image
        in place are left out with a note.

    Raises
    ------
    MetadataError
        If it names no images. Says what was found.
    """
    notes = [*group.notes, _DRAFT]
    entries: dict[str, Entry] = {}
    # A stack, not recursion: how deep the nodes lie is not ours to decide.
    waiting: list[object] = _nodes(group.attributes)[::-1]
    seen = 0
    while waiting and seen < _MOST_NODES:
        node = waiting.pop()
        seen += 1
        if not isinstance(node, dict):
            notes.append(f"A node of the collection is no object ({shown(node)}).")
        elif node.get("path") is not None:
            try:
                path = check_path(node["path"], where=group.where, key=group.key)
            except MetadataError as error:
                notes.append(f"A node of the collection was left out: {error.why}.")
            else:
                entries.setdefault(path, Entry(path, plain_text(node.get("name")) or ""))
        elif node.get("type", "collection") == "collection":
            waiting += _nodes(node)[::-1]
        else:
            name = shown(node.get("name"))
            notes.append(f"The node {name} has no folder of its own; it was left out.")
    if waiting:
        notes.append(f"Of the collection's nodes the first {_MOST_NODES:,} are offered.")
    if not entries:
        raise MetadataError(
            "Could not open the collection",
            where=group.where,
            key=group.key,
            why="none of its nodes names the folder of an image",
            hint="Open one of its images, a folder inside.",
        )
    return Series(tuple(entries.values()), settled(notes))


def _nodes(holder: Mapping[str, Any]) -> list[object]:
    nodes = holder.get("nodes")
    return nodes if isinstance(nodes, list) else []


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
