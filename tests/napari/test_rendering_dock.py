"""Rendering settings from a real window: compared, saved, kept here, and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.napari.widgets.rendering_dock import RenderingDock
from tests.fixtures.images import pattern, pyramid, write_directly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer

PLUGIN = "napari-omezarr-cloud"
OMERO = {
    "channels": [
        {
            "label": "nuclei",
            "color": "0080FF",
            "active": True,
            "window": {"start": 10, "end": 900, "min": 0, "max": 65535},
            "mine": 1,
        },
        {"color": "FF8000", "active": False},
    ],
    "rdefs": {"defaultZ": 1},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an image of two channels, of which the second has no name and no window."""
    path = tmp_path / "cells.zarr"
    levels = pyramid(pattern((2, 3, 64, 64)), 2)
    write_directly(path, "czyx", levels, chunks=(1, 1, 64, 64), omero=OMERO)
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["ome"]["multiscales"][0]["name"] = "my cells"
    (path / "zarr.json").write_text(json.dumps(document))
    return path


def omero(folder: Path) -> Any:
    return json.loads((folder / "zarr.json").read_text())["attributes"]["ome"]["omero"]


@pytest.fixture
def dock(viewer: Any, qtbot: Any) -> Iterator[RenderingDock]:
    dock = RenderingDock(viewer)
    viewer.window.add_dock_widget(dock, name="Rendering settings", area="right")
    qtbot.waitUntil(dock.isVisible)
    yield dock
    if dock.question is not None:
        dock.question.close()


def shown(viewer: Any, qtbot: Any, dock: RenderingDock, link: Path | str) -> list[Any]:
    """Open an image, and wait until it is compared with what it says."""
    viewer.open(str(link), plugin=PLUGIN)
    qtbot.waitUntil(
        lambda: all(
            not layer.metadata["omezarr"].get("guess_contrast")
            or layer.contrast_limits != [0, 65535]
            for layer in viewer.layers
        )
    )
    qtbot.waitUntil(lambda: dock.plan is not None)
    return list(viewer.layers)


def listed(dock: RenderingDock) -> dict[str, tuple[str, str]]:
    """Return what is listed: the values in the image and on screen."""
    return {what.replace("\n", ", "): (old, new) for what, old, new in dock.table.texts}


FOR_SECOND = {  # nothing is said of them in the image: those on screen are to be saved
    "channel 1, contrast limits",
    "channel 1, range of the contrast slider",
    "image, model",
}


def press(button: Any) -> None:
    assert button.isEnabled()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def test_what_is_on_screen_is_compared_saved_and_put_back(
    viewer: Any, dock: RenderingDock, qtbot: Any, folder: Path
) -> None:
    first, second = shown(viewer, qtbot, dock, folder)
    low, high = (float(n) for n in second.contrast_limits)
    second.visible = True
    qtbot.waitUntil(lambda: set(listed(dock)) == {*FOR_SECOND, "channel 1, shown"})
    first.contrast_limits_range = (0, 65535)
    first.contrast_limits = (50.5, 70)
    first.colormap = "viridis"
    second.colormap = "magenta"
    second.name = "my cells: borders"
    second.gamma = 0.5
    viewer.dims.set_current_step(0, 2)

    qtbot.waitUntil(lambda: "image, z shown first" in listed(dock))
    found = listed(dock)
    assert len(found) == 10
    assert found["channel 0 “nuclei”, contrast limits"] == ("10 to 900", "50.5 to 70")
    assert found["channel 0 “nuclei”, colormap in napari"] == ("–", "viridis")
    assert found["channel 1 “borders”, name"] == ("–", "borders")
    assert found["channel 1 “borders”, colour"] == ("FF8000", "FF00FF")
    assert found["image, z shown first"] == ("1", "2")
    assert "others will see viridis as grey" in dock.notes.text()
    assert "“my cells: borders”: its gamma cannot be saved." in dock.notes.text()
    dock.planes.setChecked(False)
    assert len(listed(dock)) == 9
    dock.planes.setChecked(True)

    with qtbot.waitSignal(dock.saved):
        press(dock.save_button)

    assert omero(folder) == {
        "channels": [
            {
                **OMERO["channels"][0],  # type: ignore[index, dict-item]
                "color": "FFFFFF",
                "window": {"start": 50.5, "end": 70, "min": 0, "max": 65535},
                PLUGIN: {"colormap": "viridis", "color": "FFFFFF"},
            },
            {
                "label": "borders",
                "color": "FF00FF",
                "active": True,
                "window": {"start": low, "end": high, "min": 0, "max": 65535},
            },
        ],
        "rdefs": {"defaultZ": 2, "model": "color"},
    }
    qtbot.waitUntil(lambda: dock.plan is not None)
    assert "nothing to save" in dock.notes.text()
    assert not dock.save_button.isEnabled()
    viewer.layers.clear()
    first, second = shown(viewer, qtbot, dock, folder)
    assert (first.colormap.name, first.contrast_limits) == ("viridis", [50.5, 70])
    assert (second.name, second.visible, viewer.dims.current_step[0]) == (
        "my cells: borders",
        True,
        2,
    )

    press(dock.former_button)
    assert "channel 1 “borders”, name: borders → not stated" in dock.question.informativeText()
    button = next(each for each in dock.question.buttons() if each.text() == "Put back")
    with qtbot.waitSignal(dock.saved):
        press(button)

    assert omero(folder) == OMERO
    assert (first.colormap.map(1.0)[0, :3] * 255).round().tolist() == [0, 128, 255]
    assert (second.name, second.visible) == ("my cells: channel 1", False)


