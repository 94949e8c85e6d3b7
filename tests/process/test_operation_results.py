"""What each operation gives: scikit-image's own result, in the image's own range."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from skimage import (
    color,
    exposure,
    feature,
    filters,
    measure,
    morphology,
    restoration,
    segmentation,
)

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process import Operation, get_operation, operations, run, statistic
from napari_omezarr_cloud.process.dtypes import unchanged
from napari_omezarr_cloud.process.halo import ellipsoid, pixelwise
from tests.fixtures.operation_inputs import grey, inputs_of

PLANE, VOLUME = (17, 22), (5, 9, 11)
DTYPES = ["bool", "uint8", "int16", "uint16", ">u2", "uint32", "int64", "uint64"]
DTYPES += ["float16", "float32", ">f4", "float64"]
WITHOUT_PROJECTIONS = [n for n, op in operations().items() if op.kind != "projection"]


def apply(name: str, *arrays: np.ndarray, spacing=None, rgb: bool = False, **values) -> np.ndarray:
    return run(get_operation(name), arrays, values, spacing=spacing, rgb=rgb)


def ball(radius: int, ndim: int) -> np.ndarray:
    return morphology.disk(radius) if ndim == 2 else morphology.ball(radius)


def as_float(image: np.ndarray) -> np.ndarray:
    return image if image.dtype.kind == "f" else image.astype(float)


def above(threshold) -> Any:
    return lambda a: a > threshold(a)


def over_ball(function, radius: int) -> Any:
    return lambda a: function(a, ball(radius, a.ndim))


def of_floats(function, *args, **kwargs) -> Any:
    return lambda a: function(as_float(a), *args, **kwargs)


def share(image: np.ndarray) -> np.ndarray:
    low, high = image.min(), image.max()
    return (as_float(image) - low) / (high - low)


def back(share_after: np.ndarray, image: np.ndarray) -> np.ndarray:
    return image.min() + share_after * (float(image.max()) - image.min())


def remove_small(function, largest: int):
    """scikit-image 0.26 takes the largest that goes; before, the smallest that stays."""

    def removed(mask: np.ndarray) -> np.ndarray:
        parameters = inspect.signature(function).parameters
        if "max_size" in parameters:
            return function(mask, max_size=largest)
        old = "min_size" if "min_size" in parameters else "area_threshold"
        return function(mask, **{old: largest + 1})

    return removed


RIDGES = {"sigma_min": 1, "sigma_max": 2, "steps": 2}
# Disk and ball of 3 pixels: 7.07 and 14.1 pixels, so 8 and 15 stay.
LARGEST = {2: 7, 3: 14}
PLAIN = [
    ("gaussian", {"sigma": 1.5}, lambda a: filters.gaussian(a, 1.5, preserve_range=True)),
    ("median", {"radius": 2}, over_ball(filters.median, 2)),
    (
        "percentile",
        {"radius": 2, "percentile": 25},
        lambda a: ndimage.percentile_filter(a, 25, footprint=ball(2, a.ndim), mode="nearest"),
    ),
    ("mean", {"size": 5}, lambda a: ndimage.uniform_filter(as_float(a), 5, mode="mirror")),
    (
        "unsharp_mask",
        {"radius": 1.5, "amount": 0.7},
        lambda a: filters.unsharp_mask(a, 1.5, 0.7, preserve_range=True),
    ),
    (
        "difference_of_gaussians",
        {"low_sigma": 1, "high_sigma": 2},
        of_floats(filters.difference_of_gaussians, 1, 2),
    ),
    (
        "standard_deviation",
        {"size": 3},
        lambda a: ndimage.generic_filter(as_float(a), np.std, 3, mode="mirror"),
    ),
    (
        "butterworth",
        {"cutoff": 10, "keep": "coarse"},
        of_floats(filters.butterworth, 0.1, high_pass=False, npad=10),
    ),
    (
        "nl_means",
        {"patch": 3, "search": 4, "h": 20},
        lambda a: restoration.denoise_nl_means(
            a.astype(float), patch_size=3, patch_distance=4, h=20, preserve_range=True
        ),
    ),
    ("tv_chambolle", {"weight": 9}, of_floats(restoration.denoise_tv_chambolle, 9)),
    (
        "rolling_ball",
        {"radius": 4, "height": 4, "give": "background"},
        of_floats(restoration.rolling_ball, radius=4),
    ),
    ("sobel", {}, of_floats(filters.sobel)),
    ("scharr", {}, of_floats(filters.scharr)),
    ("prewitt", {}, of_floats(filters.prewitt)),
    ("farid", {}, of_floats(filters.farid)),
    ("roberts", {}, of_floats(filters.roberts)),
    ("laplace", {}, of_floats(filters.laplace)),
    (
        "gaussian_gradient",
        {"sigma": 1.5},
        lambda a: ndimage.gaussian_gradient_magnitude(as_float(a), 1.5, mode="nearest"),
    ),
    (
        "canny",
        {"sigma": 1.5, "low": 30, "high": 70},
        of_floats(
            feature.canny,
            1.5,
            low_threshold=0.3,
            high_threshold=0.7,
            use_quantiles=True,
            mode="nearest",
        ),
    ),
    ("sato", RIDGES, of_floats(filters.sato, [1, 2], black_ridges=False)),
    ("meijering", RIDGES, of_floats(filters.meijering, [1, 2], black_ridges=False)),
    ("frangi", RIDGES, of_floats(filters.frangi, [1, 2], black_ridges=False)),
    ("frangi", {**RIDGES, "ridges": "dark"}, of_floats(filters.frangi, [1, 2])),
    ("threshold", {"threshold": 44}, lambda a: a > 44),
    ("threshold_otsu", {}, above(filters.threshold_otsu)),
    ("threshold_li", {}, above(filters.threshold_li)),
    ("threshold_yen", {}, above(filters.threshold_yen)),
    ("threshold_triangle", {}, above(filters.threshold_triangle)),
    ("threshold_isodata", {}, above(filters.threshold_isodata)),
    ("threshold_mean", {}, above(filters.threshold_mean)),
    (
        "threshold_multiotsu",
        {},
        lambda a: np.digitize(a, filters.threshold_multiotsu(a.ravel()), right=True),
    ),
    (
        "threshold_local",
        {"block_size": 5, "offset": 0},
        above(lambda a: filters.threshold_local(a, 5)),
    ),
    (
        "threshold_local",
        {"block_size": 5, "method": "median", "offset": 3},
        above(lambda a: filters.threshold_local(a, 5, method="median", offset=3)),
    ),
    (
        "threshold_niblack",
        {"window_size": 5, "k": 0.3},
        above(lambda a: filters.threshold_niblack(a, 5, k=0.3)),
    ),
    (
        "threshold_sauvola",
        {"window_size": 5, "k": 0.3, "r": 60},
        above(lambda a: filters.threshold_sauvola(a, 5, k=0.3, r=60)),
    ),
    (
        "threshold_hysteresis",
        {"low": 60, "high": 115},
        lambda a: filters.apply_hysteresis_threshold(a, 60, 115),
    ),
    ("erosion", {"radius": 2}, over_ball(morphology.erosion, 2)),
    ("dilation", {"radius": 2}, over_ball(morphology.dilation, 2)),
    ("opening", {"radius": 2}, over_ball(morphology.opening, 2)),
    ("closing", {"radius": 2}, over_ball(morphology.closing, 2)),
    ("white_tophat", {"radius": 2}, over_ball(morphology.white_tophat, 2)),
    ("black_tophat", {"radius": 2}, over_ball(morphology.black_tophat, 2)),
    (
        "morphological_gradient",
        {"radius": 2},
        lambda a: morphology.dilation(a, ball(2, a.ndim)) - morphology.erosion(a, ball(2, a.ndim)),
    ),
    (
        "opening_by_reconstruction",
        {"radius": 1},
        lambda a: morphology.reconstruction(morphology.erosion(a, ball(1, a.ndim)), a),
    ),
    (
        "hdome",
        {"h": 20},
        lambda a: as_float(a) - morphology.reconstruction(as_float(a) - 20, as_float(a)),
    ),
    ("binary_erosion", {"radius": 1}, over_ball(morphology.erosion, 1)),
    ("binary_dilation", {"radius": 1}, over_ball(morphology.dilation, 1)),
    ("binary_opening", {"radius": 1}, over_ball(morphology.opening, 1)),
    ("binary_closing", {"radius": 1}, over_ball(morphology.closing, 1)),
    ("fill_holes", {}, ndimage.binary_fill_holes),
    (
        "remove_small_objects",
        {"diameter": 3},
        lambda a: remove_small(morphology.remove_small_objects, LARGEST[a.ndim])(a),
    ),
    (
        "remove_small_holes",
        {"diameter": 3},
        lambda a: remove_small(morphology.remove_small_holes, LARGEST[a.ndim])(a),
    ),
    ("skeletonize", {}, morphology.skeletonize),
    ("convex_hull", {}, morphology.convex_hull_object),
    ("distance_transform", {}, ndimage.distance_transform_edt),
    ("expand_labels", {"distance": 2}, lambda a: segmentation.expand_labels(a, 2)),
    ("find_boundaries", {}, segmentation.find_boundaries),
    (
        "find_boundaries",
        {"mode": "inner"},
        lambda a: segmentation.find_boundaries(a, mode="inner"),
    ),
    ("relabel", {}, lambda a: segmentation.relabel_sequential(a)[0]),
    (
        "rescale_intensity",
        {"low": 20, "high": 90},
        of_floats(exposure.rescale_intensity, in_range=(20.0, 90.0), out_range=(0.0, 1.0)),
    ),
    ("gamma", {"gamma": 0.7}, lambda a: back(exposure.adjust_gamma(share(a), 0.7), a)),
    ("log", {}, lambda a: back(exposure.adjust_log(share(a)), a)),
    ("sigmoid", {}, lambda a: back(exposure.adjust_sigmoid(share(a)), a)),
    ("invert", {}, lambda a: a.max() - (a - a.min())),
    ("equalize_hist", {}, of_floats(exposure.equalize_hist)),
    (
        "equalize_adapthist",
        {"tile": 4},
        lambda a: exposure.equalize_adapthist(share(a), [4] * a.ndim),
    ),
    ("label", {}, lambda a: measure.label(a > filters.threshold_otsu(a))),
    ("merge", {}, lambda a, b: (as_float(a) + b) / 2),
    ("merge", {"method": "maximum"}, np.maximum),
    ("merge", {"method": "minimum"}, np.minimum),
    ("merge", {"method": "sum"}, lambda a, b: as_float(a) + b),
    (
        "weighted_sum",
        {"weight": 2, "other_weight": -3, "offset": 1},
        lambda a, b: 2 * as_float(a) - 3 * as_float(b) + 1,
    ),
    ("multiply", {}, lambda a, b: as_float(a) * b),
    ("mask_image", {}, lambda a, b: np.where(b, a, 0)),
    ("mask_image", {"keep": "outside"}, lambda a, b: np.where(b, 0, a)),
    ("combine_masks", {}, np.logical_and),
    ("combine_masks", {"method": "either"}, np.logical_or),
    ("combine_masks", {"method": "only one"}, np.logical_xor),
    ("combine_masks", {"method": "not the other"}, lambda a, b: a & ~b),
    (
        "blob_log",
        {"sigma": 1.5},
        lambda a: -(1.5**2) * ndimage.gaussian_laplace(as_float(a), 1.5, mode="nearest"),
    ),
    ("h_maxima", {"h": 30}, lambda a: morphology.h_maxima(a.astype(float), 30) > 0),
    (
        "shape_index",
        {"sigma": 1.5},
        of_floats(feature.shape_index, 1.5, mode="nearest"),
    ),
    (
        "felzenszwalb",
        {"sigma": 1, "diameter": 3, "low": 0, "high": 119},
        lambda a: (
            segmentation.felzenszwalb(
                as_float(a) / 119, scale=100, sigma=1, min_size=7, channel_axis=None
            )
            + 1
        ),
    ),
    ("rgb_to_grey", {}, of_floats(color.rgb2gray)),
    ("colour_component", {"component": "green"}, lambda a: a[..., 1]),
    ("colour_component", {}, lambda a: color.rgb2hsv(of_one(a))[..., 1]),
    ("colour_component", {"component": "lightness"}, lambda a: color.rgb2lab(of_one(a))[..., 0]),
    ("separate_stains", {"number": "second"}, lambda a: color.rgb2hed(of_one(a))[..., 1]),
]


def of_one(image: np.ndarray) -> np.ndarray:
    """As a share of the dtype's range."""
    return image / np.iinfo(image.dtype).max if image.dtype.kind == "u" else np.clip(image, 0, 1)


