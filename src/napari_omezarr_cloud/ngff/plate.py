"""Plates: rows, columns and the wells among them, whatever version wrote them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff.paths import check_path
from napari_omezarr_cloud.ngff.values import listed, plain_text, settled, shown, whole_number
from napari_omezarr_cloud.ngff.version import stated_version
from napari_omezarr_cloud.ngff.well import MOST_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_omezarr_cloud.ngff.group import Group

__all__ = ["Acquisition", "Plate", "PlateWell", "first_path", "parse_plate"]

_MOST_WELLS = 50_000
"""The largest plates that are made have 3456; some list each once per acquisition."""
_MOST_LINES = 10_000
"""Rows or columns; the largest plates have 32 by 48 wells."""
_MOST_ACQUISITIONS = 10_000


@dataclass(frozen=True)
class Acquisition:
    """One run of the microscope over the plate."""

    id: int
    name: str = ""
    """Plain text; empty: not stated."""


@dataclass(frozen=True)
class PlateWell:
    """A well that the plate lists; whether it is there is seen when it is opened."""

    path: str
    """Below the plate; checked."""
    row: int
    column: int

    @property
    def name(self) -> str:
        """As people say it: ``"B3"`` of ``"B/3"``."""
        return self.path.replace("/", "")


@dataclass(frozen=True)
class Plate:
    """What a plate says of itself."""

    name: str
    """Plain text; empty: not stated."""
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    wells: tuple[PlateWell, ...]
    """At least one, each in a place of its own, in the order listed."""
    acquisitions: tuple[Acquisition, ...] = ()
    field_count: int | None = None
    """The most fields that a well has; None: not stated."""
    version: str | None = None
    """As stated, not checked; None: not stated."""
    notes: tuple[str, ...] = ()
    """What was odd and tolerated, in sentences for a person."""


def parse_plate(group: Group) -> Plate:
    """Return the plate that a group describes.

    Parameters
    ----------
    group
        Of kind ``"plate"``.

    Returns
    -------
    Plate
        A well's place is that of its path (``row/column``) among the named rows and columns; the
        stated indices count only where the path says nothing. Rows and columns that are not
        listed are those of the paths, in natural order.

    Raises
    ------
    MetadataError
        If it lists no well that can be used; says what is wrong with the first.
    """
    notes = list(group.notes)
    value = group.attributes.get("plate")
    if not isinstance(value, dict):
        raise _error(group, f"plate is {shown(value)}, where an object is needed")
    found, refused = _well_entries(group, value.get("wells"), notes)
    if not found:
        if refused is not None:
            raise refused
        raise _error(group, "the plate lists no wells")
    pairs = [_names(path) for path, _ in found]
    rows = _lines(value.get("rows"), "rows", [pair[0] for pair in pairs if pair], notes)
    columns = _lines(value.get("columns"), "columns", [pair[1] for pair in pairs if pair], notes)
    rows = rows or _numbered(entry.get("rowIndex") for _, entry in found)
    columns = columns or _numbered(entry.get("columnIndex") for _, entry in found)
    if _are_swapped([pair for pair in pairs if pair], rows, columns):
        rows, columns = columns, rows
        notes.append("The lists of rows and columns are swapped; the paths of the wells count.")
    wells = _placed(found, rows, columns, notes)
    if not wells:
        raise _error(
            group,
            "no well has a place: neither paths nor rowIndex and columnIndex fit rows and columns",
        )
    return Plate(
        plain_text(value.get("name")) or "",
        rows,
        columns,
        wells,
        _acquisitions(value.get("acquisitions"), notes),
        _field_count(value.get("field_count"), notes),
        stated_version(group.attributes, value),
        settled(notes),
    )


def first_path(attributes: Mapping[str, Any], kind: str, *, where: str, key: str) -> str | None:
    """Return the first safe path that a plate's wells, or a well's images, name.

    Parameters
    ----------
    attributes
        OME metadata of a plate or well.
    kind
        ``"plate"`` or ``"well"``.
    where, key
        Where the metadata are from.
    """
    holder = attributes.get(kind)
    items = holder.get("wells" if kind == "plate" else "images") if isinstance(holder, dict) else ()
    for item in items if isinstance(items, list) else ():
        try:
            return check_path(
                item.get("path") if isinstance(item, dict) else item, where=where, key=key
            )
        except MetadataError:
            continue
    return None


def _error(group: Group, why: str) -> MetadataError:
    return MetadataError(
        "Could not open the plate",
        where=group.where,
        key=group.key,
        why=why,
        hint="Open a well or one of its images by its own link.",
    )


def _well_entries(
    group: Group, value: object, notes: list[str]
) -> tuple[list[tuple[str, dict[str, Any]]], MetadataError | None]:
    """Return (path, entry) of the wells whose path can be used, and the first that was refused."""
    if not isinstance(value, list):
        notes.append(f"The wells are no list ({shown(value)}).")
        return [], None
    if len(value) > _MOST_WELLS:
        raise MetadataError(
            "Could not open the plate",
            where=group.where,
            key=group.key,
            why=f"it lists {len(value):,} wells, and at most {_MOST_WELLS:,} are opened",
            hint="Open a well or one of its images by its own link.",
        )
    found: dict[str, dict[str, Any]] = {}
    refused: list[MetadataError] = []
    repeated = 0
    for item in value:
        entry = item if isinstance(item, dict) else {"path": item}
        try:
            path = check_path(entry.get("path"), where=group.where, key=group.key)
        except MetadataError as error:
            error.what = "Could not use the path of a well that the plate lists"
            refused.append(error)
            continue
        repeated += path in found
        found.setdefault(path, entry)
    notes += [f"A well was left out: {error.why}." for error in refused[:100]]
    if repeated:
        notes.append(f"{repeated:,} wells are listed more than once.")
    return list(found.items()), refused[0] if refused else None


def _names(path: str) -> tuple[str, str] | None:
    parts = path.split("/")
    return (parts[0], parts[1]) if len(parts) == 2 else None


def _lines(value: object, what: str, used: Iterable[str], notes: list[str]) -> tuple[str, ...]:
    """Return the names of rows or columns: as listed, else those that the wells' paths use."""
    names = []
    for item in value[:_MOST_LINES] if isinstance(value, list) else ():
        name = item.get("name") if isinstance(item, dict) else item
        number = whole_number(name)
        names.append(plain_text(name if number is None else str(number), limit=100) or "")
    if names:
        if isinstance(value, list) and len(value) > _MOST_LINES:
            notes.append(f"Of {len(value):,} {what} the first {_MOST_LINES:,} are used.")
        return tuple(names)
    notes.append(f"The plate lists no {what}; they were taken from the paths of its wells.")
    return tuple(sorted(set(used), key=_natural)[:_MOST_LINES])


