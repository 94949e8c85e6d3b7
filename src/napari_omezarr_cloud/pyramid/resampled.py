"""A level as if its voxels were of another size along y and x: the nearest voxel of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.pyramid.level import Chunk, Grid, Level, Runner, new_key
from napari_omezarr_cloud.pyramid.region import Region
from napari_omezarr_cloud.pyramid.transform import Transform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.pyramid.region import Index

__all__ = ["ResampledLevel"]

_CHUNK = 512


class ResampledLevel:
    """A level with its first voxel where it was, and the others further apart or closer."""

    is_derived = True

    def __init__(self, inner: Level, ratios: Mapping[int, float]) -> None:
        """Resample a level.

        Parameters
        ----------
        inner
            The level.
        ratios
            Axis → length of a new voxel in voxels of ``inner``.
        """
        self.key = new_key()
        self.name = inner.name
        self._inner = inner
        self._ratios = dict(ratios)
        grid = inner.grid
        shape, chunks, scale = list(grid.shape), list(grid.chunks), list(inner.transform.scale)
        for axis, ratio in self._ratios.items():
            shape[axis] = max(1, round(shape[axis] / ratio))
            chunks[axis] = min(shape[axis], _CHUNK)
            scale[axis] *= ratio
        self.grid = Grid(tuple(shape), tuple(chunks), grid.dtype, grid.fill_value)
        self.transform = Transform(tuple(scale), inner.transform.translation)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, key=new_key())

    @property
    def places(self) -> frozenset[Location]:
        """Where its chunks come from."""
        return self._inner.places

    def jobs(self, indices: Sequence[Index]) -> Iterable[tuple[Index, ...]]:
        """Take each chunk by itself."""
        return ((index,) for index in indices)

    async def produce(self, indices: tuple[Index, ...], runner: Runner) -> Mapping[Index, Chunk]:
        """Produce these chunks; awaits on the loop."""
        return {index: await self._produce(index, runner) for index in indices}

    async def _produce(self, index: Index, runner: Runner) -> Chunk:
        wanted = self.grid.region_of(index)
        start, stop, taken = list(wanted.start), list(wanted.stop), {}
        for axis, ratio in self._ratios.items():
            voxels = (np.arange(start[axis], stop[axis]) + 0.5) * ratio
            nearest = np.minimum(voxels.astype(np.intp), self._inner.grid.shape[axis] - 1)
            start[axis], stop[axis] = int(nearest[0]), int(nearest[-1]) + 1
            taken[axis] = nearest - start[axis]
        pixels = await runner.region(self._inner, Region(tuple(start), tuple(stop)))
        return await runner.decode(_take, pixels, taken)  # type: ignore[no-any-return]


def _take(pixels: npt.NDArray[Any], taken: Mapping[int, npt.NDArray[np.intp]]) -> Chunk:
    for axis, places in taken.items():
        pixels = pixels.take(places, axis=axis)
    pixels.flags.writeable = False
    return pixels
