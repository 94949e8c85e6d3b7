"""Images and labels written by other people's tools, as layers: what `viewer.open` leads to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pint
import pytest
from napari.components import ViewerModel
from npe2 import PluginManager

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"


def cases(has: str) -> list[Any]:
    """Return the data sets for which something is said: ``layers`` in full, or ``must_show``."""
    listing = CORPUS / "expected.json"
    if not listing.is_file():
        skip = pytest.mark.skip(reason="the corpus is not beside this checkout (../shared/corpus)")
        return [pytest.param("", {}, marks=skip, id="no corpus")]
    datasets = json.loads(listing.read_text("utf-8"))["datasets"]
    return [
        pytest.param(name, case["viewer"], id=name)
        for name, case in datasets.items()
        # Scenes of drafts of 0.6 are turned: tests/test_corpus_06.py looks where they lie.
        if has in case["viewer"] and case["kind"] != "scene"
    ]


@pytest.fixture(autouse=True, scope="module")
def _plugins_known() -> None:
    """Find installed plugins, as napari does when its window opens."""
    PluginManager.instance().discover()


@pytest.mark.parametrize(("name", "expected"), cases("layers"))
def test_what_others_wrote_is_shown_as_they_meant_it(name: str, expected: dict[str, Any]) -> None:
    viewer = ViewerModel()

    viewer.open(str(CORPUS / name), plugin="napari-omezarr-cloud")

    assert len(viewer.layers) == expected["layer_count"]
    for layer, wanted in zip(viewer.layers, expected["layers"], strict=True):
        check_data(layer, wanted)
        check_place(layer, wanted)
        check_looks(layer, wanted)


@pytest.mark.parametrize(("name", "expected"), cases("must_show"))
def test_the_first_field_of_each_well_is_on_the_plate(name: str, expected: dict[str, Any]) -> None:
    viewer = ViewerModel()

    viewer.open(str(CORPUS / name), plugin="napari-omezarr-cloud")

    images = [layer for layer in viewer.layers if type(layer).__name__ == "Image"]
    assert len(images) >= expected["min_image_layers"]
    values = [np.asarray(layer.data[0]).astype(float) for layer in images]
    for field in expected["must_show"]:
        if field["first"]:
            assert any(holds(each, field["probe"]) for each in values), field["well"]


def holds(values: np.ndarray[Any, Any], run: list[float]) -> bool:
    """Tell whether a run of pixels is somewhere along x."""
    windows = np.lib.stride_tricks.sliding_window_view(values, len(run), axis=-1)
    return bool((windows == run).all(-1).any())


def check_data(layer: Any, wanted: dict[str, Any]) -> None:
    assert type(layer).__name__.lower() == wanted["type"]
    assert [list(level.shape) for level in layer.data] == wanted["level_shapes"]
    assert layer.data[0].dtype == wanted["dtype"]
    finest = np.asarray(layer.data[0])
    little = np.ascontiguousarray(finest.astype(finest.dtype.newbyteorder("<")))
    assert hashlib.sha256(little.tobytes()).hexdigest() == wanted["sha256"]
    for level, mean in zip(layer.data, wanted["means"], strict=True):
        if mean is not None:
            assert float(np.nanmean(level)) == pytest.approx(mean, rel=1e-6)


def check_place(layer: Any, wanted: dict[str, Any]) -> None:
    """Compare sizes as quantities: ours are in µm whatever the file says."""
    for number, unit in enumerate(wanted["units"]):
        scale, shift = wanted["scale"][number], wanted["translate"][number]
        if unit is None:
            assert layer.scale[number] == pytest.approx(scale)
            assert layer.translate[number] == pytest.approx(shift)
        else:
            factor = pint.Quantity(1, unit).to(layer.units[number]).magnitude
            assert layer.scale[number] == pytest.approx(scale * factor)
            assert layer.translate[number] == pytest.approx(shift * factor)


def check_looks(layer: Any, wanted: dict[str, Any]) -> None:
    if wanted.get("name_has"):
        assert wanted["name_has"] in layer.name
    if wanted.get("visible") is not None:
        assert bool(layer.visible) is wanted["visible"]
    if wanted.get("contrast_limits"):
        assert list(layer.contrast_limits) == pytest.approx(wanted["contrast_limits"])
    if wanted.get("color"):
        assert hex_of(layer.colormap.map(np.array([1.0]))[0]) == wanted["color"].upper()
    for value, rgba in wanted.get("label_colors", {}).items():
        found = np.round(np.asarray(layer.get_color(int(value))) * 255)
        np.testing.assert_allclose(found[:3], rgba[:3], atol=1)


def hex_of(rgba: Any) -> str:
    return "".join(f"{round(float(part) * 255):02X}" for part in rgba[:3])
