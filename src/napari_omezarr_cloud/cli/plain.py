"""Text for terminals: what others wrote cannot move the cursor, and columns line up."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["plain", "table"]


def plain(text: str) -> str:
    r"""Return one line of text in which all that is not printable is escaped (``\x1b``).

    A name in a file may hold the escape sequences with which terminals change colours, titles,
    or what stands above.
    """
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def table(rows: Sequence[Sequence[str]], *, indent: str = "  ", gap: str = "  ") -> Iterator[str]:
    """Yield rows as lines, each column as wide as its widest cell; numbers to the right.

    Parameters
    ----------
    rows
        Cells of plain text, as many in each row. A column without letters below its first row,
        the heading, is one of numbers.
    indent, gap
        Before each line, and between two columns.
    """
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    to_right = [all(_is_number(cell) for cell in column[1:]) for column in columns]
    for row in rows:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, to_right, strict=True)
        ]
        yield (indent + gap.join(cells)).rstrip()


def _is_number(cell: str) -> bool:
    return bool(cell) and all(c in "0123456789.,-" for c in cell.partition(" ")[0])
