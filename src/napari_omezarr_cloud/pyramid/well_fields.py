"""All fields of a plate's well in its place, laid out when one of them is needed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.pyramid.field_places import field_places
from napari_omezarr_cloud.store.once import Once

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from napari_omezarr_cloud.pyramid.field_places import FieldGrid, Place, Position
    from napari_omezarr_cloud.pyramid.field_tile import FieldTile
    from napari_omezarr_cloud.pyramid.level import Level
    from napari_omezarr_cloud.pyramid.mosaic import MosaicNotes

__all__ = ["MOST_MEASURED", "PlacedTile", "WellFields", "quietly"]

MOST_MEASURED = 400
"""Fields of a well whose positions are read; of more, all lie in the order listed."""


class WellFields:
    """Which field of a well lies in which of its places: the well's own, not the first well's."""

    def __init__(
        self,
        name: str,
        tile: Callable[[int], FieldTile],
        grid: FieldGrid,
        likely: tuple[Place, ...],
        acquisition: int | None,
        notes: MosaicNotes,
    ) -> None:
        """Say where its fields may be.

        Parameters
        ----------
        name
            Of the well.
        tile
            Number of a field, in the order listed → the field.
        grid
            The places of each well of the plate.
        likely
            Where the fields of the first well lie, which these may do as well.
        acquisition
            Id of the one whose fields count; None: any.
        notes
            Takes what is odd.
        """
        self.name = name
        self._tile, self._grid, self._notes = tile, grid, notes
        self._likely = {place: number for number, place in enumerate(likely)}
        self._acquisition = acquisition
        self._numbers: Once[Mapping[Place, int]] = Once(self._find)

    @property
    def numbers(self) -> Mapping[Place, int] | None:
        """Which field is where; None as long as nobody has looked."""
        return self._numbers.value

    async def field_at(self, place: Place) -> FieldTile | None:
        """Return the field in a place; None: none is."""
        number = (await self._numbers).get(place)
        return None if number is None else self._tile(number)

    def likely_at(self, place: Place) -> FieldTile | None:
        """Return the field that is in a place if the well is like the first."""
        number = self._likely.get(place)
        return None if number is None else self._tile(number)

    async def _find(self) -> Mapping[Place, int]:
        likely = [self._tile(number) for number in range(min(len(self._likely), MOST_MEASURED))]
        await asyncio.gather(*(quietly(each.read_ahead(None)) for each in likely))
        well = await self._tile(0).well()
        if well is None:
            self._notes.add("Not there, and blank", self.name)
            return {}
        fields = well.fields(self._acquisition)
        positions: list[Position] = [None] * len(fields)
        if len(fields) <= MOST_MEASURED:
            tiles = map(self._tile, range(len(fields)))
            positions = await asyncio.gather(*(each.position() for each in tiles))
        places = field_places(self._grid, positions)
        left_out = places.count(None)
        if left_out:
            trouble = "With more fields than have room here, which the well's own link shows"
            self._notes.add(trouble, f"{self.name} ({left_out} of {len(fields)} left out)")
        if not fields:
            self._notes.add("Without fields, and blank", self.name)
        return {place: number for number, place in enumerate(places) if place is not None}


async def quietly(reading: Awaitable[object]) -> None:
    """Read ahead: what cannot be had is asked for again, and told, by whoever needs it."""
    with contextlib.suppress(CloudError):
        await reading


class PlacedTile:
    """What lies in a place of a well."""

    def __init__(self, fields: WellFields, place: Place) -> None:
        self.name = fields.name
        self._fields = fields
        self._place = place

    async def _field(self) -> FieldTile | None:
        found = await self._fields.field_at(self._place)
        if found is not None:
            self.name = found.name
        return found

    async def path(self) -> str | None:
        """Return where the field is below the plate; None: there is none."""
        found = await self._field()
        return None if found is None else await found.path()

    async def level(self, number: int) -> tuple[tuple[str, ...], Level] | None:
        """Return axes and the level to show on this level of the mosaic; None: it is not there."""
        likely = self._fields.likely_at(self._place)
        if likely is None or self._fields.numbers is not None:
            found = await self._field()
        else:  # all that it takes in one round trip, if the well is like the first
            found, _ = await asyncio.gather(self._field(), quietly(likely.prepare(number)))
        return None if found is None else await found.level(number)

    async def is_other(self) -> bool:
        """Tell whether its array is another than it was taken for; then `level` gives it."""
        found = await self._field()
        return found is not None and await found.is_other()
