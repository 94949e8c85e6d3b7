"""The Network dock and the Settings dialog in a real window, over a slow server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QMessageBox

from napari_omezarr_cloud import settings as settings_module
from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.widgets import network_dock
from napari_omezarr_cloud.napari.widgets.network_dock import NetworkDock
from napari_omezarr_cloud.napari.widgets.settings_dialog import SettingsDialog, show_settings
from napari_omezarr_cloud.settings import DESCRIPTIONS, settings, settings_file
from napari_omezarr_cloud.store import disk
from napari_omezarr_cloud.store.remote import GATE
from tests.fixtures.images import pattern, pyramid, write_directly

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer

PLUGIN = "napari-omezarr-cloud"
WAIT_MS = 20_000


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: Any) -> Iterator[None]:
    """Settings of one test; afterwards the engine goes by those of all again."""
    before = settings()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(settings_module, "_in_force", None)
    for about in DESCRIPTIONS:
        monkeypatch.delenv(about.variable, raising=False)
    monkeypatch.setenv("OMEZARR_DISK_CACHE_MB", "0")  # requests are counted
    yield
    here = engine()
    here.resume()
    here.cache.resize(before.cache_bytes)
    here.io.loop.call_soon_threadsafe(GATE.resize, before.requests)
    qtbot.waitUntil(lambda: not here.is_paused and GATE.slots == before.requests)


@pytest.fixture
def server(tmp_path: Path, slow_server: Any) -> SlowServer:
    """A server with one plane of many chunks."""
    levels = pyramid(pattern((1024, 1024)), 2)
    write_directly(tmp_path / "data" / "plane.zarr", "yx", levels, chunks=(64, 64))
    made: SlowServer = slow_server(tmp_path / "data", latency_s=0.02)
    return made


@pytest.fixture
def dock(viewer: Any) -> NetworkDock:
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Network")
    assert isinstance(widget, NetworkDock)
    return widget


def open_plane(viewer: Any, server: SlowServer) -> Any:
    (layer,) = viewer.open(f"{server.url}/plane.zarr", plugin=PLUGIN)
    return layer


def complete(layer: Any) -> bool:
    shown = display_of(layer)
    return shown is not None and shown.look is not None and not shown.missing


def test_what_was_loaded_is_counted_per_image_and_in_all(
    viewer: Any, server: SlowServer, dock: NetworkDock, qtbot: Any
) -> None:
    layer = open_plane(viewer, server)
    qtbot.waitUntil(lambda: complete(layer), timeout=WAIT_MS)

    dock.look()

    where = f"{server.url}/plane.zarr"
    values = dock.tree.values(where)
    answered = sum(e.end is not None for e in server.log)
    assert int(values["Answered"].partition(" ")[0].replace(",", "")) == answered
    assert values["In flight"] == values["Waiting"] == values["Failed"] == "0"
    assert int(values["Per request"].removesuffix(" ms")) >= 20
    assert dock.tree.places == ["All together", where]
    assert dock.missing.toPlainText() == "Nothing is missing."
    assert not dock.retry_button.isEnabled()


def test_a_second_look_is_found_in_memory(
    viewer: Any, server: SlowServer, dock: NetworkDock, qtbot: Any
) -> None:
    layer = open_plane(viewer, server)
    qtbot.waitUntil(lambda: complete(layer), timeout=WAIT_MS)
    shown = display_of(layer)
    assert shown is not None
    wanted, found = shown.hits.wanted, shown.hits.found

    viewer.scene.camera.zoom *= 1.5
    qtbot.waitUntil(lambda: shown.hits.wanted > wanted, timeout=WAIT_MS)

    more = shown.hits.wanted - wanted
    assert shown.hits.found - found == more
    dock.look()
    values = dock.tree.values(f"{server.url}/plane.zarr")
    assert values["From memory"].startswith(f"{shown.hits.found:,} of {shown.hits.wanted:,}")


def test_pausing_holds_back_requests_and_resuming_sends_them(
    viewer: Any, server: SlowServer, dock: NetworkDock, qtbot: Any
) -> None:
    layer = open_plane(viewer, server)
    qtbot.waitUntil(lambda: complete(layer), timeout=WAIT_MS)
    qtbot.mouseClick(dock.pause_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.pause_button.text() == "Resume")
    sent = len(server.log)

    engine().forget(display_of(layer).view.pyramid)
    layer.refresh()
    qtbot.waitUntil(lambda: "waiting: paused" in dock.missing.toPlainText(), timeout=WAIT_MS)

    assert len(server.log) == sent
    assert dock.headline.text().startswith("Paused: ")
    assert display_of(layer).progress.startswith("paused: 0 of ")
    qtbot.mouseClick(dock.pause_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: complete(layer), timeout=WAIT_MS)
    assert len(server.log) > sent


def test_what_was_stopped_says_so_and_comes_on_retry(
    viewer: Any, server: SlowServer, dock: NetworkDock, qtbot: Any, told: list[str]
) -> None:
    layer = open_plane(viewer, server)
    qtbot.waitUntil(lambda: complete(layer), timeout=WAIT_MS)
    dock.pause_or_resume()
    qtbot.waitUntil(lambda: engine().is_paused)
    engine().forget(display_of(layer).view.pyramid)
    layer.refresh()
    qtbot.waitUntil(lambda: engine().jobs_under_way > 0)
    dock.look()

    qtbot.mouseClick(dock.stop_button, Qt.MouseButton.LeftButton)
    dock.pause_or_resume()

    qtbot.waitUntil(lambda: "stopped by you" in dock.missing.toPlainText(), timeout=WAIT_MS)
    assert engine().jobs_under_way == 0
    assert display_of(layer).progress.startswith("stopped: 0 of ")
    qtbot.waitUntil(dock.retry_button.isEnabled)
    qtbot.mouseClick(dock.retry_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: complete(layer), timeout=WAIT_MS)
    assert told == []  # who pressed the button knows


def test_a_chunk_that_cannot_be_read_is_named_with_its_cause_and_retried(
    viewer: Any, server: SlowServer, dock: NetworkDock, qtbot: Any
) -> None:
    server.fault("plane.zarr/0/c/0/1", "short")
    layer = open_plane(viewer, server)
    viewer.scene.camera.center = (0, 32, 32)
    viewer.scene.camera.zoom = 4

    qtbot.waitUntil(lambda: "could not be read" in dock.missing.toPlainText(), timeout=WAIT_MS)
    qtbot.waitUntil(lambda: engine().jobs_under_way == 0, timeout=WAIT_MS)
    dock.look()

    first, key = dock.missing.toPlainText().splitlines()
    assert first.startswith("1 chunk could not be read: its bytes cannot be decoded")
    assert key == "  0/c/0/1"
    server.clear_faults()
    qtbot.mouseClick(dock.retry_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: complete(layer), timeout=WAIT_MS)
    dock.look()
    assert dock.missing.toPlainText() == "Nothing is missing."


def test_what_is_not_stored_is_said_to_be_blank_by_design(
    viewer: Any, server: SlowServer, dock: NetworkDock, qtbot: Any, tmp_path: Path
) -> None:
    (tmp_path / "data" / "plane.zarr" / "0" / "c" / "0" / "1").unlink()
    layer = open_plane(viewer, server)
    viewer.scene.camera.center = (0, 32, 32)
    viewer.scene.camera.zoom = 4
    qtbot.waitUntil(lambda: display_of(layer).look.number == 0, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: complete(layer), timeout=WAIT_MS)

    dock.look()

    said = "1 chunk not stored: blank in the image itself, nothing is wrong."
    assert dock.missing.toPlainText() == said
    assert not dock.retry_button.isEnabled()


def test_a_secret_of_the_link_is_not_shown(
    viewer: Any, server: SlowServer, dock: NetworkDock, qtbot: Any
) -> None:
    viewer.open(f"{server.url}/plane.zarr?sig=SECRET1234", plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: complete(viewer.layers[0]), timeout=WAIT_MS)

    dock.look()

    assert f"{server.url}/plane.zarr" in dock.tree.places
    assert not any("SECRET" in place for place in dock.tree.places)


def test_the_dock_subscribes_to_nothing_and_does_nothing_while_it_is_hidden(
    viewer: Any, server: SlowServer, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = open_plane(viewer, server)
    qtbot.waitUntil(lambda: complete(layer), timeout=WAIT_MS)
    before = listeners(viewer)
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Network")
    qtbot.waitUntil(lambda: bool(running_timers(dock)), timeout=WAIT_MS)
    read: list[str] = []
    for name in ("all_counts", "counts_by_place", "why_missing", "count_absent"):
        monkeypatch.setattr(network_dock, name, lambda *_, name=name: read.append(name))

    viewer.window._wrapped_dock_widgets["Network (napari-omezarr-cloud)"].hide()

    assert running_timers(dock) == []
    viewer.scene.camera.zoom *= 4
    qtbot.waitUntil(lambda: complete(layer), timeout=WAIT_MS)
    assert read == []
    assert listeners(viewer) == before


def listeners(viewer: Any) -> int:
    """Count who is told of a viewer, its layers, the engine's chunks and the settings."""
    groups = [viewer.events, viewer.dims.events, viewer.layers.events, viewer.scene.camera.events]
    groups += [layer.events for layer in viewer.layers]
    told = sum(len(group[name].callbacks) for group in groups for name in group)
    return told + len(engine()._listeners) + len(settings_module._listeners)


