from __future__ import annotations

import json
from typing import Any

import pytest

from napari_omezarr_cloud.errors import MetadataError, NotFoundError, UnsupportedError
from napari_omezarr_cloud.ngff import parse_group

IMAGE = {"multiscales": [{"version": "0.4", "datasets": [{"path": "0"}]}]}
ZGROUP = b'{"zarr_format": 2}'


def _v3(attributes: Any, **more: Any) -> bytes:
    document = {"zarr_format": 3, "node_type": "group", "attributes": attributes, **more}
    return json.dumps(document).encode()


def _v2(attributes: Any) -> bytes:
    return json.dumps(attributes).encode()


def test_zattrs_without_zgroup_is_enough() -> None:
    group = parse_group({".zattrs": _v2(IMAGE), ".zgroup": None}, where="x")

    assert (group.kind, group.zarr_format, group.key) == ("image", 2, ".zattrs")
    assert (group.version, group.attributes, group.notes) == ("0.4", IMAGE, ())


def test_an_unreadable_zgroup_does_no_harm() -> None:
    assert parse_group({".zattrs": _v2(IMAGE), ".zgroup": b"<Error>"}, where="x").kind == "image"


def test_zarr_3_keeps_its_metadata_under_ome() -> None:
    ome = {"version": "0.5", **IMAGE}

    group = parse_group({"zarr.json": _v3({"ome": ome, "other": 1})}, where="x")

    assert (group.kind, group.zarr_format, group.version) == ("image", 3, "0.5")
    assert group.attributes == ome


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"plate": {"wells": []}}, "plate"),
        ({"plate": {}, "bioformats2raw.layout": 3}, "plate"),
        ({"well": {"images": []}}, "well"),
        ({"bioformats2raw.layout": 3}, "series"),
        ({"series": ["0", "1"]}, "series"),
        ({"labels": ["a"]}, "labels"),
        ({"scene": {}}, "scene"),
        ({"type": "collection", "nodes": []}, "collection"),
        ({"multiscales": None}, "image"),
        ({"plate": None, **IMAGE}, "image"),
        ({"labels": ["a"], **IMAGE}, "image"),
        ({"hello": "world"}, "group"),
        ({}, "group"),
    ],
)
def test_a_group_is_known_by_its_keys(attributes: dict[str, Any], kind: str) -> None:
    assert parse_group({"zarr.json": _v3({"ome": attributes})}, where="x").kind == kind
    assert parse_group({".zattrs": _v2(attributes)}, where="x").kind == kind


@pytest.mark.parametrize(
    "documents",
    [
        {"zarr.json": b'{"zarr_format": 3, "node_type": "array"}'},
        {".zarray": b"{}", ".zattrs": None},
    ],
)
def test_an_array_is_known_as_one(documents: dict[str, bytes | None]) -> None:
    assert parse_group(documents, where="x").kind == "array"


def test_where_both_formats_describe_an_image_zarr_json_counts() -> None:
    documents = {"zarr.json": _v3({"ome": IMAGE}), ".zattrs": _v2(IMAGE)}

    group = parse_group(documents, where="x")

    assert group.key == "zarr.json"
    assert "zarr.json" in group.notes[0]
    assert ".zattrs" in group.notes[0]


def test_a_bare_zarr_json_does_not_hide_the_zattrs() -> None:
    group = parse_group({"zarr.json": _v3({}), ".zattrs": _v2(IMAGE)}, where="x")

    assert (group.kind, group.key) == ("image", ".zattrs")


@pytest.mark.parametrize("broken", [b"<html>", b'{"zarr', b'{"zarr_format": 4}'])
def test_one_readable_document_is_enough(broken: bytes) -> None:
    group = parse_group({"zarr.json": broken, ".zattrs": _v2(IMAGE)}, where="x")

    assert group.kind == "image"
    assert "zarr.json could not be read" in group.notes[0]


def test_a_broken_document_is_an_error_when_no_other_describes_an_image() -> None:
    with pytest.raises(MetadataError, match="ends in the middle") as caught:
        parse_group({"zarr.json": None, ".zattrs": b'{"multis', ".zgroup": ZGROUP}, where="x")

    assert caught.value.key == ".zattrs"


def test_nothing_there_says_what_was_tried() -> None:
    with pytest.raises(NotFoundError, match=r"tried zarr.json and .zattrs") as caught:
        parse_group({"zarr.json": None, ".zattrs": None, "0/.zarray": None}, where="s3://b/x")

    assert caught.value.where == "s3://b/x"


def test_another_zarr_format_is_refused_by_number() -> None:
    with pytest.raises(UnsupportedError, match="zarr_format 4"):
        parse_group({"zarr.json": b'{"zarr_format": 4}'}, where="x")


def test_omero_beside_ome_is_read_with_a_note() -> None:
    attributes = {"ome": {"version": "0.5", **IMAGE}, "omero": {"channels": []}}

    group = parse_group({"zarr.json": _v3(attributes)}, where="x")

    assert group.attributes["omero"] == {"channels": []}
    assert "omero" in group.notes[0]


def test_metadata_of_zarr_3_at_the_root_are_read() -> None:
    assert parse_group({"zarr.json": _v3(IMAGE)}, where="x").attributes == IMAGE


def test_consolidated_metadata_of_zarr_3_are_kept() -> None:
    nodes = {"0": {"shape": [1, 2]}}
    raw = _v3({"ome": IMAGE}, consolidated_metadata={"kind": "inline", "metadata": nodes})

    assert parse_group({"zarr.json": raw}, where="x").consolidated == nodes


@pytest.mark.parametrize("consolidated", [None, [], {"metadata": None}])
def test_odd_consolidated_metadata_are_none(consolidated: object) -> None:
    raw = _v3({"ome": IMAGE}, consolidated_metadata=consolidated)

    assert parse_group({"zarr.json": raw}, where="x").consolidated is None


def test_zmetadata_that_agree_with_the_live_file_are_kept() -> None:
    held = {".zattrs": IMAGE, "0/.zarray": {}}
    documents = {".zattrs": _v2(IMAGE), ".zmetadata": _v2({"metadata": held})}

    assert parse_group(documents, where="x").consolidated == held


def test_stale_zmetadata_are_not_used() -> None:
    documents = {".zattrs": _v2(IMAGE), ".zmetadata": _v2({"metadata": {".zattrs": {}}})}

    group = parse_group(documents, where="x")

    assert (group.attributes, group.consolidated) == (IMAGE, None)
    assert ".zmetadata is out of date" in group.notes[0]


def test_zmetadata_stand_in_for_zattrs_that_are_not_there() -> None:
    documents = {".zattrs": None, ".zmetadata": _v2({"metadata": {".zattrs": IMAGE}})}

    group = parse_group(documents, where="x")

    assert group.kind == "image"
    assert ".zmetadata" in group.notes[0]
