"""The servers that other tests stand on do what they promise."""

from __future__ import annotations

import http.client
import os
import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import obstore
import pytest
from obstore.exceptions import PermissionDeniedError
from obstore.store import S3Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.servers import S3Server
    from tests.fixtures.slow_http import SlowServer

BODY = bytes(range(200))


@pytest.fixture
def server(slow_server: Callable[..., SlowServer], tmp_path: Path) -> SlowServer:
    (tmp_path / "bucket" / "a b").mkdir(parents=True)
    (tmp_path / "bucket" / "a b" / "c#1").write_bytes(BODY)
    (tmp_path / "bucket" / "key").write_bytes(BODY)
    return slow_server(tmp_path)


def get(server: SlowServer, path: str, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(server.url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def bucket(server: SlowServer) -> S3Store:
    return S3Store(
        "bucket",
        endpoint=server.url,
        skip_signature=True,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=5)},
    )


def test_s3_clients_read_ranges_suffixes_and_listings(server: SlowServer) -> None:
    store = bucket(server)

    part = obstore.get_range(store, "a b/c#1", start=10, length=5)
    end = obstore.get(store, "key", options={"range": {"suffix": 4}}).bytes()
    found = obstore.list_with_delimiter(store)

    assert bytes(part) == BODY[10:15]
    assert bytes(end) == BODY[-4:]
    assert list(found["common_prefixes"]) == ["a b"]
    assert [entry["path"] for entry in found["objects"]] == ["key"]
    assert server.log[0].path == "/bucket/a b/c#1"
    assert [exchange.range for exchange in server.log[:2]] == ["bytes=10-14", "bytes=-4"]


def test_long_listings_come_in_pages(server: SlowServer) -> None:
    names = [f"{n:04}" for n in range(1005)]
    for name in names:
        (server.root / "bucket" / "a b" / name).touch()

    listed = [entry["path"] for page in obstore.list(bucket(server), "a b") for entry in page]

    assert listed == [f"a b/{name}" for name in names] + ["a b/c#1"]
    assert len(server.log) == 2


def test_an_unchanged_file_answers_304(server: SlowServer) -> None:
    with urllib.request.urlopen(server.url + "/bucket/key") as answer:
        tag = answer.headers["ETag"]

    assert get(server, "/bucket/key", **{"If-None-Match": tag}) == (304, b"")
    assert get(server, "/bucket/key", **{"If-None-Match": '"other"'}) == (200, BODY)


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        pytest.param(403, 403, None, id="refused"),
        pytest.param(503, 503, None, id="busy"),
        pytest.param("html", 200, None, id="web page"),
        pytest.param("short", 200, BODY[:100], id="short body"),
        pytest.param(
            "flip",
            200,
            BODY[:100] + bytes(255 - b for b in BODY[100:108]) + BODY[108:],
            id="wrong bytes",
        ),
        pytest.param("trickle", 200, BODY, id="trickle"),
    ],
)
def test_a_fault_lasts_as_often_as_asked(
    server: SlowServer, kind: Any, status: int, body: bytes | None
) -> None:
    server.fault("key", kind, times=1)

    first = get(server, "/bucket/key")

    assert first[0] == status
    assert first[1] == body or (body is None and first[1] != BODY)
    assert get(server, "/bucket/key") == (200, BODY)


def test_a_truncated_body_is_shorter_than_promised(server: SlowServer) -> None:
    server.fault("key", "truncate", times=1)

    with pytest.raises(http.client.IncompleteRead) as caught:
        get(server, "/bucket/key")

    assert caught.value.partial == BODY[:100]
    assert caught.value.expected == 100


def test_a_reset_connection_is_an_error_for_the_client(server: SlowServer) -> None:
    server.fault("key", "reset")

    with pytest.raises(ConnectionResetError):
        get(server, "/bucket/key")


def test_a_server_without_ranges_sends_the_whole(server: SlowServer) -> None:
    server.fault("key", "no-range")

    assert get(server, "/bucket/key", Range="bytes=0-3") == (200, BODY)


