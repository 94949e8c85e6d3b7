"""obstore's errors, turned into ours in one place."""

from __future__ import annotations

import errno
import re
import shlex
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
    CredentialsError,
    LinkError,
    NotFoundError,
    ServerError,
    UnreachableError,
    WriteError,
)
from napari_omezarr_cloud.location import redacted

if TYPE_CHECKING:
    from pathlib import Path

    from napari_omezarr_cloud.location import Location

__all__ = [
    "NoRangesError",
    "PageError",
    "answer_code",
    "disk_refused",
    "is_broken_answer",
    "may_mean_absent",
    "tells_of_bucket",
    "translate",
]

_SIGNS = (
    # (what obstore's text holds, why, hint); the first that fits
    (("dns error",), "no such host", "Check the host's name."),
    (("connectionrefused",), "the connection was refused", "Is the server running, on this port?"),
    (("invalidcertificate",), "the server's certificate is not trusted", "Is it the right host?"),
    (
        ("invalidmessage", "corruptmessage", "alertreceived", "handshake"),
        "the encrypted connection failed",
        "Does the server speak https? Try http, or another port.",
    ),
    (("timedout", "kind: timeout"), "the server did not answer in time", "Try again later."),
    (
        ("connectionreset", "connectionaborted", "brokenpipe", "incompletemessage"),
        "the server closed the connection without an answer",
        "Try again later; perhaps the server speaks https only.",
    ),
    (("without encryption",), "it leads on to an address without https", "Check the link."),
    (("toomanyredirects",), "it leads round in a circle (too many redirects)", "Check the link."),
    (("hyper::error( parse",), "what answers there is no web server", "Check host and port."),
    (("error sending request",), "the server cannot be reached", "Check the link and the network."),
)


class PageError(ServerError):
    """A web page came instead of the file; many servers send one for keys that are not there."""


class NoRangesError(ServerError):
    """The server sends whole files only."""


_ABSENT = frozenset({400, 405, 410, 451})


def may_mean_absent(error: BaseException) -> bool:
    """Tell whether servers answer this for keys that are not there, beside others that are.

    S3 without the right to list refuses them, some gateways find the request bad, and web
    applications send a page.
    """
    if isinstance(error, CredentialsError):
        return False  # else what has run out would turn pixels into blanks
    if isinstance(error, AccessRefusedError | PageError):
        return True
    return isinstance(error, ServerError) and error.status in _ABSENT


def is_broken_answer(error: BaseException) -> bool:
    """Tell whether an answer began and broke off, so that asking again may help."""
    return isinstance(error, GenericError) and "body error" in str(error)


def translate(error: Exception, what: str, location: Location, key: str) -> CloudError:
    """Return our error for one of obstore's, to be raised outside of its ``except`` block.

    obstore's text and debug form hold the whole link, query and all. So its error must be neither
    cause nor context of ours; the cause is its text without what is secret.
    """
    if isinstance(error, CloudError):
        return error
    ours = _ours(error, what, location, key)
    ours.__cause__ = _told(error, location)
    return ours


def _told(error: Exception, location: Location) -> Exception:
    first = str(error).partition("\n\n")[0]
    return RuntimeError(f"{type(error).__name__}: {redacted(first, location.query)}")


def _ours(error: Exception, what: str, location: Location, key: str) -> CloudError:
    place: dict[str, Any] = {"where": str(location), "key": key}
    if (
        location.kind == "file"
        and (found := re.search(_OF_SYSTEM, str(error)))
        and _is_change(what)
    ):
        return _not_written(what, place, found[1], int(found[2]))
    if (ours := _no_bucket(_code(str(error)), what, location, key)) is not None:
        return ours
    if isinstance(error, FileNotFoundError):
        return NotFoundError(what, **place, why="there is nothing there", hint="Check the link.")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError):
        status = 401 if isinstance(error, UnauthenticatedError) else 403
        if _code(str(error)) in _FULL:
            return _full(what, place, status)
        return _refused(status, what, location, key, str(error))
    if isinstance(error, ValueError) and not isinstance(error, BaseError):
        why = "its path holds characters that cannot be asked for"
        return LinkError(what, **place, why=why, hint="Check the link.")
    if isinstance(error, NotSupportedError):
        return NoRangesError(what, **place, why="the server cannot send parts of a file")
    ours = _generic(error, what, place)
    if "dns error" in str(error) and not location.endpoint and location.kind in _ELSEWHERE:
        ours.hint = _ELSEWHERE[location.kind]
    if ours.status == 507 or _code(str(error)) in _FULL:
        return _full(what, place, ours.status)
    if ours.status in (401, 403) or (ours.status and _code(str(error)) in _EXPIRED | _WRONG):
        # A refused listing comes as any other answer; what has run out comes as 400, too.
        return _refused(ours.status, what, location, key, str(error))
    return ours