def test_what_somebody_else_changed_is_shown_before_it_is_overwritten(
    viewer: Any, dock: RenderingDock, qtbot: Any, folder: Path
) -> None:
    first, _ = shown(viewer, qtbot, dock, folder)
    first.colormap = "red"
    at = "channel 0 “nuclei”, colour"
    qtbot.waitUntil(lambda: listed(dock).get(at) == ("0080FF", "FF0000"))
    theirs = noc.Rendering((noc.Channel(color="00FF00"),))
    noc.save_rendering(noc.stored_rendering(noc.open(folder)).plan(theirs))

    with qtbot.waitSignal(dock.failed):
        press(dock.save_button)

    qtbot.waitUntil(lambda: dock.plan is not None)
    assert "somebody else has changed them meanwhile" in dock.message.text()
    assert omero(folder)["channels"][0]["color"] == "00FF00"
    assert listed(dock)[at] == ("00FF00", "FF0000")
    with qtbot.waitSignal(dock.saved):
        press(dock.save_button)
    assert omero(folder)["channels"][0]["color"] == "FF0000"


def test_what_may_not_be_written_is_kept_here_and_shown_when_opened_again(
    viewer: Any,
    dock: RenderingDock,
    qtbot: Any,
    folder: Path,
    slow_server: Callable[..., SlowServer],
    told: list[str],
) -> None:
    server = slow_server(folder.parent)
    link = f"{server.url}/cells.zarr"
    first, _ = shown(viewer, qtbot, dock, link)
    first.colormap = "green"
    qtbot.waitUntil(lambda: len(listed(dock)) == 1 + len(FOR_SECOND))
    assert "Nothing can be saved into this image: plain web servers" in dock.notes.text()
    assert not dock.save_button.isEnabled()

    press(dock.keep_button)

    qtbot.waitUntil(lambda: dock.kept.isVisible())
    viewer.layers.clear()
    first, second = shown(viewer, qtbot, dock, link)
    assert first.colormap.map(1.0)[0].tolist() == [0, 1, 0, 1]
    assert not second.visible
    (note,) = [each for each in told if "kept on this computer" in each]
    assert note.startswith("my cells: Shown with settings kept on this computer (")
    assert "kept on this computer" in first.metadata["omezarr"]["notes"][0]
    assert dock.kept.text() in note

    press(dock.own_button)

    assert (first.colormap.map(1.0)[0, :3] * 255).round().tolist() == [0, 128, 255]
    assert not any("kept on" in each for each in first.metadata["omezarr"]["notes"])
    qtbot.waitUntil(lambda: dock.plan is not None)
    assert not dock.kept.isVisible()
    assert noc.open(link).opened.kept_rendering is None


def test_the_note_itself_leads_back(viewer: Any, qtbot: Any, folder: Path) -> None:
    image = noc.open(folder)
    kept = noc.Rendering((noc.Channel("kept", "FF0000"),))
    noc.keep_rendering(noc.stored_rendering(image).plan(kept))
    said: list[Any] = []
    from napari.utils.notifications import notification_manager

    notification_manager.notification_ready.connect(said.append)
    viewer.open(str(folder), plugin=PLUGIN)
    notification_manager.notification_ready.disconnect(said.append)
    assert viewer.layers[0].name == "my cells: kept"
    (offered,) = [each for each in said if each.actions]
    ((name, back),) = offered.actions

    back()

    assert name == "Back to the image's own"
    assert viewer.layers[0].name == "my cells: nuclei"
    assert noc.open(folder).channels[0].name == "nuclei"


def test_of_a_colour_picture_only_the_planes_are_saved_and_results_have_nothing(
    viewer: Any, dock: RenderingDock, qtbot: Any, tmp_path: Path
) -> None:
    levels = pyramid(pattern((4, 32, 32, 3), "uint8"), 1)
    write_directly(tmp_path / "rgb.zarr", "zyxc", levels, chunks=(1, 32, 32, 3))
    viewer.add_image(pattern((32, 32)), name="array")
    assert "No image layer here" in dock.notes.text()
    viewer.open(str(tmp_path / "rgb.zarr"), plugin=PLUGIN)
    assert viewer.layers[-1].rgb

    viewer.dims.set_current_step(0, 3)

    expected = {"image, model": ("–", "color"), "image, z shown first": ("–", "3")}
    qtbot.waitUntil(lambda: listed(dock) == expected)
    assert "one colour picture" in dock.notes.text()


def test_a_script_gets_the_settings_on_screen(viewer: Any, folder: Path) -> None:
    viewer.open(str(folder), plugin=PLUGIN)
    viewer.open(str(folder), plugin=PLUGIN)  # whose names napari numbers
    del viewer.layers[:2]
    viewer.layers[0].colormap = "red"

    image, rendering = noc.rendering_on_screen(viewer)

    assert image.name == "my cells"
    assert [channel.color for channel in rendering.channels] == ["FF0000", "FF8000"]
    assert [channel.name for channel in rendering.channels] == ["nuclei", None]
