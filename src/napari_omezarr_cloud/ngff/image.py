"""Images: the entries of ``multiscales`` as frozen models, whatever version wrote them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff.affine import Affine
from napari_omezarr_cloud.ngff.axes import Axis, guess_axes, parse_axes
from napari_omezarr_cloud.ngff.coordinate_systems import (
    CoordinateSystem,
    ImageSystems,
    Link,
    parse_image_systems,
)
from napari_omezarr_cloud.ngff.labels import ImageLabel, parse_image_label
from napari_omezarr_cloud.ngff.omero import Channel, Rendering, parse_omero
from napari_omezarr_cloud.ngff.paths import check_path
from napari_omezarr_cloud.ngff.refusals import refuse_other_kinds
from napari_omezarr_cloud.ngff.transforms import Transform, Vector, parse_transforms
from napari_omezarr_cloud.ngff.values import listed, plain_text, settled, shown
from napari_omezarr_cloud.ngff.version import read_version, stated_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_omezarr_cloud.ngff.group import Group

__all__ = [
    "Dataset",
    "Image",
    "order_by_size",
    "parse_images",
    "resolve_axes",
    "shown_in",
    "shown_with",
]

_MAX_LEVELS = 100


@dataclass(frozen=True)
class Dataset:
    """One level: ``world = scale * index + translation``, index at the pixel's centre.

    The multiscale's own transform is already in it up to version 0.5: applied after the level's.
    Since 0.6 the world is the intrinsic coordinate system, and `Image.affine` comes after it.
    """

    path: str
    """Of the array, below the image's group; checked."""
    scale: Vector | None = None
    """Per axis, > 0. None: not stated or unusable, so that it follows from another level's
    scale and the ratio of the shapes (1 where no level states any)."""
    translation: Vector | None = None
    """Per axis, of the centre of the first pixel. None: not stated."""


@dataclass(frozen=True)
class Image:
    """One image with its levels, or one label image."""

    version: str
    """One of `SUPPORTED_VERSIONS`, stated or inferred."""
    name: str | None
    """Plain text as written (some writers write ``"/"``); None: not stated."""
    axes: tuple[Axis, ...]
    """In the order of dimensions; empty until :func:`resolve_axes` when not stated."""
    datasets: tuple[Dataset, ...]
    """At least one, in the order listed, which should be from fine to coarse."""
    channels: tuple[Channel, ...] = ()
    """As described, which may be fewer or more than the channel axis holds."""
    default_z: int | None = None
    """Plane to show first."""
    default_t: int | None = None
    """Time point to show first."""
    model: str | None = None
    """``"color"`` or ``"greyscale"``."""
    label: ImageLabel | None = None
    """Not None when the image says that it is a label image."""
    method: str | None = None
    """How the coarser levels were made, as the writer calls it (``multiscales[].type``)."""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Details of the method, as written."""
    notes: tuple[str, ...] = ()
    """What was odd and tolerated, the group's notes included, in sentences for a person."""
    intrinsic: str | None = None
    """Name of the coordinate system that the levels are given in; None before version 0.6."""
    systems: tuple[CoordinateSystem, ...] = ()
    """All coordinate systems of the image, the intrinsic one included (since version 0.6)."""
    affine: Affine | None = None
    """From the intrinsic system to the one it is shown in, as many axes; None: the same."""
    shown_axes: tuple[Axis, ...] = ()
    """Axes of the system it is shown in; empty where that is the intrinsic one."""
    label_links: tuple[Link, ...] = ()
    """Ways between the intrinsic system and those of label images (``labels/<name>``)."""


