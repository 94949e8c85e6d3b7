"""The gate: more or fewer slots, and a pause."""

from __future__ import annotations

import asyncio

from napari_omezarr_cloud.store.gate import AHEAD, RANK, Gate
from napari_omezarr_cloud.store.once import Once


async def visitors(
    gate: Gate, count: int, leave: asyncio.Event, rank: float = 0.0
) -> list[asyncio.Task[None]]:
    async def visit() -> None:
        RANK.set(lambda: (rank,))
        async with gate.enter():
            await leave.wait()

    tasks = [asyncio.create_task(visit()) for _ in range(count)]
    await turns()
    return tasks


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_who_waits_is_let_in_when_there_are_more_slots() -> None:
    async def scene() -> list[int]:
        gate, leave = Gate(slots=2), asyncio.Event()
        tasks = await visitors(gate, 6, leave)
        seen = [gate.inside]
        gate.resize(5)
        await turns()
        seen.append(gate.inside)
        leave.set()
        await asyncio.gather(*tasks)
        return [*seen, gate.inside]

    assert asyncio.run(scene()) == [2, 5, 0]


def test_with_fewer_slots_those_inside_stay_and_the_next_wait_for_room() -> None:
    async def scene() -> list[int]:
        gate, leave, leave_later = Gate(slots=4), asyncio.Event(), asyncio.Event()
        first = await visitors(gate, 4, leave)
        gate.resize(1)
        seen = [gate.inside]
        then = await visitors(gate, 3, leave_later)
        leave.set()
        await asyncio.gather(*first)
        await turns()
        seen.append(gate.inside)
        leave_later.set()
        await asyncio.gather(*then)
        return [*seen, gate.inside]

    assert asyncio.run(scene()) == [4, 1, 0]


def test_in_a_pause_nobody_goes_in_and_afterwards_all_do() -> None:
    async def scene() -> list[int]:
        gate, leave, leave_later = Gate(slots=2), asyncio.Event(), asyncio.Event()
        first = await visitors(gate, 1, leave)
        gate.pause()
        then = await visitors(gate, 3, leave_later)
        leave.set()
        await asyncio.gather(*first)
        seen = [gate.inside, gate.queued]
        gate.resume()
        await turns()
        seen += [gate.inside, gate.queued]
        leave_later.set()
        await asyncio.gather(*then)
        return seen

    assert asyncio.run(scene()) == [0, 3, 2, 1]


def test_metadata_go_through_in_a_pause() -> None:
    async def scene() -> tuple[int, int]:
        gate, leave = Gate(slots=2), asyncio.Event()
        gate.pause()
        tasks = await visitors(gate, 3, leave)
        leave.set()
        async with gate.enter():  # without a rank of its own: not a chunk
            seen = gate.inside, gate.queued
        gate.resume()
        await asyncio.gather(*tasks)
        return seen

    assert asyncio.run(scene()) == (1, 3)


def test_what_is_loaded_ahead_does_not_share_the_line_with_what_is_wanted_now() -> None:
    async def scene() -> list[int]:
        gate, leave, leave_later = Gate(slots=8), asyncio.Event(), asyncio.Event()
        now = await visitors(gate, 2, leave)
        ahead = await visitors(gate, 6, leave_later, rank=AHEAD)
        seen = [gate.inside]
        leave.set()
        await asyncio.gather(*now)
        await turns()
        seen.append(gate.inside)
        next_view = await visitors(gate, 3, leave_later)
        seen.append(gate.inside)
        leave_later.set()
        await asyncio.gather(*ahead, *next_view)
        return [*seen, gate.inside]

    assert asyncio.run(scene()) == [2, 4, 7, 0]


def test_what_was_begun_ahead_of_time_hurries_when_somebody_waits_for_it() -> None:
    async def scene() -> list[bool]:
        gate, leave = Gate(slots=4), asyncio.Event()

        async def ask() -> bool:
            async with gate.enter():
                return True

        shared = Once(ask, on_urgent=gate.rerank)

        async def want(rank: float) -> bool:
            RANK.set(lambda: (rank,))
            return await shared

        visible = await visitors(gate, 1, leave)
        early = asyncio.create_task(want(AHEAD))
        await turns()
        seen = [early.done()]
        late = asyncio.create_task(want(0.0))
        await turns()
        seen += [late.done(), early.done()]
        leave.set()
        await asyncio.gather(*visible, early, late)
        return seen

    assert asyncio.run(scene()) == [False, True, True]
