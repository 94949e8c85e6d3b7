"""Links opened lately, kept between starts beside napari's settings; never with a secret."""

from __future__ import annotations

import json
from pathlib import Path

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.links import Link, read_link
from napari_omezarr_cloud.settings import replace_json

__all__ = ["recent_links", "remember"]

_FILE = "napari-omezarr-cloud-recent.json"
_MOST = 12
# Where napari keeps no settings (NAPARI_CONFIG=""), links last as long as the process.
_unsaved: list[str] = []


def recent_links() -> list[str]:
    """Return the links opened lately, the last one first, in the form that can be shown.

    A link that was opened with a signature or token comes back without it. A file that cannot be
    read, or was changed by hand into something else, is no reason to fail: then there are fewer.
    """
    file = _file()
    texts = list(_unsaved) if file is None else _read(file)
    return list(dict.fromkeys(shown for text in texts if (shown := _shown(text))))[:_MOST]


def remember(link: Link) -> None:
    """Put a link at the top of the list; of one that may hold a secret, the place it leads to."""
    links = [link.text or str(link.sources[0].location), *recent_links()]
    links = list(dict.fromkeys(links))[:_MOST]
    file = _file()
    if file is None:
        _unsaved[:] = links
    else:
        _write(file, links)


def _file() -> Path | None:
    from napari.settings import get_settings

    settings = get_settings().config_path
    return Path(settings).parent / _FILE if settings else None


def _shown(text: object) -> str:
    """Return the form of a stored text that can be shown; empty if there is none."""
    try:
        link = read_link(text, environ={}) if isinstance(text, str) else Link()
    except CloudError:
        return ""
    return link.text or (str(link.sources[0].location) if link.sources else "")


def _read(file: Path) -> list[str]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    links = content.get("links") if isinstance(content, dict) else None
    return links if isinstance(links, list) else []


def _write(file: Path, links: list[str]) -> None:
    """Keep the links for their owner only: bucket names may be private too."""
    try:
        replace_json(file, {"version": 1, "links": links})
    except OSError:
        # A full or read-only disk must not keep an image from being shown.
        _unsaved[:] = links
