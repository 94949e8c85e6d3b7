"""Where the fields of a well lie in it: by their positions, else one after the other. Pure.

Fields lie side by side in rows and columns, so that none covers another. The first well of a plate
decides how many places each well has; which field is in which place is each well's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FieldGrid", "Place", "Position", "field_grid", "field_places"]

Place = tuple[int, int]
"""Row and column in the well."""
Position = tuple[float, float] | None
"""Where a field begins along y and x, in µm where the unit is known; None: not stated."""

_MOST_SPARSE = 4
"""Times as many places as fields; positions further apart than that mean something else."""


@dataclass(frozen=True)
class FieldGrid:
    """The places for fields that each well has."""

    counts: tuple[int, int]
    """Rows and columns."""
    length: tuple[float, float]
    """Of a field along y and x, in the unit of the positions."""
    lines: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    """Where rows and columns begin in the first well; empty where it states no positions."""

    @property
    def is_by_position(self) -> bool:
        """Whether the fields of the first well lie by the positions that they state."""
        return bool(self.lines[0])


def field_grid(
    positions: Sequence[Position], length: tuple[float, float], at_least: int = 1
) -> FieldGrid:
    """Return places for the fields of a well, and for those of wells with more.

    Parameters
    ----------
    positions
        Of the fields of the first well, in the order listed.
    length
        Of a field along y and x, in the unit of the positions.
    at_least
        How many fields a well may have, as the plate says.
    """
    count = max(len(positions), at_least, 1)
    known = [each for each in positions if each is not None]
    if len(positions) - len(known) == 1 and known:
        known = _with_one_at_origin(positions, length) or known
    places = _by_position(known, length) if len(known) > 1 or len(positions) == 1 else None
    if places is None:
        columns = math.ceil(math.sqrt(count))
        return FieldGrid((-(-count // columns), columns), length)
    counts = [max(line) + 1 for line in zip(*places, strict=True)]
    while math.prod(counts) < count:
        counts[counts[1] <= counts[0]] += 1
    lines = [
        tuple(
            min(known[n][axis] for n, place in enumerate(places) if place[axis] == line)
            for line in sorted({place[axis] for place in places})
        )
        for axis in (0, 1)
    ]
    return FieldGrid((counts[0], counts[1]), length, (lines[0], lines[1]))


def field_places(grid: FieldGrid, positions: Sequence[Position]) -> tuple[Place | None, ...]:
    """Return where the fields of a well lie; None for those that there is no room for.

    Parameters
    ----------
    grid
        The places.
    positions
        Of the well's own fields, in the order listed.

    Notes
    -----
    In the rows and columns of the first well, where all positions are at those: a field that was
    not taken leaves its place empty. Else in the order of the well's own positions; stage
    coordinates differ from well to well. Fields without a position take the places that are left,
    and so do all of them where positions make no sense (all the same, far apart) or need more rows
    or columns than there are.
    """
    stated = [n for n, each in enumerate(positions) if each is not None]
    if len(positions) - len(stated) == 1 and stated:
        whole = _with_one_at_origin(positions, grid.length)
        found = whole and (
            _at_lines(grid, whole) or _fitting(grid, _by_position(whole, grid.length))
        )
        if found:
            return tuple(found)
    known = [each for each in positions if each is not None]
    found = _at_lines(grid, known) or _fitting(grid, _by_position(known, grid.length))
    places: list[Place | None] = [None] * len(positions)
    if found is not None:
        for n, own in zip(stated, found, strict=True):
            places[n] = own
    taken = {place for place in places if place is not None}
    free = (place for place in _row_by_row(grid.counts) if place not in taken)
    for n, place in enumerate(places):
        if place is None:
            places[n] = next(free, None)
    return tuple(places)


def _row_by_row(counts: Place) -> list[Place]:
    return [divmod(n, counts[1]) for n in range(math.prod(counts))]


def _with_one_at_origin(
    positions: Sequence[Position], length: tuple[float, float]
) -> list[tuple[float, float]] | None:
    """Return positions where the one that is not stated is the origin; None: it is elsewhere.

    What is not moved needs no translation.
    """
    whole = [each or (0.0, 0.0) for each in positions]
    return whole if _by_position(whole, length) is not None else None


def _fitting(grid: FieldGrid, places: list[Place] | None) -> list[Place] | None:
    """Return places in the order of positions, if the grid has as many rows and columns."""
    if places is None or any(
        row >= grid.counts[0] or column >= grid.counts[1] for row, column in places
    ):
        return None
    return places


def _at_lines(grid: FieldGrid, positions: Sequence[tuple[float, float]]) -> list[Place] | None:
    """Return the rows and columns of the first well at which positions are, if all are."""
    if not grid.is_by_position or not positions:
        return None
    places: list[Place] = []
    for position in positions:
        place: list[int] = []
        for axis in (0, 1):
            away = [abs(position[axis] - line) for line in grid.lines[axis]]
            place.append(min(range(len(away)), key=away.__getitem__))
            if away[place[axis]] > grid.length[axis] / 2:
                return None
        places.append((place[0], place[1]))
    return places if len(set(places)) == len(places) else None


def _by_position(positions: Sequence[Position], length: tuple[float, float]) -> list[Place] | None:
    """Return rows and columns by position; None where positions give no places of their own."""
    known = [each for each in positions if each is not None]
    if len(known) != len(positions) or not known:
        return None
    rows, columns = (_ranks([each[axis] for each in known], length[axis]) for axis in (0, 1))
    places = list(zip(rows, columns, strict=True))
    area = (max(rows) + 1) * (max(columns) + 1)
    return (
        places if len(set(places)) == len(places) and area <= _MOST_SPARSE * len(places) else None
    )


def _ranks(begins: Sequence[float], length: float) -> list[int]:
    """Return which row or column each field is in, by where it begins.

    Fields that begin within half a length of each other are in the same one.
    """
    order = sorted(range(len(begins)), key=begins.__getitem__)
    ranks, rank, last = [0] * len(begins), 0, begins[order[0]]
    for i in order:
        if begins[i] - last > length / 2:
            rank, last = rank + 1, begins[i]
        ranks[i] = rank
    return ranks
