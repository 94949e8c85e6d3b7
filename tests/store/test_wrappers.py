"""Sharing, counting and judging refusals: each over a real server that remembers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from napari_omezarr_cloud.errors import AccessRefusedError, ServerError
from napari_omezarr_cloud.store import ByteRange, CountingStore, RemoteStore, SharingStore
from napari_omezarr_cloud.store.gate import RANK, Gate
from napari_omezarr_cloud.store.refusal import RefusalStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.slow_http import SlowServer

    Ask = Callable[[Any], Any]
    StoreAt = Callable[..., RemoteStore]

BODY = bytes(range(200))


@pytest.fixture
def store(server: SlowServer, store_at: StoreAt) -> RemoteStore:
    return store_at(f"{server.url}/bucket")


def test_parts_of_an_object_are_asked_for_as_parts(
    server: SlowServer, store: RemoteStore, ask: Ask
) -> None:
    parts = [ByteRange(10, 5), ByteRange(190), ByteRange(-4)]

    found = [bytes(ask(store.get("key", part))) for part in parts]

    assert found == [BODY[10:15], BODY[190:], BODY[-4:]]
    assert [exchange.nbytes for exchange in server.log] == [5, 10, 4]


# ---- sharing ------------------------------------------------------------------------------------


async def all_at_once(store: Any, *keys: str) -> list[Any]:
    return await asyncio.gather(*(store.get(key) for key in keys), return_exceptions=True)


def test_who_asks_at_the_same_time_shares_one_request(
    server: SlowServer, store: RemoteStore, ask: Ask
) -> None:
    found = ask(all_at_once(SharingStore(store), "key", "other", "key", "key"))

    assert [bytes(each) for each in found] == [BODY] * 4
    assert sorted(server.paths) == ["/bucket/key", "/bucket/other"]


def test_who_asks_later_asks_again(server: SlowServer, store: RemoteStore, ask: Ask) -> None:
    sharing = SharingStore(store)

    ask(sharing.get("key"))
    ask(sharing.get("key"))

    assert len(server.log) == 2


@pytest.mark.usefixtures("impatient")
def test_a_failure_is_shared_and_then_forgotten(
    server: SlowServer, store: RemoteStore, ask: Ask
) -> None:
    server.fault("key", 500, times=1)
    sharing = SharingStore(store)

    failed = ask(all_at_once(sharing, "key", "key"))

    assert [type(error) for error in failed] == [ServerError] * 2
    assert bytes(ask(sharing.get("key"))) == BODY
    assert len(server.log) == 2


def test_one_who_gives_up_leaves_the_request_to_the_others(
    server: SlowServer, store: RemoteStore, ask: Ask
) -> None:
    sharing = SharingStore(store)

    async def one_gives_up() -> bytes:
        first, second = (asyncio.create_task(sharing.get("key")) for _ in range(2))
        await until(server, lambda s: len(s.log) == 1)
        first.cancel()
        return bytes(await second or b"")

    server.latency_s = 0.1
    assert ask(one_gives_up()) == BODY
    assert len(server.log) == 1


@pytest.mark.parametrize("query", ["", "?token=t0ken"])  # asked for by another client each
def test_when_all_have_given_up_the_connection_is_closed(
    server: SlowServer, store_at: StoreAt, ask: Ask, query: str
) -> None:
    server.fault("key", "hang")
    sharing = SharingStore(store_at(f"{server.url}/bucket{query}"))

    async def all_give_up() -> None:
        tasks = [asyncio.create_task(sharing.get("key")) for _ in range(3)]
        await until(server, lambda s: len(s.log) == 1)
        for task in tasks:
            task.cancel()

    ask(all_give_up())

    assert server.wait_until(lambda s: s.log[0].abandoned)
    assert server.wait_until(lambda s: s.connections.open == 0)


async def until(server: SlowServer, condition: Callable[[SlowServer], bool]) -> None:
    """Wait for the server in another thread, as the loop must go on."""
    assert await asyncio.to_thread(server.wait_until, condition)


# ---- counting -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
def test_traffic_tells_what_went_over_the_wire(
    server: SlowServer, store: RemoteStore, ask: Ask
) -> None:
    server.fault("other", 500)
    counting = CountingStore(store)

    ask(all_at_once(counting, "key", "other", "nothing"))

    traffic = counting.traffic
    assert (traffic.requests, traffic.absent, traffic.failed) == (3, 1, 1)
    assert (traffic.nbytes, traffic.in_flight, traffic.cancelled) == (len(BODY), 0, 0)


# ---- 403: absent or refused? --------------------------------------------------------------------


@pytest.fixture
def judging(store: RemoteStore) -> RefusalStore:
    """A store that was let in when it read ``other``."""
    judging = RefusalStore(store)
    judging.witness = "other"
    return judging


def test_a_refused_key_is_absent_while_the_metadata_stay_readable(
    server: SlowServer, judging: RefusalStore, ask: Ask
) -> None:
    server.fault("chunk", 403)

    assert ask(judging.get("chunk 1")) is None
    assert ask(judging.get("chunk 2")) is None

    assert judging.denied == 2
    assert server.paths.count("/bucket/other") == 1


def test_a_refused_key_is_refused_when_the_metadata_are_too(
    server: SlowServer, judging: RefusalStore, ask: Ask
) -> None:
    server.fault("bucket", 403)

    refused = ask(all_at_once(judging, "chunk 1", "chunk 2", "chunk 3"))

    assert [error.key for error in refused] == ["chunk 1", "chunk 2", "chunk 3"]
    assert all(isinstance(error, AccessRefusedError) for error in refused)
    assert server.paths.count("/bucket/other") == 1
    assert judging.denied == 0


# ---- the gate -----------------------------------------------------------------------------------


def test_no_more_requests_are_in_flight_than_the_gate_has_slots(
    server: SlowServer, store_at: StoreAt, ask: Ask
) -> None:
    server.latency_s = 0.05
    narrow = RemoteStore(
        store_at(f"{server.url}/bucket").location, anonymous=True, gate=Gate(slots=3)
    )

    ask(all_at_once(narrow, *(f"k{n}" for n in range(10))))

    assert len(server.log) == 10
    assert server.most_in_flight == 3


def test_the_most_urgent_of_those_who_wait_is_next(ask: Ask) -> None:
    gate, order = Gate(slots=1), []
    ranks = {"late": (9.0,), "soon": (1.0,), "now": (5.0,)}

    async def enter(name: str) -> None:
        RANK.set(lambda: ranks[name])
        async with gate.enter():
            order.append(name)

    async def crowd() -> None:
        async with gate.enter():
            tasks = [asyncio.create_task(enter(name)) for name in ranks]
            await asyncio.sleep(0)
            ranks["now"] = (0.0,)  # the view has moved
            gate.rerank()
        await asyncio.gather(*tasks)

    ask(crowd())
    assert order == ["now", "soon", "late"]


def test_one_who_gives_up_in_the_queue_keeps_no_slot(ask: Ask) -> None:
    gate = Gate(slots=1)

    async def enter() -> None:
        async with gate.enter():
            pass

    async def crowd() -> int:
        async with gate.enter():
            tasks = [asyncio.create_task(enter()) for _ in range(3)]
            await asyncio.sleep(0)
            tasks[0].cancel()
        tasks[1].cancel()  # just as the slot was handed to it
        await asyncio.gather(*tasks, return_exceptions=True)
        return gate.inside

    assert ask(crowd()) == 0


def test_what_is_asked_for_ahead_leaves_room_for_what_is_wanted_now() -> None:
    gate, inside = Gate(slots=4), set[str]()

    async def visit(name: str, rank: tuple[float, ...], end: asyncio.Event) -> None:
        RANK.set(lambda: rank)
        async with gate.enter():
            inside.add(name)
            await end.wait()
            inside.discard(name)

    async def scene() -> None:
        now, later = asyncio.Event(), asyncio.Event()
        ahead = [asyncio.create_task(visit(f"ahead {i}", (1.0, i), later)) for i in range(6)]
        await asyncio.sleep(0)
        assert inside == {"ahead 0", "ahead 1"}
        urgent = [asyncio.create_task(visit(f"now {i}", (0.0, i), now)) for i in range(3)]
        await asyncio.sleep(0)
        assert inside == {"ahead 0", "ahead 1", "now 0", "now 1"}
        now.set()
        await asyncio.gather(*urgent)
        await asyncio.sleep(0)
        assert inside == {"ahead 0", "ahead 1"}  # never more than half
        later.set()
        await asyncio.gather(*ahead)
        assert gate.inside == 0

    asyncio.run(scene())
