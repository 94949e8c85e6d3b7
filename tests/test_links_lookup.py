"""Links that a service must be asked about, against a server of our own."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.api import locate, resolve_async, understand
from napari_omezarr_cloud.cli import main
from napari_omezarr_cloud.errors import LinkError, NotFoundError, ServerError, UnreachableError
from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.store import io_thread
from napari_omezarr_cloud.store.lookup import ask
from tests.fixtures.images import pattern, pyramid, write_directly
from tests.fixtures.slow_http import SlowServer
from tests.test_cli import start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ID = "633e802f010000d3007f8f32"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    levels = pyramid(pattern((4, 64, 48)), 2)
    write_directly(tmp_path / "a.ome.zarr", "zyx", levels, chunks=(1, 32, 32))
    write_directly(tmp_path / "b.ome.zarr", "zyx", levels, chunks=(1, 32, 32))
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[SlowServer]:
    with SlowServer(folder) as server:
        yield server


def test_a_webknossos_page_opens_the_image_of_its_record(folder: Path, server: SlowServer) -> None:
    path = f"{server.url}/a.ome.zarr/0"
    layers = [{"name": "raw", "category": "color", "mags": [{"mag": [1, 1, 1], "path": path}]}]
    record = folder / "api" / "datasets" / ID
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"dataSource": {"dataLayers": layers}}))
    link = f"{server.url}/datasets/name-{ID}/view?token=hushhush#10,20,2,0,1.5"
    image = noc.open(link)
    assert image.levels[0].shape == (4, 64, 48)
    assert np.asarray(image.read(0, (0, 0, slice(2)))).shape == (2,)
    assert "hushhush" in next(e.query for e in server.log if e.path.endswith(ID))
    found = resolve_async(link).result(20)
    assert found.view is not None
    assert [p.value for p in found.view.places] == [10, 20, 2]
    assert "hushhush" not in repr(found)


def test_a_table_opens_its_first_image_and_names_the_others(
    folder: Path, server: SlowServer
) -> None:
    (folder / "images.csv").write_text("uri,name\na.ome.zarr,first\nb.ome.zarr,second\n")
    image = noc.open(f"{server.url}/images.csv")
    assert str(image.location).endswith("/a.ome.zarr")
    assert any("/b.ome.zarr" in note for note in image.notes)


def test_a_mobie_project_is_followed_over_its_two_files(folder: Path, server: SlowServer) -> None:
    (folder / "project.json").write_text('{"datasets": ["d"]}')
    (folder / "d").mkdir()
    data = {"imageData": {"ome.zarr.s3": {"s3Address": f"{server.url}/a.ome.zarr"}}}
    (folder / "d" / "dataset.json").write_text(json.dumps({"sources": {"x": {"image": data}}}))
    assert noc.open(f"{server.url}/project.json").levels[0].shape == (4, 64, 48)


def test_info_follows_a_lookup_and_names_the_other_images(
    folder: Path, server: SlowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "images.csv").write_text("uri,name\na.ome.zarr,first\nb.ome.zarr,second\n")
    assert main(["info", "--json", f"{server.url}/images.csv"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["where"] == f"{server.url}/a.ome.zarr"
    assert any("/b.ome.zarr" in note for note in facts["notes"])


# Tells where the window is as soon as it holds so many layers and was moved, and closes it.
LOOK = """
import json, sys
from qtpy.QtCore import QTimer
import napari
from napari_omezarr_cloud.cli import main

def look():
    viewer = napari.current_viewer()
    if viewer is None or len(viewer.layers) < 2 or viewer.scene.camera.zoom != 4:
        QTimer.singleShot(50, look)
        return
    layers = [[layer.name, type(layer).__name__] for layer in viewer.layers]
    print(json.dumps({"layers": layers, "center": viewer.scene.camera.center}), flush=True)
    viewer.close()

from napari.qt import get_qapp
app = get_qapp()
QTimer.singleShot(0, look)
sys.exit(main())
"""


def test_open_in_the_shell_looks_up_and_goes_to_the_place(folder: Path, server: SlowServer) -> None:
    layers = [
        {"source": f"zarr://{server.url}/a.ome.zarr"},
        {"source": f"zarr://{server.url}/b.ome.zarr", "type": "segmentation"},
    ]
    state: dict[str, Any] = {
        "layers": layers,
        "position": [10, 20, 2],
        "crossSectionScale": 0.25,
        "layout": "xy",
    }
    state["dimensions"] = {axis: [1, ""] for axis in "xyz"}
    (folder / "state.json").write_text(json.dumps(state))
    link = f"https://neuroglancer-demo.appspot.com/#!{server.url}/state.json"
    with start("open", link, program=LOOK) as program:
        out, _ = program.communicate()
    assert program.returncode == 0
    seen = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    assert [kind for _, kind in seen["layers"]] == ["Image", "Labels"]
    assert seen["center"][-2:] == [20, 10]


def test_what_is_said_about_access_holds_for_what_a_lookup_finds() -> None:
    link = understand("https://h.org/images.csv", profile="lab", anonymous=False)
    assert link.lookup is not None
    found = link.lookup.read("uri\ns3://bucket/a.ome.zarr\n")
    assert found.sources[0].location.access.profile == "lab"
    assert link.lookup.location.access.profile == "lab"


def test_what_the_service_does_not_know_is_said(server: SlowServer) -> None:
    link = f"{server.url}/datasets/name-{ID}/view"
    with pytest.raises(NotFoundError, match=f"asked {server.url}/api/datasets/{ID} for the layers"):
        noc.open(link)


def test_an_answer_that_is_none_is_said(folder: Path, server: SlowServer) -> None:
    (folder / "project.json").write_text("<html>login</html>")
    with pytest.raises(LinkError, match="no valid JSON"):
        noc.open(f"{server.url}/project.json")


def test_without_a_network_the_message_says_what_was_asked() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with pytest.raises(UnreachableError, match=f"asked {url}/project.json for the datasets"):
        noc.open(f"{url}/project.json")


def test_an_answer_that_is_too_large_is_refused(folder: Path, server: SlowServer) -> None:
    (folder / "big.json").write_bytes(b" " * 300_000)
    where = parse_location(f"{server.url}/big.json")
    with pytest.raises(ServerError, match="larger than 100000 bytes"):
        io_thread().wait(ask(where, "a thing", most_bytes=100_000))


def test_an_answer_that_does_not_come_is_given_up(folder: Path, server: SlowServer) -> None:
    (folder / "slow.json").write_text("{}")
    server.latency_s = 30
    where = parse_location(f"{server.url}/slow.json")
    with pytest.raises(UnreachableError, match=r"no answer came within 0\.2 s"):
        io_thread().wait(ask(where, "a thing", longest_s=0.2))


def test_a_lookup_can_be_cancelled(folder: Path, server: SlowServer) -> None:
    (folder / "project.json").write_text('{"datasets": ["d"]}')
    server.latency_s = 30
    future = resolve_async(f"{server.url}/project.json")

    async def until_asked() -> None:
        while not server.log:
            await asyncio.sleep(0.01)

    io_thread().wait(until_asked(), 20)
    assert future.cancel()


def test_understanding_asks_nobody_and_says_that_it_would(server: SlowServer) -> None:
    assert understand(f"{server.url}/project.json").lookup is not None
    with pytest.raises(LinkError, match="must be asked"):
        locate(f"{server.url}/project.json")
    assert not server.log
