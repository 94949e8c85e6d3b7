"""Plates and wells by other people's tools: every field is found where it is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import CloudError
from tests.fixtures.slow_http import SlowServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared corpus is not here")


def _expected(name: str) -> dict[str, Any]:
    path = CORPUS / name
    return json.loads(path.read_bytes())["datasets"] if path.is_file() else {}


DATASETS = {
    path: said
    for path, said in _expected("expected.json").items()
    if said["kind"] in ("plate", "well")
}
PLATES = [path for path, said in DATASETS.items() if said["kind"] == "plate"]
WELLS = [path for path, said in DATASETS.items() if said["kind"] == "well"]
HOSTILE = {
    name: said
    for name, said in _expected("hostile/expected.json").items()
    if name.startswith("plate_")
}


@pytest.fixture(scope="module")
def server() -> Iterator[SlowServer]:
    with SlowServer(CORPUS) as server:
        yield server


@pytest.fixture(params=["folder", "http"])
def link_to(request: pytest.FixtureRequest, server: SlowServer) -> Callable[[str], str]:
    """``link_to(path)`` is a link to a data set: its folder, then the same over HTTP."""
    server.clear_log()
    if request.param == "folder":
        return lambda path: str(CORPUS / path)
    return lambda path: f"{server.url}/{quote(path)}"


def holds(layers: list[NDArray[Any]], run: list[float]) -> bool:
    """Tell whether a run of pixels is in a row of one of the layers."""
    for values in layers:
        rows = values.reshape(-1, values.shape[-1])
        if rows.shape[1] >= len(run):
            windows = np.lib.stride_tricks.sliding_window_view(rows, len(run), axis=1)
            if (windows == np.array(run)).all(axis=-1).any():
                return True
    return False


def shown(image: noc.Image) -> list[NDArray[Any]]:
    return [np.asarray(data[0]) for data, _, _ in noc.to_layers(image)]


def test_the_corpus_has_plates_and_wells() -> None:
    assert len(PLATES) > 5
    assert WELLS


@pytest.mark.parametrize("path", PLATES)
def test_the_first_field_of_each_well_is_shown_and_the_others_by_choice(
    path: str, link_to: Callable[[str], str]
) -> None:
    must_show = DATASETS[path]["viewer"]["must_show"]

    first = shown(noc.open(link_to(path)))

    assert all(holds(first, run["probe"]) for run in must_show if run["first"])
    rest = [run for run in must_show if not run["first"]]
    # The second field of a well is number 1, and so on.
    for number in range(1, 1 + len({run["field"] for run in rest})):
        chosen = shown(noc.open(link_to(path), field=number))
        rest = [run for run in rest if not holds(chosen, run["probe"])]
    assert not rest


@pytest.mark.parametrize("path", WELLS)
def test_a_well_shows_all_its_fields(path: str, link_to: Callable[[str], str]) -> None:
    layers = shown(noc.open(link_to(path)))

    for run in DATASETS[path]["viewer"]["must_show"]:
        assert holds(layers, run["probe"])


@pytest.mark.parametrize("path", DATASETS)
def test_channels_are_named_and_coloured_as_the_first_field_says(path: str) -> None:
    said = DATASETS[path]["viewer"].get("channels") or []

    layers = noc.to_layers(noc.open(CORPUS / path))

    for channel, (_, attributes, _) in zip(said, layers, strict=False):
        assert channel["label"] in attributes["name"]
        assert attributes["contrast_limits"] == channel["window"]
        assert attributes["visible"] == (channel["active"] is not False)
        assert attributes["colormap"] == f"#{channel['color']}"


@pytest.mark.parametrize("path", DATASETS)
def test_the_labels_of_all_fields_lie_over_them(path: str) -> None:
    images = DATASETS[path]["images"]
    wanted = {label["name"]: label["unique"] for label in (images[0]["labels"] if images else [])}

    image = noc.open(CORPUS / path)

    found = {labels.name: labels for labels in image.labels}
    assert set(found) == set(wanted)
    for name, count in wanted.items():
        labels = found[name]
        cells = labels.read(0)
        width = image.plate.cell[1] / labels.levels[0].scale[-1] if image.plate else 0
        for well in image.plate.wells if image.plate else ():
            start = round(well.column * width)
            assert len(np.unique(cells[..., start : start + round(width)])) >= count
        assert labels.levels[0].scale[-2:] == pytest.approx(image.levels[0].scale[-2:])
        assert labels.levels[0].shape[-2:] == image.levels[0].shape[-2:]


@pytest.mark.parametrize("path", PLATES)
def test_every_well_of_the_plate_is_known_by_name_and_place(path: str) -> None:
    said = DATASETS[path]["plate"]

    plate = noc.open(CORPUS / path).plate

    assert plate is not None
    places = {well.path: (well.row, well.column) for well in plate.wells}
    assert places == {w["path"]: (w["rowIndex"], w["columnIndex"]) for w in said["wells"]}
    for well in plate.wells:
        y, x = plate.origin_of(well.name)
        assert plate.well_at(y + plate.cell[0] / 2, x + plate.cell[1] / 2) is well


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_plate_is_refused_by_name_or_opened_with_few_requests(
    name: str, link_to: Callable[[str], str], server: SlowServer
) -> None:
    said = HOSTILE[name]
    try:
        image = noc.open(link_to(f"hostile/{name}"))
    except CloudError as error:
        assert any(word in str(error) for word in (*said["names"], name))
    else:
        assert said["expect"] != "error"
        assert len(noc.to_layers(image)) > 0
    assert len(server.log) <= min(said.get("max_requests", 200), 1200)
    assert not any("/_outside" in path for path in server.paths)
