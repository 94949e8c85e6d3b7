"""What a user installs is complete: the manifest is found, and all it names can be imported."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "napari_omezarr_cloud"
MANIFEST = """
import json, napari_omezarr_cloud, npe2
manifest = npe2.PluginManifest.from_distribution("napari-omezarr-cloud")
manifest.validate_imports()
commands = [command.id for command in manifest.contributions.commands]
print(json.dumps([manifest.name, commands, napari_omezarr_cloud.__file__]))
"""


def run(*command: object, folder: Path) -> str:
    """Run a command in ``folder``, away from the checkout; what it complains of fails the test."""
    texts = [str(part) for part in command]
    done = subprocess.run(texts, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        pytest.fail(f"{' '.join(texts[:4])} …\n{done.stdout}{done.stderr}", pytrace=False)
    return done.stdout


class Environment:
    """A new environment that borrows the libraries of this one, but not this package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder, symlinks=True)
        self.python = folder / "bin" / "python"
        # A bare path, so that this environment's own editable install is not borrowed too.
        (self.site_packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")

    @property
    def site_packages(self) -> Path:
        return next(self.folder.glob("lib/python*/site-packages"))

    def install(self, *what: str) -> None:
        options = [
            "--quiet",
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
            "--force-reinstall",
        ]
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install"]
        run(*pip, *options, *what, folder=self.folder)

    def manifest(self) -> tuple[str, list[str], Path]:
        """Return name and commands of the manifest that napari finds, and the package's file."""
        printed = run(self.python, "-I", "-c", MANIFEST, folder=self.folder)
        name, commands, file = json.loads(printed.splitlines()[-1])
        return name, commands, Path(file)


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "environment")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a source archive, and a wheel from nothing but that archive."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation"]
    run(*build, "--outdir", folder, ROOT, folder=folder)
    return next(folder.glob("*.whl"))


def test_wheel_brings_the_manifest_and_all_it_names(environment: Environment, wheel: Path) -> None:
    environment.install(str(wheel))

    name, commands, file = environment.manifest()

    assert name == "napari-omezarr-cloud"
    assert "napari-omezarr-cloud.read" in commands
    assert file.is_relative_to(environment.folder)


def test_editable_install_brings_the_manifest_too(environment: Environment) -> None:
    environment.install("--editable", str(ROOT))

    name, commands, file = environment.manifest()

    assert name == "napari-omezarr-cloud"
    assert "napari-omezarr-cloud.read" in commands
    assert file.parent.samefile(PACKAGE)


def test_wheel_is_typed_and_carries_its_licence(environment: Environment, wheel: Path) -> None:
    environment.install(str(wheel))

    installed = [
        path.relative_to(environment.site_packages).as_posix()
        for path in environment.site_packages.rglob("*")
    ]

    assert "napari_omezarr_cloud/py.typed" in installed
    assert any(path.endswith("licenses/LICENSE") for path in installed)
    assert not any(path.startswith(("tests", "scripts", "demo")) for path in installed)


def test_both_places_of_the_manifest_hold_the_same_text() -> None:
    assert (ROOT / "napari.yaml").read_bytes() == (PACKAGE / "napari.yaml").read_bytes()
