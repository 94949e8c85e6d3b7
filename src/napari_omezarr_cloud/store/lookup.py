"""One small document that a service is asked for: bounded in size and time, and cancellable."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError, NotFoundError, ServerError, UnreachableError
from napari_omezarr_cloud.store.clients import build_obstore
from napari_omezarr_cloud.store.failures import translate
from napari_omezarr_cloud.store.place_access import ready, settled

if TYPE_CHECKING:
    from napari_omezarr_cloud.location import Location

__all__ = ["ask"]

_MOST_BYTES = 5_000_000
_LONGEST_S = 20.0


async def ask(
    location: Location, reason: str, *, longest_s: float = _LONGEST_S, most_bytes: int = _MOST_BYTES
) -> str:
    """Return the text that a service answers; runs on the I/O loop.

    Parameters
    ----------
    location
        What to ask for.
    reason
        What for, as the end of "asked … for …"; shown when it fails.
    longest_s, most_bytes
        Seconds to wait, and bytes to take.

    Raises
    ------
    NotFoundError
        If there is nothing at this place.
    UnreachableError, AccessRefusedError, ServerError
        If there is no answer, or none that can be used.
    """
    what = f"Could not look up {reason}"
    folder, key = location.parent(), location.key.rpartition("/")[2]
    if folder is None or not key:
        raise NotFoundError(what, where=str(location), why="the link names nothing to ask for")
    await ready(folder)
    folder = settled(folder)
    store = build_obstore(folder, anonymous=folder.access.anonymous is not False)
    try:
        async with asyncio.timeout(longest_s):
            answer = await store.get_async(key)
            data = bytearray()
            async for piece in answer.stream():
                data += piece
                if len(data) > most_bytes:
                    raise ServerError(
                        what,
                        where=str(location),
                        why=f"the answer is larger than {most_bytes} bytes",
                    )
        return data.decode("utf-8", "replace")
    except TimeoutError:
        failure: CloudError = UnreachableError(
            what,
            where=str(location),
            why=f"asked {location}, and no answer came within {longest_s:g} s",
            hint="Try again later, or paste the link of the image itself.",
        )
    except Exception as error:  # obstore's own, of many types
        failure = translate(error, what, location, "")
        if not isinstance(failure, ServerError) or failure is not error:
            failure.why = f"asked {location} for {reason}, and {failure.why}"
            failure.hint = failure.hint or "Paste the link of the image itself."
    raise failure
