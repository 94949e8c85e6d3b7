"""Places inside of other images: what may be written there, and as what."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import CloudError, WriteError
from napari_omezarr_cloud.pyramid.documents import ROOT
from napari_omezarr_cloud.write.contents import kind_of
from napari_omezarr_cloud.write.groups import parsed
from napari_omezarr_cloud.write.target import open_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_omezarr_cloud.location import Location

__all__ = ["Holder", "holder_of"]

_ZIP = re.compile(r"(?i).+\.(zip|ozx)")


@dataclass(frozen=True)
class Holder:
    """What a place lies in."""

    location: Location
    kind: str
    """As `Contents.kind`, and ``"zip"``."""
    path: str
    """Of the place, below it."""
    version: str | None = None
    """Of OME-Zarr, of an image."""

    @property
    def label(self) -> str | None:
        """Name of the label image that the place is for; None: for none."""
        found = re.fullmatch("labels/([^/]+)", self.path)
        return found[1] if found and self.kind == "image" else None

    def refuse(self, place: Location) -> WriteError:
        """Return why nothing else is written there."""
        kind = "zip file" if self.kind == "zip" else self.kind
        what = f"an {kind}" if kind in ("image", "array") else f"a {kind}"
        return WriteError(
            "Nothing was written",
            where=str(place),
            why=f"it lies in {self.location}, which is {what}, and would break it",
            hint="Choose a place beside it. Labels of an image go to labels/NAME in it.",
        )


async def holder_of(location: Location) -> Holder | None:
    """Return the image, array, plate, well or zip file that a place lies in; None: there is none.

    Groups that are no more than folders, and what may not be read, are nothing that it lies in.
    """
    location = location.as_s3() or location  # above an address of S3 is its bucket at last
    above = list(_above(location))
    found = await asyncio.gather(*(_documents(each) for each in above))
    for each, documents in zip(above, found, strict=True):
        path = location.key[len(each.key) :].strip("/")
        kind = "zip" if documents is None else kind_of(documents)
        if kind in ("image", "array", "plate", "well", "zip"):
            return Holder(each, kind, path, _version(documents or {}))
    return None


def _above(location: Location) -> Iterator[Location]:
    """Yield the places above one, the nearest first."""
    parent = location.parent()
    while parent is not None and parent != location:
        yield parent
        location, parent = parent, parent.parent()


async def _documents(location: Location) -> dict[str, dict[str, Any]] | None:
    """Return the Zarr documents of a place; None: it is a zip file."""
    if location.kind == "file":
        raw = await asyncio.to_thread(_read, Path(location.key))
    else:
        if _ZIP.fullmatch(location.key) and await _is_object(location):
            return None
        store = open_target(location)
        # What may not be read counts as absent: of a bucket often one folder is one's own.
        answers = await asyncio.gather(*map(store.get, ROOT), return_exceptions=True)
        pairs = zip(ROOT, answers, strict=True)
        raw = {n: bytes(each) for n, each in pairs if isinstance(each, bytes | memoryview)}
    return {name: parsed(each) for name, each in raw.items()}


def _read(folder: Path) -> dict[str, bytes]:
    found = {}
    for name in ROOT:
        try:
            found[name] = (folder / name).read_bytes()
        except OSError:
            continue
    return found


async def _is_object(location: Location) -> bool:
    try:
        return await open_target(replace(location, key="")).find(location.key) is not None
    except CloudError:
        return False


def _version(documents: dict[str, dict[str, Any]]) -> str | None:
    attributes = documents.get("zarr.json", {}).get("attributes")
    inner = attributes.get("ome") if isinstance(attributes, dict) else None
    if isinstance(inner, dict) and "multiscales" in inner:
        found = inner.get("version")
        return found if isinstance(found, str) else None
    images = documents.get(".zattrs", {}).get("multiscales")
    first = images[0] if isinstance(images, list) and images else None
    found = first.get("version") if isinstance(first, dict) else None
    return found if isinstance(found, str) else None
