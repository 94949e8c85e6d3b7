"""Choosing an operation: what is listed, what a search finds, what the keys do."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt
from skimage.filters import apply_hysteresis_threshold, threshold_mean

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.napari.widgets.operation_box import OperationBox
from napari_omezarr_cloud.napari.widgets.process_dock import ProcessDock
from napari_omezarr_cloud.process import get_operation, operations, registry

if TYPE_CHECKING:
    from collections.abc import Iterator

ANY = "Any function of scikit-image"


@pytest.fixture
def box(qtbot: Any) -> OperationBox:
    box = OperationBox()
    qtbot.addWidget(box)
    box.show()
    return box


@pytest.fixture
def opened(box: OperationBox, qtbot: Any) -> OperationBox:
    """The box with its list open and complete."""
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: box.popup.is_complete, timeout=30000)
    return box


@pytest.fixture
def own() -> Iterator[str]:
    @noc.operation(group="Zebrafish", output="labels")
    def swim_bladders(image, size: float = 2.0):
        """Outline <b>swim bladders</b> & the like."""
        return image > size

    yield "swim_bladders"
    registry.remove_operation("swim_bladders")


def titles(box: OperationBox) -> list[str]:
    return [entry.title for entry in box.popup.entries]


def test_described_operations_stand_under_the_headings_of_their_groups(
    opened: OperationBox,
) -> None:
    shown = [op for op in operations().values() if op.output != "table"]
    groups = list(dict.fromkeys(op.group for op in shown))

    assert opened.popup.headings == [*groups, ANY]
    assert sorted(titles(opened)[: len(shown)]) == sorted(op.title for op in shown)
    assert len(titles(opened)) > len(shown) + 200
    assert opened.popup.marked is not None
    assert opened.popup.marked.name == opened.operation.name


@pytest.mark.parametrize(
    ("typed", "first", "also"),
    [
        ("blur", "Gaussian blur", "measure.blur_effect"),
        ("gauss", "Gaussian blur", "filters.gaussian"),
        ("OTSU", "Otsu threshold", "filters.threshold_otsu"),
        ("watershed", "Watershed from markers", "segmentation.watershed"),
        ("frangi", "Frangi ridges", "filters.frangi"),
        ("color", "Colour to grey", "color.rgb2gray"),
        ("denoise", "Gaussian blur", "Total variation"),
        ("rank entropy", "filters.rank.entropy", "filters.rank.entropy"),
        ("bladd", "Swim bladders", "Swim bladders"),
        ("zebra", "Swim bladders", "Swim bladders"),
    ],
)
def test_typing_finds_what_is_meant(
    opened: OperationBox, own: str, qtbot: Any, typed: str, first: str, also: str
) -> None:
    qtbot.keyClicks(opened.popup.search, typed)

    assert opened.popup.marked is not None
    assert opened.popup.marked.title == first
    assert also in titles(opened)
    assert len(titles(opened)) < 30


def test_enter_chooses_the_marked_one_and_tells_once(opened: OperationBox, qtbot: Any) -> None:
    told: list[int] = []
    opened.currentIndexChanged.connect(told.append)
    qtbot.keyClicks(opened.popup.search, "otsu threshold")

    qtbot.keyClick(opened.popup.search, Qt.Key.Key_Return)

    assert opened.operation is get_operation("threshold_otsu")
    assert opened.currentText() == "Otsu threshold"
    assert not opened.popup.isVisible()
    assert len(told) == 1


def test_arrows_go_from_entry_to_entry_and_pass_over_headings(
    opened: OperationBox, qtbot: Any
) -> None:
    popup, listed = opened.popup, titles(opened)
    for _ in range(20):
        qtbot.keyClick(popup.search, Qt.Key.Key_Down)
    assert popup.marked.title == listed[20]
    qtbot.keyClick(popup.search, Qt.Key.Key_PageUp)
    qtbot.keyClick(popup.search, Qt.Key.Key_Up)
    assert popup.marked.title == listed[9]
    assert popup.help.text() == popup.marked.help
    for _ in range(3):
        qtbot.keyClick(popup.search, Qt.Key.Key_PageUp)
    assert popup.marked.title == listed[0]

    qtbot.keyClick(popup.search, Qt.Key.Key_Down)
    qtbot.keyClick(popup.search, Qt.Key.Key_Enter)

    assert opened.operation.title == listed[1]


def test_escape_leaves_everything_as_it_was(opened: OperationBox, qtbot: Any) -> None:
    before = opened.operation
    qtbot.keyClicks(opened.popup.search, "otsu")

    qtbot.keyClick(opened.popup.search, Qt.Key.Key_Escape)

    assert not opened.popup.isVisible()
    assert opened.operation is before
    opened.showPopup()
    assert opened.popup.search.text() == "", "the next search begins anew"
    assert opened.popup.marked.name == before.name


def test_a_click_chooses_and_a_click_on_a_heading_does_not(
    opened: OperationBox, qtbot: Any
) -> None:
    view, model = opened.popup.view, opened.popup.view.model()

    def click(row: int) -> None:
        place = view.visualRect(model.index(row, 0)).center()
        qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)

    before = opened.operation
    click(0)
    assert opened.popup.isVisible() and opened.operation is before
    click(3)

    assert opened.operation.title == titles(opened)[2]
    assert not opened.popup.isVisible()


def test_nothing_found_is_said_and_enter_does_nothing(opened: OperationBox, qtbot: Any) -> None:
    qtbot.keyClicks(opened.popup.search, "xyzzy")
    qtbot.keyClick(opened.popup.search, Qt.Key.Key_Return)

    assert opened.popup.headings == ["Nothing is found by these words"]
    assert opened.popup.marked is None
    assert opened.popup.isVisible()


@pytest.mark.parametrize("key", ["Down", "Up", "Space", "F4"])
def test_the_list_opens_by_the_keys_of_a_box(box: OperationBox, qtbot: Any, key: str) -> None:
    qtbot.keyClick(box, getattr(Qt.Key, f"Key_{key}"))

    assert box.popup.isVisible()


def test_typing_on_the_closed_box_begins_a_search(box: OperationBox, qtbot: Any) -> None:
    qtbot.keyClicks(box, "o")

    assert box.popup.isVisible()
    assert box.popup.search.text() == "o"


def test_any_function_of_scikit_image_can_be_chosen(opened: OperationBox, qtbot: Any) -> None:
    qtbot.keyClicks(opened.popup.search, "filters.meijering")
    qtbot.keyClick(opened.popup.search, Qt.Key.Key_Return)

    assert opened.operation is get_operation("skimage.filters.meijering")
    assert opened.currentText() == "filters.meijering"


def test_what_is_defined_while_it_is_open_or_closed_is_there_next_time(
    opened: OperationBox, own: str, qtbot: Any
) -> None:
    opened.popup.hide()
    opened.showPopup()
    qtbot.keyClicks(opened.popup.search, "swim")

    assert titles(opened) == ["Swim bladders"]
    assert opened.popup.headings == ["Zebrafish"]
    assert opened.popup.help.text() == "Outline <b>swim bladders</b> & the like.", "plain text"
    opened.choose(own)
    registry.remove_operation(own)
    assert opened.operation.name in operations()


def test_a_name_that_is_none_is_refused(box: OperationBox) -> None:
    before = box.operation
    with pytest.raises(OperationError, match="Did you mean gaussian"):
        box.choose("gausian")

    assert box.operation is before


def test_choosing_the_same_again_is_no_news(box: OperationBox) -> None:
    told: list[int] = []
    box.currentIndexChanged.connect(told.append)

    box.choose(box.operation.name)
    box.choose("sobel")

    assert len(told) == 1


def test_a_function_nobody_described_runs_on_the_view(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer(show=True)
    image = np.random.default_rng(0).random((40, 50)).astype(np.float32)
    layer = viewer.add_image(image, name="cells")
    dock = ProcessDock(viewer)
    viewer.window.add_dock_widget(dock)
    viewer.scene.camera.zoom *= 0.5
    qtbot.waitUntil(dock.isVisible)
    dock.choose("skimage.filters.apply_hysteresis_threshold", layer=layer, low=0.3, high=0.9)
    with qtbot.waitSignal(dock.applied, timeout=30000) as told:
        dock.apply()
    dock.choose("skimage.filters.threshold_mean", layer=layer)
    with qtbot.waitSignal(dock.failed, timeout=30000) as failed:
        dock.apply()

    result = told.args[0]
    assert isinstance(result, Labels), "a mask"
    np.testing.assert_array_equal(result.data, apply_hysteresis_threshold(image, 0.3, 0.9))
    assert result.name == "filters.apply_hysteresis_threshold (low 0.3, high 0.9) of cells"
    assert f"it gave {threshold_mean(image):.6g}" in failed.args[0]


def test_making_a_box_loads_no_scikit_image() -> None:
    code = (
        "from qtpy.QtWidgets import QApplication; app = QApplication([])\n"
        "from napari_omezarr_cloud.napari.widgets.operation_box import OperationBox\n"
        "import sys; before = 'skimage.filters' in sys.modules\n"
        "box = OperationBox(); box.choose('median')\n"
        "print(before or 'skimage.filters' not in sys.modules, 'skimage.filters' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["True", "False"]