def parse_images(group: Group) -> tuple[Image, ...]:
    """Return the images that a group's ``multiscales`` describe, mostly one.

    Parameters
    ----------
    group
        Of any kind; those that are no image are refused by name.

    Raises
    ------
    NotOmeZarrError
        If the group is an array, or holds no OME metadata.
    UnsupportedError
        If it is a plate, well, series, list of labels, scene or collection.
    MetadataError
        If ``multiscales`` or ``datasets`` are missing, empty or of a wrong kind, or a path leads
        out of the data set. Names what was found.
    """
    refuse_other_kinds(group)
    notes = list(group.notes)
    entries = group.attributes["multiscales"]
    if isinstance(entries, dict):
        notes.append("multiscales is one object, not a list.")
        entries = [entries]
    if not isinstance(entries, list) or not entries:
        raise _metadata_error(group, f"multiscales is {_found(entries)}, where images are listed")
    rendering = parse_omero(group.attributes.get("omero"), notes=notes)
    label = None
    if "image-label" in group.attributes:
        label = parse_image_label(group.attributes["image-label"], notes=notes)
    return tuple(_image(group, entry, rendering, label, notes) for entry in entries)


def resolve_axes(image: Image, ndim: int) -> Image:
    """Return the image with exactly `ndim` axes, and only transforms that fit them.

    Parameters
    ----------
    image
        As parsed.
    ndim
        Number of dimensions of its arrays.

    Returns
    -------
    Image
        Axes that are missing, or of another number, are the last `ndim` of t, c, z, y, x (c, y, x
        for three dimensions, when several channels are described), with a note where the version
        asks for axes. A scale or translation for another number of axes becomes None with a note:
        a physical size is never guessed. Calling it again changes nothing.
    """
    notes = list(image.notes)
    datasets = tuple(_fitting(dataset, ndim, notes) for dataset in image.datasets)
    axes = image.axes
    if len(axes) != ndim:
        fixed = image.version in ("0.1", "0.2")
        axes = guess_axes(ndim, has_channels=len(image.channels) > 1 and not fixed)
        axes = _with_units_of(image.axes, axes)
        if not fixed or ndim != 5 or image.axes:
            found = f"{len(image.axes)} axes are" if image.axes else "No axes are"
            names = ", ".join(axis.name for axis in axes)
            notes.append(f"{found} stated for {ndim} dimensions; they were taken for {names}.")
        if image.affine is not None:
            notes.append("So its transformation to another coordinate system is not used.")
        image = replace(image, affine=None, shown_axes=(), label_links=())
    return replace(image, axes=axes, datasets=datasets, notes=settled(notes))


def order_by_size(image: Image, shapes: Sequence[Sequence[int]]) -> Image:
    """Return the image with its levels from fine to coarse, with a note if they were not.

    Parameters
    ----------
    image
        As parsed.
    shapes
        Of the array of each dataset, in their order.
    """
    order = sorted(range(len(shapes)), key=lambda i: -math.prod(shapes[i]))
    if order == list(range(len(image.datasets))):
        return image
    note = "The datasets are not in order from fine to coarse; they were sorted by size."
    return replace(
        image, datasets=tuple(image.datasets[i] for i in order), notes=(*image.notes, note)
    )


def _image(
    group: Group, entry: Any, rendering: Rendering, label: ImageLabel | None, shared: list[str]
) -> Image:
    if not isinstance(entry, dict):
        raise _metadata_error(group, f"multiscales holds {_found(entry)}, where an object is due")
    notes = list(shared)
    # From 0.5 on one version is stated for the group; before, each entry had its own.
    versions = [stated_version(group.attributes), stated_version(entry)]
    stated = next(filter(None, versions if group.zarr_format == 3 else versions[::-1]), None)
    if None not in versions and versions[0] != versions[1]:
        notes.append(f"The group states version {versions[0]}, its multiscales {versions[1]}.")
    metadata = entry.get("metadata")
    version = read_version(stated, entry, zarr_format=group.zarr_format, notes=notes)
    systems = parse_image_systems(entry, notes=notes)
    if systems is None and version == "0.6":
        notes.append("No coordinate systems are stated, which version 0.6 asks for.")
    image = Image(
        version=version,
        name=plain_text(entry.get("name")),
        axes=systems.intrinsic.axes if systems else parse_axes(entry.get("axes"), notes=notes),
        datasets=_datasets(group, entry, systems, notes),
        channels=rendering.channels,
        default_z=rendering.default_z,
        default_t=rendering.default_t,
        model=rendering.model,
        label=label,
        method=plain_text(entry.get("type")),
        metadata=metadata if isinstance(metadata, dict) else {},
        notes=settled(notes),
    )
    if systems is None:
        return image
    image = replace(
        image,
        intrinsic=systems.intrinsic.name,
        systems=systems.systems,
        label_links=systems.labels,
    )
    return shown_in(image, systems.shown)


