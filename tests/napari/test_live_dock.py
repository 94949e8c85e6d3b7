"""Live layers in the Process dock, as a person works with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QDialog, QFileDialog
from skimage import filters

from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.live import live_of
from napari_omezarr_cloud.napari.widgets import recipe_menu
from napari_omezarr_cloud.napari.widgets.process_dock import ProcessDock
from napari_omezarr_cloud.process import Recipe, Step
from tests.fixtures.images import pattern, pyramid, write_directly
from tests.napari.test_live_layers import is_settled, on_screen

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.images import Written

PLUGIN = "napari-omezarr-cloud"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Written:
    levels = pyramid(pattern((2, 4, 96, 80)), 2)
    path = tmp_path_factory.mktemp("stack") / "stack.zarr"
    return write_directly(path, "czyx", levels, chunks=(1, 2, 32, 32))


@pytest.fixture
def dock(viewer: Any, stack: Written, qtbot: Any) -> ProcessDock:
    viewer.open(str(stack.path), plugin=PLUGIN)
    dock = ProcessDock(viewer)
    viewer.window.add_dock_widget(dock, name="Process", area="right")
    qtbot.waitUntil(dock.isVisible)
    qtbot.waitUntil(lambda: all(map(is_settled, viewer.layers)), timeout=20000)
    return dock


def add(dock: ProcessDock, qtbot: Any, operation: str, **choices: Any) -> Any:
    dock.choose(operation, **choices)
    with qtbot.waitSignal(dock.applied, timeout=20000) as told:
        dock.live_button.click()
    layer = told.args[0]
    qtbot.waitUntil(lambda: is_settled(layer), timeout=20000)
    return layer


def test_a_new_live_layer_is_the_one_the_form_changes(
    viewer: Any, dock: ProcessDock, stack: Written, qtbot: Any
) -> None:
    result = add(dock, qtbot, "gaussian", sigma=1.0)

    assert dock.live_bar.isVisible() and not dock.choices.isVisible()
    assert dock.live_bar.title.text() == "Gaussian blur (live)"
    assert dock.live_bar.made_from.text() == "on stack: channel 1"
    assert dock.form.values == {"sigma": 1.0}

    dock.form.fields["sigma"].value = 3.0

    qtbot.waitUntil(lambda: live_of(result).applied.step.values == {"sigma": 3.0})
    qtbot.waitUntil(lambda: is_settled(result), timeout=20000)
    z, sigma = display_of(result).look.region.start[0], 3.0 / stack.scales[0][-1]
    expected = filters.gaussian(stack.levels[0][1, z], sigma, preserve_range=True)
    np.testing.assert_allclose(on_screen(result), expected, rtol=1e-6)
    assert len(viewer.layers) == 3


def test_without_a_live_layer_there_is_nothing_about_one(dock: ProcessDock) -> None:
    assert not dock.live_bar.isVisible()
    assert dock.choices.isVisible() and dock.live_button.isVisible()


def test_selecting_a_layer_says_what_the_form_is_for(
    viewer: Any, dock: ProcessDock, qtbot: Any
) -> None:
    blur = add(dock, qtbot, "gaussian", sigma=1.0)
    dock.live_bar.next_button.click()
    assert dock.choices.isVisible() and dock.choices.layer is blur
    median = add(dock, qtbot, "median", radius=0.5)
    assert live_of(median).inputs == [blur]

    viewer.layers.selection.active = blur
    assert dock.form.values == {"sigma": 1.0}
    viewer.layers.selection.active = median
    assert dock.form.values == {"radius": 0.5}
    viewer.layers.selection.active = viewer.layers[0]
    assert dock.choices.isVisible() and dock.choices.layer is viewer.layers[0]
    assert live_of(blur).applied.step.values == {"sigma": 1.0}, "nothing was changed by looking"
    assert live_of(median).applied.step.values == {"radius": 0.5}


def test_a_measured_threshold_is_shown_with_where_and_can_be_edited(
    viewer: Any, dock: ProcessDock, qtbot: Any, stack: Written
) -> None:
    mask = add(dock, qtbot, "threshold_otsu")

    threshold = filters.threshold_otsu(stack.levels[0][1])
    field = dock.form.fields["threshold"]
    assert field.get_value() is None
    assert live_of(mask).applied.step.values["threshold"] == pytest.approx(threshold)
    assert "measured on level 0" in dock.note.text()
    # Another zoom fits the form anew; what was measured is still shown.
    viewer.scene.camera.zoom *= 20
    qtbot.waitUntil(lambda: "measured on level 0" in dock.note.text())
    assert dock.form.fields["threshold"][1].value == pytest.approx(threshold, abs=0.01)

    dock.form.set_values({"threshold": 100.0})
    qtbot.waitUntil(lambda: live_of(mask).applied.step.values["threshold"] == 100.0)
    qtbot.waitUntil(lambda: "measured" not in dock.note.text())


def test_planes_or_volumes_are_a_choice_where_there_is_depth(
    dock: ProcessDock, qtbot: Any, stack: Written
) -> None:
    dock.choose("gaussian", sigma=1.0)
    assert dock.choices.dims_box.isVisible()
    dock.choices.dims_box.show_dims("volume")
    dock.choices.dims_box.activated.emit(1)

    result = add(dock, qtbot, "gaussian", sigma=1.0)

    spacing = stack.scales[0][1:]
    expected = filters.gaussian(
        stack.levels[0][1], [1.0 / size for size in spacing], preserve_range=True
    )
    np.testing.assert_allclose(np.asarray(result.data[0]), expected, rtol=1e-6)

    # And back, while it is being changed.
    assert dock.live_bar.dims_box.dims == "volume"
    dock.live_bar.dims_box.show_dims("plane")
    dock.live_bar.dims_box.activated.emit(0)
    qtbot.waitUntil(lambda: live_of(result).applied.step.dims == "plane")


def test_a_snapshot_of_one_plane_may_look_along_z(
    viewer: Any, dock: ProcessDock, qtbot: Any, stack: Written
) -> None:
    viewer.scene.camera.zoom *= 4
    qtbot.wait(80)
    dock.choose("gaussian", sigma=1.0)
    dock.choices.dims_box.show_dims("volume")
    dock.choices.dims_box.activated.emit(1)

    with qtbot.waitSignal(dock.applied, timeout=20000) as told:
        dock.run_bar.apply_button.click()

    result = told.args[0]
    spacing = stack.scales[0][1:]
    sigma = [1.0 / size for size in spacing]
    whole = filters.gaussian(stack.levels[0][1], sigma, preserve_range=True)
    assert result.data.shape[0] == 1
    z = int(viewer.dims.point[-3] / spacing[0] + 0.5)
    inner = result.data[0][20:-20, 20:-20]
    shape = result.data.shape[1:]
    start = [round(t / s) for t, s in zip(result.translate[1:], spacing[1:], strict=True)]
    box = tuple(slice(a + 20, a + n - 20) for a, n in zip(start, shape, strict=True))
    np.testing.assert_allclose(inner, whole[z][box], rtol=1e-3)


def test_unsuitable_layers_are_said_and_nothing_is_added(
    viewer: Any, dock: ProcessDock, qtbot: Any
) -> None:
    count = len(viewer.layers)
    dock.choose("rgb_to_grey")
    with qtbot.waitSignal(dock.failed, timeout=5000) as told:
        dock.add_live()

    assert "colour picture" in told.args[0]
    assert len(viewer.layers) == count


def test_a_recipe_is_saved_and_applied_to_another_layer(
    viewer: Any, dock: ProcessDock, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(dock, qtbot, "gaussian", sigma=1.5)
    dock.live_bar.next_button.click()
    mask = add(dock, qtbot, "threshold_otsu")
    path = tmp_path / "chain.yaml"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(path), ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(path), ""))

    dock.recipe_menu.save_action.trigger()
    assert "Saved" in dock.run_bar.message.text()
    assert Recipe.load(path).steps[0] == Step("gaussian", {"sigma": 1.5})

    viewer.layers.selection.active = viewer.layers[0]
    with qtbot.waitSignal(dock.applied, timeout=20000) as told:
        dock.recipe_menu.load_action.trigger()
    other = told.args[0]
    threshold = live_of(mask).applied.step.values["threshold"]
    assert live_of(other).applied.step.values["threshold"] == threshold, "as saved"
    assert [x.visible for x in viewer.layers[-2:]] == [False, True]
    assert live_of(live_of(other).inputs[0]).inputs == [viewer.layers[0]]


def test_a_file_that_is_no_recipe_is_told(
    dock: ProcessDock, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "other.yaml"
    path.write_text("just: words")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(path), ""))

    with qtbot.waitSignal(dock.failed, timeout=5000) as told:
        dock.recipe_menu.load_action.trigger()

    assert "does not begin with a version" in told.args[0]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the person types into the recipe's text before they press Apply."""

    def type_in(edit: Any) -> None:
        def run(dialog: Any) -> int:
            dialog.text.setPlainText(edit(dialog.text.toPlainText()))
            dialog.apply_button.click()
            return dialog.result()

        monkeypatch.setattr(recipe_menu.RecipeTextDialog, "exec", run)

    return type_in


