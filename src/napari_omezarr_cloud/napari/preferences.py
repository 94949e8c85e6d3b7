"""napari's preference for who opens ``.zarr``: ours if the person says so, and never a secret."""

from __future__ import annotations

import re

from napari.settings import get_settings

__all__ = ["PLUGIN", "forget_signed_patterns", "is_default_reader", "set_default_reader"]

PLUGIN = "napari-omezarr-cloud"
"""Our name among napari's readers."""
# napari matches these against the whole link or path: the image itself, what is in it (and local
# folders, to which it adds a slash), and links with a query.
_PATTERNS = ("*.zarr", "*.zarr/*", "*.zarr[?]*")
# What napari's chooser would remember for "x.zarr?sig=…", the signature included.
_SIGNED = r".*\.[^./]*\?.*=.*"


def is_default_reader() -> bool:
    """Tell whether napari opens ``.zarr`` with this plugin without asking."""
    return bool(get_settings().plugins.extension2reader.get(_PATTERNS[0]) == PLUGIN)


def set_default_reader(is_ours: bool) -> None:
    """Make this plugin the one that opens ``.zarr``, or let napari ask again."""
    patterns = dict(get_settings().plugins.extension2reader)
    if is_ours:
        patterns |= dict.fromkeys(_PATTERNS, PLUGIN)
    else:
        patterns = {p: r for p, r in patterns.items() if not (p in _PATTERNS and r == PLUGIN)}
    get_settings().plugins.extension2reader = patterns


def forget_signed_patterns() -> None:
    """Take out what napari's chooser has remembered of links with a query: it is their secret."""
    patterns = get_settings().plugins.extension2reader
    kept = {p: reader for p, reader in patterns.items() if not re.fullmatch(_SIGNED, p)}
    if len(kept) < len(patterns):
        get_settings().plugins.extension2reader = kept
