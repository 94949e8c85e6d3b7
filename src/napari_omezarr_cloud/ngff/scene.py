"""Scenes of version 0.6 (RFC-5): images, and where each lies among the others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff.coordinate_systems import (
    CoordinateSystem,
    Link,
    Node,
    leading_to,
    parse_coordinate_systems,
    parse_reference,
    read_links,
)
from napari_omezarr_cloud.ngff.image import shown_in
from napari_omezarr_cloud.ngff.paths import check_path
from napari_omezarr_cloud.ngff.transformation import MOST_STEPS, TransformationReader
from napari_omezarr_cloud.ngff.values import settled, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_omezarr_cloud.ngff.affine import Affine
    from napari_omezarr_cloud.ngff.group import Group
    from napari_omezarr_cloud.ngff.image import Image

__all__ = ["Scene", "parse_scene", "place_images"]

_MOST_IMAGES = 256
_WHAT = "Could not open the scene"


@dataclass(frozen=True)
class Scene:
    """What a group says about the images below it and how they lie to each other."""

    paths: tuple[str, ...]
    """Of the images, below the group, in the order they are named; checked. At least one."""
    systems: tuple[CoordinateSystem, ...]
    """Coordinate systems of the scene's own."""
    transformations: Any = field(default=None, hash=False)
    """As written; they can be read when the coordinate systems of the images are known."""
    notes: tuple[str, ...] = ()
    """What was odd and tolerated, in sentences for a person."""


def parse_scene(group: Group) -> Scene:
    """Return the scene that a group describes.

    Parameters
    ----------
    group
        Of kind ``"scene"``.

    Raises
    ------
    MetadataError
        If it names no images, or one outside the data set. Says what was found.
    """
    notes = list(group.notes)
    value = group.attributes.get("scene")
    if not isinstance(value, dict):
        raise _error(group, f"scene is {shown(value)}, where an object is due")
    systems = parse_coordinate_systems(value.get("coordinateSystems"), of="the scene", notes=notes)
    own = {system.name for system in systems}
    paths: dict[str, None] = {}
    transformations = value.get("coordinateTransformations")
    if isinstance(transformations, dict):
        transformations = [transformations]
    for item in transformations[:MOST_STEPS] if isinstance(transformations, list) else ():
        for key in ("input", "output"):
            path = _image_path(item.get(key) if isinstance(item, dict) else None, own)
            if path:
                paths[check_path(path, where=group.where, key=group.key)] = None
    if not paths:
        raise _error(group, "its coordinateTransformations name no images")
    if len(paths) > _MOST_IMAGES:
        notes.append(f"It names {len(paths):,} images; the first {_MOST_IMAGES} are opened.")
    return Scene(tuple(paths)[:_MOST_IMAGES], systems, transformations, settled(notes))


def _image_path(value: object, own: set[str]) -> str:
    """Return the path of the image that an ``input`` or ``output`` names; empty: none."""
    if isinstance(value, dict):
        path = value.get("path")
        # Not stripped: a path that is absolute has to be refused, not read as another.
        return path if isinstance(path, str) and path not in (".", "./") else ""
    node = parse_reference(value)
    if node is None or node[1] in own:
        return ""
    return node[1].rpartition("/")[0]


def _error(group: Group, why: str) -> MetadataError:
    return MetadataError(
        _WHAT,
        where=group.where,
        key=group.key,
        why=why,
        hint="Open one of its images, a folder inside.",
    )


def place_images(scene: Scene, images: Mapping[str, Image]) -> tuple[dict[str, Image], list[str]]:
    """Return the images of a scene as they lie in its default coordinate system.

    Parameters
    ----------
    scene
        As parsed.
    images
        Path → image, those that could be opened, their axes resolved.

    Returns
    -------
    images
        The same, each shown in the scene's first coordinate system; without any of its own, in the
        one that its first transformation leads to. An image without a way there is shown as it is
        by itself, with a note of its own.
    notes
        Sentences about the scene as a whole.

    References
    ----------
    OME-Zarr 0.6rc0, "scene" metadata: the first entry of ``coordinateSystems`` is the default.
    """
    notes: list[str] = []
    known: dict[Node, CoordinateSystem] = {("", each.name): each for each in scene.systems}
    for path, image in images.items():
        known |= {(path, each.name): each for each in image.systems}
    reader = TransformationReader(notes)
    links = read_links(scene.transformations, known, reader, of="the scene")
    inside = tuple(
        Link((path, image.intrinsic or ""), (path, each.name), each.affine)
        for path, image in images.items()
        for each in image.systems
        if each.affine is not None and each.name != image.intrinsic
    )
    if scene.systems:
        target: Node | None = ("", scene.systems[0].name)
    else:
        target = links[0].end if links else None
        if target is not None:
            notes.append(
                "The scene has no coordinate system of its own; it is shown in "
                f"{shown(target[1])} of {shown(target[0])}."
            )
    ways: dict[Node, Affine] = {}
    if target is not None:
        ways = leading_to(target, len(known[target].axes), (*links, *inside))
    placed = {}
    for path, image in images.items():
        affine = ways.get((path, image.intrinsic or ""))
        if target is None or affine is None:
            told = f" {shown(target[1])}" if target is not None else ""
            note = f"Its place in the scene's coordinate system{told} could not be found."
            placed[path] = replace(image, notes=settled((*image.notes, note)))
        else:
            placed[path] = shown_in(image, replace(known[target], affine=affine))
    return placed, notes
