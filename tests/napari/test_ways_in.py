"""Every way from a link to layers: scripts, drops, the clipboard, samples, other programs."""

from __future__ import annotations

import gc
import warnings
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import npe2
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.plugins import _initialize_plugins
from napari.settings import get_settings
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication
from qtpy.QtWidgets import QApplication, QProgressDialog, QPushButton

from napari_omezarr_cloud.errors import NotFoundError, NotOmeZarrError
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.preferences import is_default_reader, set_default_reader
from napari_omezarr_cloud.napari.recent import recent_links

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fixtures.images import Written
    from tests.fixtures.slow_http import SlowServer

PLUGIN = "napari-omezarr-cloud"
SECRET = "TOPSECRET0123456789"


@pytest.fixture(autouse=True)
def fresh_settings() -> Iterator[None]:
    """Begin with napari's own settings and no recent links; leave no window behind."""
    get_settings().reset()
    for file in get_settings().config_path.parent.glob("napari-omezarr-cloud-recent*"):
        file.unlink()
    notification_manager.records.clear()
    yield
    gc.collect()


@pytest.fixture
def image(ome_zarr: Callable[[str], Written]) -> Written:
    """Two channels, two labels' worth of squares, 0.5."""
    return ome_zarr("v05 with labels")


@pytest.fixture
def server(slow_server: Callable[..., SlowServer], image: Written) -> SlowServer:
    return slow_server(image.path.parent.parent, latency_s=0.02)


@pytest.fixture
def s3_link(server: SlowServer, image: Written) -> str:
    return f"s3://{image.path.parent.name}/{image.path.name}?endpoint={server.url}"


@pytest.fixture
def web_link(server: SlowServer, image: Written) -> str:
    return f"{server.url}/{image.path.parent.name}/{image.path.name}"


def drop(viewer: Any, url: str) -> None:
    """Drop a link on the canvas, as a browser or a file manager does."""
    mime = QMimeData()
    mime.setUrls([QUrl(url)])
    action, button = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    rest = (action, mime, button, Qt.KeyboardModifier.NoModifier)
    canvas = viewer.window._qt_viewer
    with warnings.catch_warnings():  # Qt 6.12 wants another kind of point, which older ones refuse
        warnings.simplefilter("ignore", DeprecationWarning)
        enter = QDragEnterEvent(QPoint(9, 9), *rest)
    QApplication.sendEvent(canvas, enter)
    QApplication.sendEvent(canvas, QDropEvent(QPointF(9, 9), *rest))


def messages() -> list[str]:
    return [str(record.message) for record in notification_manager.records]


def names(layers: Any) -> list[str]:
    return [layer.name for layer in layers]


def test_a_script_gets_the_layers_of_a_link(viewer: Any, s3_link: str, image: Written) -> None:
    layers = viewer.open(s3_link, plugin=PLUGIN)

    assert len(layers) == 3, "two channels and labels"
    assert all(layer.visible and display_of(layer) is not None for layer in layers)
    np.testing.assert_array_equal(layers[0].data[0], image.levels[0][0])


def test_several_links_come_one_after_the_other(viewer: Any, s3_link: str, web_link: str) -> None:
    layers = viewer.open([s3_link, web_link], plugin=PLUGIN)

    assert len(layers) == 6


def test_attributes_given_by_a_script_go_before_the_files(viewer: Any, s3_link: str) -> None:
    layers = viewer.open(s3_link, plugin=PLUGIN, name="mine", opacity=0.5, visible=False)

    assert {layer.name.split(" ")[0] for layer in layers} == {"mine"}
    assert {(layer.opacity, bool(layer.visible)) for layer in layers} == {(0.5, False)}


def test_without_a_window_layers_are_plain_and_visible(s3_link: str, image: Written) -> None:
    _initialize_plugins()  # as a window does, which other tests may have opened or not
    model = ViewerModel()

    layers = model.open(s3_link, plugin=PLUGIN)

    assert all(layer.visible for layer in layers)
    np.testing.assert_array_equal(layers[1].data[0], image.levels[0][1])


