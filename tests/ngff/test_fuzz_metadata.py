"""Metadata of real files, mutated: a model, or one of our errors; never another exception.

``FUZZ_EXAMPLES=20000 pytest --timeout=0 tests/ngff/test_fuzz_metadata.py`` runs for longer; so do
``tests/links/test_hostile.py`` and ``tests/test_fuzz_opening.py``.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.links import read_link
from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.ngff import (
    order_by_size,
    parse_group,
    parse_images,
    parse_json,
    parse_labels_listing,
    resolve_axes,
)
from napari_omezarr_cloud.ngff.axes import parse_axes
from napari_omezarr_cloud.ngff.collection import as_image, parse_collection
from napari_omezarr_cloud.ngff.coordinate_systems import parse_image_systems
from napari_omezarr_cloud.ngff.labels import parse_image_label
from napari_omezarr_cloud.ngff.omero import parse_omero
from napari_omezarr_cloud.ngff.paths import check_path
from napari_omezarr_cloud.ngff.plain import consolidated_images, plain_image
from napari_omezarr_cloud.ngff.plate import parse_plate
from napari_omezarr_cloud.ngff.refusals import refuse_other_kinds
from napari_omezarr_cloud.ngff.scene import parse_scene
from napari_omezarr_cloud.ngff.series import OME_XML, parse_series
from napari_omezarr_cloud.ngff.transformation import TransformationReader
from napari_omezarr_cloud.ngff.transforms import parse_transforms
from napari_omezarr_cloud.ngff.units import micrometres, time_unit
from napari_omezarr_cloud.ngff.well import parse_well
from napari_omezarr_cloud.pyramid.array_metadata import parse_array
from tests.fixtures.mutations import ARRAYS, GROUPS, any_json, checked, mutated, spoilt


@checked
@given(mutated(GROUPS), st.booleans(), st.integers(1, 6))
def test_mutated_groups_give_models_or_our_errors(
    attributes: dict[str, Any], wrapped: bool, ndim: int
) -> None:
    attributes = {"ome": attributes} if wrapped else attributes
    document = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    for documents in (
        {"zarr.json": json.dumps(document).encode()},
        {".zattrs": json.dumps(attributes).encode(), ".zgroup": b'{"zarr_format": 2}'},
    ):
        try:
            group = parse_group(documents, where="x")
        except CloudError:
            continue
        with suppress(CloudError):
            for image in parse_images(group):
                resolved = resolve_axes(image, ndim)
                assert len(resolved.axes) == ndim
                order_by_size(resolved, [(1,) * ndim] * len(resolved.datasets))
        for parse in (parse_plate, parse_well, parse_scene, parse_collection, as_image):
            with suppress(CloudError):
                parse(group)
        with suppress(CloudError):
            parse_series(group, documents)
        listing = {f"labels/{key}": raw for key, raw in documents.items()}
        with suppress(CloudError):
            parse_labels_listing(listing, where="x")


@pytest.mark.filterwarnings("ignore")
@checked
@given(mutated(ARRAYS))
def test_mutated_arrays_give_a_description_or_our_error(document: dict[str, Any]) -> None:
    with suppress(CloudError):
        parse_array(document, where="x", key="zarr.json")


XML = (
    b'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="a"><Image ID="Image:0" Name="b">'
    b"<Pixels/></Image><Image ID='Image:1'/></OME>"
)
DOCUMENTS = [json.dumps(each).encode() for each in (*GROUPS[:20], *ARRAYS[:5])]


@checked
@given(spoilt(DOCUMENTS), spoilt([XML]))
def test_spoilt_documents_are_read_or_refused(raw: bytes, xml: bytes) -> None:
    with suppress(CloudError):
        parse_json(raw, where="x", key=".zattrs")
    for documents in ({"zarr.json": raw}, {".zattrs": raw}, {".zattrs": b"{}", ".zmetadata": raw}):
        with suppress(CloudError):
            consolidated_images(parse_group(documents, where="x"))
    group = parse_group({".zattrs": b'{"bioformats2raw.layout": 3}'}, where="x")
    series = parse_series(group, {OME_XML: xml, ".zattrs": raw, "zarr.json": raw})
    assert all(entry.path for entry in series.entries)


@checked
@given(any_json)
def test_each_parser_takes_any_json_at_all(value: Any) -> None:
    notes: list[str] = []
    rendering = parse_omero(value, notes=notes)
    assert all(c.window is None or c.window.start < c.window.end for c in rendering.channels)
    label = parse_image_label(value, notes=notes)
    assert all(len(rgba) == 4 for rgba in label.colors.values())
    parse_axes(value, notes=notes)
    transform = parse_transforms(value, of="a level", notes=notes)
    assert transform.scale is None or all(factor > 0 for factor in transform.scale)
    parse_image_systems({"coordinateSystems": value, "coordinateTransformations": value,
                         "datasets": value}, notes=notes)  # fmt: skip
    TransformationReader(notes).read(value, ("y", "x"), ("y", "x"), of="it")
    unit = value if isinstance(value, str) else None
    micrometres(unit), time_unit(unit)
    assert all(note.isprintable() for note in notes)
    for key in ("plate", "well", "multiscales", "scene", "series", "labels", "nodes", "omero"):
        group = parse_group({".zattrs": json.dumps({key: value}).encode()}, where="x")
        for parse in (parse_images, parse_plate, parse_well, parse_scene, parse_collection,
                      refuse_other_kinds, consolidated_images):  # fmt: skip
            with suppress(CloudError):
                parse(group)
        parse_series(group, {".zattrs": json.dumps({"series": value}).encode()})
        with suppress(CloudError):
            plain_image(group, {"shape": value, "dimension_names": value, "attributes": value})


@checked
@given(
    st.lists(
        st.sampled_from(["..", ".", "/", "\\", "%2e", "%2E", "%2f", "%5c", "%25", "%00", "\0", "C:",
                         "http:", "//", "a", " ", "é", "\u2024", "\uff0e", "\uff0f", "\u202e", "~"])
        | st.text(max_size=4),
        max_size=8,
    ).map("".join)
)  # fmt: skip
def test_a_path_that_is_let_through_stays_inside_however_it_is_decoded(path: str) -> None:
    with suppress(CloudError):
        checked_path = check_path(path, where="x", key=".zattrs")
        for _ in range(4):
            parts = checked_path.replace("\\", "/").split("/")
            assert ".." not in parts and parts[0]
            assert not re.match("[A-Za-z]:", parts[0])
            assert "\0" not in checked_path
            checked_path = unquote(checked_path)


SECRETS = [
    "https://user:5ecret@host/a.zarr", "https://host/a.zarr?token=5ecret", "s3://b/k?sig=5ecret#5ecret",
    "https://host/a.zarr?X-Amz-Signature=5ecret&x=1", "zip::https://host/a.zip?sas=5ecret",
]  # fmt: skip


@checked
@given(st.sampled_from(SECRETS), st.integers(0, 90), st.text(max_size=3))
def test_a_secret_of_a_link_is_never_shown_even_if_the_link_is_spoilt(
    link: str, at: int, inserted: str
) -> None:
    start = link.index("5ecret")
    at = min(at, start - 8) if start > 8 else 0
    text = link[:at] + inserted + link[at:]
    for read in (parse_location, read_link):
        try:
            found = read(text)
        except CloudError as error:
            shown = str(error)
        else:
            sources = getattr(found, "sources", ())
            shown = f"{found}" if not sources else " ".join(str(s.location) for s in sources)
        assert "5ecret" not in shown


LINKS = [
    "https://example.org/a/b.zarr", "s3://bucket/key.zarr?region=x#y", "gs://b/k", "file:///a/b",
    "/a/b.zarr", "https://[::1]:99/x|zip:a/|zarr3:", "simplecache::zip://a::s3://b/c",
    "https://neuroglancer-demo.appspot.com/#!%7B%22layers%22:[%7B%22source%22:%22zarr://s3://a/b%22"
    ",%22type%22:%22image%22%7D]%7D",
    "https://hms-dbmi.github.io/vizarr/?source=https://a.org/b.zarr&viewState={\"zoom\":1}",
    "https://idr.openmicroscopy.org/webclient/?show=image-123", "https://doi.org/10.5281/zenodo.1",
]  # fmt: skip


@checked
@given(
    st.sampled_from(LINKS) | st.text(max_size=80),
    st.integers(0, 120),
    st.integers(0, 20),
    st.text(max_size=10)
    | st.sampled_from(["%", "%00", "[", "]", "://", "#!", "{" * 500, "@", ".."]),
)
def test_mutated_links_give_a_place_or_our_error(
    link: str, at: int, length: int, inserted: str
) -> None:
    text = link[:at] + inserted + link[at + length :]
    with suppress(CloudError):
        parse_location(text)
    with suppress(CloudError):
        read_link(text)
