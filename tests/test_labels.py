"""Label images: beside their image, by themselves, listed or not."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import MetadataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.images import Written
    from tests.fixtures.slow_http import SlowServer


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


def test_labels_that_state_no_unit_are_in_that_of_their_image(image: Path) -> None:
    file = image / "labels" / "cells" / "zarr.json"
    document = json.loads(file.read_text())
    for axis in document["attributes"]["ome"]["multiscales"][0]["axes"]:
        axis.pop("unit", None)
    file.write_text(json.dumps(document))

    opened = noc.open(image)

    labels = opened.labels[0]
    assert [axis.unit for axis in labels.pyramid.axes] == ["micrometer"] * 3
    assert labels.pyramid.levels[0].transform.scale == (2.0, 0.25, 0.25)
    assert opened.notes == ()


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


def write_labels(
    image: Path, name: str, values: np.ndarray, axes: str, *, scale: list[float] | None = None
) -> Path:
    """Write a label image of one level, without listing it; returns its folder."""
    root = image / "labels" / name
    multiscale: dict[str, Any] = {
        "axes": [{"name": axis, "type": "space"} for axis in axes],
        "datasets": [{"path": "0"}],
    }
    if scale is not None:
        transforms = [{"type": "scale", "scale": scale}]
        multiscale["datasets"][0]["coordinateTransformations"] = transforms
    zarr.create_array(root / "0", data=values, zarr_format=3)
    ome = {"version": "0.5", "image-label": {}, "multiscales": [multiscale]}
    document = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    (root / "zarr.json").write_text(json.dumps(document))
    return root


# ---- where they lie -----------------------------------------------------------------------------


def test_labels_without_a_scale_take_that_of_their_image(image: Path) -> None:
    whole = noc.open(image)
    space = [n for n, axis in enumerate(whole.axes) if axis.name in "zyx"]
    names = "".join(whole.axes[n].name for n in space)
    shape = [whole.levels[0].shape[n] for n in space]
    scale = [whole.levels[0].scale[n] for n in space]
    half = [-(-n // 2) for n in shape]
    write_labels(image, "half", np.ones(half, "u1"), names)
    list_labels(image, ["half"])

    half_labels = next(each for each in noc.open(image).labels if each.name == "half")

    expected = [s * n / m for s, n, m in zip(scale, shape, half, strict=True)]
    np.testing.assert_allclose(half_labels.levels[0].scale, expected)
    assert [axis.unit for axis in half_labels.axes] == [whole.axes[n].unit for n in space]
    assert any("that of its image was taken" in note for note in half_labels.notes)


def test_labels_that_cannot_lie_on_their_image_say_so(image: Path) -> None:
    shape = noc.open(image).levels[0].shape
    yx = [shape[-2] * 2 // 3, shape[-1]]
    write_labels(image, "odd", np.ones(yx, "u1"), "yx")
    list_labels(image, ["odd"])

    odd = next(each for each in noc.open(image).labels if each.name == "odd")

    assert odd.levels[0].scale == (1, 1)
    assert any("does not fit its image" in note for note in odd.notes)


def test_a_scale_that_labels_state_is_theirs(image: Path) -> None:
    write_labels(image, "own", np.ones((9, 8), "u1"), "yx", scale=[7, 5])
    list_labels(image, ["own"])

    own = next(each for each in noc.open(image).labels if each.name == "own")

    assert own.levels[0].scale == (7, 5)
    assert own.notes == ()


# ---- which there are ----------------------------------------------------------------------------


def test_nested_labels_that_no_list_names_are_found(image: Path) -> None:
    for name in ("deep/listed", "deep/er/hidden", "deep/plain"):
        write_labels(image, name, np.ones((9, 8), "u1"), "yx", scale=[1, 1])
    list_labels(image, ["cells", "deep/listed"])

    opened = noc.open(image)

    names = [labels.name for labels in opened.labels]
    assert names == ["cells", "deep/listed", "deep/plain", "deep/er/hidden"]
    assert sum("not in the list of labels" in note for note in opened.notes) == 2


@pytest.mark.parametrize("metadata", ["group", "none"])
def test_a_store_that_holds_only_labels_offers_them(
    image: Path, slow_server: Callable[..., SlowServer], metadata: str
) -> None:
    for each in image.iterdir():
        if each.name not in ("labels", "zarr.json"):
            shutil.rmtree(each)
    group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    (image / "zarr.json").write_text(json.dumps(group))
    if metadata == "none":
        (image / "zarr.json").unlink()
    server = slow_server(image.parent)

    labels = noc.open(f"{server.url}/image.zarr")

    assert labels.opened.image.label is not None
    assert str(labels.location).endswith("labels/cells")
    assert labels.parent is None
    assert any("only labels" in note for note in labels.notes)
    assert not any("These are labels of the image" in note for note in labels.notes)


# ---- what they are ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["?", "u8", "i8", ">u4", "i1"])
def test_labels_of_every_whole_number_keep_their_values(image: Path, dtype: str) -> None:
    values = np.zeros((9, 8), dtype)
    values[2:4, 3] = True if dtype == "?" else np.iinfo(dtype).max
    write_labels(image, "many", values, "yx", scale=[1, 1])
    list_labels(image, ["many"])

    many = next(each for each in noc.open(image).labels if each.name == "many")

    np.testing.assert_array_equal(many.read(), values)


def test_labels_that_are_no_whole_numbers_are_named(image: Path) -> None:
    write_labels(image, "soft", np.ones((9, 8), "f4"), "yx", scale=[1, 1])
    list_labels(image, ["soft"])

    opened = noc.open(image)
    alone = noc.open(image / "labels" / "soft")

    assert "soft" not in [each.name for each in opened.labels]
    assert any("'soft' could not be opened" in n and "float32" in n for n in opened.notes)
    assert any("float32" in n and "shown as an image" in n for n in alone.notes)


def test_the_image_of_labels_can_be_opened_from_them(image: Path) -> None:
    labels = noc.open(image / "labels" / "cells")

    assert labels.parent is not None
    assert noc.open(labels.parent).location == noc.open(image).location
    assert noc.open(image).parent is None
