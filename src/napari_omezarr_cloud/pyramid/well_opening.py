"""A well as one image: its fields side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError, NotFoundError
from napari_omezarr_cloud.ngff.plate import PlateWell
from napari_omezarr_cloud.ngff.well import parse_well
from napari_omezarr_cloud.pyramid.field_tile import FieldTile
from napari_omezarr_cloud.pyramid.fields_opening import (
    assembled,
    cell_length,
    check_choice,
    holder_of,
    laid_out,
    no_field,
    number_of,
    opened_mosaic,
)
from napari_omezarr_cloud.pyramid.image_tile import Model, OpenedField
from napari_omezarr_cloud.pyramid.plate_opened import FieldChoice, OpenedPlate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.ngff import Group
    from napari_omezarr_cloud.pyramid.opened import OpenedImage
    from napari_omezarr_cloud.store import OpenedStore

__all__ = ["open_well"]


async def open_well(
    opened: OpenedStore,
    group: Group,
    *,
    field: FieldChoice = None,
    acquisition: int | None = None,
) -> OpenedImage:
    """Open a well: all its fields, by the places they state, else in the order listed.

    Parameters
    ----------
    opened
        The well's store, and what the first round brought.
    group
        Of kind ``"well"``.
    field
        Only this field, counted from 0; None or "all": all.
    acquisition
        Only the fields of the acquisition of this id; None: all.

    Raises
    ------
    MetadataError
        If the well cannot be understood.
    NotFoundError
        If it has no such field, or none is there.
    CloudError
        What is wrong with the first field, if none can be opened.
    """
    well = parse_well(group)
    fields = well.fields(acquisition)
    number = number_of(group, field)
    ids = list(dict.fromkeys(image.acquisition for image in well.images))
    check_choice(group, number or 0, acquisition, [n for n in ids if n is not None])
    if number is not None:
        fields = fields[number : number + 1]
    if not fields:
        raise no_field(group, number or 0, len(well.fields(acquisition)))
    holder, model = holder_of(opened, group, field, acquisition), Model()
    tiles = [FieldTile(holder, image.path, model, field=image.path) for image in fields]
    laid = await laid_out(tiles)
    first = await _first_of(group, tiles, laid.found)
    places = [place for place in laid.places if place is not None]
    at = dict(zip(places, tiles, strict=True))
    model.take(first, {})
    mosaic, labels = assembled(opened, holder, first, at.get, laid.grid.counts, laid.at_least)
    about = OpenedPlate(
        True,
        (),
        (),
        tuple(PlateWell(i.path, *place) for i, place in zip(fields, places, strict=True)),
        (),
        len(well.fields(acquisition)),
        number,
        acquisition,
        cell_length(mosaic, laid.grid.counts),
        (1, 1),
        holder.notes,
        labels,
        lambda well: labels.look_at(at[well.row, well.column]),
        lambda well: None,
        lambda field, acquisition: open_well(opened, group, field=field, acquisition=acquisition),
    )
    notes = [*well.notes, *laid.notes]
    return opened_mosaic(opened, first, mosaic, labels.find(tiles), about, "", notes)


async def _first_of(
    group: Group,
    tiles: Sequence[FieldTile],
    found: Sequence[OpenedField | BaseException | None],
) -> OpenedField:
    """Return the first field that is there, with all its levels."""
    for tile, each in zip(tiles, found, strict=False):
        if isinstance(each, OpenedField) and (whole := await tile.whole()) is not None:
            return whole
        if isinstance(each, BaseException) and not isinstance(each, CloudError):
            raise each
    for each in found:
        if isinstance(each, CloudError):
            raise each
    raise NotFoundError(
        "Could not open the well",
        where=group.where,
        why=f"none of its {len(found)} fields is there",
        hint="The upload may be unfinished.",
    )
