"""Collections (RFC-8, a draft: versions 0.9.dev): nodes that are images, or hold them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff.affine import Affine
from napari_omezarr_cloud.ngff.coordinate_systems import parse_coordinate_systems
from napari_omezarr_cloud.ngff.image import shown_in
from napari_omezarr_cloud.ngff.labels import parse_image_label
from napari_omezarr_cloud.ngff.paths import check_path
from napari_omezarr_cloud.ngff.series import Entry
from napari_omezarr_cloud.ngff.transformation import TransformationReader
from napari_omezarr_cloud.ngff.values import plain_text, settled, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_omezarr_cloud.ngff.coordinate_systems import CoordinateSystem
    from napari_omezarr_cloud.ngff.group import Group
    from napari_omezarr_cloud.ngff.image import Image

__all__ = ["Collection", "Member", "as_image", "in_collection", "parse_collection"]

_MOST_NODES = 10_000
_MOST_STEPS = 20
_DRAFT = "This follows a draft (collections, RFC-8) that may still change."


@dataclass(frozen=True)
class Member(Entry):
    """One node of a collection: an image, or another collection in a file of its own."""

    kind: Literal["zarr", "json", "inline"] = "zarr"
    """Whether ``path`` leads to a group or to a JSON file; ``"inline"``: see ``group``."""
    group: Group | None = field(default=None, hash=False)
    """Of an image that the collection describes itself: as if its group had said so."""
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What the collection says of it, as written: its place, whether it is labels."""


@dataclass(frozen=True)
class Collection:
    """What a collection names, and the coordinate systems it names them in."""

    members: tuple[Member, ...]
    """In the order named, those of collections inside it too; at least one."""
    systems: tuple[CoordinateSystem, ...] = ()
    notes: tuple[str, ...] = ()
    """What was odd and tolerated, in sentences for a person."""


def as_image(group: Group) -> Group | None:
    """Return the group as one image, if it is a ``multiscale`` whose nodes are its levels.

    Parameters
    ----------
    group
        Of kind ``"collection"``.
    """
    if group.attributes.get("type") != "multiscale":
        return None
    return _as_image(group, group.attributes, [], [*group.notes, _DRAFT])


def parse_collection(group: Group) -> Collection:
    """Return the images that a collection names, those of collections inside it too.

    Parameters
    ----------
    group
        Of kind ``"collection"``. Nodes without a path are looked into.

    Raises
    ------
    MetadataError
        If it names no images. Says what was found.

    References
    ----------
    RFC-8 of ome/ngff: nodes have either ``nodes`` or a ``path``, which is an object with ``type``
    ``"zarr"`` or ``"json"``; earlier drafts had a text. Only what lies below the collection is
    followed.
    """
    notes = [*group.notes, _DRAFT]
    root = group.attributes
    systems = _named(_object(root.get("attributes")).get("coordinateSystems"))
    members: dict[tuple[str, str], Member] = {}
    # A stack, not recursion: how deep the nodes lie is not ours to decide.
    waiting: list[object] = _nodes(root)[::-1]
    seen = 0
    while waiting and seen < _MOST_NODES:
        node = waiting.pop()
        seen += 1
        if not isinstance(node, dict):
            notes.append(f"A node of the collection is no object ({shown(node)}).")
        elif node.get("path") is not None:
            member = _member(node, group, notes)
            if member is not None:
                members.setdefault((member.path, ""), member)
        elif node.get("type", "collection") == "collection":
            waiting += _nodes(node)[::-1]
        elif node.get("type") == "multiscale":
            name = plain_text(node.get("name")) or plain_text(node.get("id")) or f"node {seen}"
            inner = _as_image(group, node, systems, [])
            about = _object(node.get("attributes"))
            members[("", f"{seen}")] = Member("", name, "inline", inner, about)
        else:
            name = shown(node.get("name"))
            notes.append(f"The node {name} is no image that can be opened; it was left out.")
    if waiting:
        notes.append(f"Of the collection's nodes the first {_MOST_NODES:,} are offered.")
    if not members:
        raise MetadataError(
            "Could not open the collection",
            where=group.where,
            key=group.key,
            why=" ".join(("none of its nodes is an image in it", *(f"({n})" for n in notes[1:4]))),
            hint="Open one of its images by its own link.",
        )
    known = parse_coordinate_systems(systems or None, of="the collection", notes=notes)
    return Collection(tuple(members.values()), known, settled(notes))


def in_collection(image: Image, member: Member, systems: tuple[CoordinateSystem, ...]) -> Image:
    """Return an image as the collection says it is shown: its place, and whether it is labels.

    Parameters
    ----------
    image
        As its own group describes it.
    member
        The node that names it.
    systems
        Of the collection.
    """
    notes: list[str] = []
    labels = member.attributes.get("labels")
    if isinstance(labels, dict) and image.label is None:
        label = parse_image_label(_image_label(labels), notes=notes)
        image = replace(image, label=label)
    image = replace(image, notes=settled((*image.notes, *notes)))
    steps = member.attributes.get("coordinateTransformations")
    if member.kind != "zarr" or not steps:
        return image
    return _placed(image, steps if isinstance(steps, list) else [steps], systems)


