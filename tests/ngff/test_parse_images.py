from __future__ import annotations

import json
from typing import Any

import pytest

from napari_omezarr_cloud.errors import MetadataError, NotOmeZarrError, UnsupportedError
from napari_omezarr_cloud.ngff import Image, order_by_size, parse_group, parse_images


def _parse(attributes: Any) -> tuple[Image, ...]:
    documents = {".zattrs": json.dumps(attributes).encode()}
    return parse_images(parse_group(documents, where="s3://bucket/x.zarr"))


def test_an_image_of_version_0_4_is_read_without_a_note(read) -> None:
    image = read(name="cells", type="gaussian", metadata={"method": "m"})

    assert (image.version, image.name, image.notes) == ("0.4", "cells", ())
    assert [dataset.path for dataset in image.datasets] == ["0", "1"]
    assert (image.method, image.metadata) == ("gaussian", {"method": "m"})


def test_an_image_of_version_0_5_is_read_without_a_note(read_v3, multiscale) -> None:
    image = read_v3({"version": "0.5", "multiscales": [multiscale(version=None)]})

    assert (image.version, image.notes) == ("0.5", ())


def test_every_multiscale_is_an_image(multiscale) -> None:
    images = _parse({"multiscales": [multiscale(), multiscale(name="half")]})

    assert [image.name for image in images] == [None, "half"]


def test_multiscales_that_are_one_object_are_read_with_a_note(multiscale) -> None:
    (image,) = _parse({"multiscales": multiscale()})

    assert "multiscales" in image.notes[0]


@pytest.mark.parametrize(
    ("version", "taken", "noted"),
    [
        ("0.1", "0.1", False),
        ("0.4.1", "0.4", False),
        ("0.5-dev-spatialdata", "0.5", True),
        (0.3, "0.3", False),
        ("9.9", "0.4", True),
        ("0.51", "0.4", True),
        ("latest", "0.4", True),
        (None, "0.4", True),
        ([], "0.4", True),
    ],
)
def test_versions_are_honoured_or_inferred(read, version: object, taken: str, noted: bool) -> None:
    image = read(version=version)

    assert image.version == taken
    assert ("version" in " ".join(image.notes)) is noted


@pytest.mark.parametrize(
    ("axes", "datasets", "version"),
    [
        (["y", "x"], [{"path": "0"}], "0.3"),
        (None, [{"path": "0"}], "0.2"),
        (None, [{"path": "0", "coordinateTransformations": []}], "0.4"),
    ],
)
def test_a_missing_version_is_inferred_from_the_keys(read, axes, datasets, version: str) -> None:
    assert read(version=None, axes=axes, datasets=datasets).version == version


def test_a_missing_version_in_zarr_3_is_0_5(read_v3, multiscale) -> None:
    image = read_v3({"multiscales": [multiscale(version=None, axes=None)]})

    assert image.version == "0.5"
    assert "version" in image.notes[0]


def test_versions_that_differ_are_noted(read) -> None:
    image = read({"version": "0.3"})

    assert image.version == "0.4"
    assert "0.3" in image.notes[0]


def test_notes_of_the_documents_are_notes_of_the_image(multiscale) -> None:
    raw = b"\xef\xbb\xbf" + json.dumps({"multiscales": [multiscale()]}).encode()

    (image,) = parse_images(parse_group({".zattrs": raw}, where="x"))

    assert "byte order mark" in image.notes[0]


@pytest.mark.parametrize("multiscales", [None, [], "0", 3, [None], ["0"]])
def test_multiscales_of_a_wrong_kind_are_named(multiscales: object) -> None:
    with pytest.raises(MetadataError, match="multiscales"):
        _parse({"multiscales": multiscales})


@pytest.mark.parametrize("datasets", [None, [], {}, "0", [{"path": str(i)} for i in range(101)]])
def test_datasets_of_a_wrong_kind_are_named(multiscale, datasets: object) -> None:
    with pytest.raises(MetadataError, match="datasets"):
        _parse({"multiscales": [multiscale(datasets=datasets)]})


