"""Saves that cannot go on: nothing is lost, what is kept is said, and saving again goes on."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import napari_omezarr_cloud as noc
from demo.server import LatencyProxy
from napari_omezarr_cloud import saving
from napari_omezarr_cloud.api import locate
from napari_omezarr_cloud.errors import (
    AccessRefusedError,
    BusyError,
    ChangedError,
    ChunkError,
    CredentialsError,
    UnreachableError,
    WriteError,
)
from napari_omezarr_cloud.store import io_thread
from napari_omezarr_cloud.write import claiming, waves
from napari_omezarr_cloud.write.claiming import PLAN_KEY
from napari_omezarr_cloud.write.execution import write_planned
from napari_omezarr_cloud.write.progress import Progress
from napari_omezarr_cloud.write.target import open_target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_omezarr_cloud.location import Location
    from tests.fixtures.programs import Programs
    from tests.fixtures.servers import S3Server
    from tests.fixtures.slow_http import SlowServer

OLD = np.random.default_rng(1).integers(1, 200, (40, 50), "u1")
NEW = np.random.default_rng(2).integers(1, 60_000, (24, 64, 64), "u2")
CUT: dict[str, Any] = {"chunks": (2, 32, 32), "factors": [(2, 2, 2)], "threads": 1}
BLOCKS = 18
"""Pieces of work of the new: twelve of the finest level, and six of the coarser one."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk is a block, and a task a few, so that small images have several."""
    monkeypatch.setattr(waves, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(waves, "_TASK_BYTES", 2**14)
    monkeypatch.setattr(saving, "BLOCK_VOXELS", 1)


@pytest.fixture
def in_bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch, request: Any) -> Location:
    """Return a place in a private bucket, with the old image there."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3.door, "fault", s3.door.fault)  # put back at the end
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    place = locate(f"s3://{s3.private}/failing/{name}/a.zarr", endpoint=s3.endpoint)
    noc.save(old(), place)
    return place


@pytest.fixture
def on_disk(tmp_path: Path) -> Location:
    """Return a place in a folder, with the old image there."""
    noc.save(old(), tmp_path / "a.zarr")
    return locate(tmp_path / "a.zarr")


@pytest.fixture(params=["on_disk", "in_bucket"])
def place(request: pytest.FixtureRequest) -> Location:
    """Return either, with the old image there."""
    found: Location = request.getfixturevalue(request.param)
    return found


def old() -> noc.Image:
    return noc.from_array(OLD, "yx", name="old")


def new() -> noc.Image:
    return noc.from_array(NEW, "zyx", scale=(1, 1, 1), name="new")


def at(count: int, act: Callable[[], Any]) -> Callable[[Progress], None]:
    """Return what calls a function once, when so many blocks are done."""
    done = []

    def tell(progress: Progress) -> None:
        if progress.tasks_done >= count and not done:
            done.append(True)
            act()

    return tell


def names_beside(place: Location) -> set[str]:
    parent = place.parent()
    assert parent is not None
    return {entry.name for entry in io_thread().wait(open_target(parent).list())}


def new_place(place: Location) -> Location:
    """Return a place beside another one, where nothing is."""
    folder = place.parent()
    assert folder is not None
    return folder.child("deeper/b.zarr")


def save_again(place: Location) -> int:
    """Save the new again; return how many blocks were done, and see that nothing else is left."""
    progress = Progress()
    options = {name: value for name, value in CUT.items() if name != "threads"}
    planned = noc.plan_save(new(), place, **options)
    write_planned(planned, overwrite=True, threads=1, progress=progress)
    assert (noc.open(place).read(0) == NEW).all()
    assert names_beside(place) == {"a.zarr"}
    return progress.tasks_skipped


# ---- the place takes no more ---------------------------------------------------------------------

REFUSALS: dict[str, tuple[str, str, type[Exception], str]] = {
    "rights lost": ("403 Forbidden", "AccessDenied", AccessRefusedError, "refused access"),
    "token expired": ("400 Bad Request", "ExpiredToken", CredentialsError, "have run out"),
    "full": ("507 Insufficient Storage", "XMinioStorageFull", WriteError, "no room left"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_bucket_that_takes_no_more(
    case: str, in_bucket: Location, s3: S3Server, impatient: None
) -> None:
    status, code, kind, words = REFUSALS[case]

    def refuse(method: str, path: str) -> tuple[str, str] | None:
        is_read = method in ("GET", "HEAD") and kind is not CredentialsError
        return None if is_read else (status, code)

    with pytest.raises(kind) as caught:
        noc.save(
            new(),
            in_bucket,
            overwrite=True,
            on_progress=at(9, lambda: setattr(s3.door, "fault", refuse)),
            **CUT,
        )

    said = str(caught.value)
    assert words in said
    assert "What was written is kept (9 of 18 blocks)" in said
    assert "save the same again to go on" in said
    s3.door.fault = lambda method, path: None
    assert (noc.open(in_bucket).read(0) == OLD).all()
    assert save_again(in_bucket) >= 6


def test_a_server_that_is_gone(
    in_bucket: Location, s3: S3Server, impatient: None, tmp_path: Path
) -> None:
    port = int(s3.endpoint.rpartition(":")[2])
    with ExitStack() as stack:
        proxy = stack.enter_context(LatencyProxy(port, 0))
        through = locate(
            str(in_bucket).partition("?")[0], endpoint=f"http://127.0.0.1:{proxy.port}"
        )
        with pytest.raises(UnreachableError, match=r"refused.*kept \(9 of 18 .*again"):
            noc.save(new(), through, overwrite=True, on_progress=at(9, stack.close), **CUT)

    assert (noc.open(in_bucket).read(0) == OLD).all()
    assert save_again(in_bucket) >= 6


FULL_DISK = """
import ctypes, os, sys
from pathlib import Path
NEWNS, NEWUSER, PRIVATE, REMOUNT = 0x20000, 0x10000000, (1 << 14) | (1 << 18), 32
libc = ctypes.CDLL(None)
mount = lambda kind, at, flags, options: libc.mount(b"none", at.encode(), kind, flags, options)
if libc.unshare(NEWNS | (NEWUSER if os.geteuid() else 0)) or mount(None, "/", PRIVATE, None):
    sys.exit("no disk can be mounted here")
