"""The shell: what is printed where, and the exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from napari_omezarr_cloud.cli import main
from napari_omezarr_cloud.sample.pyramids import channel
from tests.fixtures.images import pattern, pyramid, squares, write_directly

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.images import Written
    from tests.fixtures.servers import S3Server
    from tests.fixtures.slow_http import SlowServer

    Capture = pytest.CaptureFixture[str]

SECRET = "s3cr3t-t0ken"
# vispy asks xdpyinfo or xrandr for the resolution, and says so where a machine has neither.
NO_DPI = "WARNING: could not determine DPI\n"
PROGRAM = "import sys; from napari_omezarr_cloud.cli import main; sys.exit(main())"


def start(*arguments: str, program: str = PROGRAM, **how: Any) -> subprocess.Popen[str]:
    """Start ``omezarr`` as a process of its own."""
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, **{**pipes, **how}, text=True, encoding="utf-8")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """An image with two channels and ``labels/cells``, of which two have a colour."""
    path = tmp_path_factory.mktemp("cli") / "two channels.ome.zarr"
    channels = [channel("nuclei", "FF00FF", 0, 50_000, 65_535)]
    channels += [channel("membranes", "00FF00", 100, 60_000, 65_535)]
    image = write_directly(
        path,
        "czyx",
        pyramid(pattern((2, 4, 96, 96))),
        chunks=(1, 2, 32, 32),
        omero={"channels": channels},
    )
    write_directly(path / "labels" / "cells", "zyx", [squares((4, 96, 96))], chunks=(4, 96, 96))
    zarr.open_group(path / "labels", zarr_format=3).attrs["ome"] = {"labels": ["cells"]}
    cells = zarr.open_group(path / "labels" / "cells", zarr_format=3)
    colors = [{"label-value": value, "rgba": [255, 0, 0, 255]} for value in (1, 2)]
    cells.attrs["ome"] = {**cells.attrs["ome"], "image-label": {"colors": colors}}
    return image


# ---- info ---------------------------------------------------------------------------------------


def test_info_says_what_an_image_is(labelled: Written, capsys: Capture) -> None:
    assert main(["info", str(labelled.path)]) == 0

    out, err = capsys.readouterr()
    lines = [re.sub(" +", " ", line.strip()) for line in out.splitlines()]
    assert lines[:4] == [
        "two channels",
        "what image, OME-Zarr 0.5 (Zarr format 3)",
        f"where {labelled.path}",
        "axes c (channel), z y x (space, micrometer)",
    ]
    (finest,) = (line for line in lines if line.startswith("0 0"))
    assert finest.startswith("0 0 2 × 4 × 96 × 96 1 × 2 × 32 × 32 uint16 2 × 0.25 × 0.25")
    assert finest.endswith("36 147 kB")
    assert "1 membranes #00FF00 100 to 60000" in lines
    assert "cells 4 × 96 × 96 (z y x) uint16 1 2 0" in lines
    assert err == ""


def test_info_as_json_holds_the_same_facts_under_stable_keys(
    labelled: Written, capsys: Capture
) -> None:
    assert main(["info", "--json", str(labelled.path)]) == 0

    facts = json.loads(capsys.readouterr().out)
    assert list(facts) == [
        "name", "where", "kind", "version", "zarr_format", "axes", "levels", "channels", "labels",
        "series", "notes", "paid_nbytes",
    ]  # fmt: skip
    assert facts["axes"][1] == {"name": "z", "type": "space", "unit": "micrometer"}
    assert facts["levels"][1] == {
        "path": "1",
        "shape": [2, 4, 48, 48],
        "chunks": [1, 2, 32, 32],
        "shards": None,
        "dtype": "uint16",
        "scale": list(labelled.scales[1]),
        "translation": list(labelled.translations[1]),
        "scale_um": [None, *labelled.scales[1][1:]],
        "translation_um": [None, *labelled.translations[1][1:]],
        "chunk_count": 16,
        "nbytes": 36864,
    }
    assert facts["channels"][0] == {
        "name": "nuclei",
        "color": "FF00FF",
        "window": [0, 50_000],
        "active": True,
    }
    (labels,) = facts["labels"]
    assert list(labels) == ["name", "axes", "levels", "color_count", "property_count", "notes"]
    assert facts["notes"] == labels["notes"] == []


def test_info_can_tell_about_any_image(any_image: Written, capsys: Capture) -> None:
    assert main(["info", str(any_image.path)]) == 0
    text = capsys.readouterr().out
    assert main(["info", str(any_image.path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)

    assert [level["shape"] for level in facts["levels"]] == [
        list(a.shape) for a in any_image.levels
    ]
    for level in facts["levels"]:
        assert " × ".join(map(str, level["shape"])) in text


def test_info_gives_lengths_in_micrometres_whatever_their_unit(
    tmp_path: Path, capsys: Capture
) -> None:
    write_directly(tmp_path / "x", "yx", [np.zeros((4, 4), "u1")], chunks=(4, 4))
    file = tmp_path / "x" / "zarr.json"
    file.write_text(file.read_text().replace("micrometer", "millimeter"))

    main(["info", str(tmp_path / "x")])

    out = capsys.readouterr().out
    assert "y x (space, millimeter)" in out
    assert "250 × 250" in out


def test_info_tells_what_was_odd(tmp_path: Path, capsys: Capture) -> None:
    write_directly(tmp_path / "x", "yx", [np.zeros((4, 4), "u1")], version="0.4", chunks=(4, 4))
    (tmp_path / "x" / "labels").mkdir()
    (tmp_path / "x" / "labels" / ".zattrs").write_text('{"labels": ["gone"]}')

    assert main(["info", str(tmp_path / "x")]) == 0

    assert "notes\n  - The labels 'gone' could not be opened." in capsys.readouterr().out


def test_info_reads_no_pixels(
    labelled: Written, slow_server: Callable[..., SlowServer], capsys: Capture
) -> None:
    server = slow_server(labelled.path.parent)

    assert main(["info", f"{server.url}/{labelled.path.name}"]) == 0

    assert not any("/c/" in path for path in server.paths)
    assert len(server.log) == 10 + 2 + 3


def test_what_a_file_says_cannot_move_the_cursor(tmp_path: Path, capsys: Capture) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\r"
    omero = {"channels": [{"label": evil, "color": evil, "window": {"start": 0, "end": 1}}]}
    path = tmp_path / "x\x1b[31m.zarr"
    write_directly(path, "yx", [np.zeros((4, 4), "u1")], chunks=(4, 4), omero=omero)
    file = path / "zarr.json"
    document = json.loads(file.read_text())
    image = document["attributes"]["ome"]["multiscales"][0]
    image["name"] = image["axes"][0]["unit"] = image["axes"][0]["type"] = evil
    file.write_text(json.dumps(document))

    assert main(["info", str(path)]) == 0
    text = capsys.readouterr().out
    assert main(["info", "--json", str(path)]) == 0
    as_json = capsys.readouterr().out

    assert all(character.isprintable() for character in text.replace("\n", ""))
    assert all(character.isprintable() for character in as_json.replace("\n", ""))


def test_an_error_cannot_move_the_cursor(tmp_path: Path, capsys: Capture) -> None:
    assert main(["info", str(tmp_path / "x\x1b[31m\n\u202e.zarr")]) == 1

    err = capsys.readouterr().err
    assert err.endswith("\n")
    assert err.rstrip("\n").isprintable()


def test_a_terminal_without_unicode_gets_escapes(labelled: Written) -> None:
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}

    with start("info", str(labelled.path), env=environ) as program:
        out, err = program.communicate()

    assert (program.returncode, err) == (0, "")
    assert r"2 \xd7 4 \xd7 96" in out


# ---- what goes wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "why"),
    [
        pytest.param("/nothing/here.zarr", "there is no such folder", id="absent"),
        pytest.param("gopher://host/x.zarr", "no scheme we know", id="no link"),
        pytest.param("", "No link was given", id="empty"),
        pytest.param("x.zarr.zip", "Found no file", id="zip"),
    ],
)
def test_what_cannot_be_opened_is_one_sentence_on_stderr(
    link: str, why: str, capsys: Capture
) -> None:
    assert main(["info", link]) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("omezarr: ")
    assert why in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="no verb"),
        pytest.param(["eat", "x.zarr"], id="no such verb"),
        pytest.param(["info"], id="no link"),
        pytest.param(["info", "x.zarr", "y.zarr"], id="two links"),
        pytest.param(["open", "x.zarr", "--profile", "a", "--anonymous"], id="contradiction"),
    ],
)
def test_a_command_that_is_not_understood_exits_with_2(
    arguments: list[str], capsys: Capture
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert "usage: omezarr" in capsys.readouterr().err


def test_a_token_is_shown_nowhere(
    labelled: Written, slow_server: Callable[..., SlowServer], capsys: Capture
) -> None:
    server = slow_server(labelled.path.parent)
    link = f"{server.url}/{labelled.path.name}?token={SECRET}"

    assert main(["info", link]) == 0
    assert main(["info", "--json", link]) == 0
    assert main(["info", link.replace(labelled.path.name, "nothing.zarr")]) == 1
    with pytest.raises(SystemExit):
        main(["info", "x.zarr", link])

    assert SECRET in server.log[0].query
    assert SECRET not in "".join(capsys.readouterr())


def test_ctrl_c_exits_with_130_and_closes_the_connections(
    slow_server: Callable[..., SlowServer], tmp_path: Path
) -> None:
    server = slow_server(tmp_path)
    server.fault("", "hang")
    with start("info", f"{server.url}/x.zarr") as program:
        assert server.wait_until(lambda s: len(s.log) == 10, 60)

        program.send_signal(signal.SIGINT)
        out, err = program.communicate()

    assert (program.returncode, out, err) == (130, "", "")
    assert server.wait_until(lambda s: s.connections.open == 0)


def test_a_reader_that_has_seen_enough_is_no_error(labelled: Written) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with start("info", str(labelled.path), stdout=write_end) as program:
        os.close(write_end)
        _, err = program.communicate()

    assert (program.returncode, err) == (0, "")


# ---- how to get in ------------------------------------------------------------------------------


def test_the_ways_in_are_those_of_python(
    labelled: Written, s3: S3Server, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    s3.put_folder(labelled.path, s3.private, "cli")
    link = f"s3://{s3.private}/cli/{labelled.path.name}"
    for name, value in s3.environment.items():
        if name != "AWS_ENDPOINT_URL":
            monkeypatch.setenv(name, value)
    way = ["--endpoint", s3.endpoint, "--region", s3.region]

    assert main(["info", link, *way]) == 0
    assert main(["info", link, *way, "--no-anonymous"]) == 0
    assert main(["info", link, *way, "--anonymous"]) == 1

    out, err = capsys.readouterr()
    assert out.count("where") == 2
    assert "refused access (403)" in err
    assert s3.secret_key not in out + err


# ---- help ---------------------------------------------------------------------------------------


def test_help_names_the_verbs_and_the_exit_codes(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])

    out = capsys.readouterr().out
    assert caught.value.code == 0
    assert re.findall(r"^    (\w+)(?: +\w.*)?$", out, re.MULTILINE) == [
        "open",
        "info",
        "save",
        "extract",
        "download",
        "run",
        "measure",
        "rendering",
        "cache",
        "access",
    ]
    assert "130" in out


def test_the_version_is_that_of_the_package(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])

    assert caught.value.code == 0
    assert re.fullmatch(r"omezarr \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


# ---- open ---------------------------------------------------------------------------------------

# Tells what is in the window as soon as it holds so many layers, and closes it.
LOOK = """
import json, sys
from qtpy.QtCore import QTimer
import napari
from napari_omezarr_cloud.cli import main

