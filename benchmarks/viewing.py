"""How long a person waits for the picture, and how long the window does not answer."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Row", "ask"]

OURS, BASELINE, MEMORY = "napari-omezarr-cloud", "napari-ome-zarr", "memory"
SCENES = {
    "plane04.zarr": ("open", "zoom", "pan", "back"),
    "plane05.zarr": ("open", "zoom", "pan", "back"),
    "stack.zarr": ("open", "z", "3d"),
}


@dataclass(frozen=True)
class Row:
    """One line of a table: what was asked, the answers, the target and whether it was met."""

    question: str
    ours: str
    memory: str
    baseline: str
    target: str
    is_met: bool | None


def ask(url: str, folder: Path, latency_s: float, rounds: int, scenes: list[str]) -> Iterator[Row]:
    """Yield the rows of each scene, measured in interleaved processes.

    Parameters
    ----------
    url, folder
        The slow server and what it serves.
    latency_s
        Its latency.
    rounds
        How often each way is measured.
    scenes
        Images to open.
    """
    for image in scenes:
        task = {"url": url, "folder": str(folder), "image": image, "warm": "tiny.zarr"}
        runs: dict[str, list[Any]] = {OURS: [], MEMORY: []}
        if find_spec("napari_ome_zarr"):
            runs[BASELINE] = []
        for _ in range(rounds):
            for who, found in runs.items():
                found.append(_run({**task, "who": who, "steps": SCENES[image]}))
        for step in SCENES[image]:
            yield from _rows(image, step, latency_s, runs)


def _run(task: dict[str, Any]) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.window", json.dumps(task)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "LIBGL_ALWAYS_SOFTWARE": "1"},
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise SystemExit(f"{task['who']} on {task['image']} failed:\n{done.stderr[-3000:]}")
    return json.loads(lines[-1])


def _rows(image: str, step: str, latency_s: float, runs: dict[str, list[Any]]) -> Iterator[Row]:
    def middle(who: str, figure: str) -> float:
        found = [run[step][figure] for run in runs.get(who, ())]
        return statistics.median(found) if found else math.nan

    ours, memory, baseline = (middle(who, "complete_s") for who in (OURS, MEMORY, BASELINE))
    chunks = middle(OURS, "chunks")
    waves = latency_s * math.ceil(chunks / 64)
    if step == "open":
        target = 2 * latency_s + max(memory, waves) + 0.06
    else:
        target = memory + waves + 0.06
    name = f"{image.removesuffix('.zarr')}: {step}"
    yield Row(
        f"{name}, picture complete",
        f"{ours:.2f} s",
        f"{memory:.2f} s",
        f"{baseline:.2f} s ({baseline / max(ours, 1e-3):.1f}×)",
        f"{target:.2f} s",
        ours <= target,
    )
    gaps = [middle(who, "gap_s") for who in (OURS, MEMORY, BASELINE)]
    yield Row(
        f"{name}, longest gap",
        f"{gaps[0]:.2f} s",
        f"{gaps[1]:.2f} s",
        f"{gaps[2]:.2f} s ({gaps[2] / max(gaps[0], 1e-3):.1f}×)",
        f"{gaps[1] + 0.02:.2f} s",
        gaps[0] <= gaps[1] + 0.02,
    )
    counts = [
        f"{middle(who, 'requests'):.0f}, {middle(who, 'nbytes') / 1e6:.1f} MB"
        for who in (OURS, BASELINE)
    ]
    revisit = step == "back"
    yield Row(
        f"{name}, requests",
        counts[0],
        "",
        counts[1],
        "0 chunks" if revisit else "",
        chunks == 0 if revisit else None,
    )
