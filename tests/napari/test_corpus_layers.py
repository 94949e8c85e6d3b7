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
VERSIONS = {"0.1", "0.2", "0.3", "0.4", "0.5", None}
KINDS = {"image", "labels"}


def cases() -> list[Any]:
    listing = CORPUS / "expected.json"
    if not listing.is_file():
        skip = pytest.mark.skip(reason="the corpus is not beside this checkout (../shared/corpus)")
        return [pytest.param("", {}, marks=skip, id="no corpus")]
    datasets = json.loads(listing.read_text("utf-8"))["datasets"]
    return [
        pytest.param(name, case["viewer"], id=name)
        for name, case in datasets.items()
        if case["kind"] in KINDS and case.get("ngff") in VERSIONS and not case.get("may_refuse")
    ]


@pytest.fixture(autouse=True, scope="module")
def _plugins_known() -> None:
    """Find installed plugins, as napari does when its window opens."""
    PluginManager.instance().discover()


@pytest.mark.parametrize(("name", "expected"), cases())
def test_what_others_wrote_is_shown_as_they_meant_it(name: str, expected: dict[str, Any]) -> None:
    viewer = ViewerModel()

    viewer.open(str(CORPUS / name), plugin="napari-omezarr-cloud")

    assert len(viewer.layers) == expected["layer_count"]
    for layer, wanted in zip(viewer.layers, expected["layers"], strict=True):
        check_data(layer, wanted)
        check_place(layer, wanted)
        check_looks(layer, wanted)


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
