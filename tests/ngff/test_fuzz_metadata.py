"""Metadata of real files, mutated: a model, or one of our errors; never another exception.

``FUZZ_EXAMPLES=20000 pytest tests/ngff/test_fuzz_metadata.py`` runs for longer.
"""

from __future__ import annotations

import copy
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.links import read_link
from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.ngff import (
    order_by_size,
    parse_group,
    parse_images,
    parse_labels_listing,
    resolve_axes,
)
from napari_omezarr_cloud.ngff.collection import as_image, parse_collection
from napari_omezarr_cloud.ngff.plate import parse_plate
from napari_omezarr_cloud.ngff.scene import parse_scene
from napari_omezarr_cloud.ngff.series import parse_series
from napari_omezarr_cloud.ngff.well import parse_well
from napari_omezarr_cloud.pyramid.array_metadata import parse_array

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
_LARGEST = 20_000
"""Bytes of a document to mutate; larger ones say the same again."""

_SYSTEM: dict[str, Any] = {"name": "world", "axes": [{"name": "y", "type": "space"}]}
_IMAGE: dict[str, Any] = {
    "version": "0.4",
    "axes": [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"],
    "datasets": [
        {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]},
        {"path": "1", "coordinateTransformations": [{"type": "scale", "scale": [2, 2]}]},
    ],
}
_GROUPS: list[dict[str, Any]] = [
    {"multiscales": [_IMAGE], "omero": {"channels": [{"color": "FF0000", "window": {"start": 0}}]}},
    {"multiscales": [_IMAGE],
     "image-label": {"colors": [{"label-value": 1, "rgba": [1, 2, 3, 4]}]}},
    {"multiscales": [{**_IMAGE, "coordinateSystems": [_SYSTEM]}], "labels": ["a"]},
    {"plate": {"rows": [{"name": "A"}], "columns": [{"name": "1"}],
               "wells": [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}]}},
    {"well": {"images": [{"path": "0", "acquisition": 1}]}},
    {"bioformats2raw.layout": 3, "series": ["0", "1"]},
]  # fmt: skip
_ARRAYS: list[dict[str, Any]] = [
    {"zarr_format": 2, "shape": [9, 9], "chunks": [4, 4], "dtype": "<u2", "order": "C",
     "compressor": {"id": "zlib", "level": 1}, "fill_value": 0, "filters": [{"id": "delta",
     "dtype": "<u2"}]},
    {"zarr_format": 3, "node_type": "array", "shape": [9, 9], "data_type": "uint16",
     "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 4]}},
     "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
     "fill_value": 0, "attributes": {}, "codecs": [{"name": "sharding_indexed", "configuration": {
         "chunk_shape": [2, 2], "codecs": [{"name": "bytes", "configuration": {"endian": "little"}},
         {"name": "gzip", "configuration": {"level": 1}}], "index_location": "end"}}]},
]  # fmt: skip


def _stored(name: str) -> list[Any]:
    found = []
    for path in sorted(CORPUS.rglob(name)) if CORPUS.is_dir() else ():
        if path.is_file() and path.stat().st_size < _LARGEST:
            with suppress(ValueError, RecursionError):
                found.append(json.loads(path.read_bytes()))
    return [each for each in found if isinstance(each, dict)]


_V3 = _stored("zarr.json")
GROUPS = [*_GROUPS, *_stored(".zattrs"), *(d["attributes"] for d in _V3 if "attributes" in d)]
ARRAYS = [*_ARRAYS, *_stored(".zarray"), *(d for d in _V3 if d.get("node_type") == "array")]

odd = st.sampled_from(
    [None, True, 0, -1, 1, 2**31, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", " ", "0",
     "..", "/etc/passwd", "file:///x", "<b>é\u202e</b>", "\x00", "\ud800", [], {}, [[]], [None],
     [{}], "scale", "affine", "NaN", "0x7f", "0.6", "pickle", "x" * 5000, ["a"] * 300]
)  # fmt: skip


def _nested(value: Any) -> Any:
    for _ in range(200):
        value = [value]
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return (holder, key) of everything inside a document."""
    found, waiting = [], [value]
    while waiting and len(found) < 2000:
        holder = waiting.pop()
        keys = (
            list(holder) if isinstance(holder, dict)
            else range(len(holder)) if isinstance(holder, list) else ()
        )  # fmt: skip
        found += [(holder, key) for key in keys]
        waiting += [holder[key] for key in keys]
    return found


@st.composite
def mutated(draw: st.DrawFn, documents: list[dict[str, Any]]) -> dict[str, Any]:
    document = copy.deepcopy(documents[draw(st.integers(0, len(documents) - 1))])
    for _ in range(draw(st.integers(1, 4))):
        places = _places(document)
        if not places:
            break
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        change = draw(st.sampled_from(["replace", "delete", "swap", "repeat", "text", "nest"]))
        if change == "delete":
            del holder[key]
        elif change == "swap":
            other, at = places[draw(st.integers(0, len(places) - 1))]
            if key in _keys(holder) and at in _keys(other):
                holder[key] = copy.deepcopy(other[at])
        elif change == "repeat" and isinstance(holder[key], list):
            holder[key] = holder[key] * draw(st.integers(2, 5))
        elif change == "text":
            holder[key] = str(holder[key])[:100]
        elif change == "nest":
            holder[key] = _nested(holder[key])
        else:
            holder[key] = copy.deepcopy(draw(odd))
    return document


def _keys(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


checked = settings(
    max_examples=_EXAMPLES,
    deadline=5000,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


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
