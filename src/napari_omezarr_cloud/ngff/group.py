"""One Zarr group: which documents describe it, what kind of thing it is, its OME metadata."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from napari_omezarr_cloud.errors import MetadataError, NotFoundError, UnsupportedError
from napari_omezarr_cloud.ngff.attributes import ome_attributes
from napari_omezarr_cloud.ngff.documents import parse_document
from napari_omezarr_cloud.ngff.values import listed, settled, shown
from napari_omezarr_cloud.ngff.version import stated_version

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Group", "Kind", "parse_group"]

Kind = Literal[
    "image", "plate", "well", "series", "labels", "scene", "collection", "array", "group"
]

_COLLECTION_TYPES = ("collection", "multiscale", "singlescale")


@dataclass(frozen=True)
class Group:
    """What the documents of one group say, before any of it is interpreted."""

    where: str
    """Display form of the group's location."""
    zarr_format: Literal[2, 3]
    key: str
    """The document that counts: ``"zarr.json"`` or ``".zattrs"``."""
    version: str | None
    """As stated, not checked; None: not stated."""
    kind: Kind
    """``"array"`` is no group at all, ``"group"`` one without OME metadata that we know."""
    attributes: Mapping[str, Any] = field(hash=False)
    """What is under ``ome`` (0.5), or the attributes (before)."""
    consolidated: Mapping[str, Any] | None = field(default=None, hash=False)
    """Consolidated metadata. Zarr 3: path → ``zarr.json`` of that node; Zarr 2 (``.zmetadata``):
    key → document, as ``"0/.zarray"``. May be out of date where the live file is not known."""
    notes: tuple[str, ...] = ()
    """What was odd and tolerated, in sentences for a person."""


def parse_group(documents: Mapping[str, bytes | None], *, where: str) -> Group:
    """Return what the documents of one group say.

    Parameters
    ----------
    documents
        Key → bytes, None where it is absent. ``zarr.json``, ``.zattrs``, ``.zgroup``,
        ``.zarray`` and ``.zmetadata`` are looked at; ``.zattrs`` without ``.zgroup`` is enough.
    where
        Display form of the group's location.

    Returns
    -------
    Group
        Of ``zarr.json`` where both it and ``.zattrs`` hold OME metadata. A readable group or
        array without any is returned too: :func:`parse_images` says so, and the caller may know
        what else to try.

    Raises
    ------
    NotFoundError
        If none of the documents is there.
    UnsupportedError
        If ``zarr.json`` is of another Zarr format.
    MetadataError
        If none can be read; the error is that of the first.
    """
    groups: list[Group] = []
    errors: list[MetadataError] = []
    for parse in (_parse_v3, _parse_v2):
        try:
            group = parse(documents, where)
        except MetadataError as error:
            errors.append(error)
        else:
            groups += [group] if group is not None else []
    known = [group for group in groups if group.kind not in ("group", "array")]
    if errors and not known:
        raise errors[0]
    if not groups:
        tried = listed(key for key in documents if "/" not in key) or "nothing"
        raise NotFoundError(
            "Found no image",
            where=where,
            why=f"there is no Zarr metadata there (tried {tried})",
            hint="Check the link; it should lead to the folder that holds .zattrs or zarr.json.",
        )
    return _noted((known or groups)[0], known, errors)


def _noted(group: Group, known: list[Group], errors: list[MetadataError]) -> Group:
    notes = list(group.notes)
    notes += [f"{error.key} could not be read: {error.why}." for error in errors]
    if len(known) > 1:
        notes.append("Both zarr.json and .zattrs describe an image here; zarr.json counts.")
    return replace(group, notes=settled(notes))


def _parse_v3(documents: Mapping[str, bytes | None], where: str) -> Group | None:
    key = "zarr.json"
    raw = documents.get(key)
    if raw is None:
        return None
    document = parse_document(raw, where=where, key=key)
    notes = list(document.notes)
    content = document.content
    if content.get("zarr_format", 3) != 3:
        raise UnsupportedError(
            "Could not read the metadata",
            where=where,
            key=key,
            why=f"zarr_format {shown(content['zarr_format'])} is not supported",
            hint="Zarr formats 2 and 3 can be read; a newer version of this plugin may know more.",
        )
    attributes = ome_attributes(content.get("attributes"), key=key, notes=notes)
    is_array = content.get("node_type") == "array"
    inline = content.get("consolidated_metadata")
    nodes = inline.get("metadata") if isinstance(inline, dict) else None
    return Group(
        where=where,
        zarr_format=3,
        key=key,
        version=_version(attributes),
        kind="array" if is_array else _kind(attributes),
        attributes=attributes,
        consolidated=nodes if isinstance(nodes, dict) else None,
        notes=tuple(notes),
    )


def _parse_v2(documents: Mapping[str, bytes | None], where: str) -> Group | None:
    key = ".zattrs"
    notes: list[str] = []
    consolidated = _zmetadata(documents.get(".zmetadata"), where, notes)
    content: dict[str, Any] | None = None
    if (raw := documents.get(key)) is not None:
        document = parse_document(raw, where=where, key=key)
        content = document.content
        notes += document.notes
        if consolidated is not None and consolidated.get(key, content) != content:
            notes.append(".zmetadata is out of date (it differs from .zattrs) and is not used.")
            consolidated = None
    elif consolidated is not None and isinstance(consolidated.get(key), dict):
        content = consolidated[key]
        notes.append(".zattrs is not there; the copy in .zmetadata was read.")
    has_array = documents.get(".zarray") is not None
    if content is None and not has_array and documents.get(".zgroup") is None:
        return None
    attributes = ome_attributes(content, key=key, notes=notes)
    kind = _kind(attributes)
    return Group(
        where=where,
        zarr_format=2,
        key=key,
        version=_version(attributes),
        kind="array" if kind == "group" and has_array else kind,
        attributes=attributes,
        consolidated=consolidated,
        notes=tuple(notes),
    )


def _zmetadata(raw: bytes | None, where: str, notes: list[str]) -> dict[str, Any] | None:
    if raw is None:
        return None
    try:
        held = parse_document(raw, where=where, key=".zmetadata").content.get("metadata")
    except MetadataError as error:
        notes.append(f".zmetadata could not be read: {error.why}.")
        return None
    return held if isinstance(held, dict) else None


def _version(attributes: Mapping[str, Any]) -> str | None:
    entries = attributes.get("multiscales")
    first = entries[0] if isinstance(entries, list) and entries else entries
    return stated_version(attributes, first, *(attributes.get(kind) for kind in ("plate", "well")))


def _kind(attributes: Mapping[str, Any]) -> Kind:
    # A plate written by bioformats2raw also says that it has series: it is a plate. A null is as
    # good as absent, but a multiscales that is null was meant to be an image.
    kinds: tuple[tuple[str, Kind], ...] = (
        ("plate", "plate"),
        ("well", "well"),
        ("multiscales", "image"),
        ("scene", "scene"),
        ("bioformats2raw.layout", "series"),
        ("series", "series"),
        ("labels", "labels"),
    )
    for name, kind in kinds:
        if attributes.get(name) is not None or (name == "multiscales" and name in attributes):
            return kind
    # Draft of collections (0.9.dev): one object with a type and nodes.
    is_collection = "nodes" in attributes and attributes.get("type") in _COLLECTION_TYPES
    return "collection" if is_collection else "group"
