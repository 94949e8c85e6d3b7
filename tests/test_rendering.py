"""Rendering settings saved into an image, or kept on this computer: on disk, S3 and the web."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader

import napari_omezarr_cloud as noc
from napari_omezarr_cloud import kept_rendering
from napari_omezarr_cloud.api import locate
from napari_omezarr_cloud.errors import AccessRefusedError, ChangedError, WriteError
from napari_omezarr_cloud.store import RemoteStore, io_thread
from napari_omezarr_cloud.write import exchange as exchanging
from tests.fixtures.images import write_directly

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.servers import S3Server
    from tests.fixtures.slow_http import SlowServer

PIXELS = np.arange(2 * 3 * 8 * 8, dtype="u2").reshape(2, 3, 8, 8)
OMERO = {
    "channels": [
        {"label": "DAPI", "color": "0000FF", "active": True, "mine": [1]},
        {
            "label": "GFP",
            "color": "00FF00",
            "active": True,
            "window": {"start": 5, "end": 90, "min": 0, "max": 65535},
        },
    ],
    "rdefs": {"model": "color", "projection": "normal"},
    "other": {"a": 1},
}
NEW = noc.Rendering(
    (
        noc.Channel("nuclei", "FF8000", noc.Window(10, 200, 0, 65535)),
        noc.Channel(active=False),
    ),
    default_z=2,
)


def write(folder: Path, version: str) -> Path:
    write_directly(folder, "czyx", [PIXELS], version=version, chunks=(1, 3, 8, 8), omero=OMERO)
    return folder


def document(folder: Path) -> dict[str, Any]:
    file = folder / ".zattrs"
    if file.exists():
        return dict(json.loads(file.read_text()))
    return dict(json.loads((folder / "zarr.json").read_text())["attributes"])


def omero(folder: Path) -> Any:
    attributes = document(folder)
    return attributes.get("ome", attributes)["omero"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_saved_settings_are_those_that_others_read(tmp_path: Path, version: str) -> None:
    folder = write(tmp_path / "image.zarr", version)
    before = document(folder)
    plan = noc.stored_rendering(noc.open(folder)).plan(NEW)

    assert noc.save_rendering(plan) == ()

    assert str(plan).splitlines() == [
        "channel 0 “nuclei”, name: DAPI → nuclei",
        "channel 0 “nuclei”, colour: 0000FF → FF8000",
        "channel 0 “nuclei”, contrast limits: not stated → 10 to 200",
        "channel 0 “nuclei”, range of the contrast slider: not stated → 0 to 65535",
        "channel 1 “GFP”, shown: yes → no",
        "image, z shown first: not stated → 2",
    ]
    node = next(iter(Reader(parse_url(folder))()))
    assert node.metadata["channel_names"] == ["nuclei", "GFP"]
    assert node.metadata["contrast_limits"] == [[10, 200], [5, 90]]
    assert node.metadata["visible"] == [True, False]
    assert [list(map(float, each[1])) for each in node.metadata["colormap"]] == [
        [1.0, 0.5019607843137255, 0.0],
        [0.0, 1.0, 0.0],
    ]
    image = noc.open(folder)
    assert image.notes == ()
    assert image.channels[0].window == noc.Window(10, 200, 0, 65535)
    assert (image.opened.image.default_z, image.channels[1].active) == (2, False)
    after = document(folder)
    del after["napari-omezarr-cloud"]
    after.get("ome", after)["omero"] = OMERO
    assert after == before  # keys of others, too
    assert omero(folder)["other"] == {"a": 1}
    assert omero(folder)["channels"][0]["mine"] == [1]
    assert {each.name for each in folder.iterdir()} <= {"0", "zarr.json", ".zattrs", ".zgroup"}


def test_the_former_settings_come_back_as_they_were(tmp_path: Path) -> None:
    folder = write(tmp_path / "image.zarr", "0.5")
    image = noc.open(folder)
    with pytest.raises(WriteError, match="has not changed them"):
        noc.stored_rendering(image).plan_former()
    noc.save_rendering(noc.stored_rendering(image).plan(NEW))
    changed = omero(folder)

    back = noc.stored_rendering(image).plan_former()
    assert "channel 0 “DAPI”, name: nuclei → DAPI" in str(back)
    noc.save_rendering(back)

    assert omero(folder) == OMERO
    noc.save_rendering(noc.stored_rendering(image).plan_former())  # and going back can be undone
    assert omero(folder) == changed


def test_the_copy_that_zarr_2_consolidates_says_the_same(tmp_path: Path) -> None:
    folder = write(tmp_path / "image.zarr", "0.4")
    copies = {"metadata": {".zattrs": document(folder)}, "zarr_consolidated_format": 1}
    (folder / ".zmetadata").write_text(json.dumps(copies))

    noc.save_rendering(noc.stored_rendering(noc.open(folder)).plan(NEW))

    copies = json.loads((folder / ".zmetadata").read_text())
    assert copies["metadata"][".zattrs"]["omero"] == omero(folder)
    assert noc.open(folder).notes == ()


@pytest.fixture(params=["disk", "S3", "S3 that ignores conditions"])
def shared(
    request: pytest.FixtureRequest, tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> noc.Image:
    """Return an image that several may write to."""
    monkeypatch.setattr(exchanging, "_honour", {})
    folder = write(tmp_path / f"{tmp_path.name}.zarr", "0.5")
    if request.param == "disk":
        return noc.open(folder)
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    s3.put_folder(folder, s3.private)
    if "ignores" in request.param:

        async def put_anyway(store: RemoteStore, key: str, data: bytes, version: object) -> bool:
            await store.put(key, data)
            return True

        monkeypatch.setattr(RemoteStore, "put_version", put_anyway)
    return noc.open(f"s3://{s3.private}/{folder.name}", endpoint=s3.endpoint)


def test_what_somebody_else_wrote_meanwhile_is_not_lost(shared: noc.Image) -> None:
    mine = noc.stored_rendering(shared).plan(NEW)
    theirs = noc.Rendering((noc.Channel("theirs"),))
    noc.save_rendering(noc.stored_rendering(shared).plan(theirs))

    with pytest.raises(ChangedError, match="somebody else has changed them meanwhile"):
        noc.save_rendering(mine)

    now = noc.stored_rendering(shared)
    assert now.rendering.channels[0].name == "theirs"
    again = now.plan(NEW)
    assert "channel 0 “nuclei”, name: theirs → nuclei" in str(again)
    notes = noc.save_rendering(again)
    assert noc.open(shared.location).channels[0].name == "nuclei"
    ignores = exchanging._honour and not any(exchanging._honour.values())
    assert bool(notes) == bool(ignores)  # who guards nothing is said to


def test_labels_listed_meanwhile_do_not_keep_from_saving(shared: noc.Image) -> None:
    mine = noc.stored_rendering(shared).plan(NEW)
    store = RemoteStore(shared.location, anonymous=False)

    async def change_the_rest() -> None:
        document = json.loads(bytes(await store.get("zarr.json") or b""))
        document["attributes"]["ome"]["multiscales"][0]["name"] = "renamed"
        await store.put("zarr.json", json.dumps(document).encode())

    io_thread().wait(change_the_rest())
    noc.save_rendering(mine)

    image = noc.open(shared.location)
    assert (image.name, image.channels[0].name) == ("renamed", "nuclei")


def test_a_web_server_takes_nothing_and_the_settings_are_kept_here(
    slow_server: Callable[..., SlowServer], tmp_path: Path
) -> None:
    write(tmp_path / "image.zarr", "0.5")
    server = slow_server(tmp_path)
    link = f"{server.url}/image.zarr?token=SECRET-TOKEN"
    stored = noc.stored_rendering(noc.open(link))
    plan = stored.plan(NEW)

    assert "signed link" in stored.obstacle
    with pytest.raises(WriteError, match="kept on this computer instead"):
        noc.save_rendering(plan)
    noc.keep_rendering(plan)

    image = noc.open(link)
    assert image.channels[0].name == "nuclei"
    assert image.channels[0].color == "FF8000"
    assert image.opened.image.default_z == 2
    assert "kept on this computer" in image.notes[0]
    assert noc.rendering_of(image).channels == image.channels
    stored = noc.stored_rendering(image)
    assert stored.kept is not None
    assert stored.rendering.channels[0].name == "DAPI"  # what the image says itself is known
    files = list(Path(kept_rendering._file(image.location)).parent.iterdir())
    assert [b"SECRET" in each.read_bytes() for each in files] == [False]
    assert all(each.stat().st_mode & 0o077 == 0 for each in files)
    other = noc.open(f"{server.url}/image.zarr")  # the same image by another way in
    assert other.channels[0].name == "nuclei"

    assert noc.drop_rendering(image)
    assert not noc.drop_rendering(image)
    image = noc.open(link)
    assert image.channels[0].name == "DAPI"
    assert "kept on this computer" not in " ".join(image.notes)


def test_saving_into_the_image_ends_what_was_kept_here(tmp_path: Path) -> None:
    folder = write(tmp_path / "image.zarr", "0.5")
    image = noc.open(folder)
    noc.keep_rendering(noc.stored_rendering(image).plan(NEW))
    shown = noc.rendering_of(noc.open(folder))

    noc.save_rendering(noc.stored_rendering(image).plan(replace(shown, default_z=1)))

    image = noc.open(folder)
    assert image.channels[0].name == "nuclei"
    assert (image.opened.image.default_z, image.notes) == (1, ())


@pytest.mark.parametrize("damaged", [b"", b"[1]", b'{"image": "another", "omero": {}}', b"\xff"])
def test_a_damaged_file_here_keeps_nothing_from_opening(tmp_path: Path, damaged: bytes) -> None:
    folder = write(tmp_path / "image.zarr", "0.5")
    image = noc.open(folder)
    noc.keep_rendering(noc.stored_rendering(image).plan(NEW))
    kept_rendering._file(image.location).write_bytes(damaged)

    assert noc.open(folder).channels[0].name == "DAPI"


def test_who_may_not_write_is_told_so(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / f"{tmp_path.name}.zarr", "0.4")
    s3.put_folder(folder, s3.public)
    image = noc.open(f"s3://{s3.public}/{folder.name}", endpoint=s3.endpoint, anonymous=True)

    with pytest.raises(AccessRefusedError) as caught:
        noc.save_rendering(noc.stored_rendering(image).plan(NEW))

    assert "may not write there" in str(caught.value)
    assert "kept on this computer instead" in str(caught.value)


def test_what_cannot_be_changed_in_place_says_why(tmp_path: Path) -> None:
    folder = write(tmp_path / "image.zarr", "0.5")
    file = shutil.make_archive(str(tmp_path / "image"), "zip", folder)
    plain = locate(folder / "0")

    assert "zip file" in noc.stored_rendering(noc.open(file)).obstacle
    image = noc.open(folder)
    assert noc.stored_rendering(image).obstacle == ""
    (folder / "zarr.json").rename(tmp_path / "away.json")
    plan = noc.stored_rendering(noc.open(plain)).plan(NEW)
    assert "plain Zarr" in str(plan)