def _are_swapped(
    pairs: Sequence[tuple[str, str]], rows: Sequence[str], columns: Sequence[str]
) -> bool:
    """Tell whether all paths (row/column) fit, but for rows in the place of columns."""
    row_names, column_names = set(rows), set(columns)
    return bool(pairs) and all(
        (row not in row_names or column not in column_names)
        and (row in column_names and column in row_names)
        for row, column in pairs
    )


def _numbered(indices: Iterable[object]) -> tuple[str, ...]:
    """Return names for as many rows or columns as the wells' indices need."""
    numbers = (whole_number(index) for index in indices)
    last = max((n for n in numbers if n is not None and n < _MOST_LINES), default=-1)
    return tuple(str(n + 1) for n in range(last + 1))


def _natural(name: str) -> tuple[int, int, str]:
    """Order A … Z before AA, and 9 before 10."""
    digits = re.fullmatch(r"[0-9]{1,9}", name)
    return (0, int(name), name) if digits else (1, len(name), name)


def _placed(
    found: list[tuple[str, dict[str, Any]]],
    rows: tuple[str, ...],
    columns: tuple[str, ...],
    notes: list[str],
) -> tuple[PlateWell, ...]:
    row_of = {name: i for i, name in reversed(list(enumerate(rows)))}
    column_of = {name: i for i, name in reversed(list(enumerate(columns)))}
    wells: dict[tuple[int, int], PlateWell] = {}
    differing, lost, doubled = [], [], []
    for path, entry in found:
        row, column = (whole_number(entry.get(key)) for key in ("rowIndex", "columnIndex"))
        pair = _names(path)
        if pair is not None and pair[0] in row_of and pair[1] in column_of:
            place = row_of[pair[0]], column_of[pair[1]]
            stated = [("rowIndex", place[0], row), ("columnIndex", place[1], column)]
            if any(key in entry and number != right for key, right, number in stated):
                differing.append(path)
        elif row is None or column is None:
            lost.append(path)
            continue
        else:
            place = row, column
        if not (0 <= place[0] < len(rows) and 0 <= place[1] < len(columns)):
            lost.append(path)
        elif place in wells:
            doubled.append(path)
        else:
            wells[place] = PlateWell(path, *place)
    if differing:
        notes.append(
            "rowIndex and columnIndex are not those of the path, which counts, of the wells "
            f"{listed(differing)}."
        )
    if lost:
        notes.append(f"Wells that are in no row or column were left out: {listed(lost)}.")
    if doubled:
        notes.append(f"Wells in a place that is taken were left out: {listed(doubled)}.")
    return tuple(wells.values())


def _acquisitions(value: object, notes: list[str]) -> tuple[Acquisition, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        notes.append(f"The acquisitions are no list ({shown(value)}).")
        return ()
    found: dict[int, Acquisition] = {}
    for item in value[:_MOST_ACQUISITIONS]:
        number = whole_number(item.get("id")) if isinstance(item, dict) else None
        if number is not None:
            found.setdefault(number, Acquisition(number, plain_text(item.get("name")) or ""))
    if len(found) < len(value):
        notes.append(f"Of {len(value):,} acquisitions {len(found):,} have an id of their own.")
    return tuple(found.values())


def _field_count(value: object, notes: list[str]) -> int | None:
    number = whole_number(value)
    if number is None or number <= 0:
        return None
    if number > MOST_FIELDS:
        notes.append(f"field_count is {number:,}, more than a well can have; it is not used.")
        return None
    return number
