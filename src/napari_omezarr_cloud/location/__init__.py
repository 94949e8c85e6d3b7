"""Text → `Location`: where an image is and how to get in. No I/O, no secrets in what is shown."""

from __future__ import annotations

from napari_omezarr_cloud.location.moved import aliases, moved_note
from napari_omezarr_cloud.location.other_files import as_other_file
from napari_omezarr_cloud.location.parse import looks_like_ome_zarr, parse_location
from napari_omezarr_cloud.location.place import Access, Kind, Location, understood
from napari_omezarr_cloud.location.redact import hide, redacted

__all__ = [
    "Access",
    "Kind",
    "Location",
    "aliases",
    "as_other_file",
    "hide",
    "looks_like_ome_zarr",
    "moved_note",
    "parse_location",
    "redacted",
    "understood",
]
