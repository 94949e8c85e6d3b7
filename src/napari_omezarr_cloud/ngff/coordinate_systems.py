"""Coordinate systems of version 0.6 (RFC-5): named axes, and the ways between them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.ngff.affine import Affine
from napari_omezarr_cloud.ngff.axes import Axis, parse_axes
from napari_omezarr_cloud.ngff.transformation import MAX_AXES, TransformationReader
from napari_omezarr_cloud.ngff.values import listed, plain_text, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = [
    "CoordinateSystem",
    "ImageSystems",
    "Link",
    "Node",
    "leading_to",
    "parse_coordinate_systems",
    "parse_image_systems",
    "parse_reference",
    "reachable",
    "read_links",
]

_MOST = 1000
"""Coordinate systems that are read of one document."""

Node = tuple[str, str]
"""A coordinate system: path of the group that defines it (empty: this one), and its name."""


@dataclass(frozen=True)
class CoordinateSystem:
    """A space that coordinates are given in."""

    name: str
    axes: tuple[Axis, ...]
    """In the order of its coordinates."""
    affine: Affine | None = None
    """From the image's intrinsic system to this one; None: no way there that could be read."""

    @property
    def axis_names(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(axis.name for axis in self.axes)


@dataclass(frozen=True)
class Link:
    """A transformation between two coordinate systems that could be read."""

    start: Node
    end: Node
    affine: Affine


@dataclass(frozen=True)
class ImageSystems:
    """The coordinate systems of one multiscale image."""

    intrinsic: CoordinateSystem
    """The one that the levels' own transformations lead to."""
    systems: tuple[CoordinateSystem, ...]
    """All of them as listed, the intrinsic one included, each with the way from there."""
    shown: CoordinateSystem
    """The one that the image is shown in: where its first transformation that can be shown leads,
    else the intrinsic one."""
    labels: tuple[Link, ...] = ()
    """Transformations between the intrinsic system and label images inside."""


def parse_coordinate_systems(
    value: object, *, of: str, notes: list[str]
) -> tuple[CoordinateSystem, ...]:
    """Return the systems that ``coordinateSystems`` lists, in its order.

    Parameters
    ----------
    value
        The JSON value; None when it is absent.
    of
        Whose they are, for notes: ``"the scene"``.
    notes
        Gets a sentence for each system that is not used: without a name or axes, or with the name
        of another.
    """
    if isinstance(value, dict):
        notes.append(f"The coordinateSystems of {of} are one object, not a list.")
        value = [value]
    if value is None:
        return ()
    if not isinstance(value, list):
        notes.append(f"The coordinateSystems {shown(value)} of {of} are no list.")
        return ()
    found: dict[str, CoordinateSystem] = {}
    for item in value[:_MOST]:
        name = plain_text(item.get("name")) if isinstance(item, dict) else None
        inner: list[str] = []
        axes = parse_axes(item.get("axes"), notes=inner) if isinstance(item, dict) else ()
        if name is None or not axes or len(axes) > MAX_AXES or name in found:
            why = (
                "its name is that of another one" if name in found else "its name or axes are amiss"
            )
            notes.append(f"A coordinate system of {of} is not used ({shown(item)}): {why}.")
        else:
            found[name] = CoordinateSystem(name, axes)
    if len(value) > _MOST:
        notes.append(f"Only {_MOST:,} of {len(value):,} coordinate systems of {of} are read.")
    return tuple(found.values())


def parse_image_systems(entry: Mapping[str, Any], *, notes: list[str]) -> ImageSystems | None:
    """Return the coordinate systems of an entry of ``multiscales``; None where it has none.

    Parameters
    ----------
    entry
        With ``coordinateSystems``, ``datasets`` and maybe ``coordinateTransformations``.
    notes
        Gets a sentence for what is odd or not used, and where the image could be shown in several
        systems.

    References
    ----------
    OME-Zarr 0.6rc0, "multiscales" metadata: the intrinsic coordinate system is the one that is
    the output of the transformations under ``datasets``, wherever it is listed.
    """
    systems = parse_coordinate_systems(
        entry.get("coordinateSystems"), of="the multiscale", notes=notes
    )
    if not systems:
        return None
    intrinsic = _intrinsic(entry.get("datasets"), systems, notes)
    _note_axes(entry, intrinsic, notes)
    reader = TransformationReader(notes)
    by_node: dict[Node, CoordinateSystem] = {("", system.name): system for system in systems}
    raw = entry.get("coordinateTransformations")
    links = read_links(raw, by_node, reader, of="the multiscale", others=intrinsic.axes)
    origin: Node = ("", intrinsic.name)
    ways = reachable(origin, len(intrinsic.axes), links)
    told = tuple(replace(system, affine=ways.get(("", system.name))) for system in systems)
    intrinsic = replace(intrinsic, affine=Affine.identity(len(intrinsic.axes)))
    seen = _shown(intrinsic, told, links)
    if len(systems) > 1:
        names = listed(shown(each.name) for each in told)
        notes.append(
            f"It has the coordinate systems {names}; by itself it is shown in {shown(seen.name)}."
        )
    labels = tuple(link for link in links if link.start[0] or link.end[0])
    return ImageSystems(intrinsic, told, seen, labels)


def _intrinsic(
    datasets: object, systems: Sequence[CoordinateSystem], notes: list[str]
) -> CoordinateSystem:
    names: dict[str, None] = {}
    for dataset in datasets if isinstance(datasets, list) else ():
        steps = dataset.get("coordinateTransformations") if isinstance(dataset, dict) else None
        for step in steps if isinstance(steps, list) else [steps]:
            output = parse_reference(step.get("output")) if isinstance(step, dict) else None
            if output is not None and output[1]:
                names[output[1]] = None
    if len(names) > 1:
        told = listed(map(shown, names))
        notes.append(f"The levels lead to different coordinate systems ({told}).")
    known = {system.name: system for system in systems}
    found = next((known[name] for name in names if name in known), None)
    if found is not None:
        return found
    if len(systems) > 1 or names:
        why = f"name {listed(map(shown, names))}, which is not there" if names else "name none"
        notes.append(
            f"Which coordinate system the levels lead to is not clear (they {why}); "
            f"{shown(systems[-1].name)} was taken."
        )
    return systems[-1]


def _note_axes(entry: Mapping[str, Any], system: CoordinateSystem, notes: list[str]) -> None:
    """Say what is odd about the axes of the system that counts."""
    for item in entry["coordinateSystems"] if isinstance(entry["coordinateSystems"], list) else ():
        if isinstance(item, dict) and plain_text(item.get("name")) == system.name:
            parse_axes(item.get("axes"), notes=notes)
            return


def _shown(
    intrinsic: CoordinateSystem, systems: Sequence[CoordinateSystem], links: Iterable[Link]
) -> CoordinateSystem:
    by_name = {system.name: system for system in systems}
    for link in links:
        ends = {link.start, link.end}
        other = next((node for node in ends if node != ("", intrinsic.name)), None)
        if ("", intrinsic.name) not in ends or other is None or other[0]:
            continue
        system = by_name.get(other[1])
        if system is not None and system.affine is not None:
            if system.affine.outputs == len(intrinsic.axes):
                return system
    return intrinsic


def parse_reference(value: object) -> Node | None:
    """Return what ``input`` or ``output`` refers to; None where it is nothing usable.

    The first drafts of 0.6 had the name alone, a text.
    """
    if isinstance(value, dict):
        path, name = value.get("path"), value.get("name")
        if not isinstance(path, str | None) or not isinstance(name, str | None):
            return None
        kept = "/".join(part for part in (path or "").split("/") if part not in ("", "."))
        return (kept, plain_text(name) or "")
    name = plain_text(value)
    return None if name is None else ("", name)


def read_links(
    value: object,
    systems: Mapping[Node, CoordinateSystem],
    reader: TransformationReader,
    *,
    of: str,
    others: Sequence[Axis] | None = None,
) -> tuple[Link, ...]:
    """Return the transformations between coordinate systems that could be read.

    Parameters
    ----------
    value
        The JSON value of ``coordinateTransformations``; None when it is absent.
    systems
        The coordinate systems that are known.
    reader
        Reads the transformations, and has the notes.
    of
        Whose they are, for notes.
    others
        Axes that a system elsewhere is taken to have, where its group is not read.
    """
    if value is None:
        return ()
    if not isinstance(value, list):
        if not isinstance(value, dict):
            reader.notes.append(
                f"The coordinateTransformations {shown(value)} of {of} are no list."
            )
            return ()
        value = [value]
    links = []
    for item in value:
        if reader.left <= 0:
            reader.notes.append(f"{of[:1].upper()}{of[1:]} has more transformations than are read.")
            break
        if not isinstance(item, dict):
            reader.left -= 1
            reader.notes.append(f"The transformation {shown(item)} of {of} is no object.")
            continue
        start, end = (_resolved(parse_reference(item.get(k)), systems) for k in ("input", "output"))
        names = [_axis_names(node, systems, others) for node in (start, end)]
        if start is None or end is None or names[0] is None or names[1] is None:
            reader.left -= 1
            told = f"from {shown(item.get('input'))} to {shown(item.get('output'))}"
            reader.notes.append(
                f"A transformation of {of} ({told}) is not used: it does not lead from one known "
                "coordinate system to another."
            )
            continue
        affine = reader.read(item, names[0], names[1], of=of)
        if affine is not None and start != end:
            links.append(Link(start, end, affine))
    return tuple(links)


def _resolved(node: Node | None, systems: Mapping[Node, CoordinateSystem]) -> Node | None:
    """Return the system that is meant; drafts wrote path and name as one text."""
    if node is None or node in systems or node[0]:
        return node
    path, _, name = node[1].strip("/").rpartition("/")
    return (path, name) if (path, name) in systems else node


def _axis_names(
    node: Node | None, systems: Mapping[Node, CoordinateSystem], others: Sequence[Axis] | None
) -> tuple[str, ...] | None:
    if node is None:
        return None
    if node in systems:
        return systems[node].axis_names
    return tuple(axis.name for axis in others) if others is not None and node[0] else None


def reachable(start: Node, ndim: int, links: Iterable[Link]) -> dict[Node, Affine]:
    """Return every system that can be reached from one, with the map there.

    Transformations are followed forwards, and backwards where they have an inverse; of several
    ways the one with the fewest steps counts, of those the one that is listed first.

    Parameters
    ----------
    start, ndim
        Where to begin, and its number of axes.
    links
        Transformations.

    See Also
    --------
    leading_to : The other way round: every system from which one can be reached.
    """
    around: dict[Node, list[Link]] = {}
    for link in _both_ways(links):
        around.setdefault(link.start, []).append(link)
    found, todo = {start: Affine.identity(ndim)}, deque([start])
    while todo:
        node = todo.popleft()
        for link in around.get(node, ()):
            if link.end not in found:
                whole = found[node].then(link.affine)
                if whole.is_finite:
                    found[link.end] = whole
                    todo.append(link.end)
    return found


def leading_to(end: Node, ndim: int, links: Iterable[Link]) -> dict[Node, Affine]:
    """Return every system from which one can be reached, with the map from there.

    Parameters
    ----------
    end, ndim
        Where all ways lead, and its number of axes.
    links
        Transformations, followed as by :func:`reachable`.
    """
    around: dict[Node, list[Link]] = {}
    for link in _both_ways(links):
        around.setdefault(link.end, []).append(link)
    found, todo = {end: Affine.identity(ndim)}, deque([end])
    while todo:
        node = todo.popleft()
        for link in around.get(node, ()):
            if link.start not in found:
                whole = link.affine.then(found[node])
                if whole.is_finite:
                    found[link.start] = whole
                    todo.append(link.start)
    return found


def _both_ways(links: Iterable[Link]) -> Iterator[Link]:
    for link in links:
        yield link
        back = link.affine.inverse()
        if back is not None:
            yield Link(link.end, link.start, back)