def test_other_values_in_the_text_change_the_layers_that_are_there(
    viewer: Any, dock: ProcessDock, qtbot: Any, typed: Any
) -> None:
    blur = add(dock, qtbot, "gaussian", sigma=1.5)
    dock.live_bar.next_button.click()
    add(dock, qtbot, "median", radius=0.5)
    typed(lambda text: text.replace("sigma: 1.5", "sigma: 2.5"))

    dock.recipe_menu.edit_action.trigger()

    assert live_of(blur).applied.step.values == {"sigma": 2.5}
    assert len(viewer.layers) == 4


def test_other_steps_in_the_text_make_new_layers(
    viewer: Any, dock: ProcessDock, qtbot: Any, typed: Any
) -> None:
    add(dock, qtbot, "gaussian", sigma=1.5)
    typed(lambda text: text + "- operation: sobel\n")

    with qtbot.waitSignal(dock.applied, timeout=20000) as told:
        dock.recipe_menu.edit_action.trigger()

    assert live_of(told.args[0]).operation.name == "sobel"
    assert len(viewer.layers) == 5, "what was there stays"


def test_a_text_that_is_no_recipe_keeps_the_dialog_open_and_says_why(
    dock: ProcessDock, qtbot: Any, typed: Any
) -> None:
    result = add(dock, qtbot, "gaussian", sigma=1.5)
    dialog = recipe_menu.RecipeTextDialog(Recipe((Step("gaussian"),)), dock)
    dialog.text.setPlainText("version: 1\nsteps: [{operation: gausian}]")

    dialog.apply_button.click()

    assert dialog.result() != QDialog.DialogCode.Accepted
    assert "Did you mean gaussian" in dialog.message.text()
    assert live_of(result).applied.step.values == {"sigma": 1.5}


