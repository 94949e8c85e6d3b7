"""Measurements of whole label images, block by block: those of scikit-image on the whole array."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from skimage import measure

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.cli import main
from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process import whole_measuring, whole_measuring_run
from napari_omezarr_cloud.process.regions import measure_regions

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_omezarr_cloud.process.table import Table
    from napari_omezarr_cloud.write.progress import Progress


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk is a block, so that small images have borders."""
    monkeypatch.setattr(whole_measuring, "BLOCK_VOXELS", 1)


def blobs(shape: tuple[int, ...], seed: int, share: float = 0.5) -> NDArray[Any]:
    """Return objects from one voxel to half the image, with gaps in their numbers."""
    rng = np.random.default_rng(seed)
    noise = rng.random(shape)
    for axis in range(len(shape)):
        noise = noise + np.roll(noise, 1, axis) + np.roll(noise, 2, axis)
    return np.asarray(measure.label(noise > np.quantile(noise, share))).astype("u4") * 3


def image_of(array: NDArray[Any], axes: str, place: Path, chunks: int, **how: Any) -> noc.Image:
    source = noc.from_array(array, axes, name="an image", **how)
    sizes = [chunks if axis in "zyx" else 1 for axis in axes]
    return noc.save(source, place, chunks=sizes, levels=1, shards=None)


def assert_same(table: Table, expected: Table) -> None:
    """Compare all columns, whatever the positions."""
    assert table.names == expected.names
    for column, other in zip(table.columns, expected.columns, strict=True):
        mine, its = column.values.astype(float), other.values.astype(float)
        if column.name == "orientation":  # of what is as long as wide, rounding decides
            long = expected["axis_minor_length"] < 0.999 * expected["axis_major_length"]
            mine, its = np.where(long, np.cos(2 * mine), 1), np.where(long, np.cos(2 * its), 1)
        # Lengths are roots: where one is 0, rounding shows as 1e-8.
        np.testing.assert_allclose(mine, its, rtol=1e-7, atol=1e-6, err_msg=column.name)
        assert (column.unit, column.help) == (other.unit, other.help)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 2**32 - 1),
    case=st.sampled_from(
        [((40, 33), (0.5, 0.5)), ((40, 33), (0.5, 0.3)), ((9, 20, 17), (2.0, 0.5, 0.3))]
    ),
    chunk=st.integers(5, 12),
    share=st.floats(0.3, 0.9),
)
def test_all_columns_are_those_of_the_whole_array(
    seed: int,
    case: tuple[tuple[int, ...], tuple[float, ...]],
    chunk: int,
    share: float,
    tmp_path_factory: pytest.TempPathFactory,
    small_blocks: None,
) -> None:
    shape, scale = case
    labels = blobs(shape, seed, share)
    grey = np.random.default_rng(seed).integers(0, 4000, shape, "u2")
    folder, axes = tmp_path_factory.mktemp("whole"), "zyx"[-len(shape) :]
    objects = image_of(labels, axes, folder / "l.zarr", chunk, scale=scale, unit="micrometer")
    image = image_of(grey, axes, folder / "i.zarr", chunk + 1, scale=scale, unit="micrometer")

    table = noc.measure(objects, {"dna": image}, threads=2)

    expected = measure_regions(labels, {"dna": grey}, spacing=scale, unit="µm")
    assert_same(table, expected)
    assert {*table.notes} == {*expected.notes}
    # And once not by way of our own: what blocks sum up is what scikit-image counts.
    names = ["label", "area", "centroid", "axis_major_length", "intensity_std"]
    theirs = measure.regionprops_table(labels, grey, properties=names, spacing=scale)
    mine = ["label", table.names[1], f"centroid_{axes[0]}", "axis_major_length", "std_dna"]
    names[2] = "centroid-0"
    for own, name in zip(mine, names, strict=True):
        np.testing.assert_allclose(table[own], theirs[name], rtol=1e-7, atol=1e-9)


