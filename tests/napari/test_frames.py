"""Which frames come next, how many fit, and which are in memory; no window."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.chunks import ChunkCache
from napari_omezarr_cloud.napari.frames import (
    Course,
    Playing,
    chunk_box,
    fitting,
    follows,
    in_memory,
    runs,
)
from napari_omezarr_cloud.napari.look import Look
from napari_omezarr_cloud.pyramid import PyramidView, Region


@pytest.mark.parametrize(
    ("mode", "direction", "expected"),
    [
        ("loop", 1, [5, 6, 2, 3, 4]),
        ("loop", -1, [5, 4, 3, 2, 6]),
        ("once", 1, [5, 6]),
        ("once", -1, [5, 4, 3, 2]),
        ("back_and_forth", 1, [5, 6, 5, 4, 3, 2, 3, 4, 5, 6]),
        ("back_and_forth", -1, [5, 4, 3, 2, 3, 4, 5, 6, 5, 4]),
    ],
)
def test_frames_come_as_they_will_be_played(mode: str, direction: int, expected: list[int]) -> None:
    assert list(Playing(0, direction, mode, 2, 6).frames_from(5)) == expected


def test_a_range_of_one_frame_is_that_frame() -> None:
    for mode in ("loop", "once", "back_and_forth"):
        assert set(Playing(0, 1, mode, 3, 3).frames_from(3)) == {3}


def test_a_frame_follows_its_neighbour_or_goes_over_the_end() -> None:
    playing = Playing(0, 1, "loop", 2, 6)

    assert [n for n in range(2, 7) if follows(n, 4, playing)] == [3, 5]
    assert [n for n in range(2, 7) if follows(n, 6, playing)] == [2, 5]
    assert all(follows(n, 0, playing) for n in range(2, 7)), "into the range, from outside"


def test_as_many_frames_fit_as_their_chunks_do_and_shared_ones_count_once() -> None:
    assert fitting([{"a": 6}, {"b": 6}, {"c": 6}], 12) == 2
    assert fitting([{"a": 6}, {"a": 6}, {"b": 6}], 12) == 3
    assert fitting([{"a": 60}, {"b": 6}], 12) == 1, "the next frame, however large"


def test_flags_are_told_as_ranges() -> None:
    assert runs(np.array([1, 1, 0, 1, 0, 1], bool)) == [(0, 2), (3, 4), (5, 6)]
    assert runs(np.zeros(3, bool)) == []


def course(count: int, thick: int = 1) -> Course:
    """The upper left corner of each plane of (z, y, x), and nothing of what is beyond the tenth."""
    look = Look(0, Region((0, 0, 0), (1, 40, 70)), (1, 2), (1, 1, 1))
    start = np.zeros((count, 3), int)
    start[:, 0] = np.minimum(np.arange(count), 9)
    stop = np.add(start, [thick, 40, 70])
    return Course(look, start, np.minimum(stop, [10, 40, 70]), np.arange(count) < 10)


def planes(depth: int) -> PyramidView:
    array = da.zeros((10, 100, 100), dtype="u1", chunks=(depth, 32, 32))
    return PyramidView.of(noc.from_array(array, axes="zyx").pyramid)


def cache_with(view: PyramidView, *rows: int, but: tuple[int, ...] = ()) -> ChunkCache:
    """A memory with all chunks of the corner in some rows of chunks."""
    cache = ChunkCache(1 << 20)
    for index in np.ndindex(10, 2, 3):
        if index[0] in rows and index != but:
            cache.put(view.level(0).key, index, np.zeros(1, "u1"), is_derived=False)
    return cache


def test_a_frame_is_in_memory_when_all_its_chunks_in_view_are() -> None:
    view = planes(depth=1)
    cache = cache_with(view, 2, 3, 4, but=(3, 1, 2))

    assert runs(in_memory(course(10), view, cache)) == [(2, 3), (4, 5)]
    assert runs(in_memory(course(10, thick=2), view, cache_with(view, 2, 3, 4))) == [(2, 4)]


def test_frames_that_share_chunks_come_together() -> None:
    view = planes(depth=4)

    assert runs(in_memory(course(10), view, cache_with(view, 1))) == [(4, 8)]
    assert chunk_box(course(10).at(4), view) == chunk_box(course(10).at(7), view)
    assert chunk_box(course(10).at(4), view)[1] == 4 * 32 * 32 * 6


def test_where_nothing_is_drawn_nothing_is_missing() -> None:
    view = planes(depth=1)

    assert runs(in_memory(course(12), view, ChunkCache(100))) == [(10, 12)]
    assert course(12).at(10) is None
