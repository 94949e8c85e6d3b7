"""What the user chose for the disk cache: in a small file, or in the environment."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path, user_config_path

from napari_omezarr_cloud.settings import replace_json

__all__ = [
    "DiskSettings",
    "cache_folder",
    "default_max_bytes",
    "load_settings",
    "save_settings",
    "saved_settings",
]

_NAME = "napari-omezarr-cloud"
_FOLDER = "disk-1"
"""A new number when the files' form changes: old ones are then not looked at."""

_DEFAULT_MAX_BYTES = 10_000_000_000
_DEFAULT_SHARE = 0.1


@dataclass(frozen=True)
class DiskSettings:
    """What the disk cache may do."""

    max_bytes: int | None = None
    """Most bytes on disk; 0 switches it off; None: the smaller of 10 GB and 10 % of what is free
    without it."""
    private: bool = False
    """Whether what needs credentials, a signed link or a token may be kept on this disk."""


def settings_file() -> Path:
    """Return where the user's choice is written."""
    return user_config_path(_NAME) / "disk-cache.json"


def load_settings() -> DiskSettings:
    """Return the user's choice; variables of the environment count more than the file.

    A file that cannot be read, or holds nonsense, counts as none.
    """
    settings = saved_settings()
    megabytes = os.environ.get("OMEZARR_DISK_CACHE_MB", "").strip()
    if megabytes.isdigit():
        settings = replace(settings, max_bytes=int(megabytes) << 20)
    private = os.environ.get("OMEZARR_DISK_CACHE_PRIVATE", "").strip()
    if private:
        settings = replace(settings, private=private == "1")
    return settings


def saved_settings() -> DiskSettings:
    """Return what is in the user's file, whatever the environment says."""
    try:
        said: Any = json.loads(settings_file().read_bytes())
    except (OSError, ValueError):
        return DiskSettings()
    if not isinstance(said, dict):
        return DiskSettings()
    max_bytes, private = said.get("max_bytes"), said.get("private")
    is_size = isinstance(max_bytes, int) and not isinstance(max_bytes, bool) and max_bytes >= 0
    return DiskSettings(max_bytes if is_size else None, private is True)


def save_settings(settings: DiskSettings) -> None:
    """Write the user's choice, whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    replace_json(settings_file(), asdict(settings))


def cache_folder() -> Path:
    """Return the folder of the cache: below ``OMEZARR_CACHE_DIR``, else the user's cache folder."""
    chosen = os.environ.get("OMEZARR_CACHE_DIR", "").strip()
    base = Path(chosen).expanduser() if chosen else user_cache_path(_NAME)
    return base / _FOLDER


def default_max_bytes(folder: Path, used: int) -> int:
    """Return the smaller of 10 GB and 10 % of what would be free without the cache."""
    free = shutil.disk_usage(folder).free + used
    return min(_DEFAULT_MAX_BYTES, int(free * _DEFAULT_SHARE))
