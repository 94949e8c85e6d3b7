"""What is never overwritten, whoever says so: what is read, more than an image, what is no Zarr."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import BusyError, ChangedError, ExistsError, WriteError
from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.store import io_thread
from napari_omezarr_cloud.write.claiming import Claim
from napari_omezarr_cloud.write.overlap import lies_in
from napari_omezarr_cloud.write.target import find, open_target
from tests.fixtures.plates import write_plate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PIXELS = np.arange(40 * 50, dtype="u2").reshape(40, 50)
OTHER = noc.from_array(np.full((40, 50), 7, "u2"), "yx", name="other")


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A folder with an image with labels, a link to it, and a plate."""
    image = noc.save(noc.from_array(PIXELS, "yx", name="image"), tmp_path / "image.zarr")
    noc.save_labels(noc.from_array(PIXELS % 5, "yx"), image, "cells")
    (tmp_path / "link.zarr").symlink_to("image.zarr")
    write_plate(tmp_path / "plate.zarr", {"A/1": [PIXELS[None]], "B/2": [PIXELS[None]]})
    return tmp_path


def smooth(path: Path) -> noc.Derived:
    return noc.apply(noc.open(path), noc.Step("gaussian", {"sigma": 1.0}))


READ: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a field of the plate": (lambda at: noc.open(at / "plate.zarr/A/1/0"), "plate.zarr"),
    "the plate of the field": (lambda at: noc.open(at / "plate.zarr"), "plate.zarr/A/1/0"),
    "its labels": (lambda at: noc.open(at / "image.zarr").labels[0], "image.zarr"),
    "itself": (lambda at: noc.open(at / "image.zarr"), "image.zarr"),
    "its own result": (lambda at: smooth(at / "image.zarr"), "image.zarr"),
    "itself, through a link": (lambda at: noc.open(at / "link.zarr"), "image.zarr"),
    "a link to itself": (lambda at: noc.open(at / "image.zarr"), "link.zarr"),
    "its array, lazily": (
        lambda at: noc.from_array(da.from_zarr(str(at / "image.zarr/0")) + 1, "yx"),
        "image.zarr",
    ),
    "its level, lazily": (
        lambda at: noc.from_array(noc.open(at / "image.zarr").levels[0].dask[1:] * 2, "yx"),
        "image.zarr",
    ),
}


@pytest.mark.parametrize("what", READ)
def test_nothing_is_overwritten_by_what_is_read_from_it(what: str, there: Path) -> None:
    source, target = READ[what]
    before = everything(there)

    with pytest.raises(ExistsError, match=r"read from there|a part of what is saved"):
        noc.save(source(there), there / target, overwrite=True)

    assert everything(there) == before


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        ("s3://b/a.zarr/0?endpoint=http://LocalHost:80", "http://127.0.0.1/b/a.zarr", True),
        ("https://s3.eu-west-1.amazonaws.com/b/a.zarr", "s3://b/a.zarr/?region=eu-west-1", True),
        ("https://b.s3.amazonaws.com/a.zarr", "s3://b/a.zarr?profile=mine", True),
        ("s3://b/a.zarr2", "s3://b/a.zarr", False),
        ("s3://b/a.zarr", "s3://b/a.zarr/0", False),
        ("s3://b/a.zarr?endpoint=http://one", "s3://b/a.zarr?endpoint=http://two", False),
        ("gs://b/a.zarr", "s3://b/a.zarr", False),
        ("/data/a.zarr/0", "file:///data/x/../a.zarr/", True),
        ("/data/a.zarr", "s3://b/a.zarr", False),
    ],
)
def test_one_place_written_differently(inner: str, outer: str, *, expected: bool) -> None:
    assert lies_in(parse_location(inner), parse_location(outer)) is expected


def test_an_image_takes_the_place_of_one_image_only(there: Path) -> None:
    with pytest.raises(ExistsError, match="image “image” with labels \\(cells\\)"):
        noc.save(OTHER, there / "image.zarr")  # unasked, all of it is named
    noc.save(OTHER, there / "image.zarr/labels/more", is_labels=True)
    (there / "image.zarr/notes.txt").write_text("three years")
    before = everything(there)

    with pytest.raises(ExistsError, match="a plate"):
        noc.save(OTHER, there / "plate.zarr", overwrite=True)
    with pytest.raises(ExistsError, match="a well"):
        noc.save(OTHER, there / "plate.zarr/A/1", overwrite=True)
    with pytest.raises(ExistsError, match=r"other files \(notes.txt\)"):
        noc.save(OTHER, there / "image.zarr", overwrite=True)
    (there / "image.zarr/notes.txt").unlink()
    (there / "plate.zarr/A/1/0").rename(there / "image.zarr/old")
    with pytest.raises(ExistsError, match=r"other images \(old\)"):
        noc.save(OTHER, there / "image.zarr", overwrite=True)

    (there / "image.zarr/old").rename(there / "plate.zarr/A/1/0")
    (there / "image.zarr/notes.txt").write_text("three years")
    assert everything(there) == before
    noc.save(OTHER, there / "plate.zarr/A/1/0", overwrite=True)  # one field is one image
    (there / "image.zarr/notes.txt").rename(there / "image.zarr/.DS_Store")
    assert (noc.save(OTHER, there / "image.zarr", overwrite=True).read(0) == 7).all()