def running_timers(widget: Any) -> list[QTimer]:
    return [each for each in widget.findChildren(QTimer) if each.isActive()]


def test_each_hole_says_why(viewer: Any, server: SlowServer, dock: NetworkDock, qtbot: Any) -> None:
    server.fault("plane.zarr/0/c/0/1", 500)
    server.fault("plane.zarr/0/c/0/2", 404)
    server.fault("plane.zarr/0/c/1/1", 403)  # how many servers say that there is no such key
    server.fault("plane.zarr/0/c/1/0", "hang")
    open_plane(viewer, server)
    viewer.scene.camera.center = (0, 32, 32)
    viewer.scene.camera.zoom = 4

    told = [
        "1 chunk could not be read: the server answered 500.",
        "  0/c/0/1",
        "1 chunk on the way.",
        "2 chunks not stored: blank in the image itself, nothing is wrong.",
    ]
    qtbot.waitUntil(lambda: dock.missing.toPlainText().splitlines() == told, timeout=WAIT_MS)


def test_a_pause_is_mentioned_when_the_dock_is_closed_and_ends_with_the_window(
    viewer: Any, dock: NetworkDock, qtbot: Any, told: list[str]
) -> None:
    dock.pause_or_resume()
    qtbot.waitUntil(lambda: engine().is_paused)
    wrapped = viewer.window._wrapped_dock_widgets["Network (napari-omezarr-cloud)"]

    wrapped.hide()
    assert told == ["Loading is still paused. The Network dock resumes it."]
    assert engine().is_paused

    wrapped.show()
    viewer.window._qt_window.hide()
    qtbot.waitUntil(lambda: not engine().is_paused)
    assert len(told) == 1


