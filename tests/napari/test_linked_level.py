"""A link to one level of an image, in a real window: shown at that level, until it is let go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_omezarr_cloud.napari import linked_level
from napari_omezarr_cloud.napari.open_url import show_dialog

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.images import Written
    from tests.fixtures.slow_http import SlowServer


@pytest.fixture
def link(slow_server: Callable[..., SlowServer], ome_zarr: Callable[[str], Written]) -> str:
    """Link of an image with labels, three levels each."""
    path = ome_zarr("v05 with labels").path
    return f"{slow_server(path.parent).url}/{path.name}"


def paste(viewer: Any, qtbot: Any, link: str) -> Any:
    """Open a link in the dialog and return its first layer when it is there."""
    dialog = show_dialog(viewer)
    dialog.link.setEditText(link)
    dialog.open_button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) > 0, timeout=20000)
    return viewer.layers[0]


def resolution(viewer: Any, layer: Any) -> str:
    """Return what napari's layer controls say about the level."""
    from qtpy.QtWidgets import QComboBox

    controls = viewer.window._qt_viewer.controls.widgets[layer]
    boxes = [b for b in controls.findChildren(QComboBox) if b.itemText(0).startswith("Auto")]
    return str(boxes[0].currentText())


@pytest.mark.parametrize("level", [0, 1])
def test_an_image_stays_at_the_level_of_its_link(
    viewer: Any, qtbot: Any, link: str, level: int, told: list[str]
) -> None:
    layer = paste(viewer, qtbot, f"{link}/s{level}")
    viewer.scene.camera.zoom *= 0.2
    qtbot.wait(100)

    assert layer.locked_data_level == level
    assert layer.data_level == level
    assert resolution(viewer, layer).startswith(f"{level}")
    assert any("choose Auto under 'resolution'" in sentence for sentence in told)
    planes = np.asarray(layer.data[level]).reshape(-1, *layer.level_shapes[level][-2:])
    qtbot.waitUntil(lambda: any(np.array_equal(layer._slice.image.raw, each) for each in planes))


def test_labels_stay_at_the_level_of_their_link(viewer: Any, qtbot: Any, link: str) -> None:
    layer = paste(viewer, qtbot, f"{link}/labels/cells/s1")

    assert layer._type_string == "labels"
    assert layer.locked_data_level == 1


def test_a_level_that_is_let_go_follows_the_zoom(viewer: Any, qtbot: Any, link: str) -> None:
    layer = paste(viewer, qtbot, f"{link}/s0")

    layer.locked_data_level = None
    viewer.scene.camera.zoom = 0.1

    qtbot.waitUntil(lambda: layer.data_level == 2)


def test_a_level_that_is_too_large_is_not_read_as_a_whole(
    viewer: Any, qtbot: Any, link: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linked_level, "_MOST_PX", 10)

    layer = paste(viewer, qtbot, f"{link}/s0")

    assert layer.locked_data_level is None
    assert any("too large to be read as a whole" in sentence for sentence in told)


def test_a_link_to_the_image_locks_nothing(viewer: Any, qtbot: Any, link: str) -> None:
    assert paste(viewer, qtbot, link).locked_data_level is None


def test_a_script_gets_the_level_too(viewer: Any, link: str) -> None:
    layers = viewer.open(f"{link}/s1", plugin="napari-omezarr-cloud")

    assert layers[0].locked_data_level == 1
