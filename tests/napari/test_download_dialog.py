"""Downloading from a real window: what it takes, the copy, cancel and go on, a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_omezarr_cloud.napari.commands import download
from napari_omezarr_cloud.napari.widgets.download_dialog import DownloadDialog
from tests.fixtures.images import pattern, pyramid, write_directly

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.images import Written
    from tests.fixtures.slow_http import SlowServer

PLUGIN = "napari-omezarr-cloud"


@pytest.fixture
def cells(tmp_path: Path) -> Written:
    return write_directly(
        tmp_path / "served" / "cells.zarr", "yx", pyramid(pattern((128, 128)), 2), chunks=(32, 32)
    )


@pytest.fixture
def server(cells: Written, slow_server: Callable[..., SlowServer]) -> SlowServer:
    return slow_server(cells.path.parent)


@pytest.fixture
def dialog(viewer: Any, server: SlowServer, qtbot: Any) -> DownloadDialog:
    """The dialog about an image that is open, with a signed link."""
    viewer.open(f"{server.url}/cells.zarr?token=secret-1", plugin=PLUGIN)
    download()
    dialog = viewer.window.main_menu.window().findChild(DownloadDialog)
    qtbot.waitUntil(dialog.isVisible)
    return dialog


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def press(dialog: DownloadDialog) -> None:
    QTest.mouseClick(dialog.run_bar.apply_button, Qt.MouseButton.LeftButton)


def test_the_image_that_is_open_is_copied_and_opened_from_there(
    viewer: Any,
    server: SlowServer,
    cells: Written,
    dialog: DownloadDialog,
    qtbot: Any,
    tmp_path: Path,
) -> None:
    target = tmp_path / "copy.zarr"
    assert dialog.source.currentText() == f"{server.url}/cells.zarr"
    QTest.keyClicks(dialog.target, "x")
    with qtbot.waitSignal(dialog.planned_anew, timeout=30000):
        dialog.target.setText(str(target))
    assert "23 objects at most, about" in dialog.estimate.text()
    assert "secret" not in dialog.estimate.text()

    with qtbot.waitSignal(dialog.downloaded, timeout=30000):
        press(dialog)

    assert files(target) == files(cells.path)
    assert dialog.run_bar.message.text().startswith("23 objects, ")
    before = len(viewer.layers)
    with qtbot.waitSignal(viewer.layers.events.inserted, timeout=30000):
        QTest.mouseClick(dialog.open_button, Qt.MouseButton.LeftButton)
    assert len(viewer.layers) > before


def test_while_it_is_looked_what_there_is_it_is_counted_and_can_be_given_up(
    server: SlowServer, dialog: DownloadDialog, qtbot: Any, tmp_path: Path
) -> None:
    with qtbot.waitSignal(dialog.planned_anew, timeout=30000):
        dialog.target.setText(str(tmp_path / "any.zarr"))
    server.fault("/0/c/", "hang")
    dialog.target.setText(str(tmp_path / "copy.zarr"))
    qtbot.waitUntil(lambda: "found so far" in dialog.estimate.text(), timeout=30000)
    assert not dialog.run_bar.apply_button.isEnabled()
    hanging = server.connections.open

    dialog.close()

    assert server.wait_until(lambda server: server.connections.open < hanging)
    server.clear_faults()
    with qtbot.waitSignal(dialog.planned_anew, timeout=30000):
        dialog.show()
    assert "23 objects at most" in dialog.estimate.text()


def test_cancelled_it_says_so_and_goes_on(
    server: SlowServer, cells: Written, dialog: DownloadDialog, qtbot: Any, tmp_path: Path
) -> None:
    link, target = f"{server.url}/cells.zarr", tmp_path / "copy.zarr"
    with qtbot.waitSignal(dialog.planned_anew, timeout=30000):
        dialog.choose(link + "/", str(target))  # as pasted: one that the server lists
    assert dialog.estimate.text().startswith("23 objects, 4")
    server.fault("/0/c/3", "hang", times=4)
    press(dialog)
    qtbot.waitUntil(
        lambda: dialog.run_bar.message.text().startswith("19 of 23 objects"), timeout=30000
    )

    QTest.mouseClick(dialog.run_bar.cancel_button, Qt.MouseButton.LeftButton)

    assert "goes on where it ended" in dialog.run_bar.message.text()
    assert len(files(target)) < 26
    with qtbot.waitSignal(dialog.planned_anew, timeout=30000):
        dialog.choose(link + "//", str(target))
    assert "Some of it is there already" in dialog.estimate.text()
    qtbot.waitUntil(lambda: _is_free(target), timeout=30000)
    with qtbot.waitSignal(dialog.downloaded, timeout=30000):
        press(dialog)
    assert files(target) == files(cells.path)
    assert "16 of them were here before" in dialog.run_bar.message.text()


def _is_free(target: Path) -> bool:
    """Tell whether the download that was cancelled has given up its place."""
    return b'"writer"' not in (target / ".omezarr-writing" / "plan.json").read_bytes()


def test_a_folder_that_is_not_empty_is_left_alone(
    server: SlowServer, dialog: DownloadDialog, qtbot: Any, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("mine")
    with qtbot.waitSignal(dialog.planned_anew, timeout=30000):
        dialog.choose(f"{server.url}/cells.zarr", str(tmp_path / "mine"))

    press(dialog)

    qtbot.waitUntil(lambda: not dialog.is_running, timeout=30000)
    assert "something is there already (note.txt)" in dialog.run_bar.message.text()
    assert files(tmp_path / "mine") == {"note.txt": b"mine"}

    dialog.target.setText(str(tmp_path / "other"))
    assert not dialog.run_bar.message.text()  # that was about the first one


def test_what_is_no_link_cannot_be_downloaded(dialog: DownloadDialog, qtbot: Any) -> None:
    with qtbot.waitSignal(dialog.planned_anew, timeout=30000):
        dialog.source.setEditText("https://")

    assert dialog.estimate.text()
    assert not dialog.run_bar.apply_button.isEnabled()