def test_python_is_on_the_clipboard(dock: ProcessDock, qtbot: Any) -> None:
    add(dock, qtbot, "gaussian", sigma=1.5)

    dock.recipe_menu.copy_action.trigger()

    assert "noc.apply(image, recipe)" in QGuiApplication.clipboard().text()
    assert "Copied" in dock.run_bar.message.text()


def test_source_and_result_are_compared_from_the_dock(
    viewer: Any, dock: ProcessDock, qtbot: Any
) -> None:
    result = add(dock, qtbot, "gaussian", sigma=1.5)

    dock.live_bar.toggle_button.click()
    assert not result.visible
    dock.live_bar.toggle_button.click()
    assert result.visible

    dock.live_bar.wipe_button.click()
    assert dock.live_bar.wipe_button.isChecked()
    dock.live_bar.wipe_button.click()
    assert not dock.live_bar.wipe_button.isChecked()


def test_removing_the_live_layer_ends_its_editing(
    viewer: Any, dock: ProcessDock, qtbot: Any
) -> None:
    result = add(dock, qtbot, "gaussian", sigma=1.5)
    viewer.layers.selection.clear()  # nothing is selected, so nothing is when it has gone

    viewer.layers.remove(result)

    qtbot.waitUntil(lambda: dock.choices.isVisible())
    assert dock.choices.layer in list(viewer.layers)
