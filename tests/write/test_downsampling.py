"""Coarser voxels: against the plain definitions, for every dtype."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import block_reduce

from napari_omezarr_cloud.write.downsampling import METHODS, downsample, halo, offset

INTEGERS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]


def blocks(dtype: str, shape: tuple[int, ...] = (6, 8)) -> np.ndarray:
    limits = np.iinfo(dtype)
    return np.random.default_rng(1).integers(limits.min, limits.max, shape, dtype, endpoint=True)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_means_of_integers_are_rounded_and_never_overflow(dtype: str) -> None:
    block = blocks(dtype)

    coarse = downsample(block, (3, 2), "mean")

    exact = [
        [sum(map(int, block[y : y + 3, x : x + 2].ravel())) for x in range(0, 8, 2)] for y in (0, 3)
    ]
    assert coarse.dtype == block.dtype
    assert coarse.tolist() == [[(total + 3) // 6 for total in row] for row in exact]


def test_means_of_floats_and_of_flags() -> None:
    block = np.random.default_rng(2).random((4, 6, 8), "f4")

    assert downsample(block, (2, 3, 2), "mean") == pytest.approx(
        block_reduce(block, (2, 3, 2), np.mean), rel=1e-6
    )
    assert downsample(block > 0.5, (1, 1, 2), "mean").dtype == bool


def test_a_length_that_is_no_multiple_repeats_its_last_voxel() -> None:
    block = np.array([[2, 4, 100]], "u1")

    assert downsample(block, (1, 2), "mean").tolist() == [[3, 100]]
    assert downsample(block, (2, 2), "mode").tolist() == [[2, 100]]


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.integers(1, 7)] * 3), st.tuples(*[st.integers(1, 3)] * 3), st.integers(0, 9))
def test_the_most_frequent_label_wins_and_none_is_invented(
    shape: tuple[int, ...], factors: tuple[int, ...], seed: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, 4, shape, "u4")

    coarse = downsample(labels, factors, "mode")

    assert coarse.shape == tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))
    for index in itertools.product(*map(range, coarse.shape)):
        group = labels[tuple(slice(i * f, i * f + f) for i, f in zip(index, factors, strict=True))]
        if group.size == np.prod(factors):
            values, counts = np.unique(group, return_counts=True)
            assert counts[values.tolist().index(coarse[index])] == counts.max()
        else:
            assert coarse[index] in group


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [2, 3])
def test_a_ramp_lies_where_the_offset_says(method: str, factor: int) -> None:
    """A coarse voxel's value is that of the fine ones at its own centre."""
    ramp = np.arange(60, dtype="f8") if method != "mode" else np.repeat(np.arange(20), 3)
    if method == "mode":
        assert offset(method, factor) == (factor - 1) / 2
        return

    coarse = downsample(ramp, (factor,), method)

    inner = slice(4, -4)  # smoothing sees the border
    centres = np.arange(coarse.size) * factor + offset(method, factor)
    assert coarse[inner] == pytest.approx(centres[inner], abs=1e-6)


def test_smoothing_a_block_with_its_surroundings_is_the_same_as_smoothing_all() -> None:
    image = np.random.default_rng(3).random((64, 64)).astype("f4")
    around = halo("gaussian", 2)

    whole = downsample(image, (2, 2), "gaussian")
    part = downsample(
        image[20 - around : 40 + around, :40],
        (2, 2),
        "gaussian",
        (slice(around, around + 20), slice(0, 40 - around)),
    )

    assert part[:, :16] == pytest.approx(whole[10:20, :16], abs=1e-6)
