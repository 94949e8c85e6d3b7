"""Images in one file: .ozx and OME-TIFF, read back by others' libraries, whole or not there."""

from __future__ import annotations

import json
import signal
import zipfile
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.api import locate
from napari_omezarr_cloud.errors import BusyError, ExistsError, WriteError
from napari_omezarr_cloud.write import ome_tiff
from napari_omezarr_cloud.write.execution import write_planned
from napari_omezarr_cloud.write.packing import Workshop
from tests.fixtures.images import write_directly

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_omezarr_cloud.write.progress import Progress
    from tests.fixtures.programs import Programs
    from tests.fixtures.servers import S3Server

VOLUME = np.random.default_rng(8).integers(0, 4000, (2, 3, 300, 330), "u2")
OMERO = {
    "channels": [
        {"label": name, "color": color, "window": {"start": 0, "end": 9, "min": 0, "max": 99}}
        for name, color in (("DNA", "0000FF"), ("actin", "FF8000"))
    ]
}


@pytest.fixture
def volume(tmp_path: Path) -> noc.Image:
    write_directly(
        tmp_path / "in" / "volume.zarr",
        "czyx",
        [VOLUME],
        chunks=(1, 1, 128, 128),
        omero=OMERO,
        transforms=[((1, 2, 0.5, 0.5), (0, 4, 10, 20))],
    )
    return noc.open(tmp_path / "in" / "volume.zarr")


