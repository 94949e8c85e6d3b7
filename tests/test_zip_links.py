"""Every way to name an image in a zip file leads to it, over a server, by ranges."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.cli import main
from napari_omezarr_cloud.errors import LinkError, NotFoundError
from tests.fixtures.images import pattern, pyramid, write_directly
from tests.fixtures.plates import field_pixels, write_plate
from tests.fixtures.slow_http import SlowServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEVELS = pyramid(pattern((700, 500)), 3)
FIELDS = {"A/1": [field_pixels(1), field_pixels(2)], "B/3": [field_pixels(3), field_pixels(4)]}
SERIES = [pyramid(pattern((200 + 30 * n, 200)), 2) for n in range(2)]


def pack(folder: Path, target: Path, top: str = "") -> None:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, f"{top}{path.relative_to(folder).as_posix()}")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("zips")
    made = tmp_path_factory.mktemp("unpacked")
    write_directly(made / "cells", "yx", LEVELS, chunks=(64, 64), compressors=None)
    write_plate(made / "plate", FIELDS)
    series = made / "series"
    zarr.open_group(series, mode="w", zarr_format=2).attrs["bioformats2raw.layout"] = 3
    zarr.open_group(series / "OME", mode="w", zarr_format=2).attrs["series"] = ["0", "1"]
    for n, levels in enumerate(SERIES):
        write_directly(series / str(n), "yx", levels, version="0.4", chunks=(64, 64))
    for name in ("cells", "plate", "series"):
        pack(made / name, root / f"{name}.zip")
        pack(made / name, root / f"{name}.ozx")
        pack(made / name, root / f"{name}_top.zip", f"{name}.zarr/")
    return root


@pytest.fixture
def server(root: Path) -> Iterator[SlowServer]:
    with SlowServer(root, latency_s=0.01) as server:
        yield server


@pytest.mark.parametrize(
    "form",
    [
        "{u}/cells.zip",
        "{u}/cells.ozx",
        "{u}/cells_top.zip",
        "{u}/cells.zip?download=1",
        "{u}/cells.zip/?download=1",
        "{u}/cells.zip/zarr.json",
        "{u}/cells_top.zip/cells.zarr/",
        "{u}/cells.zip|zip:",
        "{u}/cells.zip?download=1|zip:",
        "{u}/cells.ozx|zip:|zarr3:",
        "{u}/cells.ozx%7Czip:%7Czarr3:",
        "{u}/cells_top.zip|zip:cells.zarr/|zarr3:",
        "zip::{u}/cells.zip",
        "zip://::{u}/cells.zip",
        "zip://cells.zarr::{u}/cells_top.zip",
        "zip::simplecache::{u}/cells.zip",
        "zarr://{u}/cells.zip",
        "zarr3://{u}/cells_top.zip/cells.zarr",
    ],
)
def test_an_image_in_a_zip_file_opens_from(server: SlowServer, root: Path, form: str) -> None:
    image = noc.open(form.format(u=server.url))

    np.testing.assert_array_equal(image.read(2), LEVELS[2])
    log = [each for each in server.log if ".zip" in each.path or ".ozx" in each.path]
    assert {each.status for each in log} == {206}
    assert sum(each.range == f"bytes=-{1 << 18}" for each in log) == 1
    assert sum(each.nbytes for each in log) < (root / "cells.zip").stat().st_size


@pytest.mark.parametrize(
    "form",
    [
        "{u}/cells.zip/1",
        "{u}/cells_top.zip/1",
        "{u}/cells_top.zip/cells.zarr/1",
        "{u}/cells.zip/1?download=1",
        "{u}/cells.zip|zip:|zarr3:1",
        "{u}/cells.zip|zip:1/|zarr3:",
        "zip://cells.zarr/1::{u}/cells_top.zip?download=1",
    ],
)
def test_a_level_in_a_zip_file_opens_its_image(server: SlowServer, form: str) -> None:
    image = noc.open(form.format(u=server.url))

    assert image.opened.linked_level == 1
    np.testing.assert_array_equal(image.read(1), LEVELS[1])


@pytest.mark.parametrize("file", ["plate.zip", "plate.ozx", "plate_top.zip"])
def test_plates_wells_and_fields_in_a_zip_file_open(server: SlowServer, file: str) -> None:
    field = noc.open(f"{server.url}/{file}/B/3/1")
    well = noc.open(f"{server.url}/{file}/A/1")
    plate = noc.open(f"{server.url}/{file}")

    np.testing.assert_array_equal(field.read(0), FIELDS["B/3"][1])
    assert well.plate is not None
    assert plate.plate is not None
    np.testing.assert_array_equal(
        plate.read(0, (slice(None), slice(0, 37), slice(0, 45))), FIELDS["A/1"][0]
    )


@pytest.mark.parametrize("file", ["series.zip", "series.ozx", "series_top.zip"])
def test_series_in_a_zip_file_open(server: SlowServer, file: str) -> None:
    first = noc.open(f"{server.url}/{file}")
    second = noc.open(f"{server.url}/{file}/1")

    assert [each.path for each in first.series] == ["0", "1"]
    np.testing.assert_array_equal(first.series[1].open().read(0), SERIES[1][0])
    np.testing.assert_array_equal(second.read(0), SERIES[1][0])


@pytest.mark.parametrize("form", ["{f}", "{f}/0", "{f}|zip:|zarr3:", "zip::{f}", "file://{f}|zip:"])
def test_a_zip_file_on_disk_opens_from(root: Path, form: str) -> None:
    image = noc.open(form.format(f=root / "cells.zip"))

    np.testing.assert_array_equal(image.read(0), LEVELS[0])


def test_what_is_not_in_the_file_is_not_found(server: SlowServer) -> None:
    with pytest.raises(NotFoundError, match=r"cells\.zip/nothing"):
        noc.open(f"{server.url}/cells.zip/nothing")
    with pytest.raises(LinkError, match=r"'\.\.'"):
        noc.open(f"{server.url}/cells.zip|zip:../other|zarr3:")


def test_the_shell_says_what_is_in_a_zip_file(
    server: SlowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", f"{server.url}/cells.ozx"]) == 0

    said = capsys.readouterr().out
    assert "image, OME-Zarr 0.5" in said
    assert "700 × 500" in said