@pytest.mark.parametrize("path", ["../0", "/0", "file:///etc/passwd", "%2e%2e/0", None, ""])
def test_a_path_out_of_the_data_set_is_refused(multiscale, path: object) -> None:
    with pytest.raises(MetadataError, match="path"):
        _parse({"multiscales": [multiscale(datasets=[{"path": "0"}, {"path": path}])]})


def test_paths_may_be_numbers_and_datasets_bare_paths(read) -> None:
    image = read(datasets=[{"path": 0}, "1"])

    assert [dataset.path for dataset in image.datasets] == ["0", "1"]


@pytest.mark.parametrize(
    ("attributes", "named", "instead"),
    [
        ({"plate": {"wells": [{"path": "../a"}, {"path": "A/1"}]}}, "plate", "x.zarr/A/1/0"),
        ({"plate": {"wells": None}}, "plate", "x.zarr/…/0"),
        ({"well": {"images": [{"path": "0"}]}}, "well", "x.zarr/0"),
        ({"bioformats2raw.layout": 3}, "series", "x.zarr/0"),
        ({"labels": ["a"]}, "label images", "one of them"),
        ({"scene": {}}, "scene", "inside"),
        ({"type": "collection", "nodes": []}, "collection", "images"),
    ],
)
def test_other_kinds_are_refused_by_name_with_what_to_open_instead(
    attributes: object, named: str, instead: str
) -> None:
    with pytest.raises(UnsupportedError, match=named) as caught:
        _parse(attributes)

    assert "where one image is due" in caught.value.why
    assert instead in caught.value.hint


@pytest.mark.parametrize("stated", ["0.6", "0.6rc0", "0.6.dev1", "0.6.dev4"])
def test_drafts_of_version_0_6_are_read(read_v3, stated: str) -> None:
    image = read_v3({"version": stated, "multiscales": [{"datasets": [{"path": "0"}]}]})

    assert image.version == "0.6"
    assert "No coordinate systems are stated, which version 0.6 asks for." in image.notes


def test_a_group_without_ome_metadata_is_no_ome_zarr() -> None:
    with pytest.raises(NotOmeZarrError, match="OME") as caught:
        _parse({"hello": "world"})

    assert "multiscales" in caught.value.why


def test_a_group_whose_ome_is_no_object_says_so() -> None:
    with pytest.raises(NotOmeZarrError, match="'ome' is no object"):
        _parse({"ome": []})


def test_an_array_points_to_the_folder_above() -> None:
    with pytest.raises(NotOmeZarrError, match="single Zarr array") as caught:
        parse_images(parse_group({".zarray": b"{}"}, where="x"))

    assert "above" in caught.value.hint


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_container_names_the_images_that_it_holds(multiscale, zarr_format: int) -> None:
    attributes = {"multiscales": [multiscale()]}
    if zarr_format == 3:
        nodes = {
            "images/a": {"attributes": {"ome": attributes}},
            "../b": {"attributes": attributes},
        }
        documents = {"zarr.json": {"consolidated_metadata": {"metadata": nodes}}}
    else:
        nodes = {"images/a/.zattrs": attributes, "images/a/.zgroup": {}, "../b/.zattrs": attributes}
        documents = {".zattrs": {}, ".zmetadata": {"metadata": nodes}}

    with pytest.raises(NotOmeZarrError) as caught:
        raw = {key: json.dumps(document).encode() for key, document in documents.items()}
        parse_images(parse_group(raw, where="x.zarr"))

    assert caught.value.hint == "It holds images; open one of them: x.zarr/images/a."


def test_levels_in_wrong_order_are_sorted_once_their_shapes_are_known(read) -> None:
    image = read()

    turned = order_by_size(image, [(24, 28), (48, 56)])

    assert [dataset.path for dataset in turned.datasets] == ["1", "0"]
    assert "order" in turned.notes[0]
    assert order_by_size(image, [(48, 56), (24, 28)]) is image


def test_hostile_metadata_cannot_flood_the_notes(read) -> None:
    image = read(coordinateTransformations=[{"type": f"kind {i}"} for i in range(10_000)])

    assert len(image.notes) == 101
    assert image.notes[-1] == "There are 9,900 more notes."
