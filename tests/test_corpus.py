"""Images by other people's tools, from a folder and over HTTP: voxel for voxel; hostile ones."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import CloudError
from tests.fixtures.slow_http import SlowServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_omezarr_cloud.pyramid import Level as PyramidLevel

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared corpus is not here")

VERSIONS = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6")


def _expected(name: str) -> dict[str, Any]:
    path = CORPUS / name
    return json.loads(path.read_bytes())["datasets"] if path.is_file() else {}


DATASETS = _expected("expected.json")
HOSTILE = _expected("hostile/expected.json")
IMAGES = {
    image["path"]: image
    for dataset in DATASETS.values()
    for image in dataset["images"]
    if (CORPUS / image["path"]).exists()
}
HOLDS_SEVERAL = ("series", "container")
OPENED_AS_ONE = [path for path, said in DATASETS.items() if said["kind"] in ("image", "labels")]
BY_BEHAVIOUR = {
    kind: [name for name, said in HOSTILE.items() if said["expect"] == kind]
    for kind in ("error", "open", "error_or_open", "pixel_error")
}


@pytest.fixture(scope="module")
def server() -> Iterator[SlowServer]:
    with SlowServer(CORPUS) as server:
        yield server


@pytest.fixture(params=["folder", "http"])
def link_to(request: pytest.FixtureRequest, server: SlowServer) -> Callable[[str], str]:
    """``link_to(path)`` is a link to a data set: its folder, then the same over HTTP."""
    server.clear_log()
    if request.param == "folder":
        return lambda path: str(CORPUS / path)
    return lambda path: f"{server.url}/{quote(path)}"


def digest(values: NDArray[Any]) -> str:
    return hashlib.sha256(
        values.astype(values.dtype.newbyteorder("<"), order="C").tobytes()
    ).hexdigest()


def check_levels(image: noc.Image | noc.Labels, said: dict[str, Any]) -> None:
    for level, expected in zip(image.levels, said["levels"], strict=True):
        assert list(level.shape) == expected["shape"]
        assert list(level.chunks) == expected["chunks"]
        assert level.dtype == np.dtype(expected["dtype"])
        assert level.translation == pytest.approx(expected["translation"])
        assert digest(image.read(level.number)) == expected["sha256"]
        assert digest(level.dask.compute()) == expected["sha256"]
        assert digest(np.asarray(level.zarr[...])) == expected["sha256"]


def scales(image: noc.Image | noc.Labels, said: dict[str, Any], stated: list[bool]) -> list[Any]:
    """Return what the scales should be: as stated, else by the ratio of the shapes."""
    first = said["levels"][0]
    return [
        expected["scale"]
        if is_stated
        else [
            s * a / b for s, a, b in zip(first["scale"], first["shape"], level.shape, strict=True)
        ]
        for level, expected, is_stated in zip(image.levels, said["levels"], stated, strict=True)
    ]


def test_the_corpus_is_complete() -> None:
    assert len(OPENED_AS_ONE) > 55
    assert (
        set(OPENED_AS_ONE)
        <= set(IMAGES)
        <= {i["path"] for d in DATASETS.values() for i in d["images"]}
    )
    assert sum(map(len, BY_BEHAVIOUR.values())) == len(HOSTILE)


@pytest.mark.parametrize("path", IMAGES)
def test_an_image_is_read_voxel_for_voxel(path: str, link_to: Callable[[str], str]) -> None:
    said = IMAGES[path]

    image = noc.open(link_to(path))

    axes = [{"name": axis.name, "type": axis.type, "unit": axis.unit} for axis in image.axes]
    assert axes == said["axes"]
    check_levels(image, said)
    stated = [dataset.scale is not None for dataset in image.opened.image.datasets]
    for level, expected in zip(image.levels, scales(image, said, stated), strict=True):
        assert level.scale == pytest.approx(expected)


@pytest.mark.parametrize("path", [path for path, image in IMAGES.items() if image["labels"]])
def test_labels_are_read_voxel_for_voxel(path: str, link_to: Callable[[str], str]) -> None:
    said = IMAGES[path]["labels"]

    labels = noc.open(link_to(path)).labels

    assert [each.name for each in labels] == [each["name"] for each in said]
    for each, expected in zip(labels, said, strict=True):
        check_levels(each, expected)


@pytest.mark.parametrize("path", IMAGES)
def test_an_image_opens_without_a_note_unless_something_is_odd(path: str) -> None:
    odd = ("omero", "version", "Axes without", "multiscales are", "labels of the image")

    notes = noc.open(str(CORPUS / path)).notes

    assert all(any(word in note for word in odd) for note in notes)


@pytest.mark.parametrize(
    "path", [path for path, said in DATASETS.items() if said["kind"] in HOLDS_SEVERAL]
)
def test_all_images_of_a_series_are_found(path: str, link_to: Callable[[str], str]) -> None:
    image = noc.open(link_to(path))

    found = [entry.open() for entry in image.series]

    assert [str(each.location) for each in found] == [
        str(noc.open(link_to(said["path"])).location) for said in DATASETS[path]["images"]
    ]
    assert any("are here, and this is" in note for note in image.notes)


@pytest.mark.parametrize("path", [path for path in DATASETS if not path.startswith("hostile")])
def test_everything_opens(path: str, link_to: Callable[[str], str]) -> None:
    image = noc.open(link_to(path))

    coarsest = image.levels[-1]
    assert image.read(coarsest.number).shape == coarsest.shape
    assert noc.to_layers(image)


# ---- hostile ------------------------------------------------------------------------------------


def hostile(name: str, link_to: Callable[[str], str]) -> noc.Image:
    image = noc.open(link_to(f"hostile/{name}"))
    assert isinstance(image.labels, tuple)
    return image


def shown(image: noc.Image) -> list[str]:
    """Return the digest of level 0 of what would be shown: channels, then labels."""
    levels = [data[0] for data, _, _ in noc.to_layers(image)]
    if levels[0].nbytes > 1e8:
        return []
    return [
        *(digest(level.compute()) for level in levels),
        *(digest(each.read(0)) for each in image.labels),
    ]


def check_shown(image: noc.Image, said: dict[str, Any]) -> None:
    found = shown(image)
    offers = [said[key] for key in ("layers", "or_layers") if key in said]
    wanted = [[layer.get("sha256") for layer in layers] for layers in offers]
    if said.get("extra_layers_ok"):
        wanted = [digests + found[len(digests) :] for digests in wanted]
    assert found in wanted or not found or said.get("any_layers")


def check_limits(name: str, server: SlowServer) -> None:
    said = HOSTILE[name]
    assert len(server.log) <= said.get("max_requests", 200)
    if "forbid" in said:
        assert not any(f"/{said['forbid']}" in path for path in server.paths)
    if "must_not_create" in said:
        assert not list(CORPUS.rglob(said["must_not_create"]))
        assert not Path(said["must_not_create"]).exists()


def check_error(error: CloudError, name: str) -> None:
    said, text = HOSTILE[name], str(error)
    assert any(word in text for word in (*said["names"], name))
    assert "\n" not in text


@pytest.mark.parametrize("name", BY_BEHAVIOUR["error"])
def test_a_broken_data_set_is_refused_by_name(
    name: str, link_to: Callable[[str], str], server: SlowServer
) -> None:
    with pytest.raises(CloudError) as caught:
        hostile(name, link_to)

    check_error(caught.value, name)
    check_limits(name, server)


@pytest.mark.parametrize("name", BY_BEHAVIOUR["open"])
def test_an_odd_data_set_is_shown_as_it_should_be(
    name: str, link_to: Callable[[str], str], server: SlowServer
) -> None:
    check_shown(hostile(name, link_to), HOSTILE[name])

    check_limits(name, server)


@pytest.mark.parametrize("name", BY_BEHAVIOUR["error_or_open"])
def test_a_doubtful_data_set_is_refused_or_shown_rightly(
    name: str, link_to: Callable[[str], str], server: SlowServer
) -> None:
    try:
        image = hostile(name, link_to)
    except CloudError as error:
        check_error(error, name)
    else:
        check_shown(image, HOSTILE[name])
    check_limits(name, server)


@pytest.mark.parametrize("name", BY_BEHAVIOUR["pixel_error"])
def test_a_bad_chunk_is_named_and_all_others_are_read(
    name: str, link_to: Callable[[str], str]
) -> None:
    said = HOSTILE[name]
    image = hostile(name, link_to)
    level = image.pyramid.levels[0]

    values, errors = by_chunk(image, level)

    assert errors
    for error in errors:
        assert any(word in str(error) for word in said["names"])
    if "bad_block" in said:
        y, x, height, width = said["bad_block"]
        values[y : y + height, x : x + width] = 0
        assert digest(values) == said["sha256_with_bad_block_zero"]


def by_chunk(image: noc.Image, level: PyramidLevel) -> tuple[NDArray[Any], list[CloudError]]:
    """Return what can be read, chunk by chunk, and what was said of the rest."""
    values, errors = np.zeros(level.grid.shape, level.grid.dtype), []
    for index in np.ndindex(*level.grid.chunk_counts):
        region = level.grid.region_of(index).slices
        try:
            values[region] = image.read(0, region)
        except CloudError as error:
            errors.append(error)
    return values, errors
