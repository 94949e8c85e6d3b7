"""One JSON document, as bytes from a store → a dictionary, or an error that says what came.

What arrives under a metadata key is not always metadata: sign-in pages, cut downloads, gzip that
nobody announced. Each gets a sentence of its own, since the person can do something different
about each.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from typing import Any

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff.values import listed, shown

__all__ = ["MAX_DOCUMENT_BYTES", "Document", "parse_document", "parse_json"]

MAX_DOCUMENT_BYTES = 32 * 2**20
"""Larger documents are refused; consolidated metadata of a large plate are below 20 MB."""

_MOST_CONTAINERS = 2_000_000
"""Objects and lists of one document. Each takes up to 200 bytes of memory for two of text; a list
of the colours of a million labels has as many."""

_MAX_DEPTH = 100
"""Deeper nesting is refused here, so that nothing later need fear recursion."""

_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_WHAT = "Could not read the metadata"
_HINT = "Check the file, or ask those who wrote it; it may have been cut while it was copied."


@dataclass(frozen=True)
class Document:
    """A metadata document that could be read."""

    content: dict[str, Any] = field(hash=False)
    """The JSON object."""
    notes: tuple[str, ...] = ()
    """What was odd about it and tolerated, in sentences for a person."""


def parse_json(raw: bytes, *, where: str, key: str) -> dict[str, Any]:
    """Return the JSON object that a metadata document holds.

    Parameters
    ----------
    raw
        The document's bytes. A byte order mark, gzip without announcement and keys that repeat
        are tolerated (:func:`parse_document` also says so in notes).
    where
        Display form of the location, for messages.
    key
        The document's path below `where`.

    Returns
    -------
    dict
        The JSON object; ``NaN`` and ``Infinity`` are read as floats, as zarr writes them.

    Raises
    ------
    MetadataError
        If it is empty, larger than 32 MiB, of more than two million lists and objects, not UTF-8,
        an HTML page, no complete JSON, nested more than 100 deep, or no object. Names `key` and
        what was found.
    """
    return parse_document(raw, where=where, key=key).content


def parse_document(raw: bytes, *, where: str, key: str) -> Document:
    """Return the JSON object of a metadata document with notes on what was tolerated.

    Parameters and errors are those of :func:`parse_json`.
    """
    notes: list[str] = []
    try:
        text = _text(raw, key, notes)
        content = _loads(text, key, notes)
    except _UnreadableError as error:
        raise MetadataError(
            _WHAT, where=where, key=key, why=error.why, hint=error.hint or _HINT
        ) from error.__cause__
    return Document(content, tuple(notes))


class _UnreadableError(Exception):
    """Why a document cannot be read; becomes a MetadataError with its place."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint


def _text(raw: bytes, key: str, notes: list[str]) -> str:
    if raw.startswith(_GZIP):
        raw = _gunzip(raw)
        notes.append(f"{key} is gzip-compressed without saying so; it was unpacked.")
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise _UnreadableError(f"the document is too large ({len(raw):,} bytes, limit 32 MiB)")
    if raw.startswith(_BOM):
        raw = raw[len(_BOM) :]
        notes.append(f"{key} begins with a byte order mark (BOM); it was skipped.")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise _UnreadableError(
            f"the JSON is not UTF-8 (byte {raw[error.start]:#04x} at position {error.start})"
        ) from error


def _gunzip(raw: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        # Bounded, because a few KB of gzip can stand for gigabytes.
        unpacked = unpacker.decompress(raw, MAX_DOCUMENT_BYTES + 1)
    except zlib.error as error:
        raise _UnreadableError(f"it looks like gzip and cannot be unpacked ({error})") from error
    if not unpacker.eof and len(unpacked) <= MAX_DOCUMENT_BYTES:
        raise _UnreadableError("the gzip data end in the middle")
    return unpacked


def _loads(text: str, key: str, notes: list[str]) -> dict[str, Any]:
    start = text[:1000].lstrip()
    if not start and not text.strip():
        raise _UnreadableError("the document is empty, where JSON was expected")
    if start.startswith("<"):
        raise _markup(start)
    if (count := text.count("[") + text.count("{")) > _MOST_CONTAINERS:
        raise _UnreadableError(f"the JSON is too large ({count:,} lists and objects)")
    repeated: dict[str, None] = {}

    def as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            for name, _ in pairs:
                if name in seen:
                    repeated[name] = None
                seen.add(name)
        return found

    try:
        content = json.loads(text, object_pairs_hook=as_object)
    except json.JSONDecodeError as error:
        raise _UnreadableError(_json_trouble(text, error)) from error
    except ValueError as error:  # an integer of thousands of digits
        raise _UnreadableError(f"this is no usable JSON ({error})") from error
    except RecursionError:
        raise _UnreadableError("the JSON is nested too deep") from None
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else "a single value"
        raise _UnreadableError(f"the JSON is {kind} ({shown(content)}), not an object")
    if _is_deeper(content, _MAX_DEPTH):
        raise _UnreadableError(f"the JSON is nested too deep (more than {_MAX_DEPTH} levels)")
    if repeated:
        names = listed(shown(name) for name in repeated)
        notes.append(f"{key} holds duplicate keys ({names}); the last one of each counts.")
    return content


def _markup(start: str) -> _UnreadableError:
    if start[:200].lower().startswith(("<?xml", "<error")):
        return _UnreadableError(
            "the server sent an XML message where JSON was expected",
            "Check the link; storage servers answer like this when a key is wrong or refused.",
        )
    return _UnreadableError(
        "the server sent an HTML page where JSON was expected",
        "Open the link in a browser: it may lead to a sign-in page or to a web application.",
    )


def _json_trouble(text: str, error: json.JSONDecodeError) -> str:
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return f"the JSON ends in the middle (after {len(text):,} characters)"
    place = f"line {error.lineno}, column {error.colno}"
    return f"this is no JSON: {error.msg} at {place}, near {shown(text[error.pos :][:20])}"


def _is_deeper(content: dict[str, Any], limit: int) -> bool:
    """Walk breadth first, so that the walk itself does not recurse."""
    level: list[Any] = [content]
    for _ in range(limit):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True
