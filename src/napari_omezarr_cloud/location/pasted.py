"""What was pasted → the parts of a link, or the text of a local path. Knows no clouds."""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.location.place import INVISIBLE, QUOTES, ZARR_SUFFIX
from napari_omezarr_cloud.location.redact import redacted_link

__all__ = ["WINDOWS_PATH", "Link", "decoded", "group_key", "origin_of", "parts_of", "refused"]

WINDOWS_PATH = r"[A-Za-z]:[\\/]|\\\\"

_KNOWN = "Links can start with s3://, https://, gs://, az://, abfs:// or file://."
_SCHEMES: dict[str, str] = {
    **dict.fromkeys(("s3", "s3a", "s3n", "s3+https", "s3+http"), "s3"),
    **dict.fromkeys(("gs", "gcs"), "gs"),
    **dict.fromkeys(("az", "abfs", "abfss", "wasb", "wasbs"), "az"),
    **dict.fromkeys(("http", "https"), "http"),
}
_SCHEME = r"(?s)([A-Za-z][A-Za-z0-9+.-]*):(/+)(.*)"
_PAIRS = ('""', "''", "``", "<>", "“”", "„“", "‘’", "«»")  # noqa: RUF001
_AUTHORITY = r"(\[[0-9A-Fa-f:.]+\]|[^\s:/?#@\[\]\\%\"'<>^`{|}]+?)\.?(?::(\d{0,5}))?"
_NUMERIC = r"\d+\.\d+\.\d+\.\d+"
_BARE_HOST = r"(localhost|[\w-]+(?:\.[\w-]+)+)(:\d{1,5})?/"
_DOMAINS = ("com", "org", "net", "edu", "gov", "io", "eu")
_METADATA = r"/(?:(?:s?0/)?zarr\.json|\.zattrs|\.zgroup|\.zmetadata|(\.zarray))$"


class Link(NamedTuple):
    """The parts of a link, still percent-encoded, without a fragment."""

    kind: str
    """``s3``, ``http``, ``gs`` or ``az``."""
    scheme: str
    authority: str
    path: str
    query: str
    shown: str
    """The link as an error may show it."""


def parts_of(text: str) -> Link | str:
    """Return the parts of a pasted link, or the text of a local path.

    Raises
    ------
    LinkError
        If there is nothing, a scheme we do not know, or a user name or password.
    """
    text = _unwrapped(text)
    if not text:
        raise LinkError("No link was given", hint="Paste a link such as s3://bucket/image.zarr.")
    if "\0" in text:
        raise refused(text, "it holds a null character")
    bare = text.strip(QUOTES + INVISIBLE + " \t\r\n")  # also a quote that lost its partner
    found = re.fullmatch(_SCHEME, bare)
    scheme = found[1].lower() if found else ""
    if found and scheme == "file":
        return _path_of_file_url(found[2], found[3], bare)
    if found and scheme in _SCHEMES:
        return _split(scheme, found[3], bare)
    if found and len(found[2]) > 1 and len(scheme) > 1:
        raise refused(bare, f"'{scheme}' is no scheme we know", _KNOWN)
    if scheme := _missing_scheme(bare):
        return _split(scheme, bare, bare)
    if "://" in text or _SCHEMES.keys() & text.lower().split(":")[:-1]:
        # A spoilt link may hold a token, which would be shown, were it taken for a path.
        raise refused(text, "it looks like a link and is none", _KNOWN)
    return text


def decoded(text: str) -> str:
    """Return a percent-decoded text; bytes that are no UTF-8 are kept as surrogates."""
    raw = unquote_to_bytes(text.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "surrogateescape")


def group_key(key: str) -> str:
    """Return the group's key when that of its metadata, or of its first level's, was pasted."""
    key = "/" + key
    while found := re.search(_METADATA, key):
        key = key[: found.start()]
        if found[1] and not re.search(ZARR_SUFFIX, key):  # "x.zarr/0/.zarray": the array, its group
            key = key.rpartition("/")[0]
    return key[1:]