_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
_WRONG = frozenset(
    {
        "AuthenticationFailed",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
"""Codes of S3, Azure and Google for credentials that are known to be good no more, or never were.
"""
_PASSED = ("request has expired", "signature not valid in the specified time frame")
_PROVIDER = r"External \w+ credential provider: \w+: (.*)"


def _renew(location: Location) -> str:
    profile = location.access.profile
    login = f"aws sso login --profile {shlex.quote(profile)}" if profile else "aws sso login"
    return (
        f"Renew them (`{login}`, your environment, “Access to this place…” in napari, or `omezarr "
        "access set`), then try again: nothing needs to be restarted."
    )


_FULL = frozenset({"InsufficientCapacity", "QuotaExceeded", "XMinioStorageFull"})
_OF_SYSTEM = r"([^:\n]+) \(os error (\d+)\)"
"""What an operating system says, and its number."""
_NO_ROOM = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", 0), 39, 112})
"""Also Windows's own: no more room for a handle, none on the disk."""


_NO_BUCKET = frozenset({"NoSuchBucket", "ContainerNotFound"})
_CLOSED = frozenset({"ResourceNotFound", "PublicAccessNotPermitted"})
"""What Azure says to strangers of private containers, and of accounts that let no strangers in."""
_ELSEWHERE = {
    "s3": "Is it a bucket of Amazon's? Of another server, add ?endpoint=https://… to the link.",
    "az": "Is the name of the storage account right?",
}


def tells_of_bucket(error: BaseException) -> bool:
    """Tell whether "not found" was said of the bucket, and not of the key in it."""
    return _code(str(error)) in _NO_BUCKET | _CLOSED


def _no_bucket(code: str, what: str, location: Location, key: str) -> CloudError | None:
    """Return the error for a bucket or container that is not there; None where it may be."""
    noun = "container" if location.kind == "az" else "bucket"
    if code in _NO_BUCKET:
        server = location.endpoint or _CLOUDS.get(location.kind, "this server")
        if location.kind == "az" and not location.endpoint:
            server = f"the storage account {location.account!r}"
        return NotFoundError(
            what,
            where=str(location),
            key=key,
            status=404,
            why=f"there is no {noun} {location.bucket!r} at {server}",
            hint=f"Check its name, and whether that is its server: a {noun} is never made here.",
        )
    if location.kind == "az" and code in _CLOSED:
        return AccessRefusedError(
            what,
            where=str(location),
            key=key,
            status=404 if code == "ResourceNotFound" else 409,
            why=f"the {noun} is private, or not there: Azure does not say which",
            hint=_SAY_HOW,
        )
    return None


_CLOUDS = {"s3": "Amazon S3", "gs": "Google Cloud Storage"}


def _is_change(what: str) -> bool:
    """Tell whether what failed was to change something, by the beginning of its sentence."""
    return what in ("Could not write", "Could not delete", "Could not copy")


def _full(what: str, place: dict[str, Any], status: int | None) -> WriteError:
    hint = "Make room there, or ask whose it is."
    return WriteError(what, **place, status=status, why="there is no room left", hint=hint)


def disk_refused(path: Path, error: OSError) -> WriteError:
    """Return the error for what a disk did not take; what was written until then is kept."""
    is_full = error.errno in _NO_ROOM or error.errno == errno.EFBIG
    what = "free some room" if is_full else "see that you may write there"
    return WriteError(
        "Could not write",
        where=str(path),
        why=error.strerror or str(error),
        hint=f"What was written is kept; {what}, and begin the same again.",
    )


def _not_written(what: str, place: dict[str, Any], why: str, number: int) -> WriteError:
    hint = "Is it yours to write?"
    if number in _NO_ROOM:
        hint = "Make room on that disk."
    return WriteError(what, **place, why=why.strip().lower(), hint=hint)


def _code(text: str) -> str:
    """Return the code in the error document of S3, Azure or Google; empty where there is none."""
    found = re.search(r"<Code>\s*(\w{1,64})\s*</Code>", text)
    return found.group(1) if found else ""


def answer_code(error: CloudError) -> str:
    """Return the code that the server gave with an error; empty where it gave none."""
    return _code(str(error.__cause__ or ""))


def _credentials(
    status: int, what: str, location: Location, key: str, text: str
) -> CredentialsError | None:
    """Return the error for credentials that are not accepted; None where it is the rights."""
    place: dict[str, Any] = {"where": str(location), "key": key}
    text = text.partition("\n\n")[0]
    if found := re.search(_PROVIDER, text):
        why = redacted(found.group(1), location.query)[:300].rstrip(". ")
        return CredentialsError(
            what, **place, why=f"signing in failed: {why}", hint=_renew(location)
        )
    code = _code(text)
    answer = f"{status}, {code}" if code else str(status)
    place["status"] = status
    if code in _EXPIRED or any(words in text.lower() for words in _PASSED):
        why = f"the credentials have run out ({answer})"
        return CredentialsError(what, **place, why=why, hint=_renew(location))
    if code in _WRONG:
        hint = "The keys are wrong or out of date"
        hint += ", or this computer's clock is." if code == "RequestTimeTooSkewed" else "."
        why = f"the server does not accept the credentials ({answer})"
        return CredentialsError(what, **place, why=why, hint=hint)
    if status == 401 and location.access.anonymous is False:
        why = "the server does not accept the credentials, or no longer (401)"
        return CredentialsError(what, **place, why=why, hint=_renew(location))
    return None


def _refused(status: int, what: str, location: Location, key: str, text: str) -> AccessRefusedError:
    if location.kind == "file":
        return AccessRefusedError(
            what, where=str(location), key=key, why="you may not read this file"
        )
    if (ours := _credentials(status, what, location, key, text)) is not None:
        return ours
    hint = f"Is it public? If not, {_SAY_HOW[:1].lower()}{_SAY_HOW[1:]}"
    bucket = location.as_s3() if _code(text) else None  # web servers have no such codes
    if bucket is not None:
        hint += f" To sign in with S3 keys there, open {bucket}."
    return AccessRefusedError(
        what,
        where=str(location),
        key=key,
        status=status,
        why=f"the server refused access ({status})",
        hint=f"{hint} A link with a token may have expired.",
    )


_SAY_HOW = (
    "Say how to get in: a profile, credentials in the environment, “Access to this place…” in "
    "napari, or `omezarr access set`."
)


_CLOUD_MACHINE = "169.254.169.254"
"""Where a program on a cloud machine asks for its account; elsewhere nobody answers."""


def _generic(error: Exception, what: str, place: dict[str, Any]) -> CloudError:
    if _CLOUD_MACHINE in str(error):
        return AccessRefusedError(
            what,
            **place,
            why="requests were to be signed, and there is nothing to sign with",
            hint="Name a profile, set credentials in the environment, or allow anonymous access.",
        )
    # Without links, whose words must not be taken for the library's.
    text = " ".join(re.sub(r"\S+://\S+", "", str(error)).lower().split())
    status = re.search(r"non-2xx status code: (\d{3})", text)
    moved = 301 if "redirect without location" in text else None
    if "authorizationheadermalformed" in text and "<region>" in text:
        moved = 400
    if moved:
        why = "the bucket is in another region"
        return ServerError(what, **place, status=moved, why=why, hint="Give its region.")
    if "requested range was invalid" in text or (status and status.group(1) == "416"):
        why = "it is shorter than where the part begins that was asked for"
        return ServerError(what, **place, status=416, why=why, hint="The file may be damaged.")
    if status:
        code = int(status.group(1))
        why = f"the server answered {code}"
        hint = "It is overloaded or broken; try again later." if code >= 429 else "Check the link."
        return ServerError(what, **place, status=code, why=why, hint=hint)
    if is_broken_answer(error):
        return ServerError(
            what, **place, why="the answer broke off before its end", hint="Try again later."
        )
    if "missingcontentlength" in text:
        why = "the server does not say how long the file is (no Content-Length)"
        return ServerError(what, **place, why=why, hint="Its settings need to change.")
    for signs, why, hint in _SIGNS:
        if any(sign in text for sign in signs):
            return UnreachableError(what, **place, why=why, hint=hint)
    why = f"the server's answer made no sense ({type(error).__name__})"
    return ServerError(what, **place, why=why, hint="Check the link.")
