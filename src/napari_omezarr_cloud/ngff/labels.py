"""Label images: which ones an image has, their colours and the properties of their objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff.attributes import ome_attributes
from napari_omezarr_cloud.ngff.documents import parse_document
from napari_omezarr_cloud.ngff.paths import check_path
from napari_omezarr_cloud.ngff.values import plain_text, settled, shown, whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ImageLabel", "parse_image_label", "parse_labels_listing"]

RGBA = tuple[int, int, int, int]

_MAX_LABELS = 1000
"""Each costs a request, and no real image has as many."""


@dataclass(frozen=True)
class ImageLabel:
    """What is known about the objects of a label image."""

    # Plain dictionaries, since read-only views of them cannot be pickled.
    colors: Mapping[int, RGBA] = field(default_factory=dict, hash=False)
    """Label value → red, green, blue, opacity, 0 to 255."""
    properties: Mapping[int, Mapping[str, object]] = field(default_factory=dict, hash=False)
    """Label value → name → value; objects may have different names. Text is plain text."""
    source: str | None = None
    """Path to the image as written, mostly ``../../``: to be shown, never to be followed."""


def parse_image_label(value: object, *, notes: list[str]) -> ImageLabel:
    """Return what ``image-label`` says; never raises.

    Parameters
    ----------
    value
        The JSON value of ``image-label``.
    notes
        Gets a sentence for colours and properties that could not be used. Of several entries
        for one label value the first counts.
    """
    if not isinstance(value, dict):
        notes.append(f"image-label is no object ({shown(value)}).")
        return ImageLabel()
    source = value.get("source")
    return ImageLabel(
        colors=_by_label(value.get("colors"), "colors", _rgba, notes),
        properties=_by_label(value.get("properties"), "properties", _properties, notes),
        source=plain_text(source.get("image")) if isinstance(source, dict) else None,
    )


def parse_labels_listing(
    documents: Mapping[str, bytes | None], *, where: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of an image's label images; never raises, for labels never stop an image.

    Parameters
    ----------
    documents
        Key → bytes (None: absent). Keys are read below ``labels/`` if any such key is there
        (``labels/zarr.json``, ``labels/.zattrs``), else as those of the labels group itself.
    where
        Display form of the location that the keys are below.

    Returns
    -------
    names : tuple of str
        Paths below ``labels/``, some nested (``deep/cells``), in the order listed.
    notes : tuple of str
        What was left out and why.
    """
    prefix = "labels/" if any(key.startswith("labels/") for key in documents) else ""
    notes: list[str] = []
    for name in ("zarr.json", ".zattrs"):
        key = prefix + name
        raw = documents.get(key)
        attributes = _attributes(raw, key, where, notes) if raw is not None else {}
        if "labels" in attributes:
            return _names(attributes["labels"], key, where, notes), settled(notes)
    return (), settled(notes)


def _attributes(raw: bytes, key: str, where: str, notes: list[str]) -> dict[str, Any]:
    try:
        document = parse_document(raw, where=where, key=key)
    except MetadataError as error:
        notes.append(f"The list of labels in {key} could not be read: {error.why}.")
        return {}
    notes += document.notes
    content = document.content
    held = content.get("attributes") if key.endswith("zarr.json") else content
    return ome_attributes(held, key=key, notes=notes)


def _names(value: object, key: str, where: str, notes: list[str]) -> tuple[str, ...]:
    if not isinstance(value, list):
        notes.append(f"The labels in {key} are no list ({shown(value)}).")
        return ()
    if len(value) > _MAX_LABELS:
        notes.append(f"Of {len(value):,} labels the first {_MAX_LABELS:,} are read.")
    names: dict[str, None] = {}
    for item in value[:_MAX_LABELS]:
        try:
            names[check_path(item, where=where, key=key)] = None
        except MetadataError as error:
            notes.append(f"A label was left out: {error.why}.")
    return tuple(names)


def _by_label(value: object, what: str, read: Any, notes: list[str]) -> dict[int, Any]:
    if value is None:
        return {}
    if not isinstance(value, list):
        notes.append(f"image-label: {what} is no list ({shown(value)}).")
        return {}
    found: dict[int, Any] = {}
    for item in value:
        label = whole_number(item.get("label-value")) if isinstance(item, dict) else None
        content = read(item) if label is not None else None
        if label is not None and content is not None:
            found.setdefault(label, content)
    if len(found) < len(value):
        notes.append(
            f"image-label: {len(value) - len(found)} of {len(value)} entries of {what} "
            "were not used (no label value, a wrong kind, or repeated)."
        )
    return found


def _rgba(item: dict[str, Any]) -> RGBA | None:
    value = item.get("rgba")
    numbers = [whole_number(part) for part in value] if isinstance(value, list) else []
    parts = [number for number in numbers if number is not None and 0 <= number <= 255]
    if len(parts) < len(numbers) or len(parts) not in (3, 4):
        return None
    red, green, blue, opacity = [*parts, 255][:4]
    return red, green, blue, opacity


def _properties(item: dict[str, Any]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in item.items():
        plain = plain_text(name)
        if plain and name != "label-value":
            found[plain] = (plain_text(value) or "") if isinstance(value, str) else value
    return found
