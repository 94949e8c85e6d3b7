"""Which links and folders are ours: decided by their characters, without asking anybody."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import npe2
import pytest

from napari_omezarr_cloud.napari.reader import get_reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.images import Written

OURS = [
    pytest.param("s3://bucket/image.zarr", id="s3"),
    pytest.param("s3://bucket/image", id="s3 without .zarr"),
    pytest.param("gs://bucket/image.zarr", id="Google"),
    pytest.param("az://container/image.zarr?account=me", id="Azure"),
    pytest.param("abfss://container@account.dfs.core.windows.net/x.zarr", id="Azure Data Lake"),
    pytest.param("http://127.0.0.1:9000/bucket/x.zarr", id="http"),
    pytest.param("https://host/x.ome.zarr", id="https"),
    pytest.param("https://host/x.zarr/", id="slash at the end"),
    pytest.param("https://host/x.zarr/labels/cells", id="inside an image"),
    pytest.param("https://host/a b%20c.zarr", id="a blank that was decoded"),
    pytest.param("https://host/x.zarr?X-Sig=a%2Fb&d=1", id="signed"),
    pytest.param("https://dandiarchive.s3.amazonaws.com/zarr/0a1b2c3d/", id="no .zarr at all"),
    pytest.param("https://host/idr/zarr/v0.4", id="ends in a version"),
    pytest.param("https://host/x.ozx", id="one file"),
    pytest.param("https://host/x.zip", id="a zip file"),
]
OTHERS = [
    pytest.param("https://host/photo.png", id="png"),
    pytest.param("https://host/photo.tiff", id="tiff"),
    pytest.param("https://host/table.json", id="json"),
    pytest.param("photo.png", id="local png"),
    pytest.param("ftp://host/photo", id="ftp"),
]


@pytest.fixture(scope="module")
def manifest() -> npe2.PluginManager:
    """napari's list of plugins, with ours alone."""
    manager = npe2.PluginManager()
    manager.register(npe2.PluginManifest.from_distribution("napari-omezarr-cloud"))
    return manager


@pytest.mark.parametrize("link", OURS)
def test_napari_offers_us_these_links_and_we_take_them(
    manifest: npe2.PluginManager, link: str
) -> None:
    assert list(manifest.iter_compatible_readers([link]))
    assert get_reader(link) is not None


@pytest.mark.parametrize("link", OTHERS)
def test_napari_does_not_ask_who_opens_other_peoples_files(
    manifest: npe2.PluginManager, link: str
) -> None:
    assert not list(manifest.iter_compatible_readers([link]))


@pytest.mark.parametrize("path", ["ftp://host/x.zarr", "nowhere.txt", "photo.png"])
def test_what_is_not_ours_is_declined(path: str) -> None:
    assert get_reader(path) is None


def test_several_links_are_ours_only_together() -> None:
    assert get_reader(["s3://bucket/a.zarr", "https://host/b.zarr"]) is not None
    assert get_reader(["s3://bucket/a.zarr", "photo.png"]) is None


def test_a_folder_is_ours_by_name_or_by_what_is_in_it(
    tmp_path: Path, ome_zarr: Callable[[str], Written]
) -> None:
    plain, renamed = tmp_path / "photos", tmp_path / "image"
    plain.mkdir()
    renamed.symlink_to(ome_zarr("v04 by ome-zarr-py").path)

    assert get_reader(str(plain)) is None
    assert get_reader(str(renamed)) is not None
    assert get_reader(str(ome_zarr("v05 by ome-zarr-py").path)) is not None


def test_a_zip_file_is_ours_by_what_is_in_it(
    tmp_path: Path, ome_zarr: Callable[[str], Written], manifest: npe2.PluginManager
) -> None:
    for name, folder in (
        ("image", ome_zarr("v05 by ome-zarr-py").path),
        ("older", ome_zarr("v04 by ome-zarr-py").path),
        ("code", Path(__file__).parent),
    ):
        shutil.make_archive(str(tmp_path / name), "zip", folder)

    assert list(manifest.iter_compatible_readers([str(tmp_path / "image.zip")]))
    assert get_reader(str(tmp_path / "image.zip")) is not None
    assert get_reader(str(tmp_path / "older.zip")) is not None
    assert get_reader(str(tmp_path / "code.zip")) is None
    assert get_reader(str(tmp_path / "missing.zip")) is None


def test_no_server_is_asked_whether_a_link_is_ours(slow_server: Any, tmp_path: Path) -> None:
    server = slow_server(tmp_path)

    assert get_reader(f"{server.url}/image.zarr") is not None
    assert get_reader(f"s3://bucket/image.zarr?endpoint={server.url}") is not None

    assert server.log == []
    assert server.connections.opened == 0
