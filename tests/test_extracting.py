"""A part of an image as a file of its own: boxes in voxels and in units, levels, channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.cli import main
from napari_omezarr_cloud.errors import RegionError, WriteError
from tests.fixtures.images import pattern, pyramid, write_directly

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.images import Written

WINDOW = {"start": 0, "end": 9, "min": 0, "max": 99}


@pytest.fixture
def cells(tmp_path: Path) -> Written:
    """Two times, three channels, five planes, three levels that are coarser along y and x."""
    looks = [{"label": name, "color": "00FF00", "window": WINDOW} for name in "abc"]
    return write_directly(
        tmp_path / "cells.zarr",
        "tczyx",
        pyramid(pattern((2, 3, 5, 96, 80)), 3),
        chunks=(1, 1, 2, 32, 32),
        omero={"channels": looks, "rdefs": {"defaultZ": 2, "defaultT": 1}},
        transforms=[
            ((10, 1, 2, 0.5 * f, 0.5 * f), (0, 0, 4, 0.25 * f, 0.25 * f)) for f in (1, 2, 4)
        ],
    )


@pytest.mark.parametrize(
    ("units", "box"),
    [
        ("pixel", {"t": 1, "c": (1, None), "z": (1, 4), "y": (10, 50), "x": (None, 33)}),
        (
            "world",  # centres of voxels lie at 0.25 + 0.5 i along y and x, 4 + 2 i along z
            {"t": 10.0, "c": (1, 3), "z": (5.0, 11.0), "y": (5.0, 25.0), "x": (None, 16.3)},
        ),
    ],
)
def test_a_box_in_voxels_or_in_units(
    cells: Written, units: Any, box: dict[str, Any], tmp_path: Path
) -> None:
    image = noc.open(cells.path)

    place = noc.extract(image, tmp_path / "part.zarr", box, units=units)

    part = noc.open(place)
    assert (part.read(0) == cells.levels[0][1:, 1:, 1:4, 10:50, :33]).all()
    assert part.levels[0].translation == (10, 0, 6, 5.25, 0.25)
    assert [channel.name for channel in part.channels] == ["b", "c"]
    assert (part.opened.image.default_z, part.opened.image.default_t) == (1, 0)


@pytest.mark.parametrize("name", ["part.zarr", "part.ozx", "part.ome.tif"])
def test_levels_are_copied_as_they_are(cells: Written, name: str, tmp_path: Path) -> None:
    image, target = noc.open(cells.path), tmp_path / name
    box = {"y": (20, 60), "x": (8, 80)}

    noc.extract(image, target, box, levels=[2, 0], channels=[2, 0])

    finest = cells.levels[0][:, [2, 0], :, 20:60, 8:80]
    coarse = cells.levels[2][:, [2, 0], :, 5:15, 2:20]
    if name.endswith("tif"):
        with tifffile.TiffFile(target) as file:
            found = [level.asarray() for level in file.series[0].levels]
    else:
        part = noc.open(target)
        found = [level.dask.compute() for level in part.levels]
        assert [level.scale[-1] for level in part.levels] == [0.5, 2.0]
        assert part.levels[1].translation == (0, 0, 4, 11, 5)
    for level, truth in zip(found, (finest, coarse), strict=True):
        np.testing.assert_array_equal(level, truth)


def test_what_is_not_there_is_said_with_what_is(cells: Written, tmp_path: Path) -> None:
    image, target = noc.open(cells.path), tmp_path / "part.zarr"

    with pytest.raises(RegionError, match=r"no axis 'q'.*The axes are t, c, z, y, x"):
        noc.plan_extract(image, target, {"q": 1})
    with pytest.raises(RegionError, match="along y; it goes from 0 to 48 micrometer"):
        noc.plan_extract(image, target, {"y": (50, 60)}, units="world")
    with pytest.raises(RegionError, match="no level 7"):
        noc.plan_extract(image, target, {"y": (0, 6)}, levels=[0, 7])
    with pytest.raises(WriteError, match="computed, and has no levels to copy"):
        noc.plan_extract(noc.apply(image, noc.Step("gaussian")), target, levels=[0, 1])


def test_a_part_asks_only_for_its_chunks(cells: Written, tmp_path: Path, slow_server: Any) -> None:
    server = slow_server(cells.path.parent)
    image = noc.open(f"{server.url}/cells.zarr")
    server.clear_log()

    noc.extract(image, tmp_path / "part.ome.tif", {"t": 0, "c": 2, "y": (0, 32), "x": (32, 64)})

    assert sorted(server.paths) == [f"/cells.zarr/0/c/0/2/{z}/0/1" for z in range(3)]


def test_in_the_shell(cells: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = str(tmp_path / "part.ome.tif")
    box = "t=10,z=5:11,y=5:25"

    code = main(["extract", str(cells.path), target, "--box", box, "--world", "--channels", "2"])

    assert code == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("OME-TIFF, tczyx, uint16, deflate: 1 level, one file")
    assert said[-1] == f"saved to {target}"
    assert (tifffile.imread(target) == cells.levels[0][1, 2, 1:4, 10:50]).all()
    assert main(["extract", str(cells.path), target, "--box", "y=a"]) == 1
    assert "Write t=3,z=0:10" in capsys.readouterr().err