def origin_of(scheme: str, authority: str, shown: str) -> tuple[str, str, bool]:
    """Return ``scheme://host[:port]``, the host in lower case, and whether a port is named.

    An empty scheme means ``http`` for this computer and for numbers, ``https`` for names.
    """
    found = re.fullmatch(_AUTHORITY, authority)
    if not found or not authority.isprintable() or int(found[2] or 0) > 65535:
        why = "its host name cannot be understood" if authority else "it names no host"
        raise refused(shown, why)
    host, port = found[1].lower(), found[2] or ""
    scheme = scheme or ("http" if host == "localhost" or re.fullmatch(_NUMERIC, host) else "https")
    if port == {"https": "443", "http": "80"}[scheme]:
        port = ""
    return f"{scheme}://{host}{':' if port else ''}{port}", host, bool(port)


def refused(text: str, why: str, hint: str = "") -> LinkError:
    """Return the error for a link that cannot be opened; what it shows of ``text`` is redacted."""
    return LinkError("The link cannot be opened", where=redacted_link(text), why=why, hint=hint)


def _unwrapped(text: str) -> str:
    """Take off blanks, and the quotes and brackets that stand at both ends."""
    while True:
        tidy = text.strip().strip(INVISIBLE)
        if tidy[:1] + tidy[-1:] in _PAIRS:
            tidy = tidy[1:-1]
        if tidy == text:
            return text
        text = tidy


def _missing_scheme(text: str) -> str:
    """Return the scheme to add to a text that starts like a host, or an empty string."""
    found = re.match(_BARE_HOST, text)
    if not found:
        return ""
    host, port = found[1].lower(), found[2]
    if host == "localhost" or re.fullmatch(_NUMERIC, host):
        return "http" if port or host != "localhost" else ""
    *rest, last = host.split(".")
    country = len(last) == 2 and last.isalpha() and len(rest) > 1
    return "https" if port or rest[0] == "www" or last in _DOMAINS or country else ""


def _split(scheme: str, rest: str, text: str) -> Link:
    kind, shown = _SCHEMES[scheme], redacted_link(text)
    if re.search(r"[\r\n]\s*\S+?:/", rest):
        raise refused(shown, "there is more than one link in the text", "Paste one at a time.")
    if re.search("[\ud800-\udc7f\udd00-\udfff]", rest):  # all but Python's stand-ins for bytes
        raise refused(shown, "it holds characters that are no text")
    # A link that was broken over lines, or by a web page at invisible characters.
    rest = re.sub("\\s*[\r\n]\\s*|[\u00ad\u200b\u2060\ufeff]", "", rest)
    if kind == "http":
        rest = rest.partition("#")[0]
    head, _, query = rest.partition("?")
    authority, _, path = head.partition("/")
    user, at, _ = authority.rpartition("@")
    if at and (kind != "az" or ":" in user):
        raise LinkError(
            "The link holds a user name or a password",
            where=shown,
            why="these would end up in logs and shared links",
            hint="Remove them, and use a profile or the system's keyring.",
        )
    # Dropped links come with bare blanks (Qt decodes them); requests need them escaped.
    query = quote(query, safe="%/?:@!$&()*+,;=-._~[]|^{}\\", errors="surrogateescape")
    return Link(kind, scheme, authority, path, query, shown)


def _path_of_file_url(slashes: str, rest: str, text: str) -> str:
    path = decoded(rest)
    if re.match(WINDOWS_PATH, path) and (len(slashes) == 2 or os.name == "nt"):
        return path
    if len(slashes) != 2:
        return "/" * max(len(slashes) - 2, 1) + path
    host, slash, path = path.partition("/")
    if host.lower() in ("", "localhost"):
        return slash + path
    if os.name == "nt":
        return f"//{host}{slash}{path}"
    raise refused(text, "it names a file on another computer")
