"""OME-Zarr metadata: JSON → frozen models. No I/O and no arrays.

The way through: :func:`parse_group` (documents → :class:`Group`) → :func:`parse_images`
(:class:`Group` → :class:`Image`) → :func:`resolve_axes` as soon as an array's number of
dimensions is known. :func:`parse_labels_listing` tells which labels an image has; each of them
goes the same way.

What is wrong and can be tolerated becomes a sentence in ``notes``; what cannot, an error of
:mod:`napari_omezarr_cloud.errors`.
"""

from __future__ import annotations

from napari_omezarr_cloud.ngff.affine import Affine
from napari_omezarr_cloud.ngff.axes import Axis
from napari_omezarr_cloud.ngff.coordinate_systems import CoordinateSystem
from napari_omezarr_cloud.ngff.documents import Document, parse_document, parse_json
from napari_omezarr_cloud.ngff.group import Group, parse_group
from napari_omezarr_cloud.ngff.image import (
    Dataset,
    Image,
    order_by_size,
    parse_images,
    resolve_axes,
    shown_with,
)
from napari_omezarr_cloud.ngff.labels import ImageLabel, parse_labels_listing
from napari_omezarr_cloud.ngff.omero import Channel, Window
from napari_omezarr_cloud.ngff.paths import check_path
from napari_omezarr_cloud.ngff.version import SUPPORTED_VERSIONS

__all__ = [
    "SUPPORTED_VERSIONS",
    "Affine",
    "Axis",
    "Channel",
    "CoordinateSystem",
    "Dataset",
    "Document",
    "Group",
    "Image",
    "ImageLabel",
    "Window",
    "check_path",
    "order_by_size",
    "parse_document",
    "parse_group",
    "parse_images",
    "parse_json",
    "parse_labels_listing",
    "resolve_axes",
    "shown_with",
]
