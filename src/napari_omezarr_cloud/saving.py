"""Saving images: what is open, computed or in memory → one OME-Zarr, in a folder or a bucket."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from napari_omezarr_cloud.api import Derived, Image, Labels, locate
from napari_omezarr_cloud.api import open as open_image
from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.errors import RegionError, WriteError
from napari_omezarr_cloud.location import Location
from napari_omezarr_cloud.ngff import Channel, ImageLabel
from napari_omezarr_cloud.ngff.omero import Rendering
from napari_omezarr_cloud.ngff.writing import image_label_attributes, omero_attributes
from napari_omezarr_cloud.process.blockwise import (
    BLOCK_VOXELS,
    BlockReader,
    axes_at_once,
    check_blocks,
    joined_before,
)
from napari_omezarr_cloud.process.derived import DerivedLevel
from napari_omezarr_cloud.process.registry import get_operation
from napari_omezarr_cloud.pyramid import Pyramid, PyramidView, Region
from napari_omezarr_cloud.pyramid.channels import channel_axis
from napari_omezarr_cloud.write.execution import write_planned
from napari_omezarr_cloud.write.geometry import repeated
from napari_omezarr_cloud.write.label_levels import label_factors, steps_of
from napari_omezarr_cloud.write.merging import Merging
from napari_omezarr_cloud.write.packed_plan import plan_packed
from napari_omezarr_cloud.write.packing import check_can_be_opened
from napari_omezarr_cloud.write.passes import pass_place
from napari_omezarr_cloud.write.plan import plan_image
from napari_omezarr_cloud.write.save_plan import CREATOR, SavePlan
from napari_omezarr_cloud.write.sources import ViewSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    from napari_omezarr_cloud.process.computation import Source as LevelSource
    from napari_omezarr_cloud.write.progress import Progress

__all__ = ["by_blocks", "labels_place", "plan_save", "save", "save_labels", "write_planned"]


def plan_save(
    source: Image | Labels | Derived,
    target: str | PathLike[str] | Location,
    *,
    name: str | None = None,
    version: Literal["0.4", "0.5"] = "0.5",
    level: int = 0,
    region: Sequence[slice | int] | None = None,
    channels: Sequence[int] | None = None,
    method: str | None = None,
    factors: Sequence[Sequence[int]] | Sequence[int] | None = None,
    levels: int | None = None,
    copied: Sequence[int] | None = None,
    chunks: Sequence[int] | None = None,
    shards: Sequence[int] | Literal["auto"] | None = "auto",
    codec: str = "blosc",
    is_labels: bool | None = None,
    overlap: int | None = None,
    **access: Any,
) -> SavePlan:
    """Return what `save` would write; writes nothing and asks no server.

    Takes what :func:`save` takes, and raises ``WriteError``, ``OperationError``, ``RegionError``,
    ``LinkError`` and ``TypeError`` as it does.
    """
    if not isinstance(source, Image | Labels | Derived):
        raise TypeError(
            f"A {type(source).__name__} has no axes and no voxel size. An array becomes an image "
            'by noc.from_array(array, axes="zyx"); napari\'s layers are saved by noc.save_layers.'
        )
    location = target if isinstance(target, Location) else locate(target, **access)
    pyramid = source.pyramid
    numbers = _levels(source, level, copied)
    number = numbers[0]
    if is_labels is None:
        is_labels = isinstance(source, Labels) or _makes_labels(source)
    # Labels are whole numbers; some tools write masks as booleans.
    shown_as = np.dtype("u1") if is_labels and pyramid.dtype.kind == "b" else None
    view = PyramidView.of(pyramid, shown_as=shown_as)
    box = None
    if region is not None:
        box = Region.from_slices(tuple(region), view.grid(number).shape)
        if box.is_empty:
            raise RegionError("Could not save the image", where=pyramid.source, why="it is empty")
    axis = channel_axis(pyramid)
    views, taken = [view], None
    described: Sequence[int] | None = None
    if box is not None and axis is not None:
        described = range(box.start[axis], box.stop[axis])
    if channels is not None and axis is not None:
        count = pyramid.levels[0].grid.shape[axis]
        if not channels or any(not 0 <= c < count for c in channels):
            why = f"channels {list(channels)} were asked for, and it has 0 to {count - 1}"
            raise WriteError("Could not save the image", where=pyramid.source, why=why)
        described = taken = list(channels)
        views = [PyramidView.of(pyramid, {axis: c}) for c in taken]
        if box is not None:
            keep = [a for a in range(pyramid.ndim) if a != axis]
            box = Region(tuple(box.start[a] for a in keep), tuple(box.stop[a] for a in keep))
    found = ViewSource.of(views, numbers=numbers, box=box, are_channels=taken is not None)
    if factors and isinstance(factors[0], int):
        factors = repeated(cast("Sequence[int]", factors), found.grid().shape, levels)
    plan = plan_packed(
        location,
        [(found.grid(n), found.transform(n)) for n in range(len(numbers))],
        found.axes,
        name=source.name if name is None else name,
        version=version,
        is_labels=is_labels,
        method=method,
        factors=factors,
        level_count=levels,
        chunks=chunks,
        shards=shards,
        codec=codec,
    )
    ome = _ome(source, described, version, found)
    planned = SavePlan(location, plan, found, ome, _provenance(source))
    return by_blocks(planned, pyramid, number, overlap)


def _levels(
    source: Image | Labels | Derived, level: int, copied: Sequence[int] | None
) -> tuple[int, ...]:
    """Return the level that is taken, or all that are copied, the finest first."""
    count = len(source.levels)
    what, where = "Could not save the image", source.pyramid.source
    wanted = [level] if copied is None else list(copied)
    for each in wanted:
        if not -count <= each < count:
            why = f"there is no level {each}; the image has {count}"
            raise RegionError(what, where=where, why=why)
    if copied is None:
        return (level % count,)
    numbers = tuple(sorted({each % count for each in wanted}))
    if not numbers or isinstance(source.pyramid.levels[numbers[0]], DerivedLevel):
        why = "none is chosen" if not numbers else "it is computed, and has no levels to copy"
        raise WriteError(what, where=where, why=why, hint="Have its coarser levels made.")
    return numbers


def _makes_labels(source: Image | Labels | Derived) -> bool:
    if not isinstance(source, Derived) or source.recipe is None:
        return False
    return get_operation(source.recipe.steps[-1].operation).output == "labels"


def by_blocks(planned: SavePlan, pyramid: Pyramid, number: int, overlap: int | None) -> SavePlan:
    """Return a plan by which what is computed is computed block by block, each voxel once.

    The plan also tells what is odd about the pyramid, and about what it is computed from.

    Parameters
    ----------
    planned
        Of one view of the pyramid, or of several.
    pyramid, number
        What is computed, and which of its levels; a stored one is read as it is.
    overlap
        As for :func:`plan_save`.

    Raises
    ------
    OperationError
        If blocks would not give what the whole gives, and no overlap is said.
    """
    planned = replace(planned, notes=tuple(dict.fromkeys([*planned.notes, *_odd(pyramid)])))
    level = pyramid.levels[number]
    if not isinstance(level, DerivedLevel):
        return planned
    cut = check_blocks(level, overlap, pyramid.name)
    first = joined_before(level, overlap)
    merging = None
    names = [axis.name for axis in planned.plan.axes]
    whole = axes_at_once(level) if overlap is None else ()
    at_once = tuple(names.index(pyramid.axes[axis].name) for axis in sorted(whole))
    if level.compute.connectivity is not None:
        along = tuple(names.index(pyramid.axes[axis].name) for axis in level.compute.space)
        merging = Merging(along, level.compute.connectivity)
    provenance, notes = dict(planned.provenance), [*planned.notes]
    if overlap is not None and cut:
        provenance["overlap"] = overlap
        notes.append(
            f"{' and '.join(cut)} saw {overlap} voxels around each block: what depends on voxels "
            "farther away differs from a result computed at once."
        )
    return replace(
        planned,
        plan=replace(
            planned.plan,
            block_voxels=BLOCK_VOXELS,
            source_chunks=planned.source.chunks_of(pyramid, level.stored_chunks),
        ),
        source=replace(planned.source, reader=BlockReader(engine(), overlap), at_once=at_once),
        provenance=provenance,
        merging=merging,
        passes=(*planned.passes, *(_pass(planned, each, overlap) for each in first)),
        notes=tuple(notes),
    )


def _pass(planned: SavePlan, labelling: LevelSource, overlap: int | None) -> SavePlan:
    """Return the plan of a labelling that must be whole before the rest is computed."""
    pyramid, number = labelling.view.pyramid, labelling.number
    source = ViewSource.of([PyramidView.of(pyramid)], numbers=(number,))
    finest = planned.plan.levels[0]
    plan = plan_image(
        source.grid(),
        source.axes,
        source.transform(),
        name=labelling.level.name,
        is_labels=True,
        level_count=1,
        # Cut alike, blocks of the result read whole chunks of it.
        chunks=finest.chunks if finest.shape == source.grid().shape else None,
    )
    place = pass_place(planned.location, len(planned.passes))
    whole = SavePlan(place, plan, source, {}, planned.provenance)
    return by_blocks(whole, pyramid, number, overlap)


def _odd(pyramid: Pyramid) -> tuple[str, ...]:
    inner = [each for each in pyramid.kept if isinstance(each, Pyramid)]
    return tuple(dict.fromkeys([*pyramid.notes, *(note for each in inner for note in _odd(each))]))


def save(
    source: Image | Labels | Derived,
    target: str | PathLike[str] | Location,
    *,
    overwrite: bool = False,
    threads: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Image:
    """Write an image as OME-Zarr: a folder or a bucket, levels made on the way.

    A write that was cancelled or broke off is taken up again by saving the same once more.

    Parameters
    ----------
    source
        An open image or label image, or the result of a recipe.
    target
        Where to: a path, ``s3://bucket/key``, ``gs://…``, ``az://…``. With a name that ends in
        ``.ozx`` (or ``.zip``) it becomes one file.
    name
        Of the image; None: as the source is called.
    version
        "0.5" (Zarr 3) or "0.4" (Zarr 2).
    level
        Of the source, that becomes the finest one.
    region
        One slice or index per axis, in voxels of that level; None: all of it.
    channels
        Which ones; None: all.
    method
        How coarser levels are made: "mean", "gaussian", "nearest", "mode" (the most frequent; for
        labels). None: "mean", of labels "mode".
    factors
        Per coarser level and axis, by how much it is coarser than the one before; one list of
        numbers: the same for all of them. None: 2, along the axes that make voxels cubes.
    levels
        How many at most; None: down to about 256 voxels.
    copied
        Levels of the source that are copied as they are, instead of making coarser ones; `region`
        is in voxels of the finest of them.
    chunks, shards
        Voxels per axis of the units of compression, and of objects (multiples of chunks; "auto":
        where there would be more than a thousand objects; None: no shards).
    codec
        "blosc", "blosc-lz4", "zstd", "gzip", "none".
    is_labels
        Whether values are names of objects. None: of a label image, or the result of an operation
        that makes labels, they are.
    overlap
        Of a result: how many voxels around each block operations see that may look everywhere.
        What depends on voxels farther away comes out differently than computed at once. None: these
        are computed at once, or refused where that is too large.
    overwrite
        Whether what is there is deleted, once the new is whole beside it.
    threads
        How many blocks at once; None: as many as go well with processors and memory.
    on_progress
        Called after each block of work.
    endpoint, region, anonymous, profile
        How to get into the target, as :func:`open`.

    Returns
    -------
    Image
        What was written, open.

    Raises
    ------
    ExistsError
        If something is there already, and is not to be overwritten.
    WriteError
        If it cannot be written so, or there.
    OperationError
        If an operation needs an overlap, or its objects cannot be joined across blocks.
    CloudError
        If the source cannot be read.
    TypeError
        If it is no image, labels or result, but an array or a layer.
    """
    planned = plan_save(source, target, **options)
    check_can_be_opened(planned.location)
    write_planned(planned, overwrite=overwrite, threads=threads, on_progress=on_progress)
    return open_image(planned.location)


def save_labels(
    labels: Labels | Derived,
    image: Image,
    name: str,
    *,
    label: ImageLabel | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> tuple[Image, tuple[str, ...]]:
    """Write a label image beside its image, ``labels/<name>``; the image itself is not touched.

    Parameters
    ----------
    labels
        A label image, or the result of a recipe; also of a part or of a coarser level of the image,
        where it lies by its own scale and translation.
    image
        An open image, of a place that can be written to.
    name
        Under which the image lists it.
    label
        Colours and properties by label value; None: those of `labels`, if it has any.
    overwrite, threads, on_progress, **options
        As for :func:`save`. Unless ``levels`` or ``factors`` say otherwise, the labels have as many
        levels as the image, as others expect.

    Returns
    -------
    image, notes
        The image, opened again, with its labels; and what the person should know.

    Raises
    ------
    ExistsError
        If there is a label image of this name, and it is not to be overwritten.
    WriteError
        If the image is of a version or place that labels cannot be written to.
    """
    place, version = labels_place(image, name)
    options |= {"name": name, "version": version, "is_labels": True}
    if options.get("levels") is None and options.get("factors") is None:
        plan = plan_save(labels, place, **{**options, "levels": 1}).plan
        finest = steps_of(plan.axes, plan.levels[0].scale)
        options["factors"] = label_factors(finest, steps_of_image(image))
    planned = plan_save(labels, place, **options)
    held = label or (labels.label if isinstance(labels, Labels) else ImageLabel())
    about = image_label_attributes(replace(held, source="../../"), version=version)
    planned = replace(planned, ome=about, listed_in=image.location)
    notes = write_planned(planned, overwrite=overwrite, threads=threads, on_progress=on_progress)
    return open_image(image.location), notes


def steps_of_image(image: Image) -> list[dict[str, float]]:
    """Return the scale of each level, as `label_factors` takes it."""
    return [steps_of(image.axes, level.scale) for level in image.levels]


def labels_place(image: Image, name: str) -> tuple[Location, Literal["0.4", "0.5"]]:
    """Return where labels of a name go beside an image, and in which version.

    Raises
    ------
    WriteError
        If the image is of a version or place that labels cannot be written to.
    """
    what, where = "Could not save the labels beside the image", str(image.location)
    if "/" in name or name in ("", ".", "..") or name.startswith(".") or not name.isprintable():
        why = f"{name!r} is no name for a folder of labels"
        raise WriteError(what, where=where, why=why, hint="Use letters, digits, - and _.")
    version = image.version
    if image.plate is not None or version not in ("0.4", "0.5"):
        kind = "a plate" if image.plate is not None else f"OME-Zarr {version or 'without metadata'}"
        raise WriteError(
            what,
            where=where,
            why=f"it is {kind}; labels are written beside images of OME-Zarr 0.4 and 0.5",
            hint="Save them as an image of their own.",
        )
    if image.location.key.lower().endswith((".zip", ".ozx")):
        why = "it is one zip file, which cannot be added to"
        raise WriteError(what, where=where, why=why, hint="Save them as an image of their own.")
    return image.location.child(f"labels/{name}"), "0.4" if version == "0.4" else "0.5"


def _ome(
    source: Image | Labels | Derived,
    channels: Sequence[int] | None,
    version: str,
    written: ViewSource,
) -> dict[str, Any]:
    if isinstance(source, Labels):
        return image_label_attributes(replace(source.label, source=None), version=version)
    if not isinstance(source, Image):
        return {}
    described = source.channels
    if channels is not None:
        described = tuple(described[c] for c in channels)
    if all(each == Channel() for each in described):
        return {}
    image = source.opened.image
    z, t = (
        _same_plane(source, written, name, plane)
        for name, plane in (("z", image.default_z), ("t", image.default_t))
    )
    return omero_attributes(Rendering(described, z, t, image.model))


def _same_plane(source: Image, written: ViewSource, axis: str, plane: int | None) -> int | None:
    """Return where a plane of the source lies in what is written of it; None: outside."""
    names = [each.name for each in source.axes]
    if plane is None or axis not in names:
        return plane
    old, new = names.index(axis), [each.name for each in written.axes].index(axis)
    before, after = source.pyramid.levels[0].transform, written.transform()
    world = before.scale[old] * plane + before.translation[old]
    found = round((world - after.translation[new]) / after.scale[new])
    return found if 0 <= found < written.grid().shape[new] else None


def _provenance(source: Image | Labels | Derived) -> dict[str, Any]:
    found: dict[str, Any] = {"version": installed_version(CREATOR)}
    if source.pyramid.source:
        found["source"] = source.pyramid.source
    recipe = source.recipe if isinstance(source, Derived) else None
    if recipe is not None:
        found["recipe"] = recipe.to_yaml()
    return found