@pytest.mark.parametrize("window", [False, True], ids=["no window", "a window is open"])
def test_reading_for_nobody_gives_visible_layers(
    window: bool, make_napari_viewer: Any, s3_link: str
) -> None:
    _initialize_plugins()
    if window:
        make_napari_viewer()

    layers = npe2.read([s3_link], stack=False, plugin_name=PLUGIN)

    assert len(layers) == 3
    assert all(attributes.get("visible", True) is True for _, attributes, _ in layers)


@pytest.mark.parametrize("way", ["s3_link", "web_link", "signed", "folder", "inside"])
def test_as_the_default_nobody_is_asked_which_reader(
    viewer: Any, web_link: str, s3_link: str, image: Written, way: str
) -> None:
    links = {
        "s3_link": s3_link,
        "web_link": web_link,
        "signed": f"{web_link}?sig=x",
        "folder": str(image.path),
        "inside": f"{web_link}/labels/cells",
    }
    set_default_reader(True)

    drop(viewer, links[way] if "://" in links[way] else QUrl.fromLocalFile(links[way]).toString())

    assert viewer.layers
    assert is_default_reader()


def test_being_the_default_can_be_taken_back_and_leaves_others_alone() -> None:
    get_settings().plugins.extension2reader = {"*.tif": "napari", "*.zarr": "someone"}

    set_default_reader(True)
    assert is_default_reader()
    set_default_reader(False)

    assert get_settings().plugins.extension2reader == {"*.tif": "napari"}


def test_a_link_without_zarr_in_it_is_ours_alone(
    viewer: Any, slow_server: Callable[..., SlowServer], image: Written, tmp_path: Path
) -> None:
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "image").symlink_to(image.path)
    server = slow_server(tmp_path)

    drop(viewer, f"s3://bucket/image?endpoint={server.url}")

    assert names(viewer.layers)[0].startswith("image")


def test_a_copied_link_is_opened_from_the_clipboard(viewer: Any, s3_link: str) -> None:
    set_default_reader(True)
    QGuiApplication.clipboard().setText(f" {s3_link}\n")

    viewer.window._qt_viewer._image_from_clipboard()

    assert viewer.layers


def test_labels_follow_a_dropped_image(viewer: Any, qtbot: Any, s3_link: str) -> None:
    set_default_reader(True)
    QTimer.singleShot(0, lambda: drop(viewer, s3_link))  # as in a running napari

    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=20000)
    assert type(viewer.layers[-1]).__name__ == "Labels"


def test_a_script_gets_our_exception(viewer: Any, web_link: str, server: SlowServer) -> None:
    with pytest.raises((NotFoundError, NotOmeZarrError), match=r"nothing\.zarr"):
        viewer.open(f"{server.url}/nothing.zarr", plugin=PLUGIN)

    assert messages() == []


def test_a_dead_link_dropped_is_one_sentence_and_no_dialog(
    viewer: Any, qtbot: Any, server: SlowServer
) -> None:
    set_default_reader(True)
    server.fault("dead.zarr", 418)

    drop(viewer, f"{server.url}/dead.zarr")

    assert not viewer.layers
    assert len(messages()) == 1
    assert messages()[0].startswith("The server answered 418")
    assert "dead.zarr" in messages()[0]
    assert not notification_manager.records[0].actions, "no traceback to look at"
    assert QApplication.activeModalWidget() is None


