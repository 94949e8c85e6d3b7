"""The set-up asks for what is missing, and for nothing else."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def system() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPTS / "system_libraries.py"))


def test_nothing_is_missing_where_these_tests_run(system: dict[str, Any]) -> None:
    assert system["missing_packages"]("test") == {}


@pytest.mark.parametrize(
    ("purpose", "display", "needed"),
    [
        pytest.param("test", ":0", {"Xvfb"}, id="tests never use a person's screen"),
        pytest.param("bench", ":0", {"Xvfb"}, id="nor do benchmarks"),
        pytest.param("demo", ":0", set(), id="the demo does"),
        pytest.param("demo", "", {"Xvfb"}, id="where there is one"),
    ],
)
def test_a_virtual_screen_is_asked_for_when_needed(
    system: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    purpose: str,
    display: str,
    needed: set[str],
) -> None:
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setenv("PATH", "")

    assert set(system["missing_packages"](purpose)) == needed


def test_what_is_missing_comes_with_the_command_that_brings_it(system: dict[str, Any]) -> None:
    text = system["explain"]({"libGL.so.1": "libgl1", "Xvfb": "xvfb"})

    assert "libGL.so.1, Xvfb" in text
    assert "libgl1 xvfb" in text


def test_a_python_that_is_not_installed_is_not_found() -> None:
    scripts = runpy.run_path(str(SCRIPTS / "interpreters.py"))

    assert scripts["find_interpreter"]("3.99") is None


def test_the_oldest_versions_are_the_lower_bounds_of_all_that_users_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    lowest = runpy.run_path(str(SCRIPTS / "test_oldest.py"))["lowest"]
    project = tomllib.loads((SCRIPTS.parent / "pyproject.toml").read_text("utf-8"))["project"]

    pinned = dict(each.split("==") for each in lowest(project))

    names = {re.split(r"[\[<>=]", each)[0] for each in project["dependencies"]}
    assert names <= pinned.keys(), "each has a lower bound"
    assert f"napari>={pinned['napari']}" in project["dependencies"]
