"""zarr, dask and ome-zarr-py over our connections: reading, and writing to a real S3 server."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
import zarr

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import AccessRefusedError
from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.store import RemoteStore
from napari_omezarr_cloud.store.zarr_store import ZarrStore
from tests.fixtures.images import axis_documents, pattern, pyramid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.images import Written
    from tests.fixtures.servers import S3Server
    from tests.fixtures.slow_http import SlowServer

    Open = Callable[..., ZarrStore]


@pytest.fixture(params=["folder", "S3"])
def writable(
    request: pytest.FixtureRequest, tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, Open]:
    """A place to write to, and a function that opens a store there."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    folders = {"folder": str(tmp_path), "S3": f"s3://{s3.private}/{tmp_path.name}"}
    place = folders[request.param]

    def open_store(*, read_only: bool = False) -> ZarrStore:
        remote = RemoteStore(parse_location(place), anonymous=False)
        return ZarrStore(remote, read_only=read_only)

    return place, open_store


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_array_comes_back_as_it_was_written(
    writable: tuple[str, Open], zarr_format: Any
) -> None:
    _, open_store = writable
    values = pattern((40, 50))
    array = zarr.create_array(
        open_store(),
        name="deep/array",
        shape=values.shape,
        chunks=(16, 16),
        dtype=values.dtype,
        zarr_format=zarr_format,
    )
    array[...] = values
    array[10:20, 30:] = 7

    found = zarr.open_array(open_store(read_only=True), path="deep/array")

    values[10:20, 30:] = 7
    np.testing.assert_array_equal(found[...], values)
    np.testing.assert_array_equal(found[3::5, -4], values[3::5, -4])


def test_a_sharded_array_is_read_in_parts(writable: tuple[str, Open]) -> None:
    _, open_store = writable
    values = pattern((64, 64))
    array = zarr.create_array(
        open_store(), shape=(64, 64), shards=(64, 64), chunks=(16, 16), dtype=values.dtype
    )
    array[...] = values

    found = zarr.open_array(open_store(read_only=True))

    np.testing.assert_array_equal(found[20:30, 20:30], values[20:30, 20:30])


def test_a_group_lists_and_loses_its_members(writable: tuple[str, Open]) -> None:
    _, open_store = writable
    group = zarr.create_group(open_store())
    for name in ("a", "b"):
        group.create_array(name, shape=(4,), dtype="u1")[...] = 1
    group.create_group("below").create_array("c", shape=(4,), dtype="u1")

    del group["b"]

    again = zarr.open_group(open_store(read_only=True), mode="r")
    assert sorted(again) == ["a", "below"]
    assert sorted(again["below"]) == ["c"]  # type: ignore[arg-type]


def test_ome_zarr_py_writes_an_image_that_we_open(writable: tuple[str, Open]) -> None:
    with warnings.catch_warnings():
        # Its modules use the class that they deprecate.
        warnings.filterwarnings("ignore", "Call to deprecated class Scaler")
        from ome_zarr import writer
    place, open_store = writable
    levels = pyramid(pattern((2, 64, 48)))
    group = zarr.create_group(open_store())

    writer.write_multiscale(levels, group, axes=axis_documents("cyx"))

    image = noc.open(place)
    assert [level.shape for level in image.levels] == [level.shape for level in levels]
    for number, level in enumerate(levels):
        np.testing.assert_array_equal(image.read(number), level)


def test_a_read_only_store_is_not_written_to(writable: tuple[str, Open]) -> None:
    place, open_store = writable

    with pytest.raises(ValueError, match=r"read.only"):
        zarr.create_group(open_store(read_only=True))

    with pytest.raises(noc.CloudError):
        noc.open(place)


def test_who_may_not_write_is_told_so(s3: S3Server) -> None:
    guest = RemoteStore(parse_location(f"s3://{s3.public}/x", endpoint=s3.endpoint), anonymous=True)

    with pytest.raises(AccessRefusedError, match="Could not write"):
        zarr.create_group(ZarrStore(guest, read_only=False))


def test_a_level_is_a_read_only_zarr_array(ome_zarr: Callable[[str], Written]) -> None:
    written = ome_zarr("sharded")
    array = noc.open(written.path).levels[0].zarr

    np.testing.assert_array_equal(array[1, 30:40], written.levels[0][1, 30:40])
    assert array.shards == (1, 128, 128)
    with pytest.raises(ValueError, match=r"read.only"):
        array[0] = 0


def test_a_level_as_zarr_sends_no_request_for_its_metadata(
    ome_zarr: Callable[[str], Written], slow_server: Callable[..., SlowServer]
) -> None:
    path = ome_zarr("v04 by ome-zarr-py").path
    server = slow_server(path.parent)
    image = noc.open(f"{server.url}/{path.name}")
    assert image.labels == ()
    server.clear_log()

    array = image.levels[2].zarr

    assert server.log == []
    np.testing.assert_array_equal(array[...], image.read(2))


def test_dask_reads_our_zarr_arrays_with_many_threads(ome_zarr: Callable[[str], Written]) -> None:
    written = ome_zarr("v05 by ome-zarr-py")
    array = da.from_zarr(noc.open(written.path).levels[0].zarr)

    found = array.compute(scheduler="threads", num_workers=8)

    np.testing.assert_array_equal(found, written.levels[0])


def test_a_store_shows_where_it_is_and_nothing_else(s3: S3Server) -> None:
    location = parse_location(f"https://host.invalid/x.zarr?token={s3.secret_key}")
    store = ZarrStore(RemoteStore(location, anonymous=True))

    assert repr(store) == "ZarrStore('https://host.invalid/x.zarr')"
    assert str(store) == "https://host.invalid/x.zarr"
