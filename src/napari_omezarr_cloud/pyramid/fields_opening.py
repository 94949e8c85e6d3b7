"""What opening a plate and opening a well have in common."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError, NotFoundError
from napari_omezarr_cloud.ngff.units import micrometres
from napari_omezarr_cloud.pyramid.as_kept import as_kept
from napari_omezarr_cloud.pyramid.field_places import FieldGrid, field_grid, field_places
from napari_omezarr_cloud.pyramid.image_tile import Holder, OpenedField
from napari_omezarr_cloud.pyramid.mosaic import MosaicNotes, lay_out, plane_axes
from napari_omezarr_cloud.pyramid.mosaic_place import MosaicPlace
from napari_omezarr_cloud.pyramid.opened import OpenedImage
from napari_omezarr_cloud.pyramid.plate_labels import PlateLabels
from napari_omezarr_cloud.pyramid.well_fields import MOST_MEASURED

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from napari_omezarr_cloud.ngff import Group
    from napari_omezarr_cloud.pyramid.field_places import Position
    from napari_omezarr_cloud.pyramid.field_tile import AnyField, FieldTile
    from napari_omezarr_cloud.pyramid.level import Pyramid
    from napari_omezarr_cloud.pyramid.opened import OpenedLabels
    from napari_omezarr_cloud.pyramid.plate_opened import FieldChoice, OpenedPlate
    from napari_omezarr_cloud.store import OpenedStore

__all__ = [
    "Laid",
    "assembled",
    "cell_length",
    "check_choice",
    "holder_of",
    "laid_out",
    "no_field",
    "number_of",
    "opened_mosaic",
]

Cell = tuple[int, int]


def number_of(group: Group, field: FieldChoice) -> int | None:
    """Return the number of the field that is chosen; None: none in particular."""
    if field is None or field == "all":
        return None
    if not isinstance(field, int):
        raise no_field(group, field, None)
    return field


def holder_of(
    opened: OpenedStore, group: Group, field: FieldChoice, acquisition: int | None
) -> Holder:
    """Return what the tiles of a plate or well have in common."""
    return Holder(
        opened.store,
        group.where.rstrip("/"),
        MosaicPlace(opened.location, field, acquisition),
        group.zarr_format,
        opened.documents,
        MosaicNotes(),
    )


def check_choice(group: Group, field: int, acquisition: int | None, known: list[int]) -> None:
    """Refuse a field or acquisition that no well can have."""
    if field < 0:
        raise no_field(group, field, None)
    if acquisition is not None and known and acquisition not in known:
        raise NotFoundError(
            "Could not show the acquisition",
            where=group.where,
            why=f"there is none of id {acquisition}; there are {', '.join(map(str, known[:20]))}",
        )


def no_field(group: Group, field: object, count: int | None) -> NotFoundError:
    """Return what to say of a field that is not there; ``count`` are."""
    said = "" if count is None else f"; the well has {count}"
    return NotFoundError(
        "Could not show the field",
        where=group.where,
        why=f"there is no field {field}{said} (the first is 0)",
    )


@dataclass(frozen=True)
class Laid:
    """The fields of a well in their places."""

    grid: FieldGrid
    places: tuple[Cell | None, ...]
    at_least: Cell
    """Voxels along y and x that hold any of them, in voxels of the model, else of the first."""
    found: Sequence[OpenedField | BaseException | None]
    """The fields that are there, and what is wrong with the others."""
    notes: list[str]


async def laid_out(
    tiles: Sequence[FieldTile], model: OpenedField | None = None, most: int = 1
) -> Laid:
    """Read sizes and positions of a well's fields; there are to be places for ``most``."""
    # The first is the model where there is none yet: of the others, the finest level will do.
    whole = 1 if model is None else 0
    some = tiles[whole:MOST_MEASURED]
    found = await asyncio.gather(
        *(each.whole() for each in tiles[:whole]),
        *(each.finest() for each in some),
        return_exceptions=True,
    )
    notes = [
        f"The field {tile.guess()!r} could not be opened. {each}"
        for tile, each in zip(tiles, found, strict=False)
        if isinstance(each, CloudError)
    ]
    positions: list[Position] = [None] * len(tiles)
    if len(tiles) <= MOST_MEASURED:
        positions = await asyncio.gather(*(each.position() for each in tiles))
    measured = [each for each in found if isinstance(each, OpenedField)]
    model = model or next(iter(measured), None)
    at_least = (0, 0) if model is None else _largest(model.pyramid, [model, *measured])
    length = (1.0, 1.0) if model is None else _length_um(model.pyramid)
    grid = field_grid(positions, length, max(most, len(tiles)))
    if grid.is_by_position and len(tiles) > 1:
        notes.append("The fields lie in the order of their positions, side by side.")
    return Laid(grid, field_places(grid, positions), at_least, found, notes)


