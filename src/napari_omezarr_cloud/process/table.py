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
from napari_omezarr_cloud.write.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd  # type: ignore[import-untyped]

__all__ = ["Column", "Table", "check_target"]

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

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a file as its name says: ``.csv``, or ``.parquet``, which needs pyarrow.

        Parameters
        ----------
        path
            Where to.
        overwrite
            Whether a file that is there may be replaced.

        Raises
        ------
        OperationError
            If the name says neither, there is a file already, or it cannot be written.
        """
        check_target(path, overwrite=overwrite)
        is_csv = Path(path).suffix.lower() == ".csv"
        (self.to_csv if is_csv else self.to_parquet)(path, overwrite=overwrite)

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

        def write(new: Path) -> None:
            with new.open("x", encoding="utf-8", newline="") as file:
                self._write(file, None, ",")

        _in_one_step(path, write, overwrite=overwrite)

    def to_parquet(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write an Apache Parquet file: columns by title, each with its help.

        Parameters
        ----------
        path, overwrite
            As for `to_csv`.

        Raises
        ------
        OperationError
            If pyarrow is not installed, there is a file already, or it cannot be written.
        """
        _check_pyarrow(path)
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]

        table = pyarrow.table(
            self.to_dict(),
            schema=pyarrow.schema(
                [
                    pyarrow.field(
                        column.title,
                        pyarrow.from_numpy_dtype(column.values.dtype),
                        metadata={"help": column.help},
                    )
                    for column in self.columns
                ]
            ),
        )
        _in_one_step(path, lambda new: pyarrow.parquet.write_table(table, new), overwrite=overwrite)

    def _write(self, file: TextIO, rows: npt.NDArray[np.intp] | None, separator: str) -> None:
        writer = csv.writer(file, delimiter=separator, lineterminator="\n")
        writer.writerow(column.title for column in self.columns)
        count = len(self) if rows is None else len(rows)
        for start in range(0, count, _ROWS_AT_ONCE):
            part = slice(start, min(start + _ROWS_AT_ONCE, count))
            chosen = part if rows is None else rows[part]
            writer.writerows(zip(*(_fields(c.values[chosen]) for c in self.columns), strict=True))


def check_target(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Check that a table can be saved under a name, before it is measured for hours.

    Raises
    ------
    OperationError
        As :meth:`Table.save`.
    """
    target = Path(path)
    if "://" in os.fspath(path):
        raise _not_written(path, "a table goes to this disk", "Name a file: cells.csv.")
    if target.suffix.lower() not in (".csv", ".parquet"):
        ending = f"its name ends with {target.suffix!r}" if target.suffix else "it has no ending"
        raise _not_written(path, ending, f"Name it {target.stem}.csv or {target.stem}.parquet.")
    if target.suffix.lower() == ".parquet":
        _check_pyarrow(path)
    if target.exists() and not overwrite:
        why = "there is a file of this name already"
        raise _not_written(
            path, why, "Choose another name, or say that it may be overwritten (--overwrite)."
        )
    if not target.parent.is_dir():
        raise _not_written(path, "there is no such folder", "Make it, or choose another one.")


def _check_pyarrow(path: str | os.PathLike[str]) -> None:
    try:
        import pyarrow  # noqa: F401 (only whether it is there)
    except ImportError as error:
        raise _not_written(
            path,
            "Parquet files are written by pyarrow, which is not installed",
            "Install it: pip install 'napari-omezarr-cloud[parquet]'. Or write .csv.",
        ) from error


def _in_one_step(
    path: str | os.PathLike[str], write: Callable[[Path], None], *, overwrite: bool
) -> None:
    """Have a file written beside its place, and put there when it is complete."""
    try:
        write_whole(Path(path), write, overwrite=overwrite)
    except FileExistsError as error:
        why = "there is a file of this name already"
        raise _not_written(path, why, "Choose another name.") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise _not_written(path, why, "Choose another folder.") from error


def _not_written(path: str | os.PathLike[str], why: str, hint: str) -> OperationError:
    return OperationError("The table was not written", where=str(path), why=why, hint=hint)


def _fields(values: npt.NDArray[Any]) -> Iterable[Any]:
    """Return values for csv; an empty field for what is no number."""
    if values.dtype.kind != "f":
        return list(values.tolist())
    return ["" if value != value else value for value in values.tolist()]
