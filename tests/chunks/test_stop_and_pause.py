"""Pausing, stopping and changing the limits of an engine at work, over a slow server."""

from __future__ import annotations

import time
from concurrent.futures import wait
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.chunks import Engine, Tier, Wish, engine
from napari_omezarr_cloud.errors import StoppedError
from napari_omezarr_cloud.pyramid import Region
from napari_omezarr_cloud.settings import choose, in_force, settings
from napari_omezarr_cloud.store.places import all_counts, counts_by_place
from napari_omezarr_cloud.store.remote import GATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer

CHUNKS = 256


@pytest.fixture
def served(tmp_path: Path, slow_server: Any) -> SlowServer:
    """A server with one plane of 16 by 16 chunks."""
    group = zarr.open_group(tmp_path / "image.zarr", mode="w", zarr_format=3)
    truth = np.arange(256 * 256, dtype="u4").reshape(256, 256)
    group.create_array("0", data=truth, chunks=(16, 16), compressors=None)
    scale = [{"type": "scale", "scale": [1.0, 1.0]}]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [
            {
                "axes": [{"name": a, "type": "space"} for a in "yx"],
                "datasets": [{"path": "0", "coordinateTransformations": scale}],
            }
        ],
    }
    server: SlowServer = slow_server(tmp_path, latency_s=0.05)
    return server


@pytest.fixture
def here() -> Iterator[Engine]:
    own = Engine(1 << 26)
    yield own
    own.resume()
    assert until(lambda: not own.is_paused)


def until(is_so: Callable[[], bool], patience_s: float = 20) -> bool:
    """Wait for a state."""
    end = time.monotonic() + patience_s
    while not is_so() and time.monotonic() < end:
        time.sleep(0.005)
    return is_so()


def everything(image: noc.Image) -> list[Wish]:
    level = image.pyramid.levels[0]
    indices = level.grid.touching(Region((0, 0), level.grid.shape))
    return [Wish(level, index, (Tier.VISIBLE, float(n))) for n, index in enumerate(indices)]


def count_stopped(here: Engine, image: noc.Image) -> int:
    failures = [here.failure(wish.level, wish.index) for wish in everything(image)]
    return sum(isinstance(failure, StoppedError) for failure in failures)


def test_in_a_pause_no_new_request_is_sent_and_afterwards_all_are(
    served: SlowServer, here: Engine
) -> None:
    image = noc.open(f"{served.url}/image.zarr")
    here.pause()
    assert until(lambda: here.is_paused)
    before = len(served.log)

    here.want("view", everything(image))

    assert until(lambda: image.traffic.queued == CHUNKS)
    assert len(served.log) == before
    here.resume()
    assert until(lambda: len(here.cache) == CHUNKS)
    assert image.traffic.queued == image.traffic.in_flight == 0


def test_an_image_opens_in_a_pause_and_its_pixels_wait(served: SlowServer, here: Engine) -> None:
    here.pause()
    assert until(lambda: here.is_paused)

    image = noc.open(f"{served.url}/image.zarr")
    waiting = here.start(image.pyramid.levels[0], Region((0, 0), (16, 16)))

    assert until(lambda: image.traffic.queued == 1)
    here.resume()
    assert waiting.result(20).shape == (16, 16)


def test_stopping_gives_up_what_is_in_flight_and_what_waits(
    served: SlowServer, here: Engine
) -> None:
    image = noc.open(f"{served.url}/image.zarr")
    here.want("view", everything(image))
    assert until(lambda: image.traffic.in_flight > 64)

    here.stop_loading()

    assert until(lambda: image.traffic.in_flight == 0)
    assert until(lambda: count_stopped(here, image) == CHUNKS - len(here.cache))
    assert count_stopped(here, image) > 0
    assert here.jobs_under_way == 0


def test_what_was_stopped_comes_when_it_is_asked_for_again(
    served: SlowServer, here: Engine
) -> None:
    image = noc.open(f"{served.url}/image.zarr")
    here.want("view", everything(image))
    here.stop_loading()  # before any of it has begun
    assert until(lambda: count_stopped(here, image) == CHUNKS)

    here.retry()
    here.want("view", everything(image))

    assert until(lambda: len(here.cache) == CHUNKS)
    assert not here.has_failures


def test_who_waits_for_pixels_is_told_that_loading_was_stopped(
    served: SlowServer, here: Engine
) -> None:
    image = noc.open(f"{served.url}/image.zarr")
    level = image.pyramid.levels[0]
    waiting = here.start(level, Region((0, 0), (256, 256)))
    assert until(lambda: image.traffic.in_flight > 0)

    here.stop_loading()

    with pytest.raises(StoppedError, match="loading was stopped"):
        waiting.result(20)


def test_a_changed_limit_holds_for_the_next_requests(served: SlowServer) -> None:
    before = in_force().chosen
    image = noc.open(f"{served.url}/image.zarr")
    here = engine()
    try:
        choose(replace(before, requests=3, cache_mb=16))
        assert until(lambda: GATE.slots == 3 and image.traffic.in_flight == 0)
        sent = len(served.log)

        wait([here.start(image.pyramid.levels[0], Region((0, 0), (64, 256)))])

        assert max(exchange.in_flight for exchange in served.log[sent:]) == 3
        assert here.cache.max_bytes == 16 << 20
    finally:
        choose(before)
    assert until(lambda: GATE.slots == settings().requests)


def test_what_was_counted_is_seen_by_place_and_in_all(served: SlowServer) -> None:
    before = all_counts()
    image = noc.open(f"{served.url}/image.zarr")
    image.read(0)

    counts = counts_by_place()[str(image.location)]

    assert counts.done == image.traffic.requests > CHUNKS
    assert counts.nbytes >= 256 * 256 * 4
    assert counts.latency_s is not None and counts.latency_s >= 0.05
    assert (all_counts().done - before.done) == counts.done
    assert counts.in_flight == counts.queued == counts.failed == 0
