"""Frozen models → JSON: the way back of what the other files of this room read.

Versions 0.4 (``.zattrs`` of Zarr 2) and 0.5 (``ome`` in ``zarr.json`` of Zarr 3).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.ngff.omero import OWN_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_omezarr_cloud.ngff.axes import Axis
    from napari_omezarr_cloud.ngff.image import Dataset
    from napari_omezarr_cloud.ngff.labels import ImageLabel
    from napari_omezarr_cloud.ngff.omero import Channel, Rendering

__all__ = [
    "group_documents",
    "image_attributes",
    "image_label_attributes",
    "json_bytes",
    "labels_attributes",
    "omero_attributes",
]


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """Return a document as it is stored: UTF-8, indented, and strict JSON."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).encode()


def group_documents(
    attributes: Mapping[str, Any], *, version: str, beside: Mapping[str, Any] | None = None
) -> dict[str, bytes]:
    """Return the documents of a group by key; the last one makes it readable.

    Parameters
    ----------
    attributes
        The OME metadata.
    version
        "0.4" or "0.5".
    beside
        Attributes of others, which are no OME metadata.
    """
    if version == "0.4":
        own = {**(beside or {}), **attributes}
        return {".zgroup": json_bytes({"zarr_format": 2}), ".zattrs": json_bytes(own)}
    own = {**(beside or {}), "ome": {"version": version, **attributes}}
    document = {"zarr_format": 3, "node_type": "group", "attributes": own}
    return {"zarr.json": json_bytes(document)}


def image_attributes(
    *,
    version: str,
    name: str,
    axes: Sequence[Axis],
    datasets: Sequence[Dataset],
    method: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return ``multiscales`` of an image.

    Parameters
    ----------
    version
        "0.4" or "0.5".
    name
        Of the image; left out when empty.
    axes
        In the order of dimensions.
    datasets
        From fine to coarse, with scale and translation.
    method, metadata
        How the coarser levels were made (``type``), and details of it.
    """
    entry: dict[str, Any] = {}
    if version == "0.4":
        entry["version"] = version
    if name:
        entry["name"] = name
    entry["axes"] = [_axis(axis) for axis in axes]
    entry["datasets"] = [_dataset(each) for each in datasets]
    if method:
        entry["type"] = method
    if metadata:
        entry["metadata"] = dict(metadata)
    return {"multiscales": [entry]}


def _axis(axis: Axis) -> dict[str, Any]:
    found: dict[str, Any] = {"name": axis.name}
    if axis.type:
        found["type"] = axis.type
    if axis.unit:
        found["unit"] = axis.unit
    return found


def _dataset(dataset: Dataset) -> dict[str, Any]:
    scale = dataset.scale or ()
    steps: list[dict[str, Any]] = [{"type": "scale", "scale": list(scale)}]
    if any(dataset.translation or ()):
        steps.append({"type": "translation", "translation": list(dataset.translation or ())})
    return {"path": dataset.path, "coordinateTransformations": steps}


def omero_attributes(rendering: Rendering) -> dict[str, Any]:
    """Return ``omero``; without channels, nothing.

    References
    ----------
    OME-Zarr 0.4 and 0.5, "omero": ``color`` is six hexadecimal digits without ``#``, and
    ``window`` has all four of its numbers.
    """
    if not rendering.channels:
        return {}
    rdefs: dict[str, Any] = {"model": rendering.model or "color"}
    if rendering.default_t is not None:
        rdefs["defaultT"] = rendering.default_t
    if rendering.default_z is not None:
        rdefs["defaultZ"] = rendering.default_z
    channels = [_channel(each) for each in rendering.channels]
    return {"omero": {"channels": channels, "rdefs": rdefs}}


def _channel(channel: Channel) -> dict[str, Any]:
    found: dict[str, Any] = {"active": channel.active, "color": channel.color or "FFFFFF"}
    if channel.name:
        found["label"] = channel.name
    if channel.inverted:
        found["inverted"] = True
    if channel.colormap:
        found[OWN_KEY] = {"colormap": channel.colormap, "color": found["color"]}
    window = channel.window
    if window is not None:
        found["window"] = {
            "start": window.start,
            "end": window.end,
            "min": window.start if window.min is None else window.min,
            "max": window.end if window.max is None else window.max,
        }
    return found


def image_label_attributes(label: ImageLabel, *, version: str) -> dict[str, Any]:
    """Return ``image-label``: colours, properties, and the image that the labels belong to."""
    found: dict[str, Any] = {}
    if version == "0.4":
        found["version"] = version
    if label.colors:
        found["colors"] = [
            {"label-value": value, "rgba": list(rgba)} for value, rgba in label.colors.items()
        ]
    if label.properties:
        found["properties"] = [
            {"label-value": value, **each} for value, each in label.properties.items()
        ]
    if label.source:
        found["source"] = {"image": label.source}
    return {"image-label": found}


def labels_attributes(names: Sequence[str]) -> dict[str, Any]:
    """Return the list of an image's label images, as the group ``labels`` holds it."""
    return {"labels": list(names)}