def _placed(image: Image, steps: list[object], systems: tuple[CoordinateSystem, ...]) -> Image:
    notes: list[str] = []
    reader = TransformationReader(notes)
    worlds = {system.name: system for system in systems}
    own = {system.name: system for system in image.systems}
    for step in steps[:_MOST_STEPS]:
        if not isinstance(step, dict):
            continue
        world = worlds.get(_name_of(step.get("output")))
        if world is None:
            continue
        start = own.get(_name_of(step.get("input")))
        before = start.affine if start is not None else None
        before = before or Affine.identity(len(image.axes))
        names = tuple(a.name for a in (start.axes if start is not None else image.axes))
        affine = reader.read(step, names, world.axis_names, of="the collection")
        if affine is not None and affine.inputs == before.outputs:
            placed = shown_in(image, replace(world, affine=before.then(affine)))
            return replace(placed, notes=settled((*placed.notes, *notes)))
    notes.append("Its place in the collection could not be read; it is shown as it is by itself.")
    return replace(image, notes=settled((*image.notes, *notes)))


def _member(node: Mapping[str, Any], group: Group, notes: list[str]) -> Member | None:
    target = node["path"]
    kind: Any = target.get("type", "zarr") if isinstance(target, dict) else None
    text = target.get("path") if isinstance(target, dict) else target
    if kind is None:
        is_json = isinstance(text, str) and text.lower().endswith(".json")
        kind = "json" if is_json and node.get("type") == "collection" else "zarr"
    if kind != "zarr" and kind != "json":
        notes.append(f"A node of the collection was left out: its path is of type {shown(kind)}.")
        return None
    try:
        path = check_path(text, where=group.where, key=group.key)
    except MetadataError as error:
        notes.append(f"A node of the collection was left out: {error.why}.")
        return None
    about = _object(node.get("attributes"))
    return Member(path, plain_text(node.get("name")) or "", kind, None, about)


def _as_image(
    group: Group, node: Mapping[str, Any], inherited: list[object], notes: list[str]
) -> Group:
    """Return a ``multiscale`` node as the group of an image of version 0.5 or 0.6."""
    about = _object(node.get("attributes"))
    systems = _named(about.get("coordinateSystems")) or inherited
    multiscale: dict[str, Any] = {
        "name": node.get("name"),
        "datasets": [
            _dataset(each)
            for each in _nodes(node)
            if isinstance(each, dict) and each.get("type", "singlescale") == "singlescale"
        ],
    }
    if "axes" in about:
        multiscale["axes"] = about["axes"]
    if systems:
        multiscale["coordinateSystems"] = systems
    if "coordinateTransformations" in about:
        steps = about["coordinateTransformations"]
        multiscale["coordinateTransformations"] = _linked(steps) if systems else steps
    known = {key: about[key] for key in ("omero", "image-label") if key in about}
    if isinstance(about.get("labels"), dict):
        known["image-label"] = _image_label(about["labels"])
    version = "0.6" if systems else "0.5"
    attributes = {"version": version, "multiscales": [multiscale], **known}
    return replace(
        group, kind="image", version=version, attributes=attributes, notes=settled(notes)
    )


def _dataset(node: Mapping[str, Any]) -> dict[str, Any]:
    target = node.get("path")
    path = target.get("path") if isinstance(target, dict) else target
    steps = _object(node.get("attributes")).get("coordinateTransformations")
    return {"path": path, "coordinateTransformations": _linked(steps)}


def _linked(steps: object) -> object:
    """Return transformations whose ends are references as version 0.6 writes them."""
    if not isinstance(steps, list):
        return steps
    linked = []
    for step in steps[:_MOST_NODES]:
        if isinstance(step, dict):
            ends = {k: {"name": _name_of(step[k])} for k in ("input", "output") if k in step}
            linked.append({**step, **ends})
        else:
            linked.append(step)
    return linked


def _name_of(reference: object) -> str:
    """Return the id (or, in earlier drafts, the name) that a reference holds; empty: none."""
    if isinstance(reference, dict):
        reference = reference.get("id", reference.get("name"))
    return plain_text(reference) or ""


def _named(systems: object) -> list[object]:
    """Return coordinate systems under the name that references call them by: their id."""
    listed = systems if isinstance(systems, list) else []
    return [
        {**each, "name": each["id"]} if isinstance(each, dict) and "id" in each else each
        for each in listed
    ]


def _image_label(labels: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``labels`` attribute as ``image-label`` says it since version 0.1.3."""
    found = labels.get("labelAttributes")
    colors, properties = [], []
    for each in found if isinstance(found, list) else ():
        if not isinstance(each, dict):
            continue
        value = each.get("labelValue")
        rest = {k: v for k, v in each.items() if k not in ("labelValue", "color")}
        if "color" in each:
            colors.append({"label-value": value, "rgba": each["color"]})
        if rest:
            properties.append({**rest, "label-value": value})
    return {
        **({"colors": colors} if colors else {}),
        **({"properties": properties} if properties else {}),
    }


def _nodes(holder: Mapping[str, Any]) -> list[object]:
    nodes = holder.get("nodes")
    return nodes if isinstance(nodes, list) else []


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
