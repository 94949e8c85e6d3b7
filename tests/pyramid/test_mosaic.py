"""Fields side by side: each voxel where it belongs, everything else blank."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.pyramid.cells import cell_axis
from napari_omezarr_cloud.pyramid.plate_opened import FieldChoice, field_choice
from tests.fixtures.plates import (
    field_pixels,
    write_bare_plate,
    write_field,
    write_plate,
    write_well,
)
from tests.fixtures.rounds import rounds
from tests.fixtures.slow_http import SlowServer

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def cell(image: noc.Image, row: int, column: int, level: int = 0) -> NDArray[Any]:
    """Return the voxels of one cell, its gap included."""
    plate = image.plate
    assert plate is not None
    _, y, x = image.levels[level].scale
    height, width = round(plate.cell[0] / y), round(plate.cell[1] / x)
    rows = slice(row * height, (row + 1) * height)
    return image.read(level, (slice(None), rows, slice(column * width, (column + 1) * width)))


def check_cell(found: NDArray[Any], pixels: NDArray[Any]) -> None:
    """The field at the corner, blank beyond."""
    expected = np.zeros_like(found)
    _, height, width = pixels.shape
    expected[:, :height, :width] = pixels
    np.testing.assert_array_equal(found, expected)


# ---- cells --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "chunks", "scales"),
    [
        ([2160, 1080, 540, 270, 135], [1024, 1024, 540, 270, 135], [1, 2, 4, 8, 16]),
        ([2048, 1024], [256, 256], [0.3, 0.6]),
        ([37, 19, 10], [16, 16, 16], [1, 2, 4]),
        ([101, 34], [32, 32], [1, 3]),
        ([1000, 700], [128, 128], [1, 1.43]),
        ([1], [1], [1.0]),
        ([5, 3, 2, 1], [1, 1, 1, 1], [1, 2, 4, 8]),
    ],
)
def test_a_tile_fits_into_its_cell_on_every_level_and_chunks_divide_it(
    sizes: list[int], chunks: list[int], scales: list[float]
) -> None:
    axis = cell_axis(sizes, chunks, scales)

    length = axis.pitches[0] * axis.scales[0]
    for pitch, chunk, scale, size, own in zip(
        axis.pitches, axis.chunks, axis.scales, sizes, scales, strict=True
    ):
        assert pitch >= size
        assert pitch % chunk == 0
        assert pitch * scale == pytest.approx(length)
        assert scale == pytest.approx(own, rel=0.02)


def test_where_levels_are_whole_factors_voxels_are_exactly_as_large_as_the_tiles() -> None:
    axis = cell_axis([2160, 1080, 540], [1024, 1024, 540], [0.5, 1.0, 2.0])

    assert axis.scales == (0.5, 1.0, 2.0)
    assert 2160 < axis.pitches[0] < 2300


# ---- plates -------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [7, 16, 64])
@pytest.mark.parametrize("shape", [(2, 37, 45), (1, 64, 64), (3, 5, 90)])
def test_every_voxel_of_every_well_is_in_its_place(
    tmp_path: Path, chunk: int, shape: tuple[int, int, int]
) -> None:
    wells = {path: [field_pixels(n, shape)] for n, path in enumerate(("A/1", "A/3", "B/2"))}
    write_plate(tmp_path / "plate.zarr", wells, chunk=chunk)

    image = noc.open(tmp_path / "plate.zarr")

    for level in (0, 1):
        for path, (pixels,) in wells.items():
            row, column = "AB".index(path[0]), "123".index(path[2])
            check_cell(cell(image, row, column, level), pixels[:, :: 2**level, :: 2**level])
        for blank in ((0, 1), (1, 0), (1, 2)):
            assert not cell(image, *blank, level).any()
        np.testing.assert_array_equal(image.levels[level].dask.compute(), image.read(level))


def test_wells_that_are_listed_and_not_there_are_blank_with_a_note(tmp_path: Path) -> None:
    pixels = field_pixels(1)
    listed = ["A/1", "A/2", "B/3"]
    write_plate(tmp_path / "plate.zarr", {"A/2": [pixels]}, listed=listed)

    image = noc.open(tmp_path / "plate.zarr")

    check_cell(cell(image, 0, 1), pixels)
    assert np.count_nonzero(image.read(0)) == pixels.size
    assert any("A1" in note and "B3" in note and "blank" in note for note in image.notes)


def test_what_is_not_there_is_dark_whatever_wells_are_filled_with(tmp_path: Path) -> None:
    write_bare_plate(tmp_path / "plate.zarr", 1, 3, size=64, chunk=64, present=["A/1", "A/3"])

    pixels = noc.open(tmp_path / "plate.zarr").read(0)

    middles = pixels[32, 32 :: pixels.shape[1] // 3]
    assert middles.tolist() == [40, 0, 66]


def test_a_plate_of_which_no_well_is_there_is_refused(tmp_path: Path) -> None:
    write_plate(tmp_path / "plate.zarr", {}, listed=["A/1", "B/2"])

    with pytest.raises(CloudError, match="not there"):
        noc.open(tmp_path / "plate.zarr")


def test_one_broken_well_fails_alone_and_is_named(tmp_path: Path) -> None:
    pixels = field_pixels(1)
    write_plate(tmp_path / "plate.zarr", {"A/1": [pixels], "A/2": [field_pixels(2)]})
    (tmp_path / "plate.zarr" / "A" / "2" / "0" / "zarr.json").write_text("{broken")

    image = noc.open(tmp_path / "plate.zarr")

    check_cell(cell(image, 0, 0), pixels)
    with pytest.raises(CloudError, match="A/2"):
        cell(image, 0, 1)


def test_a_broken_first_well_does_not_hide_the_others(tmp_path: Path) -> None:
    pixels = field_pixels(2)
    write_plate(tmp_path / "plate.zarr", {"A/1": [field_pixels(1)], "A/2": [pixels]})
    (tmp_path / "plate.zarr" / "A" / "1" / "zarr.json").write_text("<html>")

    check_cell(cell(noc.open(tmp_path / "plate.zarr"), 0, 1), pixels)


def test_smaller_fields_lie_at_the_corner_and_larger_ones_are_cut_with_a_note(
    tmp_path: Path,
) -> None:
    small, large = field_pixels(2, (2, 20, 11)), field_pixels(3, (2, 80, 45))
    write_plate(tmp_path / "plate.zarr", {"A/1": [field_pixels(1)], "A/2": [small], "B/1": [large]})

    image = noc.open(tmp_path / "plate.zarr")

    check_cell(cell(image, 0, 1), small)
    found = cell(image, 1, 0)
    np.testing.assert_array_equal(found[:, :, :45], large[:, : found.shape[1]])
    assert any("cut" in note and "B1" in note for note in image.notes)


def test_fields_of_other_types_and_channels_take_the_first_ones(tmp_path: Path) -> None:
    one, many = field_pixels(2, (1, 37, 45)), field_pixels(3, (3, 37, 45))
    floats = field_pixels(4).astype("f4") + 0.25
    floats[0, 0, :3] = [-5, 1e9, np.nan]
    wells = {"A/1": [field_pixels(1)], "A/2": [one], "A/3": [many], "B/1": [floats]}
    write_plate(tmp_path / "plate.zarr", wells)

    image = noc.open(tmp_path / "plate.zarr")

    check_cell(cell(image, 0, 1)[:1], one)
    assert not cell(image, 0, 1)[1:].any()
    check_cell(cell(image, 0, 2), many[:2])
    shown = np.rint(floats).clip(0, 65535)
    shown[0, 0, 2] = 0
    check_cell(cell(image, 1, 0), shown.astype("u2"))
    notes = " ".join(image.notes)
    assert "More along c" in notes
    assert "float32" in notes


def test_a_field_with_fewer_levels_stays_as_large_as_it_is(tmp_path: Path) -> None:
    pixels = field_pixels(2)
    write_plate(tmp_path / "plate.zarr", {"A/1": [field_pixels(1)], "A/2": [pixels]}, levels=3)
    for level in "12":
        (tmp_path / "plate.zarr" / "A" / "2" / "0" / level / "zarr.json").unlink()
    write_field(tmp_path / "plate.zarr" / "A" / "3" / "0", pixels, levels=1)
    write_well(tmp_path / "plate.zarr" / "A" / "3", ["0"])

    image = noc.open(tmp_path / "plate.zarr")

    found = cell(image, 0, 1, level=2)
    height, width = found.any(axis=0).nonzero()
    assert (height.max() + 1, width.max() + 1) == (9, 11)  # 37, 45 over 4, not the first 10 x 12


def test_another_field_of_each_well_can_be_chosen(tmp_path: Path) -> None:
    fields = [field_pixels(n) for n in range(5)]
    write_plate(
        tmp_path / "plate.zarr", {"A/1": fields[:2], "A/2": fields[2:3], "B/1": fields[3:5]}
    )

    first = noc.open(tmp_path / "plate.zarr")
    second = noc.open(tmp_path / "plate.zarr", field=1)

    check_cell(cell(first, 1, 0), fields[3])
    check_cell(cell(second, 0, 0), fields[1])
    assert not cell(second, 0, 1).any()
    check_cell(cell(second, 1, 0), fields[4])
    assert first.plate is not None
    assert first.plate.field_count == 2
    assert any("several fields" in note for note in first.notes)
    with pytest.raises(CloudError, match="field"):
        noc.open(tmp_path / "plate.zarr", field=2)
    with pytest.raises(CloudError, match="field"):
        noc.open(tmp_path / "plate.zarr", field=-1)


def write_all_fields(
    path: Path, wells: dict[str, list[tuple[float, float] | None]], **stated: int
) -> None:
    """Write a plate with fields at these positions (µm); voxels by `pixels_of`."""
    write_plate(path, {well: [] for well in wells}, listed=[*wells, "B/2"])
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["ome"]["plate"] |= stated
    (path / "zarr.json").write_text(json.dumps(document))
    for well, spots in wells.items():
        write_well(path / well, [str(n) for n in range(len(spots))])
        for n, spot in enumerate(spots):
            write_field(path / well / str(n), pixels_of(well, n), translation=spot)


def pixels_of(well: str, number: int) -> NDArray[Any]:
    return field_pixels(100 * ord(well[0]) + 10 * int(well[2]) + number)


def test_all_fields_of_each_well_lie_where_its_own_metadata_say(tmp_path: Path) -> None:
    write_all_fields(
        tmp_path / "plate.zarr",
        {
            "A/1": [(0.0, 30.0), (0.0, 0.0), (20.0, 0.0)],  # the fourth place is empty
            "A/2": [(5020.0, 930.0), (5000.0, 900.0)],  # where the stage was
            "A/3": [None, None],
            "B/1": [None] * 5,  # more than the plate says
            "B/3": [(0.0, 30.0), None, (20.0, 30.0)],  # one not moved, which needs no translation
        },
        field_count=4,
    )

    image = noc.open(tmp_path / "plate.zarr", field="all")
    plate = image.plate

    assert plate is not None
    assert plate.field is None
    assert plate.field_at(1, 1) is None  # nobody has looked yet
    rows, columns = (round(n / 0.5 / 2) for n in plate.cell)
    for level in (0, 1):
        pixels = image.read(level)
        height, width = (n // 2**level for n in (rows, columns))
        for well, places in {
            "A/1": {(0, 1): 0, (0, 0): 1, (1, 0): 2},
            "A/2": {(1, 1): 0, (0, 0): 1},
            "A/3": {(0, 0): 0, (0, 1): 1},
            "B/1": {(0, 0): 0, (0, 1): 1, (1, 0): 2, (1, 1): 3},
            "B/2": {},
            "B/3": {(0, 1): 0, (0, 0): 1, (1, 1): 2},
        }.items():
            for place in ((0, 0), (0, 1), (1, 0), (1, 1)):
                row = 2 * "AB".index(well[0]) + place[0]
                column = 2 * "123".index(well[2]) + place[1]
                found = pixels[
                    :, row * height : (row + 1) * height, column * width : (column + 1) * width
                ]
                number = places.get(place)
                expected = found[:, :0] if number is None else pixels_of(well, number)
                check_cell(found, expected[:, :: 2**level, :: 2**level])
                at = (row + 0.5) * rows * 0.5, (column + 0.5) * columns * 0.5
                assert plate.field_at(*at) == number
    assert any("more fields than have room" in n and "B1 (1 of 5" in n for n in image.notes)
    with pytest.raises(CloudError, match="field"):
        noc.open(tmp_path / "plate.zarr", field="every")  # type: ignore[arg-type]


def test_wells_have_room_for_as_many_fields_as_any_of_a_few_has(tmp_path: Path) -> None:
    write_all_fields(tmp_path / "plate.zarr", {"A/1": [None], "A/3": [None] * 3})

    image = noc.open(tmp_path / "plate.zarr", field="all")

    assert image.plate is not None
    assert image.plate.across == (2, 2)
    found = image.read(0)
    assert np.count_nonzero(found) == 4 * pixels_of("A/1", 0).size
    assert not any("more fields" in note for note in image.notes)


def test_labels_are_found_where_the_first_field_has_none(tmp_path: Path) -> None:
    wells = {path: [field_pixels(n)] for n, path in enumerate(("A/1", "A/2", "A/3"))}
    write_plate(tmp_path / "plate.zarr", wells)
    mask = np.ones((1, 37, 45), "u1")
    write_field(tmp_path / "plate.zarr" / "A" / "2" / "0" / "labels" / "cells", mask)
    group = zarr.open_group(tmp_path / "plate.zarr" / "A" / "2" / "0" / "labels", mode="a")
    group.attrs["ome"] = {"version": "0.5", "labels": ["cells"]}

    image = noc.open(tmp_path / "plate.zarr")
    (labels,) = image.labels

    width = labels.levels[0].shape[-1] // 3
    found = labels.read(0)
    assert found[0, :37, width : width + 45].all()
    assert np.count_nonzero(found) == mask.size
    assert labels.levels[0].shape[-2:] == image.levels[0].shape[-2:]


@pytest.mark.parametrize("name", ["B3", "b3", "B03", "B/3", " b-03 ", "B 3"])
def test_a_well_is_found_by_the_names_that_people_write(tmp_path: Path, name: str) -> None:
    write_plate(tmp_path / "plate.zarr", {"A/1": [field_pixels(1)], "B/3": [field_pixels(2)]})

    plate = noc.open(tmp_path / "plate.zarr").plate

    assert plate is not None
    found = plate.find(name)
    assert found is not None
    assert found.path == "B/3"
    assert plate.find("B4") is None
    assert plate.find("") is None


@pytest.mark.parametrize(("text", "field"), [("", None), (" 0 ", 0), ("12", 12), ("All", "all")])
def test_a_field_is_written_as_a_number_or_all(text: str, field: FieldChoice) -> None:
    assert field_choice(text) == field


@pytest.mark.parametrize("text", ["-1", "1.5", "left", "9" * 40])
def test_a_field_that_is_no_number_is_named(text: str) -> None:
    with pytest.raises(CloudError, match=f"'{text}' is no number"):
        field_choice(text)


def test_fields_of_one_acquisition_can_be_chosen(tmp_path: Path) -> None:
    pixels = [field_pixels(n) for n in range(2)]
    write_plate(tmp_path / "plate.zarr", {"A/1": pixels})
    write_well(tmp_path / "plate.zarr" / "A" / "1", [("0", 3), ("1", 8)])

    check_cell(cell(noc.open(tmp_path / "plate.zarr", acquisition=8), 0, 0), pixels[1])


# ---- wells --------------------------------------------------------------------------------------


def test_a_well_shows_all_its_fields_whatever_their_sizes(tmp_path: Path) -> None:
    shapes = [(2, 37, 45), (2, 50, 20), (2, 11, 60)]
    fields = [field_pixels(n, shape) for n, shape in enumerate(shapes)]
    write_plate(tmp_path / "plate.zarr", {"A/1": fields})

    image = noc.open(tmp_path / "plate.zarr" / "A" / "1")

    for pixels, place in zip(fields, [(0, 0), (0, 1), (1, 0)], strict=True):
        check_cell(cell(image, *place), pixels)
    assert not cell(image, 1, 1).any()
    assert image.plate is not None
    assert image.plate.is_well


def test_fields_lie_by_the_positions_that_they_state(tmp_path: Path) -> None:
    spots = [(100.0, 50.0), (100.0, 20.0), (80.0, 20.0), (80.0, 50.0)]
    fields = [field_pixels(n) for n in range(4)]
    for n, (pixels, spot) in enumerate(zip(fields, spots, strict=True)):
        write_field(tmp_path / "A" / "1" / str(n), pixels, translation=spot)
    write_well(tmp_path / "A" / "1", ["0", "1", "2", "3"])

    image = noc.open(tmp_path / "A" / "1")

    for pixels, place in zip(fields, [(1, 1), (1, 0), (0, 0), (0, 1)], strict=True):
        check_cell(cell(image, *place), pixels)


# ---- what is asked for --------------------------------------------------------------------------


def test_opening_a_plate_asks_for_one_well_and_reading_one_for_no_other(tmp_path: Path) -> None:
    wells = {
        f"{r}/{c}": [field_pixels(n)]
        for n, (r, c) in enumerate((r, c) for r in "AB" for c in "123")
    }
    write_plate(tmp_path / "plate.zarr", wells)
    with SlowServer(tmp_path) as server:
        image = noc.open(f"{server.url}/plate.zarr")
        assert image.labels == ()
        opening = server.paths
        server.clear_log()

        cell(image, 1, 2, level=1)
        reading = server.paths

    inside = [path for path in opening if "/A/" in path or "/B/" in path]
    # As the first well has no labels, five others are asked whether they have.
    assert all("/A/1" in path or path.endswith("/0/labels/zarr.json") for path in inside)
    assert len(opening) <= 10 + 6 + 2 + 5
    assert all("/B/3" in path for path in reading)
    # The well, its field, one level of it; two channels of 19 x 23 voxels in chunks of 16.
    assert len(reading) == 3 + 2 * 4
    assert len(set(reading)) == len(reading)


def test_the_first_picture_of_a_plate_is_five_rounds_deep_with_its_pixels(tmp_path: Path) -> None:
    wells = {f"{r}/{c}": [field_pixels(1)] for r in "AB" for c in "123"}
    write_plate(tmp_path / "plate.zarr", wells, chunk=64)
    with SlowServer(tmp_path, latency_s=0.4) as server:
        image = noc.open(f"{server.url}/plate.zarr")
        image.read(1)
        log = server.log

    # The plate; a well with its field; the field's levels; all other wells; their chunks.
    assert rounds(log) <= 5
    # For each well its own document, the field's, one level's, and a chunk of each channel.
    assert len(log) <= 18 + 6 * 5


def test_a_row_of_a_large_plate_asks_for_its_own_wells_alone(tmp_path: Path) -> None:
    write_bare_plate(tmp_path / "plate.zarr", 16, 24, size=64, chunk=64)
    with SlowServer(tmp_path) as server:
        image = noc.open(f"{server.url}/plate.zarr")
        height = image.levels[-1].shape[0] // 16
        pixels = image.read(2, (slice(5 * height, 6 * height), slice(None)))
        paths = [path.partition("plate.zarr/")[2] for path in server.paths]

    assert len(np.unique(pixels[0])) == 25  # 24 wells, and what is blank between them
    paths = [path for path in paths if not path.endswith("/labels/zarr.json")]
    asked = {"/".join(path.split("/")[:2]) for path in paths if path[:1].isupper()}
    assert asked == {"A/1", *(f"F/{n + 1}" for n in range(24))}
    assert len(paths) <= 18 + 24 * 4
