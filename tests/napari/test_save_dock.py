"""Saving layers from a real window: round trips, the plan, the question, cancel, a refusal."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
from napari.utils import Colormap, DirectLabelColormap
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import ExistsError, WriteError
from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.napari.live import add_live, plan_live, start_live
from napari_omezarr_cloud.napari.widgets.process_dock import ProcessDock
from napari_omezarr_cloud.napari.widgets.save_dock import SaveDock
from napari_omezarr_cloud.store import io_thread
from napari_omezarr_cloud.write.claiming import Claim
from napari_omezarr_cloud.write.target import open_target
from tests.fixtures.images import pattern, pyramid, write_directly

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.images import Written
    from tests.fixtures.servers import S3Server

PLUGIN = "napari-omezarr-cloud"
OMERO = {
    "channels": [
        {
            "label": name,
            "color": color,
            "active": active,
            "window": {"start": 10, "end": 900, "min": 0, "max": 65535},
        }
        for name, color, active in (("nuclei", "0080FF", True), ("membrane", "FF8000", False))
    ]
}


@pytest.fixture
def dock(viewer: Any, qtbot: Any) -> SaveDock:
    dock = SaveDock(viewer)
    viewer.window.add_dock_widget(dock, name="Save", area="right")
    qtbot.waitUntil(dock.isVisible)
    return dock


@pytest.fixture
def cells(tmp_path: Path) -> Written:
    """Two channels of planes with names, colours and windows, in nanometres."""
    levels = pyramid(pattern((2, 3, 96, 80)), 2)
    places = [((1, 2000, 250, 250), (0, 0, 0, 0)), ((1, 2000, 500, 500), (0, 0, 125, 125))]
    written = write_directly(
        tmp_path / "cells.zarr",
        "czyx",
        levels,
        chunks=(1, 1, 64, 64),
        omero=OMERO,
        transforms=places,
    )
    path = tmp_path / "cells.zarr" / "zarr.json"
    path.write_text(path.read_text().replace("micrometer", "nanometer"))
    return written


def save(dock: SaveDock, qtbot: Any, target: Path | str, layers: Any = None) -> noc.Image:
    if layers is not None:
        dock.checks.choose(layers)
    QTest.keyClicks(dock.rows.target, "x")  # typed: it stays what it is
    dock.rows.target.setText(str(target))
    with qtbot.waitSignal(dock.saved, timeout=30000):
        QTest.mouseClick(dock.run_bar.apply_button, Qt.MouseButton.LeftButton)
    return noc.open(target)


def asked(dock: SaveDock, qtbot: Any) -> Any:
    qtbot.waitUntil(lambda: dock.question is not None, timeout=30000)
    return dock.question


def press(box: Any, name: str) -> None:
    button = next(each for each in box.buttons() if each.text() == name)
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def test_arrays_become_channels_and_labels_as_they_are_on_screen(
    viewer: Any, dock: SaveDock, qtbot: Any, tmp_path: Path
) -> None:
    red, grey = pattern((3, 64, 72)), pattern((3, 64, 72))[:, ::-1]
    place = {
        "scale": (2, 0.5, 0.5),
        "translate": (4, 10, 20),
        "units": ("um", "um", "um"),
        "axis_labels": ("z", "y", "x"),
    }
    first = viewer.add_image(red, name="red", colormap="red", contrast_limits=(5, 700), **place)
    second = viewer.add_image(
        da.from_array(grey, chunks=(1, 32, 32)), name="other", visible=False, **place
    )
    objects = (red > 3000).astype("u2") * 7
    mask = viewer.add_labels(objects, name="my cells", **place)
    mask.colormap = DirectLabelColormap(
        color_dict={None: (0, 0, 0, 1), 0: (0, 0, 0, 0), 7: (1, 0, 0, 1)}
    )
    mask.features = {"index": [7], "area": [12.5]}
    viewer.dims.set_current_step(0, 2)

    saved = save(dock, qtbot, tmp_path / "out.zarr", [first, second, mask])

    assert (saved.read(0) == np.stack([red, grey])).all()
    assert [axis.name for axis in saved.axes] == ["c", "z", "y", "x"]
    assert saved.axes[-1].unit == "micrometer"
    assert saved.levels[0].scale == (1, 2, 0.5, 0.5)
    assert saved.levels[0].translation == (0, 4, 10, 20)
    assert [(c.name, c.color, c.active) for c in saved.channels] == [
        ("red", "FF0000", True),
        ("other", "FFFFFF", False),
    ]
    assert (saved.channels[0].window.start, saved.channels[0].window.end) == (5, 700)
    assert saved.opened.image.default_z == 2
    (labels,) = saved.labels
    assert labels.name == "my cells"
    assert (labels.read(0) == objects).all()
    assert labels.label.colors == {7: (255, 0, 0, 255)}
    assert labels.label.properties == {7: {"area": 12.5}}
    assert labels.levels[0].translation == (4, 10, 20)
    assert saved.notes == ()

    with qtbot.waitSignal(viewer.layers.events.inserted, timeout=30000):
        QTest.mouseClick(dock.open_button, Qt.MouseButton.LeftButton)
    assert "out" in viewer.layers[-1].name


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_remote_image_comes_out_as_it_went_in(
    viewer: Any, dock: SaveDock, qtbot: Any, cells: Written, version: str, tmp_path: Path
) -> None:
    layers = list(viewer.open(str(cells.path), plugin=PLUGIN))
    source = noc.open(cells.path)
    dock.rows.version.setCurrentIndex(dock.rows.version.findData(version))

    saved = save(dock, qtbot, tmp_path / "copy.zarr", layers)

    assert (saved.read(0) == cells.levels[0]).all()
    assert saved.version == version
    assert saved.axes == source.axes
    assert saved.levels[0].scale == source.levels[0].scale
    assert saved.channels == source.channels


def test_a_live_layer_is_computed_and_says_how(
    viewer: Any, dock: SaveDock, qtbot: Any, cells: Written, tmp_path: Path
) -> None:
    source = viewer.open(str(cells.path), plugin=PLUGIN)[0]
    plan = plan_live(noc.Step("gaussian", {"sigma": 0.5}), [source])
    layer = add_live(viewer, plan, start_live(plan).result(timeout=30))
    layer.scale = (2, 0.5, 0.5)  # in µm; the file's unit is nm

    saved = save(dock, qtbot, tmp_path / "smooth.zarr", [layer])

    expected = noc.apply(noc.open(cells.path), noc.Step("gaussian", {"sigma": 0.5}), channels=0)
    np.testing.assert_array_equal(saved.read(0), expected.read(0))
    assert saved.levels[0].scale == (2000, 500, 500)
    attributes = json.loads((tmp_path / "smooth.zarr" / "zarr.json").read_text())["attributes"]
    assert "gaussian" in attributes[PLUGIN]["recipe"]
    assert attributes[PLUGIN]["source"] == str(noc.open(cells.path).location)


def test_objects_of_a_live_layer_are_whole_across_blocks(
    viewer: Any, dock: SaveDock, qtbot: Any, tmp_path: Path
) -> None:
    mask = np.zeros((90, 90), "u1")
    mask[5:80, 10:14] = mask[40:44, 10:85] = mask[70:75, 60:65] = 1
    source = viewer.add_labels(mask, name="mask")
    plan = plan_live(noc.Step("label"), [source])
    layer = add_live(viewer, plan, start_live(plan).result(timeout=30))
    dock.rows.options.chunks.setText("32 32")

    saved = save(dock, qtbot, tmp_path / "objects.zarr", [layer])

    found = saved.read(0)
    assert ((found > 0) == (mask > 0)).all()
    assert len(np.unique(found[found > 0])) == 2


def test_labels_go_beside_the_image_that_is_there(
    viewer: Any, dock: SaveDock, qtbot: Any, cells: Written
) -> None:
    layers = list(viewer.open(str(cells.path), plugin=PLUGIN))
    objects = np.zeros((3, 96, 80), "u2")
    objects[1, 10:20] = 4
    placed = {name: getattr(layers[0], name) for name in ("scale", "units", "axis_labels")}
    mask = viewer.add_labels(objects, name="drawn", **placed)
    before = (cells.path / "zarr.json").read_bytes()

    dock.checks.choose([mask])
    dock.rows.place.setCurrentIndex(1)
    qtbot.waitUntil(lambda: "labels/drawn" in dock.plan.text(), timeout=30000)
    with qtbot.waitSignal(dock.saved, timeout=30000):
        dock.save()

    (labels,) = noc.open(cells.path).labels
    assert (labels.read(0) == objects).all()
    assert len(labels.levels) == len(noc.open(cells.path).levels) > 1
    assert (cells.path / "zarr.json").read_bytes() == before


def test_results_of_what_was_visible_say_how_they_were_made(
    viewer: Any, dock: SaveDock, qtbot: Any, cells: Written, tmp_path: Path
) -> None:
    layer = viewer.open(str(cells.path), plugin=PLUGIN)[0]
    processing = ProcessDock(viewer)
    viewer.window.add_dock_widget(processing, area="right")
    for operation in ("threshold_otsu", "label"):
        processing.choose(operation, layer=layer)
        with qtbot.waitSignal(processing.applied, timeout=30000) as applied:
            processing.apply()
        layer = applied.args[0]

    dock.checks.choose([layer, viewer.layers[0]])
    assert "labels/Label connected regions:" in dock.plan.text()
    saved = save(dock, qtbot, tmp_path / "both.zarr")

    (labels,) = saved.labels
    assert labels.levels[0].shape[0] == 1  # the plane that was on screen
    document = tmp_path / "both.zarr" / "labels" / labels.name / "zarr.json"
    about = json.loads(document.read_text())["attributes"][PLUGIN]
    assert about["source"] == str(noc.open(cells.path).location)
    recipe = noc.Recipe.from_yaml(about["recipe"])
    assert [step.operation for step in recipe.steps] == ["threshold_otsu", "label"]
    assert recipe.steps[0].values["threshold"] > 0


def test_the_plan_follows_what_is_chosen(
    viewer: Any, dock: SaveDock, qtbot: Any, tmp_path: Path
) -> None:
    one = viewer.add_image(pattern((3, 64, 72)), name="one")
    viewer.add_image(pattern((64, 72)), name="flat")
    frame = dock.parent()
    frame.setFloating(True)
    # However little room other docks leave it, where it is saved to is seen without scrolling.
    frame.resize(frame.minimumSizeHint())
    qtbot.waitUntil(lambda: dock.height() == dock.minimumSizeHint().height())
    assert not dock.rows.target.visibleRegion().isEmpty()
    dock.checks.choose([one])
    assert "3 x 64 x 72" in dock.plan.text()
    assert "0.5" in dock.plan.text()
    assert dock.rows.target.text().endswith("one.ome.zarr")
    dock.rows.version.setCurrentIndex(1)
    assert "0.4" in dock.plan.text()
    dock.rows.more.click()
    QTest.keyClicks(dock.rows.options.chunks, "1, 32, 32")
    assert "chunks of 1 x 32 x 32" in dock.plan.text()
    dock.checks.choose(list(viewer.layers))
    assert "“flat” has the axes y, x, and “one” has z, y, x." in dock.plan.text()
    assert not dock.run_bar.apply_button.isEnabled()


def test_what_is_there_is_named_before_it_is_overwritten(
    viewer: Any, dock: SaveDock, qtbot: Any, cells: Written, tmp_path: Path
) -> None:
    layer = viewer.add_image(np.full((40, 50), 3, "u1"), name="new")
    dock.checks.choose([layer])
    dock.rows.target.setText(str(cells.path))
    dock.save()
    box = asked(dock, qtbot)
    assert "cells" in box.text()
    assert "czyx 2 × 3 × 96 × 80" in box.text()
    press(box, "Cancel")
    qtbot.waitUntil(lambda: dock.run is None)
    assert (noc.open(cells.path).read(0) == cells.levels[0]).all()

    dock.save()
    with qtbot.waitSignal(dock.saved, timeout=30000):
        press(asked(dock, qtbot), "Overwrite")
    assert (noc.open(cells.path).read(0) == 3).all()

    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("three years")
    dock.rows.target.setText(str(tmp_path / "notes"))
    dock.save()
    box = asked(dock, qtbot)
    assert "thesis.txt" in box.text()
    assert [button.text() for button in box.buttons()] == ["Cancel"]
    box.close()
    qtbot.waitUntil(lambda: dock.run is None)
    assert dock.run_bar.message.text() == "Cancelled. Nothing was written."


def test_sizes_and_units_are_seen_and_said_before_it_is_written(
    viewer: Any, dock: SaveDock, qtbot: Any, tmp_path: Path
) -> None:
    place = {"axis_labels": ("t", "y", "x"), "units": ("s", "pixel", "pixel")}
    fire = Colormap([[0, 0, 0], [0.6, 0.1, 0], [1, 0.2, 0]], name="my own")
    image = viewer.add_image(
        pattern((3, 64, 72)),
        name="a",
        colormap=fire,
        scale=(1 / 3, 1, 1),
        translate=(0, 10, 4),
        **place,
    )
    half = viewer.add_labels(
        np.ones((3, 32, 36), "u1"),
        name="n" * 300,
        scale=(1 / 3, 2, 2),
        translate=(0, 10.5, 4.5),
        **place,
    )
    dock.checks.choose([image, half])
    assert (dock.voxel.space.sizes.text(), dock.voxel.space.unit.currentText()) == (
        "1 × 1",
        "no unit",
    )
    assert (dock.voxel.time.sizes.text(), dock.voxel.time.unit.currentText()) == ("0.333333", "s")
    assert "voxels of 1 x 1 (no unit)" in dock.plan.text()
    assert "will be the nearest one, FF" in dock.plan.text()

    dock.voxel.space.sizes.setText("0.2")
    assert "a number for each of y, x" in dock.plan.text()
    dock.voxel.space.sizes.setText("0.2 × 0.5")
    dock.voxel.space.unit.setCurrentText("µm")
    assert "voxels of 0.2 x 0.5 µm" in dock.plan.text()
    dock.look()  # as when the mouse comes back
    saved = save(dock, qtbot, tmp_path / "said.zarr")

    (labels,) = saved.labels
    for each, size, start in ((saved, 1, 0), (labels, 2, 0.5)):
        assert [axis.unit for axis in each.axes] == ["second", "micrometer", "micrometer"]
        assert each.levels[0].scale == pytest.approx((1 / 3, 0.2 * size, 0.5 * size))
        assert each.levels[0].translation == pytest.approx((0, 2 + 0.2 * start, 2 + 0.5 * start))
    assert saved.levels[0].scale[0] == 1 / 3
    color = str(saved.channels[0].color)
    assert (color[:2], color[4:]) == ("FF", "00")
    assert saved.channels[0].colormap is None
    assert image.scale.tolist() == [1 / 3, 1, 1]
    image.scale = (1, 3, 3)
    dock.look()
    assert dock.voxel.space.sizes.text() == "3 × 3"


def test_results_of_one_image_are_told_apart(viewer: Any, dock: SaveDock, qtbot: Any) -> None:
    begins = "tissue: channel 0 → Gaussian blur → Otsu threshold → Label connected regions → "
    layers = [viewer.add_labels(np.ones((4, 4), int), name=begins + x) for x in ("1st", "2nd & 3")]

    def ends(of: int, text: str) -> bool:
        shown = str(dock.checks.box_of(layers[of]).text())
        return "…" in shown and shown.endswith(text)

    qtbot.waitUntil(lambda: ends(0, "1st") and ends(1, "2nd && 3"))


def test_five_axes_without_names_are_those_of_ome_zarr(
    viewer: Any, dock: SaveDock, qtbot: Any, tmp_path: Path
) -> None:
    voxels = pattern((2, 3, 4, 16, 20))
    layer = viewer.add_image(voxels, name="all of them")

    saved = save(dock, qtbot, tmp_path / "five.zarr", [layer])

    assert "".join(axis.name for axis in saved.axes) == "tczyx"
    assert (saved.read(0) == voxels).all()
    assert len(saved.channels) == 3


class Gated:
    """An array whose first plane is here, and whose second one waits for a gate."""

    def __init__(self) -> None:
        self.values = pattern((2, 64, 64))
        self.shape, self.dtype, self.ndim = self.values.shape, self.values.dtype, 3
        self.open, self.reached = threading.Event(), threading.Event()
        self.fails = False

    def __getitem__(self, index: Any) -> Any:
        if index[0].start:
            self.reached.set()
            self.open.wait(30)
            if self.fails:
                raise OSError("the disk has gone")
        return self.values[index]


def test_cancelled_it_goes_on_later(
    viewer: Any, dock: SaveDock, qtbot: Any, tmp_path: Path
) -> None:
    gated = Gated()
    lazy = da.from_array(gated, chunks=(1, 64, 64), name="gated", asarray=False)
    layer = viewer.add_image(lazy, name="slow", contrast_limits=(0, 60000))
    dock.checks.choose([layer])
    dock.rows.target.setText(str(tmp_path / "slow.zarr"))
    dock.rows.options.levels.setValue(1)
    dock.save()
    qtbot.waitUntil(gated.reached.is_set, timeout=30000)
    QTest.mouseClick(dock.run_bar.cancel_button, Qt.MouseButton.LeftButton)
    gated.open.set()
    qtbot.waitUntil(lambda: dock.run is None, timeout=30000)
    assert "goes on where it ended" in dock.run_bar.message.text()
    assert not (tmp_path / "slow.zarr" / "zarr.json").exists()

    dock.save()
    box = asked(dock, qtbot)
    with qtbot.waitSignal(dock.saved, timeout=30000):
        press(box, "Go on")
    assert (noc.open(tmp_path / "slow.zarr").read(0) == gated.values).all()


def test_a_bucket_that_refuses_is_told_in_one_sentence(
    viewer: Any, dock: SaveDock, qtbot: Any, s3: S3Server, told: list[str]
) -> None:
    viewer.add_image(pattern((40, 50)), name="mine")
    dock.rows.options.endpoint.setText(s3.endpoint)
    dock.rows.target.setText(f"s3://{s3.private}/new/mine.zarr")
    with qtbot.waitSignal(dock.failed, timeout=30000) as failure:
        dock.save()
    assert s3.private in failure.args[0]
    assert "refused" in dock.run_bar.message.text().lower()
    assert dock.run_bar.apply_button.isEnabled()
    assert len(told) == 1


def test_what_breaks_off_midway_says_why_what_is_kept_and_is_gone_on_with(
    viewer: Any, dock: SaveDock, qtbot: Any, cells: Written, told: list[str]
) -> None:
    gated = Gated()
    gated.open.set()
    gated.fails = True
    lazy = da.from_array(gated, chunks=(1, 64, 64), name="failing", asarray=False)
    layer = viewer.add_image(lazy, name="new", contrast_limits=(0, 60000))
    dock.checks.choose([layer])
    QTest.keyClicks(dock.rows.target, "x")  # typed: it stays what it is
    dock.rows.target.setText(str(cells.path))
    dock.rows.options.levels.setValue(1)
    dock.save()
    with qtbot.waitSignal(dock.failed, timeout=30000) as failure:
        press(asked(dock, qtbot), "Overwrite")

    assert "the disk has gone" in failure.args[0]
    assert "nothing else was touched" in dock.run_bar.message.text()
    assert (noc.open(cells.path).read(0) == cells.levels[0]).all()

    dock.save()
    box = asked(dock, qtbot)
    assert "the beginning of this same save" in box.informativeText()
    press(box, "Cancel")
    qtbot.waitUntil(lambda: dock.run is None)
    other = viewer.add_image(np.full((40, 50), 3, "u1"), name="other")
    dock.checks.choose([other])
    dock.save()
    box = asked(dock, qtbot)
    assert str(cells.path) in box.text()
    assert "the beginning of another save (“new”, 2 × 64 × 64)" in box.informativeText()
    with qtbot.waitSignal(dock.saved, timeout=30000):
        press(box, "Overwrite")
    assert (noc.open(cells.path).read(0) == 3).all()
    assert [path.name for path in cells.path.parent.iterdir()] == ["cells.zarr"]


def test_where_somebody_is_writing_nothing_is_asked(
    viewer: Any, dock: SaveDock, qtbot: Any, tmp_path: Path, told: list[str]
) -> None:
    viewer.add_image(pattern((40, 50)), name="mine")
    claim = Claim(open_target(parse_location(tmp_path / "a.zarr")), {"plan": {}, "origin": ""})
    io_thread().wait(claim.take())
    dock.rows.target.setText(str(tmp_path / "a.zarr"))

    with qtbot.waitSignal(dock.failed, timeout=30000) as failure:
        dock.save()

    claim.release()
    assert "is writing there. Wait until it has ended" in failure.args[0]


def test_napari_saves_with_it_from_its_menu_and_from_a_script(
    viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    image = viewer.add_image(pattern((2, 40, 50)), name="image")
    mask = viewer.add_labels(np.ones((2, 40, 50), "u1"), name="mask", rotate=30)
    image.gamma = 0.5

    with pytest.warns(UserWarning) as lost:
        assert viewer.layers.save(str(tmp_path / "a.ome.zarr"))
    gamma, turned = (str(each.message) for each in lost)
    assert gamma == "“image”: its gamma cannot be saved."
    assert turned.startswith("“mask” is rotated or sheared on screen")
    script = noc.open(tmp_path / "a.ome.zarr")
    assert (script.read(0) == image.data).all()
    assert [each.name for each in script.labels] == ["mask"]
    mask.rotate, image.gamma = 0, 1
    with pytest.raises(ExistsError):
        viewer.layers.save(str(tmp_path / "a.ome.zarr"))

    # As the menu does: the window is being served, and must not wait.
    viewer.layers.selection = {mask}
    ours = {"selected": True, "plugin": PLUGIN}
    QTimer.singleShot(0, lambda: viewer.layers.save(str(tmp_path / "b 50% #1"), **ours))
    qtbot.waitUntil((tmp_path / "b 50% #1.ome.zarr" / "zarr.json").exists, timeout=30000)
    dock = viewer.window._qt_window.findChild(SaveDock)
    qtbot.waitUntil(lambda: dock.run is None)
    assert (noc.open(tmp_path / "b 50% #1.ome.zarr").read(0) == 1).all()


def test_layers_that_make_no_image_are_refused(tmp_path: Path, viewer: Any) -> None:
    points = viewer.add_points(np.zeros((1, 2)), name="spots")
    with pytest.raises(WriteError, match="neither an image nor labels"):
        noc.save_layers([points], tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()
