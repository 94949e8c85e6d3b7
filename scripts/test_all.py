"""Run the tests on every supported Python this machine has, each in its own environment.

Looks on PATH, in pyenv's and in uv's folders. Says which versions it did not find; fails when
tests failed, or when there was none to run them on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("3.11", "3.12", "3.13")


def main(pytest_arguments: list[str]) -> int:
    """Test on each version in turn, then print one line for each; return an exit status."""
    outcome = {version: run_on(version, pytest_arguments) for version in VERSIONS}
    print("\n".join(f"Python {version}: {text}" for version, text in outcome.items()))
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


def find_interpreter(version: str) -> str | None:
    """Return the first interpreter of this version that really starts."""
    return next((path for path in candidates(version) if is_version(path, version)), None)


def candidates(version: str) -> list[str]:
    """List where an interpreter may be; a name on PATH can be a shim that leads nowhere."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    uv = Path.home() / ".local" / "share" / "uv" / "python"
    found = [
        *pyenv.glob(f"{version}.*/bin/python{version}"),
        *uv.glob(f"cpython-{version}.*/bin/python{version}"),
    ]
    on_path = [shutil.which(f"python{version}"), shutil.which("python3")]
    return [path for path in on_path if path] + [str(path) for path in sorted(found, reverse=True)]


def is_version(path: str, version: str) -> bool:
    """Tell whether ``path`` starts, is of this version, and can make environments."""
    code = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    answer = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
    return answer.returncode == 0 and answer.stdout.strip() == version


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
