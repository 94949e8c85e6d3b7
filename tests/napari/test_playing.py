"""Playing a slider: every frame in its turn, as it is, however slow the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from skimage import filters

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.live import add_live, plan_live, start_live
from napari_omezarr_cloud.napari.play_hook import can_hook_play, sliders_of
from napari_omezarr_cloud.process import Step
from tests.fixtures.images import STEPS, write_directly
from tests.napari.test_display import complete

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer

PLUGIN = "napari-omezarr-cloud"
COUNT = 5
FASTER_THAN_THE_SERVER = 60.0


@pytest.fixture
def film(tmp_path: Path, slow_server: Any) -> SlowServer:
    """Five time points of two by two chunks each, twice."""
    frames = np.random.default_rng(2).integers(1, 60000, (COUNT, 96, 128)).astype("u2")
    # With a range given, no pixels are read for the contrast.
    window = {"start": 0, "end": 60000, "min": 0, "max": 60000}
    omero = {"channels": [{"window": window}], "rdefs": {"defaultT": 0}}
    levels = [frames, frames[:, ::2, ::2]]
    for name in ("film.zarr", "other.zarr"):
        write_directly(tmp_path / name, "tyx", levels, chunks=(1, 64, 64), omero=omero)
    server: SlowServer = slow_server(tmp_path, latency_s=0.05)
    server.truth = frames
    return server


def frames_asked_for(server: SlowServer) -> set[int]:
    return {int(path.split("/")[-3]) for path in server.paths if "/c/" in path}


@pytest.fixture
def opened(viewer: Any, film: SlowServer, qtbot: Any) -> Callable[..., Any]:
    """``opened()`` shows the film on its first frame."""

    def show(name: str = "film") -> Any:
        layer = viewer.open(f"{film.url}/{name}.zarr", plugin=PLUGIN)[0]
        qtbot.waitUntil(lambda: complete(layer), timeout=20000)
        assert viewer.dims.current_step[0] == 0
        return layer

    return show


class Watcher:
    """Notes which frames are drawn, and those of which anything else than the truth is."""

    def __init__(self, viewer: Any, layer: Any, truth: np.ndarray[Any, Any]) -> None:
        self.frames = [viewer.dims.current_step[0]]
        self.wrong: list[int] = []
        self._viewer, self._layer, self._truth = viewer, layer, truth
        viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(self._note)

    def _note(self, event: Any) -> None:
        frame = self._viewer.dims.current_step[0]
        if frame != self.frames[-1]:
            self.frames.append(frame)
            if not np.allclose(self._layer._slice.image.raw, self._truth[frame], atol=1e-3):
                self.wrong.append(frame)

    def clear(self) -> None:
        del self.frames[:-1]


def is_told_to_wait(viewer: Any, frame: int) -> bool:
    """Tell whether the status line says what play waits for."""
    expected = f"Playing waits for t = {frame}: loading, 4 chunks to come"
    return bool(viewer.status == expected)


def rounds(mode: str, direction: int, first: int) -> list[int]:
    """Return what is to be drawn, for two rounds."""
    if mode == "loop":
        return [(first + direction * n) % COUNT for n in range(2 * COUNT)]
    there_and_back = [*range(COUNT), *range(COUNT - 2, 0, -1)]
    return [there_and_back[(first + n) % len(there_and_back)] for n in range(2 * COUNT)]


def test_every_frame_is_drawn_in_its_turn_and_is_the_truth(
    opened: Any, viewer: Any, film: SlowServer, qtbot: Any
) -> None:
    watcher = Watcher(viewer, opened(), film.truth)
    sliders = sliders_of(viewer)

    for mode, direction in (("loop", 1), ("back_and_forth", 1), ("loop", -1)):
        viewer.dims.set_current_step(0, 0)
        qtbot.waitUntil(lambda: watcher.frames[-1] == 0, timeout=20000)
        engine().cache.drop(
            {level.key for level in display_of(viewer.layers[0]).view.pyramid.levels}
        )
        watcher.clear()
        sliders.play(0, fps=direction * FASTER_THAN_THE_SERVER, loop_mode=mode)
        qtbot.waitUntil(lambda: len(watcher.frames) >= 2 * COUNT, timeout=20000)
        sliders.stop()

        assert watcher.frames[: 2 * COUNT] == rounds(mode, direction, 0)
    assert not watcher.wrong


def test_once_ends_on_the_last_frame_and_begins_again(
    opened: Any, viewer: Any, film: SlowServer, qtbot: Any
) -> None:
    watcher = Watcher(viewer, opened(), film.truth)
    sliders = sliders_of(viewer)

    for expected in ([*range(COUNT)], [COUNT - 1, *range(COUNT)]):
        watcher.clear()
        sliders.play(0, fps=FASTER_THAN_THE_SERVER, loop_mode="once")
        qtbot.waitUntil(lambda: not sliders._animation_thread.isRunning(), timeout=20000)
        # The thread only asks for its last frame.
        qtbot.waitUntil(lambda frames=expected: len(watcher.frames) >= len(frames), timeout=20000)
        engine().cache.drop(
            {level.key for level in display_of(viewer.layers[0]).view.pyramid.levels}
        )

        assert watcher.frames == expected
    assert not watcher.wrong


def test_volumes_are_played_frame_by_frame_too(
    viewer: Any, qtbot: Any, tmp_path: Path, slow_server: Any
) -> None:
    volumes = np.random.default_rng(3).integers(1, 60000, (COUNT, 16, 32, 32)).astype("u2")
    window = {"start": 0, "end": 60000, "min": 0, "max": 60000}
    omero = {"channels": [{"window": window}], "rdefs": {"defaultT": 0}}
    write_directly(tmp_path / "v.zarr", "tzyx", [volumes], chunks=(1, 8, 16, 16), omero=omero)
    server = slow_server(tmp_path, latency_s=0.05)
    (layer,) = viewer.open(f"{server.url}/v.zarr", plugin=PLUGIN)
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: complete(layer), timeout=20000)
    watcher = Watcher(viewer, layer, volumes)

    sliders_of(viewer).play(0, fps=FASTER_THAN_THE_SERVER, loop_mode="loop")
    qtbot.waitUntil(lambda: len(watcher.frames) >= 2 * COUNT, timeout=30000)
    sliders_of(viewer).stop()

    assert watcher.frames[: 2 * COUNT] == rounds("loop", 1, 0)
    assert not watcher.wrong


def test_while_a_frame_does_not_come_the_next_ones_do_over_the_end_of_the_film(
    opened: Any, viewer: Any, film: SlowServer, ahead: Any, qtbot: Any
) -> None:
    layer = opened()
    watcher = Watcher(viewer, layer, film.truth)
    film.fault("film.zarr/0/c/3/", "hang")

    sliders_of(viewer).play(0, fps=FASTER_THAN_THE_SERVER, loop_mode="loop")
    qtbot.waitUntil(lambda: is_told_to_wait(viewer, 3), timeout=20000)
    qtbot.waitUntil(lambda: frames_asked_for(film) == set(range(COUNT)), timeout=20000)
    sliders_of(viewer).stop()

    assert watcher.frames == [0, 1, 2]
    assert complete(layer), "the frame before it stays as it is"


def test_on_a_metered_line_the_next_frame_is_waited_for_alone_and_given_up_by_stop(
    opened: Any, viewer: Any, film: SlowServer, ahead: Any, qtbot: Any
) -> None:
    ahead(metered=True)
    watcher = Watcher(viewer, opened(), film.truth)
    sliders = sliders_of(viewer)
    film.fault("film.zarr/0/c/2/", "hang")
    film.clear_log()

    sliders.play(0, fps=FASTER_THAN_THE_SERVER, loop_mode="loop")
    qtbot.waitUntil(lambda: is_told_to_wait(viewer, 2), timeout=20000)
    assert frames_asked_for(film) == {1, 2}
    sliders.stop()
    qtbot.waitUntil(lambda: engine().jobs_under_way == 0, timeout=20000)

    film.clear_faults()
    sliders.play(0)
    qtbot.waitUntil(lambda: len(watcher.frames) > COUNT, timeout=20000)
    sliders.stop()
    assert watcher.frames[: COUNT + 1] == [*range(COUNT), 0]
    assert not watcher.wrong


def test_a_frame_with_a_hole_is_shown_as_one_and_play_goes_on(
    opened: Any, viewer: Any, film: SlowServer, qtbot: Any, told: list[str]
) -> None:
    watcher = Watcher(viewer, opened(), film.truth)
    film.fault("film.zarr/0/c/3/1/1", "short")

    sliders_of(viewer).play(0, fps=FASTER_THAN_THE_SERVER, loop_mode="loop")
    qtbot.waitUntil(lambda: len(watcher.frames) > COUNT, timeout=20000)
    sliders_of(viewer).stop()

    assert watcher.frames[: COUNT + 1] == [*range(COUNT), 0]
    assert watcher.wrong == [3]
    qtbot.waitUntil(lambda: any("0/c/3/1/1" in sentence for sentence in told), timeout=20000)


def test_a_layer_that_was_hidden_or_removed_is_not_waited_for(
    opened: Any, viewer: Any, film: SlowServer, qtbot: Any
) -> None:
    late, other = opened("other"), opened("film")
    watcher = Watcher(viewer, other, film.truth)
    for frame in (2, 4):
        film.fault(f"other.zarr/0/c/{frame}/", "hang")

    sliders_of(viewer).play(0, fps=FASTER_THAN_THE_SERVER, loop_mode="loop")
    qtbot.waitUntil(lambda: is_told_to_wait(viewer, 2), timeout=20000)
    late.visible = False
    qtbot.waitUntil(lambda: watcher.frames[-1] == 3, timeout=20000)
    late.visible = True
    qtbot.waitUntil(lambda: is_told_to_wait(viewer, 4), timeout=20000)
    viewer.layers.remove(late)
    qtbot.waitUntil(lambda: len(watcher.frames) > COUNT, timeout=20000)
    sliders_of(viewer).stop()

    assert not watcher.wrong


def test_stop_loading_stops_playing(opened: Any, viewer: Any, film: SlowServer, qtbot: Any) -> None:
    opened()
    film.fault("film.zarr/0/c/2/", "hang")
    sliders_of(viewer).play(0, fps=FASTER_THAN_THE_SERVER, loop_mode="loop")
    qtbot.waitUntil(lambda: is_told_to_wait(viewer, 2), timeout=20000)

    engine().stop_loading()

    qtbot.waitUntil(lambda: not sliders_of(viewer).is_playing, timeout=20000)
    assert viewer.dims.current_step[0] == 1
    assert "Playing stopped" in viewer.status


def test_frames_of_a_live_layer_are_computed_before_they_are_shown(
    opened: Any, viewer: Any, film: SlowServer, qtbot: Any
) -> None:
    plan = plan_live(Step("gaussian", {"sigma": 4 * STEPS["x"]}, dims="plane"), [opened()])
    future = start_live(plan)
    qtbot.waitUntil(future.done, timeout=20000)
    live = add_live(viewer, plan, future.result())
    qtbot.waitUntil(lambda: complete(live), timeout=20000)
    blurred = [filters.gaussian(frame, 4.0, preserve_range=True) for frame in film.truth]
    watcher = Watcher(viewer, live, np.array(blurred, live.dtype))

    sliders_of(viewer).play(0, fps=FASTER_THAN_THE_SERVER, loop_mode="loop")
    qtbot.waitUntil(lambda: len(watcher.frames) > COUNT, timeout=20000)
    sliders_of(viewer).stop()

    assert watcher.frames[: COUNT + 1] == [*range(COUNT), 0]
    assert not watcher.wrong


def test_napari_plays_as_it_is_known_here(viewer: Any) -> None:
    assert can_hook_play(sliders_of(viewer))
    assert not can_hook_play(object()), "then napari plays by itself"
