"""What servers answer instead of "there is nothing": images open, absent chunks are blank."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import numpy as np
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import AccessRefusedError, CloudError, NotFoundError, ServerError
from tests.fixtures.images import pattern, pyramid, write_directly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fixtures.images import Written
    from tests.fixtures.slow_http import SlowServer

MISSING = [404, 403, 400, 410, "html"]


@pytest.fixture(params=["0.4", "0.5"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Written:
    """An image that lacks one chunk."""
    levels = pyramid(pattern((96, 80)))
    written = write_directly(
        tmp_path / "a.zarr", "yx", levels, version=request.param, chunks=(32, 32), fill_value=7
    )
    chunk = "0/1/1" if request.param == "0.4" else "0/c/1/1"
    (tmp_path / "a.zarr" / chunk).unlink()
    levels[0][32:64, 32:64] = 7
    return written


@pytest.mark.parametrize("missing", MISSING)
def test_whatever_a_server_answers_for_absent_keys_the_image_opens_and_gaps_are_blank(
    missing: int | str, image: Written, slow_server: Callable[..., SlowServer]
) -> None:
    server = slow_server(image.path.parent, missing=missing)

    opened = noc.open(f"{server.url}/a.zarr")

    assert np.array_equal(opened.read(0), image.levels[0])
    assert [level.shape for level in opened.levels] == [level.shape for level in image.levels]
    assert opened.labels == ()
    assert not [note for note in opened.notes if "not there" in note]


@pytest.mark.parametrize(
    ("missing", "kind", "words"),
    [
        (404, NotFoundError, ("no Zarr metadata", ".zattrs")),
        (403, AccessRefusedError, ("refused access", "Is it public?")),
        (400, ServerError, ("answered 400", "Check the link")),
        ("html", ServerError, ("HTML page", "Open it in a browser")),
    ],
)
def test_a_link_that_leads_to_nothing_is_told_as_the_server_told_it(
    missing: int | str,
    kind: type[CloudError],
    words: tuple[str, ...],
    tmp_path: Path,
    slow_server: Callable[..., SlowServer],
) -> None:
    server = slow_server(tmp_path, missing=missing)

    with pytest.raises(kind) as caught:
        noc.open(f"{server.url}/nothing.zarr")

    assert all(word in str(caught.value) for word in words)


def test_access_that_is_lost_later_is_no_blank_picture(
    image: Written, slow_server: Callable[..., SlowServer]
) -> None:
    server = slow_server(image.path.parent)
    opened = noc.open(f"{server.url}/a.zarr")
    server.fault("a.zarr", 403)

    with pytest.raises(CloudError, match="refused access"):
        opened.read(0)


@pytest.mark.parametrize("status", [400, 410])
def test_a_server_that_breaks_later_is_no_blank_picture(
    status: int, image: Written, slow_server: Callable[..., SlowServer]
) -> None:
    server = slow_server(image.path.parent)
    opened = noc.open(f"{server.url}/a.zarr")
    server.fault("a.zarr", status)

    with pytest.raises(CloudError):
        opened.read(0)


class _Login(BaseHTTPRequestHandler):
    """Send everybody who asks for anything to a page where they can log in."""

    def do_GET(self) -> None:
        body = b"<!doctype html><form>Who are you?</form>"
        if self.path.startswith("/login"):
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
        else:
            body = b""
            self.send_response(302)
            self.send_header("Location", "/login?next=" + self.path.partition("?")[0])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def login_page() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Login)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_redirect_to_a_login_page_is_told_as_what_it_is() -> None:
    with login_page() as url, pytest.raises(CloudError) as caught:
        noc.open(f"{url}/private/a.zarr")

    assert "HTML page" in str(caught.value)
    assert "login" in str(caught.value)


SIGNED = "X-Amz-Signature=5ecret&X-Amz-Credential=AKIAEXAMPLE&sv=2024&sig=5ecret%2Btoo&token=5ecret"


def test_a_signed_link_is_shown_without_what_signs_it(
    image: Written, slow_server: Callable[..., SlowServer]
) -> None:
    server = slow_server(image.path.parent)

    opened = noc.open(f"{server.url}/a.zarr?{SIGNED}")
    shown = [str(opened.location), repr(opened), opened.name, *opened.notes]
    shown += [str(attributes) for _, attributes, _ in noc.to_layers(opened)]
    with pytest.raises(CloudError) as caught:
        noc.open(f"{server.url}/nothing.zarr?{SIGNED}")
    shown += [str(caught.value), repr(caught.value), str(caught.value.__cause__)]

    assert np.array_equal(opened.read(0), image.levels[0])
    assert server.log[0].query
    assert not [text for text in shown if "5ecret" in text or "AKIAEXAMPLE" in text]
