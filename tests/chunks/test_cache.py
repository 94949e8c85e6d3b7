"""What stays in memory."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_omezarr_cloud.chunks import ChunkCache


def chunk(nbytes: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.zeros(nbytes, np.uint8)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(1, 60), st.booleans())))
def test_the_bound_holds_whatever_comes(puts: list[tuple[int, int, int, bool]]) -> None:
    cache = ChunkCache(100)
    cache.pin(0)

    for level, index, nbytes, is_derived in puts:
        cache.put(level, (index,), chunk(nbytes), is_derived=is_derived)

        held = [cache.get(n, i) for n in range(4) for i in cache.indices(n)]
        assert cache.nbytes == sum(c.nbytes for c in held if c is not None) <= 100


def test_what_was_looked_at_last_stays() -> None:
    cache = ChunkCache(100)
    for number in range(2):
        cache.put(1, (number,), chunk(50), is_derived=False)
    cache.get(1, (0,))

    cache.put(1, (2,), chunk(50), is_derived=False)

    assert sorted(cache.indices(1)) == [(0,), (2,)]


def test_computed_chunks_go_before_fetched_ones() -> None:
    cache = ChunkCache(100)
    cache.put(1, (0,), chunk(40), is_derived=False)
    for number in range(2):
        cache.put(2, (number,), chunk(20), is_derived=True)

    cache.put(1, (1,), chunk(40), is_derived=False)

    assert cache.indices(2) == [(1,)]
    assert len(cache.indices(1)) == 2


def test_the_pinned_overview_outlives_the_rest() -> None:
    cache = ChunkCache(100)
    cache.pin(9)
    cache.put(9, (0,), chunk(50), is_derived=False)

    for number in range(5):
        cache.put(1, (number,), chunk(50), is_derived=False)

    assert cache.indices(9) == [(0,)]


def test_a_smaller_bound_frees_at_once() -> None:
    cache = ChunkCache(100)
    for number in range(4):
        cache.put(1, (number,), chunk(25), is_derived=False)

    cache.resize(50)

    assert cache.nbytes == 50


def test_a_memory_full_of_what_was_looked_at_has_room_for_what_is_computed_from_it() -> None:
    cache = ChunkCache(100)
    for number in range(10):
        cache.put(1, (number,), chunk(10), is_derived=False)

    for number in range(5):
        cache.put(2, (number,), chunk(5), is_derived=True)

    assert len(cache.indices(2)) == 5
    assert len(cache.indices(1)) == 7


def test_a_memory_full_of_an_image_without_overviews_has_room_for_others() -> None:
    cache = ChunkCache(100)
    cache.pin(9)
    for number in range(10):
        cache.put(9, (number,), chunk(10), is_derived=False)

    for number in range(3):
        cache.put(1, (number,), chunk(10), is_derived=False)

    assert len(cache.indices(1)) == 3


def test_what_will_be_looked_at_next_stays_before_what_was() -> None:
    cache = ChunkCache(100)
    for number in range(4):
        cache.put(1, (number,), chunk(25), is_derived=False)
    cache.touch(1, [(1,), (0,), (7,)])

    cache.put(1, (8,), chunk(50), is_derived=False)

    assert sorted(cache.indices(1)) == [(0,), (1,), (8,)]
