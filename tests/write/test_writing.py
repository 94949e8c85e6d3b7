"""Writing a pyramid: read back by others' libraries, resumed after any end, never over anything."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import ExistsError, NotFoundError, ServerError, WriteError
from napari_omezarr_cloud.pyramid.documents import WRITE_NOTES
from napari_omezarr_cloud.write.downsampling import downsample

from .conftest import ArraySource, begun, planned

if TYPE_CHECKING:
    from pathlib import Path

    from napari_omezarr_cloud.pyramid import Region
    from napari_omezarr_cloud.write.plan import Plan


def pyramid_of(array: np.ndarray, plan: Plan) -> list[np.ndarray]:
    found = [array]
    for level in plan.levels[1:]:
        found.append(downsample(found[-1], level.factors, plan.method))
    return found


CASES: dict[str, tuple[tuple[int, ...], str, tuple[float, ...], str, dict[str, Any]]] = {
    "plane": ((1300, 901), "yx", (0.5, 0.5), "u1", {}),
    "old version": ((2, 700, 900), "cyx", (1, 0.5, 0.5), "u2", {"version": "0.4"}),
    "anisotropic": ((41, 400, 330), "zyx", (2.0, 0.5, 0.5), "u2", {"codec": "zstd"}),
    "small shards": (
        (2, 20, 150, 170),
        "czyx",
        (1, 1, 1, 1),
        "i4",
        {"chunks": (1, 8, 32, 32), "shards": (1, 16, 64, 64)},
    ),
    "flat chunks, deep factors": (
        (17, 300, 300),
        "zyx",
        (1, 1, 1),
        "u2",
        {"chunks": (1, 64, 64), "factors": [(2, 2, 2), (3, 2, 2)]},
    ),
    "smoothed": ((700, 700), "yx", (1, 1), "f4", {"method": "gaussian", "codec": "gzip"}),
    "labels": ((2, 520, 600), "tyx", (1, 1, 1), "u4", {"is_labels": True, "codec": "none"}),
    "flags": ((600, 300), "yx", (1, 1), "?", {"version": "0.4", "method": "nearest"}),
}


@pytest.mark.parametrize("case", CASES)
def test_every_level_is_what_its_method_makes_of_the_one_before(case: str, tmp_path: Path) -> None:
    shape, names, scale, dtype, options = CASES[case]
    array = (np.random.default_rng(1).random(shape) * 200).astype(dtype)
    plan = planned(array, names, scale, **options)

    begun(plan, tmp_path / "a.zarr").run(ArraySource(array))

    image = noc.open(tmp_path / "a.zarr")
    assert image.notes == ()
    assert image.name == "cells"
    for level, truth in zip(image.levels, pyramid_of(array, plan), strict=True):
        np.testing.assert_allclose(image.read(level.number), truth, atol=1e-4 * (dtype == "f4"))
        assert level.translation == plan.levels[level.number].translation
    theirs = zarr.open_group(tmp_path / "a.zarr", mode="r")
    assert (np.asarray(theirs["0"]) == array).all()
    node = next(iter(Reader(parse_url(str(tmp_path / "a.zarr")))()))
    assert [level.shape for level in node.data] == [level.shape for level in plan.levels]


def test_blocks_of_nothing_are_not_stored(tmp_path: Path) -> None:
    array = np.zeros((3000, 3000), "u2")
    array[100:200, 100:200] = 7
    plan = planned(array, "yx", (1, 1))

    begun(plan, tmp_path / "a.zarr").run(ArraySource(array))

    stored = [path for path in (tmp_path / "a.zarr" / "0").rglob("*") if path.is_file()]
    assert len(stored) == 2  # one chunk of 36, and the document
    assert (noc.open(tmp_path / "a.zarr").read(0) == array).all()


def test_what_is_there_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "thesis.txt").write_text("ten years")
    plan = planned(np.ones((9, 9), "u1"), "yx", (1, 1))

    with pytest.raises(ExistsError) as caught:
        begun(plan, tmp_path / "a.zarr")

    assert "thesis.txt" in str(caught.value)
    assert [path.name for path in (tmp_path / "a.zarr").iterdir()] == ["thesis.txt"]


def test_a_cancelled_write_is_no_image_and_goes_on_where_it_was(tmp_path: Path) -> None:
    array = np.random.default_rng(2).integers(1, 99, (48, 600, 600), "u2")
    plan = planned(array, "zyx", (1, 1, 1), chunks=(1, 300, 300), factors=[])
    source = ArraySource(array)
    writing = begun(plan, tmp_path / "a.zarr")

    def cancel_midway() -> None:
        if len(source.regions) == 3:
            writing.progress.cancel()

    source.before_read = cancel_midway
    with pytest.raises(WriteError, match="cancelled"):
        writing.run(source, threads=1)

    with pytest.raises(NotFoundError, match="began and has not ended"):
        noc.open(tmp_path / "a.zarr")
    # What a process that is killed leaves of a file: its name comes when it is whole.
    for half in ("0/c/0/0/0#1", f"{WRITE_NOTES}/plan.json#2"):
        (tmp_path / "a.zarr" / half).write_bytes(b"half")
    again = ArraySource(array)
    resumed = begun(plan, tmp_path / "a.zarr")
    resumed.run(again)
    assert resumed.progress.tasks_skipped > 0
    assert not {r.start for r in again.regions} & {r.start for r in source.regions[:3]}
    assert (noc.open(tmp_path / "a.zarr").read(0) == array).all()
    assert not (tmp_path / "a.zarr" / WRITE_NOTES).exists()
    assert not list((tmp_path / "a.zarr").rglob("*#*"))


def test_a_shard_takes_the_memory_of_what_is_compressed(tmp_path: Path) -> None:
    shape = (128, 512, 512)  # 64 MB in one shard, of which every block is made when it is read

    class Made(ArraySource):
        def read(self, level: int, region: Region) -> np.ndarray:
            depth = np.arange(region.start[0], region.stop[0], dtype="u2") + 1
            return np.broadcast_to(depth[:, None, None], region.shape).copy()

    source = Made(np.broadcast_to(np.zeros((), "u2"), shape))
    options: dict[str, Any] = {"chunks": (4, 128, 128), "shards": shape, "factors": [(1, 2, 2)]}
    plan = planned(source.array, "zyx", (1, 1, 1), **options)
    writing = begun(plan, tmp_path / "a.zarr")
    tracemalloc.start()
    try:
        writing.run(source, threads=1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    # A block, its coarser one and what is made of them; the shard has 64 MB of voxels.
    assert peak < 40e6
    assert (noc.open(tmp_path / "a.zarr").read(0)[:, 0, 0] == 1 + np.arange(128)).all()


def test_of_what_is_computed_no_finished_shard_is_computed_again(tmp_path: Path) -> None:
    array = np.random.default_rng(2).integers(1, 99, (16, 64, 64), "u2")
    options = {"chunks": (4, 16, 16), "shards": (8, 32, 32), "factors": [(2, 2, 2)]}
    plan = replace(planned(array, "zyx", (1, 1, 1), **options), block_voxels=4 * 16 * 16)
    source = ArraySource(array)

    def fail_late() -> None:
        if len(source.regions) == 50:  # of 64 blocks, in 8 shards of 8
            raise ServerError("The source is gone")

    source.before_read = fail_late
    with pytest.raises(ServerError):
        begun(plan, tmp_path / "a.zarr").run(source, threads=1)
    again = ArraySource(array)
    resumed = begun(plan, tmp_path / "a.zarr")
    resumed.run(again)

    assert len(again.regions) == 64 - 48  # but for those of the six that were whole
    assert resumed.progress.tasks_skipped == 48
    image = noc.open(tmp_path / "a.zarr")
    assert (image.read(0) == array).all()
    assert (image.read(1) == downsample(array, (2, 2, 2), "mean")).all()


def test_another_plan_or_origin_does_not_take_up_a_write(tmp_path: Path) -> None:
    array = np.ones((9, 9), "u1")
    begun(planned(array, "yx", (1, 1)), tmp_path / "a.zarr", origin="this image").release()

    for plan, origin in [
        (planned(array, "yx", (1, 1), codec="zstd"), "this image"),
        (planned(array, "yx", (1, 1)), "another image"),
    ]:
        with pytest.raises(ExistsError, match="the beginning of another save"):
            begun(plan, tmp_path / "a.zarr", origin=origin)


def test_the_documents_are_as_the_specification_wants_them(tmp_path: Path) -> None:
    array = np.ones((2, 9, 300, 300), "u2")
    plan = planned(array, "czyx", (1, 2, 0.5, 0.5))
    begun(plan, tmp_path / "a.zarr", beside={"made by": "hand"}).run(ArraySource(array))

    root = json.loads((tmp_path / "a.zarr" / "zarr.json").read_text())
    level = json.loads((tmp_path / "a.zarr" / "0" / "zarr.json").read_text())

    assert root["attributes"]["made by"] == "hand"
    assert root["attributes"]["ome"]["version"] == "0.5"
    multiscale = root["attributes"]["ome"]["multiscales"][0]
    assert multiscale["axes"][1] == {"name": "z", "type": "space", "unit": "micrometer"}
    assert multiscale["datasets"][0]["coordinateTransformations"] == [
        {"type": "scale", "scale": [1, 2, 0.5, 0.5]},
        {"type": "translation", "translation": [0, 1, 2, 3]},
    ]
    assert level["dimension_names"] == ["c", "z", "y", "x"]
