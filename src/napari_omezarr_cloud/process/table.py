"""A table: named columns with units, in plain text and as a dictionary."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd  # type: ignore[import-untyped]

__all__ = ["Column", "Table"]

_ROWS_AT_ONCE = 200
"""Written in one go, in which no other thread runs: few, so that a window stays smooth."""


@dataclass(frozen=True, eq=False)
class Column:
    """One quantity of every row.

    Attributes
    ----------
    name
        ``"area"``; unique in its table.
    unit
        ``"µm²"``; empty for grey values, counts and ratios.
    values
        One per row: numbers, or bool.
    help
        One line: what it is.
    """

    name: str
    unit: str
    values: npt.NDArray[Any]
    help: str = ""

    @property
    def title(self) -> str:
        """Name and unit: ``"area (µm²)"``."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of one length, and what has to be known about them.

    Attributes
    ----------
    columns
        In the order in which they are shown.
    notes
        Sentences: what was left out and why.
    """

    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.columns[0].values) if self.columns else 0

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        for column in self.columns:
            if column.name == name:
                return column.values
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    def with_notes(self, *notes: str) -> Table:
        """Return the same table with more notes."""
        return Table(self.columns, (*notes, *self.notes))

    def to_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Return the values by title, which holds the unit; ``pandas.DataFrame`` takes it."""
        return {column.title: column.values for column in self.columns}

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with one column per title.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        import pandas as pd

        return pd.DataFrame(self.to_dict())

    def to_text(
        self, rows: Sequence[int] | npt.NDArray[np.intp] | None = None, *, separator: str = "\t"
    ) -> str:
        """Return rows as text under a line of titles; all of them where none are given."""
        text = io.StringIO()
        self._write(text, None if rows is None else np.asarray(rows, np.intp), separator)
        return text.getvalue()

    def to_csv(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a file: UTF-8, commas, a first line of titles, a point in decimals.

        Numbers are written with all their digits. What could not be measured is an empty field.

        Parameters
        ----------
        path
            Where to.
        overwrite
            Whether a file that is there may be replaced. It is, in one step, when the new one is
            complete.

        Raises
        ------
        OperationError
            If there is a file already, or it cannot be written.
        """
        target = Path(path)
        new = target.with_name(f".{target.name}.part") if overwrite else target
        try:
            with new.open("w" if overwrite else "x", encoding="utf-8", newline="") as file:
                try:
                    self._write(file, None, ",")
                except BaseException:
                    new.unlink()
                    raise
            if overwrite:
                os.replace(new, target)
        except FileExistsError as error:
            raise OperationError(
                "The table was not written",
                where=str(target),
                why="there is a file of this name already",
                hint="Choose another name.",
            ) from error
        except OSError as error:
            raise OperationError(
                "The table was not written",
                where=str(target),
                why=error.strerror or str(error),
                hint="Choose another folder.",
            ) from error

    def _write(self, file: TextIO, rows: npt.NDArray[np.intp] | None, separator: str) -> None:
        writer = csv.writer(file, delimiter=separator, lineterminator="\n")
        writer.writerow(column.title for column in self.columns)
        count = len(self) if rows is None else len(rows)
        for start in range(0, count, _ROWS_AT_ONCE):
            part = slice(start, min(start + _ROWS_AT_ONCE, count))
            chosen = part if rows is None else rows[part]
            writer.writerows(zip(*(_fields(c.values[chosen]) for c in self.columns), strict=True))


def _fields(values: npt.NDArray[Any]) -> Iterable[Any]:
    """Return values for csv; an empty field for what is no number."""
    if values.dtype.kind != "f":
        return list(values.tolist())
    return ["" if value != value else value for value in values.tolist()]
