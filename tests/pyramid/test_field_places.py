"""Fields of a well by their positions: pure arithmetic, for every kind of well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_omezarr_cloud.pyramid.field_places import field_grid, field_places

if TYPE_CHECKING:
    from napari_omezarr_cloud.pyramid.field_places import Position

LENGTH = (100.0, 100.0)
SQUARE: list[Position] = [(0.0, 0.0), (0.0, 90.0), (90.0, 0.0), (90.0, 90.0)]


@pytest.mark.parametrize(
    ("positions", "places"),
    [
        (SQUARE[::-1], [(1, 1), (1, 0), (0, 1), (0, 0)]),
        # One that was not taken leaves its place empty, on the left and above too.
        ([(90.0, 90.0), (0.0, 90.0)], [(1, 1), (0, 1)]),
        ([(93.0, -4.0)], [(1, 0)]),
        # Where the stage was: the well's own origin.
        ([(7090.0, 400.0), (7000.0, 490.0)], [(1, 0), (0, 1)]),
        # Positions that are no positions.
        ([(5.0, 5.0)] * 3, [(0, 0), (0, 1), (1, 0)]),
        ([(0.0, 0.0), (1e9, 1e9), (2e9, 3e9)], [(0, 0), (0, 1), (1, 0)]),
        # More columns than there are.
        ([(0.0, 300.0), (0.0, 200.0), (0.0, 100.0)], [(0, 0), (0, 1), (1, 0)]),
        # Some without: the one at the origin, or what is left.
        ([None, (90.0, 90.0)], [(0, 0), (1, 1)]),
        ([None, (90.0, 90.0), None], [(0, 0), (1, 1), (0, 1)]),
        ([None, (0.0, 0.0)], [(0, 1), (0, 0)]),
        ([None] * 6, [(0, 0), (0, 1), (1, 0), (1, 1), None, None]),
        ([], []),
    ],
)
def test_a_well_is_laid_out_by_its_own_positions_in_the_places_of_the_first(
    positions: list[Position], places: list[tuple[int, int] | None]
) -> None:
    assert list(field_places(field_grid(SQUARE, LENGTH), positions)) == places


@pytest.mark.parametrize(
    ("positions", "at_least", "counts"),
    [
        (SQUARE, 4, (2, 2)),
        (SQUARE, 9, (3, 3)),
        ([(0.0, 0.0), (0.0, 100.0), (0.0, 200.0)], 1, (1, 3)),
        ([None] * 5, 1, (2, 3)),
        ([None], 7, (3, 3)),
        ([(0.0, 0.0), None, (0.0, 100.0), (0.0, 200.0)], 1, (2, 3)),
        ([], 1, (1, 1)),
    ],
)
def test_there_are_places_for_as_many_fields_as_a_well_may_have(
    positions: list[Position], at_least: int, counts: tuple[int, int]
) -> None:
    assert field_grid(positions, LENGTH, at_least).counts == counts


_numbers = st.floats(-1e12, 1e12)
_positions = st.lists(st.none() | st.tuples(_numbers, _numbers), max_size=12)


@given(_positions, _positions, st.integers(0, 20))
def test_each_field_has_a_place_of_its_own_as_long_as_there_are_some(
    first: list[Position], other: list[Position], at_least: int
) -> None:
    grid = field_grid(first, LENGTH, at_least)
    room = grid.counts[0] * grid.counts[1]
    for positions in (first, other):
        places = field_places(grid, positions)
        taken = [place for place in places if place is not None]
        assert len(taken) == min(len(positions), room)
        assert len(set(taken)) == len(taken)
        assert all(0 <= r < grid.counts[0] and 0 <= c < grid.counts[1] for r, c in taken)
