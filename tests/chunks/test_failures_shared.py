"""What many chunks wait for fails, or is given up, for one of them: the others must not suffer."""

from __future__ import annotations

import gc
from copy import copy
from typing import TYPE_CHECKING

import numpy as np
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.chunks import Engine
from napari_omezarr_cloud.errors import ChunkError, CloudError
from napari_omezarr_cloud.pyramid import Region
from tests.fixtures.images import pattern, pyramid, write_directly

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer

FIRST, SECOND = Region((0, 0), (32, 32)), Region((32, 32), (64, 64))


@pytest.fixture
def engine() -> Engine:
    return Engine(1 << 26)


@pytest.fixture
def sharded(tmp_path: Path, slow_server: Callable[..., SlowServer]) -> SlowServer:
    levels = pyramid(pattern((64, 64)), 1)
    write_directly(tmp_path / "a.zarr", "yx", levels, chunks=(32, 32), shards=(64, 64))
    return slow_server(tmp_path, latency_s=0.1)


@pytest.fixture
def dotted(tmp_path: Path, slow_server: Callable[..., SlowServer]) -> SlowServer:
    """An image whose chunks are named 0.0, which says that they are named 0/0."""
    levels = pyramid(pattern((64, 64)), 1)
    at = tmp_path / "a.zarr"
    write_directly(at, "yx", levels, chunks=(32, 32), version="0.4", separator=".")
    document = at / "0" / ".zarray"
    stated = document.read_text().replace(
        '"dimension_separator": "."', '"dimension_separator": "/"'
    )
    document.write_text(stated)
    return slow_server(tmp_path, latency_s=0.02)


def test_a_shard_index_that_failed_while_nobody_waited_is_read_again(
    sharded: SlowServer, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    level = noc.open(f"{sharded.url}/a.zarr").pyramid.levels[0]
    sharded.fault("0/c/0/0", "short", times=1)
    sharded.clear_log()

    first = engine.start(level, FIRST)
    assert sharded.wait_until(lambda s: "/a.zarr/0/c/0/0" in s.paths)
    first.cancel()
    assert sharded.wait_until(lambda s: all(e.end is not None for e in s.log))
    pixels = engine.load(level, SECOND)

    assert np.array_equal(pixels, pattern((64, 64))[32:, 32:])
    del level
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_an_index_that_nobody_waits_for_is_no_longer_fetched(
    sharded: SlowServer, engine: Engine
) -> None:
    level = noc.open(f"{sharded.url}/a.zarr").pyramid.levels[0]
    sharded.fault("0/c/0/0", "hang", times=1)

    first = engine.start(level, FIRST)
    assert sharded.wait_until(lambda s: "/a.zarr/0/c/0/0" in s.paths)
    first.cancel()

    assert sharded.wait_until(lambda s: s.log[-1].abandoned)


@pytest.mark.usefixtures("impatient")
def test_a_failure_while_looking_for_chunks_under_other_names_is_no_blank_picture(
    dotted: SlowServer, engine: Engine
) -> None:
    level = noc.open(f"{dotted.url}/a.zarr").pyramid.levels[0]
    dotted.fault("0/0.0", 503, times=1)

    with pytest.raises(CloudError, match="503"):
        engine.load(level, FIRST)
    pixels = engine.load(level, FIRST)

    assert np.array_equal(pixels, pattern((64, 64))[:32, :32])


def test_who_is_given_up_while_looking_for_other_names_leaves_others_no_blank_picture(
    dotted: SlowServer, engine: Engine
) -> None:
    level = noc.open(f"{dotted.url}/a.zarr").pyramid.levels[0]
    dotted.fault("0/0.0", "trickle", times=1)

    first = engine.start(level, FIRST)
    assert dotted.wait_until(lambda s: "/a.zarr/0/0.0" in s.paths)
    second = engine.start(level, SECOND)
    assert dotted.wait_until(lambda s: "/a.zarr/0/1/1" in s.paths)
    noc.open(f"{dotted.url}/a.zarr")  # two rounds later the second waits for what the first seeks
    first.cancel()

    assert np.array_equal(second.result(20), pattern((64, 64))[32:, 32:])
    assert np.array_equal(engine.load(level, FIRST), pattern((64, 64))[:32, :32])


def test_a_kept_failure_holds_nothing_where_distributed_is_loaded_too() -> None:
    pytest.importorskip("distributed", reason="with it comes tblib, which copies tracebacks")
    try:
        raise ChunkError("Could not read a chunk", key="0/1", why="it is broken")
    except ChunkError as error:
        kept = copy(error)

    assert kept.__traceback__ is None
    assert str(kept) == "Could not read a chunk (key 0/1): it is broken."
