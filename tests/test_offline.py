"""Without a network: what was seen opens, what is missing says so, and what was kept is there."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud import offline
from napari_omezarr_cloud.cli.main import main
from napari_omezarr_cloud.errors import (
    NotFoundError,
    OperationError,
    RegionError,
    ServerError,
    UnreachableError,
)
from napari_omezarr_cloud.store import caching, clients
from tests.fixtures.images import pattern, pyramid, write_directly
from tests.fixtures.plates import write_bare_plate
from tests.fixtures.slow_http import SlowServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_omezarr_cloud.store.disk import DiskCache
    from tests.fixtures.images import Written
    from tests.fixtures.servers import S3Server

pytestmark = pytest.mark.usefixtures("disk", "impatient")


class Network:
    """A server that can be unplugged and plugged in again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.server = SlowServer(root)
        self.server.__enter__()
        self.url, self.is_up = self.server.url, True

    def unplug(self) -> None:
        if self.is_up:
            self.server.__exit__()
        self.is_up = False

    def plug_in(self) -> None:
        self.server = SlowServer(self.root, port=int(self.url.rpartition(":")[2]))
        self.server.__enter__()
        self.is_up = True

    @property
    def data_requests(self) -> list[str]:
        return [path for path in self.server.paths if "/c/" in path]


@pytest.fixture
def plug(tmp_path: Path) -> Iterator[Callable[[Path], Network]]:
    started: list[Network] = []

    def start(root: Path) -> Network:
        started.append(Network(root))
        return started[-1]

    yield start
    for network in started:
        network.unplug()


@pytest.fixture
def plane(tmp_path: Path) -> Written:
    levels = pyramid(pattern((512, 512)), 3)
    return write_directly(tmp_path / "server" / "plane.zarr", "yx", levels, chunks=(64, 64))


@pytest.fixture
def network(plug: Callable[[Path], Network], plane: Written) -> Network:
    return plug(plane.path.parent)


@pytest.fixture
def link(network: Network) -> str:
    return f"{network.url}/plane.zarr"


# ---- what was seen ------------------------------------------------------------------------------


def test_what_was_seen_opens_without_a_network_and_says_so(
    any_image: Written, plug: Callable[[Path], Network], disk: DiskCache
) -> None:
    network = plug(any_image.path.parent)
    link = f"{network.url}/{any_image.path.name}"
    image = noc.open(link)
    pixels = [image.read(n) for n in range(len(image.levels))]
    labels = [each.read(0) for each in image.labels]
    assert not any(note.startswith("Offline") for note in image.notes)
    disk.info()
    network.unplug()

    again = noc.open(link)

    for number, level in enumerate(pixels):
        np.testing.assert_array_equal(again.read(number), level)
    for found, each in zip(again.labels, labels, strict=True):
        np.testing.assert_array_equal(found.read(0), each)
    (note,) = [note for note in again.notes if note.startswith("Offline")]
    assert "refused" in note
    assert again.traffic.is_offline


def test_what_was_not_seen_is_missing_and_the_reason_is_told(
    link: str, plane: Written, network: Network, disk: DiskCache
) -> None:
    noc.open(link).read(0, np.s_[:64, :64])
    disk.info()
    network.unplug()
    image = noc.open(link)

    np.testing.assert_array_equal(image.read(0, np.s_[:64, :64]), plane.levels[0][:64, :64])
    with pytest.raises(UnreachableError, match=r"0/c/0/1.*not in the disk cache.*network is gone"):
        image.read(0, np.s_[:64, :128])


def test_with_the_network_back_the_same_image_goes_on(
    link: str,
    plane: Written,
    network: Network,
    disk: DiskCache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caching, "_PROBE_S", 0.0)
    noc.open(link).read(0, np.s_[:64, :64])
    disk.info()
    network.unplug()
    image = noc.open(link)
    with pytest.raises(UnreachableError):
        image.read(0)
    network.plug_in()

    np.testing.assert_array_equal(image.read(0), plane.levels[0])

    assert not image.traffic.is_offline


