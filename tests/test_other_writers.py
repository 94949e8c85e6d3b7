"""Data sets as writers make them that none of the other files has: odd, and open all the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import ChunkError, CloudError, MetadataError
from tests.fixtures.plates import write_plate

TYPES = {"t": "time", "c": "channel"}


def write(path: Path, pixels: np.ndarray[Any, Any], axes: str, **more: Any) -> str:
    """Write an image of one level as OME-Zarr 0.5 with zarr-python."""
    zarr.create_array(path / "0", data=pixels, chunks=tuple(min(8, n) for n in pixels.shape))
    scale = [{"type": "scale", "scale": [1.0] * pixels.ndim}]
    entry = {
        "axes": [{"name": name, "type": TYPES.get(name, "space")} for name in axes],
        "datasets": [{"path": "0", "coordinateTransformations": scale}],
    }
    ome = {"version": "0.5", "multiscales": [entry], **more}
    document = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    (path / "zarr.json").write_text(json.dumps(document))
    return str(path)


def values(*shape: int, dtype: str = "u2") -> np.ndarray[Any, Any]:
    return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)


# ---- dimensions ---------------------------------------------------------------------------------


def test_a_line_of_voxels_is_refused_in_words(tmp_path: Path) -> None:
    path = write(tmp_path / "line.zarr", values(50), "x")

    with pytest.raises(MetadataError, match="one axis, and an image has at least two"):
        noc.open(path)


def test_channels_along_a_line_are_shown_as_rows(tmp_path: Path) -> None:
    pixels = values(3, 50)

    image = noc.open(write(tmp_path / "spectrum.zarr", pixels, "cx"))

    ((levels, attributes, _),) = noc.to_layers(image)
    np.testing.assert_array_equal(levels[0], pixels)
    assert attributes["axis_labels"] == ["c", "x"]


def test_an_image_whose_levels_are_all_empty_says_where_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "empty.zarr", values(4, 4), "yx")
    document = json.loads((tmp_path / "empty.zarr/0/zarr.json").read_bytes())
    (tmp_path / "empty.zarr/0/zarr.json").write_text(json.dumps({**document, "shape": [0, 4]}))

    with pytest.raises(MetadataError, match=r"empty\.zarr.*levels are empty"):
        noc.open(path)


# ---- plates -------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", ["A/1", "A/1/0"])
def test_a_folder_made_for_a_well_or_field_and_nothing_more_is_blank(
    tmp_path: Path, inside: str
) -> None:
    fields = [values(1, 8, 9) + 1 for _ in range(2)]
    write_plate(tmp_path / "plate.zarr", {"A/1": fields[:1], "B/2": fields[1:]})
    bare = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    (tmp_path / "plate.zarr" / inside / "zarr.json").write_text(json.dumps(bare))

    image = noc.open(tmp_path / "plate.zarr")

    whole = image.read(0)
    assert not whole[..., :8, :9].any()
    assert image.plate is not None
    assert any("blank: A1" in note for note in image.notes)
    assert np.count_nonzero(whole) == fields[1].size


# ---- arrays without OME metadata ----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_coordinates_beside_an_array_are_not_offered_as_images(
    tmp_path: Path, zarr_format: Any
) -> None:
    group = zarr.create_group(tmp_path / "xarray.zarr", zarr_format=zarr_format)
    for name, shape in {"lat": (6,), "lon": (7,), "mean": (), "temperature": (5, 6, 7)}.items():
        group.create_array(name, shape=shape, dtype="f4", chunks=shape)
    zarr.consolidate_metadata(tmp_path / "xarray.zarr", zarr_format=zarr_format)

    image = noc.open(tmp_path / "xarray.zarr")

    assert image.levels[0].shape == (5, 6, 7)
    assert not image.series
    assert not any("lat" in note or "could not" in note for note in image.notes)


# ---- what would fill the memory, or take for ever -----------------------------------------------


def changed_array(path: Path, **values: Any) -> None:
    document = json.loads((path / "0/zarr.json").read_bytes())
    (path / "0/zarr.json").write_text(json.dumps({**document, **values}))


def regular(chunks: list[int]) -> dict[str, Any]:
    return {"name": "regular", "configuration": {"chunk_shape": chunks}}


def sharded(inner: list[int]) -> list[dict[str, Any]]:
    plain = [{"name": "bytes", "configuration": {"endian": "little"}}]
    sharding = {"chunk_shape": inner, "codecs": plain, "index_codecs": plain}
    return [{"name": "sharding_indexed", "configuration": sharding}]


@pytest.mark.parametrize("way", ["plain", "sharded", "zip"])
def test_a_chunk_whose_file_is_gigabytes_is_refused_before_it_is_read(
    tmp_path: Path, way: str
) -> None:
    path = tmp_path / "image.zarr"
    write(path, values(16, 16), "yx")
    if way == "sharded":
        changed_array(path, codecs=sharded([8, 8]), chunk_grid=regular([16, 16]))
        index = np.array([[0, 2**31 - 1]] * 4, "<u8").tobytes()
        shutil.rmtree(path / "0/c/1")
        with (path / "0/c/0/0").open("wb") as file:
            file.truncate(3 * 2**30)
            file.seek(0, 2)
            file.write(index)
    else:
        with (path / "0/c/0/0").open("wb") as file:
            file.truncate(3 * 2**30 if way == "plain" else 2**27)
    if way == "zip":
        path = Path(shutil.make_archive(str(path), "zip", path))
    image = noc.open(path)

    with pytest.raises(CloudError, match="c/0/0") as caught:
        image.read(0, (slice(0, 8), slice(0, 8)))

    assert "bytes" in str(caught.value) or "points outside" in str(caught.value)


def test_a_document_of_gigabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "image.zarr"
    write(path, values(16, 16), "yx")
    with (path / "zarr.json").open("ab") as file:
        file.truncate(5 * 2**30)

    with pytest.raises(CloudError, match=r"zarr\.json.*5,368,709,120 bytes"):
        noc.open(path)


def test_a_document_of_millions_of_empty_lists_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.zarr"
    write(path, values(16, 16), "yx", padding=[])
    text = (path / "zarr.json").read_text()
    (path / "zarr.json").write_text(text.replace("[]", "[" + "[]," * 3_000_000 + "[]]"))

    with pytest.raises(MetadataError, match=r"zarr\.json.*too large"):
        noc.open(path)


@pytest.mark.parametrize("shape", [[10**18, 16], [10**10, 10**10], [2**23 + 1, 8]])
def test_more_chunks_than_can_be_listed_are_refused_by_name(
    tmp_path: Path, shape: list[int]
) -> None:
    path = tmp_path / "image.zarr"
    write(path, values(16, 16), "yx")
    changed_array(path, shape=shape)

    with pytest.raises(MetadataError, match=r"0/zarr\.json.*shape"):
        noc.open(path)


def test_labels_of_a_gigantic_shape_stop_no_image(tmp_path: Path) -> None:
    path = tmp_path / "image.zarr"
    pixels = values(16, 16)
    write(path, pixels, "yx")
    write(path / "labels/cells", values(16, 16), "yx", **{"image-label": {}})
    changed_array(path / "labels/cells", shape=[10**9, 10**9])
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"labels": ["cells"]}}}
    (path / "labels/zarr.json").write_text(json.dumps(group))

    image = noc.open(path)

    np.testing.assert_array_equal(image.read(0), pixels)
    assert not image.labels
    assert any("cells" in note and "shape" in note for note in image.notes)


def test_a_shape_of_a_thousand_axes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.zarr"
    write(path, values(16, 16), "yx")
    changed_array(path, shape=[1] * 1000, chunk_grid=regular([1] * 1000))

    with pytest.raises(MetadataError, match="1000 axes"):
        noc.open(path)


def test_a_shard_of_a_milliard_chunks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.zarr"
    write(path, values(16, 16), "yx")
    changed_array(path, codecs=sharded([1, 1]), chunk_grid=regular([2**15, 2**15]))

    with pytest.raises(MetadataError, match=r"1,073,741,824 chunks"):
        noc.open(path)


def test_a_thousand_missing_labels_are_told_of_briefly(tmp_path: Path) -> None:
    path = tmp_path / "image.zarr"
    write(path, values(16, 16), "yx")
    (path / "labels").mkdir()
    listed = {"ome": {"labels": [f"cells {n}" for n in range(500)]}}
    group = {"zarr_format": 3, "node_type": "group", "attributes": listed}
    (path / "labels/zarr.json").write_text(json.dumps(group))

    image = noc.open(path)

    assert not image.labels
    assert 0 < len(image.notes) <= 101


# ---- broken in other ways -----------------------------------------------------------------------


def test_a_blosc_chunk_that_is_shorter_than_its_header_says_is_refused(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "image.zarr", zarr_format=2)
    array = group.create_array(
        "0", shape=(16, 16), dtype="u2", chunks=(16, 16), compressors=numcodecs.Blosc(clevel=0)
    )
    array[...] = 1
    whole = (tmp_path / "image.zarr/0/0.0").read_bytes()
    assert whole[2] & 2, "its bytes are stored as they are, and copied without a check by blosc"
    (tmp_path / "image.zarr/0/0.0").write_bytes(whole[:-100])

    with pytest.raises(ChunkError, match=r"key 0\.0.*header says"):
        noc.open(tmp_path / "image.zarr").read(0)


def test_names_in_an_encoding_that_nobody_knows_stop_no_series(tmp_path: Path) -> None:
    path = tmp_path / "series.zarr"
    write(path / "0", values(16, 16), "yx")
    attributes = {"ome": {"version": "0.5", "bioformats2raw.layout": 3}}
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    (path / "zarr.json").write_text(json.dumps(group))
    (path / "OME").mkdir()
    xml = "<?xml version='1.0' encoding='klingon'?><OME><Image Name='a'/></OME>"
    (path / "OME/METADATA.ome.xml").write_text(xml)

    image = noc.open(path)

    np.testing.assert_array_equal(image.read(0), values(16, 16))
    assert any("METADATA.ome.xml" in note for note in image.notes)
