"""Which Pythons this machine has: on PATH, in pyenv's and in uv's folders."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


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
