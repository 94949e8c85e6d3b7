"""A plate or well that is open: which wells there are, where they lie, which field is shown."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from dataclasses import field as field_of
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from napari_omezarr_cloud.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from napari_omezarr_cloud.ngff.plate import Acquisition, PlateWell
    from napari_omezarr_cloud.pyramid.level import Pyramid
    from napari_omezarr_cloud.pyramid.mosaic import MosaicNotes
    from napari_omezarr_cloud.pyramid.opened import OpenedImage
    from napari_omezarr_cloud.pyramid.plate_labels import PlateLabels

__all__ = ["FieldChoice", "OpenedPlate", "field_choice", "plate_of"]

FieldChoice = int | Literal["all"] | None
"""A field of each well, counted from 0, or all of them; None: the first of a plate's wells, all
fields of a well."""


@dataclass(frozen=True, eq=False)
class OpenedPlate:
    """What is shown as one mosaic, and how it is laid out."""

    is_well: bool
    """Whether it is one well with its fields, not a plate with its wells."""
    rows: tuple[str, ...]
    """Names of the rows; of a well: empty."""
    columns: tuple[str, ...]
    """Names of the columns; of a well: empty."""
    wells: tuple[PlateWell, ...]
    """The plate's wells; of a well: its fields, in their places."""
    acquisitions: tuple[Acquisition, ...]
    field_count: int
    """The most fields that a well has, as stated, or as the first well has."""
    field: int | None
    """Which field of each well is shown, counted from 0; None: all of them."""
    acquisition: int | None
    """Id of the one that is shown; None: all."""
    cell: tuple[float, float]
    """Length along y and x of the cell of a well (of a well: of a field), in the axes' units."""
    across: tuple[int, int]
    """Rows and columns of fields in each well."""
    found: MosaicNotes
    """What is seen of wells when they are opened."""
    labels: PlateLabels = field_of(repr=False)
    """What was found of labels in wells that were asked later."""
    ask_for_labels: Callable[[PlateWell], None] = field_of(repr=False)
    """Asks a well whether it has labels, unless some are known; on the I/O loop."""
    numbers: Callable[[PlateWell], Mapping[tuple[int, int], int] | None] = field_of(repr=False)
    """Of a well whose fields are all shown: (row, column) in it → number of the field, counted from
    0; None as long as nobody has looked."""
    reopen: Callable[[FieldChoice, int | None], Awaitable[OpenedImage]] = field_of(repr=False)
    """Opens it with another field and acquisition, over the same connections; on the I/O loop."""

    def well_at(self, y: float, x: float) -> PlateWell | None:
        """Return the well (of a well: the field) at a position, in the units of the axes."""
        return self._by_place.get((int(y // self.cell[0]), int(x // self.cell[1])))

    def wells_in(
        self, start: tuple[float, float], stop: tuple[float, float], most: int
    ) -> list[PlateWell]:
        """Return the wells that a box touches; none, if it touches more than ``most`` cells.

        Parameters
        ----------
        start, stop
            Along y and x, in the units of the axes.
        most
            Cells, of wells that are listed and of others.
        """
        first = [int(max(0, at) // length) for at, length in zip(start, self.cell, strict=True)]
        last = [math.ceil(at / length) for at, length in zip(stop, self.cell, strict=True)]
        spans = [range(a, b) for a, b in zip(first, last, strict=True)]
        if len(spans[0]) * len(spans[1]) > most:
            return []
        found = (self._by_place.get((row, column)) for row in spans[0] for column in spans[1])
        return [well for well in found if well is not None]

    def field_at(self, y: float, x: float) -> int | None:
        """Return the number of the field at a position; None: none is there, as far as is known."""
        well = self.well_at(y, x)
        if well is None:
            return None
        if self.is_well:
            return self.wells.index(well) + (self.field or 0)
        if self.field is not None:
            return self.field
        row, column = (
            int(at % length / length * count)
            for at, length, count in zip((y, x), self.cell, self.across, strict=True)
        )
        return (self.numbers(well) or {}).get((row, column))

    @cached_property
    def _by_place(self) -> dict[tuple[int, int], PlateWell]:
        return {(well.row, well.column): well for well in self.wells}

    @cached_property
    def _by_name(self) -> dict[str, PlateWell]:
        found = {well.path.casefold(): well for well in self.wells}
        for well in self.wells:
            found.setdefault(well.name.casefold(), well)
            row, _, column = well.path.rpartition("/")
            if column.isdecimal():  # B03 is B3
                found.setdefault(f"{row}{int(column)}".casefold(), well)
        return found

    def find(self, name: str) -> PlateWell | None:
        """Return the well that a person means by ``"B3"``, ``"b03"`` or ``"B/3"``."""
        text = name.strip().casefold()
        if found := self._by_name.get(text):
            return found
        parts = re.fullmatch(r"([^\W\d_]+)[\s/_-]*0*(\d+)", text)
        return self._by_name.get("".join(parts.groups())) if parts else None

    def origin_of(self, name: str) -> tuple[float, float]:
        """Return where a well begins, along y and x; ``name`` is ``"B3"`` or its path.

        Raises
        ------
        KeyError
            If there is no such well.
        """
        for well in self.wells:
            if name in (well.name, well.path):
                return well.row * self.cell[0], well.column * self.cell[1]
        raise KeyError(name)


def field_choice(text: str) -> FieldChoice:
    """Return the field that a person wrote: a number, ``all``, or nothing.

    Raises
    ------
    LinkError
        If it is something else.
    """
    said = text.strip().casefold()
    if not said:
        return None
    if said == "all":
        return "all"
    if said.isdecimal() and len(said) < 10:
        return int(said)
    raise LinkError(
        "Could not use this field",
        why=f"{text.strip()[:100]!r} is no number",
        hint="Write 0 for the first, 1 for the second, or all.",
    )


def plate_of(pyramid: Pyramid) -> OpenedPlate | None:
    """Return the plate or well that a pyramid shows itself; None for any other pyramid."""
    return next((each for each in pyramid.kept if isinstance(each, OpenedPlate)), None)
