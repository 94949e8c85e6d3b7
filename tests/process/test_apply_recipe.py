"""Recipes on pyramids: computed where asked for, and no different from the whole at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import filters, measure, morphology

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.chunks import Engine, Pools, Tier, Wish
from napari_omezarr_cloud.errors import OperationError, RegionError
from napari_omezarr_cloud.ngff import Axis
from napari_omezarr_cloud.process import Recipe, RecipeInput, Step, get_operation, operations, run
from napari_omezarr_cloud.process.apply import apply_recipe, derived_step
from napari_omezarr_cloud.process.computation import is_patched
from napari_omezarr_cloud.pyramid import Pyramid, PyramidView, Region, Transform
from napari_omezarr_cloud.pyramid.in_memory import array_pyramid

if TYPE_CHECKING:
    from collections.abc import Iterator

Array = np.ndarray[Any, Any]


class Chunked:
    """An array that says how it is chunked."""

    def __init__(self, array: Array, chunks: tuple[int, ...]) -> None:
        self.array, self.shape, self.dtype, self.chunks = array, array.shape, array.dtype, chunks

    def __getitem__(self, item: Any) -> Array:
        return self.array[item]


def axes(names: str) -> list[Axis]:
    types = {"t": "time", "c": "channel"}
    return [Axis(n, types.get(n, "space"), None if n in types else "micrometer") for n in names]


def a_pyramid(
    names: str,
    *levels: Array,
    chunks: tuple[int, ...] | None = None,
    pixel: float = 0.5,
) -> Pyramid:
    """Levels of one image; each is half as fine as the one before in y and x."""
    transforms = [
        Transform(tuple(pixel * 2**n if a in "yx" else 1.0 for a in names), (0.0,) * len(names))
        for n in range(len(levels))
    ]
    given = [Chunked(a, chunks or tuple(min(16, n) for n in a.shape)) for a in levels]
    return array_pyramid(given, axes(names), transforms, "picture")


def noise(*shape: int, dtype: Any = "u2", seed: int = 0) -> Array:
    values = filters.gaussian(np.random.default_rng(seed).random(shape), 1.5)
    values = (values - values.min()) / (values.max() - values.min())
    if np.dtype(dtype) == bool:
        return values > 0.5
    return (values * (1 if np.dtype(dtype).kind == "f" else 250)).astype(dtype)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    pools = Pools(decode_threads=1, compute_threads=2)
    yield Engine(1 << 28, pools=pools)
    pools.close()


def applied(engine: Engine, recipe: Recipe, **pyramids: Pyramid) -> Any:
    views = {name: PyramidView.of(each) for name, each in pyramids.items()}
    return engine.io.wait(apply_recipe(recipe, views, engine))


def load(engine: Engine, pyramid: Pyramid, number: int = 0) -> Array:
    level = pyramid.levels[number]
    return engine.load(level, Region.whole(level.grid.shape))


# ---- no seams ------------------------------------------------------------------------------------

LOCAL = sorted(name for name, op in operations().items() if op.kind == "local")


def an_input(kind: str, shape: tuple[int, ...], seed: int, dtype: Any) -> Array:
    if kind == "mask":
        return noise(*shape, dtype=bool, seed=seed)
    if kind == "labels":
        return measure.label(noise(*shape, dtype=bool, seed=seed)).astype("i4")
    return noise(*shape, dtype=dtype, seed=seed)


@pytest.mark.parametrize("name", LOCAL)
@settings(max_examples=8, deadline=None)
@given(
    sides=st.tuples(st.integers(5, 40), st.integers(5, 40)),
    chunk=st.tuples(st.integers(3, 17), st.integers(3, 17)),
    dtype=st.sampled_from(["u1", "u2", "f4"]),
)
def test_every_chunk_is_what_the_whole_level_says(
    engine: Engine, name: str, sides: Any, chunk: Any, dtype: str
) -> None:
    op = get_operation(name)
    colours = (3,) if op.colours == "together" else ()
    shape = (*sides, *colours)
    arrays = [an_input(i.kind, shape, n, dtype) for n, i in enumerate(op.inputs)]
    names = "yxc" if colours else "yx"
    pyramids = [a_pyramid(names, array, chunks=(*chunk, *colours)) for array in arrays]
    step = Step(name)

    derived = derived_step(step, [PyramidView.of(each) for each in pyramids])
    level = derived.levels[0]
    # One chunk after the other, so that nothing is computed in one go.
    found = np.empty(level.grid.shape, level.grid.dtype)
    for index in level.grid.touching(Region.whole(level.grid.shape)):
        box = level.grid.region_of(index)
        found[box.slices] = engine.load(level, box)

    expected = run(op, arrays, step.values, spacing=(0.5, 0.5), rgb=bool(colours))
    assert found.dtype == expected.dtype
    if expected.dtype.kind == "f":
        largest = float(np.abs(expected[np.isfinite(expected)]).max(initial=1.0))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * largest)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "name", [name for name in LOCAL if get_operation(name).colours != "together"]
)
def test_every_chunk_of_a_volume_is_what_the_whole_volume_says(engine: Engine, name: str) -> None:
    op = get_operation(name)
    shape, chunks = (7, 19, 17), (3, 8, 5)
    arrays = [an_input(i.kind, shape, n, "u2") for n, i in enumerate(op.inputs)]
    pyramids = [a_pyramid("zyx", array, chunks=chunks) for array in arrays]
    step = Step(name, dims="volume")

    level = derived_step(step, [PyramidView.of(each) for each in pyramids]).levels[0]
    found = np.empty(level.grid.shape, level.grid.dtype)
    for index in level.grid.touching(Region.whole(shape)):
        box = level.grid.region_of(index)
        found[box.slices] = engine.load(level, box)

    expected = run(op, arrays, step.values, spacing=(1.0, 0.5, 0.5))
    if expected.dtype.kind == "f":
        largest = float(np.abs(expected[np.isfinite(expected)]).max(initial=1.0))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * largest)
    else:
        np.testing.assert_array_equal(found, expected)


def test_a_volume_and_its_planes_are_two_things(engine: Engine) -> None:
    image = noise(9, 20, 22)
    pyramid = a_pyramid("zyx", image)
    values = {"sigma": 1.0}

    planes = applied(engine, Recipe((Step("gaussian", values),)), image=pyramid)
    volume = applied(engine, Recipe((Step("gaussian", values, dims="volume"),)), image=pyramid)

    by_plane = np.stack([filters.gaussian(p, 2.0, preserve_range=True) for p in image])
    np.testing.assert_allclose(load(engine, planes.pyramid), by_plane)
    at_once = filters.gaussian(image, (1.0, 2.0, 2.0), preserve_range=True)
    np.testing.assert_allclose(load(engine, volume.pyramid), at_once)


def test_time_points_and_channels_are_treated_alone(engine: Engine) -> None:
    image = noise(2, 3, 18, 20)
    pyramid = a_pyramid("tcyx", image, chunks=(2, 3, 8, 8))

    result = applied(engine, Recipe((Step("median", {"radius": 1.0}),)), image=pyramid)

    expected = [[filters.median(p, morphology.disk(2)) for p in time] for time in image]
    np.testing.assert_array_equal(load(engine, result.pyramid), np.array(expected))


def test_a_plane_of_a_thick_chunk_does_not_cost_its_neighbours(engine: Engine) -> None:
    pyramid = a_pyramid("zyx", noise(16, 20, 20), chunks=(16, 20, 20))

    derived = derived_step(Step("gaussian"), [PyramidView.of(pyramid)])

    assert derived.levels[0].grid.chunks == (1, 20, 20)


# ---- lengths -------------------------------------------------------------------------------------


def test_a_length_in_um_is_other_pixels_on_every_level(engine: Engine) -> None:
    fine, coarse = noise(40, 40), noise(20, 20)

    result = applied(
        engine, Recipe((Step("gaussian", {"sigma": 2.0}),)), image=a_pyramid("yx", fine, coarse)
    )

    for number, (image, sigma) in enumerate([(fine, 4.0), (coarse, 2.0)]):
        expected = filters.gaussian(image, sigma, preserve_range=True)
        np.testing.assert_allclose(load(engine, result.pyramid, number), expected)


def test_what_is_too_coarse_to_see_is_shown_as_the_source(engine: Engine) -> None:
    levels = noise(40, 40), noise(20, 20), noise(10, 10)
    recipe = Recipe((Step("white_tophat", {"radius": 0.5}),))

    pyramid = applied(engine, recipe, image=a_pyramid("yx", *levels)).pyramid

    notes = [level.compute.note for level in pyramid.levels]
    assert [bool(note) for note in notes] == [False, False, True]
    assert "too coarse" in notes[2]
    # Who reads it gets the operation all the same; only the window shows the source.
    np.testing.assert_array_equal(load(engine, pyramid, 2), np.zeros((10, 10)))
    np.testing.assert_array_equal(load(engine, pyramid.preview, 2), levels[2])
    assert pyramid.preview.levels[:2] == pyramid.levels[:2]


def test_the_next_step_previews_what_the_one_before_shows(engine: Engine) -> None:
    levels = noise(40, 40), noise(10, 10)
    steps = (
        Step("white_tophat", {"radius": 0.2}),
        Step("threshold_otsu", {"threshold": 100.0}),
    )

    pyramid = applied(engine, Recipe(steps), image=a_pyramid("yx", *levels)).pyramid

    np.testing.assert_array_equal(load(engine, pyramid.preview, 1), levels[1] > 100)


# ---- what must be measured -----------------------------------------------------------------------


def test_a_threshold_is_measured_once_said_where_and_fixed(engine: Engine) -> None:
    fine, coarse = noise(64, 64), noise(32, 32)

    result = applied(engine, Recipe((Step("threshold_otsu"),)), image=a_pyramid("yx", fine, coarse))

    threshold = filters.threshold_otsu(fine)
    assert result.recipe.steps[0].values == {"threshold": threshold}
    assert result.steps[0].measured.where == "level 0"
    assert str(int(threshold)) in result.steps[0].sentences[0]
    np.testing.assert_array_equal(load(engine, result.pyramid), fine > threshold)
    np.testing.assert_array_equal(load(engine, result.pyramid, 1), coarse > threshold)


def test_a_threshold_after_a_filter_is_that_of_the_filtered(engine: Engine) -> None:
    image = noise(40, 40)
    recipe = Recipe((Step("gaussian", {"sigma": 1.0}), Step("threshold_otsu")))

    result = applied(engine, recipe, image=a_pyramid("yx", image))

    blurred = filters.gaussian(image, 2.0, preserve_range=True)
    found = result.recipe.steps[1].values["threshold"]
    assert found == pytest.approx(filters.threshold_otsu(blurred), rel=1e-6)


def test_a_pinned_threshold_reads_nothing(engine: Engine) -> None:
    class Unread(Chunked):
        def __getitem__(self, item: Any) -> Array:
            raise AssertionError("nobody asked for voxels")

    image = Unread(noise(20, 20), (8, 8))
    pyramid = array_pyramid([image], axes("yx"), [Transform((1, 1), (0, 0))], "unread")

    result = applied(engine, Recipe((Step("threshold_otsu", {"threshold": 9.0}),)), image=pyramid)

    assert result.steps[0].measured.values == {}


def test_of_a_long_series_the_middle_is_measured_and_said(engine: Engine) -> None:
    class Long(Chunked):
        def __getitem__(self, item: Any) -> Array:
            asked.append(item)
            return np.zeros([b.stop - b.start for b in item], "u2")

    asked: list[Any] = []
    image = Long(np.broadcast_to(np.zeros(1, "u2"), (1000, 2048, 2048)), (1, 1024, 1024))
    pyramid = array_pyramid([image], axes("tyx"), [Transform((1,) * 3, (0,) * 3)], "long")

    result = applied(engine, Recipe((Step("threshold_otsu"),)), image=pyramid)

    assert result.steps[0].measured.where == "level 0, the middle 1 x 2048 x 2048"
    assert len(asked) == 4


def test_noise_is_measured_where_it_has_not_been_averaged_away(engine: Engine) -> None:
    class Read(Chunked):
        def __getitem__(self, item: Any) -> Array:
            asked.append(self.shape)
            return super().__getitem__(item)

    asked: list[Any] = []
    levels = [Read(np.zeros(shape, "u2"), (1024, 1024)) for shape in ((4096, 4096), (512, 512))]
    transforms = [Transform((1, 1), (0, 0)), Transform((8, 8), (0, 0))]
    pyramid = array_pyramid(levels, axes("yx"), transforms, "large")

    noise = applied(engine, Recipe((Step("tv_chambolle"),)), image=pyramid)
    threshold = applied(engine, Recipe((Step("threshold_otsu"),)), image=pyramid)

    assert noise.steps[0].measured.where == "level 0, the middle 1024 x 4096"
    assert threshold.steps[0].measured.where == "level 1"
    assert set(asked[:4]) == {(4096, 4096)}


# ---- projections and colours ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("max_projection", np.max),
        ("min_projection", np.min),
        ("mean_projection", np.mean),
        ("sum_projection", np.sum),
        ("std_projection", np.std),
        ("median_projection", np.median),
    ],
)
@pytest.mark.parametrize("axis", ["z", "t"])
def test_a_projection_is_one_voxel_as_thick_as_its_axis(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, name: str, function: Any, axis: str
) -> None:
    # Slabs of a few planes, as of a series that does not fit into memory.
    monkeypatch.setattr("napari_omezarr_cloud.process.computation._MAX_SLAB_VOXELS", 500)
    image = noise(5, 7, 20, 21)
    folded = "tz".index(axis)

    pyramid = applied(
        engine, Recipe((Step(name, {"axis": axis}),)), image=a_pyramid("tzyx", image)
    ).pyramid

    level = pyramid.levels[0]
    assert [a.name for a in pyramid.axes] == ["t", "z", "y", "x"]
    assert level.transform.scale[folded] == image.shape[folded]
    assert level.transform.translation[folded] == (image.shape[folded] - 1) / 2
    found = load(engine, pyramid)
    np.testing.assert_allclose(found, function(image, axis=folded, keepdims=True), rtol=1e-12)


def test_an_axis_that_is_not_there_cannot_be_folded(engine: Engine) -> None:
    with pytest.raises(OperationError, match=r"cannot fold t.*y, x"):
        applied(
            engine,
            Recipe((Step("max_projection", {"axis": "t"}),)),
            image=a_pyramid("yx", noise(9, 9)),
        )


def test_colours_are_treated_one_by_one(engine: Engine) -> None:
    image = noise(20, 22, 3, dtype="u1")

    pyramid = applied(
        engine, Recipe((Step("median", {"radius": 0.5}),)), image=a_pyramid("yxc", image)
    ).pyramid

    expected = [filters.median(image[..., c], morphology.disk(1)) for c in range(3)]
    np.testing.assert_array_equal(load(engine, pyramid), np.stack(expected, axis=-1))


# ---- what has no finite halo ---------------------------------------------------------------------

FILL = Recipe((Step("threshold_otsu", {"threshold": 120.0}), Step("label")))


def test_objects_are_those_of_the_whole_plane_for_who_reads_them(engine: Engine) -> None:
    image = noise(2, 40, 42)

    level = applied(engine, FILL, image=a_pyramid("tyx", image)).pyramid.levels[0]

    assert is_patched(level)
    for t in range(2):
        expected = measure.label(image[t] > 120, connectivity=2)
        found = [
            engine.load(level, level.grid.region_of(index))
            for index in level.grid.touching(Region.whole(level.grid.shape))
            if index[0] == t
        ]
        whole = engine.load(level, Region((t, 0, 0), (t + 1, 40, 42)))[0]
        np.testing.assert_array_equal(whole, expected)
        assert sum(part.size for part in found) == expected.size


def test_a_patch_is_the_operation_on_just_that_part(engine: Engine) -> None:
    image = noise(60, 64)
    pyramid = applied(engine, FILL, image=a_pyramid("yx", image)).pyramid
    region = Region((7, 9), (41, 50))

    patch = pyramid.levels[0].patch(region)

    found = engine.load(patch, Region.whole(patch.grid.shape))
    np.testing.assert_array_equal(found, measure.label(image[region.slices] > 120, connectivity=2))
    assert pyramid.levels[0].patch(region) is patch
    assert patch.transform.translation == (7 * 0.5, 9 * 0.5)


def test_a_filter_after_objects_works_on_the_same_patch(engine: Engine) -> None:
    image = noise(60, 64)
    minus = Step("difference", inputs=("objects", "other"))
    recipe = Recipe(
        (FILL.steps[0], Step("label", name="objects"), minus),
        (RecipeInput("image"), RecipeInput("other")),
    )
    region = Region((7, 9), (41, 50))

    level = applied(
        engine, recipe, image=a_pyramid("yx", image), other=a_pyramid("yx", image)
    ).pyramid.levels[0]
    patch = level.patch(region)

    labels = measure.label(image[region.slices] > 120, connectivity=2)
    found = engine.load(patch, Region.whole(patch.grid.shape))
    np.testing.assert_array_equal(found, labels.astype("i8") - image[region.slices])


def test_what_is_too_large_for_one_piece_says_so(engine: Engine) -> None:
    class Huge(Chunked):
        def __getitem__(self, item: Any) -> Array:
            raise AssertionError("nothing of it may be read")

    image = Huge(np.broadcast_to(np.zeros(1, "u2"), (200_000, 200_000)), (1024, 1024))
    pyramid = array_pyramid([image], axes("yx"), [Transform((1, 1), (0, 0))], "huge")

    level = derived_step(Step("label", {"threshold": 3.0}), [PyramidView.of(pyramid)]).levels[0]

    with pytest.raises(RegionError, match=r"cannot be computed in pieces.*coarser level"):
        engine.load(level, Region((0, 0), (8, 8)))


# ---- inputs --------------------------------------------------------------------------------------


def test_a_second_image_is_sampled_where_the_first_has_its_voxels(engine: Engine) -> None:
    image, other = noise(20, 22), noise(40, 44, seed=1)
    recipe = Recipe((Step("difference"),), (RecipeInput("image"), RecipeInput("other")))

    pyramid = applied(
        engine,
        recipe,
        image=a_pyramid("yx", image, pixel=1.0),
        other=a_pyramid("yx", other, pixel=0.5),
    ).pyramid

    np.testing.assert_array_equal(load(engine, pyramid), image.astype("i4") - other[::2, ::2])


def test_images_in_other_units_lie_where_they_lie(engine: Engine) -> None:
    image, other = noise(20, 22), noise(40, 44, seed=1)
    nanometres = [Axis(n, "space", "nanometer") for n in "yx"]
    finer = array_pyramid([other], nanometres, [Transform((500, 500), (0, 0))], "in nm")
    recipe = Recipe((Step("difference"),), (RecipeInput("image"), RecipeInput("other")))

    pyramid = applied(engine, recipe, image=a_pyramid("yx", image, pixel=1.0), other=finer).pyramid

    np.testing.assert_array_equal(load(engine, pyramid), image.astype("i4") - other[::2, ::2])


def test_a_missing_image_is_named(engine: Engine) -> None:
    recipe = Recipe((Step("difference"),), (RecipeInput("image"), RecipeInput("other")))

    with pytest.raises(OperationError, match="nothing was given for other"):
        applied(engine, recipe, image=a_pyramid("yx", noise(9, 9)))


# ---- who wants it --------------------------------------------------------------------------------


def test_a_changed_parameter_is_a_new_identity_and_the_old_ones_memory_is_freed() -> None:
    engine = Engine(1 << 28)
    view = PyramidView.of(a_pyramid("yx", noise(64, 64)))
    before = 0
    for sigma in np.linspace(0.5, 4, 40):
        derived = derived_step(Step("gaussian", {"sigma": float(sigma)}), [view])
        load(engine, derived)
        before = before or engine.cache.nbytes
        del derived

    assert engine.cache.nbytes <= before


def test_wishes_nobody_has_any_more_are_not_computed() -> None:
    pools = Pools(decode_threads=1, compute_threads=1)
    engine = Engine(1 << 28, pools=pools)
    view = PyramidView.of(a_pyramid("yx", noise(256, 256), chunks=(32, 32)))
    derived = [derived_step(Step("median", {"radius": 4.0}), [view]) for _ in range(20)]
    region = Region.whole((256, 256))

    for pyramid in derived:  # as a slider does: each list replaces the one before
        level = pyramid.levels[0]
        wishes = [Wish(level, i, (Tier.VISIBLE,)) for i in level.grid.touching(region)]
        engine.want("view", wishes)
    last = derived[-1].levels[0]
    engine.load(last, region)

    computed = [len(engine.cache.indices(pyramid.levels[0].key)) for pyramid in derived]
    assert computed[-1] == 64
    assert sum(n > 0 for n in computed[:-1]) <= 3
    pools.close()


# ---- the same from Python ------------------------------------------------------------------------


def test_apply_takes_an_array_and_gives_an_image() -> None:
    image = noise(3, 40, 44)
    picture = noc.from_array(image, "zyx", scale=(2.0, 0.5, 0.5), unit="micrometer", name="cells")

    result = noc.apply(picture, noc.Step("gaussian", {"sigma": 1.0}, dims="volume"))

    expected = filters.gaussian(image, (0.5, 2.0, 2.0), preserve_range=True)
    np.testing.assert_allclose(result.read(), expected)
    np.testing.assert_allclose(result.levels[0].dask[1].compute(), expected[1])
    assert result.name == "Gaussian blur of cells"
    assert "Gaussian blur" in repr(result)
    with pytest.raises(RegionError, match="not stored"):
        _ = result.levels[0].zarr


def test_apply_says_what_was_measured() -> None:
    image = noise(40, 44)

    result = noc.apply(noc.from_array(image, "yx"), noc.Step("threshold_otsu"))

    threshold = filters.threshold_otsu(image)
    assert result.recipe is not None
    assert result.recipe.steps[0].values["threshold"] == threshold
    assert result.notes == (f"Otsu threshold: threshold {threshold:.6g}, measured on level 0.",)


def test_apply_takes_channels_by_number() -> None:
    image = noise(2, 40, 44)
    picture = noc.from_array(image, "cyx")
    recipe = noc.Recipe(
        (noc.Step("difference"),), (noc.RecipeInput("image", 1), noc.RecipeInput("other", 0))
    )

    result = noc.apply(picture, recipe)
    swapped = noc.apply(picture, recipe, channels={"image": 0, "other": 1})

    np.testing.assert_array_equal(result.read(), image[1].astype("i4") - image[0])
    np.testing.assert_array_equal(swapped.read(), -result.read())
    with pytest.raises(OperationError, match="no channel 7"):
        noc.apply(picture, recipe, channels=7)


def test_apply_reads_a_recipe_from_a_file_and_from_text(tmp_path: Any) -> None:
    picture = noc.from_array(noise(20, 20), "yx")
    recipe = noc.Recipe((noc.Step("gaussian", {"sigma": 3.0}),))
    recipe.save(tmp_path / "blur.yaml")
    with pytest.raises(OperationError, match="a file of this name already"):
        noc.Recipe((noc.Step("median"),)).save(tmp_path / "blur.yaml")
    recipe.save(tmp_path / "blur.yaml", overwrite=True)

    for given_as in (recipe, recipe.to_yaml(), tmp_path / "blur.yaml", str(tmp_path / "blur.yaml")):
        result = noc.apply(picture, given_as)
        assert result.recipe == recipe


def test_awaiting_on_the_loop_is_no_deadlock(engine: Engine) -> None:
    pyramid = a_pyramid("yx", noise(30, 30))

    async def both() -> list[Any]:
        jobs = [apply_recipe(FILL, {"image": PyramidView.of(pyramid)}, engine) for _ in range(2)]
        return list(await asyncio.gather(*jobs))

    assert len(engine.io.wait(both())) == 2


def test_any_function_of_scikit_image_can_be_applied_after_a_trial() -> None:
    image = noise(40, 44)

    result = noc.apply(noc.from_array(image, "yx"), noc.Step("skimage.filters.sobel"))

    np.testing.assert_array_equal(result.read(), filters.sobel(image))
    assert result.levels[0].dtype == np.float64
