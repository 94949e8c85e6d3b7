"""Tables of ``docs/explanation/benchmarks.md``: printed row by row, put into the page."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = [
    "MISSING",
    "Row",
    "Table",
    "as_ratio",
    "as_seconds",
    "as_share",
    "middle",
    "put_into_page",
    "show",
]

MISSING = "not here"
"""What a row says of a peer that is not installed."""

COMMAND = "`python -m benchmarks"
"""How the line begins that says how a table was measured."""

MARKS = {None: "", True: "ok", False: "**missed**"}


@dataclass(frozen=True)
class Row:
    """One line of a table: what was asked, an answer per column, the target, whether it was met."""

    question: str
    answers: tuple[str, ...]
    target: str = ""
    is_met: bool | None = None


@dataclass(frozen=True)
class Table:
    """What is asked about one thing; ``rows`` may be measured only as they are taken."""

    title: str
    """The heading of its section in the page."""
    columns: tuple[str, ...]
    """Who or what is measured."""
    rows: Iterable[Row]


def show(table: Table, how: str) -> list[str]:
    """Print a section as its rows come, ``how`` it was measured first; return its lines."""
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        print(line, flush=True)

    print(f"\n## {table.title}\n")
    say(how)
    say("")
    say("| question | " + " | ".join([*table.columns, "target", ""]) + " |")
    say("|" + "---|" * (len(table.columns) + 3))
    for row in table.rows:
        cells = [row.question, *row.answers, row.target, MARKS[row.is_met]]
        say("| " + " | ".join(cells) + " |")
    return lines


def put_into_page(page: Path, title: str, lines: Sequence[str]) -> None:
    """Replace how a section of a page was measured, and its table; its other text stays.

    Raises
    ------
    SystemExit
        If the page has no such section with a table.
    """
    text = page.read_text(encoding="utf-8").splitlines()
    try:
        top = text.index(f"## {title}")
        first = next(n for n in range(top, len(text)) if text[n].startswith(COMMAND))
        bars = next(n for n in range(first, len(text)) if text[n].startswith("|"))
    except (ValueError, StopIteration):
        raise SystemExit(f"{page} has no section {title!r} with a table.") from None
    last = next((n for n in range(bars, len(text)) if not text[n].startswith("|")), len(text))
    text[first:last] = lines
    page.write_text("\n".join(text) + "\n", encoding="utf-8")


def middle(values: Iterable[Any]) -> float:
    """Return the median; not a number where there are none."""
    found = list(values)
    return float(statistics.median(found)) if found else math.nan


def as_seconds(value: float) -> str:
    """Return seconds in words."""
    return MISSING if math.isnan(value) else f"{value:.2f} s"


def as_ratio(theirs: float, ours: float) -> str:
    """Return seconds, and how many times ours they are."""
    if math.isnan(theirs):
        return MISSING
    return f"{theirs:.2f} s ({theirs / max(ours, 1e-3):.1f}×)"


def as_share(part: float, whole: float) -> str:
    """Return a part of a number of things, and which part of them it is."""
    return f"{part:.0f} of {whole:.0f} ({part / whole:.0%})" if whole else "–"
