"""Whether a viewer's link can be shown and kept as it was pasted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from napari_omezarr_cloud.links.link import Link
    from napari_omezarr_cloud.links.pasted import Pasted

__all__ = ["is_fit_to_keep"]

_LONGEST = 8192
_WORDS = (
    r"(?i)(?:token|signature|\bsig|credential|secret|passw(?:or)?d|api[-_]?key|access[-_]?key"
    r"|authorization|bearer|policy|key-pair-id)[\w-]*[\"']?\s*[=:]"
)
_INNER_QUERY = r"://[^\s\"',|#?]*\?(?!dimension_separator=)[^\s\"',|#]"
_USER = r"(?i)://[^/\s\"'?#]*@"


def is_fit_to_keep(link: Pasted, found: Link) -> bool:
    """Return whether a link holds, as far as can be told, no secret, and is not too long to list.

    A view may name places that are not opened, so that the text itself is looked through: for
    words that come with secrets, for users, and for queries of the links in it.
    """
    if len(link.text) > _LONGEST or not link.text.isprintable():
        return False
    if any(source.location.has_secret for source in found.sources):
        return False
    asked = found.lookup.location.query if found.lookup is not None else ""
    if asked and asked in link.text:  # what we ask for ourselves is no secret
        return False
    text = link.text
    while (plain := unquote(text)) != text:
        text = plain
    # The query of the viewer's own link is no secret by itself: "?source=" stands there.
    inner = text.partition("?" if link.query else "#")[2] if link.host else text
    return not (re.search(_WORDS, text) or re.search(_USER, text) or re.search(_INNER_QUERY, inner))