def test_what_is_no_ome_zarr_is_offered_to_other_readers(viewer: Any, tmp_path: Path) -> None:
    folder = tmp_path / "other.zarr"
    folder.mkdir()
    (folder / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    set_default_reader(True)
    offered = []

    def look() -> None:
        offered.append(QApplication.activeModalWidget().objectName())
        QApplication.activeModalWidget().reject()

    QTimer.singleShot(500, look)
    drop(viewer, QUrl.fromLocalFile(str(folder)).toString())

    assert offered == ["Choose reader"]
    assert len(messages()) == 1
    assert "other.zarr" in messages()[0]


def test_remote_markup_is_shown_as_text(viewer: Any, server: SlowServer) -> None:
    set_default_reader(True)

    drop(viewer, f"{server.url}/<b>x</b>&lt;i&gt;.zarr")

    assert messages()
    assert not Qt.mightBeRichText(messages()[0])


def test_opening_can_be_cancelled_while_the_window_lives(
    viewer: Any, qtbot: Any, server: SlowServer, web_link: str
) -> None:
    set_default_reader(True)
    server.fault("zarr.json", "hang")
    seen = []

    def cancel() -> None:
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, QProgressDialog):
            QTimer.singleShot(50, cancel)
            return
        seen.append(dialog.labelText())
        dialog.findChild(QPushButton).click()

    QTimer.singleShot(50, cancel)
    drop(viewer, web_link)

    assert len(seen) == 1
    assert seen[0].startswith("Opening http")
    assert not viewer.layers
    assert messages() == []
    assert server.wait_until(lambda s: all(e.abandoned for e in s.log if "zarr.json" in e.path))


def test_a_script_is_told_that_its_user_cancelled(
    viewer: Any, server: SlowServer, web_link: str
) -> None:
    server.fault("zarr.json", "hang")

    def cancel() -> None:
        dialog = QApplication.activeModalWidget()
        if isinstance(dialog, QProgressDialog):
            dialog.findChild(QPushButton).click()
        else:
            QTimer.singleShot(50, cancel)

    QTimer.singleShot(50, cancel)
    with pytest.raises(CancelledError):
        viewer.open(web_link, plugin=PLUGIN)


@pytest.mark.parametrize("by_hand", [False, True], ids=["script", "drop"])
def test_a_secret_is_sent_and_left_nowhere(
    viewer: Any,
    qtbot: Any,
    server: SlowServer,
    web_link: str,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    by_hand: bool,
) -> None:
    link = f"{web_link}?sig={SECRET}"
    set_default_reader(True)
    if by_hand:
        drop(viewer, link)
    else:
        viewer.open(link, plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=20000)
    server.fault("zarr.json", 500)
    server.fault("zattrs", 500)
    drop(viewer, link.replace(".zarr", ".zarr/0"))

    assert any(SECRET in exchange.query for exchange in server.log), "the server needs it"
    everything = [
        *(repr(layer.as_layer_data_tuple()[1:]) for layer in viewer.layers),
        *(repr(layer.source) + repr(layer) + layer.name for layer in viewer.layers),
        *(repr(list(level.dask.layers)) for layer in viewer.layers for level in layer.data),
        *messages(),
        *(f.read_text() for f in get_settings().config_path.parent.rglob("*") if f.is_file()),
        repr(recent_links()),
        viewer.title + str(viewer.status),
        caplog.text,
        *capsys.readouterr(),
    ]
    assert not [text for text in everything if SECRET in text]


def test_a_choice_remembered_for_a_signed_link_is_forgotten(
    viewer: Any, qtbot: Any, web_link: str
) -> None:
    set_default_reader(True)
    kept = dict(get_settings().plugins.extension2reader)
    remembered = {**kept, f"*.zarr?sig={SECRET}": PLUGIN}  # what napari's chooser writes
    get_settings().plugins.extension2reader = remembered

    drop(viewer, f"{web_link}?sig={SECRET}")

    qtbot.waitUntil(lambda: get_settings().plugins.extension2reader == kept)


def test_opened_links_are_remembered_and_folders_are_not(
    viewer: Any, s3_link: str, image: Written
) -> None:
    viewer.open(str(image.path), plugin=PLUGIN)
    viewer.open(s3_link, plugin=PLUGIN)

    assert [link.replace("%20", " ") for link in recent_links()] == [s3_link]


@pytest.mark.parametrize("sample", ["microscopy", "cell_volume"])
def test_sample_data_are_made_without_a_network(make_napari_viewer: Any, sample: str) -> None:
    viewer = make_napari_viewer()

    layers = viewer.open_sample(PLUGIN, sample)

    assert layers
    assert all(display_of(layer) is not None and layer.visible for layer in layers)
    assert layers[0].source.sample == (PLUGIN, sample)