def by_plane(plain, arrays: list[np.ndarray]) -> np.ndarray:
    return np.stack([plain(*planes) for planes in zip(*arrays, strict=True)])


@pytest.mark.parametrize("shape", [PLANE, VOLUME], ids=["plane", "volume"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(("name", "values", "plain"), PLAIN)
def test_result_equals_the_plain_call(name, values, plain, dtype, shape) -> None:
    op = get_operation(name)
    arrays = inputs_of(op, shape, dtype)

    result = run(op, arrays, values, rgb=op.colours == "together")

    flat = op.dims == "plane" and len(shape) == 3
    expected = by_plane(plain, arrays) if flat else plain(*arrays)
    if result.dtype.kind == "f":
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-4)
    else:
        np.testing.assert_array_equal(result, expected)


def test_nearly_every_operation_is_compared_with_a_plain_call() -> None:
    compared = {name for name, _, _ in PLAIN}
    own_tests = {
        "active_contours", "bilateral", "clear_border", "coherence", "corner_harris",
        "difference", "keep_bright_labels", "local_maxima", "local_normalisation", "object_values",
        "orientation", "ratio", "remove_outliers", "remove_small_labels", "richardson_lucy",
        "shrink_labels", "slic", "threshold_minimum", "voronoi_otsu", "watershed_distance",
        "watershed_markers",
    }  # fmt: skip

    assert set(WITHOUT_PROJECTIONS) - compared - own_tests == set()


@pytest.mark.parametrize("name", operations())
def test_every_operation_takes_every_dtype_and_keeps_its_promise(name) -> None:
    op = get_operation(name)
    for dtype, shape in itertools.product(DTYPES, [PLANE, VOLUME, (1, 1), (1, 4, 1), (7, 1)]):
        arrays = inputs_of(op, shape, dtype)
        before = [array.copy() for array in arrays]
        for array in arrays:  # as chunks from the cache are
            array.flags.writeable = False

        result = result_or_refusal(op, arrays, len(shape))

        if result is None:
            assert 1 in shape  # nothing that can be seen is refused
            continue
        assert result.shape == shape
        assert result.dtype == op.output_dtype([array.dtype for array in arrays])
        assert result.dtype.isnative and result.dtype != np.float16
        assert not any(np.may_share_memory(result, array) for array in arrays)
        for array, copy in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(array, copy)


def result_or_refusal(op: Operation, arrays: list[np.ndarray], ndim: int) -> np.ndarray | None:
    """Run with defaults on flat voxels; ``None`` where our own error says what is missing."""
    spacing = (1.5, 0.5, 0.5)[-ndim:]
    try:
        return run(op, arrays, {}, spacing=spacing, rgb=op.colours == "together")
    except OperationError as refusal:
        # One that we worded, not one that scikit-image stumbled into.
        assert "failed on" not in str(refusal), refusal
        return None


@pytest.mark.parametrize("name", WITHOUT_PROJECTIONS)
@pytest.mark.parametrize("value", [0, 7], ids=["all dark", "all alike"])
def test_an_even_image_gives_a_result_without_anything_in_it(name, value) -> None:
    op = get_operation(name)
    for dtype, shape in itertools.product(["uint8", "uint16", "float32"], [PLANE, VOLUME]):
        arrays = [np.full_like(a, value) for a in inputs_of(op, shape, dtype)]

        result = result_or_refusal(op, arrays, len(shape))

        if result is not None and name not in ("slic", "butterworth", "skeletonize"):
            inside = result[tuple(slice(n // 2, n // 2 + 1) for n in shape)]
            np.testing.assert_allclose(result, np.broadcast_to(inside, shape), atol=1e-3)


@pytest.mark.parametrize("name", WITHOUT_PROJECTIONS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_gives_a_result_or_our_error(name, bad) -> None:
    op = get_operation(name)
    for shape, everywhere in itertools.product([PLANE, VOLUME], [False, True]):
        arrays = inputs_of(op, shape, "float32")
        for array in arrays:
            if array.dtype.kind == "f":
                array[... if everywhere else 2] = bad

        with np.errstate(all="ignore"):
            result_or_refusal(op, arrays, len(shape))


@pytest.mark.parametrize("name", ["gaussian", "median", "mean_projection"])
def test_integers_keep_their_range(name: str) -> None:
    image = np.full((4, 9, 9), 30_000, np.uint16)

    np.testing.assert_allclose(apply(name, image), 30_000)


def test_float32_stays_float32() -> None:
    kept = {n: op.output_dtype([np.dtype("f4")] * len(op.inputs)) for n, op in operations().items()}

    assert {n for n, dtype in kept.items() if dtype.kind == "f" and dtype != np.float32} == set()


def test_a_length_means_the_same_on_flat_voxels() -> None:
    volume = grey((9, 21, 21), "float32")

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
        apply("median", grey(PLANE), radius=100, spacing=(0.1, 0.1))


# Thresholds and labels


def test_the_threshold_is_measured_once_and_then_fixed() -> None:
    op = get_operation("threshold_otsu")
    whole, block = grey((40, 40)), (slice(0, 9), slice(0, 9))

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
        pytest.param(grey((4, 5, 3)), id="a volume three pixels wide"),
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
    stack = grey((6, 4, 5), "uint16")

    np.testing.assert_array_equal(apply("max_projection", stack, axis="t"), stack.max(axis=0))
    np.testing.assert_allclose(apply("mean_projection", stack), stack.mean(axis=0))


def test_the_mean_of_many_float32_planes_keeps_its_digits() -> None:
    stack = np.full((3000, 1, 2), 0.1, np.float32)

    assert (apply("mean_projection", stack) == np.float32(0.1)).all()


# Colour


def test_a_colour_picture_stays_one() -> None:
    colour = grey((12, 14, 3))

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
    result = apply("median", grey((8, 8, 4), "float32"), rgb=True)

    assert result.shape == (8, 8, 4) and result.dtype == np.float32


def test_a_threshold_of_colours_is_refused() -> None:
    with pytest.raises(OperationError, match=r"cannot run on a colour.*one channel"):
        apply("threshold_otsu", grey((8, 8, 3)), rgb=True)


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
        apply("gaussian", grey(PLANE), spacing=spacing)


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
        run(refusing, [grey(PLANE)], {})

    assert str(info.value.__cause__).rstrip(".") in str(info.value)


@pytest.mark.parametrize("function", ["skimage.filters:no_such", "no_such_module:f"])
def test_a_function_that_is_not_there_is_an_operation_error(function: str) -> None:
    with pytest.raises(OperationError, match="no_such"):
        run(make_operation(function), [grey(PLANE)], {})


def test_a_function_that_returns_its_input_gives_a_copy() -> None:
    image = grey(PLANE)

    run(make_operation("numpy:asarray"), [image], {})[:] = 7

    np.testing.assert_array_equal(image, grey(PLANE))


# What scikit-image has otherwise, or not at all


def test_bilateral_is_the_mean_weighed_by_distance_and_brightness() -> None:
    image = grey((17, 17), "float32").astype(float)
    offsets = np.arange(-5, 6)
    near = np.exp(-0.5 * (offsets[:, None] ** 2 + offsets**2) / 1.5**2)

    blurred = apply("bilateral", image, sigma_spatial=1.5, sigma_color=30)

    around = image[3:14, 3:14]
    weights = near * np.exp(-0.5 * (around - image[8, 8]) ** 2 / 30**2)
    assert blurred[8, 8] == pytest.approx(np.average(around, weights=weights))


def test_bilateral_keeps_an_edge_that_a_blur_would_not() -> None:
    image = np.where(np.arange(30) < 15, 10, 200) * np.ones((30, 1), np.uint8)

    assert apply("bilateral", image, sigma_color=20)[15, 14] == pytest.approx(10, abs=0.1)


def test_deconvolution_is_that_of_scikit_image_away_from_the_border() -> None:
    image = filters.gaussian(grey((60, 60), "float64"), 1)
    offsets = np.arange(-4, 5)
    line = np.exp(-0.5 * offsets**2)
    psf = np.outer(line, line) / line.sum() ** 2

    ours = apply("richardson_lucy", image, sigma=1, num_iter=3)

    plain = restoration.richardson_lucy(image, psf, num_iter=3, clip=False)
    np.testing.assert_allclose(ours[25:-25, 25:-25], plain[25:-25, 25:-25], rtol=1e-6)


def test_deconvolution_keeps_the_border_bright() -> None:
    np.testing.assert_allclose(apply("richardson_lucy", np.full((30, 30), 200, np.uint8)), 200)


def test_harris_is_that_of_scikit_image_away_from_the_border() -> None:
    image = grey((40, 40), "float32")

    ours = apply("corner_harris", image, sigma=1.5)

    plain = feature.corner_harris(image, sigma=1.5)
    np.testing.assert_allclose(ours[10:-10, 10:-10], plain[10:-10, 10:-10], rtol=1e-4)


@pytest.mark.parametrize("angle", [-60, 0, 30, 90])
def test_stripes_have_their_direction_and_high_coherence(angle: int) -> None:
    y, x = -np.mgrid[:64, :64][0], np.mgrid[:64, :64][1]  # y upwards, as angles are read
    across = y * np.cos(np.deg2rad(angle)) - x * np.sin(np.deg2rad(angle))
    stripes = np.sin(across / 2).astype(np.float32)

    found = apply("orientation", stripes)[20:-20, 20:-20]

    difference = (found - angle + 90) % 180 - 90
    assert np.abs(difference).max() < 3
    assert apply("coherence", stripes)[20:-20, 20:-20].min() > 0.9


def test_noise_has_low_coherence() -> None:
    assert np.median(apply("coherence", grey((64, 64)), sigma=6)) < 0.3


def test_the_minimum_threshold_lies_between_two_peaks() -> None:
    values = np.random.default_rng(0).normal(np.repeat([50, 150], 2000), 10)
    image = np.rint(values).astype(np.uint8).reshape(40, 100)

    mask = apply("threshold_minimum", image)

    np.testing.assert_array_equal(mask, image > filters.threshold_minimum(image))
    assert 0.49 < mask.mean() < 0.51


def test_an_image_of_one_peak_says_that_the_minimum_threshold_needs_two() -> None:
    with pytest.raises(OperationError, match=r"does not have two peaks.*Otsu"):
        apply("threshold_minimum", np.full((9, 9), 4, np.uint8) + np.eye(9, dtype=np.uint8))


def test_local_normalisation_does_not_depend_on_light() -> None:
    image = grey((50, 50), "float32")

    brighter = apply("local_normalisation", 3 * image + 50, sigma=5)

    np.testing.assert_allclose(brighter, apply("local_normalisation", image, sigma=5), atol=1e-4)


@pytest.mark.parametrize(
    ("which", "replaced"), [("bright and dark", 2), ("bright", 1), ("dark", 1)]
)
def test_hot_and_dead_pixels_are_replaced_and_others_kept(which: str, replaced: int) -> None:
    image = filters.gaussian(grey((40, 40)), 3, preserve_range=True).astype(np.uint16) + 500
    broken = image.copy()
    broken[10, 10], broken[20, 20] = 4000, 0

    mended = apply("remove_outliers", broken, which=which, threshold=100)

    assert np.count_nonzero(mended != broken) == replaced
    assert np.abs(mended.astype(int) - image).max() < 50 or which != "bright and dark"


def test_noise_is_estimated_from_the_image() -> None:
    noisy = np.random.default_rng(0).normal(1000, 25, (200, 200))
    noisy[:, 100:] += 500  # an edge is no noise

    assert statistic(get_operation("nl_means"), [noisy], {})["h"] == pytest.approx(25, rel=0.1)


def test_noise_of_a_colour_picture_is_that_of_each_colour() -> None:
    levels = np.array([0, 4000, 9000])  # colours differ, and that is no noise
    noisy = np.random.default_rng(0).normal(1000, 25, (100, 100, 3)) + levels

    measured = statistic(get_operation("nl_means"), [noisy], {}, rgb=True)

    assert measured["h"] == pytest.approx(25, rel=0.1)


def test_a_top_hat_of_the_whole_signed_range_does_not_wrap() -> None:
    image = np.full((15, 15), -32768, np.int16)
    image[7, 7] = 32767

    tophat = apply("white_tophat", image, radius=2)

    assert tophat[7, 7] == 32767 and tophat.min() == 0


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint64", "int64"])
def test_inverted_extremes_do_not_wrap(dtype: str) -> None:
    limits = np.iinfo(dtype)
    image = np.array([[limits.min, limits.max]], dtype)

    np.testing.assert_array_equal(apply("invert", image), image[:, ::-1])


def test_a_stain_of_white_is_nothing_and_of_its_own_colour_most() -> None:
    purple = np.array([[[255, 255, 255], [90, 60, 160]]], np.uint8)

    haematoxylin = apply("separate_stains", purple, rgb=True)

    assert haematoxylin.shape == (1, 2)
    assert haematoxylin[0, 0] == pytest.approx(0, abs=1e-6) and haematoxylin[0, 1] > 0.1


def test_alpha_is_not_taken_for_a_colour() -> None:
    rgba = grey((8, 9, 4))

    result = apply("rgb_to_grey", rgba, rgb=True)

    np.testing.assert_allclose(result, color.rgb2gray(rgba[..., :3].astype(float)))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("erosion", {"radius": 500}),
        ("mean", {"size": 5000}),
        ("threshold_local", {"block_size": 5000}),
        ("bilateral", {"sigma_spatial": 40}),
        ("nl_means", {"search": 100}),
        ("rolling_ball", {"radius": 400}),
    ],
)
def test_what_would_take_minutes_is_refused(name, values) -> None:
    with pytest.raises(OperationError, match=r"too large.*coarser level"):
        apply(name, grey(PLANE), **values)