def test_what_somebody_writes_below_is_not_deleted(there: Path) -> None:
    place = parse_location(there / "image.zarr/labels/more")
    claim = Claim(open_target(place), {"plan": {"levels": []}, "origin": ""})
    io_thread().wait(claim.take())

    with pytest.raises(BusyError, match="is writing there"):
        noc.save(OTHER, there / "image.zarr", overwrite=True)

    claim.release()
    assert (there / "image.zarr/labels/more").exists()


@pytest.mark.parametrize("where", ["0", "0/deep", "new", "labels", "labels/a/b", "x.ozx"])
def test_nothing_is_written_into_an_image(where: str, there: Path) -> None:
    before = everything(there)

    with pytest.raises(WriteError, match=r"it lies in .*image\.zarr.* and would break it"):
        noc.save(OTHER, there / "image.zarr" / where, overwrite=True)
    with pytest.raises(WriteError, match=r"which is a well|which is a plate"):
        noc.save(OTHER, there / "plate.zarr/A/1/new")
    with pytest.raises(WriteError, match="which is an array"):
        noc.download(there / "plate.zarr/A/1/0", there / "image.zarr/0/copy")

    assert everything(there) == before
    assert not (there / "image.zarr/new").exists()


def test_what_is_saved_among_labels_is_labels(there: Path) -> None:
    place = there / "image.zarr/labels/nuclei"
    large = noc.from_array(np.full((600, 600), 3, "u2"), "yx", name="large")
    with pytest.raises(WriteError, match="labels are whole numbers"):
        noc.save(noc.from_array(PIXELS / 2, "yx"), place)
    with pytest.raises(WriteError, match=r"never made by 'mean'.*--method mode"):
        noc.save(large, place)
    with pytest.raises(WriteError, match=r"the image is OME-Zarr 0\.5.*--version 0\.5"):
        noc.save(OTHER, place, is_labels=True, version="0.4")
    assert not place.exists()

    noc.save(large, place, is_labels=True)

    assert [each.name for each in noc.open(there / "image.zarr").labels] == ["cells", "nuclei"]
    assert noc.open(place).opened.image.label is not None


def test_a_zip_file_that_is_no_image_is_left(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "thesis.zip", "w") as file:
        file.writestr("thesis.txt", "three years")
    image = noc.save(OTHER, tmp_path / "image.ozx")
    before = everything(tmp_path)

    with pytest.raises(ExistsError, match="holds no OME-Zarr"):
        noc.save(OTHER, tmp_path / "thesis.zip", overwrite=True)
    with pytest.raises(ExistsError, match="read from there"):
        noc.save(image, tmp_path / "image.ozx", overwrite=True)

    assert everything(tmp_path) == before


def test_what_has_come_since_it_was_looked_is_left(tmp_path: Path) -> None:
    planned = noc.plan_save(noc.from_array(PIXELS, "yx", name="late"), tmp_path / "a.zarr")
    late = planned.writing(planned.location, planned.origin())
    found = io_thread().wait(find(planned.location))
    noc.save(OTHER, tmp_path / "a.zarr")
    before = everything(tmp_path)

    with pytest.raises(ExistsError, match=r"come there meanwhile \(0, zarr.json\)"):
        late.begin(found)

    assert everything(tmp_path) == before


def test_a_link_is_followed_and_stays(there: Path) -> None:
    (there / "one.ozx").symlink_to("real.ozx")
    noc.save(noc.from_array(PIXELS, "yx"), there / "real.ozx")

    for link in ("link.zarr", "one.ozx"):
        assert (noc.save(OTHER, there / link, overwrite=True).read(0) == 7).all()
        assert (there / link).is_symlink()
    assert (noc.open(there / "image.zarr").read(0) == 7).all()
    assert (noc.open(there / "real.ozx").read(0) == 7).all()


def test_a_file_that_changed_since_it_may_be_overwritten_is_left(tmp_path: Path) -> None:
    place = tmp_path / "a.ozx"
    noc.save(noc.from_array(PIXELS, "yx"), place)

    with pytest.raises(ChangedError, match=r"changed while.*the new file is whole"):
        noc.save(OTHER, place, overwrite=True, on_progress=lambda _: place.write_text("theirs"))
    assert place.read_text() == "theirs"

    other = tmp_path / ".b.ozx.omezarr-new"
    other.mkdir()
    (other / "thesis.txt").write_text("three years")
    with pytest.raises(ExistsError, match="where other files are"):
        noc.save(OTHER, tmp_path / "b.ozx")
    assert (other / "thesis.txt").exists()
