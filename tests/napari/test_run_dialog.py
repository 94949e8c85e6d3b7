"""*Run on whole image…* in a real window: what it says before, writes, asks, and goes on with."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from skimage import measure

import napari_omezarr_cloud as noc
from napari_omezarr_cloud import saving
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY
from napari_omezarr_cloud.napari.live import add_live, plan_live, start_live
from napari_omezarr_cloud.napari.pace import Pace
from napari_omezarr_cloud.napari.widgets.process_dock import ProcessDock
from napari_omezarr_cloud.napari.widgets.run_dialog import RunDialog, show_run
from napari_omezarr_cloud.process import computation
from napari_omezarr_cloud.process.registry import remove_operation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLUGIN = "napari-omezarr-cloud"
BLOBS = np.random.default_rng(3).integers(0, 4000, (6, 96, 120), "u2")
BLOBS = (BLOBS + np.roll(BLOBS, 1, 1) + np.roll(BLOBS, 1, 2) + np.roll(BLOBS, 1, 0)).astype("u2")


@pytest.fixture
def source(viewer: Any, tmp_path: Path) -> Any:
    """The layer of an image of two levels, in µm."""
    image = noc.from_array(BLOBS, "zyx", scale=(2, 1, 1), unit="micrometer", name="tissue")
    noc.save(image, tmp_path / "tissue.zarr", chunks=(2, 32, 32), factors=[(1, 2, 2)])
    return viewer.open(str(tmp_path / "tissue.zarr"), plugin=PLUGIN)[0]


def live(viewer: Any, step: noc.Step, *layers: Any) -> Any:
    plan = plan_live(step, layers)
    return add_live(viewer, plan, start_live(plan).result(timeout=30))


def opened(viewer: Any, qtbot: Any, layer: Any, target: Path) -> RunDialog:
    """Return the window once it has said what a run would take."""
    dialog = show_run(viewer, layer)
    qtbot.waitUntil(dialog.isVisible)
    said(dialog, qtbot, lambda: dialog.rows.name(str(target)))
    return dialog


def said(dialog: RunDialog, qtbot: Any, change: Any) -> None:
    with qtbot.waitSignal(dialog.preview.examined, timeout=30000):
        change()


def press(button: Any) -> None:
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def run(dialog: RunDialog, qtbot: Any) -> None:
    with qtbot.waitSignal(dialog.saved, timeout=30000):
        press(dialog.run_bar.apply_button)


def test_from_the_live_layer_on_screen_to_the_result_beside_it(
    viewer: Any, source: Any, qtbot: Any, tmp_path: Path
) -> None:
    mask = live(viewer, noc.Step("threshold_otsu"), source)
    cells = live(viewer, noc.Step("label", {"connectivity": "faces"}, dims="volume"), mask)
    dock = ProcessDock(viewer)
    viewer.window.add_dock_widget(dock, name="Process", area="right")
    viewer.layers.selection.active = cells
    qtbot.waitUntil(dock.whole_button.isVisible)
    press(dock.whole_button)
    dialog = viewer.window._qt_window.findChild(RunDialog)
    said(dialog, qtbot, lambda: dialog.rows.name(str(tmp_path / "cells.zarr")))

    threshold = mask.metadata[METADATA_KEY]["values"]["threshold"]
    assert f"1. Otsu threshold: threshold {threshold:.6g} (measured on level" in (
        dialog.recipe.text()
    )
    assert "2. Label connected regions in 3D" in dialog.recipe.text()
    assert "block" in dialog.preview.estimate.text()
    assert "MB of memory" in dialog.preview.estimate.text()
    run(dialog, qtbot)

    found = noc.open(tmp_path / "cells.zarr").read(0)
    expected = measure.label(BLOBS > threshold, connectivity=1)
    assert ((found > 0) == (expected > 0)).all()
    assert found.max() == expected.max() == len(np.unique(found)) - 1
    assert dialog.run_bar.message.text().startswith("Done in")
    with qtbot.waitSignal(viewer.layers.events.inserted, timeout=30000):
        press(dialog.open_button)
    assert viewer.layers[-1].metadata[METADATA_KEY]["source"] == str(tmp_path / "cells.zarr")


def test_labels_go_beside_their_image(viewer: Any, source: Any, qtbot: Any, tmp_path: Path) -> None:
    cells = live(viewer, noc.Step("label", {"threshold": 9000.0}), source)
    dialog = opened(viewer, qtbot, cells, tmp_path / "cells.zarr")

    said(dialog, qtbot, lambda: dialog.rows.place.setCurrentIndex(1))
    run(dialog, qtbot)

    (labels,) = noc.open(tmp_path / "tissue.zarr").labels
    assert ((labels.read(0) > 0) == (BLOBS > 9000)).all()


def test_a_part_of_a_level_by_view_planes_and_rectangle(
    viewer: Any, source: Any, qtbot: Any, tmp_path: Path
) -> None:
    from skimage import filters

    smooth = live(viewer, noc.Step("gaussian", {"sigma": 4.0}), source)
    shapes = viewer.add_shapes([[[20, 10], [20, 70], [60, 70], [60, 10]]], name="box")
    dialog = opened(viewer, qtbot, smooth, tmp_path / "part.zarr")
    planes = dialog.part.planes["z"]
    assert planes.span == (0, 6)

    dialog.rows.options.level.setCurrentIndex(1)
    dialog.part.take_box.setCurrentText("Rectangle in “box”")
    viewer.dims.set_current_step(0, 3)
    qtbot.waitUntil(lambda: dialog.part.planes["z"].span == (3, 4))
    planes = dialog.part.planes["z"]
    said(dialog, qtbot, lambda: planes.last.setValue(4))
    run(dialog, qtbot)

    found = noc.open(tmp_path / "part.zarr")
    coarse = noc.open(tmp_path / "tissue.zarr").read(1).astype(float)
    whole = [filters.gaussian(p, 2, mode="nearest", preserve_range=True) for p in coarse[3:5]]
    assert found.levels[0].translation == (6, 20.5, 10.5)
    assert found.levels[0].shape == (2, 21, 31)
    expected = np.stack(whole)[:, 10:31, 5:36]
    np.testing.assert_allclose(found.read(0), expected, rtol=1e-6)
    shapes.data = []
    qtbot.waitUntil(lambda: "no rectangle" in dialog.preview.plan.text())
    assert not dialog.run_bar.apply_button.isEnabled()


def test_what_may_look_everywhere_asks_for_an_overlap_and_says_what_it_means(
    viewer: Any, source: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = live(viewer, noc.Step("threshold", {"threshold": 7000.0}), source)
    filled = live(viewer, noc.Step("fill_holes"), mask)
    peaks = live(viewer, noc.Step("voronoi_otsu", {"threshold": 7000.0}), source)
    dialog = opened(viewer, qtbot, mask, tmp_path / "filled.zarr")
    assert not dialog.overlap.isVisible()

    said(dialog, qtbot, lambda: dialog.layer_box.choose(filled))
    assert dialog.overlap.isVisible()
    assert "Fill holes may look everywhere" in dialog.overlap_note.text()
    said(dialog, qtbot, lambda: dialog.overlap.setValue(20))
    # Where none is asked for, the one that was chosen does not count.
    said(dialog, qtbot, lambda: dialog.layer_box.choose(peaks))
    assert not dialog.overlap.isVisible()
    assert "OME-Zarr" in dialog.preview.plan.text()
    said(dialog, qtbot, lambda: dialog.layer_box.choose(filled))
    said(dialog, qtbot, lambda: dialog.overlap.setValue(-1))
    monkeypatch.setattr(computation, "_MAX_WHOLE_BYTES", 1000)
    dialog.look()
    assert "needs an overlap" in dialog.preview.plan.text()
    assert not dialog.preview.estimate.text()
    assert not dialog.run_bar.apply_button.isEnabled()

    said(dialog, qtbot, lambda: dialog.overlap.setValue(20))
    assert "saw 20 voxels around each block" in dialog.preview.plan.text()
    run(dialog, qtbot)
    assert noc.open(tmp_path / "filled.zarr").levels[0].shape == BLOBS.shape


class Gate:
    """An operation that waits for the test at its third block, once it is closed."""

    def __init__(self) -> None:
        self.is_closed, self.blocks = False, 0
        self.reached, self.opened = threading.Event(), threading.Event()

    def run(self, image: np.ndarray) -> np.ndarray:
        """Return the image, twice as bright."""
        if self.is_closed:
            self.blocks += 1
            if self.blocks == 3:
                self.reached.set()
                self.opened.wait(30)
        return image * np.float32(2)


@pytest.fixture
def gate() -> Iterator[Gate]:
    found = Gate()

    @noc.operation(name="gated", halo=0)
    def gated(image: np.ndarray) -> np.ndarray:
        return found.run(image)

    yield found
    found.opened.set()
    remove_operation("gated")


def test_a_cancelled_run_is_found_again_and_goes_on(
    viewer: Any,
    source: Any,
    gate: Gate,
    qtbot: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(saving, "BLOCK_VOXELS", 1)
    target = tmp_path / "slow.zarr"
    layer = live(viewer, noc.Step("gated"), source)
    dialog = opened(viewer, qtbot, layer, target)
    dialog.rows.options.chunks.setText("2, 32, 32")
    said(dialog, qtbot, lambda: dialog.rows.options.levels.setValue(1))
    said(dialog, qtbot, lambda: dialog.hands.threads.setValue(1))
    gate.is_closed = True
    press(dialog.run_bar.apply_button)
    qtbot.waitUntil(gate.reached.is_set, timeout=30000)
    qtbot.waitUntil(lambda: " blocks" in dialog.run_bar.message.text(), timeout=30000)
    busy = viewer.window._task_status_manager
    assert any(str(target) in each for each in busy.get_status())  # napari asks before it closes

    busy.cancel_all()
    qtbot.waitUntil(lambda: dialog.run is None, timeout=20000)  # while the block is still computed
    assert dialog.run_bar.message.text() == "Cancelled. The same run goes on where it was."
    assert not busy.is_busy()
    gate.opened.set()
    qtbot.waitUntil(lambda: gate.blocks == 4)  # its other plane
    assert not (target / "zarr.json").exists()
    dialog.close()

    again = opened(viewer, qtbot, layer, target)
    assert "beginning of this same run is there" in again.preview.there.text()
    share = re.search(r"(\d+) of (\d+) blocks are done", again.preview.there.text())
    assert share is not None
    done, count = map(int, share.groups())
    assert 0 < done < count
    assert again.run_bar.apply_button.text() == "Go on"
    gate.blocks = 10
    run(again, qtbot)
    assert (noc.open(target).read(0) == BLOBS * np.float32(2)).all()
    assert gate.blocks - 10 == 2 * (count - done)  # two planes each, and none of them again

    assert again.run_bar.message.text().startswith("Done")
    said(again, qtbot, lambda: again.rows.name(str(tmp_path / "other.zarr")))
    assert not again.run_bar.message.text()
    assert not again.open_button.isVisible()


def test_what_is_there_is_named_and_a_failure_says_what_to_try(
    viewer: Any, source: Any, qtbot: Any, tmp_path: Path
) -> None:
    smooth = live(viewer, noc.Step("gaussian", {"sigma": 1.0}), source)
    noc.save(noc.from_array(np.ones((30, 40), "u1"), "yx", name="precious"), tmp_path / "a.zarr")
    dialog = opened(viewer, qtbot, smooth, tmp_path / "a.zarr")
    assert "precious" in dialog.preview.there.text()
    press(dialog.run_bar.apply_button)
    qtbot.waitUntil(lambda: dialog.question is not None, timeout=30000)
    assert "“precious” (yx 30 × 40)" in dialog.question.text()
    press(next(b for b in dialog.question.buttons() if b.text() == "Cancel"))
    qtbot.waitUntil(lambda: dialog.run is None)
    assert (noc.open(tmp_path / "a.zarr").read(0) == 1).all()

    (tmp_path / "file").write_text("no folder")
    dialog.rows.name(str(tmp_path / "file" / "b.zarr"))
    with qtbot.waitSignal(dialog.failed, timeout=30000) as failure:
        dialog.start()
    assert str(tmp_path / "file") in failure.args[0]
    assert failure.args[0] == dialog.run_bar.message.text()
    assert dialog.run_bar.apply_button.isEnabled()


def test_without_a_live_layer_it_says_how_to_make_one(viewer: Any, qtbot: Any) -> None:
    dialog = show_run(viewer)
    qtbot.waitUntil(dialog.isVisible)

    assert "Add live layer" in dialog.preview.plan.text()
    assert not dialog.run_bar.apply_button.isEnabled()


def test_a_pace_counts_only_what_this_run_has_done() -> None:
    now = 100.0
    pace = Pace(lambda: now)

    assert pace.text(0, 0) == ""
    assert pace.text(100, 300, skipped=100) == "100 of 300 blocks"
    now += 50
    said = pace.text(200, 300, skipped=100)
    assert said == "200 of 300 blocks · 2.0 a second · 50 seconds left"
    now += 950
    assert pace.text(200, 1300, skipped=100).endswith("6.0 a minute · 3 hours left")
