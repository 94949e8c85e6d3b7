"""Measuring in a process of its own, so that nobody inherits what another has loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import Any

__all__ = ["numbers", "run"]

TIMEOUT_S = 1200


def run(module: str, task: dict[str, Any], **environment: str) -> Any:
    """Run ``python -m benchmarks.MODULE TASK``, and return the JSON line that it prints.

    Software OpenGL for like with like; nobody's settings are read or changed.
    """
    fixed = {"LIBGL_ALWAYS_SOFTWARE": "1", "NAPARI_CONFIG": ""}
    command = [sys.executable, "-m", f"benchmarks.{module}", json.dumps(task)]
    done = _done(command, {**os.environ, **fixed, **environment})
    lines = [line for line in done.stdout.splitlines() if line.startswith(("{", "["))]
    if not lines:
        raise SystemExit(f"{module} {task} failed:\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
    return json.loads(lines[-1])


def numbers(code: str, *arguments: str) -> list[float]:
    """Run code, and return the numbers that it prints."""
    done = _done([sys.executable, "-c", textwrap.dedent(code), *arguments], dict(os.environ))
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return [float(number) for number in done.stdout.split()]


def _done(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment, check=False
    )
