"""What processes bring: a whole-image run by one worker, by two, and by threads."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import child, volumes
from benchmarks.table import MISSING, Row, as_seconds, middle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.setup import Setup

__all__ = ["COLUMNS", "ask"]

COLUMNS = ("1 worker", "2 workers", "2 threads")


def ask(setup: Setup, gib: float) -> Iterator[Row]:
    """Yield the seconds by who computes; workers have a thread each, and have been started."""
    source = volumes.cells(setup.folder, gib, quick=setup.quick)
    for name, operation in volumes.OPERATIONS[: 1 if setup.quick else None]:
        question = f"{name}, {gib:g} GiB"
        if not find_spec("distributed"):
            yield Row(question, (MISSING,) * len(COLUMNS))
            continue
        target = setup.folder / "computed.zarr"
        places = {"source": str(source), "target": str(target)}
        found: dict[str, list[float]] = {column: [] for column in COLUMNS}
        for _ in range(setup.rounds):
            for column, seconds in found.items():
                with _computing(column) as options:
                    task = {"way": "run", "operation": operation, "options": options, **places}
                    seconds.append(child.run("whole_work", task)["seconds"])
                shutil.rmtree(target)
        one, two, threads = (middle(found[column]) for column in COLUMNS)
        answers = (as_seconds(one), f"{two:.2f} s ({one / two:.1f}× as fast)", as_seconds(threads))
        yield Row(question, answers)


@contextlib.contextmanager
def _computing(column: str) -> Iterator[dict[str, Any]]:
    """Give the options of a run; workers of a cluster are started by the shell."""
    count, kind = column.split()
    if kind == "threads":
        yield {"threads": int(count)}
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "scheduler.json")
        common = ["--no-dashboard", "--host", "127.0.0.1", "--scheduler-file", str(file)]
        worker = ["dask_worker", "--nthreads", "1", "--no-nanny", "--memory-limit", "0"]
        programs = [["dask_scheduler", "--port", "0", "--no-show"], *[worker] * int(count)]
        nowhere = subprocess.DEVNULL
        running = []
        try:
            for program, *options in programs:
                command = [sys.executable, "-m", f"distributed.cli.{program}", *options, *common]
                running.append(
                    subprocess.Popen(command, cwd=folder, stdout=nowhere, stderr=nowhere)
                )
            _wait_for_workers(file, int(count))
            yield {"scheduler": str(file)}
        finally:
            for process in running:
                process.kill()
            for process in running:
                process.wait()


def _wait_for_workers(file: Path, count: int) -> None:
    from distributed import Client

    with Client(scheduler_file=str(file), timeout=60, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=60)