wanted = int(sys.argv.pop(1))

def look():
    viewer = napari.current_viewer()
    if viewer is None or len(viewer.layers) < wanted:
        QTimer.singleShot(50, look)
        return
    window = viewer.window._qt_window
    layers = [[layer.name, type(layer).__name__, bool(layer.visible)] for layer in viewer.layers]
    print(json.dumps({"is_visible": window.isVisible(), "layers": layers}), flush=True)
    if sys.stdin.readline():  # "" when the test wants Ctrl+C instead
        viewer.close()
    else:
        QTimer.singleShot(50, lambda: print("waiting", flush=True))

from napari.qt import get_qapp
app = get_qapp()
QTimer.singleShot(0, look)
code = main()
print(code)
"""


def window(*arguments: str, layers: int) -> subprocess.Popen[str]:
    """Start ``omezarr open`` with somebody who looks at its window."""
    return start(str(layers), "open", *arguments, program=LOOK)


def seen(out: str) -> Any:
    """Return what was seen in the window; napari prints its notifications, too."""
    return json.loads(next(line for line in out.splitlines() if line.startswith("{")))


def test_open_shows_images_in_the_order_asked_for(
    labelled: Written, ome_zarr: Callable[[str], Written]
) -> None:
    second = ome_zarr("v04 by ome-zarr-py")
    with window(str(labelled.path), str(second.path), layers=4) as program:
        out, err = program.communicate("close\n")

    names = [name for name, _, _ in seen(out)["layers"]]
    assert [name for name in names if "cells" not in name] == [
        "two channels: nuclei",
        "two channels: membranes",
        "v04 by ome-zarr-py: nuclei",
    ]
    assert (out.splitlines()[-1], err.replace(NO_DPI, "")) == ("0", "")


def test_open_shows_colours_as_one_picture_where_asked_to(
    ome_zarr: Callable[[str], Written],
) -> None:
    path = str(ome_zarr("RGB, channels first").path)
    with window("--rgb", path, layers=1) as program:
        out, _ = program.communicate("close\n")

    assert seen(out)["layers"] == [["RGB, channels first", "Image", True]]


def test_open_shows_its_window_before_any_answer_and_gives_up_with_it(
    slow_server: Callable[..., SlowServer], tmp_path: Path
) -> None:
    server = slow_server(tmp_path)
    server.fault("", "hang")
    with window(f"{server.url}/x.zarr", layers=0) as program:
        out, err = program.communicate("close\n")

    assert seen(out) == {"is_visible": True, "layers": []}
    assert server.wait_until(lambda s: len(s.log) > 0 and s.connections.open == 0)
    assert (program.returncode, err.replace(NO_DPI, "")) == (0, "")


def test_open_stays_open_for_the_images_that_can_be_shown(
    labelled: Written, tmp_path: Path
) -> None:
    absent = str(tmp_path / "nothing.zarr")
    with window(absent, "gopher://x", str(labelled.path), layers=2) as program:
        out, err = program.communicate("close\n")

    assert len(seen(out)["layers"]) >= 2
    assert out.splitlines()[-1] == "1"
    err = err.replace(NO_DPI, "")
    assert err.count("\n") == 1  # the link that is none; the other was told in the window
    assert "no scheme we know" in err


def test_open_closes_when_there_is_nothing_to_show(tmp_path: Path) -> None:
    with start("open", str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr")) as program:
        out, err = program.communicate()

    assert (program.returncode, out) == (1, "")
    err = err.replace(NO_DPI, "")
    assert [line.partition(": ")[0] for line in err.splitlines()] == ["omezarr", "omezarr"]
    assert "a.zarr" in err.splitlines()[0]
    assert "b.zarr" in err.splitlines()[1]


def test_ctrl_c_closes_the_window(labelled: Written) -> None:
    with window(str(labelled.path), layers=2) as program:
        assert program.stdin is not None and program.stdout is not None
        program.stdin.close()
        while program.stdout.readline().strip() != "waiting":
            assert program.poll() is None

        program.send_signal(signal.SIGINT)
        program.stdout.read()
        err = program.stderr.read() if program.stderr else ""

    assert (program.wait(), err.replace(NO_DPI, "")) == (130, "")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a screen")
def test_open_without_a_screen_says_so(labelled: Written) -> None:
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    environ = {name: value for name, value in os.environ.items() if name not in hidden}

    with start("open", str(labelled.path), env=environ) as program:
        out, err = program.communicate()

    assert (program.returncode, out) == (1, "")
    assert "there is no screen" in err
    assert err.count("\n") == 1
