"""Run the tests on every supported Python this machine has, each in its own environment.

Then those for the oldest supported versions of all we depend on. Says which Pythons it did not
find; fails when tests failed, or when there was none to run them on.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from interpreters import find_interpreter
from test_oldest import run_on_oldest

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("3.11", "3.12", "3.13")


def main(pytest_arguments: list[str]) -> int:
    """Test on each version in turn, then print one line for each; return an exit status."""
    outcome = {f"Python {each}": run_on(each, pytest_arguments) for each in VERSIONS}
    if not pytest_arguments:
        outcome["Oldest supported versions"] = run_on_oldest([])
    print("\n".join(f"{what}: {text}" for what, text in outcome.items()))
    texts = set(outcome.values())
    return 0 if "passed" in texts and texts <= {"passed", "not found"} else 1


def run_on(version: str, pytest_arguments: list[str]) -> str:
    """Install into ``.venv-VERSION`` and test there; return what came of it."""
    interpreter = find_interpreter(version)
    if interpreter is None:
        return "not found"
    print(f"== Python {version}: {interpreter}", flush=True)
    python = ROOT / f".venv-{version}" / "bin" / "python"
    steps = {
        "could not make an environment": [interpreter, "-m", "venv", str(python.parents[1])],
        "could not install": [str(python), "-m", "pip", "install", "--quiet", *install_arguments()],
        "failed": [str(python), "-m", "pytest", *pytest_arguments],
    }
    for complaint, command in steps.items():
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            return complaint
    return "passed"


def install_arguments() -> list[str]:
    """Return pip's arguments for an editable install with all that the tests need."""
    return ["--upgrade", "--upgrade-strategy=eager", "--editable", ".[all,test,demo]"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
