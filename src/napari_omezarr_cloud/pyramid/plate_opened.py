"""A plate or well that is open: which wells there are, where they lie, which field is shown."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as field_of
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from napari_omezarr_cloud.ngff.plate import Acquisition, PlateWell
    from napari_omezarr_cloud.pyramid.mosaic import MosaicNotes
    from napari_omezarr_cloud.pyramid.opened import OpenedImage

__all__ = ["OpenedPlate"]


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
    """Which field of each well is shown, counted from 0; None: all, of a well."""
    acquisition: int | None
    """Id of the one that is shown; None: all."""
    cell: tuple[float, float]
    """Length of a cell along y and x, in the units of the axes."""
    found: MosaicNotes
    """What is seen of wells when they are opened."""
    reopen: Callable[[int | None, int | None], Awaitable[OpenedImage]] = field_of(repr=False)
    """Opens it with another field and acquisition, over the same connections; on the I/O loop."""

    def well_at(self, y: float, x: float) -> PlateWell | None:
        """Return the well at a position, in the units of the axes."""
        place = (int(y // self.cell[0]), int(x // self.cell[1]))
        return next((well for well in self.wells if (well.row, well.column) == place), None)

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
