"""The disk cache: what is asked for again, what is never shown, who shares it, what survives."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.pyramid import Region
from napari_omezarr_cloud.store import io_thread
from napari_omezarr_cloud.store.connection import connect
from napari_omezarr_cloud.store.disk import DiskCache
from tests.fixtures.disk import files_of
from tests.fixtures.images import pattern, pyramid, write_directly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fixtures.images import Written
    from tests.fixtures.programs import Programs
    from tests.fixtures.servers import S3Server
    from tests.fixtures.slow_http import SlowServer

    Serve = Callable[[Path], tuple[SlowServer, str]]

READ = """
import sys
import napari_omezarr_cloud as noc
image = noc.open(sys.argv[1])
image.labels
print(int(image.read(0).sum(dtype="u8")), image.traffic.disk_hits)
"""
DOCUMENTS = ("zarr.json", ".zarray", ".zattrs", ".zgroup")


@pytest.fixture
def serve(slow_server: Callable[..., SlowServer]) -> Serve:
    """``serve(path)`` gives a server of the folder that holds an image, and the image's link."""

    def start(path: Path) -> tuple[SlowServer, str]:
        server = slow_server(path.parent)
        return server, f"{server.url}/{path.name}"

    return start


@pytest.fixture
def plane(tmp_path: Path) -> Written:
    """An image of 64 chunks, of this test alone."""
    levels = pyramid(pattern((512, 512)), 2)
    return write_directly(tmp_path / "server" / "plane.zarr", "yx", levels, chunks=(64, 64))


def data_requests(server: SlowServer) -> list[str]:
    return [path for path in server.paths if not path.endswith(DOCUMENTS)]


# ---- what is asked for again --------------------------------------------------------------------


def test_the_next_program_asks_for_metadata_only(
    any_image: Written, serve: Serve, in_a_new_program: Callable[..., str]
) -> None:
    server, link = serve(any_image.path)
    image = noc.open(link)
    first, _ = image.read(0), image.labels
    asked_first = sorted(server.paths)
    server.clear_log()

    total, hits = in_a_new_program(READ, link).split()

    assert int(total) == int(first.sum(dtype="u8"))
    assert int(hits) > 0
    assert data_requests(server) == []
    assert sorted(server.paths) == [path for path in asked_first if path.endswith(DOCUMENTS)]


def test_a_first_look_sends_what_it_sends_without_a_cache(
    any_image: Written, serve: Serve, disk: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, link = serve(any_image.path)

    def look(link: str) -> None:
        image = noc.open(link)
        image.read(0)
        assert len(image.labels) == len(any_image.labels)  # waits for them

    def asked() -> list[str]:
        # How many parts of a file come in one request depends on when the disk answered.
        return [each.path for each in server.log if each.range is None]

    look(link)
    with_cache = asked()
    server.clear_log()
    monkeypatch.setenv("OMEZARR_DISK_CACHE_MB", "0")

    look(link)

    # Whether and which missing chunk is looked for under another name depends on what came first.
    others = set(asked()) ^ set(with_cache)
    assert len(others) <= (2 if "missing" in any_image.path.name else 0)
    assert abs(len(asked()) - len(with_cache)) <= len(others)


def test_of_a_zip_only_its_end_is_asked_for_again(
    tmp_path: Path, plane: Written, serve: Serve, disk: DiskCache, in_a_new_program: Any
) -> None:
    file = plane.path.parent / "plane.zarr.zip"
    with zipfile.ZipFile(file, "w") as packed:
        for each in sorted(each for each in plane.path.rglob("*") if each.is_file()):
            packed.write(each, each.relative_to(plane.path))
    server, link = serve(file)
    noc.open(link).read(0)
    assert len(server.log) > 1  # its end, and then members, together as far as they are ready
    server.clear_log()

    total, _ = in_a_new_program(READ, link).split()

    assert int(total) == int(plane.levels[0].sum(dtype="u8"))
    assert len(server.log) == 1
    # Another file under the same name is another image.
    file.unlink()
    with zipfile.ZipFile(file, "w") as packed:
        levels = [np.ascontiguousarray(255 - level) for level in plane.levels]
        other = write_directly(tmp_path / "other.zarr", "yx", levels, chunks=(64, 64))
        for each in sorted(each for each in other.path.rglob("*") if each.is_file()):
            packed.write(each, each.relative_to(other.path))
    total, _ = in_a_new_program(READ, link).split()
    assert int(total) == int(other.levels[0].sum(dtype="u8"))


@pytest.mark.parametrize("document", ["zarr.json", "0/zarr.json"])
def test_an_image_whose_metadata_changed_is_read_again(
    document: str, plane: Written, serve: Serve, disk: DiskCache
) -> None:
    server, link = serve(plane.path)
    noc.open(link).read(0)
    held = disk.info().entries
    shutil.rmtree(plane.path / "0" / "c")
    turned = write_directly(
        plane.path.parent / "turned.zarr",
        "yx",
        [np.ascontiguousarray(level[::-1]) for level in plane.levels],
        chunks=(64, 64),
    )
    shutil.copytree(turned.path / "0" / "c", plane.path / "0" / "c")
    file = plane.path / document
    os.utime(file, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns + 1_000_000_000))
    server.clear_log()

    found = noc.open(link).read(0)

    np.testing.assert_array_equal(found, turned.levels[0])
    assert len(data_requests(server)) == 64
    # What went with the earlier version has gone from the disk, too.
    assert disk.info().entries == held


