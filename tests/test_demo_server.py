"""The demo's S3 server is real, is late, and leaves nothing behind."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import obstore
import pytest
from obstore.exceptions import PermissionDeniedError
from obstore.store import S3Store

import napari_omezarr_cloud as noc
from demo.server import DemoS3, LatencyProxy, find_juicefs
from napari_omezarr_cloud.write import claiming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fixtures.slow_http import SlowServer

ROOT = Path(__file__).parents[1]
OWNER = """
import sys
from demo.server import DemoS3
with DemoS3(latency_s=0) as s3:
    print(s3.folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def juicefs() -> str:
    try:
        return find_juicefs()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def demo(juicefs: str) -> Iterator[DemoS3]:
    with DemoS3(latency_s=0.05, buckets=("demo", "other")) as s3:
        yield s3


def anybody(s3: DemoS3, bucket: str = "demo") -> S3Store:
    return S3Store(
        bucket,
        endpoint=s3.endpoint,
        region="us-east-1",
        skip_signature=True,
        client_options={"allow_http": True},
    )


def processes_of(folder: str) -> list[int]:
    """Processes on whose command line the folder is: the guard and the gateway."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if folder in entry.read_bytes().decode(errors="replace"):
                found.append(int(entry.parent.name))
        except OSError:
            continue  # it ended while we looked
    return found


def wait_for_end(pids: list[int]) -> None:
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        assert select.select([handle], [], [], 30)[0], f"process {pid} is still there"
        os.close(handle)


def test_anybody_reads_what_was_put(demo: DemoS3, tmp_path: Path) -> None:
    image = tmp_path / "ünïcode #1.zarr"
    (image / "0").mkdir(parents=True)
    (image / "0" / "0.0").write_bytes(b"chunk")
    (image / ".zattrs").write_bytes(b"{}")

    assert demo.put_folder(image) == (2, 7)

    store = anybody(demo)
    assert obstore.get(store, "ünïcode #1.zarr/0/0.0").bytes() == b"chunk"
    assert list(obstore.list_with_delimiter(store)["common_prefixes"]) == ["ünïcode #1.zarr"]
    with pytest.raises(FileNotFoundError):
        obstore.get(store, "ünïcode #1.zarr/1")


def test_nobody_writes_without_the_key(demo: DemoS3) -> None:
    with pytest.raises(PermissionDeniedError):
        obstore.put(anybody(demo), "key", b"", use_multipart=False)


def test_a_second_bucket_has_its_own_content(demo: DemoS3, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "key").write_bytes(b"x")
    demo.put_folder(tmp_path / "folder", "other")

    assert obstore.get(anybody(demo, "other"), "folder/key").bytes() == b"x"
    with pytest.raises(FileNotFoundError):
        obstore.get(anybody(demo), "folder/key")
    assert demo.link("folder", "other") == f"s3://other/folder?endpoint={demo.endpoint}"


def test_each_request_on_a_connection_is_late(demo: DemoS3) -> None:
    store = anybody(demo)
    began = time.perf_counter()

    for _ in range(3):
        obstore.list_with_delimiter(store)

    # A lower bound holds on any machine, however busy; a clock tick is allowed.
    assert time.perf_counter() - began > 0.9 * 3 * 0.05


def test_the_secret_is_in_no_text(demo: DemoS3) -> None:
    secret = demo._secret_key

    assert secret not in repr(demo) + demo.link("image.zarr")
    for pid in processes_of(str(demo.folder)):
        assert secret not in Path(f"/proc/{pid}/cmdline").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.usefixtures("no_access")
def test_who_has_the_keys_may_read_list_and_write(demo: DemoS3) -> None:
    place = f"s3://other?endpoint={demo.endpoint}"
    before = noc.try_access(place, write=True)

    noc.set_access(place, "keys", access_key_id=demo.access_key, secret_access_key=demo._secret_key)
    after = noc.try_access(place, write=True)

    assert before.can_write is False
    assert (after.can_list, after.can_write) == (True, True)
    assert demo._secret_key not in f"{before}{after}{noc.known_access()}"


def test_an_image_is_saved_under_whatever_name(
    demo: DemoS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Moto will not do: it refuses to list names with a space or a tilde, with "wrong signature".
    for name, value in demo.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(claiming, "_SETTLE_S", 0)  # nobody else writes there
    place = f"s3://other/new é+#1~50%/cells é+#1~50%.zarr?endpoint={demo.direct_endpoint}"

    for value in (1, 2):
        voxels = np.full((4, 4), value, "u1")
        noc.save(noc.from_array(voxels, "yx"), place, overwrite=value == 2)

    assert (noc.open(place).read() == 2).all()
    found = [
        each["path"]
        for page in obstore.list(anybody(demo, "other"), "new é+#1~50%")
        for each in page
    ]
    assert found and all(path.startswith("new é+#1~50%/cells é+#1~50%.zarr/") for path in found)


def test_a_server_that_ignores_conditions_is_found_out(
    demo: DemoS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in demo.environment.items():
        monkeypatch.setenv(name, value)
    noc.save(noc.from_array(np.ones((4, 4), "u1"), "yx"), tmp_path / "cells.zarr")
    demo.put_folder(tmp_path / "cells.zarr", "other")
    image = noc.open(demo.link("cells.zarr", "other"))
    plan = noc.stored_rendering(image).plan(noc.Rendering((noc.Channel("DAPI", "0000FF"),)))

    (note,) = noc.save_rendering(plan)

    assert "does not guard against two people" in note
    assert noc.open(image.location).channels[0].name == "DAPI"
    found = obstore.list_with_delimiter(anybody(demo, "other"), "cells.zarr")["objects"]
    assert [each["path"] for each in found] == ["cells.zarr/zarr.json"]  # no probe is left


def test_nothing_is_left_when_the_context_ends(juicefs: str) -> None:
    with DemoS3(latency_s=0) as s3:
        folder = str(s3.folder)
        assert len(processes_of(folder)) == 2

    assert processes_of(folder) == []
    assert not s3.folder.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_owner_is_ended(juicefs: str, how: signal.Signals) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        folder = owner.stdout.readline().strip()
        pids = processes_of(folder)
        assert len(pids) == 2
        owner.send_signal(how)

    wait_for_end(pids)
    assert not Path(folder).exists()


def test_a_gateway_that_does_not_start_says_why(
    juicefs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "juicefs"
    program.write_text("#!/bin/sh\necho no space left on device\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr("demo.server.find_juicefs", lambda: str(program))
    s3 = DemoS3()

    with pytest.raises(RuntimeError, match="no space left on device"), s3:
        pass

    assert not s3.folder.exists()


@pytest.fixture
def behind(slow_server: Callable[..., SlowServer], tmp_path: Path) -> SlowServer:
    (tmp_path / "key").write_bytes(b"x" * 3_000_000)
    return slow_server(tmp_path)


def test_the_proxy_passes_large_answers_whole(behind: SlowServer) -> None:
    with LatencyProxy(port_of(behind), 0.01) as proxy:
        with urllib.request.urlopen(f"http://127.0.0.1:{proxy.port}/key") as answer:
            body = answer.read()

    assert body == b"x" * 3_000_000


def test_the_proxy_holds_many_requests_at_once(behind: SlowServer) -> None:
    behind.fault("key", "hang")
    with LatencyProxy(port_of(behind), 0.01) as proxy:
        connections = [ask(proxy.port) for _ in range(100)]

        assert behind.wait_until(lambda server: server.most_in_flight == 100)

        for connection in connections:
            connection.close()
        assert behind.wait_until(lambda server: server.connections.open == 0)


def test_a_proxy_that_ends_cuts_what_is_open(behind: SlowServer) -> None:
    behind.fault("key", "hang")
    with LatencyProxy(port_of(behind), 0.01) as proxy:
        connection = ask(proxy.port)
        assert behind.wait_until(lambda server: len(server.log) == 1)

    with connection:
        try:
            left: Any = connection.recv(1)
        except ConnectionResetError:
            left = b""
    assert left == b""
    assert behind.wait_until(lambda server: server.connections.open == 0)


def ask(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(b"GET /key HTTP/1.1\r\nHost: x\r\n\r\n")
    return connection


def port_of(server: SlowServer) -> int:
    return int(server.url.rpartition(":")[2])
