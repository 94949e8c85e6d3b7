"""What was odd about a file reaches the person at the window: a notification, and the layers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from napari_omezarr_cloud.napari.layer_data import METADATA_KEY
from napari_omezarr_cloud.napari.preferences import PLUGIN, set_default_reader
from tests.fixtures.images import pattern, pyramid, write_directly

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer


@pytest.fixture
def link(tmp_path: Path, slow_server: Callable[..., SlowServer]) -> str:
    """An image over HTTP whose metadata are odd, and one of whose labels are not there."""
    written = write_directly(
        tmp_path / "a.zarr", "cyx", pyramid(pattern((2, 64, 64)), 2), version="0.4",
        chunks=(1, 32, 32), omero={"channels": [{"color": "#FF0000", "label": "<b>dye</b>"}]},
    )  # fmt: skip
    file = written.path / ".zattrs"
    document = json.loads(file.read_text())
    del document["multiscales"][0]["version"]
    file.write_text(json.dumps(document))
    (written.path / "labels").mkdir()
    (written.path / "labels" / ".zattrs").write_text(json.dumps({"labels": ["<i>gone</i>"]}))
    return f"{slow_server(tmp_path).url}/a.zarr"


def notes_of(layer: Any) -> str:
    return " ".join(layer.metadata[METADATA_KEY]["notes"])


def drop(viewer: Any, link: str) -> None:
    viewer.window._qt_viewer._qt_open([link], stack=False)


def test_who_drops_a_link_is_told_once_what_was_odd(
    viewer: Any, qtbot: Any, link: str, told: list[str]
) -> None:
    set_default_reader(True)

    drop(viewer, link)
    qtbot.waitUntil(lambda: len(told) == 2, timeout=20000)
    qtbot.wait(200)

    image, labels = told
    assert image.startswith("a: ") and labels.startswith("a: ")
    assert "No version is stated" in image and "And 1 more note.)" in image
    assert "gone" in labels and "could not be opened" in labels
    assert "<i>" not in labels, "which Qt would take for markup"


@pytest.mark.parametrize("by_hand", [True, False], ids=["drop", "script"])
def test_layers_keep_the_notes_those_on_labels_too(
    viewer: Any, qtbot: Any, link: str, told: list[str], by_hand: bool
) -> None:
    if by_hand:
        set_default_reader(True)
        drop(viewer, link)
    else:
        viewer.open(link, plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=20000)

    for layer in viewer.layers:
        qtbot.waitUntil(lambda layer=layer: "could not be opened" in notes_of(layer), timeout=20000)
        assert "No version is stated" in notes_of(layer)
        assert "#FF0000" in notes_of(layer)
    assert bool(told) == by_hand, "a script reads notes from the layers"
