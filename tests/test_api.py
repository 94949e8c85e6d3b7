"""The verbs in Python: what an open image says of itself, and that its voxels are exact."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.chunks import Engine, engine
from napari_omezarr_cloud.errors import ChunkError, LinkError, RegionError, ServerError
from napari_omezarr_cloud.pyramid import Region
from napari_omezarr_cloud.store import clients
from tests.fixtures.images import write_directly

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.images import Written
    from tests.fixtures.slow_http import SlowServer

    Serve = Callable[[str], tuple[SlowServer, noc.Image]]


@pytest.fixture
def serve(slow_server: Callable[..., SlowServer], ome_zarr: Callable[[str], Written]) -> Serve:
    """``serve(kind)`` opens one of the small images over a server, whose log is then empty."""

    def start(kind: str) -> tuple[SlowServer, noc.Image]:
        path = ome_zarr(kind).path
        server = slow_server(path.parent)
        image = noc.open(f"{server.url}/{path.name}")
        assert isinstance(image.labels, tuple)  # waits, so that nothing is under way
        server.clear_log()
        return server, image

    return start


# ---- what an image says -------------------------------------------------------------------------


def test_an_image_says_what_its_metadata_say(any_image: Written) -> None:
    image = noc.open(any_image.path)

    assert "".join(axis.name for axis in image.axes) == any_image.axes
    assert [level.shape for level in image.levels] == [a.shape for a in any_image.levels]
    assert {level.dtype for level in image.levels} == {any_image.levels[0].dtype}
    assert [level.scale for level in image.levels] == list(any_image.scales)
    assert [level.translation for level in image.levels] == list(any_image.translations)


def test_every_way_to_the_voxels_is_exact(any_image: Written) -> None:
    image = noc.open(any_image.path)

    for level, expected in zip(image.levels, any_image.levels, strict=True):
        for found in (image.read(level.number), level.dask.compute(), level.zarr[...]):
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == expected.dtype


def test_a_level_as_dask_is_chunked_as_it_is_stored(ome_zarr: Callable[[str], Written]) -> None:
    level = noc.open(ome_zarr("sharded").path).levels[0]

    assert isinstance(level.dask, da.Array)
    assert level.chunks == level.dask.chunksize == (1, 32, 32)


def test_channels_have_their_names_colours_and_windows(
    ome_zarr: Callable[[str], Written],
) -> None:
    image = noc.open(ome_zarr("v05 with labels").path)

    assert [channel.name for channel in image.channels] == ["nuclei", "membranes"]
    assert [channel.color for channel in image.channels] == ["FF00FF", "00FF00"]
    windows = [(c.window.start, c.window.end) for c in image.channels if c.window]
    assert windows == [(0, 50_000), (100, 60_000)]


def test_labels_have_exact_values_colours_and_properties(
    ome_zarr: Callable[[str], Written],
) -> None:
    written = ome_zarr("v05 with labels")

    (labels,) = noc.open(written.path).labels

    assert labels.name == "cells"
    np.testing.assert_array_equal(labels.read(1), written.labels["cells"][1])
    assert labels.label.colors[1] == (255, 40, 0, 255)
    assert labels.label.properties[2] == {"class": "kind 0"}


def test_layers_can_be_made_without_a_window(ome_zarr: Callable[[str], Written]) -> None:
    written = ome_zarr("v05 with labels")

    layers = noc.to_layers(noc.open(written.path))

    assert [kind for _, _, kind in layers] == ["image", "image"]
    np.testing.assert_array_equal(layers[1][0][2].compute(), written.levels[2][1])


def test_what_an_image_and_its_levels_are_is_shown(ome_zarr: Callable[[str], Written]) -> None:
    image = noc.open(ome_zarr("v04 with labels").path)

    assert repr(image) == (
        "<Image 'v04 with labels' (cyx, OME-Zarr 0.4): <Level 0 's0': 2x96x96 uint16>>"
    )
    assert repr(image.labels[0]).startswith("<Labels 'cells': 3 levels, <Level 0 'labels/cells/s0'")


@pytest.mark.parametrize("kind", ["bool", "int8", "uint64", ">u2", "float16", ">f8", "complex64"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_voxels_of_any_type_are_exact(tmp_path: Path, kind: str, version: str) -> None:
    values = np.random.default_rng(0).normal(0, 50, (40, 33)).astype(kind)
    written = write_directly(tmp_path / "x", "yx", [values], version=version, chunks=(16, 16))

    image = noc.open(written.path)

    for found in (image.read(), image.levels[0].dask.compute(), image.levels[0].zarr[...]):
        np.testing.assert_array_equal(found, values)
    assert image.levels[0].dtype == values.dtype.newbyteorder("=")
    assert image.levels[0].dask.dtype == image.levels[0].dtype


# ---- regions ------------------------------------------------------------------------------------


@pytest.fixture
def volume(ome_zarr: Callable[[str], Written]) -> tuple[noc.Image, Any]:
    written = ome_zarr("v05 by ome-zarr-py")
    return noc.open(written.path), written.levels[0]


@pytest.mark.parametrize(
    "region",
    [
        pytest.param(np.s_[0, 1, 2, 10:20, 30:31], id="indices drop their axis"),
        pytest.param(np.s_[-1, :, -2:, :5, ::1], id="counted from the end"),
        pytest.param(np.s_[np.int64(1), 0, np.uint8(3), :, :], id="numpy's numbers"),
        pytest.param(np.s_[:, :, :, 60:1000, 5:5], id="beyond the edge, and empty"),
    ],
)
def test_a_region_is_what_numpy_would_give(volume: tuple[noc.Image, Any], region: Any) -> None:
    image, expected = volume

    np.testing.assert_array_equal(image.read(0, region), expected[region])


@pytest.mark.parametrize(
    ("level", "region", "why"),
    [
        pytest.param(0, np.s_[0, 0], "2 axes, the image has 5", id="too few axes"),
        pytest.param(0, np.s_[5, 0, 0, :, :], "index 5 leaves an axis of 2", id="outside"),
        pytest.param(0, np.s_[:, :, :, ::2, :], "has a step", id="step"),
        pytest.param(3, None, "no level 3; the image has 3", id="no such level"),
        pytest.param(-4, None, "no level -4", id="no such level from the end"),
    ],
)
def test_a_region_that_is_none_says_why(
    volume: tuple[noc.Image, Any], level: int, region: Any, why: str
) -> None:
    with pytest.raises(RegionError, match=why):
        volume[0].read(level, region)


def test_a_region_that_does_not_fit_into_memory_is_refused(tmp_path: Path) -> None:
    one = np.zeros((1, 1), "u2")
    write_directly(tmp_path / "x", "yx", [one], chunks=(1024, 1024))
    file = tmp_path / "x" / "0" / "zarr.json"
    file.write_text(file.read_text().replace("[\n    1,\n    1\n  ]", "[1000000000, 1000000000]"))

    image = noc.open(tmp_path / "x")

    assert image.levels[0].shape == (1_000_000_000, 1_000_000_000)
    assert image.read(0, np.s_[10**8, 5:8]).tolist() == [0, 0, 0]
    with pytest.raises(RegionError, match="do not fit into memory"):
        image.read()


def test_an_open_image_shows_no_token(
    slow_server: Callable[..., SlowServer], ome_zarr: Callable[[str], Written]
) -> None:
    path = ome_zarr("v04 with labels").path
    server = slow_server(path.parent)
    image = noc.open(f"{server.url}/{path.name}?token=s3cr3t-t0ken")
    level = image.levels[0]
    pixels = image.read(2)

    layers = [attributes for _, attributes, _ in noc.to_layers(image)]
    shown = [image, image.location, image.pyramid, image.opened, image.labels, image.traffic]
    shown += [level, level.zarr, level.zarr.store, level.dask.name, level.dask, layers]

    assert pixels.any()
    assert all("s3cr3t-t0ken" in exchange.query for exchange in server.log)
    assert "s3cr3t-t0ken" not in "".join(form(each) for each in shown for form in (str, repr))


# ---- requests -----------------------------------------------------------------------------------


def test_a_second_look_makes_no_request(serve: Serve) -> None:
    server, image = serve("v04 by ome-zarr-py")
    image.read(1)
    server.clear_log()

    image.read(1)
    image.levels[1].dask[2].compute()

    assert server.log == []


def test_a_region_asks_for_the_chunks_it_touches_and_no_others(serve: Serve) -> None:
    server, image = serve("v05 by ome-zarr-py")

    image.read(0, np.s_[1, 0, 0:2, 30:40, 0:10])

    found = {path.partition("s0/")[2] for path in server.paths}
    assert found == {"c/1/0/0/0/0", "c/1/0/0/1/0"}


def test_who_reads_the_same_chunks_at_once_shares_the_requests(serve: Serve) -> None:
    server, image = serve("v04 by ome-zarr-py")
    server.latency_s = 0.1

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: image.read(0), range(4)))

    assert len(server.log) == len(set(server.paths)) == 27
    assert all(np.array_equal(found[0], each) for each in found)


def test_a_shards_index_is_read_once(serve: Serve) -> None:
    server, image = serve("sharded")

    image.read(0, np.s_[0, :64, :64])

    ranges = [exchange.range or "" for exchange in server.log]
    assert len([each for each in ranges if each.startswith("bytes=-")]) == 1
    assert len(ranges) == 1 + 1  # its chunks lie beside each other


def test_cancelling_a_read_closes_its_connections(serve: Serve) -> None:
    server, image = serve("v04 by ome-zarr-py")
    server.fault("s0/", "hang")
    level = image.pyramid.levels[0]
    reading = engine().start(level, Region.whole(level.grid.shape))
    assert server.wait_until(lambda s: len(s.log) == 27)

    reading.cancel()

    assert server.wait_until(lambda s: all(e.abandoned for e in s.log))
    server.clear_faults()
    assert image.read(0).shape == level.grid.shape


def test_traffic_counts_what_was_asked_for(serve: Serve) -> None:
    server, image = serve("v04 by ome-zarr-py")
    before = image.traffic.nbytes

    image.read(1)

    assert image.traffic.nbytes - before == sum(e.nbytes for e in server.log if e.status == 200)
    assert image.traffic.in_flight == 0


# ---- memory -------------------------------------------------------------------------------------


def test_the_cache_stays_within_its_bound(ome_zarr: Callable[[str], Written]) -> None:
    written = ome_zarr("sharded")
    level = noc.open(written.path).pyramid.levels[0]
    small = Engine(max_bytes=10_000)

    found = small.load(level, Region.whole(level.grid.shape))

    np.testing.assert_array_equal(found, written.levels[0])
    assert 0 < small.cache.nbytes <= 10_000


def test_an_image_that_nobody_holds_frees_its_memory(ome_zarr: Callable[[str], Written]) -> None:
    gc.collect()
    before = engine().cache.nbytes
    image = noc.open(ome_zarr("sharded").path)
    image.read(0)
    assert engine().cache.nbytes > before

    del image
    gc.collect()

    assert engine().cache.nbytes <= before


# ---- chunks that cannot be read -----------------------------------------------------------------


def test_a_truncated_chunk_is_named_and_the_others_stay_readable(serve: Serve) -> None:
    server, image = serve("v04 by ome-zarr-py")
    server.fault("s0/0/0/1", "short")

    with pytest.raises(ChunkError, match=r"key s0/0/0/1\)") as caught:
        image.read(0)

    assert caught.value.key == "s0/0/0/1"
    assert image.read(0, np.s_[0:2, 0:32, 0:32]).any()
    assert image.read(1).any()


def test_a_chunk_that_failed_is_asked_for_again(serve: Serve) -> None:
    server, image = serve("v04 by ome-zarr-py")
    server.fault("s2/0/0/0", "short", times=1)

    with pytest.raises(ChunkError):
        image.read(2)

    assert image.read(2).any()


def test_a_chunk_that_the_server_fails_to_send_is_no_zeros(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "_RETRIES", {**clients._RETRIES, "max_retries": 0})
    server, image = serve("v04 by ome-zarr-py")
    server.fault("s2/0/0/0", 500)

    with pytest.raises(ServerError, match=r"s2/0/0/0.*answered 500"):
        image.read(2)
    with pytest.raises(ServerError):
        image.levels[2].dask.compute()


def test_a_refused_chunk_beside_readable_metadata_is_absent(serve: Serve) -> None:
    server, image = serve("v04 by ome-zarr-py")
    server.fault("s2/0/0/0", 403)

    assert not image.read(2, np.s_[0:2, 0:24, 0:20]).any()


def test_a_chunk_behind_a_web_page_is_no_zeros(serve: Serve) -> None:
    server, image = serve("v04 by ome-zarr-py")
    server.fault("", "html")  # a login that has ended: the metadata are behind it, too

    with pytest.raises(ServerError, match="HTML page"):
        image.read(2)


# ---- opening in the background ------------------------------------------------------------------


def test_opening_can_go_on_in_the_background(ome_zarr: Callable[[str], Written]) -> None:
    path = ome_zarr("v04 by ome-zarr-py").path

    opening = noc.open_async(path)

    assert opening.result(20).levels[0].shape == (6, 96, 80)


def test_a_text_that_is_no_link_is_refused_at_once() -> None:
    with pytest.raises(LinkError):
        noc.open_async("s3://")
