"""Contrast by what is on screen, and the scale bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari._app_model import get_app_model
from napari.components import ViewerModel

from napari_omezarr_cloud.napari.auto_contrast import contrast_of_visible, sampled_limits
from napari_omezarr_cloud.napari.compat import scale_bar, show_scale_bar
from napari_omezarr_cloud.napari.visible import visible_region
from tests.fixtures.images import pattern, pyramid, write_directly

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = "napari-omezarr-cloud"


def test_the_command_stretches_contrast_to_the_exact_pixels_in_view(
    make_napari_viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    image = write_directly(
        tmp_path / "a.zarr", "yx", pyramid(pattern((512, 512), "uint16") // 7), chunks=(64, 64)
    )
    viewer = make_napari_viewer(show=True)
    layer = viewer.open(str(image.path), plugin=PLUGIN)[0]
    viewer.scene.camera.zoom *= 6
    qtbot.waitUntil(lambda: layer.data_level == 0)
    layer.contrast_limits = (0, 60000)

    get_app_model().commands.execute_command(f"{PLUGIN}.auto_contrast_visible")

    qtbot.waitUntil(lambda: tuple(layer.contrast_limits) != (0, 60000), timeout=10000)
    seen = visible_region(viewer, layer)
    expected = np.percentile(image.levels[0][seen.region.slices], (0.1, 99.9))
    np.testing.assert_allclose(layer.contrast_limits, expected)


def test_only_selected_images_change_and_labels_never(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer(show=True)
    one, other = (viewer.add_image(pattern((40, 40)), contrast_limits=(0, 9)) for _ in range(2))
    labels = viewer.add_labels(np.ones((40, 40), int))
    viewer.layers.selection = {one, labels}

    contrast_of_visible(viewer)

    qtbot.waitUntil(lambda: tuple(one.contrast_limits) != (0, 9))
    assert tuple(other.contrast_limits) == (0, 9)


def test_who_moves_the_slider_meanwhile_is_not_overruled(
    make_napari_viewer: Any, qtbot: Any
) -> None:
    viewer = make_napari_viewer(show=True)
    layer = viewer.add_image(pattern((40, 40)), contrast_limits=(0, 9))

    contrast_of_visible(viewer)
    layer.contrast_limits = (2, 7)
    qtbot.wait(200)

    assert tuple(layer.contrast_limits) == (2, 7)


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(np.full((5, 5), 7, "u1"), id="one value"),
        pytest.param(np.full((5, 5), 1e8, "f4"), id="one large value"),
        pytest.param(np.array([np.nan, np.inf, 3.0, 4.0]), id="not all finite"),
        pytest.param(np.zeros((3, 3), bool), id="an empty mask"),
        pytest.param(np.array([-(2**62), 2**62]), id="wide integers"),
    ],
)
def test_limits_always_differ_in_single_precision(pixels: np.ndarray[Any, Any]) -> None:
    limits = sampled_limits(pixels)

    assert limits is not None
    assert np.float32(limits[0]) < np.float32(limits[1])
    assert np.isfinite(limits).all()


def test_nothing_finite_has_no_limits() -> None:
    assert sampled_limits(np.full(4, np.nan)) is None


def test_the_scale_bar_comes_with_the_first_lengths_and_stays_away_when_sent() -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((4, 4)))
    show_scale_bar(viewer)
    assert not scale_bar(viewer).visible

    viewer.add_image(np.zeros((4, 4)), units=["µm", "µm"])
    show_scale_bar(viewer)
    assert scale_bar(viewer).visible

    scale_bar(viewer).visible = False
    show_scale_bar(viewer)
    assert not scale_bar(viewer).visible
