"""What is measured of objects, against scikit-image and by hand."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from skimage import measure

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process.regions import find_regions, measure_regions
from napari_omezarr_cloud.process.table import Column, Table

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SAME_NAME = {
    "equivalent_diameter": "equivalent_diameter_area",
    "centroid": "centroid",
    "extent": "extent",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "orientation": "orientation",
    "euler_number": "euler_number",
    "axis_major_length": "axis_major_length",
    "axis_minor_length": "axis_minor_length",
}
INTENSITY = {
    "mean": "intensity_mean",
    "min": "intensity_min",
    "max": "intensity_max",
    "std": "intensity_std",
    "median": "intensity_median",
}


def blobs(shape: tuple[int, ...], seed: int = 3) -> NDArray[Any]:
    """Return objects of many shapes, some at the border, with gaps in their numbers."""
    rng = np.random.default_rng(seed)
    noise = rng.random(shape)
    for axis in range(len(shape)):
        noise = noise + np.roll(noise, 1, axis) + np.roll(noise, 2, axis)
    objects = np.asarray(measure.label(noise > np.quantile(noise, 0.6)))
    return objects * 3


def grey(shape: tuple[int, ...], dtype: str = "uint16") -> NDArray[Any]:
    return (np.random.default_rng(5).random(shape) * 200).astype(dtype)


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((60, 70), (0.5, 0.5)), ((60, 70), (0.5, 0.3)), ((12, 30, 30), (2.0, 0.5, 0.5))],
    ids=["square pixels", "oblong pixels", "volume"],
)
def test_every_column_equals_scikit_image(
    shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    labels, image = blobs(shape), grey(shape)

    table = measure_regions(labels, {"dna": image}, spacing=spacing, unit="µm")

    ndim = len(shape)
    names = [*SAME_NAME.values(), *INTENSITY.values(), "label", "area", "centroid_weighted"]
    if ndim == 3:
        names = [name for name in names if name not in ("eccentricity", "orientation", "solidity")]
    elif len(set(spacing)) == 1:
        names.append("perimeter")
    expected = measure.regionprops_table(labels, image, properties=names, spacing=spacing)
    axes = "zyx"[-ndim:]
    pairs = {"label": "label", "area" if ndim == 2 else "volume": "area"}
    pairs |= {name: name for name in names if name == "perimeter"}
    pairs |= {mine: theirs for mine, theirs in SAME_NAME.items() if theirs in names}
    pairs |= {f"{mine}_dna": theirs for mine, theirs in INTENSITY.items()}
    del pairs["centroid"]
    pairs |= {f"centroid_{a}": f"centroid-{i}" for i, a in enumerate(axes)}
    pairs |= {f"centroid_weighted_{a}_dna": f"centroid_weighted-{i}" for i, a in enumerate(axes)}
    for mine, theirs in pairs.items():
        np.testing.assert_allclose(table[mine], expected[theirs], rtol=1e-9, atol=1e-9)
    assert len(table) > 5


def test_solidity_of_solid_bodies_equals_scikit_image() -> None:
    labels = np.zeros((8, 12, 12), int)
    labels[1:5, 1:5, 1:5] = 1
    labels[1:6, 6:11, 6:11] = 2
    labels[2:4, 7:9, 6:11] = 0

    table = measure_regions(labels, properties=["solidity"])

    expected = measure.regionprops_table(labels, properties=["solidity"])
    np.testing.assert_array_equal(table["solidity"], expected["solidity"])
    assert table["solidity"][1] < 1


def test_positions_are_where_the_voxels_lie_in_the_world() -> None:
    labels = np.zeros((10, 20), int)
    labels[2:4, 10:13] = 7

    table = measure_regions(
        labels, spacing=(0.5, 2.0), offset=(100.0, -30.0), properties=["position"], unit="µm"
    )

    assert table["centroid_y"] == [101.25]
    assert table["centroid_x"] == [-8.0]
    assert (table["bbox_min_y"], table["bbox_max_y"]) == ([100.75], [101.75])
    assert (table["bbox_min_x"], table["bbox_max_x"]) == ([-11.0], [-5.0])
    assert {c.unit for c in table.columns if c.name.startswith(("centroid", "bbox"))} == {"µm"}


def test_areas_are_in_square_and_volumes_in_cubic_units() -> None:
    flat = measure_regions(np.ones((4, 5), int), spacing=(0.5, 0.5), unit="µm")
    body = measure_regions(np.ones((2, 4, 5), int), spacing=(2, 0.5, 0.5), unit="µm")

    assert flat.to_dict()["area (µm²)"] == [5.0]
    assert body.to_dict()["volume (µm³)"] == [20.0]
    assert not {"area", "perimeter", "orientation"} & set(body.names)
    sizes = measure_regions(np.ones((4, 5), int), properties=["size"])
    assert "area" in sizes.to_dict(), "without a unit none is named"


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", ">i4", "int64", "uint64"])
def test_labels_of_every_whole_number_dtype_are_measured(dtype: str) -> None:
    labels = np.zeros((6, 6), dtype)
    labels[1:3, 1:3] = 1

    table = measure_regions(labels, properties=["size"])

    assert table["label"].tolist() == [1]
    assert table["area"].tolist() == [4.0]


def test_huge_numbers_with_gaps_are_kept_as_they_are() -> None:
    labels = np.zeros((4, 9), np.uint64)
    numbers = [3, 10**12, 2**64 - 1]
    for at, number in enumerate(numbers):
        labels[1, 3 * at : 3 * at + 1 + at] = number

    table = measure_regions(labels, {"dna": np.ones((4, 9))})

    assert table["label"].tolist() == numbers
    assert table["area"].tolist() == [1, 2, 3]
    assert table["sum_dna"].tolist() == [1, 2, 3]


def test_negative_labels_are_measured_and_noted() -> None:
    table = measure_regions(np.array([[-4, -4, 0], [0, 2, 2]]), properties=["size"])

    assert table["label"].tolist() == [-4, 2]
    assert "Negative" in table.notes[0]


def test_many_objects_are_measured_without_a_walk_through_each() -> None:
    labels = np.arange(1, 160_001).reshape(400, 400) * 1000
    image = np.arange(160_000).reshape(400, 400)
    walked: list[int] = []

    table = measure_regions(
        labels,
        {"dna": image},
        properties=["size", "position", "intensity"],
        on_progress=lambda done, count: walked.append(done),
    )

    np.testing.assert_array_equal(table["label"], labels.ravel())
    np.testing.assert_array_equal(table["median_dna"], image.ravel())
    assert set(walked) == {0}


def test_parts_of_one_number_are_one_object() -> None:
    labels = np.zeros((9, 9), int)
    labels[0:2, 0:2] = labels[6:8, 6:8] = 5

    table = measure_regions(labels, properties=["size", "euler_number"])

    assert table["area"].tolist() == [8]
    assert table["euler_number"].tolist() == [2]


def test_objects_at_the_edge_of_the_view_are_marked() -> None:
    labels = np.zeros((9, 9), int)
    labels[0, 4], labels[4, 4], labels[4, 8] = 1, 2, 3

    assert measure_regions(labels)["touches_edge"].tolist() == [True, False, True]
    one_plane = np.stack([labels])
    assert measure_regions(one_plane)["touches_edge"].tolist() == [True, False, True]


def test_a_flat_object_in_a_volume_has_no_hull_and_the_rest_is_there() -> None:
    labels = np.zeros((5, 8, 8), int)
    labels[2, 1:4, 1:4] = 1
    labels[1:4, 5:8, 5:8] = 2

    table = measure_regions(labels, spacing=(2, 1, 1))

    assert np.isnan(table["solidity"][0])
    assert table["solidity"][1] == 1
    assert table["volume"].tolist() == [18, 54]
    assert table.notes == (
        "solidity is empty for 1 object: a flat object has no convex hull in 3D.",
    )


def test_oblong_pixels_have_no_perimeter_and_it_is_said() -> None:
    oblong = measure_regions(np.ones((5, 5), int), spacing=(1, 2))
    rounded = measure_regions(np.ones((5, 5), int), spacing=(0.65, 0.65000001))

    assert "perimeter" not in oblong.names
    assert "perimeter was left out" in oblong.notes[0]
    assert rounded["perimeter"] == [pytest.approx(16 * 0.65)]


def test_grey_values_that_are_no_number_spoil_only_their_object() -> None:
    labels = np.array([[1, 1, 0, 2, 2]] * 2)
    image = np.ones((2, 5), "f4")
    image[0, 0] = np.nan

    table = measure_regions(labels, {"ratio": image}, properties=["intensity"])

    for name in ("mean", "min", "max", "std", "sum", "median"):
        assert np.isnan(table[f"{name}_ratio"][0])
        assert np.isfinite(table[f"{name}_ratio"][1])
    assert any("ratio is empty for 1 object" in note for note in table.notes)


def test_black_objects_have_no_weighted_centre() -> None:
    table = measure_regions(np.ones((2, 3), int), {"dna": np.zeros((2, 3), "u1")})

    assert np.isnan(table["centroid_weighted_y_dna"][0])
    assert "the sum of the grey values is 0" in " ".join(table.notes)


@pytest.mark.parametrize("shape", [(4, 4), (0, 4), (2, 3, 4)])
def test_a_view_without_objects_gives_a_table_without_rows(shape: tuple[int, ...]) -> None:
    table = measure_regions(np.zeros(shape, "u2"), {"dna": np.zeros(shape)})

    assert len(table) == 0
    assert "mean_dna" in table.names
    assert table.to_text().startswith("label\t")


@pytest.mark.parametrize("dtype", ["bool", "int8", "float16", ">u2", "uint64"])
def test_images_of_every_real_dtype_are_measured(dtype: str) -> None:
    image = np.ones((3, 3), dtype)

    table = measure_regions(np.ones((3, 3), int), {"it": image})

    assert table["sum_it"] == [9]


@pytest.mark.parametrize(
    ("labels", "images", "how", "told"),
    [
        (np.ones((3, 3)), {}, {}, "whole numbers"),
        (np.ones(3, int), {}, {}, "1 axes"),
        (np.ones((3, 3), int), {"dna": np.ones((3, 4))}, {}, "dna"),
        (np.ones((3, 3), int), {"dna": np.ones((3, 3), complex)}, {}, "real numbers"),
        (np.ones((3, 3), int), {}, {"properties": ["sizes"]}, "Did you mean size"),
        (np.ones((3, 3), int), {}, {"spacing": (1, 0)}, "above 0"),
        (np.ones((3, 3), int), {}, {"axes": "zyx"}, "axes"),
    ],
    ids=["floats", "a line", "another shape", "complex", "typing error", "no size", "axes"],
)
def test_what_cannot_be_measured_is_said(
    labels: Any, images: Any, how: dict[str, Any], told: str
) -> None:
    with pytest.raises(OperationError, match=told):
        measure_regions(labels, images, **how)


def test_neither_labels_nor_images_are_changed() -> None:
    labels, image = blobs((30, 30)), grey((30, 30))
    labels.flags.writeable = image.flags.writeable = False

    measure_regions(find_regions(labels), {"dna": image})


def test_measuring_shapes_can_be_ended_from_outside() -> None:
    class Ended(Exception):
        pass

    def end(done: int, count: int) -> None:
        if done:
            raise Ended

    with pytest.raises(Ended):
        measure_regions(np.arange(1, 1001).reshape(10, 100), on_progress=end)


@pytest.fixture
def table() -> Table:
    return Table(
        (
            Column("label", "", np.array([3, 10**12], np.uint64)),
            Column("area", "µm²", np.array([1 / 3, np.nan])),
            Column("touches_edge", "", np.array([True, False])),
        )
    )


def test_csv_has_units_all_digits_and_empty_fields(table: Table, tmp_path: Path) -> None:
    file = tmp_path / "cells.csv"

    table.to_csv(file)

    with file.open(encoding="utf-8", newline="") as text:
        rows = list(csv.reader(text))
    assert rows == [
        ["label", "area (µm²)", "touches_edge"],
        ["3", "0.3333333333333333", "True"],
        ["1000000000000", "", "False"],
    ]


def test_csv_is_never_written_over_a_file_unasked(table: Table, tmp_path: Path) -> None:
    file = tmp_path / "cells.csv"
    file.write_text("mine")

    with pytest.raises(OperationError, match="already"):
        table.to_csv(file)
    assert file.read_text() == "mine"

    table.to_csv(file, overwrite=True)
    assert file.read_text(encoding="utf-8").startswith("label,")
    assert list(tmp_path.iterdir()) == [file]


def test_csv_into_nowhere_says_so(table: Table, tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="not written"):
        table.to_csv(tmp_path / "missing" / "cells.csv")


def test_chosen_rows_are_copied_in_the_order_given(table: Table) -> None:
    text = table.to_text([1, 0])

    assert [line.split("\t")[0] for line in text.splitlines()] == ["label", "1000000000000", "3"]


def test_pandas_gets_the_same_columns(table: Table) -> None:
    pandas = pytest.importorskip("pandas")

    frame = table.to_pandas()

    pandas.testing.assert_frame_equal(frame, pandas.DataFrame(table.to_dict()))
    assert list(frame.columns) == ["label", "area (µm²)", "touches_edge"]
