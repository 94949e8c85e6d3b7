"""Links that lead to several images: the first is opened, the others are a call away."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import MetadataError, NotFoundError
from tests.test_opening import SPECULATIVE, rounds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.images import Written
    from tests.fixtures.slow_http import SlowServer

XML = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    '<Image ID="Image:0" Name="left"/><Image ID="Image:1" Name="right"/></OME>'
)


@pytest.fixture
def series(tmp_path: Path, ome_zarr: Callable[[str], Written]) -> Path:
    """Two images by ome-zarr-py in a folder as bioformats2raw makes it, without a list of them."""
    root = tmp_path / "series.zarr"
    for name in ("0", "1"):
        shutil.copytree(ome_zarr("v04 by ome-zarr-py").path, root / name)
    write(root, ".zgroup", {"zarr_format": 2})
    write(root, ".zattrs", {"bioformats2raw.layout": 3})
    return root


def write(root: Path, key: str, document: Any) -> None:
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))


def paths(image: noc.Image) -> list[str]:
    return [entry.path for entry in image.series]


# ---- bioformats2raw -----------------------------------------------------------------------------


def test_the_images_of_a_series_are_named_by_its_xml(series: Path) -> None:
    write(series, "OME/METADATA.ome.xml", XML)

    image = noc.open(series)

    assert [(entry.name, entry.path) for entry in image.series] == [("left", "0"), ("right", "1")]
    assert "2 images are here, and this is 'left'" in image.notes[0]


def test_a_list_of_series_counts_more_than_the_xml(series: Path) -> None:
    write(series, "OME/METADATA.ome.xml", XML)
    write(series, "OME/.zattrs", {"series": ["1", "0"]})

    assert [(e.name, e.path) for e in noc.open(series).series] == [("left", "1"), ("right", "0")]


def test_without_a_list_the_images_are_counted(series: Path) -> None:
    for number in range(2, 20):
        shutil.copytree(series / "0", series / str(number))

    assert paths(noc.open(series)) == [str(number) for number in range(20)]


def test_an_image_of_a_series_is_opened_once_and_knows_its_size_then(series: Path) -> None:
    entry = noc.open(series).series[1]
    assert entry.shape is None

    second = entry.open()

    assert entry.shape == second.levels[0].shape
    assert str(second.location).endswith("series.zarr/1")
    assert second.series == ()
    assert entry.open() is second


def test_a_link_to_one_image_of_a_series_opens_that_one(series: Path) -> None:
    image = noc.open(series / "1")

    assert image.series == ()
    assert image.notes == ()


def test_a_link_to_the_list_of_a_series_opens_the_series(series: Path) -> None:
    write(series, "OME/.zgroup", {"zarr_format": 2})
    write(series, "OME/.zattrs", {"series": ["0", "1"]})

    assert paths(noc.open(series / "OME")) == ["0", "1"]


def test_where_the_first_image_is_broken_the_next_one_is_shown(series: Path) -> None:
    write(series, "OME/.zattrs", {"series": ["0", "1"]})
    write(series, "0/.zattrs", '{"multiscales": [')

    image = noc.open(series)

    assert str(image.location).endswith("/1")
    assert "'0' could not be opened" in image.notes[0]


def test_an_xml_with_entities_gives_no_names_and_a_note(series: Path) -> None:
    write(series, "OME/METADATA.ome.xml", f'<!DOCTYPE OME [<!ENTITY a "b">]>{XML}')

    image = noc.open(series)

    assert [entry.name for entry in image.series] == ["0", "1"]
    assert any("defines entities" in note for note in image.notes)


def test_a_series_without_images_says_so(series: Path) -> None:
    for name in ("0", "1"):
        shutil.rmtree(series / name)

    with pytest.raises(MetadataError, match="it lists no images"):
        noc.open(series)


def test_a_series_that_lists_what_is_not_there_says_so(series: Path) -> None:
    write(series, "OME/.zattrs", {"series": ["7"]})

    with pytest.raises(NotFoundError, match=r"series\.zarr/7"):
        noc.open(series)


def test_nothing_outside_a_series_is_asked_for(
    series: Path, slow_server: Callable[..., SlowServer]
) -> None:
    write(series, "OME/.zattrs", {"series": ["../secret.zarr", "/etc", "0", "1"]})
    server = slow_server(series.parent)

    image = noc.open(f"{server.url}/series.zarr")

    assert paths(image) == ["0", "1"]
    assert sum("left out" in note for note in image.notes) == 2
    assert all(path.startswith("/series.zarr/") and "secret" not in path for path in server.paths)


def test_a_series_opens_in_three_rounds(
    series: Path, slow_server: Callable[..., SlowServer]
) -> None:
    write(series, "OME/.zattrs", {"series": ["0", "1"]})
    server = slow_server(series.parent, latency_s=0.2)

    image = noc.open(f"{server.url}/series.zarr")

    assert len(image.levels) == 3
    assert rounds(server.log) == 3
    # The list in three forms; the first image, of which two documents were guessed; two levels.
    assert len(server.log) == SPECULATIVE + 3 + (SPECULATIVE - 2) + 2


# ---- several multiscales, collections -----------------------------------------------------------


def test_several_multiscales_are_all_offered(series: Path) -> None:
    root = series / "0"
    document = json.loads((root / ".zattrs").read_text())
    (first,) = document["multiscales"]
    half = {**first, "name": "half", "datasets": first["datasets"][1:]}
    write(root, ".zattrs", {**document, "multiscales": [first, half]})

    image = noc.open(root)

    assert [entry.name for entry in image.series][1] == "half"
    assert [level.path for level in image.levels] == ["s0", "s1", "s2"]
    assert [level.path for level in image.series[1].open().levels] == ["s1", "s2"]
    assert "2 multiscales are here" in image.notes[0]


def test_a_collection_offers_the_images_its_nodes_name(
    tmp_path: Path, ome_zarr: Callable[[str], Written]
) -> None:
    root = tmp_path / "collection.zarr"
    for name in ("raw", "nested/clean"):
        shutil.copytree(ome_zarr("v05 by ome-zarr-py").path, root / name)
    nodes = [
        {"type": "multiscale", "name": "As it was", "path": "./raw"},
        {"type": "collection", "nodes": [{"type": "multiscale", "path": "nested/clean"}]},
        {"type": "multiscale", "path": "../outside"},
    ]
    ome = {"version": "0.9.dev1", "type": "collection", "name": "all", "nodes": nodes}
    write(root, "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}})

    image = noc.open(root)

    assert [(e.name, e.path) for e in image.series] == [
        ("As it was", "raw"),
        ("nested/clean", "nested/clean"),
    ]
    assert any("follows a draft" in note for note in image.notes)
    assert any("leads out of the data set" in note for note in image.notes)


def test_a_multiscale_of_the_draft_is_an_image(
    tmp_path: Path, ome_zarr: Callable[[str], Written]
) -> None:
    root = shutil.copytree(ome_zarr("v05 by ome-zarr-py").path, tmp_path / "draft.zarr")
    document = json.loads((root / "zarr.json").read_text())
    (multiscale,) = document["attributes"]["ome"]["multiscales"]
    nodes = [
        {
            "type": "singlescale",
            "path": each["path"],
            "attributes": {"coordinateTransformations": each["coordinateTransformations"]},
        }
        for each in multiscale["datasets"]
    ]
    ome = {
        "version": "0.9.dev1",
        "type": "multiscale",
        "name": "draft",
        "nodes": nodes,
        "attributes": {"axes": multiscale["axes"]},
    }
    write(root, "zarr.json", {**document, "attributes": {"ome": ome}})

    image, usual = noc.open(root), noc.open(ome_zarr("v05 by ome-zarr-py").path)

    assert image.axes == usual.axes
    assert [level.scale for level in image.levels] == [level.scale for level in usual.levels]
    assert (image.read(2) == usual.read(2)).all()
