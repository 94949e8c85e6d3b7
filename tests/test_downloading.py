"""Downloads byte for byte: what there is, verified, gone on with, and told as unfinished."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import threading
from collections import namedtuple
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.cli import main
from napari_omezarr_cloud.downloading import download_async
from napari_omezarr_cloud.errors import (
    AccessRefusedError,
    BusyError,
    ExistsError,
    LinkError,
    NotFoundError,
    WriteError,
)
from napari_omezarr_cloud.store import clients
from napari_omezarr_cloud.write import claiming, copying
from napari_omezarr_cloud.write.claiming import PLAN_KEY
from tests.fixtures.http_answers import CHECKSUMS
from tests.fixtures.images import pattern, pyramid, write_directly
from tests.fixtures.plates import field_pixels, write_plate

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.images import Written
    from tests.fixtures.programs import Programs
    from tests.fixtures.servers import S3Server
    from tests.fixtures.slow_http import SlowServer

_Usage = namedtuple("_Usage", "total used free")
UNLISTED = "?token=secret-1"
"""With a query an address is one of a plain web server, which lists nothing."""


def files(folder: Path) -> dict[str, bytes]:
    """Return what is below a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != CHECKSUMS
    }


@pytest.fixture
def cells(tmp_path: Path) -> Written:
    """Three levels of a chunk each 32 pixels: 16, 4 and 1 chunks."""
    return write_directly(
        tmp_path / "served" / "cells.zarr", "yx", pyramid(pattern((128, 128)), 3), chunks=(32, 32)
    )


@pytest.fixture
def server(cells: Written, slow_server: Callable[..., SlowServer]) -> SlowServer:
    return slow_server(cells.path.parent)


def test_every_kind_of_image_without_a_listing(
    any_image: Written, slow_server: Callable[..., SlowServer], tmp_path: Path
) -> None:
    server = slow_server(any_image.path.parent)
    link = f"{server.url}/{any_image.path.name}{UNLISTED}"

    planned = noc.plan_download(link, tmp_path / "copy.zarr")
    place = noc.download(planned)

    assert files(place) == files(any_image.path)
    assert not planned.is_exact
    assert "does not list" in str(planned)
    assert "secret" not in str(planned)
    assert planned.count >= len(files(place))
    assert noc.open(place).notes == noc.open(any_image.path).notes


def test_a_folder_of_a_private_bucket_with_all_that_is_in_it(
    ome_zarr: Callable[[str], Written], s3: S3Server, monkeypatch: Any, tmp_path: Path
) -> None:
    for name, kind in (("a/new.zarr", "v05 with labels"), ("old.zarr", "v04 by ome-zarr-py")):
        shutil.copytree(ome_zarr(kind).path, tmp_path / "in" / name)
    s3.put_folder(tmp_path / "in" / "a", s3.private, "folder")
    s3.put_folder(tmp_path / "in" / "old.zarr", s3.private, "folder")
    for key in ("folder/read me.txt", "folder/a/µ.txt", "folder/a/"):
        body = b"" if key.endswith("/") else key.encode()
        s3.client.put_object(Bucket=s3.private, Key=key, Body=body)
    link = f"s3://{s3.private}/folder"
    with pytest.raises(AccessRefusedError):
        noc.plan_download(link, endpoint=s3.endpoint)
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    seen: list[noc.DownloadProgress] = []

    counts: list[int] = []
    planned = noc.plan_download(link, endpoint=s3.endpoint, on_found=counts.append)
    assert counts == sorted(counts)
    assert 1 < counts[-1] <= planned.count
    place = noc.download(planned, on_progress=seen.append)

    found = files(place)
    assert place == tmp_path / "folder"
    assert found.pop("read me.txt") == b"folder/read me.txt"
    assert found.pop("a/µ.txt") == "folder/a/µ.txt".encode()
    assert found == files(tmp_path / "in")
    assert planned.is_exact
    assert (planned.count, planned.nbytes) == (seen[-1].done, seen[-1].done_nbytes)
    stamp = s3.client.head_object(Bucket=s3.private, Key="folder/read me.txt")["LastModified"]
    assert (place / "read me.txt").stat().st_mtime == stamp.timestamp()
    with pytest.raises(ExistsError, match="something is there already"):
        noc.download(planned)


