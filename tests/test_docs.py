"""What the documentation says is so: its Python runs, its commands work, its tables are whole."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.cli.main import build_parser, main

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.images import Written
    from tests.fixtures.programs import Programs

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "docs").rglob("*.md")))]
SHELL = ROOT / "docs" / "reference" / "shell.md"
PYTHON = ROOT / "docs" / "reference" / "python.md"

# Links to images; what is not supposed to be there ends in .invalid.
LINK = r"(?:https?|s3)://(?!nothing-here\.invalid)[^\s\"')]*\.zarr"


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    lines = [line.strip() for block in blocks(page, "sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("omezarr ")]


@pytest.fixture
def local(ome_zarr: Callable[[str], Written]) -> Callable[[str], str]:
    """``local(text)`` has the path of a small image wherever ``text`` has a link to one."""
    path = str(ome_zarr("v05 with labels").path)
    return lambda text: re.sub(LINK, lambda _: path, text)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_python_of_a_page_runs_from_top_to_bottom(
    page: str,
    local: Callable[[str], str],
    programs: Programs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # where pages write
    code = "\n".join(blocks(page, "python")).replace("napari.run()", "viewer.close()")
    # A local image has neither endpoint nor profile.
    code = re.sub(r", endpoint=\"[^\"]*\"", "", local(code))

    done = programs.run(code)

    # vispy asks xdpyinfo or xrandr for the resolution, and says so where a machine has neither.
    assert done.stderr.replace("WARNING: could not determine DPI\n", "") == ""
    assert done.returncode == 0


@pytest.mark.parametrize("command", [each for page in PAGES for each in commands(page)])
def test_a_command_of_a_page_is_understood(command: str) -> None:
    arguments = shlex.split(command.partition(" | ")[0])[1:]

    given = build_parser().parse_args(arguments)

    assert callable(given.run)


@pytest.mark.parametrize(
    "command",
    [each for page in PAGES for each in commands(page) if each.startswith("omezarr info")],
)
def test_an_info_command_of_a_page_works(
    command: str, local: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [local(each) for each in shlex.split(command.partition(" | ")[0])[1:]]
    arguments = [each.partition("?")[0] for each in arguments]
    for option in ("--profile", "--endpoint"):
        if option in arguments:
            at = arguments.index(option)
            del arguments[at : at + 2]

    assert main(arguments) == 0

    assert "v05 with labels" in capsys.readouterr().out


def verbs() -> list[str]:
    return re.findall(r"^    (\w+)(?: +\w.*)?$", build_parser().format_help(), re.MULTILINE)


def test_every_verb_is_in_the_reference() -> None:
    headings = re.findall(r"^## `omezarr (\w+)", SHELL.read_text(encoding="utf-8"), re.MULTILINE)

    assert headings == verbs()


@pytest.mark.parametrize("verb", verbs())
def test_every_option_of_a_verb_has_help_and_is_in_the_reference(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([verb, "--help"])

    text = capsys.readouterr().out
    documented = SHELL.read_text(encoding="utf-8")
    options = set(re.findall(r"--[a-z-]+", text.partition("\n\n")[2]))
    assert options
    for option in options:
        assert f"`{option}" in documented or option == "--help"
        assert re.search(rf"{option}[^\n]*\n? +\w", text)


def test_every_key_of_the_json_is_in_the_reference(
    local: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["info", "--json", local("s3://bucket/image.zarr")])

    keys = set(re.findall(r'"(\w+)": ', capsys.readouterr().out))

    assert keys >= {"where", "scale_um", "color_count"}
    for key in keys:
        assert f"`{key}`" in SHELL.read_text(encoding="utf-8")


def test_the_exit_codes_of_the_help_are_those_of_the_reference() -> None:
    told = re.findall(r"^  (\d+)  +(.+)$", build_parser().epilog or "", re.MULTILINE)

    for code, meaning in told:
        assert f"| {code} | {meaning} |" in SHELL.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", [noc.Image, noc.Labels, noc.Level])
def test_every_attribute_is_in_the_reference(kind: type) -> None:
    names = {name for name in dir(kind) if not name.startswith("_")}
    names |= {name for name in getattr(kind, "__annotations__", {}) if not name.startswith("_")}

    for name in names:
        assert re.search(rf"`{name}[`(]", PYTHON.read_text(encoding="utf-8")), name


def test_every_public_name_is_in_the_reference() -> None:
    text = PYTHON.read_text(encoding="utf-8")

    assert [name for name in noc.__all__ if name not in text] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")

    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target
