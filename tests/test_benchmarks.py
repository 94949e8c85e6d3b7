"""Each benchmark runs, small and untimed, so that it cannot rot; and what they judge by."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import browser
from benchmarks.playing import Shown, judge
from benchmarks.table import put_into_page

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first of them writes its images, and the others find them."""
    return tmp_path_factory.mktemp("bench")


def ask(folder: Path, *questions: str, options: Sequence[str] = ()) -> str:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--folder", str(folder), *options]
    for question in questions:
        command += ["--only", question]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_needs_no_window_is_measured(folder: Path) -> None:
    said = ask(
        folder,
        *("throughput", "memory", "imports", "threads"),
        options=("--operation", "max_projection"),
    )

    for line in ("chunks at 100 ms", "open 10⁸ chunks", "omezarr --help", "max_projection"):
        assert line in said


@pytest.mark.parametrize(
    ("question", "line"),
    [
        ("saving", "GiB in shards to disk"),
        ("whole", "Otsu and label"),
        ("flat", "Otsu and label"),
        ("workers", "× as fast"),
    ],
)
def test_saving_and_whole_images_are_measured(question: str, line: str, folder: Path) -> None:
    assert line in ask(folder, question)


@pytest.mark.parametrize(
    ("question", "options", "line"),
    [
        ("viewing", ["--image", "stack.zarr"], "stack: z, picture complete"),
        ("play", ["--alone"], "complete pictures a second"),
        ("ahead", [], "all steps: chunks that were there"),
        ("live", [], "picture after a slider move"),
        ("soak", [], "all as in the file"),
    ],
    ids=["viewing", "play", "ahead", "live", "soak"],
)
def test_what_happens_in_a_window_is_measured(
    question: str, options: list[str], line: str, folder: Path
) -> None:
    assert line in ask(folder, question, options=options)


def test_the_first_view_is_measured_in_a_browser_too(folder: Path) -> None:
    said = ask(folder, "first-view")

    (row,) = [line for line in said.splitlines() if line.startswith("| plane05 at 100 ms |")]
    cells = [cell.strip() for cell in row.split("|")]
    assert float(cells[2].removesuffix(" s")) > 0
    if lacks := browser.missing():
        assert lacks in said
        pytest.skip(lacks)
    assert cells[5].endswith("×)")


def test_a_picture_of_another_time_point_is_noticed() -> None:
    seen = [
        Shown(0.0, 0, frozenset({0}), is_whole=True),
        Shown(1.0, 1, frozenset({0}), is_whole=True),  # the slider went ahead
        Shown(1.5, 1, frozenset({1}), is_whole=False),
        Shown(2.0, 1, frozenset({1}), is_whole=True),
        Shown(3.0, 4, frozenset({4}), is_whole=True),
    ]

    found = judge(seen, 1.0, 5.0)

    assert found == {"fps": 0.5, "stale": 0.125, "coarse": 0.25, "skipped": 2, "longest_s": 2.0}


def test_a_table_takes_the_place_of_the_old_one_in_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    how = "`python -m benchmarks --only it`, a day:"
    old = f"# Page\n\n## One\n\nWhy.\n\n{how}\n\n| a |\n|---|\n| 1 |\n\nMore.\n\n## Two\n\nText.\n"
    page.write_text(old)

    put_into_page(page, "One", ["`python -m benchmarks`, today:", "", "| b |", "|---|", "| 2 |"])

    new = page.read_text()
    assert new == old.replace(how, "`python -m benchmarks`, today:").replace(
        "| a |\n|---|\n| 1 |", "| b |\n|---|\n| 2 |"
    )
    with pytest.raises(SystemExit, match="no section 'Three'"):
        put_into_page(page, "Three", [])
