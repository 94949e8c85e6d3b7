"""``omezarr rendering``: shown, changed after a yes, kept here, put back."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.cli.main import main
from tests.fixtures.images import write_directly

if TYPE_CHECKING:
    from pathlib import Path

OMERO = {
    "channels": [
        {
            "label": "DAPI",
            "color": "0000FF",
            "active": True,
            "window": {"start": 0, "end": 90, "min": 0, "max": 255},
        },
        {"color": "00FF00"},
    ]
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pixels = np.zeros((3, 5, 8, 8), "u1")
    write_directly(tmp_path / "a.zarr", "czyx", [pixels], chunks=(1, 5, 8, 8), omero=OMERO)
    return tmp_path / "a.zarr"


def omero(folder: Path) -> Any:
    return json.loads((folder / "zarr.json").read_text())["attributes"]["ome"]["omero"]


def run(*arguments: object) -> int:
    return main(["rendering", *map(str, arguments)])


def test_it_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder) == 0

    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["channel", "name", "colour", "contrast", "limits", "shown"],
        ["0", "DAPI", "0000FF", "0", "to", "90", "yes"],
        ["1", "-", "00FF00", "-", "yes"],
        ["2", "-", "-", "-", "yes"],
    ]


SET = ("--set", "0.color=#ff8000", "0.window=1.5:200", "1.active=no", "1.name=GFP", "z=3")


def test_it_is_changed_after_a_yes(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(folder, *SET) == 0  # nobody can answer here
    assert "nothing is written: say --yes" in capsys.readouterr().out
    assert omero(folder) == OMERO

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("no\n"))
    assert run(folder, *SET) == 0
    assert omero(folder) == OMERO
    capsys.readouterr()
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert run(folder, *SET) == 0

    said = capsys.readouterr().out
    assert "channel 0 “DAPI”, colour: 0000FF → FF8000" in said
    assert said.endswith(f"saved into {folder}\n")
    image = noc.open(folder)
    assert image.channels[0] == noc.Channel("DAPI", "FF8000", noc.Window(1.5, 200, 0, 255))
    assert image.channels[1] == noc.Channel("GFP", "00FF00", active=False)
    assert len(omero(folder)["channels"]) == 2
    assert image.opened.image.default_z == 3

    assert run(folder, "--former", "--yes") == 0
    assert omero(folder) == OMERO


def test_it_is_kept_here_and_forgotten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, *SET, "--keep", "--yes") == 0
    assert capsys.readouterr().out.endswith("kept on this computer\n")
    assert omero(folder) == OMERO

    run(folder, "--set", "0.name=nuclei", "--keep", "--yes")  # what is kept stays kept
    capsys.readouterr()
    run(folder)
    said = capsys.readouterr().out
    assert said.startswith("Shown with settings kept on this computer (")
    assert "0 nuclei FF8000 1.5 to 200 yes" in " ".join(said.split())
    assert "z shown first: 3" in said

    assert run(folder, "--own") == 0
    assert noc.open(folder).channels[0].name == "DAPI"
    assert run(folder, "--own") == 0
    assert "nothing is kept" in capsys.readouterr().out


def test_a_colour_takes_the_place_of_a_colormap(folder: Path) -> None:
    image = noc.open(folder)
    viridis = noc.Rendering((noc.Channel(color="FFFFFF", colormap="viridis"),))
    noc.save_rendering(noc.stored_rendering(image).plan(viridis))

    run(folder, "--set", "0.color=FFFFFF", "--yes")

    assert noc.open(folder).channels[0].colormap is None
    assert "napari-omezarr-cloud" not in omero(folder)["channels"][0]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("0.color=red", "'0.color=red': a colour of six hexadecimal digits"),
        ("0.window=5:5", "a lower and a higher number"),
        ("0.window=1", "a lower and a higher number"),
        ("0.active=maybe", "yes or no"),
        ("z=-1", "the number of a plane"),
        ("x.name=a", "is no KEY=VALUE"),
        ("q=1", "is no KEY=VALUE"),
        ("", "is no KEY=VALUE"),
    ],
)
def test_settings_that_make_no_sense(
    folder: Path, setting: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(folder, "--set", setting)

    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_what_cannot_be_done_says_why(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--set", "7.name=a", "--yes") == 1
    assert "There is no channel 7: the image has 3" in capsys.readouterr().err
    assert run(folder, "--set", "z=99", "--yes") == 1
    assert "There is no z 99: the image has" in capsys.readouterr().err
    assert run(folder, "--former", "--yes") == 1
    assert "has not changed them" in capsys.readouterr().err
    assert run(folder, "--keep") == 1
    assert "Say what, with --set" in capsys.readouterr().err
