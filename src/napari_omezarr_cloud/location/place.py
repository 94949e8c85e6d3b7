"""`Location`: where something is, and `Access`: how to get in. Values only, nothing is opened."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, unquote

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.location.sealed import seal, unseal

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Access", "Kind", "Location", "understood"]

Kind = Literal["s3", "http", "gs", "az", "file"]

# What is taken off both ends of a pasted text.
INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\ufeff"
QUOTES = "\"'`<>“”„‘’‚«»"  # noqa: RUF001
BUCKET_NAME = r"[A-Za-z0-9$_][A-Za-z0-9._-]*"
ZARR_SUFFIX = r"(?i)(\.ome)?\.zarr(\.zip)?$|(\.ome)?\.(ozx|zip)$"

# What would be taken for something else when a shown link is opened again.
_MISREAD = frozenset(QUOTES + " %?#\\^{|}")
_LONGEST_PATH = 4096
_DRIVE = r"[A-Za-z]:/?"


@dataclass(frozen=True)
class Access:
    """How to get in: references only, never a key or a token."""

    anonymous: bool | None = None
    """True: never sign. False: always sign. None: anonymous first, then the environment."""
    profile: str | None = None
    """Name of a profile in the user's cloud configuration."""
    region: str | None = None
    """S3 region; None: to be found out."""
    requester_pays: bool = False
    """Whether the one who asks agrees to pay, not the owner: S3 and Google."""


@dataclass(frozen=True)
class Location:
    """A place that can hold an image; ``str()`` shows it without secrets and can be opened again.

    See Also
    --------
    napari_omezarr_cloud.location.parse_location : the inverse of ``str()`` and `to_text`.
    """

    kind: Kind
    bucket: str
    """S3 or Google bucket, Azure container; empty for ``http`` and ``file``."""
    key: str
    """Decoded key below the bucket, URL path or absolute local path; no slash at its end."""
    endpoint: str | None = None
    """``scheme://host[:port][/path]``; None: Amazon, Google or Azure itself."""
    account: str | None = None
    """Azure storage account."""
    query: str = field(default="", repr=False)
    """Raw query for the requests (SAS, signature, token). Never shown."""
    access: Access = Access()

    def __post_init__(self) -> None:
        seal(self.query)  # before workers of ours are started, which are told what is sealed

    def __reduce__(self) -> tuple[Any, ...]:
        # What is pickled goes to other machines and into files: the query stays here.
        plain = (self.kind, self.bucket, self.key, self.endpoint, self.account)
        return _unpickled, (*plain, seal(self.query), self.access)

    def __str__(self) -> str:
        """Return the form to show and to open again: no query, no secret."""
        if self.kind == "file":
            return self.key if _is_plain_path(self.key) else "file://" + _percent(self.key)
        return self._link(_escaped(self.key, _MISREAD))

    @property
    def name(self) -> str:
        """Last part of the path without ``.ome.zarr``, ``.zarr`` and the like, for a layer."""
        parts = [part for part in self.key.split("/") if part]
        if not parts:
            return self.bucket or (self.endpoint or self.key).partition("://")[2] or self.key
        first = len(parts) - 1
        if parts[-1].isdigit():  # a bare number says nothing: "cells.zarr/0" is called "cells/0"
            zarrs = [i for i, part in enumerate(parts) if re.search(ZARR_SUFFIX, part)]
            first = zarrs[-1] if zarrs else first
        return "/".join(
            [re.sub(ZARR_SUFFIX, "", parts[first]) or parts[first], *parts[first + 1 :]]
        )

    @property
    def has_secret(self) -> bool:
        """Whether requests carry something that ``str()`` leaves out."""
        return bool(self.query)

    def to_text(self) -> str:
        """Return the whole link, *with* the query: for requests only, never to be shown or kept.

        For ``http`` this is the URL to ask for, percent-encoded.
        """
        if self.kind == "file":
            return str(self)
        text = self._link(_percent(self.key))
        return text + ("&" if "?" in text else "?") + self.query if self.query else text

    def child(self, path: str) -> Location:
        """Return the location of ``path`` below this one.

        Parameters
        ----------
        path
            Relative, with ``/``, as metadata name it; taken literally, not percent-decoded.

        Raises
        ------
        MetadataError
            If the path would lead out of this location (``..``, absolute, a URL), encoded or not.
        """
        if reason := _unsafe(path, local=self.kind == "file"):
            raise MetadataError(
                "The metadata name a path that is not followed",
                where=str(self),
                key=_escaped(path[:200]),
                why=f"the path {reason}",
                hint="Only paths below the image itself are opened.",
            )
        parts = [part for part in path.split("/") if part not in ("", ".")]
        base = [self.key.rstrip("/")] if self.key else []
        return replace(self, key="/".join(base + parts)) if parts else self

    def parent(self) -> Location | None:
        """Return the location one part up, or None at the top of bucket, server or file system."""
        if not self.key or (self.kind == "file" and (self.key == "/" or _is_drive(self.key))):
            return None
        head = self.key.rpartition("/")[0]
        if self.kind == "file" and (not head or _is_drive(head)):
            head += "/"
        return replace(self, key=head)

    def covers(self, other: Location) -> bool:
        """Return whether another place is this one or lies below it, on the same server."""
        if (self.kind, self.bucket) != (other.kind, other.bucket):
            return False
        if (self.endpoint, self.account) != (other.endpoint, other.account):
            return False
        key = self.key.rstrip("/")
        return not key or other.key == key or other.key.startswith(f"{key}/")

    def as_s3(self) -> Location | None:
        """Read ``https://host/bucket/key`` as an S3 server's path-style address.

        Returns
        -------
        Location or None
            None where that makes no sense: another kind, no bucket, or a query, since a signed
            link is good for plain requests only.
        """
        bucket, _, key = self.key.partition("/")
        if self.kind != "http" or self.query or not re.fullmatch(BUCKET_NAME, bucket):
            return None
        return replace(self, kind="s3", bucket=bucket, key=key)

    def _link(self, key: str) -> str:
        head = self.endpoint if self.kind == "http" else f"{self.kind}://{self.bucket}"
        options = "&".join(f"{name}={_percent(value)}" for name, value in self._options())
        return f"{head}{'/' if key else ''}{key}{'?' if options else ''}{options}"

    def _options(self) -> Iterator[tuple[str, str]]:
        if self.kind == "http":  # its query belongs to the server
            return
        access = self.access
        if self.endpoint:
            yield "endpoint", self.endpoint
        if self.account:
            yield "account", self.account
        if access.region:
            yield "region", access.region
        if access.profile:
            yield "profile", access.profile
        if access.anonymous is not None:
            yield "anonymous", str(access.anonymous).lower()
        if access.requester_pays:
            yield "requester_pays", "true"