def test_while_the_network_is_gone_nobody_waits_for_it_again(
    link: str, network: Network, disk: DiskCache
) -> None:
    noc.open(link).read(0, np.s_[:64, :64])
    disk.info()
    network.unplug()
    image = noc.open(link)
    asked = image.traffic.requests

    for _ in range(3):
        with pytest.raises(UnreachableError):
            image.read(0, np.s_[64:128, 64:128])

    assert image.traffic.requests == asked


def test_a_server_that_never_answers_counts_as_no_network(
    link: str, plane: Written, network: Network, disk: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "_SILENCE_S", 60)
    monkeypatch.setattr(caching, "_PATIENCE_S", 0.3)
    noc.open(link).read(0)
    disk.info()
    network.server.fault("plane", "hang")

    image = noc.open(link)

    np.testing.assert_array_equal(image.read(0), plane.levels[0])
    assert any("Offline" in note and "no answer came in time" in note for note in image.notes)
    # What was given up is not left open.
    assert network.server.wait_until(lambda server: all(e.end is not None for e in server.log))


def test_what_nobody_has_seen_does_not_open(link: str, network: Network) -> None:
    network.unplug()

    with pytest.raises(UnreachableError, match="refused"):
        noc.open(link)


def test_a_server_in_trouble_is_no_missing_network(
    link: str, network: Network, disk: DiskCache
) -> None:
    noc.open(link).read(0)
    disk.info()
    network.server.fault("plane", 500)

    with pytest.raises(ServerError, match="500"):
        noc.open(link)


def test_an_image_that_is_gone_is_not_shown_from_the_disk(
    link: str, plane: Written, disk: DiskCache
) -> None:
    noc.open(link).read(0)
    disk.info()
    shutil.rmtree(plane.path)

    with pytest.raises(NotFoundError):
        noc.open(link)


