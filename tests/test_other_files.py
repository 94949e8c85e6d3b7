"""Links to files that are no Zarr: what they are is said, and what to use instead."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import NotFoundError, NotOmeZarrError, UnreachableError
from tests.fixtures.images import pattern, write_directly

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer

SAID = {
    "cells.tar": ("a tar archive", "zip -0 -r"),
    "cells.zarr.tar.gz": (r"a tar archive \(.tar.gz\)", "Unpack it"),
    "cells.7z": ("a packed archive", "Unpack it"),
    "cells.zarr.gz": ("a compressed file", "Unpack it"),
    "cells.n5": ("an N5 container", "Fiji"),
    "cells.h5": ("an HDF5 file", "bioformats2raw"),
    "cells.hdf5": ("an HDF5 file", "bioformats2raw"),
    "cells.ome.tif": ("an OME-TIFF", "bioformats2raw"),
    "cells.TIFF": ("a TIFF", "bioformats2raw"),
    "cells.czi": ("a Zeiss file", "bioformats2raw"),
    "cells.nd2": ("a Nikon file", "bioformats2raw"),
    "cells.lif": ("a Leica file", "bioformats2raw"),
    "cells.nii.gz": ("a NIfTI file", "bioformats2raw"),
    "cells.png": ("a picture", "File > Open"),
    "cells.ipynb": ("a Jupyter notebook", "the image that it names"),
    "cells.xml": ("an XML file", "the image that it names"),
}


@pytest.mark.parametrize("name", SAID)
@pytest.mark.parametrize("way", ["file", "http", "s3 without listing", "web application"])
def test_a_file_of_another_kind_is_named(
    tmp_path: Path, slow_server: Callable[..., SlowServer], name: str, way: str
) -> None:
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / name).write_bytes(b"no zarr")
    missing: int | str = {"s3 without listing": 403, "web application": "html"}.get(way, 404)
    server = slow_server(tmp_path, missing=missing)
    link = f"{server.url}/bucket/{name}"
    if way == "file":
        link = str(tmp_path / "bucket" / name)
    elif way == "s3 without listing":
        link = f"s3://bucket/{name}?endpoint={server.url}&anonymous=true"
    what, instead = SAID[name]

    with pytest.raises(NotOmeZarrError, match=f"{what}.*only OME-Zarr.*{instead}"):
        noc.open(link)


def test_a_folder_may_be_called_like_a_file(tmp_path: Path) -> None:
    write_directly(tmp_path / "cells.tif", "yx", [pattern((32, 32))], chunks=(32, 32))

    assert noc.open(tmp_path / "cells.tif").levels[0].shape == (32, 32)


def test_a_link_without_such_an_ending_is_not_found_as_before(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such folder"):
        noc.open(tmp_path / "cells.zarr")


def test_a_server_that_is_not_there_is_not_blamed_on_the_name() -> None:
    with pytest.raises(UnreachableError):
        noc.open("http://127.0.0.1:9/cells.tif")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a.tif", "b.tif"], r"none of its 2 members.*'a\.tif', 'b\.tif'"),
        (["inner.ozx"], "A zip file inside a zip file is not read; unpack the outer one"),
        ([], "none of its 0 members"),
    ],
)
def test_a_zip_file_of_other_things_says_what_it_holds(
    tmp_path: Path, names: list[str], said: str
) -> None:
    with zipfile.ZipFile(tmp_path / "things.zip", "w") as archive:
        for name in names:
            archive.writestr(name, "x")

    with pytest.raises(NotOmeZarrError, match=said):
        noc.open(tmp_path / "things.zip")
