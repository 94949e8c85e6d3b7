"""Layers as one OME-Zarr: images as its channels, labels beside them, as they are on screen."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_omezarr_cloud.api import Image, locate
from napari_omezarr_cloud.api import open as open_image
from napari_omezarr_cloud.errors import WriteError
from napari_omezarr_cloud.location import Location
from napari_omezarr_cloud.napari.inputs import is_labels
from napari_omezarr_cloud.napari.layer_rendering import (
    channel_of,
    image_label_of,
    is_magnitude,
    lost_look,
    rendering_of,
)
from napari_omezarr_cloud.napari.notices import plain
from napari_omezarr_cloud.napari.placed_layers import (
    WHAT,
    Measures,
    in_order,
    placed_layer,
    planes_in,
    same_box,
)
from napari_omezarr_cloud.napari.provenance import provenance_of
from napari_omezarr_cloud.napari.saved_names import image_name, label_names
from napari_omezarr_cloud.napari.visible import has_pixels
from napari_omezarr_cloud.ngff.writing import image_label_attributes, omero_attributes
from napari_omezarr_cloud.saving import by_blocks, labels_place, steps_of_image
from napari_omezarr_cloud.write.execution import write_planned
from napari_omezarr_cloud.write.geometry import repeated
from napari_omezarr_cloud.write.label_levels import label_factors, steps_of
from napari_omezarr_cloud.write.packed_plan import plan_packed
from napari_omezarr_cloud.write.packing import check_can_be_opened
from napari_omezarr_cloud.write.save_plan import SavePlan
from napari_omezarr_cloud.write.sources import ViewSource, same_place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    from napari_omezarr_cloud.napari.placed_layers import Placed
    from napari_omezarr_cloud.ngff import Axis
    from napari_omezarr_cloud.pyramid import Region, Transform
    from napari_omezarr_cloud.write.progress import Progress

__all__ = ["LayerOptions", "plan_layers", "save_layers"]


@dataclass(frozen=True)
class LayerOptions:
    """How layers are written; the defaults suit most."""

    name: str = ""
    """Of the image; empty: as the image or the one layer is called, else as its place."""
    version: Literal["0.4", "0.5"] = "0.5"
    level: int = 0
    """Of the image layers, that becomes the finest one."""
    method: str | None = None
    """How coarser levels of images are made, as for :func:`noc.save`."""
    labels_method: str | None = None
    """The same of labels: "mode" or "nearest"."""
    levels: int | None = None
    factors: tuple[tuple[int, ...], ...] | None = None
    """By how much each coarser level of the image is coarser than the one before, per axis; one
    stands for all of them."""
    chunks: tuple[int, ...] | None = None
    """Of the image, per axis of what is written, as `shards`; labels take theirs by themselves."""
    shards: tuple[int, ...] | Literal["auto"] | None = "auto"
    codec: str = "blosc"
    region: Region | None = None
    """What of the level is taken, in the layers' axes; None: all."""
    overlap: int | None = None
    """As for :func:`noc.save`: what operations see around a block that may look everywhere."""
    voxel_size: Mapping[str, float] = field(default_factory=dict)
    """By the axis' name, what a voxel of the first image layer measures, at the level that is
    taken; of axes that are left out it is what the layer says. The other layers follow."""
    units: Mapping[str, str | None] = field(default_factory=dict)
    """By the axis' name, the unit of that, ``"micrometer"`` or ``"second"``; None: without."""