def test_metadata_come_first_then_levels_from_coarse_to_fine(
    server: SlowServer, tmp_path: Path
) -> None:
    noc.download(f"{server.url}/cells.zarr", tmp_path / "copy.zarr")

    paths = [path.removeprefix("/cells.zarr/") for path in server.paths if "/c/" in path]
    assert [path.partition("/")[0] for path in paths] == ["2"] + ["1"] * 4 + ["0"] * 16
    documents = max(n for n, path in enumerate(server.paths) if path.endswith("zarr.json"))
    assert documents < min(n for n, path in enumerate(server.paths) if "/c/" in path)


_KILLED = """
import os, signal, sys
import napari_omezarr_cloud as noc

def step(progress):
    if progress.done >= 12:
        os.kill(os.getpid(), signal.SIGKILL)

noc.download(sys.argv[1], sys.argv[2], on_progress=step)
"""


@pytest.mark.parametrize("query", ["", UNLISTED], ids=["listed", "not listed"])
def test_killed_it_says_that_it_is_unfinished_and_goes_on(
    server: SlowServer, cells: Written, query: str, tmp_path: Path, programs: Programs
) -> None:
    server.latency_s = 0.02  # so that no more than those at once come
    link, target = f"{server.url}/cells.zarr{query}", tmp_path / "copy.zarr"
    ended = programs.run(_KILLED, link, str(target))
    assert ended.returncode == -signal.SIGKILL, ended.stderr

    begun = noc.open(target)
    assert begun.notes[0].startswith("Not all of it is here: its download from")
    assert "secret" not in begun.notes[0]
    for each in (begun, noc.apply(begun, noc.Step("gaussian"))):
        assert begun.notes[0] in str(noc.plan_save(each, tmp_path / "of it.zarr"))
    assert [level.shape for level in begun.levels] == [(128, 128), (64, 64), (32, 32)]
    here = {name for name in files(target) if "/c/" in name}
    with pytest.raises(ExistsError, match=r"the beginning of another save|something is there"):
        noc.save(noc.from_array(np.zeros((9, 9), "u1"), "yx"), target)
    server.clear_log()

    noc.download(link, target)

    assert files(target) == files(cells.path)
    fetched = {e.path.removeprefix("/cells.zarr/") for e in server.log if e.method == "GET"}
    assert here
    assert not here & fetched
    assert noc.open(target).notes == ()


