"""Any function of scikit-image that takes an image: found by name, run, judged by its result."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from skimage import color, feature, filters, measure, morphology, segmentation

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process import Operation, Recipe, Step, get_operation, run, validate
from napari_omezarr_cloud.process.anything import any_functions
from napari_omezarr_cloud.process.halo import ellipsoid
from napari_omezarr_cloud.process.snapshot import Task

RNG = np.random.default_rng(0)
IMAGE = (filters.gaussian(RNG.random((32, 40)), 2) * 5000).astype(np.uint16)
OBJECTS = np.asarray(measure.label(IMAGE > np.median(IMAGE)), dtype=np.int32)
COLOURS = (RNG.random((32, 40, 3)) * 255).astype(np.uint8)

NEEDED = {
    "P": 8,
    "R": 1,
    "angle": 30,
    "angles": (0,),
    "balance": 0.1,
    "block_shape": (2, 2),
    "crop_width": 2,
    "distances": (1,),
    "dst": (5, 5),
    "factors": 2,
    "footprint": 2,
    "frequency": 0.2,
    "h": 10,
    "high": 3000,
    "inverse_map": ((1, 0, 2), (0, 1, 0), (0, 0, 1)),
    "kernel": ((0, 1, 0), (1, 1, 1), (0, 1, 0)),
    "low": 2000,
    "low_sigma": 1,
    "min_distance": 3,
    "new_value": 3,
    "num_iter": 3,
    "output_shape": (10, 10),
    "psf": ((1, 1), (1, 1)),
    "radius": 3,
    "scale": 0.5,
    "seed_point": (10, 10),
    "src": (0, 0),
}
"""Values for what has no default."""


def values_for(op: Operation) -> dict[str, object]:
    return {p.name: NEEDED[p.name] for p in op.parameters if p.is_required}


def arrays_for(op: Operation) -> list[np.ndarray]:
    if op.colours == "together":
        return [COLOURS]
    first = {"labels": OBJECTS, "mask": OBJECTS > 0}
    pairs = [first.get(each.kind, IMAGE) for each in op.inputs]
    return [array if n == 0 else array[::-1] for n, array in enumerate(pairs)]


@pytest.mark.filterwarnings("ignore")  # scikit-image's own, about this very picture
@pytest.mark.parametrize("name", [each.name for each in any_functions()])
def test_every_function_gives_a_layer_or_is_told_what_it_gave(name: str) -> None:
    op = get_operation(name)
    arrays = [array.copy() for array in arrays_for(op)]
    before = [array.copy() for array in arrays]
    for array in arrays:  # as chunks from the cache are
        array.flags.writeable = False

    try:
        result = run(op, arrays, values_for(op), rgb=op.colours == "together")
    except OperationError as error:
        assert op.title in str(error)
        assert error.why
    else:
        assert result.shape == IMAGE.shape
        kinds = {"b": "mask"} if op.output == "any" else {"i": "labels"}
        assert op.output_of(result.dtype) == kinds.get(result.dtype.kind, "image")
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.filterwarnings("ignore")
def test_most_functions_give_a_layer() -> None:
    """The test above would also pass if everything failed."""
    quick = [each.name for each in any_functions() if each.title.startswith(("filters.", "expo"))]
    worked = 0
    for name in quick:
        op = get_operation(name)
        try:
            run(op, arrays_for(op), values_for(op))
        except OperationError:
            continue
        worked += 1

    assert len(any_functions()) > 200
    assert worked > 60 and len(quick) < 85


@pytest.mark.filterwarnings("ignore:Bad rank filter performance")
@pytest.mark.parametrize(
    ("name", "values", "plain"),
    [
        ("filters.frangi", {"sigmas": (1, 2), "beta": 0.7},
         lambda: filters.frangi(IMAGE, sigmas=(1, 2), beta=0.7)),
        ("filters.sato", {"black_ridges": False}, lambda: filters.sato(IMAGE, black_ridges=False)),
        ("feature.canny", {"sigma": 2, "low_threshold": 0.05},
         lambda: feature.canny(IMAGE, 2, 0.05)),
        ("feature.shape_index", {"mode": "reflect"},
         lambda: feature.shape_index(IMAGE, mode="reflect")),
        ("filters.rank.mean", {"footprint": 3},
         lambda: filters.rank.mean(IMAGE, morphology.disk(3))),
        ("morphology.dilation", {"footprint": [[0, 1, 0], [1, 1, 1], [0, 1, 0]]},
         lambda: morphology.dilation(IMAGE, morphology.disk(1))),
        ("segmentation.watershed", {"markers": 5}, lambda: segmentation.watershed(IMAGE, 5)),
        ("segmentation.slic", {"n_segments": 9},
         lambda: segmentation.slic(IMAGE, 9, channel_axis=None)),
        ("morphology.max_tree", {}, lambda: morphology.max_tree(IMAGE)[0]),
    ],
)  # fmt: skip
def test_the_result_is_that_of_the_plain_call(name, values, plain) -> None:
    result = run(get_operation(f"skimage.{name}"), [IMAGE], values)

    np.testing.assert_array_equal(result, plain())


def test_a_function_of_two_images_takes_two_layers() -> None:
    op = get_operation("skimage.metrics.mean_squared_error")
    join = get_operation("skimage.segmentation.join_segmentations")

    assert [i.name for i in op.inputs] == ["image0", "image1"]
    with pytest.raises(OperationError, match=r"it gave 1\."):
        run(op, [IMAGE, IMAGE + 1], {})
    assert [i.kind for i in join.inputs] == ["labels", "labels"]
    assert join.output == "labels"


def test_a_colour_picture_is_taken_only_where_one_is_needed() -> None:
    grey = run(get_operation("skimage.color.rgb2gray"), [COLOURS], {}, rgb=True)

    np.testing.assert_array_equal(grey, color.rgb2gray(COLOURS))
    with pytest.raises(OperationError, match=r"filters.sobel cannot run on a colour picture"):
        run(get_operation("skimage.filters.sobel"), [COLOURS], {}, rgb=True)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("filters.threshold_otsu", f"it gave {filters.threshold_otsu(IMAGE)}"),
        ("filters.threshold_multiotsu", r"it gave \d+, \d+"),
        ("feature.peak_local_max", r"a table of \d+ × 2 numbers"),
        ("transform.radon", r"a table of \d+ × 180 numbers"),
        ("feature.hog", r"a list of \d+ numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_image_is_told_with_its_values(name: str, told: str) -> None:
    with pytest.raises(OperationError, match=rf"{name} gave no image of this size.*{told}"):
        run(get_operation(f"skimage.{name}"), [IMAGE], {})


def test_the_form_is_made_from_signature_and_docstring() -> None:
    frangi = {p.name: p for p in get_operation("skimage.filters.frangi").parameters}
    butterworth = {p.name: p for p in get_operation("skimage.filters.butterworth").parameters}

    assert frangi["sigmas"].type == "literal"
    assert frangi["sigmas"].default == (1, 3, 5, 7, 9)
    assert frangi["gamma"].default is None
    assert frangi["black_ridges"].type == "bool"
    assert frangi["mode"].choices == ("constant", "reflect", "wrap", "nearest", "mirror")
    assert frangi["mode"].help == "How to handle values outside the image borders."
    assert frangi["cval"].type == "float"
    assert "channel_axis" not in butterworth
    assert butterworth["npad"].type == "int"
    for op in (get_operation(each.name) for each in any_functions()):
        texts = [op.help, *(p.help for p in op.parameters)]
        assert all(text and text == text.strip() and "\n" not in text for text in texts)
        assert not any("`" in text for text in texts), "plain text has no markup"
        unset = {p.name: 1 for p in op.parameters if p.is_required}
        assert validate(op, validate(op, unset)) == validate(op, unset)


def test_a_value_that_is_needed_is_asked_for() -> None:
    gabor = get_operation("skimage.filters.gabor")

    with pytest.raises(OperationError, match=r"filters.gabor needs a value for frequency.*Spatial"):
        validate(gabor, {})
    with pytest.raises(OperationError, match=r"filters.gabor needs a value for frequency"):
        validate(gabor, {"frequency": ""})
    assert validate(gabor, {"frequency": "0.25"})["frequency"] == 0.25


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("3", 3), ("-0.5", -0.5), ("None", None), ("(1, 2)", (1, 2)), ("[1, [2, 3]]", (1, (2, 3))),
        ("reflect", "reflect"), ("'a b'", "a b"), ("True", True), (np.float32(0.5), 0.5),
        (np.eye(2), ((1, 0), (0, 1))), (range(1, 4), (1, 2, 3)),
    ],
)  # fmt: skip
def test_a_literal_is_read_as_python_reads_it(given, value) -> None:
    sigmas = get_operation("skimage.filters.sato").parameters[0]

    assert sigmas.accept(given, "Sato") == value


@pytest.mark.parametrize("given", ["(1, 2", "", "1 +", "open('x')", "-", {"a": 1}, object(), b"x"])
def test_what_is_no_literal_is_refused_and_never_run(given) -> None:
    sigmas = get_operation("skimage.filters.sato").parameters[0]

    with pytest.raises(OperationError, match=r"Sato cannot use sigmas = .*as Python has it"):
        sigmas.accept(given, "Sato")


def test_a_recipe_names_the_function_and_keeps_its_values() -> None:
    recipe = Recipe((Step("skimage.filters.frangi", {"sigmas": (1, 2.5), "gamma": None}),))
    text = recipe.to_yaml()

    assert "operation: skimage.filters.frangi" in text
    assert Recipe.from_yaml(text) == recipe
    assert recipe.steps[0].values["sigmas"] == (1, 2.5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("skimage.filters.frangy", "Did you mean skimage.filters.frangi"),
        ("skimage.io.imread", "no function of this name that takes an image"),
        ("skimage.util.apply_parallel", "no function of this name that takes an image"),
        ("skimage.filters.os.system", "There is no operation"),
        ("skimage.filters", "There is no operation"),
        ("skimage.filters.__all__", "There is no operation"),
        ("skimage.segmentation.mark_boundaries", "it gives several values per pixel"),
        ("skimage.color.rgb2hsv", "it gives several values per pixel"),
        ("skimage.restoration.denoise_invariant", "it needs a Python function"),
    ],
)
def test_what_cannot_be_run_is_told_why(name: str, message: str) -> None:
    with pytest.raises(OperationError, match=message):
        get_operation(name)


def test_what_comes_back_is_known_after_one_run() -> None:
    op = get_operation("skimage.filters.apply_hysteresis_threshold")
    values = {"low": 2000, "high": 3000}

    assert not op.is_described
    with pytest.raises(OperationError, match="not known before it has run"):
        op.output_dtype([IMAGE.dtype])
    result = run(op, [IMAGE], values)
    settled = op.settled(result.dtype)

    assert settled.is_described and settled.output == "mask"
    assert settled.output_dtype([IMAGE.dtype]).kind == "b"
    np.testing.assert_array_equal(run(settled, [IMAGE], values), result)
    labels = get_operation("skimage.segmentation.watershed")
    assert labels.is_described and labels.settled(np.dtype(np.int32)) is labels


def test_a_snapshot_puts_the_result_back_into_the_axes_of_its_source() -> None:
    task = Task(operation=get_operation("skimage.filters.sato"), values={}, space=(1, 2))

    snapshot = task.run([IMAGE[None]])

    np.testing.assert_array_equal(snapshot.pixels[0], filters.sato(IMAGE))


def test_a_footprint_is_a_ball_in_a_volume() -> None:
    volume = np.stack([IMAGE] * 4)

    result = run(get_operation("skimage.morphology.erosion"), [volume], {"footprint": 2})

    np.testing.assert_array_equal(result, morphology.erosion(volume, ellipsoid((2, 2, 2))))


def test_scikit_image_is_loaded_only_when_one_of_its_functions_is_asked_for() -> None:
    code = (
        "import sys, napari_omezarr_cloud.process.anything as a\n"
        "from napari_omezarr_cloud.process import operations, get_operation\n"
        "operations(); print('skimage' in sys.modules, end=' ')\n"
        "get_operation('skimage.filters.sato'); print('skimage' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "True"]
