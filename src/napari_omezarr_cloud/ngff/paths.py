"""Paths that metadata name (levels, labels, wells): checked before anything is asked for."""

from __future__ import annotations

import re
import unicodedata

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff.values import shown

__all__ = ["check_path"]

_MAX_LENGTH = 1024
# Not compiled here, since that would take longer than the rest of the import; re keeps them.
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*:/|[A-Za-z]:"
_ESCAPES = r"(?i:%(2e|2f|5c|25|00))"
_OVERLONG = r"(?i:%(25)*c[01]%)"  # a dot in two bytes, which careless servers decode
_CONTROL = r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]"
_MEANT = {"2e": ".", "2f": "/", "5c": "\\", "25": "%", "00": "\0"}


def check_path(path: object, *, where: str, key: str) -> str:
    """Return a path from metadata, made sure that it stays below the group that names it.

    Parameters
    ----------
    path
        What the metadata hold as ``path``.
    where
        Display form of the group's location, for messages.
    key
        The document that names the path.

    Returns
    -------
    str
        The path without ``./``, doubled or trailing slashes; otherwise as written (blanks,
        ``#``, ``%`` and any letters stay, and are the store's to encode).

    Raises
    ------
    MetadataError
        If it is no text, empty, too long, absolute, a URL or a drive, or holds backslashes,
        control characters or a step upwards, also percent-encoded ones. Names the path.
    """
    trouble = _trouble(path)
    if trouble is None:
        kept = "/".join(part for part in str(path).split("/") if part not in ("", "."))
        # Again, since what is left may be a drive ("./C:") or nothing at all ("./").
        trouble = _trouble(kept)
        if trouble is None:
            return kept
    raise MetadataError(
        "Could not use a path that the metadata name",
        where=where,
        key=key,
        why=f"the path {shown(path)} {trouble}",
        hint="Only paths inside the data set are followed; ask those who wrote it.",
    )


def _trouble(path: object) -> str | None:
    if not isinstance(path, str):
        return "is no text"
    if not path.strip():
        return "is empty"
    if len(path) > _MAX_LENGTH:
        return f"is longer than {_MAX_LENGTH} characters"
    if re.search(_OVERLONG, path):
        return "holds escapes that are no UTF-8"
    # Servers and libraries decode percent signs, some twice: judge what could come out of it.
    for reading in _readings(path):
        if re.search(_CONTROL, reading):
            return "holds control characters"
        if re.match(_SCHEME, reading):
            return "is a link of its own, not a path inside the data set"
        if reading.startswith("/"):
            return "is absolute"
        if "\\" in reading:
            return "holds a backslash"
        if any(_leads_up(part) for part in reading.split("/")):
            return "leads out of the data set"
        if reading is not path and "." in reading.split("/"):
            return "leads back to itself"
    return None


def _readings(path: str) -> list[str]:
    readings = [path]
    while (decoded := re.sub(_ESCAPES, _decoded, readings[-1])) != readings[-1]:
        readings.append(decoded)
    return readings


def _decoded(escape: re.Match[str]) -> str:
    return _MEANT[escape[1].lower()]


def _leads_up(part: str) -> bool:
    # Some servers cut what follows a semicolon, or take dots of other scripts for dots.
    part = unicodedata.normalize("NFKC", part.partition(";")[0])
    # Windows drops trailing dots and blanks, so ".. " and "..." are steps upwards there.
    return len(part) > 1 and part[0] == "." and not part.strip(". ")
