"""Volumes in 3-D: coarse to fine and never blank, over time, and a box of them in full."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.errors import OperationError, RegionError
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.look import Look, steps_to
from napari_omezarr_cloud.napari.visible import visible_region
from napari_omezarr_cloud.napari.widgets.box_dock import BoxDock
from napari_omezarr_cloud.ngff import Axis
from napari_omezarr_cloud.pyramid import PyramidView, Region, Transform
from napari_omezarr_cloud.pyramid.in_memory import array_pyramid
from napari_omezarr_cloud.settings import Settings, choose
from tests.fixtures.images import pattern, write_directly
from tests.fixtures.slow_http import SlowServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.fixtures.images import Written

PLUGIN = "napari-omezarr-cloud"
STEP = (2.0, 0.5, 0.25)
PLACE = (10.0, -3.0, 7.0)
ALL = {0, 1, 2, 3}


def test_levels_between_are_shown_where_they_are_cheap() -> None:
    def steps(*shapes: tuple[int, ...]) -> list[int]:
        axes = [Axis(name, "space") for name in "zyx"]
        scales = [tuple(a / b for a, b in zip(shapes[0], s, strict=True)) for s in shapes]
        transforms = [Transform(scale, (0.0,) * 3) for scale in scales]
        arrays = [np.zeros(shape, "u1") for shape in shapes]
        view = PyramidView.of(array_pyramid(arrays, axes, transforms, "steps"))
        look = Look(0, Region.whole(shapes[0]), (0, 1, 2), (1, 1, 1))
        return [each.number for each in steps_to(view, look)]

    halved = [(64, 4096 >> n, 4096 >> n) for n in range(4)]
    assert steps(*halved) == [3, 2, 1], "a quarter each, where z stays"
    narrowed = [(64, 4096, 4096 >> n) for n in range(4)]
    assert steps(*narrowed) == [3, 2], "half of the target is too much for what is soon replaced"


class HeldServer(SlowServer):
    """Answers what is held only once it is let go."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.held: set[int] = set()

    async def _reply(self, exchange: Any, *args: Any) -> bool:
        while any(f"/{level}/c/" in exchange.path for level in self.held):
            await asyncio.sleep(0.005)
        return await super()._reply(exchange, *args)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Five time points of a volume of odd shape; its levels are every second voxel of the last."""
    levels = [pattern((5, 33, 190, 190)) % 60000 + 1]
    for _ in range(3):
        levels.append(levels[-1][:, ::2, ::2, ::2])
    transforms = [((10.0, *(s * 2**n for s in STEP)), (0.0, *PLACE)) for n in range(len(levels))]
    path = tmp_path_factory.mktemp("volumes") / "stack.zarr"
    window = {"start": 0, "end": 60000, "min": 0, "max": 65535}  # else it is taken from all times
    return write_directly(
        path,
        "tzyx",
        levels,
        chunks=(1, 16, 64, 64),
        transforms=transforms,
        omero={"channels": [{"window": window, "color": "FFFFFF", "active": True}]},
    )


@pytest.fixture
def truth(stack: Written) -> Sequence[np.ndarray[Any, Any]]:
    return stack.levels


@pytest.fixture
def server(stack: Written) -> Iterator[HeldServer]:
    with HeldServer(stack.path.parent) as held:
        yield held


@pytest.fixture
def small_budget() -> Iterator[None]:
    """One MB for a volume: level 1 of the whole fits, level 0 does not."""
    choose(replace(Settings(), volume_mb=1))
    yield
    choose(Settings())


class Shown:
    """Every picture that a layer has shown in 3-D."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.pictures: list[np.ndarray[Any, Any]] = []
        layer.events.set_data.connect(self._note)

    def _note(self, event: Any) -> None:
        pixels = self.layer._slice.image.raw
        if pixels.ndim == 3:
            self.pictures.append(pixels.copy())

    def shows(self, pixels: np.ndarray[Any, Any]) -> bool:
        return bool(self.pictures) and np.array_equal(self.pictures[-1], pixels)


