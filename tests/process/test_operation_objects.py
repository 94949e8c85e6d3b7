"""What the operations for objects find, in pictures where one can count them."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import segmentation

from napari_omezarr_cloud.process import get_operation, run
from tests.fixtures.operation_inputs import grey, labels


def apply(name: str, *arrays: np.ndarray, spacing=None, **values) -> np.ndarray:
    return run(get_operation(name), arrays, values, spacing=spacing)


def discs(shape: tuple[int, int], *centres: tuple[int, int], radius: float) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    inside = [(rows - y) ** 2 + (columns - x) ** 2 <= radius**2 for y, x in centres]
    return np.any(inside, axis=0)


def numbers(found: np.ndarray) -> list[int]:
    return [int(n) for n in np.unique(found) if n]


TWO_DISCS = discs((40, 60), (20, 20), (20, 36), radius=10)


def test_touching_discs_are_split_at_their_waist() -> None:
    split = apply("watershed_distance", TWO_DISCS, distance=5)

    np.testing.assert_array_equal(split > 0, TWO_DISCS)
    assert numbers(split) == [1, 2]
    assert split[20, 12] != split[20, 44]
    assert (split[20, :28] != split[20, 44]).all()


def test_flat_voxels_are_split_as_round_ones() -> None:
    tall = np.repeat(np.repeat(TWO_DISCS, 2, axis=0), 2, axis=1)
    volume = np.stack([np.zeros_like(tall), *([tall] * 12), np.zeros_like(tall)])

    split = apply("watershed_distance", volume, distance=10, spacing=(2.0, 0.5, 0.5))

    assert numbers(split) == [1, 2]


def test_a_mask_without_an_outline_is_one_object() -> None:
    assert (apply("watershed_distance", np.ones((6, 7), bool)) == 1).all()
    assert (apply("watershed_distance", np.zeros((6, 7), bool)) == 0).all()


def test_each_bright_spot_becomes_one_object_also_where_two_touch() -> None:
    rows, columns = np.ogrid[:60, :60]
    centres = [(15, 15), (15, 30), (42, 40)]
    image = sum(np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 50.0) for y, x in centres)
    image = (1000 * image + 100).astype(np.uint16)

    found = apply("voronoi_otsu", image)

    assert numbers(found) == [1, 2, 3]
    assert {int(found[centre]) for centre in centres} == {1, 2, 3}
    assert found[0, 59] == 0


def test_local_maxima_are_one_point_for_each_spot() -> None:
    image = np.zeros((40, 40), np.float32)
    image[10, 10] = image[10, 30] = image[30, 20] = 100

    found = apply("local_maxima", image, sigma=1, threshold=5)

    assert [int(n) for n in found[[10, 10, 30], [10, 30, 20]]] == numbers(found) == [1, 2, 3]
    assert np.count_nonzero(found) == 3


def test_markers_keep_their_numbers_however_large() -> None:
    markers = np.zeros(TWO_DISCS.shape, np.int64)
    markers[20, 14], markers[20, 42] = 2**40, 7

    grown = apply("watershed_markers", TWO_DISCS.astype(np.uint8) * 200, markers)

    assert numbers(grown) == [7, 2**40] and grown.dtype == np.int64
    np.testing.assert_array_equal(grown > 0, TWO_DISCS)


def test_markers_grow_up_to_bright_outlines() -> None:
    image = np.zeros((20, 21), np.uint8)
    image[:, 10] = 255
    markers = np.zeros(image.shape, np.uint8)
    markers[3, 3], markers[9, 17] = 1, 2

    grown = apply("watershed_markers", image, markers, objects="outlined")

    assert (grown[:, :10] == 1).all() and (grown[:, 11:] == 2).all()


@pytest.mark.parametrize("shape", [(17, 22), (5, 9, 11)], ids=["plane", "volume"])
def test_superpixels_are_those_of_scikit_image(shape) -> None:
    image = grey(shape)
    regions = round(np.prod(shape) / 4 ** len(shape))

    found = apply("slic", image, size=4, low=0, high=119)

    plain = segmentation.slic(image / 119, regions, compactness=0.1, channel_axis=None)
    np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize("bright", [True, False])
def test_active_contours_find_what_is_bright(bright: bool) -> None:
    disc = discs((60, 60), (30, 25), radius=12) == bright

    found = apply("active_contours", (disc * 200).astype(np.uint8), rounds=80)

    assert (found == disc).mean() > 0.98


# Labels


@pytest.mark.parametrize("shape", [(17, 22), (9, 14, 15)], ids=["plane", "volume"])
def test_objects_at_the_border_are_those_of_scikit_image(shape) -> None:
    apart = np.zeros(shape, np.int32)
    apart[..., 1, 1], apart[..., 0, 5], apart[..., 8, 8] = 3, 4, 5
    apart[0], apart[-1] = 0, 0

    cleared = apply("clear_border", apart, first_and_last=True)

    np.testing.assert_array_equal(cleared, segmentation.clear_border(apart))


def test_an_object_that_only_ends_with_the_stack_stays_unless_asked() -> None:
    stack = np.zeros((4, 9, 9), np.uint8)
    stack[:2, 4, 4] = 6

    assert apply("clear_border", stack).any()
    assert not apply("clear_border", stack, first_and_last=True).any()


def test_near_the_border_is_a_distance() -> None:
    plane = np.zeros((20, 20), np.uint8)
    plane[2, 10], plane[5, 10] = 1, 2

    assert numbers(apply("clear_border", plane, distance=1.0, spacing=(0.5, 0.5))) == [2]


def test_small_objects_go_and_others_keep_their_numbers() -> None:
    plane = np.zeros((30, 30), np.int64)
    plane[2:4, 2:4], plane[10:25, 10:25] = 3, 2**40

    assert numbers(apply("remove_small_labels", plane, diameter=5)) == [2**40]


def test_a_rim_goes_off_each_object_where_two_touch_too() -> None:
    plane = np.ones((12, 12), np.uint8)
    plane[:, 6:] = 2

    shrunk = apply("shrink_labels", plane, radius=1)

    assert (shrunk[:, :5] == 1).all() and (shrunk[:, 7:] == 2).all()
    assert not shrunk[:, 5:7].any()


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("mean", np.mean),
        ("median", np.median),
        ("maximum", np.max),
        ("minimum", np.min),
        ("sum", np.sum),
        ("standard deviation", np.std),
    ],
)
def test_objects_are_painted_by_what_is_measured_in_them(name, plain) -> None:
    objects, image = labels((17, 22)), grey((17, 22), "uint16", 5)

    painted = apply("object_values", objects, image, measure=name)

    assert painted[objects == 0].max() == 0
    for number in numbers(objects):
        inside = objects == number
        np.testing.assert_allclose(painted[inside], plain(image[inside].astype(float)), rtol=1e-5)


def test_dark_objects_go() -> None:
    objects = np.zeros((6, 10), np.uint8)
    objects[1:3, 1:3], objects[3:5, 6:9] = 1, 2
    image = np.where(objects == 2, 90, 20)

    assert numbers(apply("keep_bright_labels", objects, image)) == [2]
    assert numbers(apply("keep_bright_labels", objects, image, threshold=10)) == [1, 2]


def test_grown_labels_follow_flat_voxels() -> None:
    volume = np.zeros((9, 9, 9), np.uint8)
    volume[4, 4, 4] = 5

    grown = apply("expand_labels", volume, distance=2.0, spacing=(2.0, 1.0, 1.0))

    assert [int(np.count_nonzero(grown.any(axis=axes))) for axes in ((1, 2), (0, 2))] == [3, 5]
