"""*Keep this region offline* in a real window, over a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.napari.commands import keep_offline
from napari_omezarr_cloud.napari.widgets.network_dock import NetworkDock
from napari_omezarr_cloud.napari.widgets.offline_dialog import OfflineDialog, show_offline
from napari_omezarr_cloud.napari.widgets.settings_dialog import SettingsDialog
from tests.fixtures.images import pattern, pyramid, write_directly

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_omezarr_cloud.store.disk import DiskCache
    from tests.fixtures.images import Written
    from tests.fixtures.slow_http import SlowServer

pytestmark = pytest.mark.usefixtures("disk")

PLUGIN = "napari-omezarr-cloud"
WAIT_MS = 20_000


@pytest.fixture
def plane(tmp_path: Path) -> Written:
    levels = pyramid(pattern((1024, 1024)), 3)
    return write_directly(tmp_path / "data" / "plane.zarr", "yx", levels, chunks=(64, 64))


@pytest.fixture
def server(plane: Written, slow_server: Callable[..., SlowServer]) -> SlowServer:
    return slow_server(plane.path.parent)


def shown(viewer: Any, link: str, level: int, qtbot: Any) -> OfflineDialog:
    """Open a link, look at its upper left corner at some level, and ask for the dialog."""
    viewer.open(link, plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(viewer.layers) > 0, timeout=WAIT_MS)
    zoom = 2 / 2**level
    viewer.scene.camera.zoom = zoom
    viewer.scene.camera.center = (0, -100 / zoom, -100 / zoom)
    qtbot.waitUntil(lambda: viewer.layers[0].data_level == level, timeout=WAIT_MS)
    return show_offline(viewer)


def planned(dialog: OfflineDialog, qtbot: Any) -> None:
    qtbot.waitUntil(dialog.run_bar.apply_button.isEnabled, timeout=WAIT_MS)


def click(button: Any, qtbot: Any) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def kept(dialog: OfflineDialog, qtbot: Any) -> None:
    planned(dialog, qtbot)
    click(dialog.run_bar.apply_button, qtbot)
    qtbot.waitUntil(lambda: not dialog.is_running, timeout=WAIT_MS)


def test_what_is_in_view_is_kept_at_the_level_on_screen_and_coarser_until_it_is_released(
    viewer: Any, server: SlowServer, plane: Written, qtbot: Any
) -> None:
    link = f"{server.url}/plane.zarr"
    dialog = shown(viewer, link, 1, qtbot)

    assert dialog.choices.levels.chosen == [1, 2]
    assert dialog.choices.levels.boxes[1].text().startswith("1 (on screen): ")
    planned(dialog, qtbot)
    region = dialog._wish.region
    assert 0 == region.start[0] < region.stop[0] < 1024
    assert "free on the disk" in dialog.room.text()
    assert noc.kept_offline() == []
    kept(dialog, qtbot)
    assert dialog.run_bar.message.text().startswith("Kept: ")
    (entry,) = noc.kept_offline()
    assert entry.is_whole
    assert (entry.wish.levels, entry.wish.stop) == ((1, 2), region.stop)
    qtbot.waitUntil(lambda: len(dialog.kept_list.texts) == 1, timeout=WAIT_MS)

    server.clear_log()
    half = tuple(slice(0, n // 2) for n in region.stop)
    np.testing.assert_array_equal(noc.open(link).read(1, half), plane.levels[1][half])
    assert not [path for path in server.paths if "/c/" in path]

    click(dialog.kept_list.release_buttons[entry.id], qtbot)
    qtbot.waitUntil(lambda: not dialog.kept_list.texts, timeout=WAIT_MS)
    assert noc.kept_offline() == []


def test_it_follows_the_view_until_somebody_ticks_a_level_or_closes_it(
    viewer: Any, server: SlowServer, qtbot: Any
) -> None:
    dialog = shown(viewer, f"{server.url}/plane.zarr", 1, qtbot)
    planned(dialog, qtbot)
    finest = dialog.choices.levels.boxes[0].text()
    assert "about" in finest  # as far compressed as the others

    viewer.scene.camera.zoom = 2
    qtbot.waitUntil(lambda: dialog.choices.levels.chosen == [0, 1, 2], timeout=WAIT_MS)
    dialog.choices.levels.boxes[2].click()
    viewer.scene.camera.zoom = 0.5
    qtbot.waitUntil(
        lambda: "2 (on screen)" in dialog.choices.levels.boxes[2].text(), timeout=WAIT_MS
    )
    assert dialog.choices.levels.chosen == [0, 1]
    dialog.choices.region_box.setCurrentIndex(1)
    planned(dialog, qtbot)
    assert "x 0–1,024 · y 0–1,024" in dialog.choices.place.text()
    assert dialog.estimate.text().startswith("It takes 320 chunks")

    listeners = len(viewer.scene.camera.events.zoom.callbacks)
    dialog.close()
    assert len(viewer.scene.camera.events.zoom.callbacks) < listeners
    assert not dialog._rest.isActive()
    assert dialog.choices.images == [] and dialog.choices.wish is None


def test_planes_and_channels_are_chosen_by_number(
    viewer: Any, stack: Written, slow_server: Callable[..., SlowServer], qtbot: Any
) -> None:
    server = slow_server(stack.path.parent)
    viewer.open(f"{server.url}/stack.zarr", plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=WAIT_MS)
    dialog = show_offline(viewer)
    spans = {axis: rows.span for axis, rows in dialog.choices.planes.items()}
    point = viewer.dims.current_step
    assert spans == {0: (point[0], point[0] + 1), 1: (0, 2), 2: (point[1], point[1] + 1)}

    viewer.dims.set_current_step(1, 3)
    qtbot.waitUntil(lambda: dialog.choices.planes[2].span == (3, 4), timeout=WAIT_MS)
    dialog.choices.planes[2].first.setValue(2)
    dialog.choices.planes[0].all_button.click()
    viewer.dims.set_current_step(1, 0)
    planned(dialog, qtbot)
    dialog.keep()
    qtbot.waitUntil(lambda: not dialog.is_running, timeout=WAIT_MS)

    (entry,) = noc.kept_offline()
    assert entry.is_whole
    assert list(zip(entry.wish.start, entry.wish.stop, strict=True))[:3] == [(0, 2), (0, 2), (2, 4)]


def test_private_data_say_why_they_are_not_kept_and_are_once_that_is_allowed(
    viewer: Any, server: SlowServer, qtbot: Any
) -> None:
    dialog = shown(viewer, f"{server.url}/plane.zarr?token=SECRET1234", 1, qtbot)

    qtbot.waitUntil(lambda: "needs credentials" in dialog.estimate.text(), timeout=WAIT_MS)
    assert "Allow it in the settings" in dialog.estimate.text()
    assert "SECRET" not in dialog.estimate.text() + dialog.choices.image_box.itemData(0, 3)
    assert not dialog.run_bar.apply_button.isEnabled()

    click(dialog.settings_button, qtbot)
    settings = dialog.parent().findChild(SettingsDialog)
    settings.disk.private.setChecked(True)
    settings.accept()
    kept(dialog, qtbot)
    assert noc.kept_offline()[0].is_whole


def test_cancelled_nothing_is_held_and_the_window_lives_on(
    viewer: Any, server: SlowServer, disk: DiskCache, qtbot: Any
) -> None:
    server.fault("1/c/7/6", "hang")
    dialog = shown(viewer, f"{server.url}/plane.zarr", 1, qtbot)
    dialog.choices.region_box.setCurrentIndex(1)
    planned(dialog, qtbot)
    click(dialog.run_bar.apply_button, qtbot)
    qtbot.waitUntil(lambda: " of " in dialog.run_bar.message.text(), timeout=WAIT_MS)
    busy = viewer.window._task_status_manager  # napari asks before it closes
    assert busy.get_status() == ["OME-Zarr Cloud: keeps a region for offline use"]

    click(dialog.run_bar.cancel_button, qtbot)

    assert dialog.run_bar.message.text().startswith("Cancelled.")
    assert not busy.is_busy()
    qtbot.waitUntil(lambda: noc.kept_offline() == [], timeout=WAIT_MS)
    assert server.wait_until(lambda here: all(e.end is not None for e in here.log))
    server.clear_faults()
    kept(dialog, qtbot)
    assert noc.kept_offline()[0].is_whole


def test_what_could_not_be_had_is_told_and_gone_on_with(
    viewer: Any, server: SlowServer, qtbot: Any
) -> None:
    server.fault("0/c/0/1", 500)
    dialog = shown(viewer, f"{server.url}/plane.zarr", 0, qtbot)
    kept(dialog, qtbot)

    said = dialog.run_bar.message.text()
    assert said.startswith("Kept, but not whole. 1 chunk could not be had: ")
    qtbot.waitUntil(lambda: bool(dialog.kept_list.resume_buttons), timeout=WAIT_MS)
    assert dialog.kept_list.texts[0].endswith("not whole")
    server.clear_faults()
    (resume,) = dialog.kept_list.resume_buttons.values()
    click(resume, qtbot)
    qtbot.waitUntil(lambda: dialog.run_bar.message.text().startswith("Kept: "), timeout=WAIT_MS)
    assert [each.is_whole for each in noc.kept_offline()] == [True]


def test_more_than_there_is_room_for_is_refused_before_anything_is_fetched(
    viewer: Any, server: SlowServer, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMEZARR_DISK_CACHE_MB")
    noc.set_cache(max_bytes=50_000)
    dialog = shown(viewer, f"{server.url}/plane.zarr", 1, qtbot)

    qtbot.waitUntil(lambda: "Not enough room" in dialog.estimate.text(), timeout=WAIT_MS)

    assert not dialog.run_bar.apply_button.isEnabled()


def test_from_the_menu_and_the_dock_and_without_an_image_from_a_server(
    viewer: Any, plane: Written, qtbot: Any
) -> None:
    viewer.open(str(plane.path), plugin=PLUGIN)
    keep_offline()
    (dialog,) = viewer.window.main_menu.window().findChildren(OfflineDialog)
    assert dialog.estimate.text().startswith("No image from a server is open here")
    assert not dialog.run_bar.apply_button.isEnabled()
    dialog.close()
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Network")
    assert isinstance(dock, NetworkDock)
    click(dock.offline_button, qtbot)
    assert dialog.isVisible()
