"""The Open URL dialog, in a real window and with a real server."""

from __future__ import annotations

import gc
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.settings import get_settings
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication
from qtpy.QtWidgets import QApplication

from napari_omezarr_cloud.links import read_link
from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.napari import commands, recent
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.open_url import show_dialog
from napari_omezarr_cloud.napari.widgets.open_dialog import OpenDialog
from napari_omezarr_cloud.store.aws_profiles import profile_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fixtures.images import Written
    from tests.fixtures.servers import S3Server
    from tests.fixtures.slow_http import SlowServer

SECRET = "TOPSECRET0123456789"


def recent_file() -> Path:
    return Path(get_settings().config_path).parent / "napari-omezarr-cloud-recent.json"


@pytest.fixture(autouse=True)
def nothing_from_before(qapp: QApplication) -> Iterator[None]:
    get_settings().reset()
    recent_file().unlink(missing_ok=True)
    QGuiApplication.clipboard().clear()
    yield
    gc.collect()


@pytest.fixture
def image(ome_zarr: Callable[[str], Written]) -> Written:
    return ome_zarr("v05 with labels")


@pytest.fixture
def server(slow_server: Callable[..., SlowServer], image: Written) -> SlowServer:
    return slow_server(image.path.parent.parent, latency_s=0.02)


@pytest.fixture
def link(image: Written) -> str:
    return f"s3://{image.path.parent.name}/{image.path.name}"


def said(dialog: OpenDialog) -> str:
    return dialog.status.text().replace("\u200b", "")


def drop(dialog: OpenDialog, mime: QMimeData) -> None:
    action, button = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    rest = (action, mime, button, Qt.KeyboardModifier.NoModifier)
    with warnings.catch_warnings():  # Qt 6.12 wants another kind of point, which older ones refuse
        warnings.simplefilter("ignore", DeprecationWarning)
        enter = QDragEnterEvent(QPoint(9, 9), *rest)
    QApplication.sendEvent(dialog, enter)
    QApplication.sendEvent(dialog, QDropEvent(QPointF(9, 9), *rest))


def test_a_link_becomes_layers_and_a_recent_link(
    viewer: Any, qtbot: Any, server: SlowServer, link: str, image: Written
) -> None:
    dialog = show_dialog(viewer)
    dialog.endpoint.setText(server.url)
    dialog.link.setEditText(f"  <{link}/.zattrs> ")

    qtbot.keyClick(dialog.line_edit, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=20000)

    assert not dialog.isVisible()
    assert all(display_of(layer) is not None and layer.visible for layer in viewer.layers)
    np.testing.assert_array_equal(viewer.layers[0].data[0], image.levels[0][0])
    again = show_dialog(viewer)
    assert again is dialog
    assert parse_location(again.link.itemText(0)).endpoint == server.url
    assert again.link.currentText() == ""


def test_the_window_lives_while_a_link_is_opened(
    viewer: Any, qtbot: Any, server: SlowServer, link: str
) -> None:
    server.fault("zarr.json", "hang")
    dialog = show_dialog(viewer)
    dialog.endpoint.setText(server.url)
    dialog.link.setEditText(link)

    dialog.open_button.click()

    assert dialog.progress.isVisible()
    assert not dialog.isModal()
    assert said(dialog).startswith("Opening s3://")
    viewer.add_image(np.zeros((8, 8)))  # what a person may do meanwhile
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert dialog.isVisible()
    assert not dialog.progress.isVisible()
    assert dialog.link.currentText() == link
    assert server.wait_until(lambda s: all(e.abandoned for e in s.log if "zarr.json" in e.path))
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()


def test_a_window_closed_meanwhile_takes_its_requests_along(
    viewer: Any, qtbot: Any, server: SlowServer, link: str
) -> None:
    server.fault("zarr.json", "hang")
    dialog = show_dialog(viewer)
    dialog.endpoint.setText(server.url)
    dialog.link.setEditText(link)
    dialog.open_button.click()
    assert server.wait_until(lambda s: any("zarr.json" in path for path in s.paths))

    viewer.close()

    qtbot.waitUntil(
        lambda: all(e.abandoned for e in server.log if "zarr.json" in e.path), timeout=10000
    )


