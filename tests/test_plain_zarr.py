"""Zarr that is no OME-Zarr: arrays by themselves, groups of them, axes that are guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import LinkError, MetadataError, NotFoundError, NotOmeZarrError
from tests.test_opening import rounds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.images import Written
    from tests.fixtures.slow_http import SlowServer

FORMATS = pytest.mark.parametrize("zarr_format", [2, 3])


def array(path: Path, shape: tuple[int, ...], zarr_format: int = 3, **more: Any) -> np.ndarray:
    values = np.arange(np.prod(shape), dtype="u2").reshape(shape)
    zarr.create_array(path, data=values, zarr_format=zarr_format, **more)
    return values


def axes(image: noc.Image) -> str:
    return "".join(axis.name for axis in image.axes)


@FORMATS
def test_an_array_is_read_by_itself_with_axes_that_are_guessed(
    tmp_path: Path, zarr_format: int
) -> None:
    values = array(tmp_path / "plain.zarr", (6, 7, 8), zarr_format)

    image = noc.open(tmp_path / "plain.zarr")

    np.testing.assert_array_equal(image.read(), values)
    np.testing.assert_array_equal(image.levels[0].zarr[...], values)
    assert axes(image) == "zyx"
    assert "plain Zarr" in repr(image)
    assert image.name == "plain"
    assert any("taken for z, y, x" in note and "axes='zyx'" in note for note in image.notes)


@pytest.mark.parametrize(
    ("shape", "guess"),
    [
        ((9, 8), "yx"),
        ((3, 9, 8), "cyx"),
        ((9, 8, 3), "yxc"),
        ((9, 8, 7), "zyx"),
        ((2, 9, 8, 7), "czyx"),
        ((2, 3, 9, 8, 7), "tczyx"),
    ],
)
def test_the_guess_follows_number_and_size(
    tmp_path: Path, shape: tuple[int, ...], guess: str
) -> None:
    array(tmp_path / "plain.zarr", shape)

    assert axes(noc.open(tmp_path / "plain.zarr")) == guess


@pytest.mark.parametrize("names", ["tyx", "t,y,x", ["t", "y", "x"]])
def test_the_guess_can_be_corrected(tmp_path: Path, names: Any) -> None:
    array(tmp_path / "plain.zarr", (6, 7, 8))

    image = noc.open(tmp_path / "plain.zarr", axes=names)

    assert axes(image) == "tyx"
    assert image.axes[0].type == "time"
    assert not any("taken for" in note for note in image.notes)


def test_axes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    array(tmp_path / "plain.zarr", (6, 7, 8))

    with pytest.raises(MetadataError, match=r"2 are given \(y, x\), the array has 3 \(6x7x8\)"):
        noc.open(tmp_path / "plain.zarr", axes="yx")
    with pytest.raises(LinkError, match="each needs a name of its own"):
        noc.open(tmp_path / "plain.zarr", axes="zxx")


def test_axes_can_be_given_for_an_image_too(ome_zarr: Callable[[str], Written]) -> None:
    path = ome_zarr("v04 by ome-zarr-py").path
    usual = noc.open(path)

    image = noc.open(path, axes=["a", *(axis.name for axis in usual.axes[1:])])

    assert image.axes[0].name == "a"
    assert image.axes[1:] == usual.axes[1:]
    assert [level.scale for level in image.levels] == [level.scale for level in usual.levels]


def test_names_that_the_metadata_give_are_used(tmp_path: Path) -> None:
    array(tmp_path / "v3.zarr", (6, 7, 8), dimension_names=["t", "y", "x"])
    array(tmp_path / "v2.zarr", (6, 7, 8), 2, attributes={"_ARRAY_DIMENSIONS": ["t", "y", "x"]})

    for name in ("v3.zarr", "v2.zarr"):
        image = noc.open(tmp_path / name)
        assert axes(image) == "tyx"
        assert not any("taken for" in note for note in image.notes)


def test_an_array_with_one_axis_is_no_image(tmp_path: Path) -> None:
    array(tmp_path / "column.zarr", (6,))

    with pytest.raises(NotOmeZarrError, match="it has one axis"):
        noc.open(tmp_path / "column.zarr")


@FORMATS
@pytest.mark.parametrize("consolidated", [False, True])
def test_a_group_offers_its_arrays(tmp_path: Path, zarr_format: int, consolidated: bool) -> None:
    root = tmp_path / "group.zarr"
    zarr.open_group(root, mode="w", zarr_format=zarr_format)
    zarr.open_group(root / "deep", mode="w", zarr_format=zarr_format)
    array(root / "b", (6, 7), zarr_format)
    values = array(root / "deep" / "a", (5, 6), zarr_format)
    if consolidated:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(str(root), zarr_format=zarr_format)

    image = noc.open(root)

    assert [entry.path for entry in image.series] == ["b", "deep/a"]
    np.testing.assert_array_equal(image.series[1].open().read(), values)


def test_a_group_of_images_offers_them_before_arrays(
    tmp_path: Path, ome_zarr: Callable[[str], Written]
) -> None:
    import shutil

    root = tmp_path / "group.zarr"
    zarr.open_group(root, mode="w", zarr_format=3)
    array(root / "a", (6, 7))
    shutil.copytree(ome_zarr("v05 with labels").path, root / "image")

    image = noc.open(root)

    assert [entry.path for entry in image.series] == ["image", "a"]
    assert len(image.levels) == 3


def test_a_group_over_http_is_known_by_its_consolidated_metadata_or_not_at_all(
    tmp_path: Path, slow_server: Callable[..., SlowServer]
) -> None:
    root = tmp_path / "group.zarr"
    zarr.open_group(root, mode="w", zarr_format=3)
    array(root / "a", (6, 7))
    array(root / "b", (6, 7))
    server = slow_server(tmp_path)

    with pytest.raises(NotOmeZarrError, match="without OME metadata"):
        noc.open(f"{server.url}/group.zarr")

    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(str(root))
    image = noc.open(f"{server.url}/group.zarr")

    assert [entry.path for entry in image.series] == ["a", "b"]


def test_above_the_server_nothing_is_asked_for(
    tmp_path: Path, slow_server: Callable[..., SlowServer]
) -> None:
    values = array(tmp_path / "plain.zarr", (6, 7))
    server = slow_server(tmp_path / "plain.zarr")

    np.testing.assert_array_equal(noc.open(server.url).read(), values)


# ---- pyramids of plain arrays -------------------------------------------------------------------


def levels(root: Path, names: list[str], zarr_format: int = 3, **more: Any) -> np.ndarray:
    """Write arrays that are halved in y and x from one to the next; return the first."""
    values = np.arange(5 * 64 * 48, dtype="u2").reshape(5, 64, 48)
    zarr.open_group(root, mode="a", zarr_format=zarr_format)
    for number, name in enumerate(names):
        step = 2**number
        data = values[:, ::step, ::step]
        zarr.create_array(root / name, data=data, zarr_format=zarr_format, **more)
    return values


@FORMATS
@pytest.mark.parametrize("names", [["0", "1", "2"], ["s0", "s1", "s2"]], ids=["0", "s0"])
def test_arrays_that_shrink_are_one_image_on_a_web_server(
    tmp_path: Path, slow_server: Callable[..., SlowServer], zarr_format: int, names: list[str]
) -> None:
    values = levels(tmp_path / "pyramid.zarr", names, zarr_format)
    server = slow_server(tmp_path, latency_s=0.2)

    image = noc.open(f"{server.url}/pyramid.zarr")

    assert [level.path for level in image.levels] == names
    assert [level.scale for level in image.levels] == [(1, 1, 1), (1, 2, 2), (1, 4, 4)]
    assert axes(image) == "zyx"
    np.testing.assert_array_equal(image.read(), values)
    assert any("taken for the levels of one image" in note for note in image.notes)
    assert any("axes were taken for z, y, x" in note for note in image.notes)
    assert image.series == ()
    # The group, then all the usual names at once; format 2 asks for consolidated metadata between.
    opening = [each for each in server.log if each.path.rpartition("/")[2][:2] in (".z", "za")]
    assert rounds(opening) == (3 if zarr_format == 2 else 2)


def test_the_axes_of_a_plain_pyramid_can_be_corrected(tmp_path: Path) -> None:
    levels(tmp_path / "pyramid.zarr", ["0", "1"])

    image = noc.open(tmp_path / "pyramid.zarr", axes="tyx")

    assert axes(image) == "tyx"
    assert len(image.levels) == 2
    assert not any("taken for z" in note for note in image.notes)


def test_arrays_of_one_size_are_no_pyramid(tmp_path: Path) -> None:
    root = tmp_path / "group.zarr"
    zarr.open_group(root, mode="w")
    for name in ("0", "1", "2"):
        array(root / name, (20, 30))

    image = noc.open(root)

    assert len(image.levels) == 1
    assert [entry.path for entry in image.series] == ["0", "1", "2"]


def test_what_lies_beside_a_plain_pyramid_is_offered(tmp_path: Path) -> None:
    levels(tmp_path / "pyramid.zarr", ["0", "1"])
    mask = array(tmp_path / "pyramid.zarr" / "mask", (9, 8))

    image = noc.open(tmp_path / "pyramid.zarr")

    assert len(image.levels) == 2
    assert [entry.name for entry in image.series] == ["levels 0 and 1", "mask"]
    np.testing.assert_array_equal(image.series[1].open().read(), mask)


def test_a_folder_of_levels_without_any_metadata_of_its_own_is_an_image(
    tmp_path: Path, slow_server: Callable[..., SlowServer]
) -> None:
    levels(tmp_path / "pyramid.zarr", ["0", "1"])
    (tmp_path / "pyramid.zarr" / "zarr.json").unlink()
    server = slow_server(tmp_path)

    image = noc.open(f"{server.url}/pyramid.zarr")

    assert len(image.levels) == 2
    assert any("no metadata of its own" in note for note in image.notes)


def test_usual_names_are_asked_for_in_one_round(
    tmp_path: Path, slow_server: Callable[..., SlowServer]
) -> None:
    zarr.open_group(tmp_path / "group.zarr", mode="w", zarr_format=3)
    values = array(tmp_path / "group.zarr" / "data", (6, 7))
    server = slow_server(tmp_path, latency_s=0.2)

    np.testing.assert_array_equal(noc.open(f"{server.url}/group.zarr").read(), values)

    opening = [each for each in server.log if each.path.endswith("zarr.json")]
    assert rounds(opening) == 3


# ---- folders of images --------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, ome_zarr: Callable[[str], Written]) -> Path:
    """A folder that is no Zarr, with two images and a text."""
    import shutil

    root = tmp_path / "bucket" / "study"
    root.mkdir(parents=True)
    (root / "README.txt").write_text("two images")
    for name in ("b.zarr", "a.ome.zarr"):
        shutil.copytree(ome_zarr("v05 with labels").path, root / name)
    return root


def test_a_folder_of_images_offers_them_by_name(folder: Path) -> None:
    image = noc.open(folder)

    assert [entry.name for entry in image.series] == ["a.ome.zarr", "b.zarr"]
    assert image.series[1].open().levels[0].shape == image.levels[0].shape
    assert any("2 images are here" in note for note in image.notes)


def test_so_does_a_bucket(folder: Path, slow_server: Callable[..., SlowServer]) -> None:
    server = slow_server(folder.parents[1])

    image = noc.open("s3://bucket/study", endpoint=server.url)

    assert [entry.name for entry in image.series] == ["a.ome.zarr", "b.zarr"]


def test_a_folder_on_a_web_server_says_what_to_do(
    folder: Path, slow_server: Callable[..., SlowServer]
) -> None:
    server = slow_server(folder.parents[1])

    with pytest.raises(NotFoundError, match="do not tell what is in it, so open one of them"):
        noc.open(f"{server.url}/bucket/study")


def test_folders_without_zarr_in_their_names_are_looked_into(folder: Path) -> None:
    (folder / "a.ome.zarr").rename(folder / "first")
    (folder / "b.zarr").rename(folder / "second")
    (folder / "third").mkdir()

    assert [entry.name for entry in noc.open(folder).series] == ["first", "second"]


def test_a_folder_without_images_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()

    with pytest.raises(NotFoundError, match="no Zarr metadata"):
        noc.open(tmp_path)
