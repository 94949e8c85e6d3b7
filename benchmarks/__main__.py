"""Ask all questions and print the tables: ``python -m benchmarks [--quick] [--rounds N]``."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import images, live, reading, threads, viewing

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
LATENCY_S = 0.1


@contextlib.contextmanager
def slow_server(folder: Path, latency_s: float) -> Iterator[str]:
    """Serve a folder from a process of its own, whose work does not slow down ours."""
    program = [sys.executable, "-m", "tests.fixtures.slow_http", str(folder)]
    server = subprocess.Popen(
        [*program, "--latency", str(latency_s)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def screen() -> Iterator[None]:
    """Use a virtual screen, the same on every machine."""
    if sys.platform != "linux":
        yield
        return
    if not shutil.which("Xvfb"):
        raise SystemExit("Xvfb is missing: run `make bench`.")
    read_end, write_end = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write_end), "-screen", "0", "1400x1000x24", "-nolisten", "tcp"],
        pass_fds=[write_end],
        stderr=subprocess.DEVNULL,
    )
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        os.environ["DISPLAY"] = f":{answer.readline().strip()}"
    try:
        yield
    finally:
        server.terminate()
        server.wait()


def show(title: str, rows: Iterator[viewing.Row]) -> bool:
    """Print a table as its rows come; tell whether all targets were met."""
    print(f"\n### {title}\n", flush=True)
    print("| question | this plugin | in memory | the other way | target | |")
    print("|---|---|---|---|---|---|", flush=True)
    good = True
    for row in rows:
        mark = {None: "", True: "ok", False: "**missed**"}[row.is_met]
        good &= row.is_met is not False
        cells = (row.question, row.ours, row.memory, row.baseline, row.target, mark)
        print("| " + " | ".join(cells) + " |", flush=True)
    return good


QUESTIONS = ("viewing", "live", "throughput", "memory", "imports", "threads")


def main() -> int:
    """Return 0; a missed target is a line in a table, for machines are noisy."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small images, one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=QUESTIONS, action="append")
    parser.add_argument("--image", choices=list(viewing.SCENES), action="append")
    parser.add_argument("--operation", action="append", default=[], help="one of those measured")
    parser.add_argument("--folder", type=Path, help="where test images are kept")
    given = parser.parse_args()
    rounds = 1 if given.quick else given.rounds
    # Every round is a first one, but where the next program is what is asked about.
    os.environ["OMEZARR_DISK_CACHE_MB"] = "0"
    folder = given.folder or ROOT / "build" / ("bench-quick" if given.quick else "bench")
    asked = given.only or QUESTIONS
    print(f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python "
          f"{platform.python_version()}, {LATENCY_S * 1000:.0f} ms per request, medians of "
          f"{rounds}")  # fmt: skip
    if "threads" in asked:
        threads.show(rounds, quick=given.quick, names=given.operation)
    if set(asked) == {"threads"}:
        return 0  # the only question that needs no images
    folder.mkdir(parents=True, exist_ok=True)
    images.write_all(folder, quick=given.quick)
    with slow_server(folder, LATENCY_S) as far, slow_server(folder, 0) as near:
        if "viewing" in asked:
            scenes = given.image or list(viewing.SCENES)
            with screen():
                show("Looking", viewing.ask(far, folder, LATENCY_S, rounds, scenes))
        if "live" in asked:
            with screen():
                show("Living layers", live.ask(near, rounds, quick=given.quick))
        if "throughput" in asked:
            show("Loading", reading.ask_throughput({"100 ms": far, "0 ms": near}, rounds))
        if "memory" in asked:
            show("Opening", reading.ask_memory(near))
        if "imports" in asked:
            show("Starting", reading.ask_imports(rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
