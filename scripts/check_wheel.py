"""Build the wheel, unpack it aside, and validate the manifest a user's napari would find in it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "napari-omezarr-cloud"


def main() -> int:
    """Build, unpack, validate; return the exit status of the first step that fails."""
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, str(ROOT)]
        if status := run(build):
            return status
        wheel = next(Path(folder).glob("*.whl"))
        install = ["pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
        if status := run([sys.executable, "-m", *install, str(wheel)]):
            return status
        # What is on PYTHONPATH goes before the editable install of this environment.
        return run([sys.executable, "-m", "npe2", "validate", "--imports", NAME], path=site)


def run(command: list[str], *, path: Path | None = None) -> int:
    """Run a command away from the checkout, so that nothing of it is imported by accident."""
    environment = {**os.environ, "PYTHONPATH": str(path)} if path else dict(os.environ)
    done = subprocess.run(
        command,
        cwd=tempfile.gettempdir(),
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode or path:
        print(done.stdout)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
