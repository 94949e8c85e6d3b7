"""See that this machine has what Qt, OpenGL and a virtual screen need; on Debian, install it.

Run as ``python3 scripts/system_libraries.py [test|demo|bench]`` before there is a virtual
environment, so it uses the standard library alone. Each thing is probed for itself, not by package
name: names differ between Debian 12 and 13, and a library may have come some other way.

As root on Debian it installs what is missing. Elsewhere it names it and exits with 1. The browser
that benchmarks compare with is installed where that is possible, and never insisted on.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

# What the Qt 6 wheels load at run time, and the Debian package that has it.
LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libOpenGL.so.0": "libopengl0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-xinerama.so.0": "libxcb-xinerama0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    # Debian 13 calls it libglib2.0-0t64; apt finds that by the old name.
    "libglib-2.0.so.0": "libglib2.0-0",
}
# Mesa's software renderer: a driver of its own, and part of one library since Mesa 24.
DRIVERS = ("dri/swrast_dri.so", "libgallium-*.so")
DRIVER_FOLDERS = ("usr/lib", "usr/lib64", "usr/lib/*")
BROWSERS = ("chromium", "google-chrome")


def main(purpose: str) -> int:
    """Install or name what is missing for a test, demo or bench; return an exit status."""
    missing = missing_packages(purpose) if sys.platform == "linux" else {}
    if missing and can_install():
        print(f"Installing with apt: {', '.join(missing.values())}", flush=True)
        install(sorted(set(missing.values())))
        missing = missing_packages(purpose)
    if purpose == "bench" and not any(map(shutil.which, BROWSERS)) and can_install():
        print("Installing with apt: chromium", flush=True)
        install(["chromium"])
    if not missing:
        return 0
    print(explain(missing), file=sys.stderr)
    return 1


def missing_packages(purpose: str) -> dict[str, str]:
    """Map each thing this machine lacks to the Debian package that brings it."""
    missing = {name: package for name, package in LIBRARIES.items() if not is_loadable(name)}
    if not has_software_driver():
        missing["Mesa's software OpenGL"] = "libgl1-mesa-dri"
    if needs_virtual_screen(purpose) and not shutil.which("Xvfb"):
        missing["Xvfb"] = "xvfb"
    # Debian's python3 knows venv, and leaves out what venv needs.
    if importlib.util.find_spec("ensurepip") is None:
        missing["Python's ensurepip"] = "python3-venv"
    return missing


def needs_virtual_screen(purpose: str) -> bool:
    """Tell whether Xvfb is needed: tests never use a person's screen, the demo likes to."""
    return purpose != "demo" or not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def is_loadable(library: str) -> bool:
    """Tell whether the dynamic linker finds the library, wherever it lies."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def has_software_driver() -> bool:
    """Tell whether Mesa can draw without a graphics card."""
    places = [f"{folder}/{driver}" for folder in DRIVER_FOLDERS for driver in DRIVERS]
    return any(any(Path("/").glob(place)) for place in places)


def can_install() -> bool:
    """Tell whether this is root on a machine with apt."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_commands(packages: list[str]) -> list[list[str]]:
    """Return what to run, in order: a fresh machine has no package lists yet."""
    return [
        ["apt-get", "update"],
        ["apt-get", "install", "--yes", "--no-install-recommends", *packages],
    ]


def install(packages: list[str]) -> None:
    """Install without asking anything, waiting for another apt that may be at work."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for program, *arguments in apt_commands(packages):
        options = ["-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0", "--quiet=2"]
        command = [program, *options, *arguments]
        subprocess.run(command, env=environment, check=False, stdin=subprocess.DEVNULL)


def explain(missing: dict[str, str]) -> str:
    """Say what is missing, and what brings it."""
    packages = sorted(set(missing.values()))
    lines = [f"This machine lacks: {', '.join(missing)}."]
    if shutil.which("apt-get"):
        commands = " && ".join(shlex.join(command) for command in apt_commands(packages))
        lines += ["As root, run:", f"  {commands}", "and then this again."]
    else:
        lines.append(f"Install what Debian calls: {' '.join(packages)}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "test"))
