"""What goes wrong between us and a server is said in one sentence, without secrets."""

from __future__ import annotations

import gzip
import os
import pickle
import socket
import threading
import traceback
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from obstore.exceptions import GenericError

from napari_omezarr_cloud.errors import (
    AccessRefusedError,
    CloudError,
    LinkError,
    NotFoundError,
    ServerError,
    UnreachableError,
    WriteError,
)
from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.store.failures import translate
from napari_omezarr_cloud.store.protocol import ByteRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_omezarr_cloud.store import RemoteStore
    from tests.fixtures.slow_http import SlowServer

    Ask = Callable[[Any], Any]
    StoreAt = Callable[..., RemoteStore]

SECRET = "s3cr3t-t0ken"
TOKEN = f"?token={SECRET}&sig=%2B{SECRET}"

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], str]]:
    """``answering(text)`` is the link of a server that says that to everybody and hangs up."""
    listeners: list[socket.socket] = []

    def start(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def talk() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)

        threading.Thread(target=talk).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/x"

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def closed_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


# What carries a secret is sent by another client, which must fail alike.
with_and_without_token = pytest.mark.parametrize(
    "query", [pytest.param("", id="public"), pytest.param(TOKEN, id="token")]
)


@with_and_without_token
@pytest.mark.parametrize(
    ("fault", "kind", "status", "why"),
    [
        pytest.param(401, AccessRefusedError, 401, "refused access (401)", id="401"),
        pytest.param(403, AccessRefusedError, 403, "refused access (403)", id="403"),
        pytest.param(400, ServerError, 400, "answered 400", id="400"),
        pytest.param(429, ServerError, 429, "answered 429", id="429"),
        pytest.param(503, ServerError, 503, "answered 503", id="503"),
        pytest.param("html", ServerError, None, "an HTML page", id="web page"),
        pytest.param("hang", UnreachableError, None, "did not answer in time", id="hang"),
        pytest.param("reset", UnreachableError, None, "closed the connection", id="reset"),
        pytest.param("truncate", ServerError, None, "broke off", id="cut short"),
    ],
)
def test_a_failing_server_is_named_with_key_and_reason(
    server: SlowServer,
    store_at: StoreAt,
    ask: Ask,
    fault: Any,
    kind: type[CloudError],
    status: int,
    why: str,
    query: str,
) -> None:
    server.fault("key", fault)
    store = store_at(f"{server.url}/bucket{query}")

    with pytest.raises(kind) as caught:
        ask(store.get("key"))

    assert (caught.value.key, caught.value.status) == ("key", status)
    assert caught.value.where.startswith(f"{server.url}/bucket")
    assert why in str(caught.value)
    assert server.log[0].query == query[1:]
    for text in texts_of(caught.value):
        assert SECRET not in text


@with_and_without_token
def test_an_absent_key_is_no_failure(
    server: SlowServer, store_at: StoreAt, ask: Ask, query: str
) -> None:
    assert ask(store_at(f"{server.url}/bucket{query}").get("nothing")) is None


@with_and_without_token
def test_an_answer_that_breaks_off_once_is_asked_for_again(
    server: SlowServer, store_at: StoreAt, ask: Ask, query: str
) -> None:
    server.fault("key", "truncate", times=1)

    found = ask(store_at(f"{server.url}/bucket{query}").get("key"))

    assert bytes(found) == bytes(range(200))
    assert len(server.log) == 2


@with_and_without_token
@pytest.mark.parametrize(
    ("link", "why"),
    [
        pytest.param("http://nothing-here.invalid/x", "no such host", id="DNS"),
        pytest.param(f"http://127.0.0.1:{closed_port()}/x", "connection was refused", id="closed"),
        # Words of the link are not taken for the library's.
        pytest.param(
            f"http://127.0.0.1:{closed_port()}/dns error, timedout, certificate.zarr",
            "connection was refused",
            id="words in the link",
        ),
    ],
)
def test_a_server_that_cannot_be_reached_says_why(
    store_at: StoreAt, ask: Ask, link: str, why: str, query: str
) -> None:
    with pytest.raises(UnreachableError, match=why):
        ask(store_at(link + query).get("key"))


@with_and_without_token
def test_an_https_link_to_a_server_without_it_says_so(
    answering: Callable[[bytes], str], store_at: StoreAt, ask: Ask, query: str
) -> None:
    link = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").replace("http:", "https:")

    with pytest.raises(UnreachableError, match=r"encrypted connection failed.*Try http"):
        ask(store_at(link + query).get("key"))