def test_labels_of_what_is_unfinished_say_so_by_themselves(
    ome_zarr: Callable[[str], Written], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.zarr"

    def stop(progress: noc.DownloadProgress) -> None:
        if any(copy.rglob("c/*")):  # the documents are here
            raise InterruptedError

    with pytest.raises(InterruptedError):
        noc.download(ome_zarr("v05 with labels").path, copy, on_progress=stop)
    begun = noc.open(copy)
    labels = begun.labels[0]

    assert labels.notes[0] == begun.notes[0]
    assert begun.notes[0] in str(noc.plan_save(labels, tmp_path / "of it.zarr"))


def test_cancelled_it_goes_on_another_time(
    server: SlowServer, cells: Written, tmp_path: Path
) -> None:
    server.fault("/0/c/3", "hang", times=4)
    planned = noc.plan_download(f"{server.url}/cells.zarr", tmp_path / "copy.zarr")
    reached = threading.Event()

    def step(progress: noc.DownloadProgress) -> None:
        if progress.done == planned.count - 4:
            reached.set()

    future = download_async(planned, step)
    assert reached.wait(30)
    with pytest.raises(BusyError, match="is writing there"):
        noc.download(planned)
    future.cancel()
    with pytest.raises((CancelledError, asyncio.CancelledError)):
        future.result(30)

    assert server.wait_until(lambda server: not any(e.end is None for e in server.log))
    deadline: list[noc.DownloadProgress] = []
    while not deadline:  # the place is given up a moment after
        try:
            noc.download(planned, on_progress=deadline.append)
        except BusyError:
            continue
    assert deadline[-1].skipped == 17
    assert files(tmp_path / "copy.zarr") == files(cells.path)


def test_a_large_object_goes_on_where_it_broke_off(
    slow_server: Callable[..., SlowServer], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(copying, "_PIECE", 2**20)
    monkeypatch.setattr(copying, "_TRIES", 1)
    body = np.random.default_rng(1).bytes(5 * 2**20 + 7)
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "big.ozx").write_bytes(body)
    server = slow_server(tmp_path / "served")
    target = tmp_path / "mine.ozx"
    planned = noc.plan_download(f"{server.url}/big.ozx", target)
    pieces = 0

    def break_off(server: SlowServer) -> bool:
        nonlocal pieces
        pieces = sum(each.range is not None and each.end is not None for each in server.log)
        return pieces >= 3

    server.latency_s = 0.02
    future = download_async(planned)
    assert server.wait_until(break_off)
    server.fault("big.ozx", "truncate")
    with pytest.raises(WriteError, match="not complete"):
        future.result(30)
    assert not target.exists()
    server.clear_faults()
    server.clear_log()

    noc.download(planned)

    assert target.read_bytes() == body
    first = next(each.range for each in server.log if each.range)
    assert int(first.removeprefix("bytes=").partition("-")[0]) >= 3 * 2**20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.ozx", "served"]
    noc.download(planned)  # it is here already
    target.write_bytes(b"mine")
    with pytest.raises(ExistsError, match="a file of this name"):
        noc.download(planned)
    assert target.read_bytes() == b"mine"


@pytest.mark.parametrize("kind", ["truncate", "reset", 503, "short", "bit"])
def test_a_faulty_line_is_asked_again(
    server: SlowServer, cells: Written, kind: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(clients, "_RETRIES", {**clients._RETRIES, "max_retries": 0})
    for folder in {path.parent for path in cells.path.rglob("*")}:
        (folder / CHECKSUMS).touch()
    planned = noc.plan_download(f"{server.url}/cells.zarr", tmp_path / "copy.zarr")
    server.fault("/0/c/2", kind, times=3)

    noc.download(planned)

    assert files(tmp_path / "copy.zarr") == files(cells.path)


def test_what_cannot_be_had_is_told_and_the_rest_is_here(
    server: SlowServer, cells: Written, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(copying, "_TRIES", 1)
    planned = noc.plan_download(f"{server.url}/cells.zarr", tmp_path / "copy.zarr")
    server.fault("/0/c/1/1", "html")

    with pytest.raises(WriteError, match=r"1 objects could not be had.*0/c/1/1.*HTML page"):
        noc.download(planned)

    missing = files(cells.path).keys() - files(tmp_path / "copy.zarr").keys()
    assert missing == {"0/c/1/1"}
    server.clear_faults()
    noc.download(planned)
    assert files(tmp_path / "copy.zarr") == files(cells.path)


def test_one_that_failed_has_left_its_place_when_it_is_said(
    server: SlowServer, cells: Written, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(copying, "_TRIES", 1)
    planned = noc.plan_download(f"{server.url}/cells.zarr", tmp_path / "copy.zarr")
    server.fault("/0/c/1/1", "html")

    async def slowly(*args: Any) -> bool:
        await asyncio.sleep(0.3)
        return await exchange(*args)

    exchange = claiming.exchange
    monkeypatch.setattr(claiming, "exchange", slowly)
    with pytest.raises(WriteError, match="could not be had"):
        noc.download(planned)

    notes = json.loads((tmp_path / "copy.zarr" / PLAN_KEY).read_text())
    assert "writer" not in notes


def test_files_that_go_while_it_is_looked_what_is_there_are_no_failure(
    server: SlowServer, cells: Written, tmp_path: Path
) -> None:
    planned = noc.plan_download(f"{server.url}/cells.zarr", tmp_path / "copy.zarr")
    folder = tmp_path / "copy.zarr"
    folder.mkdir()
    has_looked = threading.Event()

    def come_and_go() -> None:
        while not has_looked.is_set():
            for n in range(50):
                (folder / f"file#{n}").touch()
            for n in range(50):
                (folder / f"file#{n}").unlink()

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(200):
            planned.check_room()
    finally:
        has_looked.set()
        other.join()


def test_refused_chunks_are_blank_only_while_the_rest_may_be_read(
    server: SlowServer, cells: Written, tmp_path: Path
) -> None:
    (cells.path / "0" / "c" / "0" / "0").unlink()
    server.missing = 403
    link = f"{server.url}/cells.zarr{UNLISTED}"
    seen: list[noc.DownloadProgress] = []

    place = noc.download(link, tmp_path / "copy.zarr", on_progress=seen.append)

    assert seen[-1].absent == 1
    assert files(place) == files(cells.path)
    planned = noc.plan_download(link, tmp_path / "other.zarr")

    def lose_access(progress: noc.DownloadProgress) -> None:
        if progress.done == len(planned.inventory.documents):
            server.fault("cells.zarr", 403)

    with pytest.raises(WriteError, match="refused access"):
        noc.download(planned, on_progress=lose_access)


def test_chunks_under_another_separator_than_stated(
    server: SlowServer, cells: Written, tmp_path: Path
) -> None:
    for number in range(3):
        document = json.loads((cells.path / str(number) / "zarr.json").read_bytes())
        document["chunk_key_encoding"]["configuration"]["separator"] = "."
        (cells.path / str(number) / "zarr.json").write_text(json.dumps(document))

    place = noc.download(f"{server.url}/cells.zarr{UNLISTED}", tmp_path / "copy.zarr")

    assert files(place) == files(cells.path)


def test_an_image_that_changed_meanwhile_is_not_mixed(
    server: SlowServer, cells: Written, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(copying, "_TRIES", 1)
    link, target = f"{server.url}/cells.zarr{UNLISTED}", tmp_path / "copy.zarr"
    server.fault("/0/c/3/3", 500)
    with pytest.raises(WriteError, match="not complete"):
        noc.download(link, target)
    server.clear_faults()
    document = json.loads((cells.path / "0" / "zarr.json").read_bytes())
    document["fill_value"] = 7
    (cells.path / "0" / "zarr.json").write_text(json.dumps(document))

    with pytest.raises(ExistsError, match="has changed on the server since it began"):
        noc.download(link, target)


_FULL = """
import resource, sys
import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import WriteError

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    noc.download(sys.argv[1], sys.argv[2])
except WriteError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_is_said(
    server: SlowServer, cells: Written, tmp_path: Path, programs: Programs
) -> None:
    link, target = f"{server.url}/cells.zarr", tmp_path / "copy.zarr"

    ended = programs.run(_FULL, link, str(target))

    assert "File too large" in ended.stdout, ended.stderr
    assert "What was written is kept; free some room" in ended.stdout
    noc.download(link, target)
    assert files(target) == files(cells.path)


def test_what_needs_more_room_than_there_is_does_not_begin(
    server: SlowServer, tmp_path: Path, monkeypatch: Any
) -> None:
    planned = noc.plan_download(f"{server.url}/cells.zarr", tmp_path / "copy.zarr")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Usage(10, 5, 5))

    with pytest.raises(WriteError, match=r"5 bytes are free on that disk"):
        noc.download(planned)
    assert not (tmp_path / "copy.zarr").exists()


def test_nothing_there_is_said(server: SlowServer, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        noc.plan_download(f"s3://cells.zarr/nothing?endpoint={server.url}", tmp_path / "a")
    with pytest.raises(NotFoundError, match="no Zarr metadata there, and the server lists no"):
        noc.plan_download(f"{server.url}/nothing.zarr{UNLISTED}", tmp_path / "a")


def test_one_file_by_a_link_that_is_signed_for_reading_only(
    slow_server: Callable[..., SlowServer], tmp_path: Path
) -> None:
    noc.save(noc.from_array(np.ones((4, 4), "u1"), "yx"), tmp_path / "cells.ozx")
    server = slow_server(tmp_path)
    server.fault("HEAD /cells.ozx", 403)

    copy = noc.download(f"{server.url}/cells.ozx?X-Amz-Signature=s3cr3t", tmp_path / "copy.ozx")

    assert copy.read_bytes() == (tmp_path / "cells.ozx").read_bytes()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("s3://bucket/copy.zarr", "a copy goes to this disk"),
        ("cells.zarr", "that is where it is"),
        ("cells.zarr/copy", "that lies in what is copied"),
        (None, "that is where it is"),
    ],
)
def test_no_copy_in_itself_or_in_a_bucket(
    target: str | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    noc.save(noc.from_array(np.ones((4, 4), "u1"), "yx"), "cells.zarr")

    with pytest.raises(LinkError, match=words):
        noc.download("cells.zarr", target)

    assert [each.name for each in tmp_path.iterdir()] == ["cells.zarr"]


def test_targets_that_cannot_be(server: SlowServer, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()

    with pytest.raises(ExistsError, match=r"mine/cells\.zarr for instance"):
        noc.download(f"{server.url}/cells.zarr", tmp_path / "mine")
    with pytest.raises(ExistsError, match="a file of this name"):
        noc.download(f"{server.url}/cells.zarr", tmp_path / "mine" / "notes.txt")
    with pytest.raises(WriteError, match="File name too long"):
        noc.download(f"{server.url}/cells.zarr", tmp_path / ("n" * 300))


def test_a_target_may_be_a_link_to_a_folder(tmp_path: Path) -> None:
    noc.save(noc.from_array(np.ones((4, 4), "u1"), "yx"), tmp_path / "cells.zarr")

    copy = noc.download(tmp_path / "cells.zarr", f"file://{tmp_path}/a%20copy.zarr")

    assert copy == tmp_path / "a copy.zarr"
    assert noc.open(copy).read(0).all()


def test_in_the_shell(
    server: SlowServer, cells: Written, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    link = f"{server.url}/cells.zarr"

    assert main(["download", link, "--estimate"]) == 0
    said = capsys.readouterr().out.splitlines()
    nbytes = sum(map(len, files(cells.path).values()))
    assert said[0] == f"25 objects, {nbytes / 1e3:,.1f} kB (3 arrays)"
    assert main(["download", link]) == 1
    assert "Say --yes" in capsys.readouterr().err
    assert not Path("cells.zarr").exists()

    assert main(["download", link, "--yes"]) == 0

    assert capsys.readouterr().out.splitlines()[-1] == f"downloaded to {tmp_path / 'cells.zarr'}"
    assert files(Path("cells.zarr")) == files(cells.path)


@pytest.mark.parametrize("listed_by", ["the plate", "an OME group", "nobody", "consolidated"])
def test_plates_and_series_without_a_listing(
    listed_by: str,
    ome_zarr: Callable[[str], Written],
    slow_server: Callable[..., SlowServer],
    tmp_path: Path,
) -> None:
    root = tmp_path / "served" / "many.zarr"
    if listed_by == "the plate":
        field = field_pixels(1)
        write_plate(root, {"A/1": [field, field], "B/3": [field]}, listed=["A/1", "A/2", "B/3"])
    else:
        names = {"an OME group": ("some", "other"), "nobody": ("0", "1"), "consolidated": ("q",)}
        for name in names[listed_by]:
            shutil.copytree(ome_zarr("v04 with labels").path, root / name)
        (root / ".zgroup").write_text('{"zarr_format": 2}')
        (root / ".zattrs").write_text('{"bioformats2raw.layout": 3}')
    if listed_by == "an OME group":
        (root / "OME").mkdir()
        (root / "OME" / ".zgroup").write_text('{"zarr_format": 2}')
        (root / "OME" / ".zattrs").write_text('{"series": ["some", "other", "../../secret"]}')
        (root / "OME" / "METADATA.ome.xml").write_text("<OME/>")
    if listed_by == "consolidated":
        (root / ".zattrs").write_text("{}")
        (root / ".zmetadata").write_text('{"metadata": {"q/.zattrs": {}, "/etc/.zattrs": {}}}')
    server = slow_server(tmp_path / "served")

    place = noc.download(f"{server.url}/many.zarr{UNLISTED}", tmp_path / "copy.zarr")

    assert files(place) == files(root)
    assert all(path.startswith("/many.zarr/") for path in server.paths if path != "/many.zarr")


def test_a_well_of_a_plate_by_itself(
    slow_server: Callable[..., SlowServer], tmp_path: Path
) -> None:
    root = tmp_path / "served" / "plate.zarr"
    write_plate(root, {"A/1": [field_pixels(1)], "B/3": [field_pixels(2)]})
    server = slow_server(tmp_path / "served")

    place = noc.download(f"{server.url}/plate.zarr/B/3", tmp_path / "well")

    assert files(place) == files(root / "B" / "3")
    assert noc.open(place).levels[0].shape == noc.open(root / "B" / "3").levels[0].shape
