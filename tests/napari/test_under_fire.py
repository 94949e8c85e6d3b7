"""A person at the window while the line fails in every way: what is shown is true, always."""

from __future__ import annotations

import gc
import itertools
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from zarr.codecs import Crc32cCodec, ZstdCodec

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.image_layers import show_image
from napari_omezarr_cloud.napari.live import add_live, change, plan_live, start_live
from napari_omezarr_cloud.process import Step
from tests.fixtures.images import pattern, pyramid, write_directly
from tests.fixtures.soak import Player, script
from tests.fixtures.soak_images import faulty_line, read_truth, write_images
from tests.napari.test_display import complete

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fixtures.images import Written
    from tests.fixtures.slow_http import SlowServer

_STEPS = 14


@pytest.mark.usefixtures("impatient")
def test_a_faulty_line_shows_no_wrong_pixel_and_leaves_nothing_behind(
    viewer: Any, qtbot: Any, tmp_path: Path, slow_server: Callable[..., SlowServer]
) -> None:
    write_images(tmp_path, 512)
    line = faulty_line(7, worse=3.0, hang=0.0)
    server = slow_server(tmp_path, line=line)
    for name in ("plane.zarr/0/c", "film.zarr/0/c"):
        server.fault(name, "hang", times=1)
    player = Player(viewer, server.url, read_truth(tmp_path), lambda: qtbot.wait(1))
    before = engine().cache.nbytes

    for step in itertools.islice(script(7), _STEPS):
        player.do(step)
        player.settle()
        player.truth.check()
    viewer.layers.clear()
    gc.collect()

    assert player.counts["pictures compared"] > _STEPS
    assert set(line.counts) == {503, "reset", "truncate", "bit", "trickle", "lost"}
    qtbot.waitUntil(lambda: engine().jobs_under_way == 0, timeout=20000)
    assert engine().cache.nbytes <= before
    assert not engine().has_failures


def test_a_chunk_that_memory_loses_while_it_is_painted_comes_again(
    viewer: Any, qtbot: Any, stack: Written
) -> None:
    layer = viewer.open(str(stack.path), plugin="napari-omezarr-cloud")[0]
    shown = display_of(layer)
    qtbot.waitUntil(lambda: complete(layer), timeout=20000)
    painter = shown._painter
    paint, lost = painter.paint, [painter.view.level(shown.look.number).key]

    def lose_then_paint(*looks: Any) -> Any:
        engine().cache.drop([lost.pop()] if lost else [])  # as a full memory does at any time
        return paint(*looks)

    painter.paint = lose_then_paint
    layer.refresh(extent=False)

    assert shown.missing > 0
    qtbot.waitUntil(lambda: complete(layer), timeout=20000)


