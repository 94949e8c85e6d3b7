"""Images of OME-Zarr 0.6 in a real window: rotated, in another order, in scenes, processed."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from skimage import data, filters

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.live import add_live, plan_live, start_live
from napari_omezarr_cloud.napari.visible import visible_region
from napari_omezarr_cloud.napari.widgets.process_dock import ProcessDock
from napari_omezarr_cloud.process import Step
from tests.fixtures.coordinate_systems import system, write_06, write_scene
from tests.fixtures.images import pattern, pyramid
from tests.fixtures.rounds import rounds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer

PLUGIN = "napari-omezarr-cloud"
C, S = math.cos(math.radians(30)), math.sin(math.radians(30))
TURN = {"type": "rotation", "rotation": [[C, -S], [S, C]]}
SHEAR = {"type": "affine", "affine": [[1, 0.2, 30], [0, 1, -20]]}


@pytest.fixture
def shown(viewer: Any, qtbot: Any) -> Callable[[Path], list[Any]]:
    """Opens an image and waits for its picture."""

    def show(path: Path) -> list[Any]:
        layers = list(viewer.open(str(path), plugin=PLUGIN))
        qtbot.waitUntil(lambda: all(map(is_settled, layers)), timeout=20000)
        qtbot.wait(50)
        qtbot.waitUntil(lambda: all(map(is_settled, layers)), timeout=20000)
        return layers

    return show


def is_settled(layer: Any) -> bool:
    behind = display_of(layer)
    return behind is not None and behind.look is not None and behind.missing == 0


def photograph() -> np.ndarray[Any, Any]:
    return data.camera()[:384, :320]


def alike(one: np.ndarray[Any, Any], two: np.ndarray[Any, Any]) -> bool:
    """Tell whether two screenshots are the same, but for voxels that a screen pixel falls between.

    Half a voxel off, and a third of the pixels of a photograph differ.
    """
    assert len(np.unique(one.reshape(-1, 4), axis=0)) > 20, "there is something to see"
    differ = np.abs(one.astype(int) - two).max(axis=-1) > 8
    return bool(differ.mean() < 0.02)


def matrix_of(layer: Any) -> np.ndarray[Any, Any]:
    """Return the whole way from voxels to the world, as a matrix."""
    n = layer.ndim
    origin = np.array(layer.data_to_world(np.zeros(n)))
    columns = [np.array(layer.data_to_world(unit)) - origin for unit in np.eye(n)]
    return np.column_stack([*columns, origin])


@pytest.mark.parametrize("transformation", [TURN, SHEAR], ids=["rotated", "sheared and moved"])
def test_the_picture_is_that_of_napari_with_the_same_affine(
    viewer: Any, shown: Any, tmp_path: Path, qtbot: Any, transformation: dict[str, Any]
) -> None:
    pixels = photograph()
    path = write_06(tmp_path / "i.zarr", "yx", pyramid(pixels, 2), transformation, pixel=[0.5, 1])
    (layer,) = shown(path)
    ours = viewer.screenshot(flash=False)
    layer.visible = False
    affine = np.eye(3)
    affine[:2, : 2 if "rotation" in transformation else 3] = transformation[transformation["type"]]

    viewer.add_image(
        pixels,
        scale=[0.5, 1],
        affine=affine,
        units=["um", "um"],
        contrast_limits=layer.contrast_limits,
    )
    qtbot.wait(100)

    assert alike(ours, viewer.screenshot(flash=False))


@pytest.mark.parametrize("live", [False, True], ids=["result", "live layer"])
def test_a_filter_lies_exactly_over_a_rotated_image(
    viewer: Any, shown: Any, tmp_path: Path, qtbot: Any, live: bool
) -> None:
    path = write_06(tmp_path / "i.zarr", "yx", pyramid(photograph(), 2), TURN, pixel=[0.5, 0.5])
    (layer,) = shown(path)
    viewer.scene.camera.zoom *= 2
    qtbot.wait(80)
    qtbot.waitUntil(lambda: is_settled(layer), timeout=20000)
    seen = visible_region(viewer, layer)
    before = viewer.screenshot(flash=False)

    if live:
        plan = plan_live(Step("gaussian", {"sigma": 0.01}), [layer])
        future = start_live(plan)
        qtbot.waitUntil(future.done, timeout=20000)
        result = add_live(viewer, plan, future.result())
        qtbot.waitUntil(lambda: is_settled(result), timeout=20000)
        result.contrast_limits = layer.contrast_limits
    else:
        dock = ProcessDock(viewer)
        viewer.window.add_dock_widget(dock, name="Process", area="right", tabify=True)
        dock.choose("median", layer=layer, radius=0.5)
        with qtbot.waitSignal(dock.applied, timeout=30000) as told:
            dock.apply()
        result = told.args[0]
        assert seen.level.number == 0
        cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
        expected = filters.median(photograph()[seen.region.slices], cross)
        np.testing.assert_array_equal(result.data, expected)
        first = np.array(seen.region.start, float)
        np.testing.assert_allclose(
            result.data_to_world((0, 0)),
            layer.data_to_world(first * seen.level.to_data.scale + seen.level.to_data.translation),
        )
        dock.parent().close()
    np.testing.assert_allclose(result.affine.affine_matrix, layer.affine.affine_matrix)
    layer.visible = False
    qtbot.wait(100)

    if live:
        assert alike(before, viewer.screenshot(flash=False))


def test_units_other_than_micrometres_move_matrix_and_offset(tmp_path: Path) -> None:
    moved = {"type": "affine", "affine": [[C, -S, 2], [S, C, 3]]}
    path = write_06(
        tmp_path / "i.zarr",
        "yx",
        [pattern((8, 8))],
        moved,
        pixel=[1, 1],
        unit="millimeter",
        shown=system("world", "yx", "centimeter"),
    )

    ((_, attributes, _),) = noc.to_layers(noc.open(path))

    assert attributes["units"] == ["micrometer", "micrometer"]
    assert attributes["scale"] == [1000, 1000]
    # One step of 1 mm leads 1 cm along the turned axis, as the matrix is between the two.
    np.testing.assert_allclose(
        attributes["affine"], [[10 * C, -10 * S, 2e4], [10 * S, 10 * C, 3e4], [0, 0, 1]]
    )


def test_array_coordinates_get_the_pixel_size_of_where_they_lead(tmp_path: Path) -> None:
    matrix = {"type": "affine", "affine": [[0.5 * C, -0.5 * S, 1], [0.5 * S, 0.5 * C, 2]]}
    path = write_06(
        tmp_path / "i.zarr",
        "ji",
        pyramid(pattern((16, 16)), 1),
        matrix,
        unit=None,
        shown=system("world", "yx"),
    )

    image = noc.open(path)

    assert [axis.unit for axis in image.axes] == ["micrometer", "micrometer"]
    assert image.levels[0].scale == pytest.approx((0.5, 0.5))
    assert image.affine is not None
    np.testing.assert_allclose(image.affine.matrix, [[C, -S], [S, C]])
    np.testing.assert_allclose(image.affine.translation, [1, 2])


def test_scale_and_translation_become_part_of_the_levels(tmp_path: Path) -> None:
    steps = [
        {"type": "scale", "scale": [10, 10]},
        {"type": "translation", "translation": [100, 200]},
    ]
    path = write_06(
        tmp_path / "i.zarr",
        "yx",
        pyramid(pattern((16, 16)), 2),
        {"type": "sequence", "transformations": steps},
        pixel=[0.5, 0.5],
    )

    image = noc.open(path)

    assert image.affine is None
    assert [level.scale for level in image.levels] == [(5, 5), (10, 10)]
    assert image.levels[1].translation == pytest.approx((102.5, 202.5))
    systems = {each.name: each.affine for each in image.coordinate_systems}
    assert systems["world"]((1, 1)) == (110, 210)


def test_another_order_of_axes_is_shown_in_the_order_of_the_world(
    viewer: Any, shown: Any, tmp_path: Path, qtbot: Any
) -> None:
    pixels = pattern((5, 24, 32))
    path = write_06(
        tmp_path / "i.zarr",
        "zyx",
        [pixels],
        {"type": "mapAxis", "mapAxis": [2, 0, 1]},
        pixel=[2, 0.5, 0.25],
    )

    (layer,) = shown(path)
    viewer.dims.set_current_step(0, 7)
    qtbot.waitUntil(lambda: is_settled(layer), timeout=20000)

    np.testing.assert_array_equal(np.asarray(layer.data[0]), np.transpose(pixels, (2, 0, 1)))
    np.testing.assert_array_equal(np.asarray(layer._slice.image.raw), pixels[:, :, 7])
    np.testing.assert_allclose(matrix_of(layer)[:, :3], np.diag([0.25, 2, 0.5]))
    assert noc.open(path).read(0).shape == (5, 24, 32), "arrays stay as they are stored"


def test_a_live_layer_over_another_order_of_axes_is_the_operation_there(
    viewer: Any, shown: Any, tmp_path: Path, qtbot: Any
) -> None:
    pixels = pattern((24, 5, 32))
    path = write_06(tmp_path / "i.zarr", "yzx", [pixels], {"type": "mapAxis", "mapAxis": [1, 0, 2]})
    (layer,) = shown(path)
    plan = plan_live(Step("gaussian", {"sigma": 1.0}), [layer])
    future = start_live(plan)
    qtbot.waitUntil(future.done, timeout=20000)

    live = add_live(viewer, plan, future.result())

    expected = filters.gaussian(pixels[:, 2].astype("f4"), 1, preserve_range=True)
    np.testing.assert_allclose(np.asarray(live.data[0][2]), expected, rtol=1e-4)
    np.testing.assert_allclose(matrix_of(live), matrix_of(layer))


def test_channels_and_labels_of_a_rotated_image_are_rotated_with_it(
    shown: Any, tmp_path: Path, qtbot: Any, viewer: Any
) -> None:
    turn = {
        "type": "byDimension",
        "transformations": [
            {"transformation": {"type": "identity"}, "inputAxes": [0], "outputAxes": [0]},
            {"transformation": TURN, "inputAxes": [1, 2], "outputAxes": [1, 2]},
        ],
    }
    path = write_06(tmp_path / "i.zarr", "cyx", [pattern((2, 32, 32))], turn, pixel=[1, 2, 2])
    write_06(path / "labels" / "cells", "yx", [pattern((16, 16))], pixel=[4, 4])
    group = zarr.open_group(path / "labels", mode="a", zarr_format=3)
    group.attrs["ome"] = {"version": "0.6rc0", "labels": ["cells"]}

    layers = shown(path)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=20000)

    expected = np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]])
    for layer in viewer.layers:
        np.testing.assert_allclose(layer.affine.affine_matrix, expected)
    assert len(layers) in (2, 3)
    assert list(viewer.layers[2].scale) == [4, 4]


def test_an_image_that_is_turned_out_of_its_planes_says_so(tmp_path: Path) -> None:
    tilt = {"type": "rotation", "rotation": [[C, -S, 0], [S, C, 0], [0, 0, 1]]}
    spin = {"type": "rotation", "rotation": [[1, 0, 0], [0, C, -S], [0, S, C]]}
    tilted = noc.open(write_06(tmp_path / "a.zarr", "zyx", [pattern((4, 8, 8))], tilt))
    spun = noc.open(write_06(tmp_path / "b.zarr", "zyx", [pattern((4, 8, 8))], spin))

    assert any("out of its planes" in note for note in tilted.notes)
    assert not any("out of its planes" in note for note in spun.notes)


def place(path: str) -> dict[str, str]:
    return {"path": path, "name": "physical"}


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Three images: the first where it is, the second turned and moved, the third far below."""
    path = write_scene(
        tmp_path / "scene.zarr",
        {"type": "identity", "input": place("a"), "output": {"name": "world"}},
        {
            "type": "sequence",
            "transformations": [TURN, {"type": "translation", "translation": [0, 300]}],
            "input": place("b"),
            "output": {"name": "world"},
        },
        {
            "type": "translation",
            "translation": [-300, 0],
            "input": {"name": "world"},
            "output": place("c"),
        },
    )
    for name in "abc":
        write_06(path / name, "yx", pyramid(photograph(), 2), pixel=[0.5, 0.5])
    return path