@pytest.fixture
def signed(s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> S3Server:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OMEZARR_CACHE_DIR", str(tmp_path / "cache"))
    return s3


def test_an_ozx_is_what_its_specification_asks_for(volume: noc.Image, tmp_path: Path) -> None:
    saved = noc.save(volume, tmp_path / "a.ozx")

    assert (saved.read(0) == VOLUME).all()
    assert saved.notes == ()
    assert saved.channels[1].name == "actin"
    with zipfile.ZipFile(tmp_path / "a.ozx") as file:
        assert file.testzip() is None
        assert file.namelist()[:3] == ["zarr.json", "0/zarr.json", "1/zarr.json"]
        assert not [name for name in file.namelist()[3:] if name.endswith(".json")]
        assert {each.compress_type for each in file.infolist()} == {zipfile.ZIP_STORED}
        assert [each.header_offset for each in file.infolist()] == sorted(
            each.header_offset for each in file.infolist()
        )
        about = json.loads(file.comment)["ome"]
        assert about == {"version": "0.5", "zipFile": {"centralDirectory": {"jsonFirst": True}}}
        for name in ("0/zarr.json", "1/zarr.json"):
            assert json.loads(file.read(name))["codecs"][0]["name"] == "sharding_indexed"
        file.extractall(tmp_path / "unpacked.zarr")
    with zarr.storage.ZipStore(tmp_path / "a.ozx", mode="r") as store:
        assert (np.asarray(zarr.open_group(store, mode="r")["0"]) == VOLUME).all()
    (node,) = Reader(parse_url(str(tmp_path / "unpacked.zarr")))()
    assert (np.asarray(node.data[0]) == VOLUME).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ozx", "in", "unpacked.zarr"]


def test_a_zip_may_hold_the_older_version(volume: noc.Image, tmp_path: Path) -> None:
    saved = noc.save(volume, tmp_path / "a.zarr.zip", version="0.4")

    assert saved.version == "0.4"
    assert (saved.read(0) == VOLUME).all()
    with pytest.raises(WriteError, match=r"an \.ozx holds OME-Zarr 0\.5"):
        noc.plan_save(volume, tmp_path / "a.ozx", version="0.4")


def test_nothing_is_overwritten_unasked_and_the_old_one_stays_until_the_new_is_whole(
    volume: noc.Image, tmp_path: Path
) -> None:
    noc.save(volume, tmp_path / "a.ozx")
    before = (tmp_path / "a.ozx").read_bytes()
    with pytest.raises(ExistsError, match="a file of this name"):
        noc.save(volume, tmp_path / "a.ozx", level=0, channels=[1])
    (tmp_path / "folder.ozx").mkdir()
    with pytest.raises(ExistsError, match="a folder of this name"):
        noc.save(volume, tmp_path / "folder.ozx", overwrite=True)
    seen = set()

    def look(_: Progress) -> None:
        seen.add((tmp_path / "a.ozx").read_bytes() == before)

    saved = noc.save(volume, tmp_path / "a.ozx", channels=[1], overwrite=True, on_progress=look)

    assert seen == {True}
    assert (saved.read(0) == VOLUME[1:]).all()


@pytest.mark.parametrize("name", ["a.ozx", "a.ome.tif"])
def test_to_a_private_bucket_and_only_when_it_is_whole(
    volume: noc.Image, signed: S3Server, name: str
) -> None:
    place = locate(f"s3://{signed.private}/packed/{name}", endpoint=signed.endpoint)

    def there() -> list[str]:
        answer = signed.client.list_objects_v2(Bucket=signed.private, Prefix="packed/")
        return [each["Key"] for each in answer.get("Contents", ()) if each["Key"].endswith(name)]

    seen: list[list[str]] = []
    write_planned(noc.plan_save(volume, place), on_progress=lambda _: seen.append(there()))

    assert seen
    assert not any(seen)
    assert there() == [f"packed/{name}"]
    assert not Workshop.of(place).folder.exists()
    if name.endswith("ozx"):
        assert (noc.open(place).read(0) == VOLUME).all()
    with pytest.raises(ExistsError, match="a file of this name"):
        write_planned(noc.plan_save(volume, place))


def test_what_was_written_over_is_read_anew(volume: noc.Image, signed: S3Server) -> None:
    place = locate(f"s3://{signed.private}/twice/a.ozx", endpoint=signed.endpoint)
    first = noc.save(volume, place)

    second = noc.save(volume, place, channels=[1], overwrite=True)

    assert first.levels[0].shape == VOLUME.shape
    assert (second.read(0) == VOLUME[1:]).all()


_KILLED = """
import os, signal, sys
import napari_omezarr_cloud as noc
from napari_omezarr_cloud.write import ozx
from napari_omezarr_cloud.write.execution import write_planned

source, target, stage, steps = sys.argv[1:]
ozx._TWICE_BYTES = 100_000
left = int(steps)

def step(progress):
    global left
    left -= progress.stage == stage
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

size = {"chunks": (1, 1, 64, 64), "shards": (1, 1, 128, 128), "codec": "none"}
plan = noc.plan_save(noc.open(source), target, levels=2, **size)
write_planned(plan, on_progress=step, threads=1)
print(plan.location)
"""


@pytest.mark.parametrize("name", ["a.ozx", "a.ome.tif"])
def test_killed_at_any_moment_it_is_absent_and_goes_on(
    volume: noc.Image, name: str, tmp_path: Path, programs: Programs
) -> None:
    target = tmp_path / "out" / name
    target.parent.mkdir()
    room = []
    for stage, steps in (("", 0), ("packing", 0), ("packing", 9), ("packing", 9), ("never", 0)):
        ended = programs.run(_KILLED, str(volume.location), str(target), stage, str(steps))
        assert ended.returncode == (0 if stage == "never" else -signal.SIGKILL), ended.stderr
        assert target.exists() == (stage == "never")
        files = [path for path in target.parent.rglob("*") if path.is_file()]
        room.append(
            sum(path.stat().st_size for path in files if "omezarr-writing" not in str(path))
        )

    if name.endswith("ozx"):  # the disk never holds it twice
        assert max(room) < room[-1] + 300_000 < 1.2 * room[-1]

    assert [path.name for path in target.parent.iterdir()] == [name]
    if name.endswith("ozx"):
        assert (noc.open(target).read(0) == VOLUME).all()
    else:
        assert (tifffile.imread(target) == VOLUME).all()


def test_killed_while_it_is_sent_nothing_is_there_and_it_is_sent_again(
    volume: noc.Image, signed: S3Server, programs: Programs
) -> None:
    place = locate(f"s3://{signed.private}/packed-and-killed/a.ozx", endpoint=signed.endpoint)
    for stage in ("sending", "never"):
        ended = programs.run(_KILLED, str(volume.location), str(place), stage, "0")
        assert ended.returncode == (0 if stage == "never" else -signal.SIGKILL), ended.stderr
        answer = signed.client.list_objects_v2(Bucket=signed.private, Prefix="packed-and-killed/")
        assert answer["KeyCount"] == (stage == "never")

    assert (noc.open(place).read(0) == VOLUME).all()
    assert not Workshop.of(place).folder.exists()


def test_the_beginning_of_another_save_is_not_lost_unasked(
    volume: noc.Image, tmp_path: Path
) -> None:
    def end_it(progress: Progress) -> None:
        progress.cancel()

    with pytest.raises(WriteError, match="cancelled"):
        noc.save(volume, tmp_path / "a.ozx", on_progress=end_it)
    assert not (tmp_path / "a.ozx").exists()

    with pytest.raises(ExistsError, match="the beginning of another save"):
        noc.save(volume, tmp_path / "a.ozx", channels=[0])
    saved = noc.save(volume, tmp_path / "a.ozx", channels=[0], overwrite=True)

    assert (saved.read(0) == VOLUME[:1]).all()


@pytest.mark.parametrize("stage", ["", "packing"])
def test_two_at_once_do_not_meet(volume: noc.Image, stage: str, tmp_path: Path) -> None:
    refused = []

    def try_too(progress: Progress) -> None:
        if progress.stage != stage or refused:
            return
        for options in ({}, {"channels": [0], "overwrite": True}):
            with pytest.raises(BusyError, match="is writing there"):
                noc.save(volume, tmp_path / "a.ozx", **options)
            refused.append(options)

    saved = noc.save(volume, tmp_path / "a.ozx", on_progress=try_too)

    assert len(refused) == 2
    assert (saved.read(0) == VOLUME).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ozx", "in"]


def test_an_ome_tiff_says_sizes_places_names_and_colours(volume: noc.Image, tmp_path: Path) -> None:
    write_planned(noc.plan_save(volume, tmp_path / "a.ome.tif"))

    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        (series,) = file.series
        assert series.axes == "CZYX"
        assert (series.asarray() == VOLUME).all()
        assert [level.shape for level in series.levels] == [VOLUME.shape, (2, 3, 150, 165)]
        means = VOLUME.reshape(2, 3, 150, 2, 165, 2).mean((3, 5))
        assert np.abs(series.levels[1].asarray() - means).max() <= 0.5
        assert series.levels[0].keyframe.is_tiled
        assert series.levels[0].keyframe.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert not file.is_bigtiff
        document = ElementTree.fromstring(file.ome_metadata or "")
    ome = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"
    (pixels,) = document.iter(f"{ome}Pixels")
    sizes = {name: pixels.get(f"PhysicalSize{name}") for name in "XYZ"}
    assert sizes == {"X": "0.5", "Y": "0.5", "Z": "2.0"}
    assert pixels.get("PhysicalSizeXUnit") == "µm"
    channels = [(each.get("Name"), each.get("Color")) for each in document.iter(f"{ome}Channel")]
    assert channels == [("DNA", str(0x0000FFFF)), ("actin", str(0xFF8000FF - 2**32))]
    planes = list(document.iter(f"{ome}Plane"))
    assert len(planes) == 6
    assert [planes[5].get(f"Position{name}") for name in "XYZ"] == ["20.0", "10.0", "4.0"]
    assert str(volume.location) in (document.findtext(f".//{ome}Description") or "")


@pytest.mark.parametrize(
    ("array", "axes", "expected"),
    [
        (np.arange(1200, dtype="f4").reshape(30, 40) / 7, "yx", "f4"),
        (np.arange(2400).reshape(2, 30, 40) % 3 == 0, "tyx", "u1"),
        (np.arange(1200, dtype=">i2").reshape(30, 40), "yx", "i2"),
        (np.arange(1200, dtype="f2").reshape(30, 40), "yx", "f4"),
    ],
    ids=["decimals", "flags", "other byte order", "half precision"],
)
def test_an_ome_tiff_of_every_kind_of_number(
    array: np.ndarray[Any, Any], axes: str, expected: str, tmp_path: Path
) -> None:
    source = noc.from_array(array, axes, unit=None)

    write_planned(noc.plan_save(source, tmp_path / "a.ome.tiff", codec="none"))

    found = tifffile.imread(tmp_path / "a.ome.tiff")
    assert found.dtype == np.dtype(expected)
    assert (found == array).all()


def test_a_large_one_becomes_a_big_tiff(
    volume: noc.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ome_tiff, "_CLASSIC_BYTES", VOLUME.nbytes)

    write_planned(noc.plan_save(volume, tmp_path / "a.tif"))

    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_bigtiff
        assert (file.asarray() == VOLUME).all()


def test_what_an_ome_tiff_cannot_hold_is_said_before(volume: noc.Image, tmp_path: Path) -> None:
    target = tmp_path / "a.ome.tif"
    plan: Callable[..., Any] = noc.plan_save

    with pytest.raises(WriteError, match="fewer planes"):
        plan(volume, target, factors=[(1, 2, 2, 2)])
    with pytest.raises(WriteError, match="uint64, which OME-TIFF has not"):
        plan(noc.from_array(np.zeros((8, 8), "u8"), "yx"), target)
    with pytest.raises(WriteError, match="written here and not read"):
        noc.save(volume, target)
    assert not target.exists()
