"""Reading from web servers with secrets, which go to that server and to no other.

obstore follows redirects by itself. It sends all headers along but ``Authorization``, and in
``Referer`` the whole link, query and all. So what must not reach strangers is sent from here: with
the standard library's client, over connections that are kept, and where the server sends a
request on to another one, without any of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import re
import socket
import ssl
import threading
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from obstore.exceptions import (
    GenericError,
    NotSupportedError,
    PermissionDeniedError,
    UnauthenticatedError,
)

from napari_omezarr_cloud.store.keys import Secrets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from urllib.parse import SplitResult

__all__ = ["Patience", "WebReader"]

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS, _MOST_IDLE, _MOST_SAID = 10, 16, 4096
_PIECE = 2**18
T = TypeVar("T")
_Origin = tuple[str, str, int]


@dataclass(frozen=True)
class Patience:
    """How long and how often a server is asked."""

    connect_s: float
    silence_s: float
    """Without a byte."""
    retries: int
    """After answers of 5xx, and where none came."""


class WebReader:
    """Reads below one web address; asked as obstore's stores are, and fails as they do.

    Parameters
    ----------
    url
        Percent-encoded; what is read lies below its path, and its query goes with each request.
    headers
        Sent to this address's scheme, host and port alone.
    patience
        Of each request.
    certificates
        PEM of authorities that are trusted besides the system's.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], patience: Patience, certificates: bytes = b""
    ) -> None:
        self._root = urlsplit(url)
        self._secrets = Secrets(headers)
        self._patience = patience
        self._idle: list[tuple[_Origin, http.client.HTTPConnection]] = []
        self._lock = threading.Lock()
        self._context = ssl.create_default_context()
        if not os.environ.get("SSL_CERT_FILE") and find_spec("certifi"):
            import certifi  # where Python does not find the system's

            self._context.load_verify_locations(certifi.where())
        if certificates:
            self._context.load_verify_locations(cadata=certificates.decode("ascii", "replace"))

    async def get_async(self, path: str, *, options: Any = None) -> _Answer:
        """Ask for an object, or for a part of it; its bytes are fetched with the answer."""
        return await self._ask("GET", path, (options or {}).get("range"))

    async def head_async(self, path: str) -> dict[str, Any]:
        """Return obstore's ``ObjectMeta``."""
        answer = await self._ask("HEAD", path, None)
        answer.drain()
        return answer.meta

    async def _ask(self, method: str, path: str, span: Any) -> _Answer:
        base = self._root.path.rstrip("/")
        url = self._root._replace(path=f"{base}/{quote(path, safe='/~!$()*,;=:@')}").geturl()
        more = {"Range": _range_header(span)} if span is not None else {}
        for tries_left in reversed(range(self._patience.retries + 1)):
            try:
                answer = await _beside(lambda: self._follow(method, url, more))
            except GenericError:
                if not tries_left:
                    raise
            else:
                if answer.response.status < 500 or not tries_left:
                    break
                answer.close()
            await asyncio.sleep(0.1 * 2 ** (self._patience.retries - tries_left))
        if not 200 <= answer.response.status < 300:
            raise await _beside(answer.refusal)
        if span is not None and answer.response.status != 206:
            answer.close()
            raise NotSupportedError("the server sends whole files only")
        answer.understand(path)
        return answer

    def _follow(self, method: str, url: str, more: Mapping[str, str]) -> _Answer:
        """Send a request, and on to where it is sent on to; the headers stay here."""
        for _ in range(_MOST_REDIRECTS):
            place = urlsplit(url)
            own = self._secrets.values if _origin(place) == _origin(self._root) else {}
            connection, response = self._send(method, place, {**own, **more})
            answer = _Answer(self, _origin(place), connection, response)
            to = response.getheader("Location")
            if response.status not in _REDIRECTS or to is None:
                return answer
            answer.drain()
            url = urljoin(url, to)
            if place.scheme == "https" and not url.lower().startswith("https:"):
                raise GenericError("handshake: sent on from https to an address without it")
            if not url.lower().startswith(("https:", "http:")):
                raise GenericError("sent on to what is no web address")
        raise GenericError("toomanyredirects")

    def _send(
        self, method: str, place: SplitResult, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        proxy = _proxy_for(place)
        target = place._replace(scheme="", netloc="", fragment="").geturl() or "/"
        if proxy is not None and place.scheme == "http":
            target, headers = place._replace(fragment="").geturl(), {**headers, **_sign(proxy)}
        while True:
            connection = self._take(_origin(place))
            is_new = connection is None
            try:
                if connection is None:
                    connection = self._connect(place, proxy)
                connection.request(method, target, headers=dict(headers))
                return connection, connection.getresponse()
            except (OSError, http.client.HTTPException, ValueError) as error:
                if connection is not None:
                    connection.close()
                if is_new or isinstance(error, TimeoutError):
                    # One that was kept may have been closed meanwhile, and says so at once.
                    failure = GenericError(f"error sending request: {_sign_of(error)}")
                    break
        raise failure

    def _connect(self, place: SplitResult, proxy: SplitResult | None) -> http.client.HTTPConnection:
        _, host, port = _origin(place)
        at, at_port = (host, port) if proxy is None else _origin(proxy)[1:]
        kind: Any = http.client.HTTPConnection
        options: dict[str, Any] = {"timeout": self._patience.connect_s}
        if place.scheme == "https":
            kind, options = http.client.HTTPSConnection, {**options, "context": self._context}
        connection: http.client.HTTPConnection = kind(at, at_port, **options)
        if proxy is not None and place.scheme == "https":
            connection.set_tunnel(host, port, _sign(proxy))
        connection.connect()
        connection.sock.settimeout(self._patience.silence_s)
        return connection

    def _take(self, origin: _Origin) -> http.client.HTTPConnection | None:
        with self._lock:
            for number, (where, connection) in enumerate(self._idle):
                if where == origin:
                    del self._idle[number]
                    return connection
        return None

    def keep(self, origin: _Origin, connection: http.client.HTTPConnection) -> None:
        """Take a connection back whose answer has been read."""
        with self._lock:
            if len(self._idle) < _MOST_IDLE:
                self._idle.append((origin, connection))
                return
        connection.close()

    def __del__(self) -> None:
        for _, connection in self._idle:
            connection.close()


class _Answer:
    """An answer, as obstore's ``GetResult``: what it says at once, its bytes when asked for."""

    def __init__(
        self,
        reader: WebReader,
        origin: _Origin,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
    ) -> None:
        self.response = response
        self.meta: dict[str, Any] = {}
        self.range = (0, 0)
        self.attributes = {"Content-Type": response.getheader("Content-Type", "")}
        self._reader, self._origin = reader, origin
        self._connection: http.client.HTTPConnection | None = connection

    def understand(self, path: str) -> None:
        """Take over what the headers say of the object.

        Raises
        ------
        GenericError
            If they do not say how long it is.
        """
        header = self.response.getheader
        span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", header("Content-Range", ""))
        length = header("Content-Length", "")
        if span is None and not length.isdecimal():
            self.close()
            raise GenericError("MissingContentLength")
        if span is None:
            size = int(length)
            self.range = (0, size)
        else:
            first, last, size = map(int, span.groups())
            self.range = (first, last + 1)
        try:
            modified = parsedate_to_datetime(header("Last-Modified", "")).astimezone(UTC)
        except ValueError:
            modified = datetime.fromtimestamp(0, UTC)
        tag = header("ETag")
        self.meta = {"path": path, "size": size, "last_modified": modified, "e_tag": tag}

    async def bytes_async(self) -> bytes:
        """Return all bytes of the answer."""
        start, stop = self.range
        return await self._read(stop - start)

    async def stream(self, min_chunk_size: int = _PIECE) -> AsyncIterator[bytes]:
        """Yield the bytes piece by piece."""
        start, stop = self.range
        while start < stop:
            piece = await self._read(min(max(min_chunk_size, 1), stop - start))
            start += len(piece)
            yield piece

    async def _read(self, count: int) -> bytes:
        def read() -> bytes:
            try:
                data = self.response.read(count)
            except (OSError, http.client.HTTPException) as error:
                raise GenericError(f"body error: {type(error).__name__}") from None
            if len(data) < count:
                raise GenericError("body error: it broke off")
            return data

        try:
            data = await _beside(read)
        except BaseException:
            self.close()
            raise
        if self.response.length == 0:
            self.close()
        return data

    def refusal(self) -> Exception:
        """Return the error that obstore would raise for an answer that is none."""
        status = self.response.status
        try:
            said = self.response.read(_MOST_SAID).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            said = ""
        self.close()
        kinds: dict[int, type[Exception]] = {
            401: UnauthenticatedError,
            403: PermissionDeniedError,
            404: FileNotFoundError,
        }
        if status == 416:
            said = "requested range was invalid"
        text = f"Server returned non-2xx status code: {status} {self.response.reason}: {said}"
        return kinds.get(status, GenericError)(text)

    def drain(self) -> None:
        """Read what nobody needs if it is little, so that the connection can be used again."""
        if self.response.length is not None and self.response.length <= _PIECE:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.response.read()
        self.close()

    def close(self) -> None:
        """End with it; whoever waits for its bytes is woken."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self.response.isclosed() and connection.sock is not None:
            self._reader.keep(self._origin, connection)
            return
        if connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        self.response.close()
        connection.close()

    def __del__(self) -> None:
        self.close()


async def _beside(do: Callable[[], T]) -> T:
    """Run what waits for a server in a thread of its own, which ends with the program."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(how: Callable[[Any], None], outcome: Any) -> None:
        if not done.done():  # cancelled
            how(outcome)

    def run() -> None:
        how: Callable[[Any], None] = done.set_result
        outcome: Any
        try:
            outcome = do()
        except BaseException as error:
            how, outcome = done.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, how, outcome)

    threading.Thread(target=run, name="omezarr-web", daemon=True).start()
    return await done


