"""What each operation gives: scikit-image's own result, in the image's own range."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import filters, measure, morphology

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process import Operation, get_operation, operations, run, statistic
from napari_omezarr_cloud.process.dtypes import unchanged
from napari_omezarr_cloud.process.halo import ellipsoid, pixelwise

PLANE, VOLUME = (17, 22), (5, 9, 11)
DTYPES = ["bool", "uint8", "int16", "uint16", ">u2", "uint32", "int64", "uint64"]
DTYPES += ["float16", "float32", ">f4", "float64"]


def picture(shape: tuple[int, ...], dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).random(shape)
    return (values > 0.6).astype(dtype) if dtype == "bool" else (values * 120).astype(dtype)


def apply(name: str, *arrays: np.ndarray, spacing=None, rgb: bool = False, **values) -> np.ndarray:
    return run(get_operation(name), arrays, values, spacing=spacing, rgb=rgb)


@pytest.mark.parametrize("shape", [PLANE, VOLUME], ids=["plane", "volume"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(
    ("name", "values", "plain"),
    [
        ("gaussian", {"sigma": 1.5}, lambda a: filters.gaussian(a, 1.5, preserve_range=True)),
        ("median", {"radius": 2}, lambda a: filters.median(a, ball(2, a.ndim))),
        ("white_tophat", {"radius": 2}, lambda a: morphology.white_tophat(a, ball(2, a.ndim))),
        (
            "unsharp_mask",
            {"radius": 1.5, "amount": 0.7},
            lambda a: filters.unsharp_mask(a, 1.5, 0.7, preserve_range=True),
        ),
        ("sobel", {}, lambda a: filters.sobel(a if a.dtype.kind == "f" else a.astype(float))),
        ("threshold_otsu", {}, lambda a: a > filters.threshold_otsu(a)),
        ("label", {}, lambda a: measure.label(a > filters.threshold_otsu(a))),
    ],
)
def test_result_equals_the_plain_call(name, values, plain, dtype, shape) -> None:
    image = picture(shape, dtype)

    np.testing.assert_array_equal(apply(name, image, **values), plain(image))


def ball(radius: int, ndim: int) -> np.ndarray:
    return morphology.disk(radius) if ndim == 2 else morphology.ball(radius)


@pytest.mark.parametrize("shape", [PLANE, VOLUME, (1, 1), (1, 4, 1)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", operations())
def test_every_operation_takes_every_dtype_and_keeps_its_promise(name, dtype, shape) -> None:
    op = get_operation(name)
    stacked = (4, *shape) if op.kind == "projection" else shape
    arrays = [picture(stacked, dtype, seed) for seed, _ in enumerate(op.inputs)]
    before = [array.copy() for array in arrays]
    for array in arrays:  # as chunks from the cache are
        array.flags.writeable = False

    result = run(op, arrays, {}, spacing=(1.5, 0.5, 0.5)[-len(shape) :])

    assert result.shape == shape
    assert result.dtype == op.output_dtype([array.dtype for array in arrays])
    assert result.dtype.isnative and result.dtype != np.float16
    assert not any(np.may_share_memory(result, array) for array in arrays)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("name", ["gaussian", "median", "mean_projection"])
def test_integers_keep_their_range(name: str) -> None:
    image = np.full((4, 9, 9), 30_000, np.uint16)

    np.testing.assert_allclose(apply(name, image), 30_000)


def test_float32_stays_float32() -> None:
    kept = {n: op.output_dtype([np.dtype("f4")] * len(op.inputs)) for n, op in operations().items()}

    assert {n for n, dtype in kept.items() if dtype.kind == "f" and dtype != np.float32} == set()


def test_a_length_means_the_same_on_flat_voxels() -> None:
    volume = picture((9, 21, 21), "float32")

    blurred = apply("gaussian", volume, sigma=2.0, spacing=(2.0, 0.5, 0.5))

    np.testing.assert_array_equal(blurred, filters.gaussian(volume, (1, 4, 4)))


def test_a_footprint_follows_the_voxels() -> None:
    footprint = ellipsoid((1.5, 6.0, 6.0))

    assert footprint.shape == (3, 13, 13)
    np.testing.assert_array_equal(footprint[1], morphology.disk(6))
    assert footprint[0].sum() < footprint[1].sum()


@pytest.mark.parametrize("radius", range(7))
def test_round_footprints_are_disk_and_ball(radius: int) -> None:
    np.testing.assert_array_equal(ellipsoid((radius,) * 2), morphology.disk(radius))
    np.testing.assert_array_equal(ellipsoid((radius,) * 3), morphology.ball(radius))


def test_an_endless_footprint_is_refused_with_its_size_in_pixels() -> None:
    with pytest.raises(OperationError, match=r"1000 x 1000 pixels.*coarser level"):
        apply("median", picture(PLANE), radius=100, spacing=(0.1, 0.1))


# Thresholds and labels


def test_the_threshold_is_measured_once_and_then_fixed() -> None:
    op = get_operation("threshold_otsu")
    whole, block = picture((40, 40)), (slice(0, 9), slice(0, 9))

    measured = statistic(op, [whole], {})

    assert measured == {"threshold": float(filters.threshold_otsu(whole))}
    np.testing.assert_array_equal(
        run(op, [whole[block]], measured), (whole > measured["threshold"])[block]
    )
    assert statistic(op, [whole], measured) == {}


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.array([[0, 2**31, 2**32 - 1]], np.uint32), id="huge integer range"),
        pytest.param(np.array([[np.nan, 1, 1, 9, np.inf]], np.float32), id="not finite values"),
        pytest.param(picture((4, 5, 3)), id="a volume three pixels wide"),
    ],
)
def test_otsu_parts_dark_from_bright(image: np.ndarray) -> None:
    mask = apply("threshold_otsu", image)

    assert mask.any() and not mask.all()


def test_otsu_of_nothing_says_so() -> None:
    with pytest.raises(OperationError, match=r"no finite value.*type a threshold"):
        apply("threshold_otsu", np.full((3, 3), np.nan, np.float32))


def test_a_mask_is_labelled_as_it_is_and_an_image_above_its_threshold() -> None:
    image = np.array([[5, 0, 9], [5, 0, 0], [0, 0, 1]], np.uint8)

    assert apply("label", image > 0).max() == 3
    assert apply("label", image, threshold=0).max() == 3
    assert apply("label", image, threshold=4).max() == 2


@pytest.mark.parametrize(
    ("connectivity", "plane", "volume"), [("faces", 2, 3), ("edges", 1, 2), ("corners", 1, 1)]
)
def test_connectivity_says_what_neighbours_share(connectivity, plane, volume) -> None:
    cube = np.zeros((3, 3, 3), bool)
    cube[0, 0, 0] = cube[1, 1, 1] = cube[2, 2, 1] = True

    assert apply("label", np.eye(2, dtype=bool), connectivity=connectivity).max() == plane
    assert apply("label", cube, connectivity=connectivity).max() == volume


# Two inputs, and projections


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (("uint8", "uint8"), "int16"),
        (("uint16", "uint16"), "int32"),
        (("uint8", "int16"), "int32"),
        (("bool", "bool"), "int8"),
        (("uint32", "uint32"), "int64"),
        (("int64", "int64"), "float64"),
        (("uint16", "float32"), "float32"),
    ],
)
def test_a_difference_never_wraps(dtypes, expected) -> None:
    small, large = np.zeros((2, 2), dtypes[0]), np.ones((2, 2), dtypes[1])

    result = apply("difference", small, large)

    assert result.dtype == expected and (result == -1).all()


def test_extreme_differences_fit() -> None:
    for dtype in (np.uint8, np.int8, np.uint16, np.int32):
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max

        result = apply("difference", np.full((2, 2), low, dtype), np.full((2, 2), high, dtype))

        assert (result == int(low) - int(high)).all()


def test_ratio_of_nothing_and_nothing_is_zero() -> None:
    image, other = np.array([[0, 6, 6]], np.uint8), np.array([[0, 0, 4]], np.uint8)

    result = apply("ratio", image, other)

    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [[0, np.inf, 1.5]])


def test_a_projection_folds_the_first_axis() -> None:
    stack = picture((6, 4, 5), "uint16")

    np.testing.assert_array_equal(apply("max_projection", stack, axis="t"), stack.max(axis=0))
    np.testing.assert_allclose(apply("mean_projection", stack), stack.mean(axis=0))


def test_the_mean_of_many_float32_planes_keeps_its_digits() -> None:
    stack = np.full((3000, 1, 2), 0.1, np.float32)

    assert (apply("mean_projection", stack) == np.float32(0.1)).all()


# Colour


def test_a_colour_picture_stays_one() -> None:
    colour = picture((12, 14, 3))

    result = apply("gaussian", colour, sigma=1, rgb=True)

    plain = filters.gaussian(colour, 1, preserve_range=True, channel_axis=-1)
    np.testing.assert_array_equal(result, np.rint(plain).astype(np.uint8))
    assert result.dtype == get_operation("gaussian").output_dtype([colour.dtype], rgb=True)


def test_sharpened_colours_do_not_wrap() -> None:
    colour = np.zeros((9, 9, 3), np.uint8)
    colour[4, 4] = 255

    sharp = apply("unsharp_mask", colour, radius=1, amount=5, rgb=True)

    assert sharp[4, 4].tolist() == [255] * 3 and sharp[4, 5].tolist() == [0] * 3


def test_float_colours_stay_float() -> None:
    result = apply("median", picture((8, 8, 4), "float32"), rgb=True)

    assert result.shape == (8, 8, 4) and result.dtype == np.float32


def test_a_threshold_of_colours_is_refused() -> None:
    with pytest.raises(OperationError, match=r"cannot run on a colour.*one channel"):
        apply("threshold_otsu", picture((8, 8, 3)), rgb=True)


# What cannot run


@pytest.mark.parametrize(
    ("name", "arrays", "message"),
    [
        pytest.param("sobel", [np.ones(5)], r"shape \(5,\).*planes and volumes", id="a line"),
        pytest.param("sobel", [np.ones((2,) * 4)], "planes and volumes", id="four axes"),
        pytest.param("sobel", [np.ones((0, 4))], "region is empty", id="empty"),
        pytest.param("sobel", [np.ones((3, 3), complex)], "complex.*magnitude", id="complex"),
        pytest.param("sobel", [np.array([["a", "b"]])], "holds no numbers", id="text"),
        pytest.param("ratio", [np.ones((3, 3))], "image and other, and was given 1", id="one of 2"),
        pytest.param(
            "ratio", [np.ones((3, 3)), np.ones((3, 4))], r"\(3, 3\), other has \(3, 4\)", id="sizes"
        ),
        pytest.param("max_projection", [np.ones((3, 3))], "axes axis, y, x", id="no axis to fold"),
    ],
)
def test_what_cannot_run_says_what_it_needs(name, arrays, message) -> None:
    with pytest.raises(OperationError, match=message):
        apply(name, *arrays)


@pytest.mark.parametrize("spacing", [(1.0,), (0.0, 1.0), (np.nan, 1.0)], ids=str)
def test_an_impossible_pixel_size_is_named(spacing) -> None:
    with pytest.raises(OperationError, match="2 numbers above 0"):
        apply("gaussian", picture(PLANE), spacing=spacing)


def make_operation(function: str) -> Operation:
    return Operation(
        name="mine",
        title="Mine",
        group="Filters",
        function=function,
        kind="local",
        output="image",
        halo_rule=pixelwise,
        dtype_rule=unchanged,
        help="For this test.",
    )


def test_a_function_that_raises_shows_its_own_message_and_what_it_was_given() -> None:
    refusing = make_operation("skimage.color:rgb2hed")

    with pytest.raises(OperationError, match=r"Mine failed on uint8 of shape \(17, 22\)") as info:
        run(refusing, [picture(PLANE)], {})

    assert str(info.value.__cause__).rstrip(".") in str(info.value)


@pytest.mark.parametrize("function", ["skimage.filters:no_such", "no_such_module:f"])
def test_a_function_that_is_not_there_is_an_operation_error(function: str) -> None:
    with pytest.raises(OperationError, match="no_such"):
        run(make_operation(function), [picture(PLANE)], {})


def test_a_function_that_returns_its_input_gives_a_copy() -> None:
    image = picture(PLANE)

    run(make_operation("numpy:asarray"), [image], {})[:] = 7

    np.testing.assert_array_equal(image, picture(PLANE))
