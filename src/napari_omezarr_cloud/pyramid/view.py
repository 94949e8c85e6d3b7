"""A pyramid with some axes fixed and the rest in another order: one channel, or RGB last.

The engine keeps whole stored chunks; a view only says which part of them is meant, so channels
that share a chunk share its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.pyramid.level import Grid, Level, Pyramid
from napari_omezarr_cloud.pyramid.region import Region
from napari_omezarr_cloud.pyramid.transform import Transform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_omezarr_cloud.ngff import Affine, Axis

__all__ = ["PyramidView"]


@dataclass(frozen=True)
class PyramidView:
    """A choice from a pyramid.

    ``fixed`` gives an index for each axis that is left out, ``order`` the remaining axes of the
    pyramid in the order of the view.
    """

    pyramid: Pyramid
    fixed: tuple[tuple[int, int], ...]
    order: tuple[int, ...]
    shown_as: np.dtype[Any] | None = None
    """A dtype for what napari does not show as it is; complex values become magnitudes. None: as
    stored."""

    @classmethod
    def in_world_order(
        cls,
        pyramid: Pyramid,
        fixed: Mapping[int, int] | None = None,
        *,
        shown_as: np.dtype[Any] | None = None,
    ) -> PyramidView:
        """Return a view with its axes in the order of the world's, where they run along those."""
        order = None if pyramid.affine is None else pyramid.affine.axis_order
        rest = [axis for axis in order or () if axis not in (fixed or {})]
        return cls.of(pyramid, fixed, rest or None, shown_as=shown_as)

    @classmethod
    def of(
        cls,
        pyramid: Pyramid,
        fixed: Mapping[int, int] | None = None,
        order: Sequence[int] | None = None,
        *,
        shown_as: np.dtype[Any] | None = None,
    ) -> PyramidView:
        """Return a view; ``order`` defaults to the remaining axes as they are."""
        fixed = fixed or {}
        rest = [axis for axis in range(pyramid.ndim) if axis not in fixed]
        return cls(pyramid, tuple(sorted(fixed.items())), tuple(order or rest), shown_as)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Axes of the view, in its order."""
        return tuple(self.pyramid.axes[i] for i in self.order)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.order)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the view's voxels."""
        return self.shown_as or self.pyramid.dtype

    @property
    def preview(self) -> PyramidView:
        """The view of what a window shows of the pyramid."""
        shown = self.pyramid.preview
        return self if shown is None else replace(self, pyramid=shown)

    def level(self, number: int) -> Level:
        """Return a level of the pyramid."""
        return self.pyramid.levels[number]

    def grid(self, number: int) -> Grid:
        """Return shape, chunks and dtype of a level as seen through the view."""
        grid = self.level(number).grid
        fill = self._converted(np.asarray(grid.fill_value))[()]
        return Grid(self._pick(grid.shape), self._pick(grid.chunks), self.dtype, fill)

    def transform(self, number: int) -> Transform:
        """Where the voxels of this level lie."""
        transform = self.level(number).transform
        return Transform(self._pick(transform.scale), self._pick(transform.translation))

    def affine(self, axes: Sequence[int] | None = None) -> Affine | None:
        """Return what comes after the levels' transforms, in the order of the view's axes.

        Parameters
        ----------
        axes
            Positions in the view of the axes that count; None: all of them.

        Returns
        -------
        Affine or None
            As many axes out as in. None where nothing is left, and where it mixes these axes with
            others; that never is the channel axis.
        """
        if self.pyramid.affine is None:
            return None
        kept = [self.order[i] for i in axes] if axes is not None else list(self.order)
        found = self.pyramid.affine.restricted(kept)
        return None if found is None or found[0].is_identity else found[0]

    def _pick(self, values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(values[i] for i in self.order)

    def expand(self, region: Region) -> Region:
        """Return the pyramid's region for one of the view; inverse of :meth:`reduce`."""
        start, stop = [0] * self.pyramid.ndim, [1] * self.pyramid.ndim
        for axis, index in self.fixed:
            start[axis], stop[axis] = index, index + 1
        for axis, a, b in zip(self.order, region.start, region.stop, strict=True):
            start[axis], stop[axis] = a, b
        return Region(tuple(start), tuple(stop))

    def expand_stride(self, stride: Sequence[int]) -> tuple[int, ...]:
        """Return the pyramid's stride per axis for one of the view."""
        whole = [1] * self.pyramid.ndim
        for axis, step in zip(self.order, stride, strict=True):
            whole[axis] = step
        return tuple(whole)

    def reduce(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return an array of an expanded region as the view shows it; no copy of what is stored."""
        pixels = np.transpose(pixels, (*(axis for axis, _ in self.fixed), *self.order))
        pixels = pixels[(0,) * len(self.fixed)]
        return self._converted(pixels)

    def _converted(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self.shown_as is None:
            return pixels
        values = np.abs(pixels) if pixels.dtype.kind == "c" else pixels
        return values.astype(self.shown_as, copy=False)