def assembled(
    opened: OpenedStore,
    holder: Holder,
    first: OpenedField,
    tile_in: Callable[[Cell], AnyField | None],
    counts: Cell,
    at_least: Cell,
) -> tuple[Pyramid, PlateLabels]:
    """Return the mosaic of fields, and what finds their labels.

    Parameters
    ----------
    opened, holder, first
        Of the tiles, and the first of them.
    tile_in
        (row, column) of a cell → what lies there.
    counts
        Rows and columns of cells.
    at_least
        Voxels along y and x that a cell must hold.
    """
    mosaic = lay_out(
        tile_in,
        first.pyramid,
        counts,
        place=holder.place,
        at_least=at_least,
        notes=holder.notes,
    )
    return mosaic, PlateLabels(opened, holder, first, mosaic, tile_in, counts)


def cell_length(mosaic: Pyramid, counts: Cell) -> tuple[float, float]:
    """Return the length along y and x of a cell, of which there are so many rows and columns."""
    level = mosaic.levels[0]
    y, x = plane_axes(mosaic)
    return (
        level.grid.shape[y] // counts[0] * level.transform.scale[y],
        level.grid.shape[x] // counts[1] * level.transform.scale[x],
    )


def opened_mosaic(
    opened: OpenedStore,
    first: OpenedField,
    mosaic: Pyramid,
    labels: Coroutine[Any, Any, tuple[tuple[OpenedLabels, ...], tuple[str, ...]]],
    about: OpenedPlate,
    name: str,
    notes: Sequence[str],
) -> OpenedImage:
    """Return a mosaic as an image; its labels go on being looked for."""
    name = name or opened.location.name
    told = tuple(dict.fromkeys((*opened.notes, *notes, *first.image.notes)))
    image = replace(
        first.image, name=name, label=None, affine=None, systems=(), shown_axes=(), label_links=()
    )
    whole = OpenedImage(
        opened.location,
        image,
        replace(
            mosaic,
            name=name,
            notes=told,
            source=str(opened.location),
            kept=(*mosaic.kept, about, opened.location),
        ),
        opened.store,
        opened.traffic,
        told,
        asyncio.ensure_future(labels),
        name=name,
        plate=about,
    )
    return as_kept(whole)


def _largest(model: Pyramid, fields: Sequence[OpenedField]) -> Cell:
    """Return the extent that holds any of the fields, in voxels of the model's finest level."""
    sizes = []
    for n, position in enumerate(plane_axes(model)):
        unit = model.levels[0].transform.scale[position]
        lengths = []
        for each in fields:
            level, own = each.pyramid.levels[0], plane_axes(each.pyramid)[n]
            # Voxels of a wholly other size are no reason for a plate that is mostly empty.
            ratio = level.transform.scale[own] / unit
            lengths.append(level.grid.shape[own] * (ratio if 1 / 64 < ratio < 64 else 1.0))
        sizes.append(math.ceil(max(lengths) - 1e-6))
    return sizes[0], sizes[1]


def _length_um(pyramid: Pyramid) -> tuple[float, float]:
    """Return the extent of an image along y and x, in µm where the unit is known."""
    level = pyramid.levels[0]
    y, x = (
        level.grid.shape[axis]
        * level.transform.scale[axis]
        * (micrometres(pyramid.axes[axis].unit) or 1.0)
        for axis in plane_axes(pyramid)
    )
    return y, x
