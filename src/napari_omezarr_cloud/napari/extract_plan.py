"""What would be extracted, settled on the GUI thread: layers, levels, regions, bytes.

An extract is an ordinary single-resolution layer in memory, with the pixels of a part of another
layer: for plugins and scripts that cannot handle pyramids.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.errors import OperationError, RegionError
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY
from napari_omezarr_cloud.napari.pixels import LayerPixels
from napari_omezarr_cloud.napari.rectangle import is_shapes, rectangle_spans
from napari_omezarr_cloud.napari.region_text import bytes_text, size_text
from napari_omezarr_cloud.napari.result_layer import placement_over
from napari_omezarr_cloud.napari.visible import (
    VisibleRegion,
    axis_names,
    has_pixels,
    level_count,
    visible_region,
)
from napari_omezarr_cloud.pyramid import Region

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_omezarr_cloud.napari.visible import Spans

__all__ = [
    "MAX_BYTES",
    "Chosen",
    "Extract",
    "Wish",
    "check_size",
    "chosen_layers",
    "fits",
    "plan_extracts",
    "slider_axes",
]

MAX_BYTES = 2_000_000_000
"""What may be extracted at once."""

_IMAGE_LOOK = ("opacity", "gamma", "interpolation2d", "interpolation3d", "rendering",
               "attenuation", "iso_threshold")  # fmt: skip
_LABELS_LOOK = ("opacity", "blending", "colormap", "iso_gradient_mode", "rendering")
_MIXING = ("additive", "minimum", "multiplicative")
"""Blendings by which channels share a pixel; anything else would cover the channels below."""


@dataclass(frozen=True)
class Chosen:
    """What the person has selected to be extracted."""

    layers: tuple[Any, ...]
    shapes: Any | None
    """The shapes layer whose rectangle bounds it; None for what is in view."""
    is_selected: bool
    """Whether somebody selected these layers; otherwise they are those that are visible."""


@dataclass(frozen=True)
class Wish:
    """How much to extract; without any choice the plane on screen at the level on screen."""

    level: int | None = None
    """Of the first layer, the others at the same resolution; None is what each shows."""
    planes: frozenset[str] = field(default_factory=frozenset)
    """Names of the slider axes to take as a whole."""
    is_flat: bool = False
    """Whether to leave out leading axes of one plane: a 2-D array instead of (1, 1, y, x)."""


@dataclass(frozen=True)
class Extract:
    """One layer to be made: all about it but its pixels. Keeps arrays alive, not the layer."""

    name: str
    """Of the layer it comes from."""
    source: weakref.ref[Any]
    """That layer."""
    pixels: LayerPixels
    seen: VisibleRegion
    kind: str
    """``"image"`` or ``"labels"``."""
    attributes: Mapping[str, Any]
    limits_range: tuple[float, float] | None
    """How far the contrast sliders go."""
    dropped: int
    """Leading axes that the array does without."""

    @property
    def chunks(self) -> int:
        """Chunks to load."""
        return self.pixels.chunk_count(self.seen.region)

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return self.seen.nbytes


def chosen_layers(viewer: Any) -> Chosen:
    """Return the selected image and labels layers; where none is, all visible ones.

    Extracts are not extracted again unless they are selected. A shapes layer that is selected
    bounds what is taken.
    """
    selection = viewer.layers.selection
    shapes = [layer for layer in viewer.layers if layer in selection and is_shapes(layer)]
    layers = [layer for layer in viewer.layers if layer in selection and has_pixels(layer)]
    is_selected = bool(layers)
    if not layers:
        layers = [x for x in viewer.layers if x.visible and has_pixels(x) and not _is_extract(x)]
    return Chosen(tuple(layers), shapes[-1] if shapes else None, is_selected)


def slider_axes(viewer: Any, layer: Any) -> tuple[str, ...]:
    """Return the names of a layer's axes on sliders that have more than one plane."""
    offset = viewer.dims.ndim - layer.ndim
    shape = layer.level_shapes[0] if layer.multiscale else layer.data.shape
    names = axis_names(layer)
    return tuple(
        names[axis]
        for axis in range(layer.ndim)
        if axis + offset not in viewer.dims.displayed and shape[axis] > 1
    )


