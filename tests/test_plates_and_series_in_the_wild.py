"""Plates and series as other programs got them wrong: opened all the same, with a note."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

import napari_omezarr_cloud as noc
from tests.fixtures.plates import field_pixels, write_field, write_plate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer

WELLS = {well: [field_pixels(seed, (1, 32, 32))] for seed, well in enumerate(["A/1", "A/3", "B/2"])}


@pytest.fixture
def server(slow_server: Callable[..., SlowServer], tmp_path: Path) -> SlowServer:
    return slow_server(tmp_path)


def edit(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(file.read_text())
    change(document["attributes"]["ome"])
    file.write_text(json.dumps(document))


def swap_indices(ome: dict[str, Any]) -> None:
    for well in ome["plate"]["wells"]:
        well["rowIndex"], well["columnIndex"] = well["columnIndex"], well["rowIndex"]


def swap_lists(ome: dict[str, Any]) -> None:
    plate = ome["plate"]
    plate["rows"], plate["columns"] = plate["columns"], plate["rows"]


def forget_indices(ome: dict[str, Any]) -> None:
    for well in ome["plate"]["wells"]:
        del well["rowIndex"], well["columnIndex"]


def forget_lists(ome: dict[str, Any]) -> None:
    del ome["plate"]["rows"], ome["plate"]["columns"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (swap_indices, ("rowIndex and columnIndex", "path, which counts")),
        (swap_lists, ("rows and columns",)),
        (forget_indices, ()),
        (forget_lists, ("lists no rows",)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_well_is_where_its_path_says(
    change: Any, words: tuple[str, ...], server: SlowServer, tmp_path: Path
) -> None:
    write_plate(tmp_path / "a.zarr", WELLS)
    edit(tmp_path / "a.zarr" / "zarr.json", change)

    image = noc.open(f"{server.url}/a.zarr")
    pixels = image.read(0)

    assert image.plate is not None
    found = {well.path: (well.row, well.column) for well in image.plate.wells}
    assert found == {"A/1": (0, 0), "A/3": (0, 2), "B/2": (1, 1)}
    upper, lower = np.split(pixels[0], [pixels.shape[1] // 2])
    assert holds(upper, WELLS["A/1"]) and holds(upper, WELLS["A/3"]) and holds(lower, WELLS["B/2"])
    if words:
        assert any(all(word in note for word in words) for note in image.notes), image.notes
        said = noc.to_layers(image)[0][1]["metadata"]["omezarr"]["notes"]
        assert any(all(word in note for word in words) for note in said)


def holds(plane: np.ndarray[Any, Any], fields: list[np.ndarray[Any, Any]]) -> bool:
    """Tell whether a field is somewhere in a plane, voxel for voxel."""
    field = fields[0][0]
    h, w = field.shape
    views = np.lib.stride_tricks.sliding_window_view(plane, (1, w))[:, :, 0]
    rows, columns = np.nonzero((views == field[0]).all(axis=-1))
    return any(
        np.array_equal(plane[y : y + h, x : x + w], field)
        for y, x in zip(rows, columns, strict=True)
    )


def test_a_well_that_is_listed_and_not_there_is_blank(server: SlowServer, tmp_path: Path) -> None:
    write_plate(tmp_path / "a.zarr", {"A/1": WELLS["A/1"]}, listed=["A/1", "B/2"])

    image = noc.open(f"{server.url}/a.zarr")
    pixels = image.read(0)[0]

    upper, lower = np.split(pixels, [pixels.shape[0] // 2])
    assert holds(upper, WELLS["A/1"])
    assert not lower.any()
    assert any("B" in note and "2" in note for note in image.notes)


XML = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    '<Image ID="Image:0" Name="first"/><Image ID="Image:1" Name="second"/></OME>'
)


def series(root: Path, names: list[str], xml: str | None, listed: Any = None) -> None:
    """Write a series as bioformats2raw does; image n has pixels of seed n."""
    zarr.open_group(root, mode="w", zarr_format=3).attrs["ome"] = {
        "version": "0.5", "bioformats2raw.layout": 3,
    }  # fmt: skip
    for seed, name in enumerate(names):
        write_field(root / name, field_pixels(seed, (1, 32, 32)))
    about = {} if listed is None else {"series": listed}
    zarr.open_group(root / "OME", mode="w", zarr_format=3).attrs["ome"] = about
    if xml is not None:
        (root / "OME" / "METADATA.ome.xml").write_text(xml)


SERIES: dict[str, tuple[list[str], str | None, Any, list[str], tuple[str, ...]]] = {
    "no XML": (["0", "1"], None, None, ["0", "1"], ()),
    "no XML, listed": (["7", "5"], None, ["7", "5"], ["7", "5"], ()),
    "a null character in the XML": (
        ["0", "1"], XML.replace("first", "fir&#0;st"), None, ["0", "1"], ("METADATA.ome.xml",),
    ),
    "a null character in the XML, cut": (
        ["0", "1"], XML.replace("second", "sec&#0"), None, ["0", "1"], ("METADATA.ome.xml",),
    ),
    "XML that is cut": (["0", "1"], XML[:-30], None, ["0", "1"], ("METADATA.ome.xml",)),
    "XML that is a page": (["0", "1"], "<html><body>", None, ["0", "1"], ("METADATA.ome.xml",)),
    "ids are no group numbers": (
        ["0", "1"], XML.replace("Image:0", "Image:41").replace("Image:1", "Image:7"), None,
        ["0", "1"], (),
    ),
    "ids are no group numbers, listed": (
        ["3", "4"], XML.replace("Image:0", "Image:4").replace("Image:1", "Image:3"), ["3", "4"],
        ["3", "4"], (),
    ),
    "series is no list": (["0", "1"], XML, "01", ["0", "1"], ("no list",)),
    "series as numbers": (["0", "1"], XML, [0, 1], ["0", "1"], ()),
}  # fmt: skip


@pytest.mark.parametrize("name", SERIES)
def test_all_images_of_a_series_are_offered(name: str, server: SlowServer, tmp_path: Path) -> None:
    names, xml, listed, wanted, words = SERIES[name]
    series(tmp_path / "a.zarr", names, xml, listed)

    image = noc.open(f"{server.url}/a.zarr")

    assert [entry.path for entry in image.series] == wanted
    assert [np.array_equal(entry.open().read(0), field_pixels(n, (1, 32, 32)))
            for n, entry in enumerate(image.series)] == [True, True]  # fmt: skip
    assert any("2 images" in note for note in image.notes), image.notes
    if words:
        assert any(all(word in note for word in words) for note in image.notes), image.notes


@pytest.mark.parametrize("name", ["ids are no group numbers", "ids are no group numbers, listed"])
def test_names_of_a_series_are_in_the_order_of_its_images(
    name: str, server: SlowServer, tmp_path: Path
) -> None:
    names, xml, listed, _, _ = SERIES[name]
    series(tmp_path / "a.zarr", names, xml, listed)

    image = noc.open(f"{server.url}/a.zarr")

    assert [entry.name for entry in image.series] == ["first", "second"]


def test_a_null_character_costs_no_other_image_its_name(server: SlowServer, tmp_path: Path) -> None:
    xml = XML.replace("first", "fir&#0;st").replace('2016-06">', '2016-06"><A v="&#x0;&#1;"/>')
    series(tmp_path / "a.zarr", ["0", "1"], xml)

    names = [entry.name for entry in noc.open(f"{server.url}/a.zarr").series]

    assert names[1] == "second"
    assert names[0].replace(" ", "") == "first"
