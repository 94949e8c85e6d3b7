"""What somebody who knows dask well writes for one image, in place of a recipe: nothing is general.

Both give what ours gives: a pyramid in OME-Zarr, every level of it computed from the one before.
They know how the volume is stored, and cut it accordingly.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from typing import Any

import dask
import dask.array as da
import numpy as np
import zarr
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage import filters
from zarr.codecs import BloscCodec

from benchmarks.volumes import CHUNKS

__all__ = ["gaussian", "otsu_label"]

_BLOCK = (64, 256, 256)
"""Four chunks: what a thread computes at once."""
_LEVELS = 4


def gaussian(source: str, target: str, sigma: float) -> None:
    """Smooth a volume as scikit-image does, and store it with its coarser levels."""
    image = da.from_array(zarr.open_group(source, mode="r")["0"], chunks=_BLOCK)

    def smooth(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return filters.gaussian(block, sigma, mode="nearest", preserve_range=True)

    depth = int(4 * sigma + 0.5)
    smoothed = da.map_overlap(
        smooth, image, depth=depth, boundary="nearest", dtype=np.float64, meta=np.empty(0)
    )
    _store(smoothed, target, np.mean)


def otsu_label(source: str, target: str) -> None:
    """Label the connected regions above Otsu's threshold, of the whole volume."""
    image = da.from_array(zarr.open_group(source, mode="r")["0"], chunks=_BLOCK)
    middle = image.shape[0] // 2
    threshold = filters.threshold_otsu(image[middle - 1 : middle].compute())
    folder = tempfile.mkdtemp(prefix="by-hand-")
    try:
        _label(image, threshold, target, folder)
    finally:
        shutil.rmtree(folder)


def _label(image: Any, threshold: float, target: str, folder: str) -> None:
    kept = zarr.create_array(
        f"{folder}/labels", shape=image.shape, chunks=_BLOCK, dtype="u4", compressors=_codec("u4")
    )
    counts = np.zeros(image.numblocks, np.int64)
    full = np.ones((3, 3, 3), bool)

    def label(block: np.ndarray[Any, Any], where: tuple[int, ...]) -> None:
        labels, counts[where] = ndimage.label(block > threshold, full, output=np.uint32)
        start = [i * b for i, b in zip(where, _BLOCK, strict=True)]
        kept[tuple(slice(a, a + n) for a, n in zip(start, labels.shape, strict=True))] = labels

    blocks = image.to_delayed()
    dask.compute(*(dask.delayed(label)(blocks[at], at) for at in np.ndindex(*image.numblocks)))
    first = np.concatenate([[0], np.cumsum(counts.ravel())[:-1]]).reshape(counts.shape)
    ids = _merged(kept, first, int(counts.sum()))

    def renumbered(block: np.ndarray[Any, Any], block_info: Any = None) -> np.ndarray[Any, Any]:
        at = tuple(block_info[0]["chunk-location"])
        own = np.concatenate([[0], ids[first[at] : first[at] + counts[at]]]).astype(np.int32)
        return own[block]

    labels = da.from_array(kept, chunks=_BLOCK)
    _store(labels.map_blocks(renumbered, dtype=np.int32), target, None)


def _merged(kept: Any, first: np.ndarray[Any, Any], total: int) -> np.ndarray[Any, Any]:
    """Return the numbers of all labels of all blocks, one for those that touch."""
    pairs = []
    for axis, n in enumerate(kept.shape):
        for border in range(_BLOCK[axis], n, _BLOCK[axis]):
            sides = []
            for plane in (border - 1, border):
                where = [slice(None)] * 3
                where[axis] = slice(plane, plane + 1)
                labels = kept[tuple(where)].astype(np.int64)
                index = [np.arange(n) // b for n, b in zip(kept.shape, _BLOCK, strict=True)]
                index[axis] = np.array([plane // _BLOCK[axis]])
                sides.append(np.where(labels > 0, labels + first[np.ix_(*index)], 0).take(0, axis))
            pairs += list(_touching(*sides))
    edges = np.unique(np.concatenate(pairs), axis=0) - 1 if pairs else np.empty((0, 2), np.int64)
    graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), (total, total))
    return connected_components(graph, directed=False)[1] + 1


def _touching(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> Any:
    for shift in itertools.product((-1, 0, 1), repeat=2):
        mine, its = (
            tuple(slice(max(0, s * d), n + min(0, s * d)) for d, n in zip(shift, one.shape))  # noqa: B905
            for s in (1, -1)
        )
        a, b = one[mine].ravel(), other[its].ravel()
        both = (a > 0) & (b > 0)
        yield np.unique(np.stack([a[both], b[both]], axis=1), axis=0)


def _codec(dtype: str) -> Any:
    return BloscCodec(cname="zstd", clevel=3, shuffle="shuffle", typesize=np.dtype(dtype).itemsize)


def _store(finest: Any, target: str, mean: Any) -> None:
    """Store levels in one go, so that nothing is computed or read twice."""
    group = zarr.open_group(target, mode="w", zarr_format=3)
    levels, datasets = [finest], []
    for number in range(1, _LEVELS):
        finer = levels[-1]
        if mean is None:
            coarse = finer[::2, ::2, ::2]
        else:
            coarse = da.coarsen(mean, finer, dict.fromkeys(range(3), 2), trim_excess=True)
        # No two blocks may write to one chunk.
        cut = tuple(max(b // 2**number, c) for b, c in zip(_BLOCK, CHUNKS, strict=True))
        levels.append(coarse.rechunk(cut))
    arrays = []
    for number, level in enumerate(levels):
        arrays.append(
            group.create_array(
                str(number),
                shape=level.shape,
                chunks=tuple(map(min, CHUNKS, level.shape)),
                dtype=level.dtype,
                compressors=_codec(level.dtype.str),
            )
        )
        scale = {"type": "scale", "scale": [2.0**number] * 3}
        datasets.append({"path": str(number), "coordinateTransformations": [scale]})
    da.store(levels, arrays, lock=False)
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    image = {"axes": axes, "datasets": datasets}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
