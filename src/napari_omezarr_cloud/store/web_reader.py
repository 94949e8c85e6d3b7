"""Reading from web servers with secrets, which go to that server and to no other.

obstore follows redirects by itself. It sends all headers along but ``Authorization``, and in
``Referer`` the whole link, query and all. So what must not reach strangers is sent with aiohttp;
and where the server sends a request on to another one, without any of it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
import weakref
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from obstore.exceptions import GenericError, NotSupportedError

from napari_omezarr_cloud.store.keys import Secrets
from napari_omezarr_cloud.store.web_answer import WebAnswer, beginning, post, range_header, refusal

# aiohttp is imported where it is needed: it takes a tenth of a second, and few links have secrets.
if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

    from aiohttp import ClientResponse, ClientSession

__all__ = ["Patience", "WebReader"]

_REDIRECTS, _ASK_AGAIN = (301, 302, 303, 307, 308), (408, 429)
_MOST_REDIRECTS, _MOST_HEADER, _BUFFER, _KEEP_S = 10, 2**16, 2**18, 90
_LEGAL = "!#$%&'()*+,/:;=?@[]~"
"""What is not escaped in a URL that somebody else has written."""


@dataclass(frozen=True)
class Patience:
    """How long and how often a server is asked."""

    connect_s: float
    silence_s: float
    """Without a byte."""
    request_s: float
    """In all, once."""
    retries: int
    """After answers of 5xx, 408 and 429, and where none came."""
    retry_s: float
    """After which no other request is begun."""


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
        self._session: ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context = ssl.create_default_context()
        # Those of laboratories are seldom as strict as Python 3.13 wants them.
        self._context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if not os.environ.get("SSL_CERT_FILE") and find_spec("certifi"):
            import certifi  # where Python does not find the system's

            self._context.load_verify_locations(certifi.where())
        if certificates:
            self._context.load_verify_locations(cadata=certificates.decode("ascii", "ignore"))

    async def get_async(self, path: str, *, options: Any = None) -> WebAnswer:
        """Ask for an object, or for a part of it; its bytes are fetched from the answer."""
        return await self._ask("GET", path, (options or {}).get("range"))

    async def head_async(self, path: str) -> dict[str, Any]:
        """Return obstore's ``ObjectMeta``."""
        return (await self._ask("HEAD", path)).meta

    async def _ask(self, method: str, path: str, span: Any = None) -> WebAnswer:
        base = self._root.path.rstrip("/")
        place = self._root._replace(path=f"{base}/{quote(path, safe='/~!$()*,;=:@')}")
        more = {} if span is None else {"Range": range_header(span)}
        response = await self._ask_patiently(method, place, more)
        if not 200 <= response.status < 300:
            raise await refusal(response)
        if span is not None and response.status != 206:
            response.close()
            raise NotSupportedError("the server sends whole files only")
        return WebAnswer(self, response, path, span)

    async def _ask_patiently(
        self, method: str, place: SplitResult, more: Mapping[str, str]
    ) -> ClientResponse:
        from aiohttp import ClientError

        until = time.monotonic() + self._patience.retry_s
        for number in range(self._patience.retries + 1):
            response = None
            try:
                response = await self._follow(method, place, more)
            except (ClientError, OSError, ValueError) as error:
                failure = GenericError(f"error sending request: {_sign_of(error)}")
            is_last = number == self._patience.retries or time.monotonic() > until
            if response is not None:
                if is_last or (response.status < 500 and response.status not in _ASK_AGAIN):
                    return response
                await beginning(response)
            elif is_last:
                break
            await asyncio.sleep(0.1 * 2**number)
        raise failure  # out here, since the library's error may hold the link's secrets

    async def _follow(
        self, method: str, place: SplitResult, more: Mapping[str, str]
    ) -> ClientResponse:
        """Send a request, and on to where it is sent on to; the headers stay here."""
        from yarl import URL

        session = self._open_session()
        for _ in range(_MOST_REDIRECTS + 1):
            own = self._secrets.values if _origin(place) == _origin(self._root) else {}
            response = await session.request(
                method,
                URL(place.geturl(), encoded=True),
                headers={**own, **more},
                proxy=_proxy_for(place),
                allow_redirects=False,
            )
            to = response.headers.get("Location")
            if response.status not in _REDIRECTS or to is None:
                return response
            await beginning(response)
            place = _sent_on(place, to)
        raise GenericError("toomanyredirects")

    def _open_session(self) -> ClientSession:
        """Return the session, which ends with this reader or with the tasks of the I/O loop."""
        loop = asyncio.get_running_loop()
        if self._session is not None and not self._session.closed and self._loop is loop:
            return self._session
        import aiohttp

        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,  # the gate counts them
                ssl=self._context,
                resolver=aiohttp.ThreadedResolver(),  # the system's, as obstore's
                keepalive_timeout=_KEEP_S,
            ),
            timeout=aiohttp.ClientTimeout(
                total=self._patience.request_s,
                connect=self._patience.connect_s,
                sock_read=self._patience.silence_s,
            ),
            # Bytes come as they are stored, as obstore's do, and cookies are nobody's.
            auto_decompress=False,
            skip_auto_headers=["Accept-Encoding"],
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_BUFFER,
            max_line_size=_MOST_HEADER,
            max_field_size=_MOST_HEADER,
        )
        keeper = loop.create_task(_keep_open(session))
        weakref.finalize(self, post, loop, keeper.cancel).atexit = False
        self._session, self._loop = session, loop
        return session