def test_an_error_stays_in_the_dialog_as_one_sentence(
    viewer: Any, qtbot: Any, server: SlowServer
) -> None:
    server.fault("private", 403)
    dialog = show_dialog(viewer)
    typed = f"{server.url}/private/<b>x</b>.zarr?sig={SECRET}"
    dialog.link.setEditText(typed)

    dialog.open_button.click()
    qtbot.waitUntil(lambda: not dialog.is_opening, timeout=20000)

    assert dialog.isVisible()
    assert "refused access (403)" in said(dialog)
    assert SECRET not in said(dialog)
    assert dialog.status.textFormat() == Qt.TextFormat.PlainText
    assert dialog.link.currentText() == typed
    assert dialog.open_button.isEnabled(), "one may try again"
    assert recent.recent_links() == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("s3://bucket/a b.zarr", ["Amazon S3", "'bucket'", "a b.zarr"], id="S3"),
        pytest.param("https://host/x.zarr?sig=" + SECRET, ["https://host", "not shown"], id="web"),
        pytest.param("/data/<b>x</b>.zarr", ["Local path", "<b>x</b>"], id="path"),
        pytest.param("s3://", ["no bucket"], id="no bucket"),
        pytest.param("ftp://host/x.zarr", ["'ftp' is no scheme"], id="unknown scheme"),
        pytest.param("https://me:" + SECRET + "@host/x.zarr", ["password"], id="password"),
    ],
)
def test_one_line_says_what_was_understood_or_what_is_wrong(
    qtbot: Any, text: str, words: list[str]
) -> None:
    dialog = OpenDialog()
    qtbot.addWidget(dialog)

    dialog.link.setEditText(text)

    assert all(word in said(dialog) for word in words), said(dialog)
    assert SECRET not in said(dialog)
    assert dialog.status.textFormat() == Qt.TextFormat.PlainText


def test_typing_asks_no_server(qtbot: Any, server: SlowServer, link: str) -> None:
    dialog = OpenDialog()
    qtbot.addWidget(dialog)
    dialog.endpoint.setText(server.url)

    qtbot.keyClicks(dialog.line_edit, link)

    assert dialog.open_button.isEnabled()
    assert server.connections.opened == 0


def test_endpoint_region_and_access_go_into_the_location(qtbot: Any) -> None:
    dialog = OpenDialog()
    qtbot.addWidget(dialog)
    dialog.set_profiles(["lab", "home"])
    dialog.link.setEditText("s3://bucket/x.zarr?anonymous=true")
    dialog.endpoint.setText("minio.lab:9000")
    dialog.region.setText("eu-west-1")
    dialog.access.setCurrentText("Profile lab")

    with qtbot.waitSignal(dialog.open_requested) as asked:
        dialog.open_button.click()

    location = asked.args[0]
    assert location.endpoint == "https://minio.lab:9000"
    assert location.access.region == "eu-west-1"
    assert (location.access.profile, location.access.anonymous) == ("lab", False)
    assert "profile 'lab'" in said(dialog)


def test_a_chosen_profile_opens_a_private_bucket(
    viewer: Any, qtbot: Any, s3: S3Server, image: Written, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    s3.put_folder(image.path, s3.private)
    config, keys = tmp_path / "config", tmp_path / "credentials"
    config.write_text("[profile lab]\nregion = us-east-1\n[sso-session none]\n")
    keys.write_text(
        f"[lab]\naws_access_key_id = {s3.access_key}\naws_secret_access_key = {s3.secret_key}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    dialog = show_dialog(viewer)
    dialog.link.setEditText(f"s3://{s3.private}/{image.path.name}")
    dialog.endpoint.setText(s3.endpoint)
    dialog.access.setCurrentText("Profile lab")

    dialog.open_button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=30000)

    kept = recent_file().read_text()
    assert "profile=lab" in kept
    assert s3.secret_key not in kept
    assert s3.access_key not in kept


def test_profiles_are_found_without_reading_keys_into_names(tmp_path: Path) -> None:
    config, keys = tmp_path / "config", tmp_path / "credentials"
    config.write_text("[default]\n[profile lab]\nx=1\n[profile 'two words']\n[sso-session s]\n")
    keys.write_text("[lab]\naws_secret_access_key = abc\n[keys only]\n")
    places = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(keys)}

    assert profile_names(places) == ["default", "lab", "two words", "keys only"]
    config.write_text("no [ini at all\x00")
    keys.unlink()
    assert profile_names(places) == []


def test_a_link_in_the_clipboard_is_offered(viewer: Any) -> None:
    QGuiApplication.clipboard().setText(" https://host/x.zarr\n")

    dialog = show_dialog(viewer)

    assert dialog.link.currentText() == "https://host/x.zarr"
    assert dialog.line_edit.selectedText() == "https://host/x.zarr", "typing replaces it"


