"""Several images in one place: series as bioformats2raw writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff.attributes import ome_attributes
from napari_omezarr_cloud.ngff.documents import MAX_DOCUMENT_BYTES, parse_document
from napari_omezarr_cloud.ngff.paths import check_path
from napari_omezarr_cloud.ngff.values import plain_text, settled, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_omezarr_cloud.ngff.group import Group

__all__ = ["OME_XML", "Entry", "Series", "parse_series"]

OME_XML = "METADATA.ome.xml"

# Not compiled here: imports are quick, and re keeps it. Numbers 0 to 31 but tab and line ends.
_FORBIDDEN = rb"&#(?:0*(?:[0-8]|1[124-9]|2[0-9]|3[01])|[xX]0*(?:[0-8bBcCeEfF]|1[0-9a-fA-F]));"

_MOST_IMAGES = 10_000
"""More are not offered: nobody can choose among them."""


@dataclass(frozen=True)
class Entry:
    """One of several images: where it is, and what it is called."""

    path: str
    """Below the group that names it; checked."""
    name: str = ""
    """Plain text; empty: not stated."""


@dataclass(frozen=True)
class Series:
    """The images that a group says it holds."""

    entries: tuple[Entry, ...] = ()
    """In the order named; empty where nothing says which there are: 0, 1, 2 … then."""
    names: tuple[str, ...] = ()
    """Names of images in the order of the series, as many as could be read."""
    notes: tuple[str, ...] = ()
    """What was odd and tolerated, in sentences for a person."""


def parse_series(group: Group, documents: Mapping[str, bytes | None]) -> Series:
    """Return the images of a series.

    Parameters
    ----------
    group
        Of kind ``"series"``.
    documents
        Key below ``OME/`` → bytes, None where it is absent: ``zarr.json``, ``.zattrs`` and
        `OME_XML` are looked at. The first that lists images counts; names are those of the XML.

    References
    ----------
    OME-Zarr 0.5, "bioformats2raw.layout": ``OME`` lists the paths under ``series``; without it the
    images of ``METADATA.ome.xml`` are 0, 1, 2 … in their order.
    """
    notes = list(group.notes)
    names, is_whole = _names(documents.get(OME_XML), notes)
    paths = _listed(group.attributes.get("series"), group.where, group.key, notes)
    for key in ("zarr.json", ".zattrs"):
        raw = documents.get(key)
        if raw is not None and not paths:
            attributes = _attributes(raw, key, group.where, notes)
            paths = _listed(attributes.get("series"), group.where, f"OME/{key}", notes)
    if not paths and is_whole:
        paths = {str(i): None for i in range(len(names))}
    entries = [
        # The XML counts images in the order of the series, whatever their paths are called.
        Entry(path, names[i] if i < len(names) else "")
        for i, path in enumerate(paths)
        if path
    ]
    return Series(tuple(entries), tuple(names), settled(notes))


def _attributes(raw: bytes, key: str, where: str, notes: list[str]) -> dict[str, Any]:
    try:
        content = parse_document(raw, where=where, key=f"OME/{key}").content
    except MetadataError as error:
        notes.append(f"The list of series in OME/{key} could not be read: {error.why}.")
        return {}
    held = content.get("attributes") if key == "zarr.json" else content
    return ome_attributes(held, key=f"OME/{key}", notes=notes)


def _listed(value: object, where: str, key: str, notes: list[str]) -> dict[str, None]:
    if value is None:
        return {}
    if not isinstance(value, list):
        notes.append(f"The series in {key} are no list ({shown(value)}).")
        return {}
    if len(value) > _MOST_IMAGES:
        notes.append(f"Of {len(value):,} series the first {_MOST_IMAGES:,} are offered.")
    paths: dict[str, None] = {}
    for item in value[:_MOST_IMAGES]:
        path = str(item) if isinstance(item, int) and not isinstance(item, bool) else item
        try:
            paths[check_path(path, where=where, key=key)] = None
        except MetadataError as error:
            notes.append(f"One of the series was left out: {error.why}.")
    return paths


class _Refused(Exception):
    """The XML holds what we do not read."""


def _names(raw: bytes | None, notes: list[str]) -> tuple[list[str], bool]:
    """Return the names of the images in an OME-XML document, and whether those are all."""
    if raw is None:
        return [], True
    names: list[str] = []
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        # Images are children of the root; those in annotations are others.
        if depth == 2 and tag.rpartition(":")[2] == "Image":
            if len(names) >= _MOST_IMAGES:
                raise _Refused(f"it describes more than {_MOST_IMAGES:,} images")
            names.append(plain_text(attributes.get("Name")) or "")

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1

    def refuse(*_: Any) -> None:
        raise _Refused("it defines entities, which are not read")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    # Entities may stand for gigabytes, or for files of this computer.
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        if len(raw) > MAX_DOCUMENT_BYTES:
            raise _Refused("it is larger than 32 MiB")
        parser.Parse(_without_control_characters(raw, notes), True)
    except (_Refused, expat.ExpatError, LookupError, ValueError) as error:  # of odd encodings
        notes.append(f"The names of the images in OME/{OME_XML} could not be read: {error}.")
        return names, len(names) >= _MOST_IMAGES
    return names, True


def _without_control_characters(raw: bytes, notes: list[str]) -> bytes:
    """Replace what XML forbids and microscopes' metadata bring along: ``&#0;`` mostly."""
    cleaned, count = re.subn(_FORBIDDEN, b" ", raw)
    if count:
        notes.append(f"OME/{OME_XML} holds {count:,} control characters, which were left out.")
    return cleaned
