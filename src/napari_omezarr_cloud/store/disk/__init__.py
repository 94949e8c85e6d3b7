"""The disk cache: bytes that were once asked for, kept for this user's next programs.

``stamp`` says when bytes still count, ``entry`` how one lies in its file, ``ledger`` which there
are and which goes first, ``cache`` brings them together for a process, ``settings`` is what the
user chose. Why it is built so: docs/explanation/disk-cache.md.
"""

from napari_omezarr_cloud.store.disk.cache import (
    DiskCache,
    Usage,
    disk_cache,
    is_switched_off,
    use_settings,
)
from napari_omezarr_cloud.store.disk.ledger import Kept, KeptWish
from napari_omezarr_cloud.store.disk.settings import DiskSettings, load_settings, saved_settings

__all__ = [
    "DiskCache",
    "DiskSettings",
    "Kept",
    "KeptWish",
    "Usage",
    "disk_cache",
    "is_switched_off",
    "load_settings",
    "saved_settings",
    "use_settings",
]