@pytest.mark.parametrize("text", ["a shopping list", "https://host/page.html", "x" * 9000])
def test_other_things_in_the_clipboard_are_not(viewer: Any, text: str) -> None:
    QGuiApplication.clipboard().setText(text)

    assert show_dialog(viewer).link.currentText() == ""


def test_what_was_typed_goes_before_the_clipboard(viewer: Any) -> None:
    dialog = show_dialog(viewer)
    dialog.link.setEditText("s3://bucket/mine.zarr")
    dialog.reject()
    QGuiApplication.clipboard().setText("https://host/x.zarr")

    assert show_dialog(viewer).link.currentText() == "s3://bucket/mine.zarr"


def test_a_dropped_link_or_folder_replaces_the_field(qtbot: Any, image: Written) -> None:
    dialog = OpenDialog()
    qtbot.addWidget(dialog)
    dialog.link.setEditText("s3://bucket/old.zarr")
    link, folder, text = QMimeData(), QMimeData(), QMimeData()
    link.setUrls([QUrl("https://host/a%20b%23c.zarr?sig=x%2Fy")])
    folder.setUrls([QUrl.fromLocalFile(str(image.path))])
    text.setText(" S3://Bucket/x.zarr ")

    drop(dialog, link)
    assert dialog.link.currentText() == "https://host/a%20b%23c.zarr?sig=x%2Fy"
    drop(dialog, folder)
    assert dialog.link.currentText() == str(image.path)
    drop(dialog, text)
    assert dialog.link.currentText() == "S3://Bucket/x.zarr"
    assert not dialog.line_edit.acceptDrops(), "a drop must not land amid the text"


def test_the_default_reader_can_be_chosen_and_shows_what_is_so(viewer: Any) -> None:
    dialog = show_dialog(viewer)
    assert not dialog.default.isChecked()

    dialog.default.click()
    assert get_settings().plugins.extension2reader["*.zarr"] == "napari-omezarr-cloud"

    get_settings().plugins.extension2reader = {"*.zarr": "another-reader"}
    assert not show_dialog(viewer).default.isChecked()


def test_recent_links_are_few_known_by_their_last_use_and_without_secrets() -> None:
    for number in range(20):
        recent.remember(read_link(f"s3://bucket/{number}.zarr"))
    recent.remember(read_link("s3://bucket/15.zarr"))
    recent.remember(read_link(f"https://host/x.zarr?X-Amz-Signature={SECRET}"))

    links = recent.recent_links()

    assert links[:3] == ["https://host/x.zarr", "s3://bucket/15.zarr", "s3://bucket/19.zarr"]
    assert len(links) == len(set(links)) == 12
    assert SECRET not in recent_file().read_text()
    assert recent_file().stat().st_mode & 0o077 == 0, "for the user's eyes only"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("{", id="cut short"),
        pytest.param("[1, 2]", id="another shape"),
        pytest.param('{"links": [1, null, {"a": 2}, "", "ftp://x/y"]}', id="no links"),
        pytest.param('{"links": "s3://bucket/x.zarr"}', id="no list"),
    ],
)
def test_a_damaged_list_of_recent_links_is_an_empty_one(content: str) -> None:
    recent_file().write_text(content)

    assert recent.recent_links() == []
    recent.remember(read_link("s3://bucket/x.zarr"))
    assert json.loads(recent_file().read_text())["links"] == ["s3://bucket/x.zarr"]


def test_a_query_written_into_the_list_by_hand_is_not_shown() -> None:
    text = json.dumps({"links": [f"https://host/x.zarr?sig={SECRET}"]})
    recent_file().write_text(text)

    assert recent.recent_links() == ["https://host/x.zarr"]


def test_the_menu_entry_opens_the_dialog_of_the_viewer_in_front(viewer: Any) -> None:
    commands.open_url_dialog()

    dialog = viewer.window.main_menu.window().findChild(OpenDialog)
    assert dialog is not None
    assert dialog.isVisible()


def test_a_key_opens_the_dialog_unless_it_has_another_meaning(viewer: Any) -> None:
    pressed = []
    viewer.bind_key("Alt-U", pressed.append)
    commands.bind_keys(viewer)
    next(call for key, call in viewer.keymap.items() if str(key) == "Alt+U")(viewer)
    assert pressed == [viewer]

    viewer.bind_key("Alt-U", None)
    commands.bind_keys(viewer)
    next(call for key, call in viewer.keymap.items() if str(key) == "Alt+U")(viewer)
    assert viewer.window.main_menu.window().findChild(OpenDialog).isVisible()
