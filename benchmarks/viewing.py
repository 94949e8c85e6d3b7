"""How long a person waits for the picture, and how long the window does not answer."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Row", "ask"]

WAYS = OURS, MEMORY, BASELINE = "napari-omezarr-cloud", "memory", "napari-ome-zarr"
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
        again: list[Any] = []
        if find_spec("napari_ome_zarr"):
            runs[BASELINE] = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(prefix="omezarr-bench-") as cache:
                for who, found in runs.items():
                    found.append(_run({**task, "who": who, "steps": SCENES[image]}, cache))
                    if who == OURS:
                        task["level"] = found[-1][SCENES[image][-1]]["level"]
                again.append(_run({**task, "who": OURS, "steps": ["open"]}, cache))
        for step in SCENES[image]:
            yield from _rows(image, step, latency_s, runs)
        yield from _again(image, runs, again)


def _again(image: str, runs: dict[str, list[Any]], again: list[Any]) -> Iterator[Row]:
    """Yield what a second program waits for, to which the disk cache gives what the first saw."""
    name = f"{image.removesuffix('.zarr')}: open in the next program"
    ours, memory = (
        statistics.median(run["open"]["complete_s"] for run in found)
        for found in (again, runs[MEMORY])
    )
    yield Row(f"{name}, picture complete", f"{ours:.2f} s", f"{memory:.2f} s", "", "", None)
    chunks = statistics.median(run["open"]["chunks"] for run in again)
    requests = statistics.median(run["open"]["requests"] for run in again)
    yield Row(f"{name}, requests", f"{requests:.0f}", "", "", "0 chunks", chunks == 0)


def _run(task: dict[str, Any], cache: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.window", json.dumps(task)],
        capture_output=True,
        text=True,
        timeout=600,
        # Software OpenGL for like with like; nobody's settings are read or changed.
        env={
            **os.environ,
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "NAPARI_CONFIG": "",
            "OMEZARR_CACHE_DIR": cache,
            "OMEZARR_DISK_CACHE_MB": "2000",
        },
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise SystemExit(f"{task['who']} on {task['image']} failed:\n{done.stderr[-3000:]}")
    return json.loads(lines[-1])


def _rows(image: str, step: str, latency_s: float, runs: dict[str, list[Any]]) -> Iterator[Row]:
    def middle(figure: str) -> tuple[float, float, float]:
        found = [[run[step][figure] for run in runs.get(who, ())] for who in WAYS]
        return tuple(statistics.median(each) if each else math.nan for each in found)

    def timed(question: str, times: tuple[float, float, float], target: float | None) -> Row:
        ours, memory, baseline = times
        return Row(
            f"{name}, {question}",
            f"{ours:.2f} s",
            f"{memory:.2f} s",
            f"{baseline:.2f} s ({baseline / max(ours, 1e-3):.1f}×){note}",
            "" if target is None else f"{target:.2f} s",
            None if target is None else ours <= target,
        )

    name = f"{image.removesuffix('.zarr')}: {step}"
    levels, chunks, complete = middle("level"), middle("chunks")[0], middle("complete_s")
    first, gap = middle("first_s"), middle("gap_s")
    note = f", level {levels[2]:.0f} instead of {levels[0]:.0f}" if levels[0] < levels[2] else ""
    waves = latency_s * math.ceil(chunks / 64)
    if step == "open":
        yield timed("first pixels", first, None)
        target = 2 * latency_s + max(complete[1], waves) + 0.06
    else:
        yield timed("first pixels", first, first[1] + 0.02)
        target = complete[1] + waves + 0.06
    yield timed("picture complete", complete, target)
    yield timed("longest gap", gap, gap[1] + 0.02)
    requests, nbytes = middle("requests"), middle("nbytes")
    is_revisit = step == "back"
    yield Row(
        f"{name}, requests",
        f"{requests[0]:.0f}, {nbytes[0] / 1e6:.1f} MB",
        "",
        f"{requests[2]:.0f}, {nbytes[2] / 1e6:.1f} MB{note}",
        "0 chunks" if is_revisit else "",
        chunks == 0 if is_revisit else None,
    )
