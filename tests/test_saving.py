"""Saving from Python: a part of an image, channels, labels, results; on disk and on S3."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import AccessRefusedError, ExistsError, RegionError, WriteError

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

    with pytest.raises(ExistsError, match=r"zarr\.json"):
        noc.save(volume, tmp_path / "volume.zarr")

    assert sorted(path for path in (tmp_path / "volume.zarr").rglob("*")) == before


def test_a_plan_shows_what_would_be_written_and_writes_nothing(
    volume: noc.Image, tmp_path: Path
) -> None:
    plan = noc.plan_save(volume, tmp_path / "planned.zarr")

    assert "3 x 12 x 90 x 110" in str(plan)
    assert "MB before compression" in str(plan)
    assert not (tmp_path / "planned.zarr").exists()


def test_what_is_not_there_cannot_be_saved(volume: noc.Image, tmp_path: Path) -> None:
    with pytest.raises(RegionError, match="no level 7"):
        noc.save(volume, tmp_path / "a.zarr", level=7)
    with pytest.raises(WriteError, match="0 to 2"):
        noc.save(volume, tmp_path / "a.zarr", channels=[3])
    assert not (tmp_path / "a.zarr").exists()


def test_to_a_private_bucket_and_back(
    volume: noc.Image, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"s3://{s3.private}/saved/volume.zarr"
    with pytest.raises(AccessRefusedError):
        noc.save(volume, target, endpoint=s3.endpoint)

    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    saved = noc.save(volume, target, endpoint=s3.endpoint)

    assert (saved.read(0) == VOLUME).all()
    with pytest.raises(ExistsError, match="something is there already"):
        noc.save(volume, target, endpoint=s3.endpoint)


def test_a_plain_web_server_takes_nothing(volume: noc.Image) -> None:
    with pytest.raises(WriteError, match="plain web servers take no files"):
        noc.save(volume, "https://example.org/data/a.zarr")
