"""Errors for the person who pasted the link: what failed, where, why, and what to try.

::

    CloudError
    ├── LinkError            the text is no link we understand
    ├── UnreachableError     no answer: DNS, refused connection, TLS, time-out
    ├── AccessRefusedError   the server answered 401 or 403
    │   └── CredentialsError it knows the credentials, and they have run out or are wrong
    ├── NotFoundError        the server answered, and there is nothing there
    ├── ServerError          5xx, 429, or an answer that makes no sense
    ├── MetadataError        something is there, but its metadata cannot be read
    │   ├── NotOmeZarrError  it is readable, and no OME-Zarr
    │   └── UnsupportedError it is OME-Zarr of a kind that is not supported (yet)
    ├── ChunkError           pixels that cannot be read or decoded
    │   └── StoppedError     pixels that the person did not want to wait for
    ├── RegionError          a region that does not touch the image, or is too large
    ├── OperationError       an operation that cannot run on what it was given
    │   └── FunctionNotFoundError  its function is not to be found in this process
    ├── WriteError           something that cannot be written, or not there
    │   ├── ExistsError      something is there already, and was not to be overwritten
    │   └── ChangedError     somebody else has changed it meanwhile
    └── WouldBlockError      a blocking call on a thread that must never wait

Fields come first, the sentence last: the window, the shell and Python show the same ``str()``.
``where`` is always a display form without credentials or query strings.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AccessRefusedError",
    "ChangedError",
    "ChunkError",
    "CloudError",
    "CredentialsError",
    "ExistsError",
    "FunctionNotFoundError",
    "LinkError",
    "MetadataError",
    "NotFoundError",
    "NotOmeZarrError",
    "OperationError",
    "RegionError",
    "ServerError",
    "StoppedError",
    "UnreachableError",
    "UnsupportedError",
    "WouldBlockError",
    "WriteError",
]


class CloudError(Exception):
    """Base of everything this package raises on purpose.

    Parameters
    ----------
    what
        What failed, as the beginning of a sentence: ``"Could not read the metadata"``.
    where
        Display form of the location; never holds a secret.
    key
        The path below ``where`` that was asked for.
    status
        HTTP status, when a server answered.
    why
        The cause, as far as known.
    hint
        What the person can try.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        key: str | None = None,
        status: int | None = None,
        why: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.key = key
        self.status = status
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        place = f" at {self.where}" if self.where else ""
        if self.key:
            place += f" (key {self.key})"
        why = f": {self.why}" if self.why else ""
        if self.status is not None and str(self.status) not in why:
            why += f" (status {self.status})"
        hint = f" {self.hint}" if self.hint else ""
        return f"{self.what}{place}{why}.{hint}"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions pickle by positional args; ours carry keywords (dask workers send them home).
        return _rebuild, (type(self), self.what, self._fields())

    def __copy__(self) -> CloudError:
        # Without its traceback, which holds what it was raised in. Said here, since tblib, which
        # comes with distributed, would otherwise copy that too.
        return _rebuild(type(self), self.what, self._fields())

    def _fields(self) -> dict[str, Any]:
        return {
            "where": self.where,
            "key": self.key,
            "status": self.status,
            "why": self.why,
            "hint": self.hint,
        }


def _rebuild(kind: type[CloudError], what: str, fields: dict[str, Any]) -> CloudError:
    return kind(what, **fields)


class LinkError(CloudError):
    """The text is no link or path that we understand."""


class UnreachableError(CloudError):
    """Nobody answered: unknown host, refused connection, TLS failure or time-out."""


class AccessRefusedError(CloudError):
    """The server answered 401 or 403 for something that is needed."""


class CredentialsError(AccessRefusedError):
    """The credentials themselves are not accepted: they have run out, or are wrong."""


class NotFoundError(CloudError):
    """The server answered, and there is nothing at this place."""


class ServerError(CloudError):
    """The server failed (5xx, 429) or answered something that makes no sense."""


class MetadataError(CloudError):
    """Metadata are there and cannot be understood: broken JSON, an HTML page, wrong types."""


class NotOmeZarrError(MetadataError):
    """What is there can be read, and is no OME-Zarr."""


class UnsupportedError(MetadataError):
    """It is OME-Zarr, of a kind that is not supported; ``why`` names the kind."""


class ChunkError(CloudError):
    """Pixels that cannot be read or decoded; ``key`` names the chunk."""


class StoppedError(ChunkError):
    """Pixels whose loading the person has stopped; they come when they are asked for again."""


class RegionError(CloudError):
    """A region that does not touch the image, or is larger than allowed."""


class OperationError(CloudError):
    """An operation that cannot run on what it was given; ``why`` says what it needs."""


class FunctionNotFoundError(OperationError):
    """The function of an operation is not in this process; it may be in the one that sent it."""


class WriteError(CloudError):
    """Something that cannot be written, or not in this way or to this place."""


class ExistsError(WriteError):
    """Something is there already, and was not to be overwritten; ``why`` names it."""


class BusyError(WriteError):
    """Somebody else is writing there at this moment; ``why`` says who."""


class ChangedError(WriteError):
    """Somebody else has changed it since it was read; theirs is there, and nothing was written."""


class WouldBlockError(CloudError):
    """A blocking call on the engine's own loop or pools, where waiting would deadlock."""
