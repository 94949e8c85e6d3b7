"""Links to several images in a real window: who opens one by hand is asked which."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.settings import get_settings
from napari.utils.notifications import notification_manager
from npe2 import PluginManager
from qtpy.QtCore import Qt, QTimer, QUrl
from qtpy.QtWidgets import QApplication

from napari_omezarr_cloud.napari.open_url import show_dialog
from napari_omezarr_cloud.napari.preferences import set_default_reader
from napari_omezarr_cloud.napari.widgets.series_chooser import SeriesChooser
from tests.napari.test_ways_in import PLUGIN, drop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.images import Written
    from tests.fixtures.slow_http import SlowServer


@pytest.fixture(autouse=True)
def _fresh_settings() -> None:
    get_settings().reset()
    PluginManager.instance().discover()


@pytest.fixture
def series(tmp_path: Path, ome_zarr: Callable[[str], Written]) -> Path:
    """Twelve images, the eleventh broken."""
    root = tmp_path / "series.zarr"
    for number in range(12):
        shutil.copytree(ome_zarr("v04 by ome-zarr-py").path, root / str(number))
    (root / "10" / ".zattrs").write_text('{"multiscales": [')
    (root / ".zgroup").write_text('{"zarr_format": 2}')
    (root / ".zattrs").write_text('{"bioformats2raw.layout": 3}')
    (root / "OME").mkdir()
    (root / "OME" / ".zattrs").write_text(json.dumps({"series": [str(n) for n in range(12)]}))
    return root


def when_asked(do: Callable[[SeriesChooser], None]) -> None:
    """Call a function with the chooser as soon as it is open."""

    def look() -> None:
        shown = [w for w in QApplication.topLevelWidgets() if isinstance(w, SeriesChooser)]
        if shown and shown[0].isVisible():
            do(shown[0])
        else:
            QTimer.singleShot(50, look)

    QTimer.singleShot(50, look)


def select(chooser: SeriesChooser, *numbers: int) -> None:
    chooser.list.clearSelection()
    for number in numbers:
        chooser.list.item(number).setSelected(True)


def choose(*numbers: int) -> Callable[[SeriesChooser], None]:
    def do(chooser: SeriesChooser) -> None:
        select(chooser, *numbers)
        chooser.open_button.click()

    return do


def test_who_drops_a_series_chooses_from_it(viewer: Any, series: Path) -> None:
    set_default_reader(True)
    when_asked(choose(3, 5))

    drop(viewer, QUrl.fromLocalFile(str(series)).toString())

    assert {layer.metadata["omezarr"]["source"][-2:] for layer in viewer.layers} == {"/3", "/5"}


def test_who_cancels_gets_nothing_and_no_complaint(
    viewer: Any, series: Path, told: list[str]
) -> None:
    set_default_reader(True)
    when_asked(lambda chooser: chooser.reject())

    drop(viewer, QUrl.fromLocalFile(str(series)).toString())

    assert not viewer.layers
    assert told == []


def test_all_can_be_opened_and_a_broken_one_is_told(
    viewer: Any, series: Path, told: list[str]
) -> None:
    set_default_reader(True)
    when_asked(lambda chooser: chooser.all_button.click())

    drop(viewer, QUrl.fromLocalFile(str(series)).toString())

    assert len({layer.metadata["omezarr"]["source"] for layer in viewer.layers}) == 11
    assert any("10" in sentence for sentence in told)


def test_names_sizes_and_pictures_are_read_of_what_is_in_view(
    viewer: Any, qtbot: Any, series: Path, slow_server: Callable[..., SlowServer]
) -> None:
    server = slow_server(series.parent, latency_s=0.02)
    dialog = show_dialog(viewer)
    dialog.link.setEditText(f"{server.url}/series.zarr")
    dialog.open_button.click()
    qtbot.waitUntil(lambda: viewer.window._qt_window.findChild(SeriesChooser) is not None)
    chooser = viewer.window._qt_window.findChild(SeriesChooser)

    qtbot.waitUntil(lambda: "uint16" in chooser.list.item(2).text(), timeout=10000)
    empty = chooser.list.item(11).icon().cacheKey()
    qtbot.waitUntil(lambda: chooser.list.item(2).icon().cacheKey() != empty, timeout=10000)

    assert not dialog.isVisible()
    assert not any(path.startswith("/series.zarr/11/") for path in server.paths)
    chooser.list.scrollToBottom()
    qtbot.waitUntil(lambda: "uint16" in chooser.list.item(11).text(), timeout=10000)
    qtbot.waitUntil(lambda: "cannot be opened" in chooser.list.item(10).text(), timeout=10000)
    chooser.reject()
    assert not viewer.layers


def test_the_dialog_shows_what_was_chosen(viewer: Any, qtbot: Any, series: Path) -> None:
    dialog = show_dialog(viewer)
    dialog.link.setEditText(str(series))
    when_asked(choose(1, 2))
    dialog.open_button.click()

    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=20000)

    assert {layer.metadata["omezarr"]["source"][-2:] for layer in viewer.layers} == {"/1", "/2"}


def test_names_are_text_and_can_be_searched(qtbot: Any) -> None:
    names = [f"<b>cells</b> {n}" for n in range(20)]
    chooser = SeriesChooser(names, "https://example.org/series.zarr")
    qtbot.addWidget(chooser)
    chooser.show()

    qtbot.keyClicks(chooser.filter, "CELLS</b> 7")

    assert [chooser.list.item(n).isHidden() for n in range(20)].count(False) == 1
    assert not Qt.mightBeRichText(chooser.list.item(7).toolTip())
    assert chooser.chosen == []
    assert not chooser.open_button.isEnabled()
    select(chooser, 7)
    assert chooser.open_button.isEnabled()


def test_a_script_gets_a_short_series_whole_and_of_a_long_one_the_first(
    viewer: Any, series: Path
) -> None:
    layers = viewer.open(str(series), plugin=PLUGIN)

    assert len({layer.metadata["omezarr"]["source"] for layer in layers}) == 1
    assert "12 images are here" in layers[0].metadata["omezarr"]["notes"][0]

    (series / "OME" / ".zattrs").write_text(json.dumps({"series": ["0", "1"]}))
    layers = viewer.open(str(series), plugin=PLUGIN)

    assert [bool(layer.visible) for layer in layers] == [True, False]
    assert {layer.metadata["omezarr"]["source"][-2:] for layer in layers} == {"/0", "/1"}


def test_what_was_odd_is_told_once_to_who_drops_a_link(
    viewer: Any, tmp_path: Path, ome_zarr: Callable[[str], Written], told: list[str]
) -> None:
    folder = shutil.copytree(ome_zarr("v04 by ome-zarr-py").path, tmp_path / "odd.zarr")
    shutil.rmtree(folder / "s1")
    set_default_reader(True)

    drop(viewer, QUrl.fromLocalFile(str(folder)).toString())

    assert len([sentence for sentence in told if "'s1' is listed and not there" in sentence]) == 1


def test_axes_can_be_given_in_the_dialog(viewer: Any, qtbot: Any, tmp_path: Path) -> None:
    import zarr

    array = zarr.create_array(tmp_path / "plain.zarr", data=np.zeros((3, 8, 9), "u2"))
    dialog = show_dialog(viewer)
    dialog.link.setEditText(str(tmp_path / "plain.zarr"))
    dialog.axes.setText("ty")
    dialog.open_button.click()
    qtbot.waitUntil(lambda: "2 are given (t, y)" in dialog.status.text().replace("\u200b", ""))

    dialog.axes.setText("tyx")
    dialog.open_button.click()

    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=20000)
    assert viewer.layers[0].axis_labels == ("t", "y", "x")
    assert viewer.layers[0].data[0].shape == array.shape


def test_labels_over_fewer_axes_lie_where_their_axes_are(
    tmp_path: Path, ome_zarr: Callable[[str], Written]
) -> None:
    import zarr

    from tests.fixtures.images import pattern, pyramid, write_directly

    image = write_directly(
        tmp_path / "image.zarr", "tzyx", pyramid(pattern((2, 4, 64, 48)), 1), chunks=(1, 4, 64, 48)
    )
    values = np.arange(2 * 64 * 48, dtype="u4").reshape(2, 64, 48)
    labels = zarr.open_group(image.path / "labels", mode="w", zarr_format=3)
    labels.attrs["ome"] = {"version": "0.5", "labels": ["flat"]}
    flat = labels.create_group("flat")
    flat.create_array("0", data=values, chunks=(1, 64, 48))
    axes = [{"name": "t", "type": "time"}, *({"name": n, "type": "space"} for n in "yx")]
    scale = {"type": "scale", "scale": [10.0, 0.25, 0.25]}
    dataset = {"path": "0", "coordinateTransformations": [scale]}
    multiscale = {"axes": axes, "datasets": [dataset]}
    flat.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], "image-label": {}}
    model = ViewerModel()

    model.open(str(image.path), plugin=PLUGIN)

    layer = model.layers[-1]
    assert layer.data[0].shape == (2, 1, 64, 48)
    np.testing.assert_array_equal(np.asarray(layer.data[0])[:, 0], values)
    for plane in range(4):
        place = model.layers[0].data_to_world((1, plane, 10, 20))
        model.dims.point = place
        value = layer.get_value(place, world=True)
        assert np.ravel(value)[-1] == values[1, 10, 20]


def test_the_image_of_labels_is_offered_with_a_button(
    viewer: Any, qtbot: Any, ome_zarr: Callable[[str], Written]
) -> None:
    set_default_reader(True)
    path = ome_zarr("v05 with labels").path
    drop(viewer, QUrl.fromLocalFile(str(path / "labels" / "cells")).toString())
    assert [type(layer).__name__ for layer in viewer.layers] == ["Labels"]
    said = [record for record in notification_manager.records if "labels of the" in record.message]

    ((text, do),) = said[-1].actions
    do(None)

    assert text == "Open the image"
    assert not said[-1].source
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=20000)
    assert [type(layer).__name__ for layer in viewer.layers].count("Labels") == 1


def test_a_folder_of_images_is_asked_about_by_its_own_name(
    viewer: Any,
    qtbot: Any,
    tmp_path: Path,
    ome_zarr: Callable[[str], Written],
    slow_server: Callable[..., SlowServer],
) -> None:
    folder = tmp_path / "bucket" / "a study"
    for name in ("day 1.zarr", "day 2.zarr"):
        shutil.copytree(ome_zarr("v05 by ome-zarr-py").path, folder / name)
    server = slow_server(tmp_path)
    asked = []

    def look(chooser: SeriesChooser) -> None:
        asked.append(chooser.about.text())
        chooser.reject()

    when_asked(look)
    dialog = show_dialog(viewer)
    dialog.endpoint.setText(server.url)
    dialog.link.setEditText("s3://bucket/a study")
    dialog.open_button.click()
    qtbot.waitUntil(lambda: bool(asked), timeout=20000)

    assert "2 images are at s3://bucket/a%20study" in asked[0].replace("\u200b", "")
    assert "day" not in asked[0]
    assert not viewer.layers
