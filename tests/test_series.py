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
    server = slow_server(series.parent, latency_s=0.4)

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


# ---- collections as RFC-8 writes them since 2026 ------------------------------------------------

WORLD = {
    "id": "world",
    "axes": [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"],
}


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A folder with an image of 0.5 over z, y, x in ``raw``, in micrometres."""
    import numpy as np
    import zarr

    root = tmp_path / "study"
    group = zarr.open_group(root / "raw", mode="w", zarr_format=3)
    datasets = []
    for number, step in enumerate((1, 2)):
        data = np.arange(4 * 32 * 24, dtype="u2").reshape(4, 32, 24)[:, ::step, ::step]
        zarr.create_array(root / "raw" / str(number), data=data, zarr_format=3)
        scale = {"type": "scale", "scale": [2, 0.5 * step, 0.5 * step]}
        datasets.append({"path": str(number), "coordinateTransformations": [scale]})
    multiscale = {"axes": WORLD["axes"], "datasets": datasets}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    return root


def zarr_path(path: str, kind: str = "zarr") -> dict[str, str]:
    return {"type": kind, "path": path}


def collection(*nodes: Any, **attributes: Any) -> dict[str, Any]:
    ome = {"version": "0.x", "type": "collection", "name": "all", "nodes": list(nodes)}
    return {"ome": {**ome, "attributes": attributes}}


def test_a_collection_is_opened_by_the_link_of_its_file(
    stack: Path, slow_server: Callable[..., SlowServer]
) -> None:
    nodes = [
        {"type": "multiscale", "name": "As it was", "path": zarr_path("./raw")},
        {"type": "multiscale", "name": "far", "path": zarr_path("https://elsewhere.org/x.zarr")},
        {"type": "multiscale", "name": "up", "path": zarr_path("../x.zarr")},
        {"type": "mobie:table", "name": "table", "path": zarr_path("t.csv", "mobie:csv")},
    ]
    write(stack, "all.json", collection(*nodes))
    server = slow_server(stack.parent)

    image = noc.open(f"{server.url}/study/all.json")

    assert str(image.location).endswith("/study/raw")
    assert len(image.levels) == 2
    assert sum("left out" in note for note in image.notes) == 3
    assert all(path.startswith("/study/") for path in server.paths)


def test_a_collection_in_a_collection_is_a_file_too(stack: Path) -> None:
    write(stack, "sub/inner.json", collection({"type": "multiscale", "path": zarr_path("clean")}))
    shutil.copytree(stack / "raw", stack / "sub" / "clean")
    inner = {"type": "collection", "name": "more", "path": zarr_path("./sub/inner.json", "json")}
    raw = {"type": "multiscale", "name": "raw", "path": zarr_path("raw")}
    write(stack, "all.json", collection(raw, inner))

    image = noc.open(stack / "all.json")

    assert [entry.name for entry in image.series] == ["raw", "more"]
    assert str(image.series[1].open().location).endswith("/sub/clean")


def test_a_collection_that_holds_itself_is_given_up(
    stack: Path, slow_server: Callable[..., SlowServer]
) -> None:
    itself = {"type": "collection", "name": "again", "path": zarr_path("all.json", "json")}
    write(stack, "all.json", collection(itself))
    server = slow_server(stack.parent)

    with pytest.raises(MetadataError, match="each inside the next"):
        noc.open(f"{server.url}/study/all.json")

    assert len(server.log) < 10


def test_an_image_that_a_collection_describes_itself_is_opened(stack: Path) -> None:
    levels = [
        {
            "type": "singlescale",
            "id": f"raw_{n}",
            "path": zarr_path(f"./raw/{n}"),
            "attributes": {
                "coordinateTransformations": [
                    {
                        "type": "scale",
                        "scale": [2, 0.5 * 2**n, 0.5 * 2**n],
                        "input": f"raw_{n}",
                        "output": "world",
                    }
                ]
            },
        }
        for n in range(2)
    ]
    colours = {"labelAttributes": [{"labelValue": 5, "color": [255, 0, 0, 255], "area": 3}]}
    nodes = [
        {"type": "multiscale", "name": "raw", "nodes": levels},
        {"type": "multiscale", "name": "cells", "nodes": levels, "attributes": {"labels": colours}},
    ]
    write(stack, "all.json", collection(*nodes, coordinateSystems=[WORLD]))

    image = noc.open(stack / "all.json")
    cells = image.series[1].open()

    assert [entry.name for entry in image.series] == ["raw", "cells"]
    assert [level.path for level in image.levels] == ["raw/0", "raw/1"]
    assert [level.scale for level in image.levels] == [(2, 0.5, 0.5), (2, 1, 1)]
    assert "".join(axis.name for axis in image.axes) == "zyx"
    assert (image.read() == noc.open(stack / "raw").read()).all()
    label = cells.opened.image.label
    assert label is not None
    assert label.colors == {5: (255, 0, 0, 255)}
    assert label.properties == {5: {"area": 3}}


def test_an_image_of_a_collection_is_shown_in_its_place(stack: Path) -> None:
    move = {"type": "translation", "translation": [0, 0, 100], "output": {"id": "world"}}
    nodes = [
        {
            "type": "multiscale",
            "name": "moved",
            "path": zarr_path("raw"),
            "attributes": {"coordinateTransformations": [move]},
        },
        {
            "type": "multiscale",
            "name": "lost",
            "path": zarr_path("other"),
            "attributes": {"coordinateTransformations": [{**move, "output": "nowhere"}]},
        },
    ]
    shutil.copytree(stack / "raw", stack / "other")
    write(stack, "all.json", collection(*nodes, coordinateSystems=[WORLD]))

    moved = noc.open(stack / "all.json")
    lost = moved.series[1].open()

    place = [s + (moved.affine.translation[n] if moved.affine else 0)
             for n, s in enumerate(moved.levels[0].translation)]  # fmt: skip
    assert place == [0, 0, 100]
    assert lost.levels[0].translation == (0, 0, 0)
    assert any("place in the collection could not be read" in note for note in lost.notes)


def test_a_file_that_is_no_collection_says_what_it_is(stack: Path) -> None:
    write(stack, "table.json", {"columns": []})

    with pytest.raises(MetadataError, match="a document"):
        noc.open(stack / "table.json")