def test_a_scene_puts_all_its_images_in_their_places(shown: Any, viewer: Any, scene: Path) -> None:
    layers = shown(scene)

    assert [layer.name for layer in layers] == ["a", "b", "c"]
    np.testing.assert_allclose(matrix_of(layers[0]), [[0.5, 0, 0], [0, 0.5, 0]])
    np.testing.assert_allclose(
        matrix_of(layers[1]), [[C / 2, -S / 2, 0], [S / 2, C / 2, 300]], atol=1e-9
    )
    np.testing.assert_allclose(matrix_of(layers[2]), [[0.5, 0, 300], [0, 0.5, 0]])


def test_a_scene_opens_in_three_rounds_and_asks_for_no_other_image(
    scene: Path, slow_server: Callable[..., SlowServer]
) -> None:
    write_06(scene / "elsewhere", "yx", [pattern((8, 8))])
    server = slow_server(scene.parent, latency_s=0.4)

    image = noc.open(f"{server.url}/scene.zarr")

    asked = [each.path.removeprefix("/scene.zarr/") for each in server.log]
    assert rounds(server.log) == 3
    assert [each.name for each in (image, *image.together)] == ["a", "b", "c"]
    assert image.together[0].affine is not None
    inside = [path for path in asked if path[:2] in ("a/", "b/", "c/")]
    assert set(inside) >= {f"{name}/{key}zarr.json" for name in "abc" for key in ("", "0/", "1/")}
    # Each image: its group, its levels (one guess too many), whether it has labels.
    assert len(inside) == len(set(inside)) <= 3 * 6
    assert not any("elsewhere" in path for path in asked)


def test_an_image_of_a_scene_that_is_missing_is_a_note(scene: Path) -> None:
    document = json.loads((scene / "zarr.json").read_text())
    links = document["attributes"]["ome"]["scene"]["coordinateTransformations"]
    links.append({"type": "identity", "input": place("gone"), "output": {"name": "world"}})
    (scene / "zarr.json").write_text(json.dumps(document))

    image = noc.open(scene)

    assert len(image.together) == 2
    assert any("'gone' could not be opened" in note for note in image.notes)
