"""A plate as one image: its wells side by side, asked for when they are seen.

Round 1 brought the plate's document, round 2 that of the first well and (guessed) its field, round
3 the field's levels. All other wells are asked for when something of them is wanted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache, partial
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError, NotFoundError
from napari_omezarr_cloud.ngff import parse_group
from napari_omezarr_cloud.ngff.plate import Plate, PlateWell, parse_plate
from napari_omezarr_cloud.ngff.well import Well, WellImage
from napari_omezarr_cloud.pyramid.alike import Alike
from napari_omezarr_cloud.pyramid.consolidated import NOTHING, Consolidated
from napari_omezarr_cloud.pyramid.documents import read_documents, top_documents
from napari_omezarr_cloud.pyramid.field_tile import AnyField, FieldTile
from napari_omezarr_cloud.pyramid.fields_opening import (
    assembled,
    cell_length,
    check_choice,
    holder_of,
    laid_out,
    number_of,
    opened_mosaic,
)
from napari_omezarr_cloud.pyramid.image_tile import Holder, Model, OpenedField
from napari_omezarr_cloud.pyramid.plate_opened import FieldChoice, OpenedPlate
from napari_omezarr_cloud.pyramid.well_fields import MOST_MEASURED, PlacedTile, WellFields, quietly

if TYPE_CHECKING:
    from napari_omezarr_cloud.ngff import Group
    from napari_omezarr_cloud.pyramid.documents import Documents
    from napari_omezarr_cloud.pyramid.opened import OpenedImage
    from napari_omezarr_cloud.store import OpenedStore

__all__ = ["open_plate"]

_BATCHES = (1, 4, 16, 64, 256)
"""How many wells are looked for at once, until one is there."""
_MANY_WELLS = 96
"""Of plates with more, the array metadata of wells that are alike are not all asked for."""
_MOST_MORE = 4
"""Times as many fields as the first well has, beyond which what the plate says is not believed."""
_ASKED = 6
"""Wells that are asked how many fields they have, where the plate does not say."""

Cell = tuple[int, int]
TileOf = Callable[[PlateWell, int], FieldTile]
Also = Callable[[FieldTile, PlateWell], Awaitable[None]]


async def open_plate(
    opened: OpenedStore,
    group: Group,
    *,
    field: FieldChoice = None,
    acquisition: int | None = None,
) -> OpenedImage:
    """Open a plate: one field of each well, or all of them.

    Parameters
    ----------
    opened
        The plate's store, and what the first round brought.
    group
        Of kind ``"plate"``.
    field
        Which field of each well, counted from 0 in the order listed; None: the first. "all":
        all of them, each well's in a layout of its own.
    acquisition
        Id of the acquisition whose fields count; None: any.

    Raises
    ------
    MetadataError
        If the plate cannot be understood.
    NotFoundError
        If no well has such a field, as far as was looked.
    CloudError
        What is wrong with the first well, if no well can be opened.
    """
    plate = parse_plate(group)
    number = number_of(group, field) or 0
    check_choice(group, number, acquisition, [a.id for a in plate.acquisitions])
    holder, model = holder_of(opened, group, field, acquisition), Model()
    tile_of = _tiles_of(holder, model, acquisition, is_all=field == "all")
    is_alone = plate.field_count == 1 and len(plate.acquisitions) < 2 and acquisition is None

    async def other_fields(tile: FieldTile, there: PlateWell) -> None:
        """Read what the first well's other fields take, in the same round trip as its levels."""
        fields = await _fields_of(tile, acquisition)
        model.paths = tuple(each.path for each in fields)
        finest = await tile.first_level()
        others = [tile_of(there, n) for n in range(1, min(len(fields), MOST_MEASURED))]
        counted = [] if plate.field_count is not None else _some(plate, tile_of)
        await asyncio.gather(
            *(quietly(each.read_first(finest)) for each in others if finest),
            *(quietly(each.well()) for each in counted),
        )

    also = other_fields if field == "all" and not is_alone else None
    there, first, holder.consolidated = await _first(opened, group, plate, tile_of, number, also)
    model.take(first, tile_of(there, number).documents)
    fields = await _fields_of(tile_of(there, number), acquisition)
    model.paths = tuple(each.path for each in fields)
    model.is_single = is_alone and len(fields) == 1
    model.alike = Alike() if len(plate.wells) > _MANY_WELLS else None
    wells = {(each.row, each.column): each for each in plate.wells}
    notes, across, at_least = [*plate.notes], (1, 1), (0, 0)
    tile_in: Callable[[Cell], AnyField | None]
    inside: dict[str, WellFields] = {}
    if field == "all" and not model.is_single:
        most = await _most_fields(plate, len(fields), tile_of, acquisition)
        laid = await laid_out([tile_of(there, n) for n in range(len(fields))], first, most)
        notes += laid.notes
        across, at_least = laid.grid.counts, laid.at_least
        likely = tuple(place for place in laid.places if place is not None)
        for each in plate.wells:
            tiles = partial(tile_of, each)
            inside[each.path] = WellFields(
                each.name, tiles, laid.grid, likely, acquisition, holder.notes
            )

        def tile_in(cell: Cell) -> PlacedTile | None:
            found = wells.get((cell[0] // across[0], cell[1] // across[1]))
            place = cell[0] % across[0], cell[1] % across[1]
            return None if found is None else PlacedTile(inside[found.path], place)
    else:
        model.field_count = max(len(fields), 1)
        if len(fields) > 1:
            notes.append(
                f"Each well has several fields ({len(fields)} in {there.name}); field {number} of "
                "each is shown. Another one: open with field=1 and so on, or all with field='all'."
            )

        def tile_in(cell: Cell) -> FieldTile | None:
            found = wells.get(cell)
            return None if found is None else tile_of(found, number)

    counts = len(plate.rows), len(plate.columns)
    mosaic, labels = assembled(
        opened,
        holder,
        first,
        cache(tile_in),
        (counts[0] * across[0], counts[1] * across[1]),
        at_least,
    )
    about = OpenedPlate(
        False,
        plate.rows,
        plate.columns,
        plate.wells,
        plate.acquisitions,
        max(len(fields), plate.field_count or 0),
        None if field == "all" else number,
        acquisition,
        cell_length(mosaic, counts),
        across,
        holder.notes,
        labels,
        lambda well: labels.look_at(tile_of(well, number)),
        lambda well: inside[well.path].numbers if well.path in inside else None,
        lambda field, acquisition: open_plate(opened, group, field=field, acquisition=acquisition),
    )
    asked = [tile_of(each, number) for each in plate.wells]
    return opened_mosaic(opened, first, mosaic, labels.find(asked), about, plate.name, notes)


def _tiles_of(holder: Holder, model: Model, acquisition: int | None, *, is_all: bool) -> TileOf:
    """Return what gives a well's field of a number, always the same."""
    known: dict[str, Documents] = {}

    @cache
    def tile_of(well: PlateWell, number: int) -> FieldTile:
        return FieldTile(
            holder,
            f"{well.name} field {number}" if is_all else well.name,
            model,
            well=well.path,
            field=number,
            acquisition=acquisition,
            documents=known.setdefault(well.path, {}),
        )

    return tile_of


async def _most_fields(plate: Plate, count: int, tile_of: TileOf, acquisition: int | None) -> int:
    """Return for how many fields each well gets places.

    As many as the plate says, unless that is far more than the first well has; where it does not
    say, as the largest of a few wells has.
    """
    if plate.field_count is not None and acquisition is None:
        is_likely = plate.field_count <= _MOST_MORE * max(count, 1)
        return max(count, plate.field_count) if is_likely else count
    found = await asyncio.gather(
        *(each.well() for each in _some(plate, tile_of)), return_exceptions=True
    )
    counts = [len(each.fields(acquisition)) for each in found if isinstance(each, Well)]
    return min(max(count, *counts, 1), max(count, MOST_MEASURED))


def _some(plate: Plate, tile_of: TileOf) -> list[FieldTile]:
    """Return the first fields of a few wells, all over the plate."""
    picked = {n * len(plate.wells) // _ASKED for n in range(_ASKED)}
    return [tile_of(plate.wells[n], 0) for n in sorted(picked)]


async def _fields_of(tile: FieldTile, acquisition: int | None) -> tuple[WellImage, ...]:
    well = await tile.well()
    return () if well is None else well.fields(acquisition)


async def _first(
    opened: OpenedStore,
    group: Group,
    plate: Plate,
    tile_of: TileOf,
    number: int,
    also: Also | None,
) -> tuple[PlateWell, OpenedField, Consolidated]:
    """Open the first well that is there, looking at ever more at once.

    ``also`` is done in the same round trip as its levels are read.

    Returns
    -------
    well, field
    consolidated : Consolidated
        Of the plate, if it says of this well what its files say.
    """
    begin, failures = 0, []
    copies = asyncio.ensure_future(_consolidated(opened, group))
    for size in _BATCHES:
        batch = plate.wells[begin : begin + size]
        begin += size
        tiles = [tile_of(well, number) for well in batch]
        found = await asyncio.gather(
            *(_opened_first(*each, also) for each in zip(tiles, batch, strict=True)),
            return_exceptions=True,
        )
        for well, tile, each in zip(batch, tiles, found, strict=True):
            if isinstance(each, OpenedField):
                consolidated = await copies
                agrees = consolidated.agrees_with(tile.documents)
                return well, each, consolidated if agrees else NOTHING
            if isinstance(each, CloudError):
                failures.append(each)
            elif isinstance(each, BaseException):
                raise each
    if failures:
        raise failures[0]
    looked = min(begin, len(plate.wells))
    raise NotFoundError(
        "Could not open the plate",
        where=group.where,
        why=f"of its {len(plate.wells):,} wells the first {looked:,} are not there or lack such a "
        "field",
        hint="The upload may be unfinished; a well that is there can be opened by its own link.",
    )


async def _consolidated(opened: OpenedStore, group: Group) -> Consolidated:
    """Return copies of the documents below a plate, where it has some."""
    if group.zarr_format == 3:
        return Consolidated.of(group)
    try:
        read = await read_documents(opened.store, [".zmetadata"], opened.documents)
        again = parse_group(top_documents({**opened.documents, **read}), where=group.where)
    except CloudError:
        return NOTHING  # it is there to spare requests, no more
    return Consolidated.of(again)


async def _opened_first(tile: FieldTile, well: PlateWell, also: Also | None) -> OpenedField | None:
    await tile.read_first()
    if also is None:
        return await tile.whole()
    opened, _ = await asyncio.gather(tile.whole(), also(tile, well))
    return opened
