"""A machine of its own for the tests: settings, credentials and screen are nobody's.

Settings are redirected when this file is loaded, before a test module can import napari's.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CORPUS = HERE.parents[1] / "shared" / "corpus"
# Cloud accounts, proxies and desktop sessions of whoever runs the tests must not decide them.
FOREIGN = (
    "AWS_",
    "AZURE_",
    "GOOGLE_",
    "GCS_",
    "NAPARI_",
    "NPE2_",
    "WAYLAND_",
    "OMEZARR_",
    "QT_QPA_",
    "QT_SCALE",
)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")

# Only modules with fixtures: what those import is no plugin, and must not be loaded as one first.
pytest_plugins = [
    f"tests.fixtures.{file.stem}"
    for file in sorted((HERE / "fixtures").glob("*.py"))
    if "@pytest.fixture" in file.read_text(encoding="utf-8")
]


def isolate(home: Path) -> None:
    """Point everything that reads settings or credentials into ``home``."""
    for name in [name for name in os.environ if name.startswith(FOREIGN) or name in PROXIES]:
        del os.environ[name]
    for kind in ("CONFIG", "CACHE", "DATA", "STATE", "RUNTIME"):
        folder = home / kind.lower()
        folder.mkdir(mode=0o700)
        os.environ[f"XDG_{kind}_{'DIR' if kind == 'RUNTIME' else 'HOME'}"] = str(folder)
    # napari reads this when it is imported, and never again.
    os.environ["NAPARI_CONFIG"] = str(home / "config" / "napari.yaml")
    os.environ["AWS_CONFIG_FILE"] = str(home / "config" / "aws")
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(home / "config" / "aws-credentials")
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    # Tests count requests; those of the disk cache have a folder each, and switch it on.
    os.environ["OMEZARR_DISK_CACHE_MB"] = "0"
    # Tests count requests; those of loading ahead switch it on.
    os.environ["OMEZARR_PREFETCH"] = "0"


def choose_qt_binding() -> None:
    """Make napari (through qtpy) and pytest-qt use one binding: PyQt6, else PySide6."""
    wanted = os.environ.get("QT_API", "pyqt6").lower()
    # Not the package alone: a folder is left over where a binding was uninstalled.
    modules = {"pyqt6": "PyQt6.QtCore", "pyside6": "PySide6.QtCore"}
    order = sorted(modules, key=lambda name: name != wanted)
    found = next((name for name in order if is_installed(modules[name])), None)
    if found:
        os.environ["QT_API"] = os.environ["PYTEST_QT_API"] = found


def is_installed(module: str) -> bool:
    """Tell whether a module of a package could be imported."""
    package = module.partition(".")[0]
    return find_spec(package) is not None and find_spec(module) is not None


def die_with_parent() -> None:
    """Ask Linux to end this process when the tests are killed, so that no screen is left over."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def start_screen() -> subprocess.Popen[bytes]:
    """Start an Xvfb that picks a free number itself, and make it this process's display."""
    read_end, write_end = os.pipe()
    command = ["Xvfb", "-displayfd", str(write_end), "-screen", "0", "1400x1000x24"]
    server = subprocess.Popen(
        [*command, "-nolisten", "tcp", "-noreset"],
        pass_fds=[write_end],
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent,
    )
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        number = answer.readline().strip()
    if not number:
        pytest.exit(f"Xvfb did not start (status {server.wait()})", returncode=3)
    os.environ["DISPLAY"] = f":{number}"
    return server


def pytest_configure(config: pytest.Config) -> None:
    """Start the screen, and see that it and the settings go when pytest ends, however it ends."""
    config.add_cleanup(lambda: shutil.rmtree(HOME, ignore_errors=True))
    if sys.platform != "linux" or os.environ.get("TEST_ON_DISPLAY"):
        return
    if not shutil.which("Xvfb"):
        pytest.exit("Xvfb is missing: run `make test`, or set TEST_ON_DISPLAY=1", returncode=3)
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        return  # the workers show windows, each on a screen of its own
    screen = start_screen()
    config.add_cleanup(screen.wait)
    config.add_cleanup(screen.terminate)  # clean-ups run last in, first out


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Return the folder of OME-Zarr files by many writers; skip where it is not at hand."""
    if not CORPUS.is_dir():
        pytest.skip("the corpus of OME-Zarr files is not beside this checkout (../shared/corpus)")
    return CORPUS


# Of workers (pytest -n) inside that of the process that starts them: it tidies up after all.
HOME = Path(tempfile.mkdtemp(prefix="omezarr-tests-", dir=os.environ.get("HOME_OF_TESTS")))
os.environ["HOME_OF_TESTS"] = str(HOME)
isolate(HOME)
choose_qt_binding()
# Pictures are repeatable only when drawn by the same code on every machine.
os.environ["LIBGL_ALWAYS_SOFTWARE"] = "1"
# A shell that runs the tests in the background has them ignore Ctrl-C, and so would the programs
# that they start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