disk = sys.argv[1]
if mount(b"tmpfs", disk, 0, b"size=240k"):
    sys.exit("no disk can be mounted here")
import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import WriteError
from tests import test_saves_that_fail as here
here.waves._BLOCK_BYTES, here.waves._TASK_BYTES = 1, 2**14
place = here.locate(Path(disk, "a.zarr"))
noc.save(here.old(), place)
try:
    noc.save(here.new(), place, overwrite=True, **here.CUT)
except WriteError as error:
    print(error)
assert (noc.open(place).read(0) == here.OLD).all()
mount(b"tmpfs", disk, REMOUNT, b"size=8m")
assert here.save_again(place)
print("went on")
"""


def test_a_disk_that_is_full(programs: Programs, tmp_path: Path) -> None:
    done = programs.run(FULL_DISK, str(tmp_path))

    if "no disk can be mounted here" in done.stderr:
        pytest.skip("this machine lets tests mount no disk of their own")
    assert done.returncode == 0, done.stderr
    said, went_on = done.stdout.splitlines()
    assert "no space left on device. Make room on that disk. What was written is kept" in said
    assert went_on == "went on"


def test_a_source_that_cannot_be_read(on_disk: Location, tmp_path: Path) -> None:
    noc.save(new(), tmp_path / "source.zarr", **CUT)
    chunk = tmp_path / "source.zarr/0/c/4/0/1"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:20])

    with pytest.raises(ChunkError, match=r"0/c/4/0/1.*What was written is kept"):
        noc.save(noc.open(tmp_path / "source.zarr"), on_disk, overwrite=True, **CUT)

    assert (noc.open(on_disk).read(0) == OLD).all()
    chunk.write_bytes(whole)
    saved = noc.save(noc.open(tmp_path / "source.zarr"), on_disk, overwrite=True, **CUT)
    assert (saved.read(0) == NEW).all()


# ---- two at once ---------------------------------------------------------------------------------

ANOTHER = """
import json, sys
import numpy as np
import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import BusyError
from tests import test_saves_that_fail as here
here.waves._BLOCK_BYTES, here.waves._TASK_BYTES = 1, 2**14
place = here.locate(sys.argv[1], **({"endpoint": sys.argv[2]} if sys.argv[2] else {}))
for image in (here.new(), noc.from_array(np.ones((9, 9), "u1"), "yx", name="another")):
    for overwrite in json.loads(sys.argv[3]):
        options = here.CUT if image.name == "new" else {}
        try:
            noc.save(image, place, overwrite=overwrite, **options)
        except BusyError as error:
            print(error)
