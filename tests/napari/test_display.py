"""What a person sees in a real window while chunks arrive from a slow server."""

from __future__ import annotations

import gc
import json
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from napari import Viewer
from napari.settings import get_settings
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QApplication

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.napari.commands import retry_failed
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.store import remote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer

PLUGIN = "napari-omezarr-cloud"
Serve = "Callable[..., SlowServer]"


def write_image(
    folder: Path, levels: list[np.ndarray[Any, Any]], axes: str, chunks: tuple[int, ...], **ome: Any
) -> None:
    """Write an OME-Zarr 0.5 by hand, so that its truth is known to the voxel."""
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    datasets = []
    for number, level in enumerate(levels):
        group.create_array(str(number), data=level, chunks=chunks)
        shapes = zip(axes, levels[0].shape, level.shape, strict=True)
        factor = [whole / n if axis in "yx" else 1.0 for axis, whole, n in shapes]
        transforms = [
            {"type": "scale", "scale": factor},
            {"type": "translation", "translation": [(f - 1) / 2 for f in factor]},
        ]
        datasets.append({"path": str(number), "coordinateTransformations": transforms})
    kinds = {"t": "time", "c": "channel"}
    listed = [{"name": a, "type": kinds.get(a, "space")} for a in axes]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": listed, "datasets": datasets}],
        **ome,
    }