def shown_in(image: Image, system: CoordinateSystem) -> Image:
    """Return the image shown in another coordinate system.

    Parameters
    ----------
    image
        As parsed.
    system
        With the way there from the image's intrinsic system. Channels and time points that it
        leaves out stay as they are; an axis before all of the image's, on which the image has one
        place, is left out, with a note. Any other difference in the number of axes is no way to
        show an image, which a note says too.
    """
    system, more = _with_axes_of(image, system)
    image = replace(image, notes=settled((*image.notes, *more)))
    affine, n = system.affine, len(image.axes)
    trouble = ""
    if affine is None:
        trouble = "no transformation leads there that could be read"
    elif (affine.inputs, affine.outputs) != (n, n) or len(system.axes) != n:
        trouble = f"it has {len(system.axes)} axes, the image {n}"
    elif affine.inverse() is None:
        trouble = "the transformation there folds the image flat"
    elif affine.restricted([i for i, a in enumerate(image.axes) if a.type != "channel"]) is None:
        trouble = "the transformation there mixes channels with other axes"
    if trouble:
        note = f"It cannot be shown in the coordinate system {shown(system.name)}: {trouble}."
        return replace(image, notes=settled((*image.notes, note)))
    if affine is None or (affine.is_identity and system.axes == image.axes):
        return replace(image, affine=None, shown_axes=())
    return replace(image, affine=affine, shown_axes=system.axes)


def _with_axes_of(
    image: Image, system: CoordinateSystem
) -> tuple[CoordinateSystem, tuple[str, ...]]:
    """Return a system with as many axes as the image, where the difference does not matter."""
    affine, axes, n = system.affine, system.axes, len(image.axes)
    if affine is None or affine.inputs != n or affine.outputs != len(axes) or len(axes) == n:
        return system, ()
    rows = list(zip(affine.matrix, affine.translation, axes, strict=True))
    if len(rows) < n:
        lost = [j for j in range(n) if not any(affine.matrix_column(j))]
        if len(rows) + len(lost) != n or any(image.axes[j].type == "space" for j in lost):
            return system, ()
        for j in lost:
            rows.insert(j, (tuple(float(i == j) for i in range(n)), 0.0, image.axes[j]))
        notes: tuple[str, ...] = ()
    else:
        extra, rows = rows[:-n], rows[-n:]
        if any(any(row) for row, _, _ in extra):
            return system, ()
        places = listed(f"{axis.name} = {place:g}" for _, place, axis in extra)
        notes = (f"It lies at {places} of {shown(system.name)}, and is shown at all of them.",)
    matrix, translation, kept = zip(*rows, strict=True)
    return replace(system, affine=Affine(matrix, translation), axes=kept), notes


def shown_with(label: Image, image: Image, path: str) -> Image:
    """Return a label image shown where the image it belongs to is shown.

    Parameters
    ----------
    label, image
        A label image and its image, their axes resolved.
    path
        Of the label image below the image's group: ``"labels/cells"``.

    References
    ----------
    OME-Zarr 0.6rc0, "labels" metadata: a transformation of the image may lead to the intrinsic
    system of a label image; without one, both intrinsic systems are the same.
    """
    if label.affine is not None:
        return label
    whole = Affine.identity(len(image.axes))
    for link in image.label_links:
        back = link.affine.inverse()
        if link.end[0] == path and back is not None:
            whole = back
            break
        if link.start[0] == path:
            whole = link.affine
            break
    if image.affine is not None:
        whole = whole.then(image.affine)
    if whole.is_identity and not image.shown_axes:
        return label
    names = [axis.name for axis in image.axes]
    if not {axis.name for axis in label.axes} <= set(names):
        found = None
    else:
        found = whole.restricted([names.index(axis.name) for axis in label.axes])
    if found is None:
        note = "It may not lie on its image, whose transformation is not for these axes."
        return replace(label, notes=settled((*label.notes, note)))
    affine, rows = found
    axes = image.shown_axes or image.axes
    return replace(label, affine=affine, shown_axes=tuple(axes[row] for row in rows))


