"""Whatever JSON there is: a model, or one of our errors; never another exception."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.ngff import (
    order_by_size,
    parse_group,
    parse_images,
    parse_labels_listing,
    resolve_axes,
)

KEYS = (
    "ome version multiscales axes datasets path name type unit coordinateTransformations scale "
    "translation transformations omero channels color window start end min max active label rdefs "
    "image-label colors properties label-value rgba source labels plate wells well images nodes"
).split()

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["0", "scale", "translation", "sequence", "0.4", "y", "x", "space", ".."])
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)
    ),
    max_leaves=30,
)


def _objects(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional={k.replace("_", "-"): v for k, v in values.items()})


transforms = st.lists(_objects(type=scalars, scale=anything, translation=anything), max_size=3)
levels = _objects(path=st.just("0") | anything, coordinateTransformations=transforms | anything)
multiscales = _objects(
    version=scalars,
    axes=st.lists(_objects(name=scalars, type=scalars, unit=scalars) | scalars) | anything,
    datasets=st.lists(levels, min_size=1, max_size=3) | anything,
    coordinateTransformations=transforms | anything,
)
groups = _objects(
    multiscales=st.lists(multiscales, min_size=1, max_size=2) | anything,
    omero=_objects(channels=st.lists(anything) | anything, rdefs=anything) | anything,
    image_label=_objects(colors=st.lists(anything) | anything, properties=anything) | anything,
    labels=anything,
    ome=anything,
)


@settings(max_examples=300, deadline=None)
@given(groups | anything, st.integers(1, 6))
def test_any_attributes_give_images_or_our_error(attributes: Any, ndim: int) -> None:
    for document in (attributes, {"ome": attributes}):
        raw = json.dumps({"zarr_format": 3, "attributes": document}).encode()
        documents = {"zarr.json": raw, ".zattrs": json.dumps(document).encode()}
        with suppress(CloudError):
            for image in parse_images(parse_group(documents, where="x")):
                resolved = resolve_axes(image, ndim)
                assert len(resolved.axes) == ndim
                assert all(len(d.scale or resolved.axes) == ndim for d in resolved.datasets)
                order_by_size(resolved, [(1,)] * len(resolved.datasets))


@given(anything)
def test_any_document_gives_label_names_or_notes(document: Any) -> None:
    names, _ = parse_labels_listing({"labels/.zattrs": json.dumps(document).encode()}, where="x")

    assert all(name and ".." not in name.split("/") for name in names)


@given(st.binary(max_size=50))
def test_any_bytes_give_a_group_or_our_error(raw: bytes) -> None:
    with suppress(CloudError):
        parse_group({"zarr.json": raw, ".zattrs": raw, ".zmetadata": raw}, where="x")
