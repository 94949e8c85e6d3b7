"""Recipes on whole images, block by block: the same as scikit-image on the whole array."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from skimage import filters, measure, morphology, segmentation

import napari_omezarr_cloud as noc
from napari_omezarr_cloud import saving
from napari_omezarr_cloud.cli import main
from napari_omezarr_cloud.errors import OperationError, WriteError
from napari_omezarr_cloud.process import by_object, computation
from napari_omezarr_cloud.write import waves

if TYPE_CHECKING:
    from pathlib import Path

    from napari_omezarr_cloud.write.progress import Progress

NOISE = np.random.default_rng(8).integers(0, 4000, (2, 10, 50, 70), "u2")
BLOBS = filters.gaussian(NOISE[0], 1.2, preserve_range=True, channel_axis=0)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk is a block, so that small images have borders."""
    monkeypatch.setattr(waves, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(saving, "BLOCK_VOXELS", 1)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> noc.Image:
    """Two channels of noise, in chunks that no block of a result fits."""
    source = noc.from_array(NOISE, "czyx", scale=(1, 1, 1, 1), unit="micrometer", name="stack")
    place = tmp_path_factory.mktemp("running") / "stack.zarr"
    return noc.save(source, place, chunks=(1, 4, 21, 33), factors=[(1, 1, 2, 2)])


def origin(folder: Path) -> dict[str, object]:
    document = json.loads((folder / "zarr.json").read_text())
    found: dict[str, object] = document["attributes"]["napari-omezarr-cloud"]
    return found


def partition(labels: np.ndarray, other: np.ndarray) -> int:
    """Return how many pairs of numbers two label images have at one place."""
    return len(np.unique(np.stack([labels.ravel(), other.ravel()]), axis=1).T)


def assert_same_objects(labels: np.ndarray, expected: np.ndarray) -> None:
    assert ((labels > 0) == (expected > 0)).all()
    count = int(expected.max())
    assert sorted(set(labels.ravel()) - {0}) == list(range(1, count + 1))
    assert partition(labels, expected) == len(np.unique(expected))


def test_a_chain_has_no_borders(stack: noc.Image, tmp_path: Path) -> None:
    recipe = noc.Recipe(
        (
            noc.Step("gaussian", {"sigma": 1.0}, dims="volume", name="fine"),
            noc.Step("gaussian", {"sigma": 2.5}, ("image",), dims="volume", name="rough"),
            noc.Step("difference", {}, ("fine", "rough")),
            noc.Step("sobel", {}),
        )
    )

    result = noc.run(stack, recipe, tmp_path / "edges.zarr", channel=1, chunks=(3, 16, 16))

    image = NOISE[1].astype(float)
    fine, rough = (
        filters.gaussian(image, s, mode="nearest", preserve_range=True) for s in (1, 2.5)
    )
    expected = np.stack([filters.sobel(plane) for plane in fine - rough])
    np.testing.assert_allclose(result.read(0), expected, rtol=1e-6, atol=1e-9)
    assert result.levels[0].scale == (1, 1, 1)


def test_a_part_of_a_coarser_level_is_that_part_of_the_whole(
    stack: noc.Image, tmp_path: Path
) -> None:
    step = noc.Step("gaussian", {"sigma": 4.0})
    box = (slice(1, 2), slice(2, 9), slice(3, 20), slice(5, 35))

    result = noc.run(stack, step, tmp_path / "part.zarr", level=1, region=box, chunks=(1, 1, 8, 8))

    planes = stack.read(1)[1, 2:9].astype(float)
    expected = [filters.gaussian(p, 2, mode="nearest", preserve_range=True) for p in planes]
    np.testing.assert_allclose(result.read(0)[0], np.stack(expected)[:, 3:20, 5:35])
    assert result.levels[0].translation == (0, 2, 6.5, 10.5)


def test_a_threshold_is_measured_once_and_written_with_the_result(
    stack: noc.Image, tmp_path: Path
) -> None:
    plan = noc.plan_run(stack, noc.Step("threshold_otsu"), tmp_path / "m.zarr", channel=0)
    noc.run(stack, noc.Step("threshold_otsu"), tmp_path / "m.zarr", channel=0, chunks=(4, 16, 16))

    pinned = noc.Recipe.from_yaml(str(origin(tmp_path / "m.zarr")["recipe"]))
    threshold = pinned.steps[0].values["threshold"]
    assert threshold == pytest.approx(filters.threshold_otsu(NOISE[0]), abs=4000 / 256)
    assert (noc.open(tmp_path / "m.zarr").read(0) == (NOISE[0] > threshold)).all()
    assert f"threshold {threshold:.6g}, measured on level 0" in str(plan)


# ---- what may look everywhere --------------------------------------------------------------------

FILL = noc.Recipe((noc.Step("threshold", {"threshold": 1900.0}), noc.Step("fill_holes")))


def filled(image: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return np.stack([ndimage.binary_fill_holes(plane > 1900) for plane in image])


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> noc.Image:
    source = noc.from_array(BLOBS, "zyx", scale=(1, 1, 1), unit="micrometer", name="blobs")
    return noc.save(source, tmp_path_factory.mktemp("running") / "blobs.zarr", chunks=(4, 21, 33))


def test_what_may_look_everywhere_is_computed_at_once_where_it_fits(
    blobs: noc.Image, tmp_path: Path
) -> None:
    said = noc.plan_run(blobs, FILL, tmp_path / "filled.zarr", chunks=(3, 16, 16)).estimate()
    result = noc.run(blobs, FILL, tmp_path / "filled.zarr", chunks=(3, 16, 16))

    assert said.bytes_read == BLOBS.nbytes  # each plane once, however many blocks it is cut into
    assert (result.read(0) == filled(BLOBS)).all()
    assert "overlap" not in origin(tmp_path / "filled.zarr")


def test_what_may_look_everywhere_asks_for_an_overlap_where_it_is_too_large(
    blobs: noc.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computation, "_MAX_WHOLE_BYTES", 20_000)
    target = tmp_path / "filled.zarr"

    with pytest.raises(OperationError, match=r"Give an overlap: so many voxels around each block"):
        noc.run(blobs, FILL, target)
    assert not target.exists()

    plan = noc.plan_run(blobs, FILL, target, overlap=3, chunks=(3, 16, 16))
    assert "saw 3 voxels around each block" in str(plan)
    near = noc.run(blobs, FILL, target, overlap=3, chunks=(3, 16, 16))
    assert origin(target)["overlap"] == 3
    assert (near.read(0) != filled(BLOBS)).any()
    far = noc.run(blobs, FILL, tmp_path / "far.zarr", overlap=70, chunks=(3, 16, 16))
    assert (far.read(0) == filled(BLOBS)).all()


# ---- objects -------------------------------------------------------------------------------------


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from([(17, 22), (6, 11, 9)]),
    density=st.floats(0.05, 0.4),
    connectivity=st.sampled_from(["faces", "edges", "corners"]),
    chunk=st.integers(3, 6),
)
def test_objects_are_joined_across_blocks(
    seed: int,
    shape: tuple[int, ...],
    density: float,
    connectivity: str,
    chunk: int,
    tmp_path_factory: pytest.TempPathFactory,
    small_blocks: None,
) -> None:
    mask = (np.random.default_rng(seed).random(shape) < density).astype("u1")
    axes = "zyx"[-mask.ndim :]
    step = noc.Step("label", {"threshold": 0.5, "connectivity": connectivity}, dims="volume")

    result = noc.run(
        noc.from_array(mask, axes),
        step,
        tmp_path_factory.mktemp("joined") / "l.zarr",
        chunks=(chunk,) * mask.ndim,
    )

    joined = min({"faces": 1, "edges": 2, "corners": 3}[connectivity], mask.ndim)
    assert_same_objects(result.read(0), measure.label(mask, connectivity=joined))


def test_objects_of_planes_have_numbers_of_their_own_and_are_not_averaged(
    blobs: noc.Image, tmp_path: Path
) -> None:
    recipe = noc.Recipe(
        (
            noc.Step("gaussian", {"sigma": 1.0}),
            noc.Step("label", {"threshold": 2010.0, "connectivity": "faces"}),
        )
    )

    result = noc.run(
        blobs, recipe, tmp_path / "l.zarr", chunks=(3, 16, 16), factors=[(1, 2, 2)], threads=2
    )

    labels = result.read(0)
    planes = [filters.gaussian(p, 1, mode="nearest", preserve_range=True) for p in BLOBS]
    expected, count = [], 0
    for plane in planes:
        own = measure.label(plane > 2010, connectivity=1)
        expected.append(np.where(own > 0, own + count, 0))
        count += own.max()
    assert_same_objects(labels, np.stack(expected))
    assert set(result.read(1).ravel()) <= set(labels.ravel())


NOT_JOINED = [
    name
    for name, op in noc.operations().items()
    if op.kind == "objects" and not (op.connectivity_rule or op.object_rule)
]


@pytest.mark.parametrize("operation", NOT_JOINED)
def test_objects_that_cannot_be_joined_are_refused(
    operation: str, blobs: noc.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(NOT_JOINED) >= 5
    monkeypatch.setattr(computation, "_MAX_WHOLE_BYTES", 20_000)
    given = {each.name: blobs for each in noc.operations()[operation].inputs}
    if "markers" in given:
        given["markers"] = noc.from_array(measure.label(BLOBS > 2300), "zyx")
    recipe = noc.Recipe((noc.Step(operation),), tuple(map(noc.RecipeInput, given)))

    words = "cannot run block by block.*Take a coarser level or a smaller region"
    with pytest.raises(OperationError, match=words):
        noc.plan_run(given, recipe, tmp_path / "l.zarr", overlap=8)


def test_objects_that_cannot_be_joined_are_those_of_the_whole_where_that_fits(
    blobs: noc.Image, tmp_path: Path
) -> None:
    step = noc.Step("voronoi_otsu", {"spot_sigma": 2.0, "threshold": 2000.0})

    result = noc.run(blobs, step, tmp_path / "l.zarr", chunks=(3, 16, 16))

    expected = noc.apply(blobs, step).read(0)
    assert expected.max() > 10
    assert (result.read(0) == expected).all()


def test_steps_after_a_labelling_see_the_objects_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In two passes, the second of which reads what the first has written: axes in NGFF's order."""
    recipe = noc.Recipe(
        (
            noc.Step("gaussian", {"sigma": 1.0}, dims="volume"),
            noc.Step("label", {"threshold": 2100.0}, dims="volume"),
            noc.Step("remove_small_labels", {"diameter": 4.0}, dims="volume"),
            noc.Step("expand_labels", {"distance": 2.0}, dims="volume"),
        )
    )
    images = [filters.gaussian(each, 1.0, preserve_range=True) for each in NOISE]
    source = noc.from_array(np.stack(images, axis=1), "ztyx", unit="micrometer")
    expected = []
    for image in images:
        smooth = filters.gaussian(image, 1, mode="nearest", preserve_range=True)
        labels = measure.label(smooth > 2100)
        labels[np.bincount(labels.ravel())[labels] < np.pi / 6 * 4**3] = 0
        expected.append(segmentation.expand_labels(labels, 2) + 1000 * len(expected))
    whole = np.where(np.stack(expected) % 1000, np.stack(expected), 0)
    count = len(np.unique(whole))
    monkeypatch.setattr(computation, "_MAX_WHOLE_BYTES", 1000)
    monkeypatch.setattr(by_object, "_VOXELS", 1)
    target, part = tmp_path / "cells.zarr", (slice(2, 9), slice(1, 2), slice(9, 40), slice(5, 60))

    plan = noc.plan_run(source, recipe, target, chunks=(1, 5, 30, 40))
    result = noc.run(source, recipe, target, chunks=(1, 5, 30, 40)).read(0)
    cut = noc.run(source, recipe, tmp_path / "part.zarr", region=part).read(0)

    assert "In 2 passes: first Label connected regions" in str(plan)
    assert plan.estimate().bytes_written == 2 * whole.nbytes
    assert count > 10
    assert ((result > 0) == (whole > 0)).all()
    assert partition(result, whole) == len(np.unique(result)) == count
    inside = result[1:2, 2:9, 9:40, 5:60]
    assert ((cut > 0) == (inside > 0)).all()
    assert partition(cut, inside) == len(np.unique(cut)) == len(np.unique(inside)) > 5
    assert not list(tmp_path.rglob("*omezarr*"))


# ---- cancelled, broken off -----------------------------------------------------------------------


@pytest.mark.parametrize("stop_at", [3, 47])
def test_what_was_cancelled_goes_on_where_it_was(
    stop_at: int, blobs: noc.Image, tmp_path: Path
) -> None:
    step = noc.Step("label", {"threshold": 2000.0}, dims="volume")
    target, told = tmp_path / "l.zarr", []

    def stop(progress: Progress) -> None:
        if progress.tasks_done == stop_at:
            progress.cancel()

    def tell(progress: Progress) -> None:
        told.append((progress.tasks_skipped, progress.tasks_done, progress.task_count))

    with pytest.raises(WriteError, match="cancelled"):
        noc.run(blobs, step, target, on_progress=stop, threads=1, chunks=(4, 16, 16))
    result = noc.run(blobs, step, target, on_progress=tell, threads=1, chunks=(4, 16, 16))

    skipped, done, count = told[-1]
    # 3 x 4 x 5 blocks are labelled, then written.
    assert done == count == 120
    assert skipped >= stop_at
    assert_same_objects(result.read(0), measure.label(BLOBS > 2000))
    assert not (target / ".omezarr-writing").exists()


# ---- what is said before, the shell --------------------------------------------------------------


def test_an_estimate_counts_blocks_and_what_is_read_around_them(
    stack: noc.Image, tmp_path: Path
) -> None:
    step = noc.Step("gaussian", {"sigma": 1.0})
    plan = noc.plan_run(stack, step, tmp_path / "g.zarr", channel=0, chunks=(1, 25, 35))

    said = plan.estimate(threads=1)

    assert said.block_count == 10 * 2 * 2
    assert said.bytes_written == NOISE[0].size * 8
    # Of each plane 25 x 35 voxels, with 4 more on two of their four sides.
    assert said.bytes_read == 10 * 4 * 29 * 39 * 2
    assert said.seconds > 0
    assert not (tmp_path / "g.zarr").exists()


def test_the_shell_says_what_it_takes_and_runs_it(
    stack: noc.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, target = tmp_path / "recipe.yaml", tmp_path / "g.zarr"
    noc.Recipe((noc.Step("median", {"radius": 1.0}),)).save(recipe)
    command = ["run", str(recipe), str(stack.location), str(target), "--channel", "1"]

    assert main([*command, "--estimate"]) == 0
    assert re.search(r"\d blocks?, about", capsys.readouterr().out)
    assert not target.exists()

    assert main([*command, "--box", "z=2:4,x=10:60", "--threads", "1"]) == 0
    assert capsys.readouterr().out.endswith(f"saved to {target}\n")
    disk = morphology.disk(1)
    planes = [filters.median(p, disk)[:, 10:60] for p in NOISE[1, 2:4]]
    assert (noc.open(target).read(0) == np.stack(planes)).all()


# ---- steps that go by whole objects --------------------------------------------------------------

BY_OBJECT = {
    "remove_small_labels": {"diameter": 6.0},
    "clear_border": {"distance": 1.0, "first_and_last": True},
    "keep_bright_labels": {"measure": "maximum", "threshold": 3900.0},
    "object_values": {"measure": "standard deviation"},
    "relabel": {},
}


@pytest.mark.parametrize("dims", ["plane", "volume"])
@pytest.mark.parametrize("operation", BY_OBJECT)
def test_what_goes_by_whole_objects_is_that_of_the_whole_array(
    operation: str, dims: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = measure.label(BLOBS > 2200).astype("u4") * 5
    labels = noc.save(noc.from_array(objects, "zyx"), tmp_path / "l.zarr", chunks=(3, 17, 20))
    image = noc.from_array(NOISE[0], "zyx")
    step = noc.Step(operation, BY_OBJECT[operation], dims=dims)
    given = {"labels": labels, "image": image}
    given = {each.name: given[each.name] for each in noc.operations()[operation].inputs}
    expected = noc.apply(given, step).read(0)
    monkeypatch.setattr(computation, "_MAX_WHOLE_BYTES", 1000)
    monkeypatch.setattr(by_object, "_VOXELS", 1)

    plan = noc.plan_run(given, step, tmp_path / "o.zarr", chunks=(2, 16, 16))
    estimate = plan.estimate()
    result = noc.run(given, step, tmp_path / "o.zarr", chunks=(2, 16, 16))

    assert len(np.unique(objects)) > 40
    assert 1 < len(np.unique(expected))
    np.testing.assert_allclose(result.read(0), expected, rtol=1e-6)
    assert estimate.bytes_read < 4 * objects.nbytes  # not the whole image for one block


def test_an_object_operation_that_needs_all_of_an_object_is_refused(
    blobs: noc.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computation, "_MAX_WHOLE_BYTES", 20_000)
    objects = noc.from_array(measure.label(BLOBS > 2000), "zyx")
    given = {"labels": objects, "image": noc.from_array(NOISE[0], "zyx")}
    step = noc.Step("keep_bright_labels", {"measure": "median", "threshold": 1.0}, dims="volume")

    with pytest.raises(OperationError, match="cannot run block by block"):
        noc.run(given, step, tmp_path / "l.zarr")