def fits(extracts: Sequence[Extract]) -> bool:
    """Tell whether these may be extracted at once."""
    return sum(each.nbytes for each in extracts) <= MAX_BYTES


def plan_extracts(viewer: Any, chosen: Chosen, wish: Wish) -> tuple[Extract, ...]:
    """Settle what to extract; on the GUI thread, without reading.

    Layers of which nothing is in view (or in the box) are left out.

    Raises
    ------
    OperationError
        If there is nothing to extract from, or no rectangle where one was selected.
    RegionError
        If nothing is in view or in the box.
    """
    if not chosen.layers:
        raise OperationError(
            "There is nothing to extract", hint="Open an image, or show or select a layer."
        )
    spans = None if chosen.shapes is None else rectangle_spans(viewer, chosen.shapes)
    extracts: list[Extract] = []
    pattern: VisibleRegion | None = None
    for layer in chosen.layers:
        seen = _seen(viewer, layer, wish, spans, pattern)
        if seen is None:
            continue
        pattern = pattern or seen
        lies_lowest = not any(each.kind == "image" for each in extracts)
        extracts.append(_extract(layer, _with_planes(seen, wish.planes), wish, lies_lowest))
    if not extracts:
        names = " and ".join(f"“{layer.name}”" for layer in chosen.layers[:3])
        box = chosen.shapes
        place = "in view" if box is None else f"in the rectangle of “{box.name}”"
        raise RegionError(f"Nothing of {names} is {place}", hint="Move it there.")
    return tuple(extracts)


def check_size(viewer: Any, chosen: Chosen, wish: Wish, extracts: Sequence[Extract]) -> None:
    """Refuse what is too large, and say what would not be.

    Raises
    ------
    RegionError
        If it is more than `MAX_BYTES`.
    """
    if fits(extracts):
        return
    total = sum(each.nbytes for each in extracts)
    coarser = _level_that_fits(viewer, chosen, wish, extracts[0])
    way_out = f"Level {coarser} would fit; or take" if coarser is not None else "Take"
    raise RegionError(
        "Could not extract that much",
        why=f"{size_text(extracts[0].seen)} of {len(extracts)} layer"
        f"{'s' if len(extracts) > 1 else ''} is {bytes_text(total)}, "
        f"and {bytes_text(MAX_BYTES)} is the most",
        hint=f"{way_out} a smaller box, fewer planes or fewer layers (Extract… in the menu).",
    )


def _level_that_fits(viewer: Any, chosen: Chosen, wish: Wish, first: Extract) -> int | None:
    layer = first.source()
    for number in range(first.seen.level.number + 1, 0 if layer is None else level_count(layer)):
        if fits(plan_extracts(viewer, chosen, replace(wish, level=number))):
            return number
    return None


def _seen(
    viewer: Any, layer: Any, wish: Wish, spans: Spans | None, pattern: VisibleRegion | None
) -> VisibleRegion | None:
    """Return what to take of a layer, without the other planes."""
    if wish.level is None:
        return visible_region(viewer, layer, spans=spans)
    last = level_count(layer) - 1
    if pattern is None:
        return visible_region(viewer, layer, min(wish.level, last), spans)
    every = [visible_region(viewer, layer, number, spans) for number in range(last + 1)]
    here = [seen for seen in every if seen is not None]
    return min(here, key=lambda seen: _unlikeness(seen, pattern), default=None)


def _unlikeness(seen: VisibleRegion, pattern: VisibleRegion) -> float:
    """Return by which factor the pixels differ in size, as a logarithm; by level without sizes."""
    (size, in_um), (wanted, wanted_in_um) = seen.pixel_size, pattern.pixel_size
    if in_um and wanted_in_um:
        return abs(math.log(size / wanted))
    return abs(seen.level.number - pattern.level.number)