def test_the_limit_in_the_dock_is_kept_and_counts_at_once(
    viewer: Any, dock: NetworkDock, qtbot: Any
) -> None:
    dock.limit.setValue(5)

    qtbot.waitUntil(lambda: GATE.slots == 5)
    assert json.loads(settings_file().read_text()) == {"requests": 5}


def test_the_dock_fits_into_300_pixels(dock: NetworkDock) -> None:
    assert dock.minimumSizeHint().width() <= 300


# ---- settings ------------------------------------------------------------------------------------


@pytest.fixture
def dialog(viewer: Any) -> SettingsDialog:
    return show_settings(viewer)


def ok(dialog: SettingsDialog, qtbot: Any) -> None:
    dialog.accept()
    qtbot.waitUntil(lambda: not dialog.isVisible(), timeout=WAIT_MS)


def test_what_is_set_counts_at_once_and_is_kept(dialog: SettingsDialog, qtbot: Any) -> None:
    dialog.fields["cache_mb"].number.setValue(200)
    dialog.fields["requests"].number.setValue(7)
    dialog.fields["metered"].switch.setChecked(True)

    ok(dialog, qtbot)

    qtbot.waitUntil(lambda: GATE.slots == 7)
    assert engine().cache.max_bytes == 200 << 20
    assert not settings().prefetch
    kept = json.loads(settings_file().read_text())
    assert kept == {"cache_mb": 200, "requests": 7, "metered": True}


def test_cancel_changes_nothing(dialog: SettingsDialog) -> None:
    dialog.fields["cache_mb"].number.setValue(200)

    dialog.reject()

    assert settings().cache_mb == 1024
    assert not settings_file().exists()


def test_on_a_metered_line_there_is_nothing_to_set_about_loading_ahead(
    dialog: SettingsDialog,
) -> None:
    dialog.fields["metered"].switch.setChecked(True)

    assert not dialog.fields["reads_ahead"].switch.isEnabled()
    assert not dialog.fields["prefetch_mb"].number.isEnabled()


