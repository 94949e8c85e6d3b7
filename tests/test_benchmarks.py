"""Each benchmark runs, small and untimed, so that it cannot rot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("question", "line"),
    [
        (["viewing", "--image", "stack.zarr"], "stack: z, picture complete"),
        (["live"], "picture after a slider move"),
        (["throughput"], "chunks at 0 ms"),
        (["memory"], "open 10⁸ chunks"),
        (["imports"], "omezarr --help"),
        (["threads"], "max_projection"),
    ],
    ids=["viewing", "live", "throughput", "memory", "imports", "threads"],
)
def test_a_benchmark_answers_its_question(question: list[str], line: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--folder", str(tmp_path), "--only"]

    done = subprocess.run(
        [*command, *question], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert line in done.stdout