@pytest.mark.parametrize(
    ("rule", "status"), [('{"missing_status": 403}', 403), ('{"missing_html": true}', 200)]
)
def test_a_rule_file_decides_about_missing_keys(server: SlowServer, rule: str, status: int) -> None:
    (server.root / "bucket" / "a b" / ".http.json").write_text(rule)

    assert get(server, "/bucket/a%20b/none/0")[0] == status
    assert get(server, "/bucket/none")[0] == 404
    assert get(server, "/bucket/a%20b/c%231") == (200, BODY)


def test_nothing_outside_the_folder_is_served(server: SlowServer) -> None:
    (server.root.parent / "secret").write_text("secret")

    assert get(server, "/bucket/%2e%2e/%2e%2e/secret")[0] == 400


def test_requests_in_flight_are_counted(server: SlowServer) -> None:
    server.fault("key", "hang", times=4)
    with ThreadPoolExecutor(5) as pool:
        sockets = list(pool.map(lambda _: hanging_request(server), range(4)))
        assert server.wait_until(lambda s: len(s.log) == 4)
        pool.submit(get, server, "/bucket/key").result()

    assert server.most_in_flight == 5
    assert [exchange.status for exchange in server.log] == [None] * 4 + [200]
    for connection in sockets:
        connection.close()


def test_a_client_that_hangs_up_is_noticed(server: SlowServer) -> None:
    server.fault("key", "hang")
    connection = hanging_request(server)
    assert server.wait_until(lambda s: s.connections.open == 1 and len(s.log) == 1)

    connection.close()

    assert server.wait_until(lambda s: s.connections.open == 0)
    assert server.connections.closed_by_client == 1
    assert server.log[0].abandoned


def hanging_request(server: SlowServer) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0))
    connection.sendall(b"GET /bucket/key HTTP/1.1\r\nHost: x\r\n\r\n")
    return connection


def test_latency_and_bandwidth_hold_answers_up(server: SlowServer) -> None:
    server.latency_s, server.bytes_per_s = 0.05, 2000.0

    get(server, "/bucket/key")

    (exchange,) = server.log
    assert exchange.end is not None
    # A lower bound holds on any machine, however busy; a clock tick is allowed.
    assert exchange.end - exchange.start > 0.9 * (0.05 + len(BODY) / 2000)


def user_store(s3: S3Server, bucket: str, **access: Any) -> S3Store:
    address = {"endpoint": s3.endpoint, "region": s3.region}
    options: dict[str, Any] = {"client_options": {"allow_http": True}, **address, **access}
    return S3Store(bucket, **options)


def test_the_s3_server_knows_its_user_and_its_public_bucket(s3: S3Server, tmp_path: Path) -> None:
    folder = tmp_path / "ünïcode #1 50% a+b.zarr"
    folder.mkdir()
    (folder / "zarr.json").write_text("{}")
    for name in (s3.public, s3.private):
        s3.put_folder(folder, name, "some/where")
    key = f"some/where/{folder.name}/zarr.json"
    user = {"access_key_id": s3.access_key, "secret_access_key": s3.secret_key}
    guest = user_store(s3, s3.public, skip_signature=True)

    assert obstore.get(user_store(s3, s3.private, **user), key).bytes() == b"{}"
    assert obstore.get(guest, key).bytes() == b"{}"
    assert bytes(obstore.get_range(guest, key, start=1, length=1)) == b"}"
    assert len(obstore.list_with_delimiter(guest, "some/where")["common_prefixes"]) == 1
    with pytest.raises(FileNotFoundError):
        obstore.get(guest, "some/thing/else")


@pytest.mark.parametrize("wrong", ["access_key_id", "secret_access_key", "everything"])
def test_the_s3_server_refuses_everybody_else(s3: S3Server, wrong: str) -> None:
    access: dict[str, Any] = {"access_key_id": s3.access_key, "secret_access_key": s3.secret_key}
    access = {"skip_signature": True} if wrong == "everything" else {**access, wrong: "wrong"}

    with pytest.raises(PermissionDeniedError):
        obstore.get(user_store(s3, s3.private, **access), "some/key")


def test_nobody_may_write_without_an_account(s3: S3Server) -> None:
    guest = user_store(s3, s3.public, skip_signature=True)

    with pytest.raises(PermissionDeniedError):
        obstore.put(guest, "key", b"", use_multipart=False)


def test_the_s3_server_leaves_the_environment_alone(s3: S3Server) -> None:
    assert s3.access_key not in os.environ.values()
    assert s3.secret_key not in repr(s3)
