from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from napari_omezarr_cloud.ngff import ImageLabel, parse_labels_listing


def _listing(labels: Any, key: str = "labels/.zattrs") -> tuple[tuple[str, ...], tuple[str, ...]]:
    return parse_labels_listing({key: json.dumps({"labels": labels}).encode()}, where="x.zarr")


def test_colours_and_properties_belong_to_label_values(read) -> None:
    said = {
        "colors": [
            {"label-value": 1, "rgba": [255, 0, 0, 128]},
            {"label-value": 4.0, "rgba": [0, 0, 9]},
        ],
        "properties": [{"label-value": 1, "area": 120.5, "class": "débris"}, {"label-value": 2}],
        "source": {"image": "../../"},
    }

    label = read({"image-label": said}).label

    assert label.colors == {1: (255, 0, 0, 128), 4: (0, 0, 9, 255)}
    assert label.properties == {1: {"area": 120.5, "class": "débris"}, 2: {}}
    assert label.source == "../../"


def test_malformed_entries_are_left_out_with_notes(read) -> None:
    colors = [
        {"label-value": "one", "rgba": [1, 2, 3, 4]},
        {"label-value": 1, "rgba": [300, -1, 0, 0]},
        {"label-value": 2},
        5,
        {"label-value": 3, "rgba": [1, 2, 3, 4]},
    ]
    properties = [{"area": 3}, {"label-value": 1, "a": 1}, {"label-value": 1, "a": 2}, None]

    image = read({"image-label": {"colors": colors, "properties": properties}})

    assert image.label.colors == {3: (1, 2, 3, 4)}
    assert image.label.properties == {1: {"a": 1}}
    assert "4 of 5 entries of colors" in image.notes[0]
    assert "3 of 4 entries of properties" in image.notes[1]


@pytest.mark.parametrize("said", [{}, {"colors": None}, {"version": "0.4"}])
def test_an_image_label_may_say_nothing(read, said: object) -> None:
    image = read({"image-label": said})

    assert image.label == ImageLabel()
    assert image.notes == ()


@pytest.mark.parametrize("said", [None, [], "yes", {"colors": {}, "properties": 3}])
def test_an_image_label_of_a_wrong_kind_still_says_that_it_is_one(read, said: object) -> None:
    image = read({"image-label": said})

    assert image.label == ImageLabel()
    assert "image-label" in image.notes[0]


def test_an_image_without_image_label_has_none(read) -> None:
    assert read().label is None


def test_models_travel_to_other_processes(read) -> None:
    image = read({"image-label": {"colors": [{"label-value": 1, "rgba": [1, 2, 3, 4]}]}})

    assert pickle.loads(pickle.dumps(image)) == image


def test_listed_labels_keep_their_order_and_may_be_nested() -> None:
    names, notes = _listing(["nuclei", "fewer levels", "deep/nested/cells", "old/"])

    assert names == ("nuclei", "fewer levels", "deep/nested/cells", "old")
    assert notes == ()


def test_labels_that_name_themselves_or_their_parent_are_left_out() -> None:
    names, notes = _listing([".", "..", "../", "../labels", "", 3, "http://a/b", "good"])

    assert names == ("good",)
    assert len(notes) == 7


def test_labels_of_zarr_3_are_found_under_ome() -> None:
    document = {"attributes": {"ome": {"version": "0.5", "labels": ["cells"]}}}

    names, _ = parse_labels_listing({"labels/zarr.json": json.dumps(document).encode()}, where="x")

    assert names == ("cells",)


def test_the_labels_group_itself_can_be_asked() -> None:
    assert _listing(["a"], key=".zattrs") == (("a",), ())


@pytest.mark.parametrize("labels", [None, "cells", {"cells": {}}])
def test_labels_that_are_no_list_are_none_with_a_note(labels: object) -> None:
    names, notes = _listing(labels)

    assert names == ()
    assert "no list" in notes[0]


def test_a_web_page_instead_of_labels_is_a_note() -> None:
    names, notes = parse_labels_listing({"labels/zarr.json": b"<html>"}, where="x")

    assert names == ()
    assert "HTML" in notes[0]


def test_no_labels_need_no_note() -> None:
    documents = {"zarr.json": b"{}", "labels/zarr.json": None, "labels/.zattrs": None}

    assert parse_labels_listing(documents, where="x") == ((), ())


def test_a_hundred_thousand_labels_do_not_become_as_many_requests() -> None:
    names, notes = _listing([f"label {i}" for i in range(100_000)])

    assert len(names) == 1000
    assert "100,000" in notes[0]