def test_a_label_image_that_changed_leaves_its_image_where_it_is(
    ome_zarr: Callable[[str], Written], tmp_path: Path, serve: Serve, disk: DiskCache
) -> None:
    path = tmp_path / "server" / "image.zarr"
    shutil.copytree(ome_zarr("v05 with labels").path, path)
    server, link = serve(path)
    image = noc.open(link)
    image.read(0)
    image.labels[0].read(0)
    for file in (path / "labels" / "cells").rglob("zarr.json"):
        os.utime(file, ns=(0, file.stat().st_mtime_ns + 1_000_000_000))
    disk.info()
    server.clear_log()

    again = noc.open(link)
    again.read(0)
    again.labels[0].read(0)

    assert data_requests(server)
    assert all("/labels/cells/" in path for path in data_requests(server))


class PlainServer(ThreadingHTTPServer):
    """A server that says neither ETag nor, unless told to, Last-Modified."""

    request_queue_size = 128

    def __init__(self, root: Path, last_modified: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Plain)
        self.root, self.last_modified = root, last_modified
        self.asked: list[str] = []


class _Plain(BaseHTTPRequestHandler):
    server: PlainServer

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        file = self.server.root / self.path.strip("/")
        body = file.read_bytes() if file.is_file() else b""
        self.send_response_only(200 if file.is_file() else 404)
        self.send_header("Content-Length", str(len(body)))
        if self.server.last_modified:
            self.send_header("Last-Modified", self.server.last_modified)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def plain_server() -> Iterator[Callable[..., tuple[PlainServer, str]]]:
    started: list[PlainServer] = []

    def start(root: Path, **options: Any) -> tuple[PlainServer, str]:
        server = PlainServer(root, **options)
        started.append(server)
        threading.Thread(target=server.serve_forever).start()
        return server, f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def chunks_asked(server: PlainServer) -> list[str]:
    return [path for path in server.asked if "/c/" in path]


def test_without_an_etag_the_text_of_the_metadata_decides(
    plane: Written, disk: DiskCache, plain_server: Callable[..., tuple[PlainServer, str]]
) -> None:
    server, url = plain_server(plane.path.parent)
    link = f"{url}/plane.zarr"
    noc.open(link).read(0)
    disk.info()
    server.asked.clear()

    noc.open(link).read(0)
    assert chunks_asked(server) == []

    document = plane.path / "zarr.json"
    document.write_text(document.read_text() + "\n")
    noc.open(link).read(0)
    assert len(chunks_asked(server)) == 64


NOW, LONG_AGO = "Fri, 01 Jan 2100 00:00:00 GMT", "Thu, 01 Jan 2015 00:00:00 GMT"


@pytest.mark.parametrize(
    ("last_modified", "is_asked_again"), [(NOW, True), (None, True), (LONG_AGO, False)]
)
def test_a_missing_chunk_is_asked_for_again_while_the_image_may_still_be_written(
    last_modified: str | None,
    is_asked_again: bool,
    plane: Written,
    disk: DiskCache,
    plain_server: Callable[..., tuple[PlainServer, str]],
) -> None:
    hidden = plane.path / "0" / "c" / "1" / "1"
    hidden.rename(plane.path / "hidden")
    server, url = plain_server(plane.path.parent, last_modified=last_modified)
    assert not noc.open(f"{url}/plane.zarr").read(0)[64:128, 64:128].any()
    disk.info()
    server.asked.clear()
    (plane.path / "hidden").rename(hidden)

    found = noc.open(f"{url}/plane.zarr").read(0)

    assert chunks_asked(server) == (["/plane.zarr/0/c/1/1"] if is_asked_again else [])
    assert np.array_equal(found, plane.levels[0]) == is_asked_again


