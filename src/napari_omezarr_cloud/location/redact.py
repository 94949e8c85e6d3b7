"""Take secrets out of text that others wrote: error messages of libraries and servers."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

__all__ = ["hide", "redacted", "redacted_link"]

HIDDEN = "[hidden]"

# The length of a scheme is bounded, or a page of base64 would take minutes.
_URL = r"([A-Za-z][A-Za-z0-9+.-]{0,15})(:/+)([^\s\"'<>`]*)"
# A query starts at "?", also where a library escaped it as part of the key.
_QUERY = r"(?i)\?|%3f"
_PORT = r"(\[[^\]]*\]|[^:]*)(:\d*)?"
_CONTAINER_SCHEMES = ("abfs", "abfss", "az", "wasb", "wasbs")

_ASSIGNED = (
    r"(?i)((?:signature|credential|access[-_]?key(?:[-_]?id)?|policy|key-pair-id|\bsig"
    r"|\b(?:access_|auth_)?token|\bapi_?key)=|(?:security[-_]token|password|passwd"
    r"|secret[-_]?(?:access[-_]?)?key)[\"']?\s*[=:]\s*[\"']?)(?![\s\[])[^\s&\"'<>,;)]+"
)
_AUTHORIZATION = (
    r"(?i)(authorization[\"']?\s*[:=]\s*[\"']?\w[\w-]*\s+|\bbearer\s+(?=[\w.~+/=-]{20}))[^\s\"',;]+"
)
# S3, GCS and Azure send parts of the signed request, and even the token, back in their errors.
_XML = (
    r"(?is)<(AWSAccessKeyId|GoogleAccessId|SignatureProvided|StringToSign(?:Bytes)?"
    r"|CanonicalRequest(?:Bytes)?|Token-\d+)>.*?(?:</\1>|\Z)"
)
_RUST_QUERY = r'(query|fragment|password): Some\(\s*"[^"]*",?\s*\)'
_RUST_USER = r'username: "[^"]+"'


_hidden: set[str] = set()
_SHORTEST = 6
"""Letters. Shorter words ("1", "true", "b") stand in every text and are no secret."""


def hide(*secrets: str) -> None:
    """Take texts out of all that `redacted` returns from now on: what a person typed as a key."""
    _hidden.update(
        form for text in secrets for form in (text, quote(text, safe="")) if len(text) >= _SHORTEST
    )


def redacted(text: str, query: str = "") -> str:
    """Return ``text`` without the queries, user names and passwords of the links in it.

    And without what `hide` was told of.

    Parameters
    ----------
    text
        Anything a person may get to see: a library's error message, a server's answer.
    query
        A ``Location.query``; it and its values are removed wherever they stand, in links or not.

    Returns
    -------
    str
        The text, with ``[hidden]`` where something was taken out. Ordinary text is unchanged.
    """
    for secret in [*_values(query), *sorted(_hidden, key=len, reverse=True)]:
        text = text.replace(secret, HIDDEN)
    text = re.sub(_XML, rf"<\1>{HIDDEN}</\1>", text)
    text = re.sub(_RUST_USER, 'username: ""', re.sub(_RUST_QUERY, rf"\1: Some({HIDDEN})", text))
    text = re.sub(_URL, _without_secrets, text)
    text = re.sub(_AUTHORIZATION, rf"\1{HIDDEN}", text)
    return re.sub(_ASSIGNED, rf"\1{HIDDEN}", text)


def redacted_link(text: str) -> str:
    """Return what can be shown of a link that could not be understood: rather less than more."""
    shown = redacted(re.split(_QUERY, text.strip(), maxsplit=1)[0])
    scheme, separator, rest = shown.rpartition("://")
    if "@" in rest:  # a password may hold any character; where it began cannot be told
        rest = rest.rpartition("@")[2]
    shown = "".join(c if c.isprintable() else " " for c in scheme + separator + rest)
    return shown if len(shown) <= 200 else shown[:200] + "…"


def _without_secrets(found: re.Match[str]) -> str:
    scheme, slashes, rest = found.groups()
    head, *query = re.split(_QUERY, rest, maxsplit=1)
    authority, slash, path = head.partition("/")
    user, at, host = authority.rpartition("@")
    if at and not (scheme.lower() in _CONTAINER_SCHEMES and ":" not in user):
        authority = host
    elif scheme.lower() != "file" and not re.fullmatch(_PORT, authority):
        # "user:pa/ss@host", or what is left of it before a "?" in the password.
        authority, path = HIDDEN, path.rpartition("@")[2]
    if scheme.lower().startswith("http"):
        path = path.partition("#")[0]
    mark = f"?{HIDDEN}" if query and query[0] else ""
    return f"{scheme}{slashes}{authority}{slash}{path}{mark}"


def _values(query: str) -> list[str]:
    """Return the query and its values, plain and decoded, the longest first."""
    if not query:
        return []
    values = [query, *(item.partition("=")[2] for item in query.split("&"))]
    both = {form for value in values for form in (value, unquote(value))}
    return sorted((value for value in both if len(value) >= _SHORTEST), key=len, reverse=True)
