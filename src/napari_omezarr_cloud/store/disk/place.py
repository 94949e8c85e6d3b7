"""Where the disk cache is, and how large it is where nobody has said."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from platformdirs import user_cache_path

__all__ = ["cache_folder", "default_max_bytes", "user_folder"]

_NAME = "napari-omezarr-cloud"
_FOLDER = "disk-1"
"""A new number when the files' form changes: old ones are then not looked at."""

_DEFAULT_MAX_BYTES = 10_000_000_000
_DEFAULT_SHARE = 0.1


def user_folder() -> Path:
    """Return ``OMEZARR_CACHE_DIR``, else the user's cache folder for this package."""
    chosen = os.environ.get("OMEZARR_CACHE_DIR", "").strip()
    return Path(chosen).expanduser() if chosen else user_cache_path(_NAME)


def cache_folder() -> Path:
    """Return the folder of the disk cache, in the user's."""
    return user_folder() / _FOLDER


def default_max_bytes(folder: Path, used: int) -> int:
    """Return the smaller of 10 GB and 10 % of what would be free without the cache."""
    free = shutil.disk_usage(folder).free + used
    return min(_DEFAULT_MAX_BYTES, int(free * _DEFAULT_SHARE))
