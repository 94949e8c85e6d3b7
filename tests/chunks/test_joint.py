"""The engine's first test: derived of derived, two inputs, one compute thread, odd scales."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from napari_omezarr_cloud.chunks import Engine, Pools, Tier, Wish
from napari_omezarr_cloud.chunks.dask_view import dask_array
from napari_omezarr_cloud.errors import WouldBlockError
from napari_omezarr_cloud.ngff import Axis
from napari_omezarr_cloud.process.computation import LevelFunction
from napari_omezarr_cloud.process.derived import derive
from napari_omezarr_cloud.pyramid import (
    Chunk,
    Grid,
    Index,
    Pyramid,
    PyramidView,
    Region,
    Runner,
    Transform,
    new_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Array = np.ndarray[Any, Any]


class SlowLevel:
    """Stored voxels that arrive only when the test lets them."""

    is_derived = False
    name = "slow"

    def __init__(self, voxels: Array, chunks: tuple[int, ...], transform: Transform) -> None:
        self.key = new_key()
        self.voxels = voxels
        self.grid = Grid(voxels.shape, chunks, voxels.dtype)
        self.transform = transform
        self.gate = threading.Event()
        self.gate.set()
        self.cancelled = 0
        self.produced: list[Index] = []

    def jobs(self, indices: Sequence[Index]) -> list[tuple[Index, ...]]:
        return [(i,) for i in indices]

    async def produce(self, indices: tuple[Index, ...], runner: Runner) -> Mapping[Index, Chunk]:
        try:
            while not self.gate.is_set():
                await asyncio.sleep(0.002)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.produced += indices
        return {i: self.voxels[self.grid.region_of(i).slices] for i in indices}


# 513 and 257 are no factor of two, and level 1 says 2.0 all the same; level 2 is shifted, too.
SHAPES = ((2, 513, 385), (2, 257, 193), (2, 129, 97))
SCALES = ((1.0, 0.5, 0.25), (1.0, 1.0, 0.5), (1.0, 2.0, 1.0))
SHIFTS = ((0.0, 0.0, 0.0), (0.0, 0.25, 0.125), (0.0, 0.75, 0.375))
AXES = tuple(Axis(n, t, None) for n, t in (("c", "channel"), ("y", "space"), ("x", "space")))


@pytest.fixture
def source() -> Pyramid:
    rng = np.random.default_rng(0)
    levels = [
        SlowLevel(rng.integers(0, 4000, shape).astype("u2"), (1, 64, 48), Transform(scale, shift))
        for shape, scale, shift in zip(SHAPES, SCALES, SHIFTS, strict=True)
    ]
    return Pyramid(AXES, tuple(levels), "source")


@pytest.fixture
def engine() -> Iterator[Engine]:
    pools = Pools(decode_threads=1, compute_threads=1)
    yield Engine(1 << 28, pools=pools)
    pools.close()


def blurred(arrays: Sequence[Array]) -> Array:
    return uniform_filter(arrays[0].astype("f4"), 5)


def difference(arrays: Sequence[Array]) -> Array:
    return arrays[0] - arrays[1].astype("f4")


def chain(source: Pyramid) -> Pyramid:
    """blur(channel 0) − channel 1, then blurred again: a derived level of a derived level."""
    one, two = (PyramidView.of(source, {0: c}) for c in (0, 1))
    f4 = np.dtype("f4")
    blur = derive([one], lambda n: LevelFunction(blurred, (2, 2), f4, "blur"), name="blur")
    minus = derive(
        [PyramidView.of(blur), two],
        lambda n: LevelFunction(difference, (0, 0), f4, "minus"),
        name="minus",
    )
    return derive(
        [PyramidView.of(minus)], lambda n: LevelFunction(blurred, (2, 2), f4, "again"), name="again"
    )


def truth(source: Pyramid, number: int) -> Array:
    one, two = source.levels[number].voxels  # type: ignore[attr-defined]
    return blurred([difference([blurred([one]), two])])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_load_of_a_chain_equals_the_operations_on_the_whole_level(
    engine: Engine, source: Pyramid, number: int
) -> None:
    derived = chain(source).levels[number]

    found = engine.load(derived, Region.whole(derived.grid.shape))

    np.testing.assert_allclose(found, truth(source, number), rtol=1e-5, atol=1e-2)


def test_dask_of_a_chain_equals_the_operations(engine: Engine, source: Pyramid) -> None:
    derived = chain(source)

    array = dask_array(PyramidView.of(derived), 0, engine)

    part = array[100:300, 37:222].compute(scheduler="threads", num_workers=4)
    np.testing.assert_allclose(part, truth(source, 0)[100:300, 37:222], rtol=1e-5, atol=1e-2)


def test_peek_of_a_chain_is_exact_once_its_chunks_have_come(
    engine: Engine, source: Pyramid
) -> None:
    derived = chain(source)
    level = derived.levels[0]
    region = Region((64, 48), (250, 200))
    wishes = [Wish(level, i, (Tier.VISIBLE, n)) for n, i in enumerate(level.grid.touching(region))]
    arrived = threading.Event()
    engine.subscribe(
        lambda key, _: arrived.set() if engine.peek(derived, 0, region).is_exact else None
    )

    before = engine.peek(derived, 0, region)
    engine.want("view", wishes)

    assert arrived.wait(20)
    assert before.missing == len(wishes)
    found = engine.peek(derived, 0, region).pixels
    np.testing.assert_allclose(found, truth(source, 0)[region.slices], rtol=1e-5, atol=1e-2)


def test_a_stand_in_lies_where_its_voxels_lie(engine: Engine, source: Pyramid) -> None:
    fine, coarse = source.levels[0], source.levels[1]
    engine.load(coarse, Region.whole(coarse.grid.shape))

    found = engine.peek(source, 0, Region.whole(fine.grid.shape))

    y = np.clip(np.ceil((np.arange(513) * 0.5 - 0.25) / 1.0 - 0.5 - 1e-9), 0, 256).astype(int)
    x = np.clip(np.ceil((np.arange(385) * 0.25 - 0.125) / 0.5 - 0.5 - 1e-9), 0, 192).astype(int)
    np.testing.assert_array_equal(found.pixels, coarse.voxels[:, y][:, :, x])  # type: ignore[attr-defined]
    assert not found.is_exact


def test_inputs_on_another_grid_are_sampled_where_they_lie(engine: Engine, source: Pyramid) -> None:
    one = PyramidView.of(source, {0: 0})
    only_coarse = Pyramid(AXES, source.levels[1:], "coarse")
    two = PyramidView.of(only_coarse, {0: 1})
    both = derive(
        [one, two], lambda n: LevelFunction(difference, (0, 0), np.dtype("f4"), "d"), name="d"
    )

    found = engine.load(both.levels[0], Region.whole((513, 385)))

    y = np.clip(np.ceil((np.arange(513) * 0.5 - 0.25) / 1.0 - 0.5 - 1e-9), 0, 256).astype(int)
    x = np.clip(np.ceil((np.arange(385) * 0.25 - 0.125) / 0.5 - 0.5 - 1e-9), 0, 192).astype(int)
    expected = source.levels[0].voxels[0].astype("f4") - source.levels[1].voxels[1][np.ix_(y, x)]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(found, expected)


def test_cancelling_a_chain_gives_up_its_sources_too(engine: Engine, source: Pyramid) -> None:
    slow = source.levels[0]
    assert isinstance(slow, SlowLevel)
    slow.gate.clear()
    derived = chain(source).levels[0]
    future = engine.start(derived, Region((0, 0), (128, 96)))
    wait_until(lambda: engine.jobs_under_way > 3)

    future.cancel()

    wait_until(lambda: engine.jobs_under_way == 0)
    assert slow.cancelled > 0
    assert not slow.produced


def test_a_source_that_somebody_else_wants_survives_the_cancelling(
    engine: Engine, source: Pyramid
) -> None:
    slow = source.levels[0]
    assert isinstance(slow, SlowLevel)
    slow.gate.clear()
    mine = engine.start(slow, Region((0, 0, 0), (1, 64, 48)))
    chained = engine.start(chain(source).levels[0], Region((0, 0), (64, 48)))
    wait_until(lambda: engine.jobs_under_way > 3)

    chained.cancel()
    wait_until(lambda: engine.jobs_under_way == 1)
    slow.gate.set()

    np.testing.assert_array_equal(mine.result(20), slow.voxels[:1, :64, :48])


def test_waiting_inside_the_compute_pool_raises_instead_of_hanging(
    engine: Engine, source: Pyramid
) -> None:
    level = source.levels[2]

    def naughty(arrays: Sequence[Array]) -> Array:
        with pytest.raises(WouldBlockError):
            engine.load(level, Region.whole(level.grid.shape))
        return arrays[0]

    derived = derive(
        [PyramidView.of(source, {0: 0})],
        lambda n: LevelFunction(naughty, (0, 0), np.dtype("u2"), "naughty"),
        name="naughty",
    )

    engine.load(derived.levels[2], Region.whole((129, 97)))


def test_each_source_chunk_is_produced_once_for_a_whole_chain(
    engine: Engine, source: Pyramid
) -> None:
    slow = source.levels[0]
    assert isinstance(slow, SlowLevel)
    derived = chain(source).levels[0]

    engine.load(derived, Region.whole(derived.grid.shape))

    assert len(slow.produced) == len(set(slow.produced))


def wait_until(condition: Any, timeout_s: float = 20) -> None:
    """Return when it holds; fail when it does not in time."""
    done = threading.Event()
    for _ in range(int(timeout_s / 0.005)):
        if condition():
            return
        done.wait(0.005)
    raise AssertionError("did not happen in time")


def test_what_is_on_screen_is_computed_before_what_may_be_wanted_next(source: Pyramid) -> None:
    pools = Pools(decode_threads=1, compute_threads=1)
    engine = Engine(1 << 28, pools=pools)
    begun, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def told(name: str) -> Any:
        def function(arrays: Sequence[Array]) -> Array:
            order.append(name)
            begun.set()
            assert go_on.wait(10)
            return arrays[0].astype("f4")

        return function

    view, f4 = PyramidView.of(source, {0: 0}), np.dtype("f4")

    def wish(name: str, tier: Tier) -> None:
        made = LevelFunction(told(name), (0, 0), f4, name)
        level = derive([view], lambda n: made, name=name).levels[2]
        engine.want(name, [Wish(level, (0, 0), (tier,))])

    for number in range(3):
        wish(f"next {number}", Tier.PREFETCH)
        assert begun.wait(10)
    wish("on screen", Tier.VISIBLE)
    done = threading.Event()
    engine.subscribe(lambda *_: done.set() if engine.jobs_under_way == 0 else None)
    # Its source must have come before it can stand in line.
    engine.load(view.level(2), Region.whole(view.level(2).grid.shape))
    engine.io.wait(asyncio.sleep(0.2))
    go_on.set()
    assert done.wait(10)

    assert order[:2] == ["next 0", "on screen"]
    pools.close()
