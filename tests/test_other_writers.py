"""Data sets as writers make them that none of the other files has: odd, and open all the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import MetadataError
from tests.fixtures.plates import write_plate

if TYPE_CHECKING:
    from pathlib import Path

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