"""


@pytest.mark.parametrize("overwrite", [False, True])
def test_who_comes_second_is_told_who_is_writing(
    overwrite: bool, place: Location, programs: Programs, s3: S3Server
) -> None:
    at_place = place if overwrite else new_place(place)
    # Who does not want to overwrite an image that is there hears of that, and not of the writer.
    asked = [True] if overwrite else [False, True]
    said: list[str] = []

    def come_second() -> None:
        endpoint = s3.endpoint if place.kind == "s3" else ""
        done = programs.run(ANOTHER, str(at_place), endpoint, json.dumps(asked))
        assert done.returncode == 0, done.stderr
        said.extend(done.stdout.splitlines())

    saved = noc.save(new(), at_place, overwrite=overwrite, on_progress=at(9, come_second), **CUT)

    assert len(said) == 2 * len(asked)
    assert all("is writing there. Wait until it has ended" in each for each in said)
    assert (saved.read(0) == NEW).all()
    assert names_beside(at_place) == {at_place.key.rpartition("/")[2]}


def test_who_was_taken_over_stops_and_writes_no_documents(place: Location) -> None:
    there = new_place(place)
    store = open_target(there)

    def take_over() -> None:
        notes = json.loads(bytes(io_thread().wait(store.get(PLAN_KEY)) or b""))
        notes["writer"] |= {"token": "another", "host": "elsewhere", "pid": 12}
        io_thread().wait(store.put(PLAN_KEY, json.dumps(notes).encode()))

    with pytest.raises(ChangedError, match="process 12 on elsewhere has taken it over"):
        noc.save(new(), there, on_progress=at(9, take_over), **CUT)

    assert io_thread().wait(store.get("zarr.json")) is None
    assert io_thread().wait(store.get(PLAN_KEY)) is not None


def test_who_is_dead_elsewhere_gives_way_and_whose_clock_is_wrong_does_not(
    place: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = new_place(place)
    store = open_target(there)
    monkeypatch.setattr(claiming, "_WATCH_S", 0.3)

    def cancel(progress: Progress) -> None:
        progress.cancel()

    with pytest.raises(WriteError, match="cancelled"):
        noc.save(new(), there, on_progress=cancel, **CUT)
    notes = json.loads(bytes(io_thread().wait(store.get(PLAN_KEY)) or b""))

    async def say(hours_ago: float) -> None:
        elsewhere = {"token": "another", "host": "elsewhere", "machine": "another", "pid": 12}
        notes["writer"] = {**elsewhere, "seen": time.time() - hours_ago * 3600}
        await store.put(PLAN_KEY, json.dumps(notes).encode())

    is_dead = threading.Event()

    async def go_on_saying() -> None:
        while not is_dead.is_set():
            await say(1)

    io_thread().wait(say(1))
    alive = io_thread().submit(go_on_saying())
    try:
        with pytest.raises(BusyError, match="process 12 on elsewhere is writing there"):
            noc.save(new(), there, **CUT)
    finally:
        is_dead.set()
        alive.result()

    assert (noc.save(new(), there, **CUT).read(0) == NEW).all()


def test_the_beginning_of_another_replacement_gives_way(place: Location) -> None:
    """Who says overwrite says it of all that is there, but not of what somebody is writing."""
    other = noc.from_array(np.full((300, 300), 3, "u1"), "yx", name="other")

    def cancel(progress: Progress) -> None:
        progress.cancel()

    with pytest.raises(WriteError, match="cancelled"):
        noc.save(other, place, overwrite=True, on_progress=cancel, chunks=(90, 90))
    assert (noc.open(place).read(0) == OLD).all()

    assert save_again(place) == 0


# ---- changed underneath --------------------------------------------------------------------------


def test_an_image_that_changed_since_it_may_be_overwritten_is_left(place: Location) -> None:
    def add_labels() -> None:
        cells = noc.from_array(OLD, "yx", name="cells")
        noc.save_labels(cells, noc.open(place), "cells")

    with pytest.raises(ChangedError, match=r"changed while.*the new image is whole"):
        noc.save(new(), place, overwrite=True, on_progress=at(9, add_labels), **CUT)

    assert [each.name for each in noc.open(place).labels] == ["cells"]
    assert save_again(place) == BLOCKS


def test_an_image_that_another_program_put_there_is_left(place: Location) -> None:
    there = new_place(place)
    store = open_target(there)

    def put() -> None:
        io_thread().wait(store.put("zarr.json", b"{}"))

    with pytest.raises(ChangedError, match="somebody else has put an image there"):
        noc.save(new(), there, on_progress=at(9, put), **CUT)

    assert bytes(io_thread().wait(store.get("zarr.json")) or b"") == b"{}"


def test_what_is_deleted_while_it_is_written_is_not_said_to_be_saved(tmp_path: Path) -> None:
    there = tmp_path / "a.zarr"

    with pytest.raises(ChangedError, match=r"deleted meanwhile.*delete it, and save"):
        noc.save(new(), there, on_progress=at(9, lambda: there.rename(tmp_path / "gone")), **CUT)

    assert not (there / "zarr.json").exists()


# ---- cancelled -----------------------------------------------------------------------------------


def test_a_copy_that_was_cancelled_reads_nothing_again(
    tmp_path: Path, slow_server: Callable[..., SlowServer]
) -> None:
    noc.save(new(), tmp_path / "n.zarr", chunks=CUT["chunks"], levels=1)
    server = slow_server(tmp_path)
    source, target = noc.open(f"{server.url}/n.zarr"), tmp_path / "copy.zarr"

    def stop(progress: Progress) -> None:
        if progress.tasks_done == 5:
            progress.cancel()

    with pytest.raises(WriteError, match=r"cancelled .* \(5 of 54 blocks\)"):
        noc.save(source, target, on_progress=stop, **CUT)
    result = noc.save(source, target, **CUT)

    asked = Counter(path for path in server.paths if "/c/" in path)
    assert len(asked) == 48
    assert sum(asked.values()) <= 48 + 2  # one was under way, and another about to be
    assert (result.read(0) == NEW).all()
