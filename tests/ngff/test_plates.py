"""Plates and wells as people write them: places, names, and what cannot be used."""

from __future__ import annotations

import json
from typing import Any

import pytest

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff import parse_group
from napari_omezarr_cloud.ngff.plate import Plate, parse_plate
from napari_omezarr_cloud.ngff.well import Well, parse_well


def plate(**said: Any) -> Plate:
    raw = json.dumps({"plate": {"version": "0.4", **said}}).encode()
    return parse_plate(parse_group({".zattrs": raw}, where="here"))


def well(value: Any) -> Well:
    raw = json.dumps({"well": value}).encode()
    return parse_well(parse_group({".zattrs": raw}, where="here"))


def named(*names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


def places(found: Plate) -> dict[str, tuple[int, int]]:
    return {each.path: (each.row, each.column) for each in found.wells}


AB, TWO = named("A", "B"), named("1", "2")


def test_wells_lie_where_their_paths_say() -> None:
    found = plate(
        name="screen",
        rows=AB,
        columns=TWO,
        wells=[
            {"path": "A/2", "rowIndex": 0, "columnIndex": 1},
            {"path": "B/1", "rowIndex": 1, "columnIndex": 0},
        ],
        field_count=3,
        acquisitions=[{"id": 7, "name": "first"}],
    )

    assert places(found) == {"A/2": (0, 1), "B/1": (1, 0)}
    assert (found.name, found.rows, found.columns) == ("screen", ("A", "B"), ("1", "2"))
    assert (found.field_count, found.version, found.notes) == (3, "0.4", ())
    assert [(each.id, each.name) for each in found.acquisitions] == [(7, "first")]


def test_indices_may_be_missing() -> None:
    found = plate(rows=AB, columns=TWO, wells=[{"path": "B/2"}, {"path": "A/1"}])

    assert places(found) == {"B/2": (1, 1), "A/1": (0, 0)}
    assert found.notes == ()


def test_of_swapped_indices_the_path_counts_with_a_note() -> None:
    found = plate(rows=AB, columns=TWO, wells=[{"path": "B/1", "rowIndex": 0, "columnIndex": 1}])

    assert places(found) == {"B/1": (1, 0)}
    assert any("B/1" in note and "rowIndex" in note for note in found.notes)


def test_indices_count_where_the_path_names_no_row_and_column() -> None:
    found = plate(
        rows=AB, columns=TWO, wells=[{"path": "wells/x/7", "rowIndex": 1, "columnIndex": 1}]
    )

    assert places(found) == {"wells/x/7": (1, 1)}


def test_rows_and_columns_that_are_not_listed_are_those_of_the_paths_in_natural_order() -> None:
    found = plate(wells=[{"path": p} for p in ("AA/10", "B/9", "A/10")])

    assert (found.rows, found.columns) == (("A", "B", "AA"), ("9", "10"))
    assert places(found) == {"AA/10": (2, 1), "B/9": (1, 0), "A/10": (0, 1)}
    assert len(found.notes) == 2


def test_without_names_anywhere_the_indices_make_the_rows() -> None:
    found = plate(wells=[{"path": "w7", "rowIndex": 1, "columnIndex": 2}])

    assert places(found) == {"w7": (1, 2)}
    assert (len(found.rows), len(found.columns)) == (2, 3)


@pytest.mark.parametrize("index", [-1, 10**9, 2.5, "x"])
def test_a_well_outside_rows_and_columns_is_left_out_with_a_note(index: object) -> None:
    wells = [{"path": "A/1"}, {"path": "elsewhere", "rowIndex": index, "columnIndex": 0}]

    found = plate(rows=AB, columns=TWO, wells=wells)

    assert places(found) == {"A/1": (0, 0)}
    assert any("elsewhere" in note for note in found.notes)


@pytest.mark.parametrize(("count", "is_told"), [(0, False), ("x", False), (10_001, True)])
def test_a_field_count_that_no_well_can_have_is_not_used(count: object, is_told: bool) -> None:
    found = plate(rows=AB, columns=TWO, wells=[{"path": "A/1"}], field_count=count)

    assert found.field_count is None
    assert any("field_count" in note for note in found.notes) == is_told


def test_the_first_of_two_wells_in_one_place_counts() -> None:
    wells = [
        {"path": "A/1"},
        {"path": "other", "rowIndex": 0, "columnIndex": 0},
        {"path": "A/1"},
    ]

    found = plate(rows=AB, columns=TWO, wells=wells)

    assert places(found) == {"A/1": (0, 0)}
    assert any("other" in note for note in found.notes)
    assert any("more than once" in note for note in found.notes)


@pytest.mark.parametrize("path", ["../A/1", "/A/1", "http://evil.invalid/A/1", "A/%2e%2e/1", 7, ""])
def test_a_well_that_leads_out_of_the_plate_is_left_out(path: object) -> None:
    found = plate(rows=AB, columns=TWO, wells=[{"path": path}, {"path": "B/2"}])

    assert places(found) == {"B/2": (1, 1)}
    assert any("left out" in note for note in found.notes)


@pytest.mark.parametrize(
    ("wells", "word"),
    [([{"path": "../secret"}], "secret"), ([], "no wells"), (None, "no wells"), ({}, "no wells")],
)
def test_a_plate_without_a_well_that_can_be_used_is_refused_by_name(
    wells: object, word: str
) -> None:
    with pytest.raises(MetadataError, match=word):
        plate(rows=AB, columns=TWO, wells=wells)


def test_fields_are_those_of_the_acquisition_in_the_order_listed() -> None:
    images = [
        {"path": "1", "acquisition": 0},
        {"path": 0, "acquisition": 1},
        {"path": "2", "acquisition": 0},
        {"path": "1", "acquisition": 5},
    ]

    found = well({"images": images})

    assert [image.path for image in found.fields()] == ["1", "0", "2"]
    assert [image.path for image in found.fields(0)] == ["1", "2"]
    assert found.fields(9) == ()


def test_a_well_without_images_is_empty() -> None:
    assert well({}).images == ()
    assert any("no list" in note for note in well({}).notes)


def test_a_well_whose_fields_all_lead_out_of_it_is_refused() -> None:
    with pytest.raises(MetadataError, match="leads out"):
        well({"images": [{"path": "../../x"}]})
    assert [i.path for i in well({"images": [{"path": "../x"}, {"path": "0"}]}).images] == ["0"]


def test_the_largest_plate_with_several_acquisitions_is_taken_and_more_is_refused() -> None:
    rows, columns = [f"r{n}" for n in range(48)], [f"c{n}" for n in range(72 * 4)]
    paths = [{"path": f"{row}/{column}"} for row in rows for column in columns]

    found = plate(rows=named(*rows), columns=named(*columns), wells=paths)

    assert len(found.wells) == 3456 * 4
    with pytest.raises(MetadataError, match="50,001 wells"):
        plate(wells=[{"path": f"A/{n}"} for n in range(50_001)])
