"""Importing the package costs next to nothing, and what is public is said in one place."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import napari_omezarr_cloud

HEAVY = {"PyQt6", "PySide6", "dask", "magicgui", "napari", "numpy", "obstore", "ome_zarr", "qtpy"}
HEAVY |= {"aiohttp", "scipy", "skimage", "superqt", "vispy", "zarr"}
GUI = {"PyQt6", "PySide6", "magicgui", "napari", "qtpy", "superqt", "vispy"}


def modules_after(statement: str) -> set[str]:
    """Return the top-level modules of a fresh Python after it ran ``statement``."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    if answer.returncode:
        pytest.fail(answer.stderr, pytrace=False)
    return {name.partition(".")[0] for name in json.loads(answer.stdout.splitlines()[-1])}


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = modules_after("import napari_omezarr_cloud")

    assert loaded & HEAVY == set()


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    loaded = modules_after("import napari_omezarr_cloud.cli")

    assert loaded & HEAVY == set()


@pytest.mark.parametrize("module", ["api", "process", "napari.layer_data"])
def test_scripts_without_a_window_load_no_gui(module: str) -> None:
    loaded = modules_after(f"import napari_omezarr_cloud.{module}")

    assert loaded & GUI == set()


def test_all_names_what_is_public() -> None:
    modules = {name for name in vars(napari_omezarr_cloud) if is_module(name)}
    public = {name for name in dir(napari_omezarr_cloud) if not name.startswith("_")}

    assert public - modules - {"annotations", "TYPE_CHECKING", "Any"} == set(
        napari_omezarr_cloud.__all__
    )


@pytest.mark.parametrize("name", napari_omezarr_cloud.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(napari_omezarr_cloud, name).__doc__


def is_module(name: str) -> bool:
    return isinstance(vars(napari_omezarr_cloud)[name], type(sys))
