"""Whatever is pasted: an answer or our own error, soon."""

from __future__ import annotations

import contextlib
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_omezarr_cloud.errors import CloudError, LinkError
from napari_omezarr_cloud.links import Link, read_link
from tests.fixtures.mutations import EXAMPLES

FRAMES = [
    "https://neuroglancer-demo.appspot.com/#!{}",
    "https://h.org/vizarr/?source=https://h.org/a.zarr&viewState={}",
    "https://h.org/vizarr/?source={}",
    "https://h.org/app/?fileToLoad={}",
    "https://h.org/?image_url={}",
    "https://vole.allencell.org/viewer?url=https://h.org/a.zarr&c0={}&slice={}",
    "https://webknossos.org/datasets/a-633e802f010000d3007f8f32/view#{}",
    "https://idr.openmicroscopy.org/webclient/?show=image-{}",
    "https://zenodo.org/records/{}",
    "https://github.com/{}",
    "zarr://{}",
    "s3://b/k|{}",
    "{}::s3://b/k",
    "https://h.org/{}.tsv",
    "{}",
]
LOOKUPS = [
    "https://neuroglancer-demo.appspot.com/#!https://h.org/s.json",
    "https://webknossos.org/datasets/a-633e802f010000d3007f8f32/view",
    "https://webknossos.org/annotations/633e802f010000d3007f8f32",
    "https://webknossos.org/links/abc",
    "https://h.org/project.json",
    "https://h.org/dataset.json",
    "https://vole.allencell.org/viewer?manifest=https://h.org/m.json",
    "https://h.org/t.csv",
    "https://www.ebi.ac.uk/biostudies/bioimages/studies/S-BIAD634",
    "https://idr.openmicroscopy.org/webclient/?show=image-99999999",
    "https://zenodo.org/records/1",
    "https://api.dandiarchive.org/api/assets/1a48c9e8-0a2b-4b3c-8d4e-5f6071829304/",
]
WORDS = [
    *("layers source url name type position dimensions crossSectionScale layout shader").split(),
    *(
        "localDimensions localPosition shaderControls normalized range color navigation pose"
    ).split(),
    *("transform matrix children projectionOrientation opacity blend segments").split(),
    *("longLink scenes datasetId organization dataSetName").split(),
    *("datasets defaultDataset sources image imageData ome.zarr s3Address relativePath").split(),
    *(
        "dataSource dataLayers mags path dataStore files key contentUrl file_uri zoom target"
    ).split(),
]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["zarr://https://h.org/a.zarr", "../..", "http://[", "3d", "<b>x</b>"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=6)
    ),
    max_leaves=25,
)
calm = settings(
    max_examples=2 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def read(text: str) -> Link | None:
    with contextlib.suppress(CloudError):
        return read_link(text, environ={})
    return None


@calm
@given(st.sampled_from(FRAMES), st.text(max_size=200))
def test_any_text_inside_a_link_is_answered(frame: str, inner: str) -> None:
    read(frame.replace("{}", inner))
    read(frame.replace("{}", quote(inner, errors="replace")))


@calm
@given(json_values)
def test_any_state_of_neuroglancer_and_vizarr_is_answered(state: Any) -> None:
    for frame in FRAMES[:2]:
        link = read(frame.replace("{}", quote(json.dumps(state))))
        assert link is None or link.sources


@calm
@given(st.sampled_from(LOOKUPS), json_values)
def test_any_answer_of_a_service_is_read_or_refused(text: str, answer: Any) -> None:
    lookup = read_link(text, environ={}).lookup
    assert lookup is not None
    with contextlib.suppress(CloudError):
        lookup.read(json.dumps(answer))


@calm
@given(st.sampled_from(LOOKUPS), st.text(max_size=300))
def test_any_text_of_a_service_is_read_or_refused(text: str, answer: str) -> None:
    lookup = read_link(text, environ={}).lookup
    assert lookup is not None
    with contextlib.suppress(CloudError):
        lookup.read(answer)


@pytest.mark.parametrize(
    "inner",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "%25" * 330_000,
        '{"layers":[' + ",".join(['{"source":"https://h.org/a.zarr"}'] * 20_000) + "]}",
        '{"position":[' + "9" * 5000 + '],"layers":[{"source":"https://h.org/a.zarr"}]}',
        "{'" + "_" * 500_000,
        "{'" + "\\'" * 200_000,
        "a://" * 200_000,
        "|zip:" * 150_000,
        "::" * 300_000,
        "&" * 900_000,
        "[" * 2_100_000,
    ],
    ids=lambda inner: inner[:12],
)
def test_large_links_are_answered(inner: str) -> None:
    for frame in FRAMES:
        link = read(frame.replace("{}", inner, 1))
        assert link is None or len(link.sources) <= 256


def test_markup_in_names_is_kept_as_text_and_without_line_breaks() -> None:
    state = {"layers": [{"name": "<b>a</b>\n\u202eb", "source": "https://h.org/a.zarr"}]}
    link = read_link(FRAMES[0].replace("{}", quote(json.dumps(state))), environ={})
    assert link.sources[0].name == "<b>a</b>  b"


def test_more_than_any_link_is_refused() -> None:
    with pytest.raises(LinkError, match="two million"):
        read_link("x" * 2_000_001)
