"""What a result looks like as a layer: exactly over its source, named after what was done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.napari.auto_contrast import sampled_limits
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY, LayerData

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from napari_omezarr_cloud.napari.visible import VisibleRegion
    from napari_omezarr_cloud.process import Operation, Parameter, Value
    from napari_omezarr_cloud.process.snapshot import Snapshot

__all__ = [
    "Appearance",
    "appearance_of",
    "placement_of_whole",
    "placement_over",
    "result_layer",
    "result_name",
]

_MOST_SETTINGS = 5
"""Settings that a name can hold."""


@dataclass(frozen=True)
class Appearance:
    """How a result is drawn: what it takes over from the layer it was made from."""

    colormap: Any = "gray"
    contrast_limits: tuple[float, float] | None = None
    rgb: bool = False


def appearance_of(op: Operation, layers: Sequence[Any]) -> Appearance:
    """Return the look of a result; the contrast of the source only where it means the same."""
    first = layers[0]
    if getattr(first, "rgb", False):
        return Appearance(rgb=op.colours == "each")
    if len(layers) > 1 or not hasattr(first, "contrast_limits"):
        return Appearance()
    low, high = (float(n) for n in first.contrast_limits)
    keeps = op.keeps_brightness or op.kind == "projection"
    return Appearance(first.colormap, (low, high) if keeps else None)


def placement_over(layer: Any, seen: VisibleRegion, folded: int | None = None) -> dict[str, Any]:
    """Return the attributes that lay an array of a visible region exactly over its layer.

    The axes stay those of the source. Along a slider the result is as thick as the plane of the
    level it comes from, so it shows where that plane shows; along the axis that was folded it is
    one voxel as thick as everything that went into it, so it shows at all of its planes.

    Parameters
    ----------
    layer
        The source.
    seen
        What of it was taken.
    folded
        The axis that a projection folded.
    """
    region, to_data = seen.region, seen.level.to_data
    scale, first = np.ones(layer.ndim), np.zeros(layer.ndim)
    for axis in range(layer.ndim):
        planes = region.shape[axis] if axis == folded else 1
        middle = region.start[axis] + (planes - 1) / 2
        scale[axis] = to_data.scale[axis] * planes
        first[axis] = to_data.scale[axis] * middle + to_data.translation[axis]
    return _placement(layer, scale, first)


def placement_of_whole(layer: Any, folded: int | None, planes: int) -> dict[str, Any]:
    """Return the attributes that lay a result of the whole layer exactly over it.

    Parameters
    ----------
    layer
        The source; the finest level of the result has its grid.
    folded
        The axis that a projection folded.
    planes
        How many planes were folded.
    """
    scale, first = np.ones(layer.ndim), np.zeros(layer.ndim)
    if folded is not None:
        scale[folded], first[folded] = planes, (planes - 1) / 2
    return _placement(layer, scale, first)


def _placement(
    layer: Any, scale: npt.NDArray[np.float64], first: npt.NDArray[np.float64]
) -> dict[str, Any]:
    """Return where voxels lie that are ``scale`` of the layer's, the first one at ``first``."""
    from napari.utils.transforms import Affine

    own = Affine(scale=layer.scale, rotate=layer.rotate, shear=layer.shear, ndim=layer.ndim)
    return {
        "scale": np.asarray(layer.scale) * scale,
        "translate": np.asarray(layer.translate) + own.linear_matrix @ first,
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }


def result_name(
    op: Operation, values: Mapping[str, Value], names: Sequence[str], *, in_um: bool
) -> str:
    """Return a name that says what was done: ``"Gaussian blur (sigma 1 µm) of nuclei"``."""
    # Functions that nobody described have up to a dozen settings: what was changed tells.
    told_all = len(op.parameters) <= _MOST_SETTINGS
    settings = [
        _setting(p, values[p.name], in_um)
        for p in op.parameters
        if p.name in values and (told_all or values[p.name] != p.default)
    ]
    # "Otsu threshold (threshold 9049)" says it twice.
    named = op.title.lower()
    told = ", ".join(
        text.removeprefix(f"{label} ") if label in named else text
        for label, text in settings
        if text
    )
    return f"{op.title}{f' ({told})' if told else ''} of {' and '.join(names)}"


def result_layer(
    op: Operation,
    snapshot: Snapshot,
    names: Sequence[str],
    *,
    appearance: Appearance,
    placement: Mapping[str, Any],
    in_um: bool,
) -> LayerData:
    """Return a result as an ordinary in-memory layer; any thread."""
    attributes = {
        "name": result_name(op, snapshot.values, names, in_um=in_um),
        "metadata": {
            METADATA_KEY: {
                "operation": op.name,
                "values": dict(snapshot.values),
                "made_from": list(names),
            }
        },
        **placement,
    }
    if op.output_of(snapshot.pixels.dtype) in ("mask", "labels"):
        return snapshot.pixels, attributes, "labels"
    # Over everything below: added to its source it would only look brighter.
    attributes |= {"rgb": appearance.rgb, "blending": "translucent_no_depth"}
    if not appearance.rgb:
        limits = appearance.contrast_limits or sampled_limits(snapshot.pixels) or [0.0, 1.0]
        attributes |= {"colormap": appearance.colormap, "contrast_limits": limits}
    return snapshot.pixels, attributes, "image"


def _setting(parameter: Parameter, value: Value, in_um: bool) -> tuple[str, str]:
    """Return what is set, and that with its value."""
    label = parameter.label.lower()
    if parameter.type == "bool":
        return label, label if value else ""
    if isinstance(value, float):
        unit = ("µm" if in_um else "px") if parameter.type == "length" else parameter.unit
        return label, f"{label} {_digits(value)}{f' {unit}' if unit else ''}"
    return label, f"{label} {value}"


def _digits(value: float) -> str:
    """Return four digits, and a grey value of a 16-bit camera in full."""
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e9 else f"{value:.4g}"