async def _keep_open(session: ClientSession) -> None:
    async with session:
        await asyncio.Event().wait()  # until it is cancelled


def _origin(place: SplitResult) -> tuple[str, str, int]:
    port = place.port or (443 if place.scheme == "https" else 80)
    return place.scheme, place.hostname or "", port


def _sent_on(place: SplitResult, to: str) -> SplitResult:
    """Return where a server sends a request on to, which must be no less secret."""
    try:
        there = urlsplit(urljoin(place.geturl(), quote(to, _LEGAL, errors="surrogateescape")))
        is_known = there.scheme in ("http", "https") and all(_origin(there))
    except ValueError:
        is_known = False
    if not is_known:
        raise GenericError("sent on to what is no web address")
    if (place.scheme, there.scheme) == ("https", "http"):
        raise GenericError("sent on without encryption")
    return there._replace(netloc=there.netloc.rpartition("@")[2], fragment="")


def _proxy_for(place: SplitResult) -> str | None:
    """Return the proxy that the environment, or the system, names for an address.

    aiohttp's own ``trust_env`` also sends passwords of ``~/.netrc``, and knows no ``ALL_PROXY``.
    """
    proxies = getproxies()
    found = proxies.get(place.scheme) or proxies.get("all")
    if not found or proxy_bypass(place.netloc):
        return None
    return found if "://" in found else f"http://{found}"


def _sign_of(error: Exception) -> str:
    """Return by what `failures.translate` knows a failure: obstore's words for it."""
    import aiohttp

    signs: tuple[tuple[type[Exception], str], ...] = (
        (aiohttp.ClientConnectorCertificateError, "invalidcertificate"),
        (aiohttp.ClientSSLError, "handshake"),
        (aiohttp.ClientHttpProxyError, ""),
        (aiohttp.ClientResponseError, "hyper::error( parse"),
        (TimeoutError, "timedout"),
        (socket.gaierror, "dns error"),
        (ConnectionRefusedError, "connectionrefused"),
        (ConnectionError, "connectionreset"),
        (aiohttp.ServerDisconnectedError, "connectionreset"),
    )
    causes = (error, getattr(error, "os_error", None), error.__cause__)
    return next((sign for kind, sign in signs if any(isinstance(c, kind) for c in causes)), "")
