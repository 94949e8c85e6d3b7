"""Which documents are asked for at once, and how more of them are read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.store import Bytes, ByteStore

__all__ = [
    "ARRAY_KEY",
    "FIRST_ROUND",
    "GROUP_KEY",
    "GUESSED_LEVELS",
    "LABELS",
    "ROOT",
    "WRITE_NOTES",
    "Documents",
    "can_list",
    "join",
    "read_documents",
    "top_documents",
]

Documents = dict[str, "Bytes | None"]

ROOT = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
LABELS = ("labels/zarr.json", "labels/.zattrs")
GUESSED_LEVELS = ("0", "s0")
"""First levels as most writers name them (ome-zarr-py since 0.9 says "s0")."""

GROUP_KEY = {2: ".zattrs", 3: "zarr.json"}
ARRAY_KEY = {2: ".zarray", 3: "zarr.json"}

WRITE_NOTES = ".omezarr-writing"
"""Folder of the notes of a write under way, inside of what is written; deleted at its end."""

FIRST_ROUND = (
    *ROOT,
    *LABELS,
    *(f"{name}/{key}" for name in GUESSED_LEVELS for key in ARRAY_KEY.values()),
)
"""Everything that may matter for an image."""


def top_documents(documents: Documents) -> dict[str, bytes | None]:
    """Return documents as the parsers of ``ngff`` take them."""
    return {key: None if raw is None else bytes(raw) for key, raw in documents.items()}


def join(*parts: str) -> str:
    """Return one key of its parts, of which some may be empty."""
    return "/".join(part for part in parts if part)


async def read_documents(
    store: ByteStore, keys: Sequence[str], known: Mapping[str, Bytes | None]
) -> Documents:
    """Return documents, asking (at once) only for those not known."""
    missing = [key for key in keys if key not in known]
    got = await asyncio.gather(*(store.get(key) for key in missing))
    return {
        **{key: known[key] for key in keys if key in known},
        **dict(zip(missing, got, strict=True)),
    }


def can_list(location: Location) -> bool:
    """Tell whether the names below a key can be asked for; plain web servers do not say."""
    return location.kind != "http" or any(end in location.key for end in (".zip", ".ozx"))
