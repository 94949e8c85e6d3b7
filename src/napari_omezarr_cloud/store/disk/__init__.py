"""The disk cache: bytes that were once asked for, kept for this user's next programs.

``stamp`` says when bytes still count, ``entry`` how one lies in its file, ``ledger`` which there
are and which goes first, ``place`` where they are, ``cache`` brings it all together for a process.
Why it is built so: docs/explanation/disk-cache.md.
"""

from napari_omezarr_cloud.store.disk.cache import (
    DiskCache,
    Usage,
    disk_cache,
    follow_settings,
    is_switched_off,
)
from napari_omezarr_cloud.store.disk.ledger import Kept, KeptWish

__all__ = [
    "DiskCache",
    "Kept",
    "KeptWish",
    "Usage",
    "disk_cache",
    "follow_settings",
    "is_switched_off",
]