def pyramid(base: np.ndarray[Any, Any], count: int) -> list[np.ndarray[Any, Any]]:
    levels = [base]
    for _ in range(count - 1):
        last = levels[-1]
        *front, y, x = last.shape
        halved = last.reshape(*front, y // 2, 2, x // 2, 2).mean((-3, -1))
        levels.append(halved.astype(base.dtype))
    return levels


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A plane (2 channels) and a stack with labels in a folder, and their voxels."""
    place = tmp_path_factory.mktemp("display")
    rng = np.random.default_rng(1)
    plane = rng.integers(100, 60000, (2, 2048, 2048)).astype("u2")
    omero = {"channels": [
        {"label": n, "color": c, "window": {"start": 0, "end": 65535}, "active": a}
        for n, c, a in (("one", "00FF00", True), ("two", "FF00FF", False))]}  # fmt: skip
    write_image(place / "plane.zarr", pyramid(plane, 3), "cyx", (1, 256, 256), omero=omero)
    stack = rng.integers(100, 60000, (6, 256, 256)).astype("u2")
    write_image(place / "stack.zarr", pyramid(stack, 2), "zyx", (1, 64, 64))
    blobs = np.repeat(np.repeat(rng.integers(0, 9, (6, 32, 32)), 8, 1), 8, 2).astype("u2")
    folder = place / "stack.zarr" / "labels"
    zarr.open_group(folder, mode="w", zarr_format=3).attrs["ome"] = {"labels": ["cells"]}
    halves = [blobs, blobs[:, ::2, ::2]]
    write_image(folder / "cells", halves, "zyx", (1, 64, 64), **{"image-label": {"version": "0.5"}})
    return place, {"plane": plane, "stack": stack, "cells": blobs}


@pytest.fixture
def served(images: tuple[Path, dict[str, Any]], slow_server: Any) -> SlowServer:
    """A server of the images; ``truth`` are their voxels."""
    folder, truth = images
    server: SlowServer = slow_server(folder, latency_s=0.05)
    server.truth = truth
    return server


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def slicing(request: pytest.FixtureRequest) -> Iterator[bool]:
    settings = get_settings().experimental
    before = settings.async_
    settings.async_ = request.param
    yield request.param
    settings.async_ = before  # from now on nothing new is sliced in the thread
    for viewer in tuple(Viewer._instances):
        viewer._layer_slicer.wait_until_idle(timeout=20)
    # What the thread hands to the window keeps that alive until Qt has delivered it.
    QApplication.processEvents()


def complete(layer: Any) -> bool:
    shown = display_of(layer)
    return shown is not None and shown.look is not None and shown.missing == 0 and layer.loaded


def test_a_layer_becomes_the_truth(
    make_napari_viewer: Any, qtbot: Any, served: SlowServer, slicing: bool
) -> None:
    viewer = make_napari_viewer(show=True)

    layers = viewer.open(f"{served.url}/plane.zarr", plugin=PLUGIN)
    qtbot.waitUntil(lambda: complete(layers[0]), timeout=20000)
    viewer.scene.camera.zoom *= 8
    qtbot.waitUntil(lambda: layers[0].data_level == 0 and complete(layers[0]), timeout=20000)

    look = display_of(layers[0]).look
    expected = served.truth["plane"][0][look.region.slices]
    np.testing.assert_array_equal(layers[0]._slice.image.raw, expected)
    assert layers[0].visible
    assert not layers[1].visible, "omero says that this channel is not active"


def test_zooming_shows_a_stand_in_at_once_while_data_stay_exact(
    make_napari_viewer: Any, qtbot: Any, served: SlowServer
) -> None:
    viewer = make_napari_viewer(show=True)
    layer = viewer.open(f"{served.url}/plane.zarr", plugin=PLUGIN)[0]
    qtbot.waitUntil(lambda: complete(layer), timeout=20000)
    served.latency_s = 0.5

    viewer.scene.camera.zoom *= 8
    qtbot.waitUntil(lambda: layer.data_level == 0, timeout=5000)

    shown = display_of(layer)
    assert shown.missing > 0
    picture = layer._slice.image.raw
    assert picture.std() > 1000, "the coarser level stands in, not an empty canvas"
    exact = layer.data[0][:128, :128].compute()
    np.testing.assert_array_equal(exact, served.truth["plane"][0][:128, :128])


def test_the_gui_thread_never_fetches_nor_decodes(
    make_napari_viewer: Any, qtbot: Any, served: SlowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()
    fetch, wait = remote.RemoteStore._get, engine().io.wait

    async def spy(self: Any, *args: Any) -> Any:
        threads.add(threading.get_ident())
        return await fetch(self, *args)

    def no_wait(work: Any, *args: Any) -> Any:
        assert threading.current_thread() is not threading.main_thread()
        return wait(work, *args)

    monkeypatch.setattr(remote.RemoteStore, "_get", spy)
    viewer = make_napari_viewer(show=True)
    layer = viewer.open(f"{served.url}/stack.zarr", plugin=PLUGIN)[0]
    monkeypatch.setattr(engine().io, "wait", no_wait)
    qtbot.waitUntil(lambda: complete(layer), timeout=20000)
    viewer.scene.camera.zoom *= 4
    viewer.dims.set_current_step(0, 4)
    qtbot.waitUntil(lambda: complete(layer), timeout=20000)

    assert threads
    assert threading.main_thread().ident not in threads


def test_moving_on_cancels_what_is_no_longer_wanted(
    make_napari_viewer: Any, qtbot: Any, served: SlowServer
) -> None:
    viewer = make_napari_viewer(show=True)
    layer = viewer.open(f"{served.url}/stack.zarr", plugin=PLUGIN)[0]
    qtbot.waitUntil(lambda: complete(layer), timeout=20000)
    first = "stack.zarr/0/c/0/"  # of the image: its labels come, if they are quicker than we
    served.fault(first, "hang")
    served.clear_log()

    viewer.dims.set_current_step(0, 0)
    assert served.wait_until(lambda s: any(first in e.path for e in s.log))
    viewer.dims.set_current_step(0, 5)

    qtbot.waitUntil(lambda: complete(layer), timeout=20000)
    assert served.wait_until(
        lambda s: all(e.abandoned for e in s.log if first in e.path), timeout_s=10
    )


def test_labels_stand_in_and_settle(
    make_napari_viewer: Any, qtbot: Any, served: SlowServer
) -> None:
    viewer = make_napari_viewer(show=True)
    layers = viewer.open(f"{served.url}/stack.zarr", plugin=PLUGIN)
    cells = next(layer for layer in layers if type(layer).__name__ == "Labels")

    qtbot.waitUntil(lambda: complete(cells), timeout=20000)

    look = display_of(cells).look
    assert look.number == 0
    expected = served.truth["cells"][look.region.slices][0]
    np.testing.assert_array_equal(cells._slice.image.raw, expected)


def test_a_volume_is_coarse_at_once_and_then_finer(
    make_napari_viewer: Any, qtbot: Any, served: SlowServer, slicing: bool
) -> None:
    viewer = make_napari_viewer(show=True)
    layer = viewer.open(f"{served.url}/stack.zarr", plugin=PLUGIN)[0]

    viewer.dims.ndisplay = 3

    assert layer.locked_data_level == 0, "the finest level fits the graphics card"
    qtbot.waitUntil(lambda: complete(layer) and layer._slice.image.raw.ndim == 3, timeout=20000)
    np.testing.assert_array_equal(layer._slice.image.raw, served.truth["stack"])
    viewer.dims.ndisplay = 2
    assert layer.locked_data_level is None
    qtbot.waitUntil(lambda: complete(layer), timeout=20000)


def test_a_bad_chunk_is_told_and_never_painted_as_zeros(
    make_napari_viewer: Any, qtbot: Any, served: SlowServer, capsys: Any
) -> None:
    served.fault("stack.zarr/0/c/2/1/1", "short")
    viewer = make_napari_viewer(show=True)

    layer = viewer.open(f"{served.url}/stack.zarr", plugin=PLUGIN)[0]
    shown = display_of(layer)

    def told() -> bool:
        sentences = [str(record.message) for record in notification_manager.records]
        return any("0/c/2/1/1" in sentence for sentence in sentences)

    qtbot.waitUntil(lambda: told() and shown.missing == 1, timeout=20000)
    assert layer._slice.image.raw.min() >= 100, "the hole shows the coarser level"
    assert shown.value_at((2, 80, 80)) is None
    assert shown.value_at((2, 10, 10)) == served.truth["stack"][2, 10, 10]


def test_what_could_not_be_read_is_tried_again_on_demand(
    make_napari_viewer: Any, qtbot: Any, served: SlowServer
) -> None:
    served.fault("stack.zarr/0/c/2/1/1", "short", times=1)
    viewer = make_napari_viewer(show=True)
    layer = viewer.open(f"{served.url}/stack.zarr", plugin=PLUGIN)[0]
    shown = display_of(layer)
    qtbot.waitUntil(lambda: bool(shown.failures()) and shown.missing == 1, timeout=20000)

    retry_failed()

    qtbot.waitUntil(lambda: complete(layer), timeout=20000)
    np.testing.assert_array_equal(layer._slice.image.raw, served.truth["stack"][2])


def test_hovering_gives_the_voxel_under_the_cursor(
    make_napari_viewer: Any, qtbot: Any, served: SlowServer
) -> None:
    viewer = make_napari_viewer(show=True)
    layer = viewer.open(f"{served.url}/stack.zarr", plugin=PLUGIN)[0]
    qtbot.waitUntil(lambda: complete(layer) and layer.data_level == 0, timeout=20000)

    for point in ((2, 10.0, 20.0), (2, 10.4, 19.6), (2, 255.4, 0.0)):
        level, value = layer.get_value(point, world=True)
        y, x = round(point[1]), round(point[2])
        assert (level, value) == (0, served.truth["stack"][2, y, x])


def test_removing_a_layer_frees_its_memory_and_ends_its_requests(
    make_napari_viewer: Any, qtbot: Any, served: SlowServer
) -> None:
    viewer = make_napari_viewer(show=True)
    before = engine().cache.nbytes
    layer = viewer.open(f"{served.url}/stack.zarr", plugin=PLUGIN)[0]
    qtbot.waitUntil(lambda: complete(layer), timeout=20000)
    served.fault("stack.zarr/0/", "hang")
    viewer.dims.set_current_step(0, 0)
    qtbot.waitUntil(lambda: engine().jobs_under_way > 0, timeout=5000)

    viewer.layers.clear()

    qtbot.waitUntil(lambda: engine().jobs_under_way == 0, timeout=5000)
    assert engine().cache.nbytes <= before


def test_the_window_may_close_while_loading(
    make_napari_viewer: Any, qtbot: Any, served: SlowServer
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.open(f"{served.url}/plane.zarr", plugin=PLUGIN)
    served.fault("plane.zarr/0/", "hang")
    viewer.scene.camera.zoom *= 8
    qtbot.waitUntil(lambda: engine().jobs_under_way > 0, timeout=5000)

    viewer.close()

    qtbot.waitUntil(lambda: engine().jobs_under_way == 0, timeout=5000)


def test_a_duplicate_is_a_layer_of_ours_too(
    make_napari_viewer: Any, qtbot: Any, served: SlowServer
) -> None:
    viewer = make_napari_viewer(show=True)
    layer = viewer.open(f"{served.url}/plane.zarr", plugin=PLUGIN)[0]
    qtbot.waitUntil(lambda: complete(layer), timeout=20000)
    served.clear_log()

    copy = type(layer).create(*layer.as_layer_data_tuple())
    viewer.add_layer(copy)

    assert display_of(copy) is not None
    qtbot.waitUntil(lambda: complete(copy), timeout=20000)
    assert not served.log, "its chunks are shared with the original"


def test_this_napari_has_what_the_display_stands_on(
    make_napari_viewer: Any, served: SlowServer
) -> None:
    """Goes red when a new napari changes its private slicing: then look at slicing.py."""
    viewer = make_napari_viewer()

    layer = viewer.open(f"{served.url}/stack.zarr", plugin=PLUGIN)[0]

    assert display_of(layer) is not None


def test_another_napari_falls_back_to_its_own_slicing(
    make_napari_viewer: Any, served: SlowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_omezarr_cloud.napari import adoption

    monkeypatch.setattr(adoption, "can_hook", lambda layer: False)
    adoption._tell_plain_slicing.cache_clear()
    viewer = make_napari_viewer()

    layer = viewer.open(f"{served.url}/stack.zarr", plugin=PLUGIN)[0]

    assert display_of(layer) is None
    assert layer.visible
    notes = [str(record.message) for record in notification_manager.records]
    assert any("slices in a way" in note for note in notes)
    np.testing.assert_array_equal(layer._slice.image.raw.shape[-2:], (256, 256))


def test_a_layer_that_another_loads_is_left_to_them(
    make_napari_viewer: Any, qtbot: Any, served: SlowServer
) -> None:
    """As napari's own progressive loading may do, once it has one."""
    viewer = make_napari_viewer(show=True)
    layer = viewer.open(f"{served.url}/plane.zarr", plugin=PLUGIN)[0]
    qtbot.waitUntil(lambda: complete(layer), timeout=20000)
    copy = type(layer).create(*layer.as_layer_data_tuple())
    slices = []

    class Loading(type(copy._slicing_state)._slice_request_class):
        def __call__(self) -> Any:
            slices.append(self.data_level)
            return super().__call__()

    copy._slicing_state._slice_request_class = Loading
    viewer.add_layer(copy)

    assert display_of(copy) is None
    assert slices, "their slicing is what is used"
    assert copy.visible
    assert complete(layer), "and ours beside it goes on"
    np.testing.assert_array_equal(copy._slice.image.raw, layer._slice.image.raw)


def test_metadata_hold_no_secret_and_json_can_hold_them(
    make_napari_viewer: Any, served: SlowServer
) -> None:
    viewer = make_napari_viewer()

    viewer.open(f"{served.url}/stack.zarr?token=TOPSECRET", plugin=PLUGIN)

    assert viewer.layers
    for layer in viewer.layers:
        text = json.dumps(layer.metadata) + repr(layer.source) + layer.name
        assert "TOPSECRET" not in text


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    yield
    gc.collect()