@with_and_without_token
def test_bytes_that_are_called_compressed_come_as_they_are(
    answering: Callable[[bytes], str], store_at: StoreAt, ask: Ask, query: str
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n"
    body = gzip.compress(b"", mtime=0)

    assert ask(store_at(answering(head + body) + query).get("key")) == body


@with_and_without_token
@pytest.mark.parametrize(
    ("answer", "kind", "why"),
    [
        pytest.param(b"hello\r\n\r\n", UnreachableError, "no web server", id="no HTTP"),
        pytest.param(b"", UnreachableError, "closed the connection", id="nothing"),
        pytest.param(
            b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            UnreachableError,
            "in a circle",
            id="circle",
        ),
        pytest.param(
            b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 3-5/9\r\nContent-Length: 3\r\n"
            b"\r\nabc",
            ServerError,
            "made no sense",
            id="another part",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            ServerError,
            "no Content-Length",
            id="unknown length",
        ),
    ],
)
def test_an_answer_that_is_none_says_what_is_odd(
    answering: Callable[[bytes], str],
    store_at: StoreAt,
    ask: Ask,
    answer: bytes,
    kind: type[CloudError],
    why: str,
    query: str,
) -> None:
    part = ByteRange(0, 3) if b"Content-Range" in answer else None

    with pytest.raises(kind, match=why):
        ask(store_at(answering(answer) + query).get("key", part))


@pytest.mark.parametrize("fault", [403, 503, "reset"])
@pytest.mark.parametrize("verb", ["put", "delete", "list"])
def test_no_text_of_an_error_holds_the_links_token(
    server: SlowServer, store_at: StoreAt, ask: Ask, verb: str, fault: Any
) -> None:
    server.fault("bucket", fault)
    store = store_at(f"az://bucket/x?account=a&endpoint={server.url}&sv=1&sig=%2B{SECRET}")
    arguments = {"put": ("key", b""), "delete": ("key",), "list": ()}

    with pytest.raises(CloudError) as caught:
        ask(getattr(store, verb)(*arguments[verb]))

    assert SECRET in server.log[0].query
    for text in texts_of(caught.value):
        assert SECRET not in text


def texts_of(error: BaseException) -> Iterator[str]:
    """Yield every text that may reach a log, a window or another process."""
    yield str(error)
    yield repr(error)
    yield "".join(traceback.format_exception(error))
    yield pickle.dumps(error).decode("latin1")
    yield str(vars(error))
    for inner in (error.__cause__, error.__context__):
        if inner is not None:
            yield from texts_of(inner)


def test_a_pickled_error_says_the_same(server: SlowServer, store_at: StoreAt, ask: Ask) -> None:
    server.fault("key", 403)

    with pytest.raises(AccessRefusedError) as caught:
        ask(store_at(f"{server.url}/bucket").get("key"))

    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))


def test_the_librarys_own_words_are_kept_as_the_cause(
    server: SlowServer, store_at: StoreAt, ask: Ask
) -> None:
    server.fault("key", 503)

    with pytest.raises(ServerError) as caught:
        ask(store_at(f"{server.url}/bucket?token={SECRET}").get("key"))

    assert "503 Service Unavailable" in str(caught.value.__cause__)


def test_a_cloud_machine_that_is_none_means_that_there_are_no_keys() -> None:
    # Asked for real, this address answers on some machines, and keeps others waiting.
    words = "Error performing PUT http://169.254.169.254/latest/api/token in 1ms - timed out"

    error = translate(GenericError(words), "Could not read", parse_location("s3://b/x"), "key")

    assert isinstance(error, AccessRefusedError)
    assert "nothing to sign with" in str(error)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        pytest.param("nothing.zarr", "no such folder", id="absent"),
        pytest.param("file.zarr", "a file, not a folder", id="file"),
        pytest.param("x" * 300, "too long", id="long name"),
    ],
)
def test_a_local_folder_that_is_none_says_so(
    store_at: StoreAt, tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / "file.zarr").touch()

    with pytest.raises(NotFoundError, match=why):
        store_at(str(tmp_path / name))


def test_a_key_that_no_server_can_be_asked_for_is_refused(store_at: StoreAt) -> None:
    with pytest.raises(LinkError, match="cannot be asked for"):
        store_at("s3://bucket/a\x1b[31m.zarr")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.timeout(60)
def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(
    store_at: StoreAt, ask: Ask, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "zarr.json")

    with pytest.raises(CloudError, match=r"zarr\.json.*pipe"):
        ask(store_at(str(tmp_path)).get("zarr.json"))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("Server returned non-2xx status code: 507 Insufficient Storage: ", "no room left"),
        ("status code: 403: <Error><Code>QuotaExceeded</Code></Error>", "no room left"),
        ("Unable to copy data: No space left on device (os error 28)", "Make room on that disk"),
        ("Unable to open file a: Read-only file system (os error 30)", "Is it yours to write"),
        ("Unable to rename: Permission denied (os error 13)", "permission denied. Is it yours"),
    ],
)
def test_what_cannot_be_written_says_what_is_in_the_way(answer: str, words: str) -> None:
    place = "/data/a.zarr" if "os error" in answer else "s3://bucket/a.zarr"

    said = translate(GenericError(answer), "Could not write", parse_location(place), "0/c/0")

    assert isinstance(said, WriteError)
    assert words in str(said)