def plan_layers(
    layers: Sequence[Any],
    target: Location,
    options: LayerOptions = LayerOptions(),
    *,
    viewer: Any = None,
    beside: Image | None = None,
) -> SavePlan:
    """Return what saving layers would write; on the GUI thread, reads and writes nothing.

    Parameters
    ----------
    layers
        Image layers become the channels of one image, in this order; labels layers its label
        images. One labels layer alone becomes an image of its own.
    target
        Where to; not looked at with ``beside``.
    options
        How.
    viewer
        Whose sliders say which plane is shown first; None: nobody's.
    beside
        An open image, to which one labels layer is added.

    Raises
    ------
    WriteError
        If the layers do not make one image, or cannot be written so.
    """
    images = [layer for layer in layers if has_pixels(layer) and not is_labels(layer)]
    labels = [layer for layer in layers if has_pixels(layer) and is_labels(layer)]
    if len(images) + len(labels) < len(layers):
        other = next(layer for layer in layers if not has_pixels(layer))
        why = f"“{other.name}” is neither an image nor labels"
        raise WriteError(WHAT, why=why, hint="Leave it out.")
    if not layers:
        raise WriteError(WHAT, why="none is chosen", hint="Tick at least one.")
    if beside is not None:
        if images or len(labels) > 1:
            why = "only one labels layer at a time goes beside an image that is there"
            raise WriteError(WHAT, why=why, hint="Tick one labels layer alone.")
        return _beside(labels[0], beside, options)
    if not images:
        if len(labels) > 1:
            why = "several labels layers do not make one image"
            hint = "Tick the image that they belong to as well, or save them one by one."
            raise WriteError(WHAT, why=why, hint=hint)
        alone = placed_layer(labels[0], options.level, options.region)
        measures = Measures(alone, options.voxel_size, options.units)
        return _labels(labels[0], target, options, options.name, options.level, measures=measures)
    leading = placed_layer(images[0], options.level, options.region)
    measures = Measures(leading, options.voxel_size, options.units)
    planned = _image(images, target, options, viewer, measures)
    below, notes = [], [*planned.notes]
    levels = [steps_of(planned.plan.axes, level.scale) for level in planned.plan.levels]
    for layer, name in zip(labels, label_names(labels), strict=True):
        region = None
        if options.region is not None:
            region = same_box(leading, options.region, layer)
            if region is None:
                notes.append(f"Nothing of “{layer.name}” is there: it is left out.")
                continue
        place = target.child(f"labels/{name}")
        about = _for_labels(options, region)
        each = _labels(layer, place, about, name, 0, "../../", levels, measures)
        below.append(each)
        notes += each.notes
    return replace(planned, labels=tuple(below), notes=tuple(dict.fromkeys(notes)))


def save_layers(
    layers: Sequence[Any],
    target: str | PathLike[str] | Location,
    *,
    overwrite: bool = False,
    threads: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    viewer: Any = None,
    endpoint: str | None = None,
    region: str | None = None,
    anonymous: bool | None = None,
    profile: str | None = None,
    **options: Any,
) -> Image:
    """Write napari layers as one OME-Zarr, as they are on screen; waits.

    Image layers become channels, labels layers the image's label images; one labels layer alone
    becomes an image of its own. Axes, units, scale, translation, names, colours, contrast limits
    and visibility are those of the layers. A write that broke off is taken up again by saving the
    same once more.

    Parameters
    ----------
    layers
        Image and labels layers of napari: in memory, lazy, remote or live.
    target
        Where to: a path, ``s3://bucket/key``, ``gs://…``, ``az://…``.
    overwrite
        Whether what is there is deleted, once the new is whole beside it.
    threads
        How many blocks at once; None: as many as go well with processors and memory.
    on_progress
        Called after each block of work.
    viewer
        Whose sliders say which plane is shown first; None: nobody's.
    endpoint, region, anonymous, profile
        How to get into the target, as :func:`noc.open`.
    name, version, level, method, labels_method, levels, factors, chunks, shards, codec
        As :func:`noc.save`; ``labels_method`` is "mode" or "nearest".
    voxel_size, units
        By the axis' name, what a voxel of the first image layer measures, and in which unit, where
        the layers do not say it: ``voxel_size={"y": 0.2, "x": 0.2}, units={"y": "micrometer", …}``.

    Returns
    -------
    Image
        What was written, open.

    Raises
    ------
    ExistsError
        If something is there already, and is not to be overwritten.
    WriteError
        If the layers do not make one image, or it cannot be written so, or there.
    CloudError
        If voxels cannot be read.

    Warns
    -----
    UserWarning
        What will not be as it is on screen, before anything is written: a layer that is rotated, a
        gamma or a colormap that OME-Zarr has no word for.
    """
    place = (
        target
        if isinstance(target, Location)
        else locate(target, endpoint=endpoint, region=region, anonymous=anonymous, profile=profile)
    )
    planned = plan_layers(layers, place, LayerOptions(**options), viewer=viewer)
    check_can_be_opened(place)
    for note in planned.notes:
        warnings.warn(plain(note), stacklevel=2)  # napari shows it as a notification
    write_planned(planned, overwrite=overwrite, threads=threads, on_progress=on_progress)
    return open_image(place)


def _image(
    layers: Sequence[Any],
    target: Location,
    options: LayerOptions,
    viewer: Any,
    measures: Measures,
) -> SavePlan:
    placed = [placed_layer(layer, options.level, options.region) for layer in layers]
    first = placed[0]
    for each in placed[1:]:
        _check_together(first, each)
    views = [each.view for each in placed]
    source = ViewSource.of(views, numbers=(options.level,), box=options.region, are_aligned=True)
    count = len(layers)
    if count == 1:
        channels = [n for n, a in enumerate(source.axes) if a.type == "channel"]
        count = source.grid().shape[channels[0]] if channels else 1
    axes, transform = in_order(source, measures.restated(first))
    name = image_name(layers, options.name, target)
    planned = _plan(target, source, axes, transform, options, name, is_labels=False)
    planes = {} if viewer is None else planes_in(viewer, first, options.level, options.region)
    ome = omero_attributes(rendering_of(layers, count, planes))
    whole = SavePlan(target, planned, source, ome, provenance_of(layers), notes=_notes(layers))
    for view in views:
        whole = by_blocks(whole, view.pyramid, options.level, options.overlap)
    return whole