def open_in_3d(viewer: Any, qtbot: Any, server: HeldServer, held: set[int]) -> tuple[Any, Shown]:
    """Open the stack at its first time point, with some levels held, and look at it in 3-D."""
    server.held = ALL
    layer = viewer.open(f"{server.url}/stack.zarr", plugin=PLUGIN)[0]
    viewer.dims.set_current_step(0, 0)
    shown = Shown(layer)
    viewer.dims.ndisplay = 3
    server.held = held
    return layer, shown


def first_voxel(viewer: Any, layer: Any) -> np.ndarray[Any, Any]:
    """Return where the canvas draws the centre of the first voxel that is shown, in the world."""
    node = viewer.window._qt_viewer.canvas.layer_to_visual[layer].node
    return np.asarray(node.transform.map([0, 0, 0]))[:3][::-1]


def test_a_volume_goes_from_coarse_to_fine_at_its_place_and_is_never_blank(
    viewer: Any, qtbot: Any, server: HeldServer, truth: Sequence[np.ndarray[Any, Any]]
) -> None:
    layer, shown = open_in_3d(viewer, qtbot, server, {0, 1, 2})

    qtbot.waitUntil(lambda: shown.shows(truth[3][0]), timeout=20000)
    assert "loading: 0 of 27 chunks" in display_of(layer).progress
    first = len(shown.pictures)
    for level in (2, 1, 0):
        server.held = server.held - {level}
        qtbot.waitUntil(lambda number=level: shown.shows(truth[number][0]), timeout=20000)
        np.testing.assert_allclose(first_voxel(viewer, layer), PLACE)

    assert display_of(layer).progress == ""
    levels = [next(n for n in range(4) if p.shape == truth[n][0].shape) for p in shown.pictures]
    assert levels[first - 1 :] == [3, 2, 1, 0], "one picture for each level, as it is whole"
    for level, picture in zip(levels[first:], shown.pictures[first:], strict=True):
        np.testing.assert_array_equal(picture, truth[level][0])


def test_another_time_point_replaces_the_former_when_it_is_here_and_not_after_a_failure(
    viewer: Any, qtbot: Any, server: HeldServer, truth: Sequence[np.ndarray[Any, Any]]
) -> None:
    layer, shown = open_in_3d(viewer, qtbot, server, set())
    qtbot.waitUntil(lambda: shown.shows(truth[0][0]), timeout=20000)
    server.held = ALL

    viewer.dims.set_current_step(0, 3)  # that in the middle was seen

    assert shown.shows(truth[0][0]), "the former stays"
    display = display_of(layer)
    assert "former" in display.progress, "and is marked"
    assert display.missing == display.wanted == 27
    ray = [np.array([1.0, 0, 0, 0]), np.array([1.0, 33, 190, 190])]
    assert layer._get_value_3d(*ray, [1, 2, 3]) is None, "it is not measured"
    shown.pictures.clear()
    server.held = {0, 1}
    qtbot.waitUntil(lambda: shown.shows(truth[2][3]), timeout=20000)
    assert "former" not in display.progress
    known = [truth[0][0], truth[3][3], truth[2][3]]
    assert all(any(np.array_equal(p, one) for one in known) for p in shown.pictures)

    server.held = set()
    qtbot.waitUntil(lambda: shown.shows(truth[0][3]), timeout=20000)
    for level in range(4):
        server.fault(f"/{level}/c/4/", "short")
    viewer.dims.set_current_step(0, 4)
    qtbot.waitUntil(lambda: "unreadable" in display.progress, timeout=20000)
    qtbot.waitUntil(lambda: "former" not in display.progress, timeout=20000)
    assert not shown.shows(truth[0][3]), "the former must not pass for what could not be read"
    assert shown.pictures[-1].max() == 0