def test_what_a_variable_decides_is_shown_as_such_and_cannot_be_set(
    viewer: Any, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    monkeypatch.setenv("OMEZARR_REQUESTS", "9")
    monkeypatch.setenv("OMEZARR_DISK_CACHE_PRIVATE", "1")

    dialog = show_settings(viewer)

    field = dialog.fields["requests"]
    assert field.number.value() == 9 and not field.number.isEnabled()
    assert "OMEZARR_REQUESTS" in field.explained.text()
    assert dialog.disk.private.isChecked() and not dialog.disk.private.isEnabled()
    assert "OMEZARR_DISK_CACHE_PRIVATE" in dialog.disk.private_explained.text()
    ok(dialog, qtbot)
    assert not settings_file().exists() or json.loads(settings_file().read_text()) == {}


def test_a_damaged_file_is_mentioned(viewer: Any) -> None:
    settings_file().parent.mkdir(parents=True)
    settings_file().write_text("{")

    dialog = show_settings(viewer)

    assert dialog.notes.isVisible()
    assert "could not be read (it is damaged)" in dialog.notes.text()


def test_settings_that_cannot_be_kept_are_told_in_the_open_dialog(
    dialog: SettingsDialog, qtbot: Any
) -> None:
    settings_file().mkdir(parents=True)
    dialog.fields["cache_mb"].number.setValue(200)

    dialog.accept()

    assert dialog.isVisible()
    assert dialog.error.text().startswith("Could not save the settings")
    assert settings().cache_mb == 200


def test_restored_defaults_count_when_ok_is_pressed(dialog: SettingsDialog, qtbot: Any) -> None:
    dialog.fields["cache_mb"].number.setValue(200)
    ok(dialog, qtbot)
    dialog.show()

    dialog.restore_defaults()
    assert settings().cache_mb == 200
    ok(dialog, qtbot)

    assert settings().cache_mb == 1024


def test_the_size_of_the_disk_cache_is_kept_and_followed(
    viewer: Any, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    monkeypatch.delenv("OMEZARR_DISK_CACHE_MB", raising=False)
    dialog = show_settings(viewer)
    qtbot.waitUntil(lambda: "In use" in dialog.disk.usage.text(), timeout=WAIT_MS)

    dialog.disk.mode.setCurrentIndex(2)
    dialog.disk.megabytes.setValue(300)
    dialog.disk.private.setChecked(True)
    ok(dialog, qtbot)

    assert json.loads(settings_file().read_text()) == {
        "disk_bytes": 300 << 20,
        "disk_private": True,
    }
    assert disk.disk_cache().info().private


def test_the_disk_cache_is_cleared_after_saying_how_much_that_is(
    viewer: Any, server: SlowServer, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMEZARR_DISK_CACHE_MB")
    viewer.open(f"{server.url}/plane.zarr", plugin=PLUGIN)
    qtbot.waitUntil(lambda: complete(viewer.layers[0]), timeout=WAIT_MS)
    held = disk.disk_cache().info().nbytes
    dialog = show_settings(viewer)
    qtbot.waitUntil(dialog.disk.clear_button.isEnabled, timeout=WAIT_MS)

    def asked() -> Any:
        qtbot.mouseClick(dialog.disk.clear_button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: dialog.findChild(QMessageBox) is not None, timeout=WAIT_MS)
        return dialog.findChild(QMessageBox)

    question = asked()
    assert f"Delete {round(held / (1 << 20))} MB from the disk?" in question.text()
    question.button(QMessageBox.StandardButton.Cancel).click()
    qtbot.waitUntil(lambda: dialog.findChild(QMessageBox) is None, timeout=WAIT_MS)
    assert disk.disk_cache().info().nbytes == held > 0

    asked().button(QMessageBox.StandardButton.Yes).click()
    qtbot.waitUntil(lambda: "In use: 0 MB" in dialog.disk.usage.text(), timeout=WAIT_MS)
    assert disk.disk_cache().info().entries == 0


def test_a_larger_3d_budget_shows_a_sharper_volume_at_once(
    viewer: Any, tmp_path: Path, qtbot: Any
) -> None:
    levels = pyramid(pattern((64, 256, 256)), 3)  # 8 MB, 2 MB and 0.5 MB
    write_directly(tmp_path / "volume.zarr", "zyx", levels, chunks=(64, 128, 128))
    (layer,) = viewer.open(str(tmp_path / "volume.zarr"), plugin=PLUGIN)
    dialog = show_settings(viewer)
    dialog.fields["volume_mb"].number.setValue(3)
    ok(dialog, qtbot)
    viewer.dims.ndisplay = 3
    assert layer.locked_data_level == 1

    dialog = show_settings(viewer)
    dialog.fields["volume_mb"].number.setValue(9)
    ok(dialog, qtbot)
    assert layer.locked_data_level == 0

    dialog = show_settings(viewer)
    dialog.fields["volume_mb"].number.setValue(1)
    ok(dialog, qtbot)
    assert layer.locked_data_level is None  # the coarsest
    viewer.dims.ndisplay = 2
    assert layer.locked_data_level is None