def _with_planes(seen: VisibleRegion, planes: frozenset[str]) -> VisibleRegion:
    start, stop = list(seen.region.start), list(seen.region.stop)
    for axis, name in enumerate(seen.axes):
        if name in planes and axis not in seen.displayed:
            start[axis], stop[axis] = 0, seen.level.shape[axis]
    return replace(seen, region=Region(tuple(start), tuple(stop)))


def _extract(layer: Any, seen: VisibleRegion, wish: Wish, lies_lowest: bool) -> Extract:
    from napari.layers import Labels

    kind = "labels" if isinstance(layer, Labels) else "image"
    look = _labels_look(layer) if kind == "labels" else _image_look(layer, lies_lowest)
    level = f", level {seen.level.number}" if layer.multiscale else ""
    placement = placement_over(layer, seen)
    dropped = _leading_planes(seen) if wish.is_flat else 0
    if dropped:
        placement = _without_axes(layer, placement, dropped)
    is_grey = kind == "image" and not layer.rgb
    return Extract(
        name=layer.name,
        source=weakref.ref(layer),
        pixels=LayerPixels.of(layer, seen.level.number),
        seen=seen,
        kind=kind,
        attributes={
            "name": f"{layer.name} (extract{level})",
            "metadata": {METADATA_KEY: _about(layer, seen)},
            **placement,
            **look,
        },
        limits_range=tuple(layer.contrast_limits_range) if is_grey else None,
        dropped=dropped,
    )


def _about(layer: Any, seen: VisibleRegion) -> dict[str, Any]:
    """Return what the layer says about where it came from, in voxels of its level."""
    before = layer.metadata.get(METADATA_KEY) or {}
    source = {"source": before["source"]} if "source" in before else {}
    return {
        **source,
        "extracted_from": layer.name,
        "level": seen.level.number,
        "axes": list(seen.axes),
        "start": list(seen.region.start),
        "stop": list(seen.region.stop),
    }


def _is_extract(layer: Any) -> bool:
    return "extracted_from" in (layer.metadata.get(METADATA_KEY) or {})


def _image_look(layer: Any, lies_lowest: bool) -> dict[str, Any]:
    look = {name: getattr(layer, name) for name in _IMAGE_LOOK}
    # The lowest one covers the layers it was taken from: added to them it would be twice as bright.
    mixes = str(layer.blending) in _MIXING and not lies_lowest
    look["blending"] = str(layer.blending) if mixes else "translucent_no_depth"
    look["rgb"] = bool(layer.rgb)
    if not layer.rgb:
        look |= {"colormap": layer.colormap, "contrast_limits": list(layer.contrast_limits)}
    return look


def _labels_look(layer: Any) -> dict[str, Any]:
    look = {name: getattr(layer, name) for name in _LABELS_LOOK}
    return {**look, "features": layer.features.copy()}


def _leading_planes(seen: VisibleRegion) -> int:
    """Return how many leading axes have one plane and are not on screen."""
    for axis in range(len(seen.axes)):
        if axis in seen.displayed or seen.shape[axis] > 1:
            return axis
    return 0


def _without_axes(layer: Any, placement: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Return where an array lies that has lost its leading axes."""
    from napari.utils.transforms import Affine

    own = Affine(
        scale=placement["scale"],
        translate=placement["translate"],
        rotate=placement["rotate"],
        shear=placement["shear"],
        ndim=layer.ndim,
    )
    kept = range(count, layer.ndim)
    for transform in (own, layer.affine):
        matrix = np.asarray(transform.linear_matrix)
        if np.any(matrix[:count, count:]) or np.any(matrix[count:, :count]):
            raise OperationError(
                f"“{layer.name}” needs all its axes",
                why="it is rotated out of the plane",
                hint="Extract it with axes of one plane.",
            )
    own = own.set_slice(kept)
    # A diagonal Affine states a shear of a length that napari's own layers refuse.
    is_turned = np.count_nonzero(own.linear_matrix) > len(kept)
    return {
        "scale": own.scale,
        "translate": own.translate,
        **({"rotate": own.rotate, "shear": own.shear} if is_turned else {}),
        "affine": layer.affine.set_slice(kept),
        "units": placement["units"][count:],
        "axis_labels": placement["axis_labels"][count:],
    }
