"""Saving from Python: a part of an image, channels, labels, results; on disk and on S3."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.api import locate
from napari_omezarr_cloud.errors import (
    AccessRefusedError,
    ExistsError,
    NotFoundError,
    RegionError,
    ServerError,
    WriteError,
)
from napari_omezarr_cloud.ngff import ImageLabel
from napari_omezarr_cloud.store import RemoteStore
from tests.fixtures.images import write_directly

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.servers import S3Server

VOLUME = np.random.default_rng(5).integers(0, 4000, (3, 12, 90, 110), "u2")


@pytest.fixture
def volume(tmp_path: Path) -> noc.Image:
    source = noc.from_array(
        VOLUME, "czyx", scale=(1, 2, 0.5, 0.5), unit="micrometer", name="volume"
    )
    return noc.save(source, tmp_path / "volume.zarr", chunks=(1, 4, 32, 32), levels=2)


def test_what_was_saved_is_opened_and_the_same(volume: noc.Image) -> None:
    assert (volume.read(0) == VOLUME).all()
    assert volume.levels[0].scale == (1, 2, 0.5, 0.5)
    assert volume.axes[-1].unit == "micrometer"
    assert volume.notes == ()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_box_of_some_channels_lies_where_it_lay(
    volume: noc.Image, version: str, tmp_path: Path
) -> None:
    box = (slice(None), slice(2, 9), slice(11, 60), slice(20, 100))

    part = noc.save(volume, tmp_path / "part.zarr", region=box, channels=[2, 0], version=version)

    assert (part.read(0) == VOLUME[[2, 0], 2:9, 11:60, 20:100]).all()
    assert part.levels[0].translation == (0, 4, 5.5, 10)
    assert part.version == version


def test_channels_look_as_they_did(tmp_path: Path) -> None:
    window = {"start": 3, "end": 900, "min": 0, "max": 4000}
    looks = [
        {"label": name, "color": color, "active": active, "window": window}
        for name, color, active in (("a", "0080FF", True), ("b", "FF0000", False))
    ]
    path, omero = tmp_path / "source.zarr", {"channels": looks, "rdefs": {"defaultZ": 4}}
    write_directly(path, "czyx", [VOLUME[:2]], chunks=(1, 4, 32, 32), omero=omero)

    saved = noc.save(noc.open(path), tmp_path / "saved.zarr", channels=[1, 0])

    assert saved.channels == noc.open(path).channels[::-1]
    assert saved.opened.image.default_z == 4


def test_a_coarser_level_becomes_the_finest(volume: noc.Image, tmp_path: Path) -> None:
    coarse = noc.save(volume, tmp_path / "coarse.zarr", level=1)

    assert (coarse.read(0) == volume.read(1)).all()
    assert coarse.levels[0].scale == volume.levels[1].scale
    assert coarse.levels[0].translation == volume.levels[1].translation


def test_a_result_is_computed_while_it_is_saved_and_says_where_it_came_from(
    volume: noc.Image, tmp_path: Path
) -> None:
    result = noc.apply(volume, noc.Step("gaussian", {"sigma": 1.0}))

    saved = noc.save(result, tmp_path / "smooth.zarr")

    np.testing.assert_array_equal(saved.read(0), result.read(0))
    document = json.loads((tmp_path / "smooth.zarr" / "zarr.json").read_text())
    origin = document["attributes"]["napari-omezarr-cloud"]
    assert "gaussian" in origin["recipe"]
    assert origin["source"] == str(volume.location)


def test_nothing_is_overwritten_unasked(volume: noc.Image, tmp_path: Path) -> None:
    before = sorted(path for path in (tmp_path / "volume.zarr").rglob("*"))

    with pytest.raises(ExistsError, match=r"there already.*an image “volume”"):
        noc.save(volume, tmp_path / "volume.zarr")

    assert sorted(path for path in (tmp_path / "volume.zarr").rglob("*")) == before


@pytest.mark.parametrize("on", ["disk", "S3"])
def test_what_is_no_zarr_is_never_overwritten(
    volume: noc.Image, on: str, tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    place = locate(tmp_path)  # the source is in it, too
    (tmp_path / "thesis.txt").write_text("years of work")
    if on == "S3":
        place = locate(f"s3://{s3.private}/all/{tmp_path.name}", endpoint=s3.endpoint)
        s3.put_folder(tmp_path, s3.private, "all")

    with pytest.raises(ExistsError, match=r"no Zarr.*thesis\.txt"):
        noc.save(volume, place, overwrite=True)
    with pytest.raises(ExistsError, match="no Zarr"):
        noc.save(volume, tmp_path / "thesis.txt", overwrite=True)

    assert (noc.open(place.child("volume.zarr")).read(0) == VOLUME).all()
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_plan_shows_what_would_be_written_and_writes_nothing(
    volume: noc.Image, tmp_path: Path
) -> None:
    plan = noc.plan_save(volume, tmp_path / "planned.zarr")

    assert "3 x 12 x 90 x 110" in str(plan)
    assert "before compression" in str(plan)
    assert not (tmp_path / "planned.zarr").exists()


def test_what_is_not_there_cannot_be_saved(volume: noc.Image, tmp_path: Path) -> None:
    with pytest.raises(RegionError, match="no level 7"):
        noc.save(volume, tmp_path / "a.zarr", level=7)
    with pytest.raises(WriteError, match="0 to 2"):
        noc.save(volume, tmp_path / "a.zarr", channels=[3])
    assert not (tmp_path / "a.zarr").exists()


def test_an_array_is_told_how_to_become_an_image(tmp_path: Path) -> None:
    pixels = np.arange(30, dtype="u1").reshape(5, 6)
    with pytest.raises(TypeError, match="from_array"):
        noc.save(pixels, tmp_path / "a.zarr")  # type: ignore[arg-type]

    saved = noc.save(noc.from_array(pixels, axes="yx"), tmp_path / "a.zarr")
    np.testing.assert_array_equal(saved.read(0), pixels)


def test_to_a_private_bucket_and_back(
    volume: noc.Image, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"s3://{s3.private}/saved/volume.zarr"
    with pytest.raises(AccessRefusedError):
        noc.save(volume, target, endpoint=s3.endpoint)

    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    s3.client.put_object(Bucket=s3.private, Key="saved/volume.zarr/", Body=b"")  # "a folder"
    saved = noc.save(volume, target, endpoint=s3.endpoint)

    assert (saved.read(0) == VOLUME).all()
    for again in (target, target.replace("s3:/", s3.endpoint)):
        with pytest.raises(ExistsError, match="something is there already"):
            noc.save(volume, again, endpoint=s3.endpoint if again == target else None)


def test_a_plain_web_server_takes_nothing(volume: noc.Image) -> None:
    with pytest.raises(WriteError, match="plain web servers take no files"):
        noc.save(volume, "https://example.org/data/a.zarr")


@pytest.mark.parametrize("on", ["disk", "S3"])
def test_overwriting_leaves_the_old_until_the_new_is_whole(
    volume: noc.Image, on: str, tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    if on == "S3":
        place = locate(f"s3://{s3.private}/over/old.zarr", endpoint=s3.endpoint)
    else:
        place = locate(tmp_path / "old.zarr")
    noc.save(volume, place, chunks=(1, 12, 45, 55), levels=3)
    new = noc.from_array(np.full((2, 300, 280), 7, "u1"), "cyx", name="new")
    seen = []

    def look(_: object) -> None:
        seen.append((noc.open(place).read(0) == VOLUME).all())

    saved = noc.save(new, place, overwrite=True, on_progress=look)

    assert seen
    assert all(seen)
    assert (saved.read(0) == 7).all()
    assert len(saved.levels) == 2
    if on == "S3":
        prefix = s3.client.list_objects_v2(Bucket=s3.private, Prefix="over/")
        kept = [each["Key"] for each in prefix["Contents"]]
        assert {key.split("/")[1] for key in kept} == {"old.zarr"}
        assert not [key for key in kept if "/2/" in key]  # the old one's third level
    else:
        assert {path.name for path in tmp_path.iterdir()} == {"old.zarr", "volume.zarr"}


def test_a_replacement_that_broke_off_is_finished_by_saving_again(
    volume: noc.Image, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    place = locate(f"s3://{s3.private}/broken/old.zarr", endpoint=s3.endpoint)
    noc.save(volume, place)
    new = noc.from_array(np.arange(300 * 280, dtype="u4").reshape(300, 280), "yx", name="new")
    copies = RemoteStore.copy

    async def break_off(self: RemoteStore, key: str, to: str) -> None:
        if key.endswith("zarr.json") and "/1/" in key:
            raise ServerError("Could not copy", key=key, status=500)
        await copies(self, key, to)

    monkeypatch.setattr(RemoteStore, "copy", break_off)
    with pytest.raises(ServerError):
        noc.save(new, place, overwrite=True)
    with pytest.raises(NotFoundError, match="began and has not ended"):
        noc.open(place)
    monkeypatch.setattr(RemoteStore, "copy", copies)

    again: list[object] = []
    saved = noc.save(new, place, overwrite=True, on_progress=again.append)

    assert (saved.read(0) == np.arange(300 * 280).reshape(300, 280)).all()
    assert not again  # nothing was written a second time


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_of_a_part_lie_beside_their_image_and_are_listed(
    volume: noc.Image, version: str, tmp_path: Path
) -> None:
    image = noc.save(volume, tmp_path / "image.zarr", version=version)
    before = {
        path: path.read_bytes() for path in (tmp_path / "image.zarr").rglob("*") if path.is_file()
    }
    part = noc.save(
        volume, tmp_path / "p.zarr", channels=[1], region=(slice(None), 4, slice(8, 50), slice(9))
    )
    label = noc.Labels(part.pyramid, "cells", ImageLabel(colors={1: (255, 0, 0, 255)}))

    image, notes = noc.save_labels(label, image, "cells")
    image, _ = noc.save_labels(label, image, "more cells")

    assert notes == ()
    assert [each.name for each in image.labels] == ["cells", "more cells"]
    saved = image.labels[0]
    assert (saved.read(0) == part.read(0)).all()
    assert saved.levels[0].translation == part.levels[0].translation
    assert saved.label.colors == {1: (255, 0, 0, 255)}
    assert saved.label.source == "../../"
    assert all(path.read_bytes() == raw for path, raw in before.items())
    with pytest.raises(ExistsError):
        noc.save_labels(label, image, "cells")


def test_names_and_places_that_labels_cannot_have(volume: noc.Image) -> None:
    for name in ("", "a/b", "..", ".hidden"):
        with pytest.raises(WriteError, match="no name for a folder of labels"):
            noc.save_labels(noc.Labels(volume.pyramid, "x", ImageLabel()), volume, name)
    with pytest.raises(WriteError, match="labels would be mixed"):
        noc.save_labels(
            noc.Labels(volume.pyramid, "x", ImageLabel()), volume, "cells", method="mean"
        )
