"""Access to this place, in a real window, against servers that refuse and let in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QComboBox, QLineEdit

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.access import known_access, set_access
from napari_omezarr_cloud.api import open_all_async, understand
from napari_omezarr_cloud.errors import AccessRefusedError
from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.napari.open_url import show_dialog
from napari_omezarr_cloud.napari.place_access import show_access
from napari_omezarr_cloud.napari.shell import _Queue
from napari_omezarr_cloud.napari.widgets.open_dialog import OpenDialog
from napari_omezarr_cloud.store.place_access import access_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.napari.widgets.access_dialog import AccessDialog
    from tests.fixtures.images import Written
    from tests.fixtures.servers import S3Server

TOKEN = "t0ken-of-the-lab"

pytestmark = pytest.mark.usefixtures("no_access")


def dialog_of(viewer: Any, qtbot: Any, place: str) -> AccessDialog:
    dialog = show_access(viewer, parse_location(place))
    qtbot.waitUntil(lambda: not dialog._is_busy, timeout=10000)
    return dialog


def choose(dialog: AccessDialog, way: str) -> None:
    names = [dialog.way.itemData(number).name for number in range(dialog.way.count())]
    dialog.way.setCurrentIndex(names.index(way))


def type_in(dialog: AccessDialog, **texts: str) -> None:
    for name, text in texts.items():
        line = dialog.fields.lines[name]
        (line.setEditText if isinstance(line, QComboBox) else line.setText)(text)


def wait(dialog: AccessDialog, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not dialog._is_busy, timeout=20000)


@pytest.mark.parametrize("way", ["dialog", "drop", "shell"])
def test_a_refused_link_leads_to_the_dialog_and_opens_after_it(
    viewer: Any, qtbot: Any, web: Any, way: str
) -> None:
    server, link = web
    server.wanted = ("authorization", f"Bearer {TOKEN}")
    if way == "drop":
        viewer.window._qt_viewer._qt_open([link], stack=False, plugin="napari-omezarr-cloud")
    elif way == "shell":
        found = understand(link)
        queue = _Queue(viewer, [(found, open_all_async(found))], None)
        queue.next()
    else:
        opener = show_dialog(viewer)
        opener.link.setEditText(link)
        assert not opener.access_button.isVisible()
        opener.open_button.click()
    window = viewer.window.main_menu.window()
    qtbot.waitUntil(lambda: window.findChild(OpenDialog) is not None, timeout=20000)
    opener = window.findChild(OpenDialog)
    qtbot.waitUntil(opener.access_button.isVisible, timeout=20000)
    assert "the server refused access (401)" in opener.status.text().replace("\u200b", "")

    opener.access_button.click()
    dialog = show_access(viewer, parse_location(link))
    assert dialog.place.currentText() == server.url
    choose(dialog, "token")
    type_in(dialog, token=TOKEN)
    dialog.test_button.click()
    wait(dialog, qtbot)

    assert dialog.status.text() == "Reading: yes. Listing: not tried. Writing: not tried."
    assert "with the access token for this run" in dialog.steps.toPlainText()
    assert not any(asked.method == "PUT" for asked in server.log)
    opener.open_button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) > 0, timeout=20000)


def test_what_is_secret_is_masked_wiped_and_shown_nowhere(
    viewer: Any, qtbot: Any, web: Any
) -> None:
    server, _ = web
    dialog = dialog_of(viewer, qtbot, server.url)
    choose(dialog, "password")
    type_in(dialog, user="me", password=TOKEN)
    password = dialog.fields.lines["password"]

    assert isinstance(password, QLineEdit)
    assert password.echoMode() == QLineEdit.EchoMode.Password
    dialog.fields.shows_typed.setChecked(True)
    assert password.echoMode() == QLineEdit.EchoMode.Normal
    dialog.save_button.click()
    wait(dialog, qtbot)

    assert dialog.fields.lines["password"].text() == ""
    assert dialog.about.text().startswith("Known: User name and password")
    assert not access_file().exists()
    assert TOKEN not in repr(dialog._wish())
    type_in(dialog, password=TOKEN)
    dialog.reject()
    assert dialog.fields.lines["password"].text() == ""
    assert not dialog.fields.shows_typed.isChecked()


def test_keys_go_into_the_keyring_where_there_is_one(
    viewer: Any, qtbot: Any, web: Any, ring: dict[tuple[str, str], str]
) -> None:
    server, _ = web
    dialog = dialog_of(viewer, qtbot, server.url)
    choose(dialog, "token")
    qtbot.waitUntil(dialog.fields.in_keyring.isEnabled, timeout=10000)
    assert "Test ring" in dialog.fields.in_keyring.text()
    type_in(dialog, token=TOKEN)
    dialog.fields.in_keyring.setChecked(True)
    dialog.save_button.click()
    wait(dialog, qtbot)

    assert [TOKEN in held for held in ring.values()] == [True]
    assert TOKEN not in access_file().read_text()
    dialog.forget_button.click()
    wait(dialog, qtbot)
    assert ring == {}
    assert known_access() == ()


@pytest.mark.usefixtures("no_ring")
def test_without_a_keyring_nobody_is_promised_one(viewer: Any, qtbot: Any, web: Any) -> None:
    dialog = dialog_of(viewer, qtbot, web[0].url)
    choose(dialog, "token")

    qtbot.waitUntil(lambda: "no system keyring" in dialog.fields.in_keyring.text(), timeout=10000)
    assert not dialog.fields.in_keyring.isEnabled()


@pytest.mark.parametrize(
    ("place", "ways", "shown"),
    [
        (
            "s3://lab",
            ["automatic", "anonymous", "environment", "profile", "keys"],
            {"endpoint", "region", "pays"},
        ),
        (
            "gs://lab",
            ["automatic", "anonymous", "environment", "service-account", "token"],
            {"pays"},
        ),
        (
            "az://lab?account=name",
            ["automatic", "anonymous", "environment", "account-key", "sas", "token"],
            set(),
        ),
        ("https://lab.org", ["automatic", "token", "password", "headers"], set()),
    ],
)
def test_a_kind_of_place_has_its_own_ways_and_fields(
    viewer: Any, qtbot: Any, place: str, ways: list[str], shown: set[str]
) -> None:
    dialog = dialog_of(viewer, qtbot, place)

    assert [dialog.way.itemData(n).name for n in range(dialog.way.count())] == ways
    for way in ways:
        choose(dialog, way)
        about = dialog.chosen_way
        assert about is not None
        assert list(dialog.fields.lines) == [field.name for field in about.fields]
    optional = {"endpoint": dialog.endpoint, "region": dialog.region, "pays": dialog.pays}
    assert {name for name, widget in optional.items() if widget.isVisible()} == shown
    assert not dialog.project.isVisible()


def test_the_tabulator_leads_from_each_line_to_the_next_below(viewer: Any, qtbot: Any) -> None:
    dialog = dialog_of(viewer, qtbot, "s3://lab")
    choose(dialog, "keys")

    reached: list[Any] = []
    widget = dialog.way.nextInFocusChain()
    while widget is not dialog.way:
        if widget.isVisible() and widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
            reached.append(widget)
        widget = widget.nextInFocusChain()

    lines = list(dialog.fields.lines.values())
    assert reached[: len(lines)] == lines  # else a secret would be typed where it can be seen
    assert reached.index(dialog.region) > len(lines)


def test_a_bucket_of_a_server_that_its_link_does_not_name_is_entered(
    viewer: Any, qtbot: Any, s3: S3Server
) -> None:
    s3.client.put_object(Bucket=s3.private, Key="dialog/zarr.json", Body=b"{}")
    dialog = dialog_of(viewer, qtbot, f"s3://{s3.private}/dialog")
    choose(dialog, "keys")
    type_in(dialog, access_key_id=s3.access_key, secret_access_key=s3.secret_key)
    for end in (5, 6, 8, len(s3.endpoint)):  # as it is typed: what makes no sense yet wipes nothing
        dialog.endpoint.setText(s3.endpoint[:end])

    dialog.test_button.click()
    wait(dialog, qtbot)

    assert "zarr.json, 2 bytes" in dialog.steps.toPlainText()
    assert dialog.about.text() == "Known: Access keys."
    assert [each.place for each in known_access()] == [f"s3://{s3.private}?endpoint={s3.endpoint}"]
    assert show_access(viewer, parse_location("s3://another")).endpoint.text() == ""


def test_a_folder_is_no_place_to_get_into(viewer: Any, qtbot: Any) -> None:
    dialog = dialog_of(viewer, qtbot, "s3://lab")

    dialog.place.setEditText("/data/images")

    assert "folder of this computer" in dialog.about.text()
    assert not dialog.save_button.isEnabled()


def test_a_token_that_runs_out_is_told_and_renewed_in_the_window(
    viewer: Any, qtbot: Any, web: Any, told: list[str]
) -> None:
    server, link = web
    server.wanted = ("authorization", f"Bearer {TOKEN}")
    set_access(server.url, "token", token=TOKEN)
    viewer.open(link, plugin="napari-omezarr-cloud")
    server.wanted = ("authorization", "Bearer another-token")
    viewer.dims.set_point(0, viewer.dims.range[0].stop)
    qtbot.waitUntil(lambda: any("Access to this place" in each for each in told), timeout=20000)
    assert not any(TOKEN in each for each in told)

    dialog = show_access(viewer)
    assert dialog.place.currentText() == server.url
    type_in(dialog, token="another-token")
    count = len(server.log)
    dialog.save_button.click()
    wait(dialog, qtbot)

    qtbot.waitUntil(lambda: any(asked.status == 200 for asked in server.log[count:]), timeout=20000)
    assert "another-token" not in QApplication.clipboard().text()


def test_a_web_link_into_a_private_bucket_is_read_with_its_keys(
    viewer: Any, qtbot: Any, s3: S3Server, ome_zarr: Callable[[str], Written]
) -> None:
    s3.put_folder(ome_zarr("v05 with labels").path, s3.private, "web/link.zarr")
    link = f"{s3.endpoint}/{s3.private}/web/link.zarr"
    with pytest.raises(AccessRefusedError, match=f"s3://{s3.private}/web/link.zarr"):
        noc.open(link)
    dialog = dialog_of(viewer, qtbot, link)
    assert dialog.place.currentText() == s3.endpoint
    dialog.place.setEditText("https://elsewhere.example.org")
    assert not dialog.bucket_button.isVisible()
    dialog.place.setEditText(s3.endpoint)

    dialog.bucket_button.click()

    place = f"s3://{s3.private}?endpoint={s3.endpoint}"
    assert dialog.place.currentText() == place
    assert not dialog.bucket_button.isVisible()
    type_in(dialog, access_key_id=s3.access_key, secret_access_key=s3.secret_key)
    dialog.test_button.click()
    wait(dialog, qtbot)
    assert "web/link.zarr" in dialog.steps.toPlainText()
    opened = noc.open(link)
    assert opened.labels[0].read().any()
    assert dialog_of(viewer, qtbot, link).place.currentText() == place
