"""obstore's errors, turned into ours in one place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from obstore.exceptions import (
    BaseError,
    GenericError,
    NotSupportedError,
    PermissionDeniedError,
    UnauthenticatedError,
)

from napari_omezarr_cloud.errors import (
    AccessRefusedError,
    CloudError,
    LinkError,
    NotFoundError,
    ServerError,
    UnreachableError,
)

if TYPE_CHECKING:
    from napari_omezarr_cloud.location import Location

__all__ = ["is_broken_answer", "translate"]

_SIGNS = (
    # (what obstore's text holds, why, hint); the first that fits
    (("dns error", "failed to lookup", "resolve"), "no such host", "Check the host's name."),
    (("connection refused",), "the connection was refused", "Is the server running, on this port?"),
    (("certificate", "tls"), "the encrypted connection failed", "Check https and certificates."),
    (("timed out", "timeout"), "the server did not answer in time", "Try again later."),
    (
        ("connection reset", "connection closed", "broken pipe"),
        "the connection broke",
        "Try again.",
    ),
    (("error sending request",), "the server cannot be reached", "Check the link and the network."),
)


def is_broken_answer(error: BaseException) -> bool:
    """Tell whether an answer began and broke off, so that asking again may help."""
    return isinstance(error, GenericError) and "body error" in str(error)


def translate(error: Exception, what: str, location: Location, key: str) -> CloudError:
    """Return our error for one of obstore's; its text, which may hold a query, is not kept."""
    if isinstance(error, CloudError):
        return error
    place: dict[str, Any] = {"where": str(location), "key": key}
    if isinstance(error, FileNotFoundError):
        return NotFoundError(what, **place, why="there is nothing there", hint="Check the link.")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError):
        return _refused(error, what, location, key)
    if isinstance(error, ValueError) and not isinstance(error, BaseError):
        return LinkError(what, **place, why="the key is not a valid path")
    if isinstance(error, NotSupportedError):
        return ServerError(what, **place, why="the server cannot send parts of a file")
    return _generic(error, what, place)


def _refused(error: Exception, what: str, location: Location, key: str) -> AccessRefusedError:
    status = 401 if isinstance(error, UnauthenticatedError) else 403
    if location.kind == "file":
        return AccessRefusedError(
            what, where=str(location), key=key, why="you may not read this file"
        )
    return AccessRefusedError(
        what,
        where=str(location),
        key=key,
        status=status,
        why=f"the server refused access ({status})",
        hint="Is it public? If not, give a profile or credentials in the environment; "
        "a link with a token may have expired.",
    )


def _generic(error: Exception, what: str, place: dict[str, Any]) -> CloudError:
    text = str(error).lower()
    status = re.search(r"non-2xx status code: (\d{3})", text)
    if "redirect without location" in text:
        why, hint = "the bucket is in another region", "Give its region."
        return ServerError(what, **place, status=301, why=why, hint=hint)
    if status:
        code = int(status.group(1))
        why = f"the server answered {code}"
        hint = "It is overloaded or broken; try again later." if code >= 429 else "Check the link."
        return ServerError(what, **place, status=code, why=why, hint=hint)
    if is_broken_answer(error):
        return ServerError(
            what, **place, why="the answer broke off before its end", hint="Try again later."
        )
    for signs, why, hint in _SIGNS:
        if any(sign in text for sign in signs):
            return UnreachableError(what, **place, why=why, hint=hint)
    why = f"the server's answer made no sense ({type(error).__name__})"
    return ServerError(what, **place, why=why, hint="Check the link.")