def test_the_volume_and_its_steps_stay_within_the_budget(
    viewer: Any,
    qtbot: Any,
    server: HeldServer,
    truth: Sequence[np.ndarray[Any, Any]],
    small_budget: None,
) -> None:
    layer, shown = open_in_3d(viewer, qtbot, server, set())

    qtbot.waitUntil(lambda: shown.shows(truth[1][0]), timeout=20000)
    assert layer.locked_data_level == 1
    assert max(p.nbytes for p in shown.pictures) <= 1 << 20
    assert not any("/0/c/0/0/" in path for path in server.paths), "nor is more asked for"


def test_a_box_in_view_is_shown_in_full_at_its_place_and_moves(
    viewer: Any,
    qtbot: Any,
    server: HeldServer,
    truth: Sequence[np.ndarray[Any, Any]],
    small_budget: None,
) -> None:
    layer, shown = open_in_3d(viewer, qtbot, server, set())
    qtbot.waitUntil(lambda: shown.shows(truth[1][0]), timeout=20000)
    shown.pictures.clear()
    with pytest.raises(RegionError, match="is in the box"):
        noc.show_full_resolution(viewer, [(900, 910), (900, 910), (900, 910)])
    server.held = {0}
    viewer.scene.camera.angles = (0, 0, 0)
    viewer.scene.camera.center = (43, 10, 20)
    viewer.scene.camera.zoom = 20

    told = noc.show_full_resolution(viewer)

    box = display_of(layer).box
    height, width = (n / 20 for n in viewer.canvas.size)
    ends = zip((10, 20), (height, width), PLACE[1:], STEP[1:], strict=True)
    for axis, (at, size, place, step) in enumerate(ends, 2):
        first, last = ((at + s * size / 2 - place) / step for s in (-1, 1))
        assert box.start[axis] == max(np.floor(first + 0.5), 0)
        assert box.stop[axis] == min(np.ceil(last + 0.5), 190)
    assert (box.start[1], box.stop[1]) == (0, 33), "all of the depth is in view"
    assert layer.locked_data_level == 0
    assert told.startswith("In view: full resolution, level 0 · ") and "chunks to load" in told
    coarse = shown.pictures[-1]
    assert coarse.shape[0] == 17 and coarse.min() > 0, "meanwhile it is shown coarser"
    server.held = set()
    expected = truth[0][0][box.slices[1:]]
    qtbot.waitUntil(lambda: shown.shows(expected), timeout=20000)
    corner = np.array(PLACE) + np.array(STEP) * box.start[1:]
    np.testing.assert_allclose(first_voxel(viewer, layer), corner)
    frame = layer._display_bounding_box_at_level([1, 2, 3], 0)
    np.testing.assert_allclose(frame, [[0, n - 1] for n in expected.shape])
    assert visible_region(viewer, layer).region.shape[1:] == expected.shape
    inside = np.add([0.0, *box.start[1:]], [0, 5.5, 6.5, 7.5])
    along = np.array([0, 1, 0, 0])
    value = layer._get_value_3d(inside - 40 * along, inside + 40 * along, [1, 2, 3])
    assert value[1] == expected[:, 6, 7].max(), "what is picked lies on the ray"

    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: shown.shows(truth[0][1][box.slices[1:]]), timeout=20000)
    noc.show_full_resolution(viewer, [(20, 30), (0, 5), (10, 20)])
    qtbot.waitUntil(lambda: shown.shows(truth[0][1][5:11, 6:17, 12:53]), timeout=20000)
    assert len(viewer.layers) == 1, "the box moved"
    assert min(picture.min() for picture in shown.pictures) > 0

    noc.show_whole_volume(viewer)
    qtbot.waitUntil(lambda: shown.shows(truth[1][1]), timeout=20000)
    noc.show_full_resolution(viewer, [(20, 30), (0, 5), (10, 20)])
    viewer.dims.ndisplay = 2
    assert display_of(layer).box is None
    with pytest.raises(OperationError, match="needs the 3D view"):
        noc.show_full_resolution(viewer)


