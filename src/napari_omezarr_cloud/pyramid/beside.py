"""Label images with fewer axes than their image, placed by the names of the axes.

napari and numpy align axes from the last one backwards: labels over t, y, x would come to lie
along z of an image over t, z, y, x. They get the axes they lack, one voxel long and as thick as the
image.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from napari_omezarr_cloud.pyramid.channels import channel_axis
from napari_omezarr_cloud.pyramid.level import Absent, Chunk, Grid, Level, Pyramid, Runner, new_key
from napari_omezarr_cloud.pyramid.transform import Transform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.pyramid.region import Index

__all__ = ["WidenedLevel", "placed_beside"]


T = TypeVar("T")


class WidenedLevel:
    """A level with further axes, one voxel long."""

    def __init__(
        self, inner: Level, at: Sequence[int], scale: Sequence[float], translation: Sequence[float]
    ) -> None:
        """Widen a level.

        Parameters
        ----------
        inner
            The level.
        at
            Where the new axes are among all axes, ascending.
        scale, translation
            Of each new axis.
        """
        self.key = new_key()
        self.is_derived = inner.is_derived
        self._inner, self._at = inner, tuple(at)
        grid, place = inner.grid, inner.transform
        ones = [1] * len(self._at)
        self.grid = Grid(
            tuple(self._with(grid.shape, ones)),
            tuple(self._with(grid.chunks, ones)),
            grid.dtype,
            grid.fill_value,
        )
        self.transform = Transform(
            tuple(self._with(place.scale, scale)), tuple(self._with(place.translation, translation))
        )

    @property
    def name(self) -> str:
        """What messages call it."""
        return self._inner.name

    def _with(self, values: Sequence[T], new: Sequence[T]) -> list[T]:
        whole = list(values)
        for position, value in zip(self._at, new, strict=True):
            whole.insert(position, value)
        return whole

    def _widened(self, index: Index) -> Index:
        whole = list(index)
        for position in self._at:
            whole.insert(position, 0)
        return tuple(whole)

    def _narrowed(self, index: Index) -> Index:
        return tuple(n for axis, n in enumerate(index) if axis not in self._at)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, key=new_key())

    @property
    def places(self) -> frozenset[Location]:
        """Where its chunks come from."""
        return self._inner.places

    def jobs(self, indices: Sequence[Index]) -> Iterable[tuple[Index, ...]]:
        """Group chunks that are best produced in one go."""
        for job in self._inner.jobs([self._narrowed(index) for index in indices]):
            yield tuple(self._widened(index) for index in job)

    async def produce(self, indices: tuple[Index, ...], runner: Runner) -> Mapping[Index, Chunk]:
        """Produce these chunks; awaits on the loop."""
        narrow = tuple(self._narrowed(index) for index in indices)
        chunks = await self._inner.produce(narrow, runner)
        return {
            self._widened(index): chunk
            if isinstance(chunk, Absent)
            else np.expand_dims(chunk, self._at)
            for index, chunk in chunks.items()
        }


def placed_beside(labels: Pyramid, image: Pyramid) -> Pyramid:
    """Return the pyramid of a label image with its axes where those of its image are.

    Parameters
    ----------
    labels, image
        Pyramids in one world. Axes that are in front of all that the labels have are not added.

    Returns
    -------
    Pyramid
        The same where nothing is to be done, or nothing can be: an axis that the image does not
        have, another order, or a transformation that mixes axes.
    """
    if labels.affine is not None or image.affine is not None:
        return labels
    names = [axis.name for axis in labels.axes]
    channel = channel_axis(image)
    wanted = [n for n, axis in enumerate(image.axes) if n != channel or axis.name in names]
    order = [image.axes[n].name for n in wanted]
    if not names or names != [name for name in order if name in names]:
        return labels
    whole = wanted[order.index(names[0]) :]
    at = [i for i, n in enumerate(whole) if image.axes[n].name not in names]
    if not at:
        return labels
    grid, place = image.levels[0].grid, image.levels[0].transform
    missing = [whole[i] for i in at]
    scale = [place.scale[n] * grid.shape[n] for n in missing]
    shift = [place.translation[n] + place.scale[n] * (grid.shape[n] - 1) / 2 for n in missing]
    return replace(
        labels,
        axes=tuple(image.axes[n] for n in whole),
        levels=tuple(WidenedLevel(level, at, scale, shift) for level in labels.levels),
        kept=(*labels.kept, labels),
    )