def test_what_is_written_through_our_own_store_is_not_read_from_the_disk(
    s3: S3Server, disk: DiskCache, plane: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OMEZARR_DISK_CACHE_PRIVATE", "1")
    s3.put_folder(plane.path, s3.private, "written")
    place = f"s3://{s3.private}/written/plane.zarr"
    location = noc.open(place, endpoint=s3.endpoint, anonymous=False).location
    store = connect(location, anonymous=False).store

    async def rewrite() -> bytes:
        for document in ("zarr.json", "0/zarr.json"):
            await store.get(document)
        before = await store.get("0/c/0/0")
        assert before is not None
        await store.put("0/c/0/0", b"other")
        after = await store.get("0/c/0/0")
        assert after is not None
        return bytes(after)

    assert io_thread().wait(rewrite()) == b"other"


# ---- damage, kills, full disks ------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["a bit", "half", "nothing left", "another's"])
def test_a_damaged_file_is_asked_for_again(
    damage: str, plane: Written, serve: Serve, disk: DiskCache
) -> None:
    server, link = serve(plane.path)
    noc.open(link).read(0)
    files = [file for file in files_of(disk) if file.stat().st_size > 4096]
    assert len(files) == 64
    for file, other in zip(files[:5], files[5:10], strict=True):
        raw = file.read_bytes()
        middle = len(raw) // 2
        spoilt = {
            "a bit": raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :],
            "half": raw[:middle],
            "nothing left": b"",
            "another's": other.read_bytes(),
        }
        file.write_bytes(spoilt[damage])
    server.clear_log()

    found = noc.open(link).read(0)

    np.testing.assert_array_equal(found, plane.levels[0])
    assert len(data_requests(server)) == 5
    assert disk.info().damaged == 5
    server.clear_log()
    noc.open(link).read(0)
    assert data_requests(server) == []


WRITE_AND_WAIT = """
import sys
import napari_omezarr_cloud as noc
for number in range(1000):
    noc.open(sys.argv[1] + f"?{number}").read(0)
    print(number, flush=True)
    noc.clear_cache()
"""


def test_a_program_that_is_killed_leaves_no_half_files_and_no_wrong_count(
    plane: Written, serve: Serve, disk: DiskCache, in_a_new_program: Callable[..., str]
) -> None:
    _, link = serve(plane.path)
    environment = {**os.environ, "OMEZARR_DISK_CACHE_PRIVATE": "1"}
    for lines in (1, 2, 3):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITE_AND_WAIT, link],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        for _ in range(lines):
            assert child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()

    total, _ = in_a_new_program(READ, link).split()
    again, hits = in_a_new_program(READ, link).split()

    assert int(total) == int(again) == int(plane.levels[0].sum(dtype="u8"))
    assert int(hits) == 64
    assert disk.info().nbytes >= sum(file.stat().st_size for file in files_of(disk))


def test_a_damaged_ledger_is_begun_anew(
    plane: Written, serve: Serve, disk: DiskCache, programs: Programs
) -> None:
    server, link = serve(plane.path)
    programs.run(READ, link)
    disk.close()
    (disk.folder / "ledger.sqlite").write_bytes(b"no database" * 1000)
    found = []

    for _ in range(3):  # the first may still find files that the ledger does not know any more
        server.clear_log()
        done = programs.run(READ, link)
        found.append((int(done.stdout.split()[0]), len(data_requests(server))))

    total = int(plane.levels[0].sum(dtype="u8"))
    assert [each[0] for each in found] == [total] * 3
    assert found[2][1] == 0


@pytest.mark.parametrize("trouble", ["a file", "open to others"])
def test_a_folder_that_cannot_be_used_costs_nothing_but_the_cache(
    trouble: str, plane: Written, serve: Serve, disk: DiskCache
) -> None:
    _, link = serve(plane.path)
    if trouble == "a file":
        disk.folder.parent.parent.mkdir(exist_ok=True)
        disk.folder.parent.write_bytes(b"")
    else:
        disk.folder.mkdir(parents=True, mode=0o777)
        disk.folder.chmod(0o777)

    found = noc.open(link).read(0)

    np.testing.assert_array_equal(found, plane.levels[0])
    with pytest.raises(OperationError, match="OMEZARR_CACHE_DIR"):
        disk.info()


# ---- size ---------------------------------------------------------------------------------------


def size_on_disk(disk: DiskCache) -> int:
    return sum(file.stat().st_size for file in files_of(disk))


