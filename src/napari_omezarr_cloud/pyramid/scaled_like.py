"""Labels that state no scale, or no units: taken from their image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.ngff import Dataset, Image
    from napari_omezarr_cloud.pyramid.array_metadata import ArrayDescription
    from napari_omezarr_cloud.pyramid.level import Pyramid

__all__ = ["scaled_like", "with_units_of"]

Levels = list[tuple["Dataset", "ArrayDescription"]]


def scaled_like(
    labels: Image, levels: Levels, image: Image, pyramid: Pyramid, notes: list[str]
) -> tuple[Image, Levels]:
    """Return labels with the scale of their image on their first level.

    Parameters
    ----------
    labels, levels
        A label image that states no scale, its axes resolved, and its levels from fine to coarse.
    image, pyramid
        The image it belongs to, and its levels.
    notes
        Gets a sentence on what was taken, or why nothing could be.

    Returns
    -------
    Image, levels
        Each axis as long as that of the same name of the image: its voxels are as many times
        larger as they are fewer. A single voxel is as thick as the image and lies in its middle.
        The same where the image states no scale, or the numbers are no whole ratio.
    """
    first = image.datasets[0]
    if first.scale is None:
        return labels, levels
    place = {axis.name: n for n, axis in enumerate(image.axes)}
    whole = pyramid.levels[0].grid.shape
    dataset, array = levels[0]
    scale, translation, ratios = [], [], []
    for axis, n in zip(labels.axes, array.grid.shape, strict=True):
        at = place.get(axis.name)
        if at is None or not _covers(n, whole[at]):
            notes.append("It states no scale, and does not fit its image: one voxel counts as 1.")
            return labels, levels
        ratio = whole[at] / n
        shift = first.translation[at] if first.translation is not None else 0.0
        middle = first.scale[at] * (whole[at] - 1) / 2 if n == 1 else 0.0
        scale.append(first.scale[at] * ratio)
        translation.append(shift + middle)
        ratios.append(f"{axis.name} {ratio:.3g}")
    axes = tuple(image.axes[place[axis.name]] for axis in labels.axes)
    same = all(ratio.endswith(" 1") for ratio in ratios)
    size = "" if same else f" (times {', '.join(ratios)})"
    notes.append(f"It states no scale; that of its image was taken{size}.")
    scaled = replace(dataset, scale=tuple(scale), translation=tuple(translation))
    changed = [(scaled, array), *levels[1:]]
    datasets = tuple(each for each, _ in changed)
    return replace(labels, axes=axes, datasets=datasets), _shifted(changed)


def with_units_of(image: Image, labels: Image) -> Image:
    """Return labels whose axes are in the units of the image's, where they state none.

    napari ignores all units where layers have different ones, so that its scale bar counts pixels.
    """
    units = {axis.name: axis.unit for axis in image.axes}
    axes = (replace(axis, unit=axis.unit or units.get(axis.name)) for axis in labels.axes)
    return replace(labels, axes=tuple(axes))


def _shifted(levels: Levels) -> Levels:
    """Let coarser levels begin where the first does."""
    start = levels[0][0].translation
    return [levels[0], *((replace(d, translation=start), array) for d, array in levels[1:])]


def _covers(few: int, many: int) -> bool:
    """Tell whether voxels are as many as another image's over a whole number, rounded."""
    return few == 1 or any(
        few in (many // factor, -(-many // factor)) for factor in _around(many / few)
    )


def _around(ratio: float) -> Sequence[int]:
    return [factor for factor in (int(ratio), int(ratio) + 1) if factor >= 1]
