"""What web servers answer, in the form and with the errors of obstore."""

from __future__ import annotations

import asyncio
import contextlib
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import ClientResponse

__all__ = ["WebAnswer", "beginning", "post", "range_header", "refusal"]

_PIECE = 2**18
_MOST_SAID = 4096


class WebAnswer:
    """An answer, as obstore's ``GetResult``: what it says at once, its bytes when asked for."""

    def __init__(self, reader: object, response: ClientResponse, path: str, asked: Any) -> None:
        self._reader = reader  # whose end would end the answer
        self._response = response
        self._loop = asyncio.get_running_loop()
        header = response.headers.get
        self.attributes = {"Content-Type": header("Content-Type", "")}
        span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", header("Content-Range", ""))
        length = header("Content-Length", "")
        if asked is not None and span is not None:
            first, last, size = map(int, span.groups())
            self.range = (first, last + 1)
            if self.range != _range_of(asked, size):
                raise GenericError(f"another part came than was asked for: {span[0]}")
        elif asked is not None:
            raise GenericError("a part came that does not say which")
        elif length.isdecimal():
            self.range = (0, size := int(length))
        else:
            raise GenericError("MissingContentLength")
        try:
            modified = parsedate_to_datetime(header("Last-Modified", "")).astimezone(UTC)
        except ValueError:
            modified = datetime.fromtimestamp(0, UTC)
        tag = header("ETag", "")
        self.meta: dict[str, Any] = {
            "path": path,
            "size": size,
            "last_modified": modified,
            "e_tag": tag if tag and tag.isascii() else None,
        }

    async def bytes_async(self) -> bytes:
        """Return all bytes of the answer."""
        return b"".join([piece async for piece in self.stream(self.range[1])])

    async def stream(self, min_chunk_size: int = _PIECE) -> AsyncIterator[bytes]:
        """Yield the bytes piece by piece."""
        from aiohttp import ClientError

        left, sign = self.range[1] - self.range[0], ""
        try:
            while left:
                wanted = min(max(min_chunk_size, 1), left)
                piece = await self._response.content.readexactly(wanted)
                left -= len(piece)
                yield piece
        except (ClientError, OSError, EOFError) as error:
            sign = type(error).__name__
        finally:
            if left:
                self._response.close()
        if sign:
            raise GenericError(f"body error: {sign}")

    def __del__(self) -> None:
        if not self._response.closed:
            post(self._loop, self._response.close)


async def beginning(response: ClientResponse) -> bytes:
    """Return what an answer begins with; if that is all, its connection can be used again."""
    from aiohttp import ClientError

    try:
        return await response.content.readexactly(_MOST_SAID)
    except asyncio.IncompleteReadError as error:
        return error.partial
    except (ClientError, OSError):
        return b""
    finally:
        response.close()


async def refusal(response: ClientResponse) -> Exception:
    """Return the error that obstore would raise for an answer that is none."""
    kinds: dict[int, type[Exception]] = {
        401: UnauthenticatedError,
        403: PermissionDeniedError,
        404: FileNotFoundError,
    }
    words = (await beginning(response)).decode("utf-8", "replace")
    text = f"Server returned non-2xx status code: {response.status} {response.reason}: {words}"
    return kinds.get(response.status, GenericError)(text)


def range_header(span: Any) -> str:
    """Return what asks for obstore's ``range``."""
    if isinstance(span, dict):
        return f"bytes=-{span['suffix']}" if "suffix" in span else f"bytes={span['offset']}-"
    return f"bytes={span[0]}-{span[1] - 1}"


def _range_of(span: Any, size: int) -> tuple[int, int]:
    if isinstance(span, dict):
        return span["offset"] if "offset" in span else max(0, size - span["suffix"]), size
    return span[0], min(span[1], size)


def post(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    """Have a loop call a function soon, from any thread; once it has ended, never."""
    with contextlib.suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(function)
