"""Coarser voxels out of finer ones: means, smoothed samples, plain samples, majorities.

A voxel's centre is its coordinate. A mean or a majority over ``f`` voxels lies in their middle, at
``(f - 1) / 2`` of the finer voxels; a sample lies where it was taken, at the first of them.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["METHODS", "Method", "downsample", "halo", "offset"]

Method = Literal["mean", "gaussian", "nearest", "mode"]

METHODS: tuple[Method, ...] = get_args(Method)

Array = npt.NDArray[Any]

_TRUNCATE = 3.0


def offset(method: Method, factor: int) -> float:
    """Return where the first coarse voxel's centre lies, in fine voxels from the first centre."""
    return (factor - 1) / 2 if method in ("mean", "mode") else 0.0


def halo(method: Method, factor: int) -> int:
    """Return how many fine voxels around a block the method looks at."""
    return math.ceil(_TRUNCATE * _sigma(factor)) if method == "gaussian" and factor > 1 else 0


def _sigma(factor: int) -> float:
    # As skimage.transform.pyramid_reduce: the kernel covers what is left out.
    return 2 * factor / 6.0


def downsample(
    block: Array, factors: Sequence[int], method: Method, margin: Sequence[slice] | None = None
) -> Array:
    """Return a block, coarser by whole factors.

    Parameters
    ----------
    block
        Voxels whose first one is the first of its group along each axis. Lengths that are no
        multiple of the factor are as if the last voxel were repeated.
    factors
        Per axis, 1 and more.
    method
        "mean" (integers are rounded), "gaussian" (smoothed, then every ``factor``-th), "nearest"
        (every ``factor``-th), "mode" (the most frequent value; of several, that which comes first
        in C order; for labels).
    margin
        Which part of the block is wanted, where it was given with its surroundings (`halo`).

    Returns
    -------
    ndarray
        Of the same dtype; shape ``ceil(n / factor)`` per axis.
    """
    if method == "gaussian":
        block = _smoothed(block, factors)
    if margin is not None:
        block = block[tuple(margin)]
    if method in ("nearest", "gaussian"):
        return np.ascontiguousarray(block[tuple(slice(None, None, f) for f in factors)])
    padding = [(0, -n % f) for n, f in zip(block.shape, factors, strict=True)]
    if any(after for _, after in padding):
        block = np.pad(block, padding, mode="edge")
    return _mode(block, factors) if method == "mode" else _mean(block, factors)


def _smoothed(block: Array, factors: Sequence[int]) -> Array:
    from scipy.ndimage import gaussian_filter

    sigma = [_sigma(f) if f > 1 else 0.0 for f in factors]
    work = block if block.dtype.kind in "fc" else block.astype(_float_for(block.dtype))
    smooth: Array = gaussian_filter(work, sigma, mode="nearest", truncate=_TRUNCATE)
    return smooth if smooth.dtype == block.dtype else _rounded(smooth, block.dtype)


def _float_for(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype("f4") if dtype.itemsize <= 2 else np.dtype("f8")


def _rounded(values: Array, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "b":
        true: Array = values >= 0.5
        return true
    limits = np.iinfo(dtype)
    rounded: Array = np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
    return rounded


def _mean(block: Array, factors: Sequence[int]) -> Array:
    """Sum strided views one axis at a time, which is several times faster than reshape and mean."""
    dtype, n = block.dtype, math.prod(factors)
    if n == 1:
        return block
    if dtype.kind in "fc":
        mean: Array = (_sums(block, factors, dtype) / dtype.type(n)).astype(dtype, copy=False)
        return mean
    if dtype.kind == "b":
        half: Array = _sums(block.view("u1"), factors, np.dtype("u4")) * 2 >= n
        return half
    if dtype.itemsize == 8:  # a sum could overflow, quotients and remainders cannot
        whole = _sums(block // n, factors, dtype)
        rest = _sums(block % n, factors, dtype)
        whole += (rest + n // 2) // n
        return whole
    total = _sums(block, factors, np.dtype(f"{dtype.kind}{4 if dtype.itemsize <= 2 else 8}"))
    total += n // 2
    if n & (n - 1) == 0:
        total >>= n.bit_length() - 1
    else:
        total //= n
    return total.astype(dtype)


def _sums(block: Array, factors: Sequence[int], dtype: np.dtype[Any]) -> Array:
    total = block
    for axis, factor in enumerate(factors):
        if factor == 1:
            continue
        parts = [total[(slice(None),) * axis + (slice(i, None, factor),)] for i in range(factor)]
        total = np.add(parts[0], parts[1], dtype=dtype)
        for part in parts[2:]:
            total += part
    return total


def _mode(block: Array, factors: Sequence[int]) -> Array:
    """Count for each of the group's voxels how many are equal to it; the first with most wins."""
    starts = itertools.product(*(range(f) for f in factors))
    steps = [
        block[tuple(slice(s, None, f) for s, f in zip(start, factors, strict=True))]
        for start in starts
    ]
    n = len(steps)
    if n == 1:
        return block
    counts = np.zeros((n, *steps[0].shape), np.uint8 if n < 256 else np.uint32)
    for a, b in itertools.combinations(range(n), 2):
        same = steps[a] == steps[b]
        counts[a] += same
        counts[b] += same
    best, most = steps[0].copy(), counts[0]
    for step, count in zip(steps[1:], counts[1:], strict=True):
        more = count > most
        np.copyto(best, step, where=more)
        most = np.maximum(most, count)
    return best