def test_private_images_open_offline_only_for_who_had_credentials(
    plane: Written,
    s3: S3Server,
    disk: DiskCache,
    plug: Callable[[Path], Network],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noc.set_cache(private=True)
    network = plug(plane.path.parent.parent)  # takes any signature
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    place = {"link": "s3://server/plane.zarr", "endpoint": network.url}
    noc.open(**place, anonymous=False).read(0)
    disk.info()
    network.unplug()

    assert noc.open(**place, anonymous=False).traffic.is_offline
    with pytest.raises(UnreachableError):
        noc.open(**place, anonymous=True)


# ---- what was kept ------------------------------------------------------------------------------


BOX = np.s_[60:200, 0:130]


def test_a_region_that_is_kept_opens_without_a_network(
    link: str, plane: Written, network: Network, disk: DiskCache
) -> None:
    seen: list[offline.OfflineProgress] = []

    kept = noc.keep_offline(noc.open(link), BOX, [0, 2], on_progress=seen.append)

    # 4 by 3 chunks of the finest level (a voxel more on each side), 1 of the coarsest.
    chunks = set(network.data_requests)
    assert len(network.data_requests) == len(chunks) == 4 * 3 + 1
    assert {path.split("/")[2] for path in chunks} == {"0", "2"}
    assert (seen[-1].done, seen[-1].failed) == (13, 0)
    assert kept.is_whole
    network.unplug()
    image = noc.open(link)
    np.testing.assert_array_equal(image.read(0, BOX), plane.levels[0][BOX])
    coarse = np.s_[15:50, :33]
    np.testing.assert_array_equal(image.read(2, coarse), plane.levels[2][coarse])
    with pytest.raises(UnreachableError):
        image.read(1)


def test_of_one_plane_and_channel_no_neighbours_are_fetched(
    tmp_path: Path, plug: Callable[[Path], Network]
) -> None:
    levels = pyramid(pattern((3, 3, 5, 128, 128)), 2)
    written = write_directly(
        tmp_path / "server" / "stack.zarr", "tczyx", levels, chunks=(1, 1, 1, 64, 64)
    )
    network = plug(written.path.parent)
    link = f"{network.url}/stack.zarr"

    kept = noc.keep_offline(noc.open(link), np.s_[1:2, 1:2, 2:3, 0:128, 0:64])

    finest = {path.split("/0/c/")[1] for path in network.data_requests if "/0/c/" in path}
    # Of x, a voxel more.
    assert finest == {f"1/1/2/{y}/{x}" for y in (0, 1) for x in (0, 1)}
    network.unplug()
    image = noc.open(link)
    np.testing.assert_array_equal(image.read(0, np.s_[1, 1, 2, :, :64]), levels[0][1, 1, 2, :, :64])
    assert kept.is_whole


@pytest.mark.parametrize("kind", ["sharded", "v04 with labels", "v05 with labels"])
def test_keeping_all_of_an_image_keeps_all_it_takes_to_show_it(
    kind: str, ome_zarr: Callable[[str], Written], plug: Callable[[Path], Network]
) -> None:
    written = ome_zarr(kind)
    network = plug(written.path.parent)
    link = f"{network.url}/{written.path.name}"

    assert noc.keep_offline(noc.open(link)).is_whole
    noc.clear_cache()  # not what is kept

    network.unplug()
    image = noc.open(link)
    for number, level in enumerate(written.levels):
        np.testing.assert_array_equal(image.read(number), level)
    for labels in image.labels:
        for number, level in enumerate(written.labels[labels.name]):
            np.testing.assert_array_equal(labels.read(number), level)


@pytest.mark.parametrize("field", [1, "all"])
def test_a_few_wells_of_a_plate_are_kept_with_all_it_takes_to_open_them(
    plug: Callable[[Path], Network], tmp_path: Path, field: Any
) -> None:
    """Of a plate so large that wells are taken for alike: what is kept does not rely on that."""
    write_bare_plate(
        tmp_path / "server" / "plate.zarr", 8, 13, size=64, chunk=64, levels=2, fields=2
    )
    network = plug(tmp_path / "server")
    link = f"{network.url}/plate.zarr"
    image = noc.open(link, field=field)
    truth = image.read(1)
    assert image.plate is not None
    height, width = (round(n / image.levels[0].scale[-1]) for n in image.plate.cell)
    box = np.s_[2 * height : 4 * height, 5 * width : 7 * width]  # C6, C7, D6, D7
    network.server.clear_log()

    kept = noc.keep_offline(image, box)

    assert kept.is_whole
    wells = {"/".join(path.split("/")[2:4]) for path in network.data_requests}
    # A voxel more on each side lies in the gap of a neighbour.
    assert {"C/6", "C/7", "D/6", "D/7"} <= wells
    assert len(wells) <= 16
    noc.clear_cache()  # not what is kept
    network.unplug()
    again = noc.open(link, field=field)
    for level, each in enumerate(image.levels):
        part = tuple(slice(side.start >> level, side.stop >> level) for side in box)
        pixels = again.read(level, part)
        assert len(np.unique(pixels)) == (5 if field == 1 else 9)  # each field's own, and blank
        if level == 1:
            np.testing.assert_array_equal(pixels, truth[part])
        assert each.shape == again.levels[level].shape
    with pytest.raises(UnreachableError):
        again.read(1)


def test_a_plan_says_what_it_takes(link: str, network: Network) -> None:
    image = noc.open(link)

    plan = noc.plan_offline(image, BOX, [0])

    assert (plan.chunks, plan.decoded_nbytes) == (12, 12 * 64 * 64 * 2)
    assert len(network.data_requests) == 4
    kept = noc.keep_offline(image, BOX, [0])
    assert plan.nbytes == pytest.approx(kept.nbytes, rel=0.2)
    assert "y=60:200, x=0:130; levels 0" in (plan.what, kept.what)
    assert len(network.data_requests) == 12


def test_what_is_kept_is_not_given_up_for_want_of_room_until_it_is_released(
    link: str, network: Network, disk: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMEZARR_DISK_CACHE_MB", "1")
    for name in "ab":
        write_directly(
            network.root / f"{name}.zarr", "yx", [pattern((512, 512))], chunks=(64, 64),
            compressors=None,
        )  # fmt: skip
    kept = noc.keep_offline(noc.open(link), BOX, [0])
    for name in "ab":
        noc.open(f"{network.url}/{name}.zarr").read(0)
    assert disk.info().nbytes <= 1 << 20
    assert [each.id for each in noc.kept_offline()] == [kept.id]
    network.server.clear_log()
    noc.open(link).read(0, BOX)
    assert network.data_requests == []

    noc.release_offline(kept)
    for name in "ab":
        noc.open(f"{network.url}/{name}.zarr").read(0)

    usage = disk.info()
    assert (usage.kept_nbytes, noc.kept_offline()) == (0, [])
    network.server.clear_log()
    noc.open(link).read(0, BOX)
    assert network.data_requests


def test_what_two_kept_regions_share_stays_until_both_are_released(
    link: str, disk: DiskCache
) -> None:
    image = noc.open(link)
    one, two = noc.keep_offline(image, BOX, [0]), noc.keep_offline(image, BOX, [0, 1])

    noc.release_offline(one)
    noc.clear_cache()
    assert disk.info().nbytes == two.nbytes

    noc.release_offline(two)
    noc.clear_cache()
    assert disk.info().nbytes == 0


def test_a_kept_image_that_changed_is_not_whole_any_more(
    link: str, plane: Written, disk: DiskCache
) -> None:
    noc.keep_offline(noc.open(link), BOX, [0])
    document = plane.path / "zarr.json"
    document.write_text(document.read_text() + "\n")

    noc.open(link)

    (kept,) = noc.kept_offline()
    assert not kept.is_whole


def test_a_chunk_that_cannot_be_had_leaves_the_region_not_whole(
    link: str, network: Network
) -> None:
    network.server.fault("0/c/2/1", 404)
    network.server.fault("0/c/1/1", 500)
    seen: list[offline.OfflineProgress] = []

    kept = noc.keep_offline(noc.open(link), BOX, [0], on_progress=seen.append)

    assert not kept.is_whole
    assert (seen[-1].done, seen[-1].failed) == (11, 1)


def test_cancelled_it_lets_go_of_all_again(link: str, network: Network, disk: DiskCache) -> None:
    planned = noc.plan_offline(noc.open(link))
    began = threading.Event()
    network.server.fault("0/c/7", "hang")

    keeping = offline.keep_offline_async(planned, lambda _: began.set())
    assert began.wait(30)
    keeping.cancel()

    with pytest.raises(CancelledError):
        keeping.result()
    assert network.server.wait_until(lambda server: all(e.end is not None for e in server.log))
    # The future ends at once; the loop is told, and tells the disk.
    give_up = time.monotonic() + 10
    while noc.kept_offline() and time.monotonic() < give_up:
        time.sleep(0.01)
    assert noc.kept_offline() == []
    assert disk.info().kept_nbytes == 0


def test_more_than_the_cache_holds_is_refused_before_it_begins(link: str, network: Network) -> None:
    image = noc.open(link)
    planned = noc.plan_offline(image)
    noc.set_cache(max_bytes=200_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OMEZARR_DISK_CACHE_MB")
        network.server.clear_log()

        with pytest.raises(OperationError, match=r"about 1 MB.*Enlarge"):
            offline.keep_offline_async(planned).result()

    assert network.data_requests == []
    assert noc.kept_offline() == []


def test_what_was_broken_off_is_gone_on_with(link: str, network: Network, disk: DiskCache) -> None:
    network.server.fault("0/c/1", 500)
    first = noc.keep_offline(noc.open(link), BOX, [0])
    assert not first.is_whole
    network.server.clear_faults()
    network.server.clear_log()

    again = noc.keep_offline(noc.open(link), BOX, [0])

    assert (again.id, again.is_whole) == (first.id, True)
    assert len(noc.kept_offline()) == 1
    assert {path.split("/c/")[1] for path in network.data_requests} == {"1/0", "1/1", "1/2"}


def test_cancelled_once_more_it_holds_what_it_held(
    link: str, network: Network, disk: DiskCache
) -> None:
    kept = noc.keep_offline(noc.open(link), BOX, [0])
    planned = noc.plan_offline(noc.open(link), BOX, [0])

    def cancel(_: offline.OfflineProgress) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    keeping = offline.keep_offline_async(planned, cancel)

    with pytest.raises(CancelledError):
        keeping.result()

    disk.info()
    assert noc.kept_offline() == [kept]


@pytest.mark.parametrize("trouble", ["local", "off", "private", "level", "region"])
def test_what_cannot_be_kept_says_why(
    trouble: str, link: str, plane: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = noc.open(f"{link}?token=12345678" if trouble == "private" else link)
    levels, region = [0], None
    if trouble == "local":
        image = noc.open(plane.path)
    elif trouble == "off":
        monkeypatch.setenv("OMEZARR_DISK_CACHE_MB", "0")
    elif trouble == "level":
        levels = [7]
    elif trouble == "region":
        region = np.s_[5:5, 0:10]
    said = {
        "local": "on this machine already",
        "off": "switched off",
        "private": "needs credentials",
        "level": "no level 7",
        "region": "not in the image",
    }

    with pytest.raises((OperationError, RegionError), match=said[trouble]):
        noc.keep_offline(image, region, levels)


# ---- from the shell -----------------------------------------------------------------------------


def test_the_shell_keeps_tells_and_releases(
    link: str, network: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    keep = ["cache", "keep", link, "--box", "y=60:200,x=:130", "--levels", "0,2"]
    assert main([*keep, "--estimate"]) == 0
    assert "13 chunks, about 0.1 MB" in capsys.readouterr().out
    assert noc.kept_offline() == []

    assert main(keep) == 0
    assert "kept as 1" in capsys.readouterr().out
    assert main(["cache", "info", "--json"]) == 0
    (kept,) = json.loads(capsys.readouterr().out)["kept"]
    assert (kept["id"], kept["where"], kept["is_whole"]) == (1, link, True)
    assert main(["cache", "info"]) == 0
    assert "1  plane, y=60:200, x=0:130; levels 0, 2" in capsys.readouterr().out

    assert main(["cache", "clear"]) == 0
    assert len(noc.kept_offline()) == 1
    assert main(["cache", "release", "1"]) == 0
    assert noc.kept_offline() == []
    assert main(["cache", "release", "1"]) == 1
    assert "nothing is kept under number 1" in capsys.readouterr().err
    assert main(["cache", "clear", link]) == 0
    assert noc.cache_info().entries == 0


@pytest.mark.parametrize("box", ["q=0:5", "y=5", "y", "y=a:b", "y=0:9000"])
def test_a_box_that_makes_no_sense_is_one_sentence(
    box: str, link: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache", "keep", link, "--box", box]) in (0, 1)

    assert "Traceback" not in capsys.readouterr().err


def test_a_size_set_in_the_shell_is_kept_for_the_next_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMEZARR_DISK_CACHE_MB")

    assert main(["cache", "set", "--mb", "123", "--private"]) == 0

    assert "of 123.0 MB" in capsys.readouterr().out
    code = "import napari_omezarr_cloud as noc; print(noc.cache_info().private)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_no_layer_of_qt_or_napari_is_needed(link: str, disk: DiskCache) -> None:
    code = (
        "import sys, napari_omezarr_cloud as noc\n"
        "noc.keep_offline(noc.open(sys.argv[1]), levels=[2])\n"
        "print([name for name in ('napari', 'qtpy') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, link], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
    held: Any = noc.kept_offline()
    assert len(held) == 1