def test_labels_that_come_late_are_not_waited_for_and_may_fail(
    viewer: Any,
    qtbot: Any,
    tmp_path: Path,
    slow_server: Callable[..., SlowServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_images(tmp_path, 512)
    server = slow_server(tmp_path)
    server.fault("labels/cells/0/0/", "short")
    image = noc.open(f"{server.url}/stack.zarr")
    wait, waited = engine().io.wait, []

    def note(work: Any, *args: Any) -> Any:
        waited.append(work)  # in a thread of dask's, as long as the GUI thread waits for it
        return wait(work, *args)

    monkeypatch.setattr(engine().io, "wait", note)
    show_image(viewer, image)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=20000)
    viewer.dims.set_current_step(0, 0)
    cells = display_of(viewer.layers[1])
    qtbot.waitUntil(lambda: bool(cells.failures()), timeout=20000)

    assert not waited


def test_one_cause_is_told_once_though_every_checksum_is_another(
    viewer: Any, qtbot: Any, tmp_path: Path, slow_server: Callable[..., SlowServer], told: list[str]
) -> None:
    levels = pyramid(pattern((128, 128)), 1)
    checked = {"compressors": (ZstdCodec(), Crc32cCodec())}
    write_directly(tmp_path / "a.zarr", "yx", levels, chunks=(32, 32), **checked)
    server = slow_server(tmp_path)
    server.fault("0/c/", "flip")

    layer = viewer.open(f"{server.url}/a.zarr", plugin="napari-omezarr-cloud")[0]
    qtbot.waitUntil(lambda: len(display_of(layer).failures()) == 16, timeout=20000)
    qtbot.waitUntil(lambda: bool(told), timeout=20000)
    qtbot.wait(100)  # so that others had time to be told

    assert len([sentence for sentence in told if "crc32c" in sentence]) == 1


def test_a_layer_that_the_slider_has_left_waits_for_nothing(
    viewer: Any, qtbot: Any, tmp_path: Path, slow_server: Callable[..., SlowServer]
) -> None:
    levels = pyramid(pattern((4, 64, 64)), 2)
    write_directly(tmp_path / "a.zarr", "zyx", levels, chunks=(1, 32, 32))
    server = slow_server(tmp_path)
    layer = viewer.open(f"{server.url}/a.zarr", plugin="napari-omezarr-cloud")[0]
    viewer.add_image(pattern((9, 64, 64)), scale=layer.scale)
    qtbot.waitUntil(lambda: complete(layer), timeout=20000)
    server.fault("0/c/3", "hang")

    viewer.dims.set_current_step(0, 3)
    qtbot.waitUntil(lambda: engine().jobs_under_way == 4, timeout=20000)
    viewer.dims.set_current_step(0, 6)

    qtbot.waitUntil(lambda: engine().jobs_under_way == 0, timeout=20000)
    assert display_of(layer).progress == ""
    assert layer.get_value((12.0, 1.0, 1.0), world=True) == (0, None)
    viewer.dims.set_current_step(0, 2)
    qtbot.waitUntil(lambda: complete(layer), timeout=20000)


def test_failures_of_layers_that_are_gone_are_forgotten(
    viewer: Any, qtbot: Any, tmp_path: Path, slow_server: Callable[..., SlowServer]
) -> None:
    levels = pyramid(pattern((128, 128)), 1)
    write_directly(tmp_path / "a.zarr", "yx", levels, chunks=(32, 32))
    server = slow_server(tmp_path)
    server.fault("0/c/1/1", "short")
    source = viewer.open(f"{server.url}/a.zarr", plugin="napari-omezarr-cloud")[0]
    result = blurred(viewer, source)
    qtbot.waitUntil(lambda: failures_of(result()), timeout=20000)
    change(result(), {"sigma": 2.0})
    qtbot.waitUntil(lambda: failures_of(result()), timeout=20000)
    shown = weakref.ref(display_of(result()).view.pyramid)

    viewer.layers.clear()
    del source

    def is_gone() -> bool:
        gc.collect()
        return shown() is None and not engine().has_failures

    qtbot.waitUntil(is_gone, timeout=20000)


def blurred(viewer: Any, source: Any) -> weakref.ref[Any]:
    plan = plan_live(Step("gaussian", {"sigma": 1.0}, dims="plane"), [source])
    return weakref.ref(add_live(viewer, plan, start_live(plan).result(20)))


def failures_of(layer: Any) -> bool:
    return bool(display_of(layer).failures())


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Room for 64 chunks of 2 KB; a layer may have a quarter of it."""
    before = engine().cache.max_bytes
    engine().cache.resize(64 * 2048)
    yield
    engine().cache.resize(before)


def test_what_does_not_fit_into_memory_is_said_to_be_so(
    viewer: Any, qtbot: Any, tmp_path: Path, little_memory: None
) -> None:
    write_directly(tmp_path / "a.zarr", "yx", [pattern((256, 256))], chunks=(32, 32))

    layer = viewer.open(str(tmp_path / "a.zarr"), plugin="napari-omezarr-cloud")[0]

    shown = display_of(layer)
    words = "16 of 64 chunks; more do not fit into the memory for pixels"
    qtbot.waitUntil(lambda: shown.progress == words, timeout=20000)


def test_back_from_3d_a_coarse_picture_ends_where_the_image_does(
    viewer: Any, qtbot: Any, stack: Written
) -> None:
    layer = viewer.open(str(stack.path), plugin="napari-omezarr-cloud")[0]
    viewer.scene.camera.zoom /= 8
    qtbot.waitUntil(lambda: complete(layer) and layer.data_level == 2, timeout=20000)

    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: complete(layer) and layer.data_level == 0, timeout=20000)
    viewer.dims.ndisplay = 2
    viewer.scene.camera.zoom /= 8
    qtbot.waitUntil(lambda: complete(layer) and layer.data_level == 2, timeout=20000)

    t, z = display_of(layer).look.region.start[:2]
    np.testing.assert_array_equal(layer._slice.image.raw, stack.levels[2][t, 0, z])
