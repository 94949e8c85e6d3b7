"""The slow server that everybody is measured on, and what its log says of them."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tests.fixtures.rounds import rounds

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LINES", "USUAL", "Line", "log_of", "reset", "slow_server", "traffic", "wait_for_quiet"]

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


@dataclass(frozen=True)
class Line:
    """What lies between a program and the server."""

    latency_s: float
    """From a request to the first byte of its answer."""
    mbit_per_s: float | None = None
    """Shared by all connections; None for as fast as the machine."""

    @property
    def name(self) -> str:
        """As it stands in the tables."""
        delay = f"{self.latency_s * 1000:.0f} ms"
        return delay if self.mbit_per_s is None else f"{self.mbit_per_s:.0f} Mbit/s and {delay}"


USUAL = Line(0.1)
LINES = (Line(0.0), Line(0.02), USUAL, Line(0.3), Line(0.02, 50.0))


@contextlib.contextmanager
def slow_server(folder: Path, line: Line) -> Iterator[str]:
    """Serve a folder from a process of its own, whose work does not slow down ours."""
    command = [sys.executable, "-m", "tests.fixtures.slow_http", str(folder)]
    command += ["--latency", str(line.latency_s)]
    if line.mbit_per_s is not None:
        command += ["--bandwidth", str(line.mbit_per_s * 1e6 / 8)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


def log_of(url: str, ask: str = "/__log") -> list[dict[str, Any]]:
    """Return the server's requests so far, in order of arrival."""
    with urllib.request.urlopen(url + ask) as answer:
        found: list[dict[str, Any]] = json.load(answer)
        return found


def reset(url: str) -> None:
    """Empty the server's log."""
    log_of(url, "/__reset")


def is_chunk(path: str) -> bool:
    """Tell whether a path is that of a chunk or a shard."""
    return not path.endswith(DOCUMENTS)


def traffic(log: list[dict[str, Any]]) -> dict[str, float]:
    """Return counts, bytes, rounds, and the seconds from the first request to the last byte."""
    good = [each for each in log if each["status"] in (200, 206) and not each["abandoned"]]
    span = max(each["end"] for each in log) - log[0]["start"] if log else 0.0
    return {
        "requests": len(log),
        "chunks": sum(is_chunk(each["path"]) for each in good),
        "nbytes": sum(each["nbytes"] for each in log),
        "rounds": rounds([SimpleNamespace(**each) for each in log]),  # type: ignore[misc]
        "span_s": span,
    }


def wait_for_quiet(url: str, quiet_s: float, patience_s: float = 60.0) -> list[dict[str, Any]]:
    """Return the log once chunks have come and nothing more was asked for in a while.

    Raises
    ------
    SystemExit
        If no chunk was asked for.
    """
    until = time.monotonic() + patience_s
    seen, since = -1, time.monotonic()
    while time.monotonic() < until:
        time.sleep(0.1)
        log = log_of(url)
        if len(log) != seen or any(each["end"] is None for each in log):
            seen, since = len(log), time.monotonic()
        elif time.monotonic() - since > quiet_s and any(is_chunk(each["path"]) for each in log):
            return log
    raise SystemExit(f"No chunk was asked for within {patience_s:.0f} s.")
