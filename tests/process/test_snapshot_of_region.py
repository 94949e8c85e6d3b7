from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from skimage import filters

from napari_omezarr_cloud.process import get_operation
from napari_omezarr_cloud.process.snapshot import Task


def noise(*shape: int, dtype: str = "u2") -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def test_a_plane_of_a_series_keeps_the_axes_of_its_series() -> None:
    image = noise(1, 1, 20, 30)
    task = Task(operation=get_operation("gaussian"), values={"sigma": 1.0}, space=(2, 3))

    result = task.run([image])

    expected = filters.gaussian(image[0, 0], 1.0, preserve_range=True)
    np.testing.assert_array_equal(result.pixels, expected[None, None])


def test_the_middle_axis_can_be_a_slider() -> None:
    image = noise(6, 1, 30)
    task = Task(operation=get_operation("sobel"), values={}, space=(0, 2))

    result = task.run([image])

    assert result.pixels.shape == image.shape
    np.testing.assert_array_equal(result.pixels[:, 0], filters.sobel(image[:, 0].astype(float)))


@pytest.mark.parametrize("folded", [0, 1])
def test_a_projection_leaves_one_plane_of_the_folded_axis(folded: int) -> None:
    image = noise(*(1 if axis != folded else 5 for axis in range(2)), 8, 9)
    task = Task(
        operation=get_operation("max_projection"),
        values={"axis": "zt"[folded]},
        space=(2, 3),
        folded=folded,
    )

    result = task.run([image])

    assert result.pixels.shape == (1, 1, 8, 9)
    np.testing.assert_array_equal(result.pixels[0, 0], image.max(axis=(0, 1)))


def test_colours_stay_last() -> None:
    image = noise(1, 12, 14, 3, dtype="u1")
    task = Task(operation=get_operation("median"), values={"radius": 1.0}, space=(1, 2), rgb=True)

    result = task.run([image])

    assert result.pixels.shape == image.shape
    expected = filters.median(
        image[0, :, :, 1], footprint=np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    )
    np.testing.assert_array_equal(result.pixels[0, :, :, 1], expected)


def test_the_threshold_that_was_measured_is_told_and_was_used() -> None:
    image = noise(32, 32)
    task = Task(operation=get_operation("threshold_otsu"), values={}, space=(0, 1))

    result = task.run([image])

    threshold = result.values["threshold"]
    assert threshold == filters.threshold_otsu(image)
    np.testing.assert_array_equal(result.pixels, image > threshold)


def test_lengths_follow_the_size_of_the_voxels() -> None:
    image = noise(20, 30)
    task = Task(
        operation=get_operation("gaussian"),
        values={"sigma": 1.0},
        space=(0, 1),
        spacing=(0.5, 0.25),
    )

    result = task.run([image])

    expected = filters.gaussian(image, (2.0, 4.0), preserve_range=True)
    np.testing.assert_array_equal(result.pixels, expected)
