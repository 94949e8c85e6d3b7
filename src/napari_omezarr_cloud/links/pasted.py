"""A pasted text, taken apart once for all who look at it."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import unquote

from napari_omezarr_cloud.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.location import Location

__all__ = ["AROUND", "LONGEST", "LONGEST_PLAIN", "Pasted", "pasted"]

LONGEST = 2_000_000
"""Characters of a link that holds a whole view. Browsers stop at two million, too."""

LONGEST_PLAIN = 32_768
"""Characters of any other link, and of those inside a view."""

AROUND = "\"'`<>“”„‘’«»\u00ad\u200b\u2060\ufeff \t\r\n"  # noqa: RUF001
"""What may stand around a pasted link."""


@dataclass(frozen=True)
class Pasted:
    """A web link in parts, still percent-encoded; empty parts for any other text."""

    text: str = field(repr=False)
    locate: Callable[[str], Location] = field(repr=False)
    """Text → location, with what the caller said about endpoint and access."""
    host: str = ""
    path: str = ""
    query: str = field(default="", repr=False)
    fragment: str = field(default="", repr=False)

    @cached_property
    def parameters(self) -> dict[str, str]:
        """Decoded words of the query, or of a query inside the fragment; the first of each name."""
        query = self.query or (self.fragment.partition("?")[2] if "?" in self.fragment else "")
        found: dict[str, str] = {}
        for item in query.split("&", 1000)[:1000]:
            name, _, value = item.partition("=")
            found.setdefault(unquote(name), unquote(value))
        return found

    def link_in(self, name: str) -> str:
        """Return the link in a parameter: decoded if it was encoded, else all that belongs to it.

        A link that was pasted into another one without encoding goes on behind its own ``&``.
        """
        found = re.search(rf"(?:^|[&?]){re.escape(name)}=(.*)", self.query or self.fragment, re.S)
        if not found:
            return ""
        raw: str = found[1]
        first, *others = raw.split("&")
        if "?" not in first or not re.match(r"(?i)[a-z][a-z0-9+.-]{0,15}://", first):
            return unquote(first)
        # What follows is the inner link's, up to a word that the outer viewer is known to use.
        inner = itertools.takewhile(lambda word: word.partition("=")[0] not in _OUTER, others)
        return "&".join([first, *inner])


_OUTER = frozenset(
    "acquisition channel_axis colormap model_matrix name opacity schemas viewState well".split()
)


def pasted(text: str, locate: Callable[[str], Location]) -> Pasted:
    """Return a pasted text in parts.

    Raises
    ------
    LinkError
        If it is longer than any link.
    """
    if len(text) > LONGEST:
        raise LinkError("The link cannot be opened", why="it is longer than two million characters")
    tidy = text.strip(AROUND)
    found = re.match(r"(?i)https?:/+", tidy)
    if not found:
        return Pasted(tidy, locate)
    rest, _, fragment = tidy[found.end() :].partition("#")
    head, _, query = rest.partition("?")
    authority, _, path = head.partition("/")
    host = authority.rpartition("@")[2].lower()
    return Pasted(tidy, locate, host, path.strip("/"), query, fragment)