def _check_together(first: Placed, other: Placed) -> None:
    one, two = first.transform, other.transform
    there = f"“{first.layer.name}”"
    differs = ""
    if [axis.name for axis in first.axes] != [axis.name for axis in other.axes]:
        differs = f"has the axes {_names(other)}, and {there} has {_names(first)}"
    elif first.axes != other.axes:
        differs = f"has other units than {there}"
    elif not np.allclose(one.scale, two.scale, rtol=1e-6):
        differs = f"has another voxel size than {there}"
    elif not same_place(one, two):
        differs = f"lies elsewhere than {there}"
    if differs:
        raise WriteError(
            "Could not combine the layers into one image",
            why=f"“{other.layer.name}” {differs}",
            hint="Save them one by one.",
        )


def _names(placed: Placed) -> str:
    return ", ".join(axis.name for axis in placed.axes)


def _labels(
    layer: Any,
    target: Location,
    options: LayerOptions,
    name: str,
    level: int,
    image: str | None = None,
    levels: Sequence[dict[str, float]] = (),
    measures: Measures | None = None,
) -> SavePlan:
    placed = placed_layer(layer, level, options.region)
    placed = placed if measures is None else measures.restated(placed)
    source = ViewSource.of([placed.view], numbers=(level,), box=options.region)
    axes, transform = in_order(source, placed)
    if levels:  # of the image that it lies beside
        factors = tuple(label_factors(steps_of(axes, transform.scale), levels))
        options = replace(options, factors=factors, levels=len(factors) + 1)
    name = name or image_name([layer], "", target)
    plan = _plan(target, source, axes, transform, options, name, is_labels=True)
    about = replace(image_label_of(layer), source=image)
    ome = image_label_attributes(about, version=plan.version)
    whole = SavePlan(target, plan, source, ome, provenance_of([layer]), notes=_notes([layer]))
    return by_blocks(whole, placed.view.pyramid, level, options.overlap)


def _beside(layer: Any, image: Image, options: LayerOptions) -> SavePlan:
    name = label_names([layer])[0] if not options.name else options.name
    place, version = labels_place(image, name)
    options = replace(options, version=version)
    levels = steps_of_image(image) if options.levels is None and options.factors is None else ()
    planned = _labels(layer, place, options, name, options.level, "../../", levels)
    return replace(planned, listed_in=image.location)


def _for_labels(options: LayerOptions, region: Region | None) -> LayerOptions:
    """Return the options without those that count the image's axes."""
    shards = options.shards if options.shards in (None, "auto") else "auto"
    return replace(options, chunks=None, shards=shards, factors=None, region=region)


def _plan(
    target: Location,
    source: ViewSource,
    axes: Sequence[Axis],
    transform: Transform,
    options: LayerOptions,
    name: str,
    *,
    is_labels: bool,
) -> Any:
    factors = options.factors
    if factors is not None and len(factors) == 1:
        factors = repeated(factors[0], source.grid().shape, options.levels)
    return plan_packed(
        target,
        [(source.grid(), transform)],
        axes,
        name=name,
        version=options.version,
        is_labels=is_labels,
        method=options.labels_method if is_labels else options.method,
        level_count=options.levels,
        factors=factors,
        chunks=options.chunks,
        shards=options.shards,
        codec=options.codec,
    )


def _notes(layers: Sequence[Any]) -> tuple[str, ...]:
    notes = [
        f"“{layer.name}” is rotated or sheared on screen, which OME-Zarr 0.4 and 0.5 cannot say: "
        "its voxels are saved as they are, not turned."
        for layer in layers
        if _is_turned(layer)
    ]
    for layer in layers:
        if not is_labels(layer) and not getattr(layer, "rgb", False):
            notes += lost_look(layer, channel_of(layer, str(layer.name)))
            if is_magnitude(layer):
                notes.append(
                    f"“{layer.name}”: its voxels are complex numbers. Their magnitude is saved, as "
                    "it is shown; their phase is not."
                )
    return tuple(notes)


def _is_turned(layer: Any) -> bool:
    n = layer.ndim
    return not (
        np.allclose(layer.rotate, np.eye(n))
        and np.allclose(layer.shear, 0)
        and np.allclose(layer.affine.affine_matrix, np.eye(n + 1))
    )
