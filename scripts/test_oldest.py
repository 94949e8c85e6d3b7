"""Test what stands on napari's private parts and on zarr's on the oldest versions we support.

Makes ``.venv-oldest`` with the oldest supported Python, and in it every dependency at the lower
bound that ``pyproject.toml`` gives it, so that a bound that is too low shows here. Where that
Python is not installed, says so and succeeds.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from interpreters import find_interpreter

ROOT = Path(__file__).parents[1]
ENVIRONMENT = ROOT / ".venv-oldest"
# What users install with it, as against what only tests need.
EXTRAS = ("aws", "pyqt6")
BRIEF = (
    "tests/napari/test_linked_level.py",
    "tests/napari/test_playing.py",
    "tests/napari/test_reader.py",
    "tests/store/test_zarr_store.py",
)
CHOSEN = (
    *BRIEF,
    "tests/napari/test_display.py",
    "tests/napari/test_process_dock.py",
    "tests/napari/test_volumes.py",
    "tests/pyramid/test_codecs.py",
    "tests/test_sample.py",
)


def main(arguments: list[str]) -> int:
    """Install where needed, test, and return an exit status."""
    outcome = run_on_oldest(list(BRIEF) if arguments == ["--brief"] else arguments)
    print(f"Oldest supported versions: {outcome}")
    return 0 if outcome in ("passed", "not found") else 1


def run_on_oldest(pytest_arguments: list[str]) -> str:
    """Test on the oldest supported versions; return what came of it: "not found" is the Python."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = project["requires-python"].removeprefix(">=")
    interpreter = find_interpreter(version)
    if interpreter is None:
        return "not found"
    pinned = lowest(project)
    print(f"== Python {version}, {', '.join(pinned)}", flush=True)
    if not install(interpreter, pinned):
        return "could not install"
    command = [str(python()), "-m", "pytest", *(pytest_arguments or CHOSEN)]
    return "failed" if subprocess.run(command, cwd=ROOT, check=False).returncode else "passed"


def lowest(project: dict[str, Any]) -> list[str]:
    """Return pip's constraints that hold each dependency of users at its lower bound.

    >>> lowest({"dependencies": ["dask[array]>=2025.2"], "optional-dependencies": {}})
    ['dask==2025.2']
    """
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(each for name in EXTRAS for each in extras.get(name, ()))]
    bounds = [re.fullmatch(r"([\w.-]+)(?:\[[\w,-]+\])?>=([\w.]+)", each) for each in wanted]
    return sorted({f"{bound[1]}=={bound[2]}" for bound in bounds if bound})


def python() -> Path:
    """Return the interpreter of the environment."""
    return ENVIRONMENT / "bin" / "python"


def install(interpreter: str, pinned: list[str]) -> bool:
    """Make the environment, anew where it is older than ``pyproject.toml``; tell if it is there."""
    done = ENVIRONMENT / ".installed"
    if done.is_file() and done.stat().st_mtime > (ROOT / "pyproject.toml").stat().st_mtime:
        return True
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    ENVIRONMENT.mkdir()
    constraints = ENVIRONMENT / "constraints.txt"
    constraints.write_text("\n".join(pinned), encoding="utf-8")
    # Without compiling: most of what is installed is never imported.
    options = ["--quiet", "--no-compile", "--constraint", str(constraints)]
    for command in (
        [interpreter, "-m", "venv", str(ENVIRONMENT)],
        [str(python()), "-m", "pip", "install", *options, "--editable", ".[all,test]"],
    ):
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            return False
    done.touch()
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
