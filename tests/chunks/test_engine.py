"""Order, sharing, cancelling, failing: over a real server that is slow."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.chunks import Engine, Tier, Wish
from napari_omezarr_cloud.errors import ChunkError, RegionError, WouldBlockError
from napari_omezarr_cloud.pyramid import Region
from napari_omezarr_cloud.store import io_thread
from napari_omezarr_cloud.store.remote import GATE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer


@pytest.fixture
def served(tmp_path: Path, slow_server: Any) -> SlowServer:
    """A server with one plane of 16 by 16 chunks, plain and sharded, and its overview."""
    truth = np.arange(256 * 256, dtype="u4").reshape(256, 256)
    for name, shards in (("plain.zarr", None), ("sharded.zarr", (64, 64))):
        group = zarr.open_group(tmp_path / name, mode="w", zarr_format=3)
        group.create_array("0", data=truth, chunks=(16, 16), shards=shards, compressors=None)
        group.create_array("1", data=truth[::4, ::4].copy(), chunks=(64, 64), compressors=None)
        scales = [[1.0, 1.0], [4.0, 4.0]]
        datasets = [
            {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
            for n, scale in enumerate(scales)
        ]
        axes = [{"name": a, "type": "space"} for a in "yx"]
        group.attrs["ome"] = {
            "version": "0.5",
            "multiscales": [{"axes": axes, "datasets": datasets}],
        }
    server: SlowServer = slow_server(tmp_path, latency_s=0.02)
    server.truth = truth  # type: ignore[attr-defined]
    return server


@pytest.fixture
def engine() -> Engine:
    return Engine(1 << 26)


@pytest.fixture
def one_slot() -> Iterator[None]:
    """Let one request through at a time, so that the order shows."""
    GATE.slots, before = 1, GATE.slots
    yield
    GATE.slots = before


def chunks_of(server: SlowServer) -> list[str]:
    return [e.path.split(".zarr/")[1] for e in server.log if "/c/" in e.path]


def test_what_is_urgent_overtakes_what_waits(
    served: SlowServer, engine: Engine, one_slot: None
) -> None:
    level = noc.open(f"{served.url}/plain.zarr").pyramid.levels[0]
    rows = [Wish(level, (0, n), (Tier.PREFETCH, float(n))) for n in range(8)]
    urgent = [Wish(level, (9, n), (Tier.VISIBLE, float(n))) for n in range(3)]

    engine.want("later", rows)
    assert served.wait_until(lambda s: bool(chunks_of(s)))
    engine.want("now", urgent)

    assert served.wait_until(lambda s: len(chunks_of(s)) == 11)
    order = chunks_of(served)
    overtaken = order.index("0/c/9/0")
    assert overtaken <= 2
    assert order[overtaken : overtaken + 3] == ["0/c/9/0", "0/c/9/1", "0/c/9/2"]


def test_a_new_wish_list_replaces_the_old_one(
    served: SlowServer, engine: Engine, one_slot: None
) -> None:
    level = noc.open(f"{served.url}/plain.zarr").pyramid.levels[0]
    engine.want("view", [Wish(level, (0, n), (Tier.VISIBLE, float(n))) for n in range(16)])
    assert served.wait_until(lambda s: bool(chunks_of(s)))

    engine.want("view", [Wish(level, (5, 5), (Tier.VISIBLE, 0.0))])

    assert served.wait_until(lambda s: "0/c/5/5" in chunks_of(s) and s.log[-1].end is not None)
    assert len(chunks_of(served)) <= 4, "queued ones were never sent"


def test_two_who_want_one_chunk_share_one_request(served: SlowServer, engine: Engine) -> None:
    level = noc.open(f"{served.url}/plain.zarr").pyramid.levels[0]
    box = Region((0, 0), (16, 16))

    futures = [engine.start(level, box) for _ in range(5)]

    for future in futures:
        np.testing.assert_array_equal(future.result(20), served.truth[:16, :16])  # type: ignore[attr-defined]
    assert chunks_of(served) == ["0/c/0/0"]


def test_a_second_look_makes_no_request(served: SlowServer, engine: Engine) -> None:
    level = noc.open(f"{served.url}/plain.zarr").pyramid.levels[0]
    engine.load(level, Region((0, 0), (100, 100)))
    served.clear_log()

    again = engine.load(level, Region((3, 5), (90, 77)))

    np.testing.assert_array_equal(again, served.truth[3:90, 5:77])  # type: ignore[attr-defined]
    assert not served.log


def test_a_shard_costs_its_index_once_and_neighbours_come_together(
    served: SlowServer, engine: Engine
) -> None:
    level = noc.open(f"{served.url}/sharded.zarr").pyramid.levels[0]
    served.clear_log()

    for corner in (0, 16, 32):
        found = engine.load(level, Region((corner, 0), (corner + 16, 64)))
        np.testing.assert_array_equal(found, served.truth[corner : corner + 16, :64])  # type: ignore[attr-defined]

    ranges = [e.range for e in served.log]
    assert sum(part.startswith("bytes=-") for part in ranges) == 1
    # Two for each row of four: zarr stores the chunks of a shard along a Morton curve.
    assert len(ranges) == 1 + 3 * 2


def test_a_region_larger_than_the_cache_is_exact_and_the_cache_stays_small(
    served: SlowServer,
) -> None:
    served.latency_s = 0.0
    small = Engine(10_000)
    level = noc.open(f"{served.url}/plain.zarr").pyramid.levels[0]

    found = small.load(level, Region.whole((256, 256)))

    np.testing.assert_array_equal(found, served.truth)  # type: ignore[attr-defined]
    assert small.cache.nbytes <= 10_000


def test_a_chunk_that_fails_is_named_and_its_neighbours_come(
    served: SlowServer, engine: Engine
) -> None:
    level = noc.open(f"{served.url}/plain.zarr").pyramid.levels[0]
    served.fault("0/c/1/2", "short")

    with pytest.raises(ChunkError, match="0/c/1/2"):
        engine.load(level, Region((0, 0), (32, 64)))
    beside = engine.load(level, Region((16, 0), (32, 32)))

    np.testing.assert_array_equal(beside, served.truth[16:32, :32])  # type: ignore[attr-defined]


def test_a_failed_chunk_is_tried_again_on_demand(served: SlowServer, engine: Engine) -> None:
    level = noc.open(f"{served.url}/plain.zarr").pyramid.levels[0]
    served.fault("0/c/0/0", "short", times=1)
    wish = [Wish(level, (0, 0), (Tier.VISIBLE, 0.0))]
    told = threading.Event()
    engine.subscribe(lambda key, indices: told.set())
    engine.want("view", wish)
    assert told.wait(20)
    assert engine.failure(level, (0, 0)) is not None
    told.clear()

    engine.want("view", wish)
    engine.retry()
    engine.want("view", wish)

    assert told.wait(20)
    assert engine.failure(level, (0, 0)) is None
    assert len(chunks_of(served)) == 2, "not asked again before the person wanted it"


def test_a_cancelled_load_frees_its_connections(served: SlowServer, engine: Engine) -> None:
    level = noc.open(f"{served.url}/plain.zarr").pyramid.levels[0]
    served.fault("0/c/", "hang")
    future = engine.start(level, Region((0, 0), (64, 64)))
    assert served.wait_until(lambda s: len(chunks_of(s)) == 16)

    future.cancel()

    assert served.wait_until(lambda s: all(e.abandoned for e in s.log if "/c/" in e.path))
    assert engine.jobs_under_way == 0


def test_waiting_on_the_loop_itself_is_refused(served: SlowServer, engine: Engine) -> None:
    level = noc.open(f"{served.url}/plain.zarr").pyramid.levels[0]

    async def naughty() -> None:
        engine.load(level, Region((0, 0), (16, 16)))

    with pytest.raises(WouldBlockError):
        io_thread().wait(naughty())


def test_a_region_outside_the_level_is_refused(served: SlowServer, engine: Engine) -> None:
    level = noc.open(f"{served.url}/plain.zarr").pyramid.levels[0]

    with pytest.raises(RegionError, match="leaves the level"):
        engine.load(level, Region((0, 0), (257, 16)))