def test_a_part_of_a_series_with_channels(tmp_path: Path) -> None:
    labels = np.stack([blobs((6, 20, 22), seed) for seed in (1, 2, 3)])[:, None]
    grey = np.random.default_rng(0).random((3, 2, 6, 20, 22)).astype("f4")
    axes, scale = "tczyx", (1, 1, 2.0, 0.5, 0.5)
    objects = image_of(labels, axes, tmp_path / "l.zarr", 7, scale=scale, unit="nanometer")
    image = image_of(grey, axes, tmp_path / "i.zarr", 9, scale=scale, unit="nanometer")
    region = (slice(1, 3), slice(None), slice(1, 6), slice(3, 18), slice(0, 22))

    table = noc.measure(objects, image, region=region, properties=["size", "position", "mean"])

    assert table.names[:3] == ("label", "t", "volume")
    for t in (1, 2):
        part = labels[t, 0, 1:6, 3:18]
        expected = measure_regions(
            part,
            {f"c{c}": grey[t, c, 1:6, 3:18] for c in (0, 1)},
            properties=["size", "position", "mean"],
            spacing=(0.002, 0.0005, 0.0005),
            offset=(0.002, 0.0015, 0),
            unit="µm",
        )
        rows = table["t"] == t
        for name in expected.names:
            np.testing.assert_allclose(table[name][rows], expected[name], rtol=1e-6)


def test_planes_alone_and_an_image_of_another_resolution(tmp_path: Path) -> None:
    planes = np.stack([blobs((24, 30), seed) for seed in (5, 6)])
    grey = np.random.default_rng(1).integers(0, 99, (2, 12, 15), "u1")
    fine = {"scale": (3, 1, 1), "unit": "micrometer"}
    objects = image_of(planes, "zyx", tmp_path / "l.zarr", 7, **fine)
    coarse = noc.from_array(
        grey, "zyx", scale=(3, 2, 2), unit="micrometer"
    )  # its voxels lie at even ones of the labels

    table = noc.measure(
        objects, {"dna": coarse}, by_plane=True, properties=["size", "sum", "shape"]
    )

    at = [np.minimum(np.ceil(np.arange(n) / 2 - 0.5).astype(int), n // 2 - 1) for n in (24, 30)]
    under = grey[:, at[0]][:, :, at[1]]
    for z in (0, 1):
        expected = measure_regions(
            planes[z], {"dna": under[z]}, properties=["size", "sum", "shape"], spacing=(1, 1)
        )
        for name in expected.names:
            np.testing.assert_allclose(table[name][table["z"] == z], expected[name], rtol=1e-7)


def test_objects_too_large_for_what_needs_them_whole_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_measuring_run, "_OBJECT_VOXELS", 200)
    labels = np.zeros((30, 40), "i4")
    labels[2:28, 3:38] = 7
    labels[0, 0:12] = 8  # over two blocks, but small
    objects = image_of(labels, "yx", tmp_path / "l.zarr", 8)

    table = noc.measure(objects, properties=["area", "solidity"])

    assert table["area"].tolist() == [26 * 35, 12]
    assert np.isnan(table["solidity"][0])
    assert table["solidity"][1] == 1
    assert any("solidity is empty for 1 object: they are too large" in n for n in table.notes)


def test_nothing_there_is_a_table_without_rows(tmp_path: Path) -> None:
    objects = image_of(np.zeros((9, 9), "u1"), "yx", tmp_path / "l.zarr", 4)

    table = noc.measure(objects, {"dna": objects})

    assert len(table) == 0
    assert "median_dna" in table.names
    table.save(tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text().startswith("label,")


def test_it_says_before_what_it_takes_counts_and_can_be_cancelled(tmp_path: Path) -> None:
    objects = image_of(blobs((40, 40), 1), "yx", tmp_path / "l.zarr", 10)
    told: list[tuple[int, int]] = []

    def tell(progress: Progress) -> None:
        told.append((progress.tasks_done, progress.task_count))
        if progress.tasks_done == 5:
            progress.cancel()

    plan = noc.plan_measure(objects, properties=["size"])
    assert "level 0, yx 40 x 40: 16 blocks" in str(plan)
    with pytest.raises(OperationError, match="cancelled"):
        noc.measure(objects, properties=["size"], on_progress=tell, threads=1)
    assert told[:5] == [(n, 16) for n in range(1, 6)]
    assert len(told) < 16


def test_what_cannot_be_measured_is_refused_with_a_way_out(tmp_path: Path) -> None:
    grey = noc.from_array(np.zeros((3, 20, 20), "f4"), "tyx")
    objects = noc.from_array(np.ones((20, 20), "u1"), "yx")
    labelled = noc.apply(objects, noc.Step("label"))

    with pytest.raises(OperationError, match="Make labels first"):
        noc.measure(grey)
    with pytest.raises(OperationError, match="has the axes tyx, the labels yx"):
        noc.measure(objects, {"dna": grey})
    with pytest.raises(OperationError, match="Run it on the whole image first"):
        noc.measure(labelled)
    with pytest.raises(OperationError, match="Did you mean area"):
        noc.measure(objects, properties=["aera"])


def test_a_file_is_csv_or_parquet_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    objects = noc.from_array(blobs((20, 20), 3), "yx", unit="micrometer")
    table = noc.measure(objects, properties=["size", "solidity"])

    table.save(tmp_path / "t.csv")
    table.save(tmp_path / "t.parquet")

    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "t.csv"), pd.read_parquet(tmp_path / "t.parquet"), check_dtype=False
    )
    for name, why in (("t.csv", "already"), ("t.xlsx", "ends with '.xlsx'"), ("t", "no ending")):
        with pytest.raises(OperationError, match=why):
            table.save(tmp_path / name)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(OperationError, match=r"napari-omezarr-cloud\[parquet\]"):
        table.save(tmp_path / "u.parquet")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["t.csv", "t.parquet"]


