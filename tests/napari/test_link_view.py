"""Links of other viewers in a real window: the same place, zoom, colours and contrast."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pytest
import zarr
from qtpy.QtWidgets import QApplication

from napari_omezarr_cloud.napari.open_url import show_dialog
from napari_omezarr_cloud.napari.recent import recent_links
from napari_omezarr_cloud.napari.widgets.series_chooser import SeriesChooser
from tests.fixtures.images import pattern, pyramid, write_directly
from tests.fixtures.slow_http import SlowServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SlowServer]:
    levels = pyramid(pattern((2, 2, 16, 256, 192)), 3)
    write_directly(tmp_path / "stack.zarr", "tczyx", levels, chunks=(1, 1, 4, 64, 64))
    masks = pyramid(pattern((16, 256, 192)), 3)
    write_directly(tmp_path / "cells.zarr", "zyx", masks, chunks=(4, 64, 64))
    with SlowServer(tmp_path) as server:
        yield server


def scale_of(layer: Any) -> dict[str, float]:
    return dict(zip(layer.axis_labels, layer.scale, strict=True))


def neuroglancer(server: SlowServer, **more: Any) -> str:
    state = {
        "position": [100, 60, 5],
        "crossSectionScale": 0.25,
        "layers": [
            {
                "name": "a",
                "type": "image",
                "source": f"zarr://{server.url}/stack.zarr",
                "localDimensions": {"c'": [1, ""]},
                "localPosition": [1],
                "shaderControls": {"normalized": {"range": [10, 99]}, "color": "#ff8000"},
            },
            {"name": "b", "type": "segmentation", "source": f"{server.url}/cells.zarr/|zarr2:"},
        ],
        "layout": "xy",
        **more,
    }
    return f"https://neuroglancer-demo.appspot.com/#!{quote(json.dumps(state))}"


def assert_is_at_the_place(viewer: Any) -> None:
    first = viewer.layers[0]
    scale = scale_of(first)
    assert viewer.scene.camera.center[-2:] == pytest.approx((60 * scale["y"], 100 * scale["x"]))
    z = list(viewer.dims.axis_labels).index("z")
    assert viewer.dims.point[z] == pytest.approx(5 * scale["z"])
    assert viewer.scene.camera.zoom == pytest.approx(1 / (0.25 * scale["x"]))
    assert viewer.dims.ndisplay == 2


def test_a_neuroglancer_link_opens_at_its_place(viewer: Any, server: SlowServer) -> None:
    viewer.open(neuroglancer(server), plugin="napari-omezarr-cloud")
    assert_is_at_the_place(viewer)
    kinds = [layer._type_string for layer in viewer.layers]
    assert kinds == ["image", "image", "labels"]
    second = viewer.layers[1]
    assert list(second.contrast_limits) == [10, 99]
    assert np.allclose(second.colormap.colors[-1][:3], (1, 128 / 255, 0), atol=0.01)
    assert [layer.visible for layer in viewer.layers] == [False, True, True]
    assert [layer.name for layer in viewer.layers] == ["stack: channel 0", "a", "b"]
    assert viewer.layers[0].source.path == f"{server.url}/stack.zarr"


def test_the_view_is_not_moved_again_when_the_person_goes_on(
    viewer: Any, server: SlowServer
) -> None:
    viewer.open(neuroglancer(server), plugin="napari-omezarr-cloud")
    viewer.scene.camera.zoom = 0.125
    viewer.add_image(np.zeros((8, 8)))
    QApplication.processEvents()
    assert viewer.scene.camera.zoom == 0.125


def test_a_link_that_says_3d_opens_in_3d(viewer: Any, server: SlowServer) -> None:
    link = neuroglancer(server, layout="3d", projectionScale=512)
    viewer.open(link, plugin="napari-omezarr-cloud")
    assert viewer.dims.ndisplay == 3
    scale = scale_of(viewer.layers[0])
    expected = (5 * scale["z"], 60 * scale["y"], 100 * scale["x"])
    assert viewer.scene.camera.center == pytest.approx(expected)
    # The canvas grows as the sliders of z go, so that its height was another one at that moment.
    filling = viewer.canvas.size[0] / (512 * scale["x"])
    assert viewer.scene.camera.zoom == pytest.approx(filling, rel=0.25)


def test_a_volume_is_looked_at_from_the_same_side(viewer: Any, server: SlowServer) -> None:
    half = 0.5**0.5
    aside = [0, half, 0, half]  # a quarter of a turn about y
    viewer.open(
        neuroglancer(server, layout="3d", projectionOrientation=aside),
        plugin="napari-omezarr-cloud",
    )
    camera = viewer.scene.camera
    assert camera.view_direction == pytest.approx((0, 0, 1), abs=1e-6)  # along x
    assert camera.up_direction == pytest.approx((0, -1, 0), abs=1e-6)
    assert str(camera.orientation[0]) == "away"


def test_opacity_and_blending_are_those_of_the_link(viewer: Any, server: SlowServer) -> None:
    layers = [
        {"source": f"{server.url}/stack.zarr", "opacity": 0.25},
        {"source": f"{server.url}/cells.zarr", "type": "segmentation", "selectedAlpha": 0.125},
    ]
    viewer.open(neuroglancer(server, layers=layers), plugin="napari-omezarr-cloud")
    assert [layer.opacity for layer in viewer.layers] == [0.25, 0.25, 0.125]


def test_lengths_of_a_view_are_voxels_where_the_image_has_none(
    viewer: Any, server: SlowServer, tmp_path: Path
) -> None:
    zarr.create_array(tmp_path / "plain.zarr", data=pattern((16, 256, 192)), chunks=(4, 64, 64))
    link = neuroglancer(
        server,
        layers=[{"source": f"zarr://{server.url}/plain.zarr"}],
        dimensions={axis: [4e-9, "m"] for axis in "xyz"},
    )
    viewer.open(link, plugin="napari-omezarr-cloud")
    assert viewer.scene.camera.center[-2:] == pytest.approx((60, 100))
    assert viewer.scene.camera.zoom == pytest.approx(4)
    assert viewer.dims.current_step[0] == 5


def test_half_a_step_goes_up_as_in_the_other_viewer(viewer: Any, server: SlowServer) -> None:
    viewer.open(neuroglancer(server, position=[100, 60, 4.5]), plugin="napari-omezarr-cloud")
    z = list(viewer.dims.axis_labels).index("z")
    assert viewer.dims.current_step[z] == 5


def test_an_oblique_view_is_shown_upright_and_that_is_said(
    viewer: Any, server: SlowServer, qtbot: Any, told: list[str]
) -> None:
    dialog = show_dialog(viewer)
    dialog.link.setEditText(neuroglancer(server, crossSectionOrientation=[0.2, 0, 0, 0.98]))
    dialog.open_button.click()
    qtbot.waitUntil(lambda: any("shown upright" in each for each in told), timeout=20_000)
    assert_is_at_the_place(viewer)


def test_a_plane_from_the_side_is_shown_from_the_side(viewer: Any, server: SlowServer) -> None:
    viewer.open(neuroglancer(server, layout="xz"), plugin="napari-omezarr-cloud")
    names = [viewer.dims.axis_labels[axis] for axis in viewer.dims.displayed]
    assert names == ["z", "x"]
    scale = scale_of(viewer.layers[0])
    assert viewer.scene.camera.center[-2:] == pytest.approx((5 * scale["z"], 100 * scale["x"]))


def test_the_dialog_opens_all_images_of_a_link_at_its_place(
    viewer: Any, server: SlowServer, qtbot: Any
) -> None:
    dialog = show_dialog(viewer)
    dialog.link.setEditText(neuroglancer(server))
    assert "Neuroglancer" in dialog.status.text()
    assert "and 1 more image" in dialog.status.text()
    dialog.open_button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=20_000)
    scale = scale_of(viewer.layers[0])
    zoom = pytest.approx(1 / (0.25 * scale["x"]))
    qtbot.waitUntil(lambda: viewer.scene.camera.zoom == zoom, timeout=20_000)
    assert_is_at_the_place(viewer)
    assert viewer.layers[2]._type_string == "labels"
    assert not dialog.isVisible()


def test_an_image_of_a_link_that_is_not_there_does_not_keep_the_others_away(
    viewer: Any, server: SlowServer, qtbot: Any, told: list[str]
) -> None:
    layers = [{"source": f"zarr://{server.url}/{name}.zarr"} for name in ("gone", "cells")]
    dialog = show_dialog(viewer)
    dialog.link.setEditText(neuroglancer(server, layers=layers))
    dialog.open_button.click()
    qtbot.waitUntil(lambda: any("gone" in each for each in told), timeout=20_000)
    assert [layer.name for layer in viewer.layers] == ["cells"]
    zoom = pytest.approx(1 / (0.25 * scale_of(viewer.layers[0])["x"]))
    assert viewer.scene.camera.zoom == zoom


def test_the_link_itself_can_be_opened_again(viewer: Any, server: SlowServer, qtbot: Any) -> None:
    link = neuroglancer(server)
    dialog = show_dialog(viewer)
    dialog.link.setEditText(link)
    dialog.open_button.click()
    qtbot.waitUntil(lambda: not dialog.isVisible(), timeout=20_000)
    again = show_dialog(viewer)
    assert again.link.itemText(0) == link
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=20_000)


def test_of_a_link_with_a_secret_only_the_place_is_kept(
    viewer: Any, server: SlowServer, qtbot: Any
) -> None:
    secret = "https://h.org/em?sig=hushhush"
    layers = [
        {"source": f"zarr://{server.url}/cells.zarr"},
        {"source": f"precomputed://{secret}", "name": "em"},
    ]
    viewer.open(neuroglancer(server, layers=layers), plugin="napari-omezarr-cloud")
    assert recent_links()[0] == f"{server.url}/cells.zarr"
    assert not any("hush" in link for link in recent_links())


def test_a_series_in_a_link_of_a_viewer_is_asked_about(
    viewer: Any, server: SlowServer, tmp_path: Path, qtbot: Any
) -> None:
    for number in range(2):
        write_directly(tmp_path / "several" / str(number), "yx", [pattern((8, 8))], chunks=(8, 8))
    series = {"ome": {"version": "0.5", "bioformats2raw.layout": 3}}
    zarr.open_group(tmp_path / "several", zarr_format=3).attrs.update(series)
    dialog = show_dialog(viewer)
    link = f"https://avivator.gehlenborglab.org/?image_url={server.url}/several"
    dialog.link.setEditText(link)
    dialog.open_button.click()
    window = viewer.window._qt_window
    qtbot.waitUntil(lambda: window.findChild(SeriesChooser) is not None, timeout=20_000)
    chooser = window.findChild(SeriesChooser)
    chooser.reject()
    qtbot.waitUntil(lambda: not chooser.isVisible(), timeout=20_000)
    assert len(viewer.layers) == 0


def test_vole_slices_by_fractions_and_hides_channels(viewer: Any, server: SlowServer) -> None:
    link = (
        f"https://vole.allencell.org/viewer?url={quote(server.url + '/stack.zarr', safe='')}"
        "&c0=ven:0&c1=ven:1,col:00ff00,lut:v5:v50&slice=0.5,0.5,0.25&t=1&view=Z"
    )
    viewer.open(link, plugin="napari-omezarr-cloud")
    assert [layer.visible for layer in viewer.layers] == [False, True]
    assert list(viewer.layers[1].contrast_limits) == [5, 50]
    names = list(viewer.dims.axis_labels)
    assert viewer.dims.current_step[names.index("t")] == 1
    assert viewer.dims.current_step[names.index("z")] in (3, 4)


def test_a_vizarr_link_opens_at_its_place(viewer: Any, server: SlowServer) -> None:
    state = quote('{"zoom":1,"target":[40,30]}')
    viewer.open(
        f"https://hms-dbmi.github.io/vizarr/?source={server.url}/stack.zarr&viewState={state}",
        plugin="napari-omezarr-cloud",
    )
    scale = scale_of(viewer.layers[0])
    assert viewer.scene.camera.center[-2:] == pytest.approx((30 * scale["y"], 40 * scale["x"]))
    assert viewer.scene.camera.zoom == pytest.approx(2 / scale["x"])