def _datasets(
    group: Group, entry: dict[str, Any], systems: ImageSystems | None, notes: list[str]
) -> tuple[Dataset, ...]:
    items = entry.get("datasets")
    if not isinstance(items, list) or not items:
        raise _metadata_error(group, f"datasets is {_found(items)}, where levels are listed")
    if len(items) > _MAX_LEVELS:
        raise _metadata_error(group, f"datasets lists {len(items):,} levels")
    paths = [_path(group, item) for item in items]
    own = [_transform(item, i, notes) for i, item in enumerate(items)]
    common = Transform()
    if systems is not None:
        if own[0].scale is None and _is_identity(items[0]):
            own[0] = Transform((1.0,) * len(systems.intrinsic.axes), own[0].translation)
    else:
        common = parse_transforms(
            entry.get("coordinateTransformations"), of="the multiscale", notes=notes
        )
    # Where no level has a scale, the multiscale's is that of the first; the others' follow from
    # the shapes, which the same scale for all would contradict.
    first_has_it = all(step.scale is None for step in own)
    return tuple(
        _dataset(path, i, step, common, first_has_it and i == 0, notes)
        for i, (path, step) in enumerate(zip(paths, own, strict=True))
    )


def _is_identity(item: object) -> bool:
    steps = item.get("coordinateTransformations") if isinstance(item, dict) else None
    return isinstance(steps, list) and [
        step.get("type") if isinstance(step, dict) else None for step in steps
    ] == ["identity"]


def _path(group: Group, item: object) -> str:
    path = item.get("path") if isinstance(item, dict) else item
    if isinstance(path, int) and not isinstance(path, bool):
        path = str(path)
    return check_path(path, where=group.where, key=group.key)


def _transform(item: object, level: int, notes: list[str]) -> Transform:
    value = item.get("coordinateTransformations") if isinstance(item, dict) else None
    return parse_transforms(value, of=f"level {level}", notes=notes)


def _dataset(
    path: str, level: int, own: Transform, common: Transform, is_first: bool, notes: list[str]
) -> Dataset:
    if None not in (own.ndim, common.ndim) and own.ndim != common.ndim:
        notes.append(
            f"The multiscale's transformation is for {common.ndim} axes, that of level {level} "
            f"for {own.ndim}; only the level's is used."
        )
        common = Transform()
    whole = own.then(common)
    scale = whole.scale if own.scale is not None or is_first else None
    return Dataset(
        path,
        _within_floats(scale, level, notes),
        _within_floats(whole.translation, level, notes, zero=True),
    )


def _within_floats(
    vector: Vector | None, level: int, notes: list[str], *, zero: bool = False
) -> Vector | None:
    # Two usable numbers can still multiply to infinity, or to 0.
    if vector is None or all(math.isfinite(n) and (n or zero) for n in vector):
        return vector
    notes.append(f"The transformations of level {level} exceed what can be calculated with.")
    return None


def _fitting(dataset: Dataset, ndim: int, notes: list[str]) -> Dataset:
    def fitting(name: str, vector: Vector | None) -> Vector | None:
        if vector is None or len(vector) == ndim:
            return vector
        notes.append(
            f"The {name} of level {shown(dataset.path)} is for {len(vector)} axes, the array has "
            f"{ndim} dimensions; it is not used."
        )
        return None

    return Dataset(
        dataset.path,
        fitting("scale", dataset.scale),
        fitting("translation", dataset.translation),
    )


def _with_units_of(stated: tuple[Axis, ...], axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    known = {axis.name.lower(): axis for axis in stated}
    return tuple(known.get(axis.name, axis) for axis in axes)


def _found(value: object) -> str:
    if value is None:
        return "missing or null"
    if isinstance(value, list) and not value:
        return "an empty list"
    return shown(value)


def _metadata_error(group: Group, why: str) -> MetadataError:
    return MetadataError(
        "Could not read the image's metadata",
        where=group.where,
        key=group.key,
        why=why,
        hint="The metadata are damaged or unfinished; ask those who wrote them.",
    )