def test_the_shell_measures_labels_over_their_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels, grey = blobs((20, 24), 3), np.arange(480, dtype="u2").reshape(20, 24)
    image = image_of(grey, "yx", tmp_path / "i.zarr", 8)
    noc.save_labels(noc.from_array(labels, "yx"), image, "cells", chunks=(8, 8))
    out = tmp_path / "cells.csv"
    command = ["measure", str(tmp_path / "i.zarr" / "labels" / "cells"), str(out)]
    command += ["--image", str(tmp_path / "i.zarr"), "--properties", "area,mean"]

    assert main([*command, "--estimate"]) == 0
    assert "9 blocks" in capsys.readouterr().out
    assert not out.exists()
    assert main(command) == 0
    assert capsys.readouterr().out.endswith(f"objects, written to {out}\n")
    with out.open() as file:
        rows = list(csv.DictReader(file))
    expected = measure.regionprops_table(
        labels, grey, properties=["label", "area", "intensity_mean"]
    )
    assert [int(row["label"]) for row in rows] == expected["label"].tolist()
    np.testing.assert_allclose([float(row["area"]) for row in rows], expected["area"])
    means = [float(row[next(k for k in row if k.startswith("mean_"))]) for row in rows]
    np.testing.assert_allclose(means, expected["intensity_mean"])
    assert main(command) == 1
    assert "already" in capsys.readouterr().err


def test_the_shell_says_what_is_no_label_image_and_no_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noc.save(noc.from_array(np.arange(480, dtype="u2").reshape(1, 20, 24), "cyx"), tmp_path / "i")
    command = ["measure", str(tmp_path / "i"), str(tmp_path / "t.csv"), "--level", "-1"]

    assert main(command) == 0
    said = capsys.readouterr().out
    assert said.count("has channels, as images have") == 1
    assert "1 block," in said
    assert main([*command[:2], "s3://bucket/t.csv"]) == 1
    assert "a table goes to this disk" in capsys.readouterr().err
