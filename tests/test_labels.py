"""Label images: beside their image, by themselves, listed or not."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import MetadataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.images import Written


@pytest.fixture
def image(tmp_path: Path, ome_zarr: Callable[[str], Written]) -> Path:
    """An image with the labels ``cells``, 0.5, to be changed."""
    return shutil.copytree(ome_zarr("v05 with labels").path, tmp_path / "image.zarr")


def list_labels(image: Path, names: list[str]) -> None:
    file = image / "labels" / "zarr.json"
    document = json.loads(file.read_text())
    document["attributes"] = {"ome": {"version": "0.5", "labels": names}}
    file.write_text(json.dumps(document))


@pytest.mark.parametrize("listed", [True, False], ids=["list is empty", "no list"])
def test_labels_that_no_list_names_are_found_in_a_folder(image: Path, listed: bool) -> None:
    expected = noc.open(image).labels[0].read()
    if listed:
        list_labels(image, [])
    else:
        (image / "labels" / "zarr.json").unlink()

    opened = noc.open(image)

    assert [labels.name for labels in opened.labels] == ["cells"]
    np.testing.assert_array_equal(opened.labels[0].read(), expected)
    assert any("'cells' are there, and not in the list" in note for note in opened.notes)


def test_what_lies_among_labels_and_is_none_is_not_mentioned(image: Path) -> None:
    (image / "labels" / "scraps").mkdir()

    opened = noc.open(image)

    assert [labels.name for labels in opened.labels] == ["cells"]
    assert opened.notes == ()


def test_nested_labels_are_listed_by_their_path(image: Path) -> None:
    shutil.copytree(image / "labels" / "cells", image / "labels" / "deep" / "er")
    list_labels(image, ["cells", "deep/er"])

    opened = noc.open(image)

    assert [labels.name for labels in opened.labels] == ["cells", "deep/er"]
    assert opened.notes == ()


def test_a_link_to_the_labels_offers_them(image: Path) -> None:
    shutil.copytree(image / "labels" / "cells", image / "labels" / "nuclei")
    list_labels(image, ["nuclei", "cells"])

    labels = noc.open(image / "labels")

    assert [entry.name for entry in labels.series] == ["nuclei", "cells"]
    assert labels.opened.image.label is not None
    assert "2 label images are here" in labels.notes[0]


def test_an_empty_list_of_labels_says_so(image: Path) -> None:
    list_labels(image, [])

    with pytest.raises(MetadataError, match="names none"):
        noc.open(image / "labels")


@pytest.mark.parametrize("ending", ["", "/", "/level", "/level/"])
def test_labels_open_by_themselves_and_name_their_image(image: Path, ending: str) -> None:
    level = next(name for name in ("0", "s0") if (image / "labels" / "cells" / name).is_dir())

    labels = noc.open(f"{image}/labels/cells{ending.replace('level', level)}")

    assert labels.opened.image.label is not None
    assert str(labels.opened.beside) == str(image)
    assert labels.labels == ()


def test_whole_numbers_among_labels_are_taken_for_labels(image: Path) -> None:
    file = image / "labels" / "cells" / "zarr.json"
    document = json.loads(file.read_text())
    del document["attributes"]["ome"]["image-label"]
    file.write_text(json.dumps(document))

    labels = noc.open(image / "labels" / "cells")

    assert labels.opened.image.label is not None
    assert any("was taken for one" in note for note in labels.notes)
