"""Whole data sets with mutated metadata: opened and made layers, or one of our errors."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import CloudError
from tests.fixtures.mutations import ARRAYS, GROUPS, checked, mutated

if TYPE_CHECKING:
    from pathlib import Path

LEVELS = ("0", "1", "s0", "labels/0", "labels/a/0", "A/1/0/0")
INNER = ("labels", "labels/a", "A/1", "A/1/0", "OME")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutated")


def put(root: Path, path: str, document: dict[str, Any], *, is_v3: bool) -> None:
    place = root / path
    place.mkdir(parents=True, exist_ok=True)
    if document.get("zarr_format") == 2 and "shape" in document:
        (place / ".zarray").write_text(json.dumps(document))
    elif "node_type" in document:
        (place / "zarr.json").write_text(json.dumps(document))
    elif is_v3:
        held = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": document}}
        (place / "zarr.json").write_text(json.dumps(held))
    else:
        (place / ".zattrs").write_text(json.dumps(document))


@pytest.mark.filterwarnings("ignore")
@checked
@given(
    mutated(GROUPS),
    st.lists(mutated(GROUPS), max_size=3),
    st.lists(mutated(ARRAYS) | st.sampled_from(ARRAYS), min_size=1, max_size=3),
    st.booleans(),
    st.binary(max_size=40),
)
def test_a_mutated_data_set_opens_or_gives_our_error(
    folder: Path,
    group: dict[str, Any],
    inner: list[dict[str, Any]],
    arrays: list[dict[str, Any]],
    is_v3: bool,
    chunk: bytes,
) -> None:
    root = folder / "a.zarr"
    shutil.rmtree(root, ignore_errors=True)
    put(root, "", group, is_v3=is_v3)
    for path, document in zip(INNER, inner, strict=False):
        put(root, path, document, is_v3=is_v3)
    for number, path in enumerate(LEVELS):
        put(root, path, arrays[number % len(arrays)], is_v3=is_v3)
        for key in ("0.0", "0/0", "c/0/0"):
            (root / path / key).parent.mkdir(parents=True, exist_ok=True)
            (root / path / key).write_bytes(chunk)
    try:
        image = noc.open(root)
        layers = noc.to_layers(image)
        labels = image.labels
        assert layers
        assert all(isinstance(note, str) for note in image.notes)
        for each in (image, *labels):
            grid = each.pyramid.levels[-1].grid
            each.read(-1, tuple(slice(0, 1) for _ in grid.shape))
    except CloudError as error:
        assert "\n" not in str(error)


def test_a_shape_beyond_all_numbers_keeps_no_other_array_of_a_group_away(tmp_path: Path) -> None:
    array = {
        "zarr_format": 2, "shape": [10**400, 9], "chunks": [4, 4], "dtype": "<u2", "order": "C",
        "compressor": None, "fill_value": 0, "filters": None,
    }  # fmt: skip
    put(tmp_path, "", {}, is_v3=False)
    put(tmp_path, "0", array, is_v3=False)
    put(tmp_path, "1", {**array, "shape": [9, 9]}, is_v3=False)

    assert noc.open(tmp_path).levels[0].shape == (9, 9)
