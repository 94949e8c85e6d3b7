"""Loading ahead: what is asked for before it is looked at, and what is not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.chunks import ChunkCache, Tier, engine
from napari_omezarr_cloud.napari.foresight import Foresight
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