def test_what_was_not_used_for_longest_makes_room(
    tmp_path: Path, serve: Serve, disk: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMEZARR_DISK_CACHE_MB", "1")
    images = [
        write_directly(
            tmp_path / "server" / f"{name}.zarr", "yx", [pattern((448, 448))], chunks=(64, 64),
            compressors=None,
        )  # 0.4 MB each
        for name in "abc"
    ]  # fmt: skip
    server, _ = serve(images[0].path)

    def look(name: str) -> list[str]:
        disk.info()
        server.clear_log()
        noc.open(f"{server.url}/{name}.zarr").read(0)
        return data_requests(server)

    look("a")
    look("b")
    assert look("a") == []  # used again, so "b" is older
    look("c")

    assert disk.info().nbytes <= 1 << 20
    assert size_on_disk(disk) <= 1 << 20
    assert [len(look(name)) for name in ("c", "a")] == [0, 0]
    assert look("b")


def test_programs_at_once_share_one_size(
    tmp_path: Path, serve: Serve, disk: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMEZARR_DISK_CACHE_MB", "2")
    for name in "abcd":
        write_directly(
            tmp_path / "server" / f"{name}.zarr", "yx", [pattern((1024, 512))], chunks=(64, 64),
            compressors=None,
        )  # fmt: skip
    server, _ = serve(tmp_path / "server" / "a.zarr")
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", READ, f"{server.url}/{name}.zarr"], stdout=subprocess.PIPE
        )
        for name in "abcd"
    ]

    results = [program.communicate()[0] for program in programs]

    expected = int(pattern((1024, 512)).sum(dtype="u8"))
    assert [int(result.split()[0]) for result in results] == [expected] * 4
    usage = disk.info()
    assert (1 << 20) < usage.nbytes <= (2 << 20)
    assert size_on_disk(disk) <= usage.nbytes


