"""``omezarr save``, as a program."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import numpy as np
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.cli import main
from tests.test_cli import start

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer

PIXELS = np.random.default_rng(6).integers(0, 200, (3, 40, 50), "u1")


@pytest.fixture
def source(tmp_path: Path) -> str:
    image = noc.from_array(PIXELS, "cyx", scale=(1, 0.5, 0.5), unit="micrometer", name="cells")
    noc.save(image, tmp_path / "source.zarr")
    return str(tmp_path / "source.zarr")


def test_a_box_of_a_channel_and_what_is_said(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "part.zarr")

    code = main(["save", source, target, "--box", "y=10:30", "--channels", "1", "--shards", "none"])

    assert code == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("OME-Zarr 0.5, cyx, uint8, blosc: 1 level, 3 objects at most")
    assert said[2].strip().startswith("0: 1 x 20 x 50, chunks of 1 x 20 x 50")
    assert said[-1] == f"saved to {target}"
    image = noc.open(target)
    assert (image.read(0) == PIXELS[1:2, 10:30]).all()
    assert image.levels[0].translation == (0, 5, 0)


def test_one_plane_of_a_coarser_level(tmp_path: Path) -> None:
    source, target = str(tmp_path / "source.zarr"), str(tmp_path / "part.zarr")
    image = noc.save(noc.from_array(PIXELS, "zyx"), source, levels=2, factors=[1, 2, 2])

    assert main(["save", source, target, "--level", "1", "--box", "z=2,y=3:"]) == 0

    assert (noc.open(target).read(0) == image.read(1)[2:3, 3:]).all()


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ("q=3", "there is no axis 'q'. The axes are c, y, x"),
        ("y=40:50", "nothing of the image is there along y; it goes from 0 to 40"),
        ("y=9:3", "y ends before it begins"),
        ("y=nan:inf", "y has an end that is no number"),
        ("y", "'y' is no part of an axis"),
    ],
)
def test_a_box_that_is_not_there(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], box: str, words: str
) -> None:
    assert main(["save", source, str(tmp_path / "part.zarr"), "--box", box]) == 1
    assert words in capsys.readouterr().err


def test_an_estimate_writes_nothing(source: str, tmp_path: Path) -> None:
    assert main(["save", source, str(tmp_path / "part.zarr"), "--estimate"]) == 0
    assert not (tmp_path / "part.zarr").exists()


def test_what_is_there_is_named_and_overwritten_only_when_told(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "part.zarr")
    main(["save", source, target])

    assert main(["save", source, target, "--channels", "0"]) == 1
    said = capsys.readouterr().err
    assert "something is there already (an image “cells”)" in said
    assert "--overwrite" in said
    assert noc.open(target).read(0).shape == (3, 40, 50)

    assert main(["save", source, target, "--channels", "0", "--overwrite"]) == 0
    assert noc.open(target).read(0).shape == (1, 40, 50)


@pytest.mark.parametrize(
    "options", [["--chunks", "a,b"], ["--shards", "x"], ["--method", "sum"], ["--levels", "0"]]
)
def test_options_that_make_no_sense(source: str, tmp_path: Path, options: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["save", source, str(tmp_path / "part.zarr"), *options])

    assert caught.value.code == 2


def test_factors_are_one_for_each_axis(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["save", source, str(tmp_path / "part.zarr"), "--factors", "2"]) == 1
    assert "factors (2,) are not 3 whole numbers" in capsys.readouterr().err


def test_factors_of_every_coarser_level(source: str, tmp_path: Path) -> None:
    target = str(tmp_path / "part.zarr")

    assert main(["save", source, target, "--factors", "1,2,5", "--levels", "3"]) == 0

    shapes = [level.shape for level in noc.open(target).levels]
    assert shapes == [(3, 40, 50), (3, 20, 10), (3, 10, 2)]


def test_ctrl_c_waits_for_no_server_and_says_that_the_same_goes_on(
    source: str, tmp_path: Path, slow_server: Callable[..., SlowServer]
) -> None:
    server, target = slow_server(tmp_path), tmp_path / "part.zarr"
    server.fault("source.zarr/0/c/2", "hang")
    command = ["save", f"{server.url}/source.zarr", str(target)]
    with start(*command) as program:
        chunk = "/source.zarr/0/c/2/0/0"
        assert server.wait_until(lambda s: chunk in s.paths, 60)

        program.send_signal(signal.SIGINT)
        _, err = program.communicate(timeout=15)  # less than a request may be silent

    assert program.returncode == 130
    assert err == "\nstopped; the same command goes on where it was\n"
    server.clear_faults()
    assert main(command) == 0
    assert (noc.open(target).read(0) == PIXELS).all()