def _unpickled(kind: Kind, bucket: str, key: str, *rest: Any) -> Location:
    endpoint, account, sealed, access = rest
    return Location(kind, bucket, key, endpoint, account, unseal(sealed), access)


def understood(location: Location) -> str:
    """Return one line that says, in words and without secrets, how a link was understood."""
    where = {
        "s3": f"S3 server {location.endpoint}" if location.endpoint else "Amazon S3",
        "http": f"web server {location.endpoint}",
        "gs": f"Google storage at {location.endpoint}"
        if location.endpoint
        else "Google Cloud Storage",
        "az": f"Azure storage account '{location.account}'"
        if location.account
        else f"Azure storage at {location.endpoint}",
        "file": f"local path '{_escaped(location.key)}'",
    }[location.kind]
    if location.kind == "file":
        return where
    container = "container" if location.kind == "az" else "bucket"
    words = [where] + ([f"{container} '{location.bucket}'"] if location.bucket else [])
    if location.key:
        path = _escaped(location.key)
        words.append(f"path '/{path}'" if location.kind == "http" else f"key '{path}'")
    if location.access.region:
        words.append(f"region {_escaped(location.access.region)}")
    return ", ".join([*words, *_way_in(location)])


def _way_in(location: Location) -> Iterator[str]:
    access = location.access
    if access.requester_pays:
        yield "you pay for what is read"
    if location.has_secret:
        yield "with the rest of the link kept for the requests, not shown"
    elif access.anonymous:
        yield "anonymous"
    elif access.profile:
        yield f"profile '{_escaped(access.profile)}'"
    elif access.anonymous is False:
        yield "with the environment's credentials"
    elif location.kind != "http":
        yield "anonymous first, then the environment's credentials"


def _unsafe(path: str, *, local: bool) -> str:
    """Return why a path from metadata must not be followed, or an empty string."""
    if len(path) > _LONGEST_PATH:
        return "is longer than any store allows"
    if re.search("[\ud800-\udfff]", path):
        return "holds characters that are no text"
    decoded = path
    while (more := unquote(decoded)) != decoded:  # "%252e%252e" is ".." for some servers
        decoded = more
    for form in (path, decoded):
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", form) or (local and re.match("[A-Za-z]:", form)):
            return "is a link to another place"
        if form.startswith("/") or (local and "\\" in form):
            return "is not relative"
        if ".." in form.split("/"):
            return "leads out with '..'"
        if "\0" in form:
            return "holds a null character"
    return ""


def _escaped(key: str, also: frozenset[str] = frozenset()) -> str:
    """Escape what deceives the eye (controls, invisible characters) and what is in ``also``."""
    return "".join(c if c.isprintable() and c not in also else _percent(c) for c in key)


def _percent(text: str) -> str:
    # surrogateescape keeps bytes that are no UTF-8; "+" is escaped, as S3 would read a blank.
    safe = "/~!$()*,;=:@"
    try:
        return quote(text, safe=safe, errors="surrogateescape")
    except UnicodeEncodeError:  # half a character, which Windows allows in file names
        return quote(text, safe=safe, errors="replace")


def _is_plain_path(path: str) -> bool:
    return path.isprintable() and path == path.strip()


def _is_drive(path: str) -> bool:
    return bool(re.fullmatch(_DRIVE, path))