def test_a_smaller_size_takes_effect_at_once_and_for_the_next_program(
    plane: Written,
    serve: Serve,
    disk: DiskCache,
    programs: Programs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMEZARR_DISK_CACHE_MB")
    _, link = serve(plane.path)
    noc.open(link).read(0)
    assert noc.cache_info().nbytes > 400_000

    usage = noc.set_cache(max_bytes=200_000)

    assert usage.max_bytes == 200_000
    assert size_on_disk(disk) <= usage.nbytes <= 200_000
    code = "import napari_omezarr_cloud as noc; print(noc.cache_info().max_bytes)"
    assert programs.run(code).stdout.strip() == "200000"


def test_clearing_empties_it(plane: Written, serve: Serve, disk: DiskCache) -> None:
    server, link = serve(plane.path)
    noc.open(link).read(0)
    assert files_of(disk)

    assert noc.clear_cache().nbytes == 0

    assert files_of(disk) == []
    server.clear_log()
    noc.open(link).read(0)
    assert len(data_requests(server)) == 64


def test_one_image_can_be_cleared_by_itself(
    tmp_path: Path, plane: Written, serve: Serve, disk: DiskCache
) -> None:
    shutil.copytree(plane.path, plane.path.parent / "plane.zarr2.zarr")
    server, link = serve(plane.path)
    image, other = noc.open(link), noc.open(f"{server.url}/plane.zarr2.zarr")
    image.read(0)
    other.read(0)

    noc.clear_cache(image)

    server.clear_log()
    noc.open(link).read(0)
    noc.open(f"{server.url}/plane.zarr2.zarr").read(0)
    assert len(data_requests(server)) == 64
    assert all(path.startswith("/plane.zarr/") for path in data_requests(server))


# ---- what is not kept, and for whom -------------------------------------------------------------


def test_local_images_are_not_kept_a_second_time(plane: Written, disk: DiskCache) -> None:
    noc.open(plane.path).read(0)

    assert not disk.folder.exists()


def test_switched_off_it_leaves_no_trace(
    plane: Written, serve: Serve, disk: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMEZARR_DISK_CACHE_MB", "0")
    _, link = serve(plane.path)

    noc.open(link).read(0)

    assert not disk.folder.exists()


def test_switched_off_for_one_program_it_keeps_what_others_have(
    plane: Written, serve: Serve, disk: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, link = serve(plane.path)
    noc.open(link).read(0)
    entries = disk.info().entries
    monkeypatch.setenv("OMEZARR_DISK_CACHE_MB", "0")

    assert noc.cache_info().max_bytes == 0

    monkeypatch.setenv("OMEZARR_DISK_CACHE_MB", "64")
    assert noc.cache_info().entries == entries


@pytest.fixture
def signed_in(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3


def test_private_images_are_kept_only_if_that_is_allowed(
    plane: Written, signed_in: S3Server, disk: DiskCache
) -> None:
    s3 = signed_in
    s3.put_folder(plane.path, s3.private, "mine")
    link, endpoint = f"s3://{s3.private}/mine/plane.zarr", s3.endpoint

    noc.open(link, endpoint=endpoint).read(0)
    assert disk.info().entries == 0

    noc.set_cache(private=True)
    noc.open(link, endpoint=endpoint).read(0)
    assert disk.info().entries > 64
    again = noc.open(link, endpoint=endpoint)
    np.testing.assert_array_equal(again.read(0), plane.levels[0])
    assert again.traffic.disk_hits == 64

    noc.set_cache(private=False)
    assert files_of(disk) == []


def test_all_files_are_readable_by_their_owner_alone(
    plane: Written, serve: Serve, disk: DiskCache
) -> None:
    _, link = serve(plane.path)
    noc.open(link).read(0)
    disk.info()

    found = [disk.folder, *disk.folder.rglob("*")]

    assert len(found) > 64
    modes = {stat.S_IMODE(each.stat().st_mode) for each in found if each.is_file()}
    folders = {stat.S_IMODE(each.stat().st_mode) for each in found if each.is_dir()}
    assert (modes, folders) == ({0o600}, {0o700})


def test_a_link_with_a_token_is_private_and_its_token_is_written_nowhere(
    plane: Written, serve: Serve, disk: DiskCache
) -> None:
    server, link = serve(plane.path)
    noc.open(f"{link}?token=very-secret-token").read(0)
    assert disk.info().entries == 0
    noc.set_cache(private=True)

    noc.open(f"{link}?token=very-secret-token").read(0)

    disk.info()
    assert files_of(disk)
    for file in disk.folder.rglob("*"):
        assert not file.is_file() or b"secret" not in file.read_bytes()
    server.clear_log()
    # A new token for the same image: what is there is used. Without any it is not.
    noc.open(f"{link}?token=another-secret-token").read(0)
    assert data_requests(server) == []
    noc.open(link).read(0)
    assert len(data_requests(server)) == 64


# ---- threads ------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a file that blocks its reader")
def test_a_disk_that_does_not_answer_holds_up_nothing_else(
    plane: Written, serve: Serve, disk: DiskCache
) -> None:
    server, link = serve(plane.path)
    noc.open(link).read(0)
    stuck = next(file for file in files_of(disk) if file.stat().st_size > 4096)
    stuck.unlink()
    os.mkfifo(stuck)  # opening it waits for somebody who writes
    image = noc.open(link)

    level = image.pyramid.levels[0]
    waiting = engine().start(level, Region.whole(level.grid.shape))
    try:
        # The loop goes on: an image that is not on the disk opens meanwhile.
        server.clear_log()
        assert noc.open(link).levels[0].shape == (512, 512)
        assert not waiting.done()
    finally:
        with stuck.open("wb"):
            pass
    np.testing.assert_array_equal(waiting.result(), plane.levels[0])


# ---- what was damaged on its way ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "sharded", "zip"])
@pytest.mark.parametrize("fault", ["flip", "short"])
def test_what_was_damaged_on_its_way_is_not_kept(
    kind: str, fault: Any, tmp_path: Path, serve: Serve, disk: DiskCache, in_a_new_program: Any
) -> None:
    shards = {"shards": (256, 256)} if kind == "sharded" else {}
    path = tmp_path / "server" / "image.zarr"
    # A codec with a checksum notices every change.
    pixels = pattern((512, 512))
    write_directly(
        path, "yx", [pixels], chunks=(64, 64), compressors=[zarr.codecs.Crc32cCodec()], **shards
    )
    if kind == "zip":
        with zipfile.ZipFile(path.parent / "image.zip", "w") as packed:
            for each in sorted(each for each in path.rglob("*") if each.is_file()):
                packed.write(each, each.relative_to(path))
        path = path.parent / "image.zip"
    server, link = serve(path)
    image = noc.open(link)
    box = np.s_[64:128, 64:128]
    server.fault("image.zip" if kind == "zip" else "image.zarr/0/c/", fault, times=2)
    with pytest.raises(noc.CloudError):
        image.read(0, box)
    server.clear_faults()
    disk.info()  # what was to be kept is on the disk by now

    np.testing.assert_array_equal(image.read(0, box), pixels[box])
    assert int(in_a_new_program(READ, link).split()[0]) == int(pixels.sum(dtype="u8"))


def test_a_cache_that_has_ended_knows_nothing_and_says_so_at_once(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.close()

    assert io_thread().wait(cache.read(b"name"), timeout_s=30) is None
