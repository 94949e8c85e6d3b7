"""Plates and wells as one image each: their fields side by side, asked for when they are seen.

Round 1 brought the plate's document, round 2 that of the first well and (guessed) its field, round
3 the field's levels. All other wells are asked for when something of them is wanted.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError, MetadataError, NotFoundError
from napari_omezarr_cloud.ngff.plate import PlateWell, parse_plate
from napari_omezarr_cloud.ngff.well import parse_well
from napari_omezarr_cloud.pyramid.documents import read_documents
from napari_omezarr_cloud.pyramid.field_tile import (
    FieldTile,
    Holder,
    LabelTile,
    Model,
    OpenedField,
)
from napari_omezarr_cloud.pyramid.labels_opening import open_all_labels
from napari_omezarr_cloud.pyramid.mosaic import MosaicNotes, Tiles, lay_out, plane_axes
from napari_omezarr_cloud.pyramid.opened import OpenedImage, OpenedLabels
from napari_omezarr_cloud.pyramid.plate_opened import FieldChoice, OpenedPlate
from napari_omezarr_cloud.store import OpenedStore
from napari_omezarr_cloud.store.inside import InsideStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.ngff import Group
    from napari_omezarr_cloud.pyramid.documents import Documents
    from napari_omezarr_cloud.pyramid.level import Pyramid

__all__ = ["open_plate", "open_well"]

_BATCHES = (1, 4, 16, 64, 256)
"""How many wells are looked for at once, until one is there."""
_MOST_MEASURED = 400
"""Fields of a well whose sizes and places are read before it is laid out."""
_ASKED_FOR_LABELS = 6
"""Fields that are asked whether they have labels, where the first has none."""
_ASKED = range(1, _ASKED_FOR_LABELS)

Cell = tuple[int, int]
FieldTiles = Callable[[Cell], "FieldTile | None"]


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
        all of them, laid out in each well as those of the first well are.
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
    number = _number(group, field) or 0
    _check_choice(group, number, acquisition, [a.id for a in plate.acquisitions])
    holder, model = _holder(opened, group), Model()
    wells = {(well.row, well.column): well for well in plate.wells}
    known: dict[str, Documents] = {}

    @cache
    def tile_of(cell: Cell, number: int, name: str = "") -> FieldTile | None:
        found = wells.get(cell)
        if found is None:
            return None
        return FieldTile(
            holder,
            found.name + name,
            model,
            well=found.path,
            field=number,
            acquisition=acquisition,
            documents=known.setdefault(found.path, {}),
        )

    def tile_at(cell: Cell) -> FieldTile | None:
        return tile_of(cell, number)

    tile, first = await _first(group, tile_at, list(wells))
    well = await tile.well()
    fields = well.fields(acquisition) if well is not None else ()
    model.paths = tuple(each.path for each in fields)
    model.field_count = max(len(fields), 1)
    notes = [*plate.notes]
    places, at_least = [(0, 0)], (0, 0)
    if field == "all" and len(fields) > 1:
        there = next((each.row, each.column) for each in plate.wells if each.name == tile.name)
        inner = [tile_of(there, n, f" field {n}") for n in range(len(fields))]
        places, at_least, _, more = await _laid([t for t in inner if t is not None], first)
        notes += more
    elif len(fields) > 1:
        notes.append(
            f"Each well has several fields ({len(fields)} in {tile.name}); field {number} of each "
            "is shown. Another one: open with field=1 and so on, or all with field='all'."
        )
    across = _counts(places)
    number_at = {place: n for n, place in enumerate(places)}

    def tile_in(cell: Cell) -> FieldTile | None:
        n = number_at.get((cell[0] % across[0], cell[1] % across[1]))
        if n is None:
            return None
        return tile_of((cell[0] // across[0], cell[1] // across[1]), n, f" field {n}")

    counts = len(plate.rows), len(plate.columns)
    mosaic, labels = _assembled(
        opened,
        holder,
        model,
        first,
        tile_at if len(places) == 1 else tile_in,
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
        _cell_length(mosaic, counts),
        tuple(places),
        holder.notes,
        lambda field, acquisition: open_plate(opened, group, field=field, acquisition=acquisition),
    )
    return _opened(opened, first, mosaic, labels, about, plate.name, notes)


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
    number = _number(group, field)
    ids = list(dict.fromkeys(image.acquisition for image in well.images))
    _check_choice(group, number or 0, acquisition, [n for n in ids if n is not None])
    if number is not None:
        fields = fields[number : number + 1]
    if not fields:
        raise _no_field(group, number or 0, len(well.fields(acquisition)))
    holder, model = _holder(opened, group), Model()
    tiles = [FieldTile(holder, image.path, model, field=image.path) for image in fields]
    places, at_least, found, more = await _laid(tiles)
    first = _first_of(group, found)
    notes = [*well.notes, *more]
    counts = _counts(places)
    mosaic, labels = _assembled(
        opened,
        holder,
        model,
        first,
        dict(zip(places, tiles, strict=True)).get,
        counts,
        at_least,
    )
    about = OpenedPlate(
        True,
        (),
        (),
        tuple(PlateWell(i.path, *place) for i, place in zip(fields, places, strict=True)),
        (),
        len(well.fields(acquisition)),
        number,
        acquisition,
        _cell_length(mosaic, counts),
        tuple(places),
        holder.notes,
        lambda field, acquisition: open_well(opened, group, field=field, acquisition=acquisition),
    )
    return _opened(opened, first, mosaic, labels, about, "", notes)


async def _laid(
    tiles: Sequence[FieldTile], model: OpenedField | None = None
) -> tuple[list[Cell], Cell, Sequence[OpenedField | BaseException | None], list[str]]:
    """Read sizes and positions of a well's fields.

    Returns
    -------
    places : list of (int, int)
        Row and column of each in the well.
    at_least : (int, int)
        Voxels along y and x that hold any of them, in voxels of the model, else of the first.
    found : list
        The fields that are there, and what is wrong with the others.
    notes : list of str
    """
    found = await asyncio.gather(
        *(tile.whole() for tile in tiles[:_MOST_MEASURED]), return_exceptions=True
    )
    notes = [
        f"The field {tile.name!r} could not be opened. {each}"
        for tile, each in zip(tiles, found, strict=False)
        if isinstance(each, CloudError)
    ]
    measured = [each for each in found if isinstance(each, OpenedField)]
    places, by_position = _places(
        len(tiles), [e if isinstance(e, OpenedField) else None for e in found]
    )
    if by_position:
        notes.append("The fields lie in the order of their positions, side by side.")
    model = model or next(iter(measured), None)
    at_least = (0, 0) if model is None else _largest(model.pyramid, [model, *measured])
    return places, at_least, found, notes


def _counts(places: Sequence[Cell]) -> Cell:
    return max(row for row, _ in places) + 1, max(column for _, column in places) + 1


def _number(group: Group, field: FieldChoice) -> int | None:
    """Return the number of the field that is chosen; None: none in particular."""
    if field is None or field == "all":
        return None
    if not isinstance(field, int):
        raise _no_field(group, field, None)
    return field


def _holder(opened: OpenedStore, group: Group) -> Holder:
    return Holder(
        opened.store, group.where.rstrip("/"), group.zarr_format, opened.documents, MosaicNotes()
    )


def _check_choice(group: Group, field: int, acquisition: int | None, known: list[int]) -> None:
    if field < 0:
        raise _no_field(group, field, None)
    if acquisition is not None and known and acquisition not in known:
        raise NotFoundError(
            "Could not show the acquisition",
            where=group.where,
            why=f"there is none of id {acquisition}; there are {', '.join(map(str, known[:20]))}",
        )


def _no_field(group: Group, field: object, count: int | None) -> NotFoundError:
    said = "" if count is None else f"; the well has {count}"
    return NotFoundError(
        "Could not show the field",
        where=group.where,
        why=f"there is no field {field}{said} (the first is 0)",
    )


async def _first(
    group: Group, tile_at: FieldTiles, cells: Sequence[Cell]
) -> tuple[FieldTile, OpenedField]:
    """Open the first well that is there, looking at ever more at once."""
    begin, failures = 0, []
    for size in _BATCHES:
        batch = [tile for cell in cells[begin : begin + size] if (tile := tile_at(cell))]
        begin += size
        found = await asyncio.gather(*map(_opened_first, batch), return_exceptions=True)
        for tile, each in zip(batch, found, strict=True):
            if isinstance(each, OpenedField):
                return tile, each
            if isinstance(each, CloudError):
                failures.append(each)
            elif isinstance(each, BaseException):
                raise each
    if failures:
        raise failures[0]
    looked = min(begin, len(cells))
    raise NotFoundError(
        "Could not open the plate",
        where=group.where,
        why=f"of its {len(cells):,} wells the first {looked:,} are not there or lack such a field",
        hint="The upload may be unfinished; a well that is there can be opened by its own link.",
    )


async def _opened_first(tile: FieldTile) -> OpenedField | None:
    await tile.read_first()
    return await tile.whole()


def _first_of(group: Group, found: Sequence[OpenedField | BaseException | None]) -> OpenedField:
    for each in found:
        if isinstance(each, OpenedField):
            return each
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


def _assembled(
    opened: OpenedStore,
    holder: Holder,
    model: Model,
    first: OpenedField,
    tiles: FieldTiles,
    counts: Cell,
    at_least: Cell,
) -> tuple[Pyramid, asyncio.Task[tuple[tuple[OpenedLabels, ...], tuple[str, ...]]]]:
    model.pyramid = first.pyramid
    model.datasets = tuple(dataset.path for dataset in first.image.datasets)
    mosaic = lay_out(tiles, first.pyramid, counts, at_least=at_least, notes=holder.notes)
    labels = asyncio.ensure_future(_labels(opened, holder, first, mosaic, tiles, counts))
    return mosaic, labels


async def _labels(
    opened: OpenedStore,
    holder: Holder,
    first: OpenedField,
    mosaic: Pyramid,
    tiles: FieldTiles,
    counts: Cell,
) -> tuple[tuple[OpenedLabels, ...], tuple[str, ...]]:
    """Lay out the label images of the first field that has any, of all fields."""
    found, notes, at = await _first_labels(opened, holder, first, tiles, counts)
    laid = []
    for each in found:
        model = Model()
        model.pyramid = each.pyramid
        model.datasets = tuple(dataset.path for dataset in each.image.datasets)
        # Whoever looks for labels where there are none need not be told of each.
        quiet = replace(holder, notes=MosaicNotes())
        beneath = _label_tiles(tiles, quiet, each.name, model)
        try:
            pyramid = lay_out(beneath, each.pyramid, counts, beside=at.pyramid, over=mosaic)
        except MetadataError as error:
            notes = (*notes, f"The labels {each.name!r} could not be laid out. {error}")
            continue
        kept = (*pyramid.kept, holder.notes)  # tells whose labels they are
        laid.append(replace(each, pyramid=replace(pyramid, kept=kept)))
    return tuple(laid), notes


async def _first_labels(
    opened: OpenedStore, holder: Holder, first: OpenedField, tiles: FieldTiles, counts: Cell
) -> tuple[tuple[OpenedLabels, ...], tuple[str, ...], OpenedField]:
    """Return the labels of the first field; where it has none, of one of a few others.

    Which others have labels cannot be told without asking each: a few are, all over the plate.
    """
    found, notes = await _labels_of(opened, first)
    if found:
        return found, notes, first
    cells = [divmod(n, counts[1]) for n in range(counts[0] * counts[1])]
    there = [tile for cell in cells if (tile := tiles(cell)) is not None]
    some = [there[n] for n in sorted({n * len(there) // _ASKED_FOR_LABELS for n in _ASKED})]
    places = [(tile, *tile.labels_listing()) for tile in some]
    places = [each for each in places if each[1] != first.path]
    try:
        listed = await read_documents(opened.store, [key for _, _, key in places], opened.documents)
        for tile, _, key in places:
            field = await tile.whole() if listed[key] is not None else None
            if field is not None:
                found, more = await _labels_of(opened, field)
                if found:
                    return found, (*notes, *more), field
    except CloudError:
        pass  # told with the pixels of that well; there may be no labels at all
    return (), notes, first


async def _labels_of(
    opened: OpenedStore, first: OpenedField
) -> tuple[tuple[OpenedLabels, ...], tuple[str, ...]]:
    field = OpenedStore(
        opened.location.child(first.path),
        InsideStore(opened.store, first.path),
        opened.traffic,
        {
            key.removeprefix(first.path + "/"): raw
            for key, raw in opened.documents.items()
            if key.startswith(first.path + "/")
        },
    )
    return await open_all_labels(field, str(field.location), first.group.zarr_format, first.image)


def _label_tiles(tiles: FieldTiles, holder: Holder, label: str, model: Model) -> Tiles:
    @cache
    def tile_at(cell: Cell) -> LabelTile | None:
        field = tiles(cell)
        return None if field is None else LabelTile(field, holder, label, model)

    return tile_at


def _cell_length(mosaic: Pyramid, counts: Cell) -> tuple[float, float]:
    level = mosaic.levels[0]
    y, x = plane_axes(mosaic)
    return (
        level.grid.shape[y] // counts[0] * level.transform.scale[y],
        level.grid.shape[x] // counts[1] * level.transform.scale[x],
    )


def _opened(
    opened: OpenedStore,
    first: OpenedField,
    mosaic: Pyramid,
    labels: asyncio.Task[tuple[tuple[OpenedLabels, ...], tuple[str, ...]]],
    about: OpenedPlate,
    name: str,
    notes: Sequence[str],
) -> OpenedImage:
    name = name or opened.location.name
    told = tuple(dict.fromkeys((*opened.notes, *notes, *first.image.notes)))
    image = replace(
        first.image, name=name, label=None, affine=None, systems=(), shown_axes=(), label_links=()
    )
    return OpenedImage(
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
        labels,
        name=name,
        plate=about,
    )


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


def _places(count: int, fields: Sequence[OpenedField | None]) -> tuple[list[Cell], bool]:
    """Return a cell for each field, and whether they are those of the fields' own positions."""
    if len(fields) == count and all(each is not None for each in fields) and count > 1:
        pyramids = [each.pyramid for each in fields if each is not None]
        rows, columns = (_ranks(pyramids, n) for n in (0, 1))
        places = list(zip(rows, columns, strict=True))
        area = (max(rows) + 1) * (max(columns) + 1)
        if len(set(places)) == count and area <= 4 * count:
            return places, True
    width = math.ceil(math.sqrt(count))
    return [divmod(i, width) for i in range(count)], False


def _ranks(pyramids: Sequence[Pyramid], n: int) -> list[int]:
    """Return which row (n = 0) or column (1) each image is in, by where it begins.

    Images that begin within half a length of each other are in the same one.
    """
    begins, lengths = [], []
    for pyramid in pyramids:
        level, axis = pyramid.levels[0], plane_axes(pyramid)[n]
        begins.append(level.transform.translation[axis])
        lengths.append(level.grid.shape[axis] * level.transform.scale[axis])
    order = sorted(range(len(begins)), key=begins.__getitem__)
    ranks, rank, last = [0] * len(begins), 0, begins[order[0]]
    for i in order:
        if begins[i] - last > min(lengths) / 2:
            rank, last = rank + 1, begins[i]
        ranks[i] = rank
    return ranks