def _origin(place: SplitResult) -> _Origin:
    port = place.port or (443 if place.scheme == "https" else 80)
    return place.scheme, place.hostname or "", port


def _proxy_for(place: SplitResult) -> SplitResult | None:
    """Return the proxy that the environment, or the system, names for an address."""
    proxies = getproxies()
    found = proxies.get(place.scheme) or proxies.get("all")
    if not found or proxy_bypass(place.netloc.rpartition("@")[2]):
        return None
    return urlsplit(found if "://" in found else f"http://{found}")


def _sign(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    both = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(both.encode()).decode()}"}


def _range_header(span: Any) -> str:
    if isinstance(span, dict):
        return f"bytes=-{span['suffix']}" if "suffix" in span else f"bytes={span['offset']}-"
    return f"bytes={span[0]}-{span[1] - 1}"


def _sign_of(error: Exception) -> str:
    """Return by what `failures.translate` knows a failure: obstore's words for it."""
    signs: tuple[tuple[type[Exception], str], ...] = (
        (socket.gaierror, "dns error"),
        (ConnectionRefusedError, "connectionrefused"),
        (TimeoutError, "timedout"),
        (ssl.SSLCertVerificationError, "invalidcertificate"),
        (ssl.SSLError, "handshake"),
        (ConnectionError, "connectionreset"),
        (http.client.HTTPException, "hyper::error( parse"),
    )
    return next((sign for kind, sign in signs if isinstance(error, kind)), "")