@pytest.mark.parametrize("perspective", [0, 40])
def test_the_box_in_view_holds_what_the_canvas_shows_and_no_more(
    viewer: Any, qtbot: Any, server: HeldServer, perspective: float
) -> None:
    layer, _ = open_in_3d(viewer, qtbot, server, ALL)
    viewer.scene.camera.perspective = perspective
    viewer.scene.camera.angles = (20, 35, -50)
    viewer.scene.camera.center = (45, 30, 25)
    viewer.scene.camera.zoom = 60

    noc.show_full_resolution(viewer)

    box = display_of(layer).box
    node = viewer.window._qt_viewer.canvas.layer_to_visual[layer].node
    to_canvas = node.get_transform(map_from="scene", map_to="canvas")
    voxels = np.stack(np.meshgrid(*map(np.arange, (33, 190, 190)), indexing="ij"), -1)
    world = voxels.reshape(-1, 3) * STEP + PLACE
    drawn = to_canvas.map(world[:, ::-1])
    places = drawn[:, :2] / drawn[:, 3:]
    on_canvas = np.all((places >= 0) & (places <= viewer.canvas.size[::-1]), axis=1)
    on_canvas &= drawn[:, 3] > 0  # before the eye
    seen = voxels.reshape(-1, 3)[on_canvas]
    low, high = seen.min(axis=0), seen.max(axis=0) + 1
    slack = 2 * max(STEP) / np.array(STEP)  # a thin edge may go between the voxels
    assert np.all((low - slack <= box.start[1:]) & (box.start[1:] <= low))
    assert np.all((high <= box.stop[1:]) & (box.stop[1:] <= high + slack))
    assert np.prod(high - low) < voxels.size / 6, "some of it is out of view"


def test_the_dock_tells_what_it_costs_shows_how_far_it_is_and_can_cancel(
    viewer: Any,
    qtbot: Any,
    server: HeldServer,
    truth: Sequence[np.ndarray[Any, Any]],
    small_budget: None,
) -> None:
    dock = BoxDock(viewer)
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(lambda: "needs the 3D view" in dock.region.text(), timeout=20000)
    assert not dock.run_bar.apply_button.isEnabled()
    layer, shown = open_in_3d(viewer, qtbot, server, set())
    qtbot.waitUntil(lambda: shown.shows(truth[1][0]), timeout=20000)
    qtbot.waitUntil(lambda: "Full resolution would be 2.4 MB" in dock.region.text(), timeout=20000)
    assert "1 MB is the most" in dock.region.text()
    assert dock.run_bar.apply_button.text() == "Show at level 1"
    box = viewer.add_shapes(
        [[[0, 10, 0, 10], [0, 10, 0, 20], [0, 10, 20, 20], [0, 10, 20, 10]]], ndim=4
    )
    viewer.layers.selection = {box}
    qtbot.waitUntil(lambda: "The rectangle of" in dock.region.text(), timeout=20000)
    told = dock.region.text().split("\n")
    assert told[0] == "The rectangle of “Shapes”: full resolution, level 0"
    assert told[1].startswith("41 × 41 × 33 px")
    assert told[2:] == ["111 kB", "3 of 3 chunks to load"]
    assert dock.run_bar.apply_button.text() == "Show at full resolution"
    server.held = {0}

    dock.show_box()

    assert dock.run_bar.is_running
    assert dock.run_bar.message.text() == "0 of 3 chunks"
    dock.cancel()
    assert not dock.run_bar.is_running
    qtbot.waitUntil(lambda: shown.shows(truth[1][0]), timeout=20000)
    assert layer.locked_data_level == 1
    server.held = set()
    with qtbot.waitSignal(dock.ended, timeout=20000):
        dock.show_box()
    assert shown.shows(truth[0][0][:, 6:47, 12:53])
    assert dock.run_bar.message.text() == "Level 0 of the box is shown."
    assert dock.whole_button.isEnabled()
    dock.whole_button.click()
    assert not dock.whole_button.isEnabled()
    qtbot.waitUntil(lambda: shown.shows(truth[1][0]), timeout=20000)


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    notification_manager.records.clear()
    yield
    engine().retry()
