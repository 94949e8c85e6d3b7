"""Images and labels by other people's tools, and what hostile files lead to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from napari_omezarr_cloud.errors import CloudError, MetadataError, UnsupportedError
from napari_omezarr_cloud.ngff import (
    Image,
    parse_group,
    parse_images,
    parse_json,
    parse_labels_listing,
    resolve_axes,
)

CORPUS = Path(__file__).parents[2].parent / "shared" / "corpus"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared corpus is not here")

KEYS = ("zarr.json", ".zattrs", ".zgroup", ".zmetadata", "labels/zarr.json", "labels/.zattrs")

# What is wrong with these is in the arrays, of which nothing is seen here.
WRONG_IN_ARRAYS = (
    "all_levels_missing.zarr",
    "chunks_zero.zarr",
    "dtype_nonsense.zarr",
    "object_dtype_pickle.zarr",
    "shape_negative.zarr",
    "unknown_codec_v3.zarr",
    "unknown_compressor_v2.zarr",
)


def _expected(name: str) -> dict[str, Any]:
    path = CORPUS / name
    return json.loads(path.read_bytes())["datasets"] if path.is_file() else {}


DATASETS = _expected("expected.json")
HOSTILE = _expected("hostile/expected.json")
IMAGES = {
    image["path"]: image
    for dataset in DATASETS.values()
    for image in dataset["images"]
    if str(image["ngff"] or "0.4")[:3] in ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6")
    and (CORPUS / image["path"]).is_dir()
}
OTHER_KINDS = [
    name
    for name, dataset in DATASETS.items()
    if (CORPUS / name).is_dir() and dataset["kind"] in ("plate", "well", "series", "scene")
]


def _documents(folder: Path) -> dict[str, bytes | None]:
    files = {key: folder / key for key in KEYS}
    return {key: file.read_bytes() if file.is_file() else None for key, file in files.items()}


def _open(folder: Path, where: str) -> Image:
    image = parse_images(parse_group(_documents(folder), where=where))[0]
    for dataset in image.datasets:
        for key in (".zarray", "zarr.json"):
            array = folder / dataset.path / key
            if array.is_file():
                return resolve_axes(image, len(json.loads(array.read_bytes())["shape"]))
    return image


def _check_geometry(image: Image, expected: dict[str, Any]) -> None:
    axes = [{"name": axis.name, "type": axis.type, "unit": axis.unit} for axis in image.axes]
    assert axes == expected["axes"]
    assert [d.path for d in image.datasets] == [level["path"] for level in expected["levels"]]
    for dataset, level in zip(image.datasets, expected["levels"], strict=True):
        ndim = len(level["shape"])
        if dataset.scale is None:
            assert image.version in ("0.1", "0.2", "0.3")
        assert (dataset.scale or (1.0,) * ndim) == pytest.approx(level["scale"])
        assert (dataset.translation or (0.0,) * ndim) == pytest.approx(level["translation"])


@pytest.mark.parametrize("path", IMAGES)
def test_an_image_has_the_axes_units_scales_and_translations_it_was_given(path: str) -> None:
    expected = IMAGES[path]

    image = _open(CORPUS / path, path)

    assert image.version == (expected["ngff"] or "0.4")[:3]
    assert image.name == expected["name"]
    _check_geometry(image, expected)


@pytest.mark.parametrize("path", IMAGES)
def test_an_image_has_the_channels_it_was_given(path: str) -> None:
    expected = IMAGES[path]["channels"]

    channels = _open(CORPUS / path, path).channels

    assert len(channels) == len(expected)
    for channel, said in zip(channels, expected, strict=True):
        window = channel.window and [channel.window.start, channel.window.end]
        assert channel.name == (said["label"] or None)
        assert channel.color == (said["color"] and said["color"].upper())
        assert window == said["window"]
        assert channel.active is (said["active"] is not False)


@pytest.mark.parametrize("path", [path for path, image in IMAGES.items() if image["labels"]])
def test_an_image_has_the_labels_it_was_given(path: str) -> None:
    expected = IMAGES[path]["labels"]

    names, notes = parse_labels_listing(_documents(CORPUS / path), where=path)

    assert list(names) == [label["name"] for label in expected]
    assert notes == ()
    for label in expected:
        image = _open(CORPUS / label["path"], label["path"])
        assert image.label is not None
        _check_geometry(image, label)


@pytest.mark.parametrize("path", [p for p, d in DATASETS.items() if d["kind"] == "labels"])
def test_a_label_image_has_the_colours_it_was_given(path: str) -> None:
    expected = DATASETS[path]["viewer"]["layers"][0]["label_colors"]

    label = _open(CORPUS / path, path).label

    assert label is not None
    assert {str(value): list(rgba) for value, rgba in label.colors.items()} == expected


@pytest.mark.parametrize("path", OTHER_KINDS)
def test_what_is_not_one_image_is_refused_by_name(path: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        parse_images(parse_group(_documents(CORPUS / path), where=path))

    assert DATASETS[path]["kind"] in str(caught.value)


def test_a_container_of_images_names_them() -> None:
    with pytest.raises(MetadataError, match=r"spatialdata\.zarr/images/tissue"):
        parse_images(parse_group(_documents(CORPUS / "spatialdata.zarr"), where="spatialdata.zarr"))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_metadata_open_with_a_note_or_raise_our_error(name: str) -> None:
    expected = HOSTILE[name]

    try:
        image = _open(CORPUS / "hostile" / name, name)
    except CloudError as error:
        assert expected["expect"] in ("error", "error_or_open")
        assert any(text in str(error) for text in (*expected["names"], name))
        return

    assert expected["expect"] != "error" or name in WRONG_IN_ARRAYS
    if name.startswith(("axes_", "scale_", "version_", "omero_", "json_", "multiscales_", "v2_")):
        assert image.notes


def test_hostile_labels_never_stop_the_image() -> None:
    for name in HOSTILE:
        if name.startswith("label"):
            folder = CORPUS / "hostile" / name
            assert len(_open(folder, name).datasets) == 2
            parse_labels_listing(_documents(folder), where=name)


def test_malformed_label_colours_leave_the_label_standing() -> None:
    path = "hostile/label_colors_malformed.zarr/labels/seg"

    image = _open(CORPUS / path, path)

    assert image.label is not None
    assert dict(image.label.properties) == {1: {"a": 1}}
    assert len(image.notes) == 2


def test_documents_of_the_specification_give_images_or_our_error() -> None:
    for path in sorted((CORPUS / "spec-json").rglob("*.json")):
        raw = path.read_bytes()
        for key in ("zarr.json", ".zattrs"):
            try:
                content = parse_json(raw, where=path.name, key=key)
                inside = content.get("attributes", content)
                document = {"attributes": inside} if key == "zarr.json" else inside
                images = parse_images(
                    parse_group({key: json.dumps(document).encode()}, where=path.name)
                )
                assert all(image.datasets for image in images)
            except CloudError as error:
                assert path.name in str(error)
