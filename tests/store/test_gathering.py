"""Neighbouring parts of one object: few requests, and each asker has its own bytes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from napari_omezarr_cloud.errors import ServerError
from napari_omezarr_cloud.store import ByteRange, RemoteStore
from napari_omezarr_cloud.store.gate import AHEAD, RANK
from napari_omezarr_cloud.store.gathering import GatheringStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer

    Ask = Callable[[Any], Any]

SHARD = bytes(i * i % 251 for i in range(3 << 20))
SMALL = 1 << 16


@pytest.fixture
def server(slow_server: Callable[..., SlowServer], tmp_path: Path) -> SlowServer:
    (tmp_path / "shard").write_bytes(SHARD)
    (tmp_path / "other").write_bytes(SHARD[::-1])
    return slow_server(tmp_path)


@pytest.fixture
def store(server: SlowServer, store_at: Callable[..., RemoteStore]) -> GatheringStore:
    return GatheringStore(store_at(server.url))


def ranges(server: SlowServer) -> set[tuple[int, int]]:
    """Return first and last byte of each request."""
    spans = [str(each.range).removeprefix("bytes=").split("-") for each in server.log]
    return {(int(first), int(last)) for first, last in spans}


def together(store: GatheringStore, key: str, *starts: int, nbytes: int = SMALL) -> Any:
    async def get() -> list[Any]:
        parts = (store.get(key, ByteRange(start, nbytes)) for start in starts)
        return await asyncio.gather(*parts, return_exceptions=True)

    return get()


def test_neighbours_come_in_one_request_and_each_gets_its_own(
    server: SlowServer, store: GatheringStore, ask: Ask
) -> None:
    # In no order, one of them twice, two of them a little apart, and one far away.
    starts = [2 * SMALL, 0, SMALL, 0, 3 * SMALL + 100, 30 * SMALL]

    found = ask(together(store, "shard", *starts))

    assert [bytes(each) for each in found] == [SHARD[s : s + SMALL] for s in starts]
    assert ranges(server) == {(0, 4 * SMALL + 99), (30 * SMALL, 31 * SMALL - 1)}


def test_other_objects_and_large_parts_are_asked_for_by_themselves(
    server: SlowServer, store: GatheringStore, ask: Ask
) -> None:
    large = 1 << 19

    async def get() -> Any:
        return await asyncio.gather(
            together(store, "shard", 0, large, nbytes=large),
            together(store, "other", 0, SMALL),
            store.get("other", ByteRange(-10)),
            store.get("other"),
        )

    (first, second), others, end, whole = ask(get())

    assert bytes(first) + bytes(second) == SHARD[: 2 * large]
    assert b"".join(map(bytes, others)) == SHARD[::-1][: 2 * SMALL]
    assert bytes(end) == SHARD[::-1][-10:]
    assert bytes(whole) == SHARD[::-1]
    assert server.paths.count("/shard") == 2
    assert server.paths.count("/other") == 3


def test_one_request_brings_a_mebibyte_at_most(
    server: SlowServer, store: GatheringStore, ask: Ask
) -> None:
    starts = range(0, len(SHARD), SMALL)

    found = ask(together(store, "shard", *starts))

    assert b"".join(map(bytes, found)) == SHARD
    assert sorted(each.nbytes for each in server.log) == [1 << 20] * 3


def test_what_is_looked_at_does_not_wait_for_what_may_be_next(
    server: SlowServer, store: GatheringStore, ask: Ask
) -> None:
    async def ahead() -> Any:
        RANK.set(lambda: (AHEAD,))
        return await together(store, "shard", SMALL)

    async def both() -> None:
        await asyncio.gather(together(store, "shard", 0, 2 * SMALL), asyncio.create_task(ahead()))

    ask(both())

    assert len(server.log) == 3


def test_an_object_that_is_too_short_gives_what_there_is(store: GatheringStore, ask: Ask) -> None:
    end = len(SHARD)

    inside, over, beyond = ask(together(store, "shard", end - SMALL, end - 10, end + 10))

    assert bytes(inside) == SHARD[-SMALL:]
    assert bytes(over) == SHARD[-10:]
    assert bytes(beyond) == b""


def test_an_absent_object_is_absent_for_all(store: GatheringStore, ask: Ask) -> None:
    assert ask(together(store, "nothing", 0, SMALL)) == [None, None]


@pytest.mark.usefixtures("impatient")
def test_a_failure_is_told_to_all_and_asked_again_next_time(
    server: SlowServer, store: GatheringStore, ask: Ask
) -> None:
    server.fault("shard", 500, times=1)

    failed = ask(together(store, "shard", 0, SMALL))

    assert [type(error) for error in failed] == [ServerError] * 2
    again = ask(together(store, "shard", 0, SMALL))
    assert b"".join(map(bytes, again)) == SHARD[: 2 * SMALL]


async def until(server: SlowServer, condition: Callable[[SlowServer], bool]) -> None:
    """Wait for the server in another thread, as the loop must go on."""
    assert await asyncio.to_thread(server.wait_until, condition)


def test_who_gives_up_leaves_the_request_to_the_others(
    server: SlowServer, store: GatheringStore, ask: Ask
) -> None:
    server.latency_s = 0.1

    async def one_gives_up() -> Any:
        first, second = (
            asyncio.create_task(store.get("shard", ByteRange(start, SMALL))) for start in (0, SMALL)
        )
        await until(server, lambda s: len(s.log) == 1)
        first.cancel()
        return await second

    assert bytes(ask(one_gives_up())) == SHARD[SMALL : 2 * SMALL]
    assert len(server.log) == 1


def test_when_all_have_given_up_the_connection_is_closed(
    server: SlowServer, store: GatheringStore, ask: Ask
) -> None:
    server.fault("shard", "hang")

    async def all_give_up() -> None:
        task = asyncio.create_task(together(store, "shard", 0, SMALL))
        await until(server, lambda s: len(s.log) == 1)
        task.cancel()

    ask(all_give_up())

    assert server.wait_until(lambda s: s.log[0].abandoned)
    assert server.wait_until(lambda s: s.connections.open == 0)
