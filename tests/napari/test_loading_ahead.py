"""Loading ahead: what is asked for before it is looked at, and what is not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.chunks import ChunkCache, Tier, engine
from napari_omezarr_cloud.napari.foresight import Foresight, shards_ahead
from napari_omezarr_cloud.napari.look import Look
from napari_omezarr_cloud.pyramid import PyramidView, Region
from tests.fixtures.images import write_directly
from tests.napari.test_display import complete

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer

PLUGIN = "napari-omezarr-cloud"


@pytest.fixture
def film(tmp_path: Path, slow_server: Any) -> SlowServer:
    """Twenty time points of one plane each."""
    rng = np.random.default_rng(2)
    frames = rng.integers(1, 60000, (20, 96, 128)).astype("u2")
    small = frames[:, ::2, ::2]
    # With a range given, no pixels are read for the contrast.
    omero = {"channels": [{"window": {"start": 0, "end": 60000, "min": 0, "max": 60000}}]}
    levels = [frames, small]
    write_directly(tmp_path / "film.zarr", "tyx", levels, chunks=(1, 64, 64), omero=omero)
    server: SlowServer = slow_server(tmp_path, latency_s=0.02)
    server.truth = frames
    return server


def frames_asked_for(server: SlowServer) -> set[int]:
    return {int(path.split("/")[-3]) for path in server.paths if "/c/" in path}


@pytest.fixture
def shown(viewer: Any, film: SlowServer, ahead: Any, qtbot: Any) -> Any:
    """The film in a window, on its middle frame, all of it here."""
    layer = viewer.open(f"{film.url}/film.zarr", plugin=PLUGIN)[0]
    qtbot.waitUntil(lambda: complete(layer), timeout=20000)
    return layer


def test_opening_asks_for_nothing_but_what_is_shown(shown: Any, film: SlowServer) -> None:
    assert frames_asked_for(film) == {9}


def test_the_next_frames_come_before_one_steps_there(
    shown: Any, viewer: Any, film: SlowServer, qtbot: Any
) -> None:
    viewer.dims.set_current_step(0, 10)
    qtbot.waitUntil(lambda: {11, 12, 13, 14} <= frames_asked_for(film), timeout=20000)
    qtbot.waitUntil(lambda: engine().jobs_under_way == 0, timeout=20000)
    film.clear_log()
    ahead = replace(engine().cache.ahead)
    assert ahead.loaded - ahead.used >= 4 * 4

    viewer.dims.set_current_step(0, 11)
    qtbot.waitUntil(lambda: complete(shown), timeout=20000)

    assert not {10, 11, 12} & frames_asked_for(film)
    assert engine().cache.ahead.used >= ahead.used + 4, "the Network dock counts what it was for"
    np.testing.assert_array_equal(shown._slice.image.raw, film.truth[11])


def test_it_follows_the_direction_one_steps_in(
    shown: Any, viewer: Any, film: SlowServer, qtbot: Any
) -> None:
    viewer.dims.set_current_step(0, 8)

    qtbot.waitUntil(lambda: {4, 5, 6, 7} <= frames_asked_for(film), timeout=20000)
    assert not {12, 13, 14} & frames_asked_for(film)


def test_a_metered_line_loads_only_what_is_shown(
    shown: Any, viewer: Any, film: SlowServer, ahead: Any, qtbot: Any
) -> None:
    ahead(metered=True)
    viewer.dims.set_current_step(0, 10)
    qtbot.waitUntil(lambda: complete(shown), timeout=20000)
    qtbot.wait(200)  # time for what must not come

    assert frames_asked_for(film) == {9, 10}


def test_a_frame_that_could_not_be_loaded_ahead_is_asked_for_again_when_it_is_looked_at(
    shown: Any, viewer: Any, film: SlowServer, qtbot: Any
) -> None:
    film.fault("/12/", "short")
    viewer.dims.set_current_step(0, 10)
    qtbot.waitUntil(lambda: 13 in frames_asked_for(film), timeout=20000)
    qtbot.waitUntil(lambda: engine().jobs_under_way == 0, timeout=20000)
    film.clear_faults()

    viewer.dims.set_current_step(0, 12)

    def is_right() -> bool:
        return complete(shown) and bool((shown._slice.image.raw == film.truth[12]).all())

    qtbot.waitUntil(is_right, timeout=20000)


@pytest.fixture
def shards(tmp_path: Path, slow_server: Any) -> SlowServer:
    """A plane in shards, too large to be seen whole at its finest."""
    plane = np.random.default_rng(3).integers(1, 60000, (2048, 2048)).astype("u2")
    omero = {"channels": [{"window": {"start": 0, "end": 60000, "min": 0, "max": 60000}}]}
    levels = [plane, plane[::2, ::2]]
    parts = {"chunks": (128, 128), "shards": (512, 512)}
    write_directly(tmp_path / "shards.zarr", "yx", levels, omero=omero, **parts)
    server: SlowServer = slow_server(tmp_path, latency_s=0.02)
    server.truth = plane
    return server


def shard_indices(server: SlowServer) -> set[str]:
    tail = {e.path for e in server.log if e.headers.get("range", "").startswith("bytes=-")}
    return {path for path in tail if "/c/" in path}


def test_a_zoom_into_shards_takes_one_round_as_their_indices_are_known(
    viewer: Any, shards: SlowServer, ahead: Any, qtbot: Any
) -> None:
    layer = viewer.open(f"{shards.url}/shards.zarr", plugin=PLUGIN)[0]
    qtbot.waitUntil(lambda: complete(layer), timeout=20000)
    assert layer.data_level == 1
    finest = {f"/shards.zarr/0/c/{y}/{x}" for y in range(4) for x in range(4)}
    qtbot.waitUntil(lambda: finest <= shard_indices(shards), timeout=20000)
    qtbot.waitUntil(lambda: all(e.end for e in shards.log), timeout=20000)
    shards.clear_log()

    viewer.scene.camera.zoom *= 4
    qtbot.waitUntil(lambda: layer.data_level == 0 and complete(layer), timeout=20000)

    assert not shard_indices(shards)
    (top, left), (bottom, right) = layer.corner_pixels
    np.testing.assert_array_equal(
        layer._slice.image.raw, shards.truth[top : bottom + 1, left : right + 1]
    )


def test_a_metered_line_reads_no_index_before_its_shard_is_looked_into(
    viewer: Any, shards: SlowServer, ahead: Any, qtbot: Any
) -> None:
    ahead(metered=True)
    layer = viewer.open(f"{shards.url}/shards.zarr", plugin=PLUGIN)[0]
    qtbot.waitUntil(lambda: complete(layer), timeout=20000)
    qtbot.wait(200)  # time for what must not come

    assert not any(path.startswith("/shards.zarr/0/") for path in shard_indices(shards))


# ---- what is guessed ----------------------------------------------------------------------------


def plane_view() -> PyramidView:
    return PyramidView.of(noc.from_array(np.zeros((8192, 8192), "u1"), axes="yx").pyramid)


def look_at(y: int, x: int, size: int = 2048) -> Look:
    return Look(0, Region((y, x), (y + size, x + size)), (0, 1), (1, 1))


def chunks_guessed(view: PyramidView, *looks: Look, max_bytes: int = 1 << 30) -> set[Any]:
    foresight = Foresight()
    for look in looks:
        foresight.note(look)
    wishes = foresight.wishes(view, looks[-1], ChunkCache(1 << 34), max_bytes)
    assert all(wish.rank[0] == Tier.PREFETCH for wish in wishes)
    return {(view.pyramid.levels.index(wish.level), wish.index) for wish in wishes}


def test_a_first_look_and_the_same_look_again_guess_nothing() -> None:
    assert not chunks_guessed(plane_view(), look_at(2048, 2048), look_at(2048, 2048))


def test_a_pan_goes_on_in_its_direction_and_stays_inside() -> None:
    view = plane_view()  # of 16 x 16 chunks

    right = chunks_guessed(view, look_at(2048, 2048), look_at(2048, 2560))
    at_the_edge = chunks_guessed(view, look_at(2048, 5632), look_at(2048, 6144))

    assert right == {(0, (y, x)) for y in range(4, 8) for x in range(7, 11)}
    assert at_the_edge <= {(0, (y, x)) for y in range(4, 8) for x in range(12, 16)}


def test_no_more_is_guessed_than_the_budget() -> None:
    view = plane_view()
    looks = look_at(2048, 2048), look_at(2048, 2560)

    assert len(chunks_guessed(view, *looks, max_bytes=5 * 512 * 512)) == 5
    assert not chunks_guessed(view, *looks, max_bytes=0)


def test_indices_of_the_middle_are_read_ahead_and_not_of_all_of_a_large_image(
    tmp_path: Path,
) -> None:
    group = zarr.open_group(tmp_path / "wide.zarr", mode="w")
    for number, side in enumerate((2**17, 2**10)):
        shape, parts = (side, side), {"chunks": (128, 128), "shards": (512, 512)}
        group.create_array(str(number), shape=shape, dtype="u1", **parts)
    datasets = [
        {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": [s, s]}]}
        for n, s in enumerate((1.0, 128.0))
    ]
    axes = [{"name": name, "type": "space"} for name in "yx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    view = PyramidView.of(noc.open(str(tmp_path / "wide.zarr")).pyramid)
    whole = Look(1, Region((0, 0), (1024, 1024)), (0, 1), (1, 1))

    found = shards_ahead(view, whole)

    places = {(view.pyramid.levels.index(level), *index) for level, index in found}
    assert len(places) == len(found) <= 24
    middle = {(0, y, x) for y in (2**16 - 512, 2**16) for x in (2**16 - 512, 2**16)}
    assert {(n, y * 128, x * 128) for n, y, x in places} >= middle
