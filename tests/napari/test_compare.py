"""Comparing a result with its source: what a person sees, in a real window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari._app_model import get_app_model
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_omezarr_cloud.napari import compare
from napari_omezarr_cloud.napari.commands import bind_keys
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY
from napari_omezarr_cloud.napari.results import ResultLayers
from napari_omezarr_cloud.napari.widgets.wipe_divider import WipeDivider
from napari_omezarr_cloud.napari.wipe import LayerCut, canvas_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

PLUGIN = "napari-omezarr-cloud"
DARK, BRIGHT, OTHER = 40, 200, 120


@pytest.fixture
def viewer(make_napari_viewer: Any, qtbot: Any) -> Any:
    viewer = make_napari_viewer(show=True)
    qtbot.waitUntil(lambda: canvas(viewer).isVisible())
    return viewer


@pytest.fixture
def pair(viewer: Any) -> tuple[Any, Any]:
    """A dark source that fills the canvas, and a bright result over it."""
    source = flat(viewer, DARK, "source")
    result = flat(viewer, BRIGHT, "result")
    compare.remember(result, source)
    viewer.scene.camera.zoom *= 4
    return source, result


def flat(viewer: Any, value: int, name: str, shape: tuple[int, ...] = (64, 64)) -> Any:
    return viewer.add_image(
        np.full(shape, value, "u1"), name=name, contrast_limits=(0, 255), interpolation2d="nearest"
    )


def canvas(viewer: Any) -> QWidget:
    found = canvas_of(viewer)
    assert found is not None
    return found


def divider(viewer: Any) -> WipeDivider:
    found = canvas(viewer).findChild(WipeDivider)
    assert found is not None
    return found


def row(viewer: Any) -> np.ndarray[Any, Any]:
    """Return the grey values across the middle of the canvas."""
    picture = viewer.screenshot(canvas_only=True, flash=False)
    return np.asarray(picture[picture.shape[0] // 2, :, 0])


def change(values: np.ndarray[Any, Any]) -> float:
    """Return where, as a fraction of the width, a row changes; it must do so once."""
    at = np.flatnonzero(np.diff(values.astype(int)))
    assert len(at) == 1
    return float(at[0] + 1) / len(values)


def drag(viewer: Any, to: float) -> None:
    line = divider(viewer)
    middle = QPoint(line.width() // 2, line.height() // 2)
    target = line.mapFrom(canvas(viewer), QPoint(round(to * canvas(viewer).width()), middle.y()))
    button = Qt.MouseButton.LeftButton
    QTest.mousePress(line, button, Qt.KeyboardModifier.NoModifier, middle)
    move(line, target)
    QTest.mouseRelease(line, button, Qt.KeyboardModifier.NoModifier, target)


def move(widget: QWidget, to: QPoint) -> None:
    """Move the mouse with its button held, which QTest cannot."""
    left = Qt.MouseButton.LeftButton
    event = QMouseEvent(
        QEvent.Type.MouseMove,
        QPointF(to),
        QPointF(widget.mapToGlobal(to)),
        left,
        left,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(widget, event)


@pytest.mark.parametrize("before", [(True, True), (False, True), (True, False)])
def test_the_key_shows_the_other_one_and_then_goes_back(
    viewer: Any, pair: tuple[Any, Any], before: tuple[bool, bool]
) -> None:
    source, result = pair
    other = flat(viewer, OTHER, "other")
    hidden = flat(viewer, OTHER, "hidden")
    hidden.visible = False
    source.visible, result.visible = before
    viewer.layers.selection.active = result
    bind_keys(viewer)

    QTest.keyClick(canvas(viewer), Qt.Key.Key_Q)
    first = source.visible, result.visible
    QTest.keyClick(canvas(viewer), Qt.Key.Key_Q)

    assert first == ((True, False) if before[1] else (False, True))
    assert (source.visible, result.visible) == before
    assert (other.visible, hidden.visible) == (True, False)


def test_a_picture_that_lies_over_the_source_does_not_hide_it(
    viewer: Any, pair: tuple[Any, Any]
) -> None:
    source, result = pair
    above = flat(viewer, OTHER, "over the result")
    between = flat(viewer, OTHER, "between")
    viewer.layers.move(viewer.layers.index(between), 1)
    assert [x.name for x in viewer.layers] == ["source", "between", "result", "over the result"]
    above.visible = False

    compare.toggle(viewer, result)
    assert source.visible and not between.visible and not above.visible
    compare.toggle(viewer, result)
    assert between.visible and result.visible

    assert compare.start_wipe(viewer, result)
    assert not between.visible
    compare.stop_wipe(viewer)
    assert between.visible


def test_the_source_may_be_selected_as_well(viewer: Any, pair: tuple[Any, Any]) -> None:
    source, result = pair

    assert compare.toggle(viewer, source)

    assert (source.visible, result.visible) == (True, False)


def test_visibility_that_was_changed_meanwhile_is_not_undone(
    viewer: Any, pair: tuple[Any, Any]
) -> None:
    source, result = pair
    compare.toggle(viewer, result)
    result.visible, source.visible = True, False

    compare.toggle(viewer, result)

    assert (source.visible, result.visible) == (True, False)


def test_labels_are_switched_over_their_image(viewer: Any) -> None:
    image = flat(viewer, DARK, "image")
    labels = viewer.add_labels(np.ones((64, 64), int))
    compare.remember(labels, image)

    compare.toggle(viewer, labels)
    assert (image.visible, labels.visible) == (True, False)
    compare.toggle(viewer, labels)
    assert (image.visible, labels.visible) == (True, True)
    labels.visible = False
    compare.toggle(viewer, labels)
    assert (image.visible, labels.visible) == (True, True)


def test_a_result_knows_its_source_by_itself_by_name_or_by_place(viewer: Any) -> None:
    below, source = flat(viewer, DARK, "below"), flat(viewer, DARK, "source")
    attributes = {"metadata": {METADATA_KEY: {"made_from": ["source"]}}}
    data = (np.zeros((64, 64), "u1"), {**attributes, "name": "made"}, "image")
    result = ResultLayers().show(viewer, data, below, "gaussian", replace=False)
    copy = viewer.add_image(np.zeros((4, 4)), **attributes)

    assert compare.source_of(viewer, result) is below
    assert compare.source_of(viewer, copy) is source
    viewer.layers.remove(source)
    assert compare.source_of(viewer, copy) is result
    assert compare.source_of(viewer, below) is None


@pytest.mark.parametrize("action", [compare.toggle, compare.start_wipe])
def test_who_selects_no_result_is_told_which(
    viewer: Any, pair: tuple[Any, Any], told: list[str], action: Callable[[Any], bool]
) -> None:
    source, result = pair
    viewer.layers.selection.active = flat(viewer, OTHER, "other")

    assert not action(viewer)

    assert "Select a result" in told[-1]
    assert "“result”" in told[-1]
    assert (source.visible, result.visible) == (True, True)
    assert not compare.is_wiping(viewer)


def test_any_two_selected_layers_can_be_compared(viewer: Any) -> None:
    layers = [flat(viewer, n, str(n)) for n in (DARK, BRIGHT, OTHER)]
    viewer.layers.selection = {layers[2], layers[0]}

    assert compare.toggle(viewer)

    assert [layer.visible for layer in layers] == [True, False, False]


def test_a_wipe_shows_the_source_left_and_the_result_right(
    viewer: Any, pair: tuple[Any, Any]
) -> None:
    source, result = pair
    source.visible = False
    assert set(row(viewer)) == {BRIGHT}

    assert compare.start_wipe(viewer, result)

    values = row(viewer)
    assert (values[0], values[-1]) == (DARK, BRIGHT)
    assert change(values) == pytest.approx(0.5, abs=0.01)
    assert divider(viewer).left_caption.text() == "source"
    assert divider(viewer).right_caption.text() == "result"
    compare.stop_wipe(viewer)
    assert (source.visible, result.visible) == (False, True)
    assert set(row(viewer)) == {BRIGHT}


def test_the_divider_follows_the_mouse_and_the_image_stays(
    viewer: Any, pair: tuple[Any, Any]
) -> None:
    compare.start_wipe(viewer, pair[1])
    center, zoom = viewer.scene.camera.center, viewer.scene.camera.zoom

    drag(viewer, 0.2)
    assert change(row(viewer)) == pytest.approx(0.2, abs=0.01)
    drag(viewer, 5.0)
    assert set(row(viewer)) == {DARK}
    drag(viewer, 0.7)

    assert change(row(viewer)) == pytest.approx(0.7, abs=0.01)
    line = divider(viewer)
    assert line.geometry().center().x() == pytest.approx(0.7 * canvas(viewer).width(), abs=2)
    assert (viewer.scene.camera.center, viewer.scene.camera.zoom) == (center, zoom)


def test_moving_the_divider_slices_nothing(viewer: Any, pair: tuple[Any, Any]) -> None:
    compare.start_wipe(viewer, pair[1])
    row(viewer)
    sliced = []
    for layer in pair:
        layer.events.set_data.connect(lambda event: sliced.append(event))

    drag(viewer, 0.3)
    row(viewer)

    assert not sliced


def test_the_divider_keeps_its_place_when_the_window_is_resized(
    viewer: Any, pair: tuple[Any, Any], qtbot: Any
) -> None:
    compare.start_wipe(viewer, pair[1])
    drag(viewer, 0.25)
    width = canvas(viewer).width()

    viewer.window.resize(900, 500)
    qtbot.waitUntil(lambda: canvas(viewer).width() != width)

    assert change(row(viewer)) == pytest.approx(0.25, abs=0.01)
    line = divider(viewer)
    assert line.geometry().center().x() == pytest.approx(0.25 * canvas(viewer).width(), abs=2)
    assert line.height() == canvas(viewer).height()


def test_an_additive_result_does_not_shine_on_the_source(
    viewer: Any, pair: tuple[Any, Any]
) -> None:
    pair[1].blending = "additive"

    compare.start_wipe(viewer, pair[1])

    assert set(row(viewer)) == {DARK, BRIGHT}


def test_labels_are_wiped_over_the_whole_image(viewer: Any) -> None:
    image = flat(viewer, DARK, "image")
    labels = viewer.add_labels(np.ones((64, 64), int), opacity=0.5)
    compare.remember(labels, image)
    viewer.scene.camera.zoom *= 4

    compare.start_wipe(viewer, labels)

    values = row(viewer)
    assert values[0] == DARK
    labels.visible = False
    assert set(row(viewer)) == {DARK}, "the image goes on below the labels"
    assert change(values) == pytest.approx(0.5, abs=0.01)


def test_a_wipe_goes_on_in_3d_and_back(viewer: Any) -> None:
    source = flat(viewer, DARK, "source", (20, 64, 64))
    result = flat(viewer, BRIGHT, "result", (20, 64, 64))
    result.blending = "translucent_no_depth"
    compare.remember(result, source)
    compare.start_wipe(viewer, result)

    for ndisplay in (3, 2):
        viewer.dims.ndisplay = ndisplay
        viewer.reset_view()
        viewer.scene.camera.zoom *= 4
        values = row(viewer)
        quarter = len(values) // 4
        assert abs(int(values[quarter]) - DARK) <= 2
        assert abs(int(values[-quarter]) - BRIGHT) <= 2


def test_escape_ends_it_also_where_the_layer_has_a_meaning_for_it(
    viewer: Any, pair: tuple[Any, Any]
) -> None:
    ended = []
    source, result = pair
    source.visible = False
    viewer.add_labels(np.ones((64, 64), int), visible=False)
    compare.start_wipe(viewer, result, on_end=lambda: ended.append(True))

    QTest.keyClick(canvas(viewer), Qt.Key.Key_Escape)

    assert not compare.is_wiping(viewer)
    assert ended == [True]
    assert (source.visible, result.visible) == (False, True)


@pytest.mark.parametrize("which", [0, 1])
def test_removing_either_layer_ends_it(viewer: Any, pair: tuple[Any, Any], which: int) -> None:
    compare.start_wipe(viewer, pair[1])

    viewer.layers.remove(pair[which])

    assert not compare.is_wiping(viewer)
    assert len(set(row(viewer))) == 1


def test_layers_side_by_side_are_not_wiped(
    viewer: Any, pair: tuple[Any, Any], told: list[str]
) -> None:
    viewer.canvas.grid.enabled = True
    assert not compare.start_wipe(viewer, pair[1])
    assert "grid" in told[-1]

    viewer.canvas.grid.enabled = False
    assert compare.start_wipe(viewer, pair[1])
    viewer.canvas.grid.enabled = True
    assert not compare.is_wiping(viewer)


def test_the_menu_entries_do_what_the_keys_do(viewer: Any, pair: tuple[Any, Any]) -> None:
    commands = get_app_model().commands
    viewer.layers.selection.active = pair[1]

    commands.execute_command(f"{PLUGIN}.wipe")
    assert compare.is_wiping(viewer)
    commands.execute_command(f"{PLUGIN}.wipe")
    assert not compare.is_wiping(viewer)
    commands.execute_command(f"{PLUGIN}.toggle_source")
    assert not pair[1].visible


def test_closing_the_viewer_during_a_wipe_is_quiet(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer(show=True)
    source, result = flat(viewer, DARK, "source"), flat(viewer, BRIGHT, "result")
    compare.remember(result, source)
    compare.start_wipe(viewer, result)
    qtbot.wait(50)

    viewer.close()
    qtbot.wait(50)


def test_this_napari_lets_layers_be_cut(viewer: Any, pair: tuple[Any, Any]) -> None:
    cut = LayerCut(viewer, {pair[1]: "right"}, 0.5)

    assert change(row(viewer)) == pytest.approx(0.5, abs=0.01)
    cut.end()
    assert set(row(viewer)) == {BRIGHT}


def test_where_it_does_not_the_two_blink_until_escape(
    viewer: Any, pair: tuple[Any, Any], told: list[str], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, result = pair
    node = viewer.window._qt_viewer.canvas.layer_to_visual[source].node
    monkeypatch.setattr(type(node), "attach", None)

    compare.start_wipe(viewer, result)

    assert "blink" in told[-1]
    assert compare.is_wiping(viewer)
    qtbot.waitUntil(lambda: (source.visible, result.visible) == (True, False), timeout=5000)
    qtbot.waitUntil(lambda: (source.visible, result.visible) == (False, True), timeout=5000)
    QTest.keyClick(canvas(viewer), Qt.Key.Key_Escape)
    assert not compare.is_wiping(viewer)
    assert (source.visible, result.visible) == (True, True)
