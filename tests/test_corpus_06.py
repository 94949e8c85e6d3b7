"""Images and scenes of OME-Zarr 0.6 by other people's tools: placed as they meant them."""

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

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.ngff import Image, parse_group, parse_images
from napari_omezarr_cloud.ngff.scene import parse_scene

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared corpus is not here")


def _datasets() -> dict[str, Any]:
    listing = CORPUS / "expected.json"
    found = json.loads(listing.read_text("utf-8"))["datasets"] if listing.is_file() else {}
    return {
        name: said
        for name, said in found.items()
        if str(said.get("ngff")).startswith("0.6") and (CORPUS / name).is_dir()
    }


DATASETS = _datasets()
DOCUMENTS = sorted(path for path in (CORPUS / "spec-json").rglob("*.json") if "0.6" in str(path))


@pytest.fixture(autouse=True, scope="module")
def _plugins_known() -> None:
    PluginManager.instance().discover()


@pytest.mark.parametrize("name", DATASETS)
def test_layers_lie_where_they_are_expected(name: str) -> None:
    expected = DATASETS[name]["viewer"]
    viewer = ViewerModel()

    viewer.open(str(CORPUS / name), plugin="napari-omezarr-cloud")

    assert len(viewer.layers) == expected["layer_count"]
    for layer, said in zip(viewer.layers, expected["layers"], strict=True):
        assert [list(level.shape) for level in layer.data] == said["level_shapes"]
        factors = [
            1 if unit is None else pint.Quantity(1, unit).to(ours).magnitude
            for unit, ours in zip(said["units"], layer.units, strict=True)
        ]
        origin = np.array(layer.data_to_world(np.zeros(layer.ndim)))
        steps = [layer.data_to_world(unit) - origin for unit in np.eye(layer.ndim)]
        np.testing.assert_allclose(origin, np.multiply(said["translate"], factors))
        if said.get("affine") is None:
            np.testing.assert_allclose(np.diag(steps), np.multiply(said["scale"], factors))
        pixels = np.ascontiguousarray(layer.data[0])
        little = pixels.astype(pixels.dtype.newbyteorder("<"))
        assert hashlib.sha256(little.tobytes()).hexdigest() == said["sha256"]


@pytest.mark.parametrize("name", [n for n, said in DATASETS.items() if said["kind"] == "scene"])
def test_every_image_of_a_scene_is_opened(name: str) -> None:
    image = noc.open(CORPUS / name)

    paths = [str(each.location) for each in (image, *image.together)]
    assert paths == [str(CORPUS / said["path"]) for said in DATASETS[name]["images"]]
    assert len(image.opened.series) == len(paths)


def _images(path: Path) -> tuple[Image, ...]:
    text = path.read_text("utf-8")
    content = json.loads(text) if "//" not in text else {}
    attributes = content.get("attributes", content)
    document = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    group = parse_group({"zarr.json": json.dumps(document).encode()}, where=path.name)
    if group.kind == "scene":
        assert parse_scene(group).paths
    return parse_images(group) if group.kind == "image" else ()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_document_of_the_specification_is_read_or_refused_in_our_words(path: Path) -> None:
    try:
        images = _images(path)
    except CloudError as error:
        assert path.name in str(error)
        assert "valid" not in path.parts, "what is valid is read"
        return

    for image in images:
        assert image.axes or image.notes
        assert image.affine is None or image.affine.inverse() is not None


def _example(name: str) -> Image:
    return _images(CORPUS / "spec-json" / name)[0]


@pytest.mark.parametrize(
    ("name", "point", "expected"),
    [
        pytest.param("valid/transforms/affine", (1, 2), (33.8, 24.3), id="affine"),
        pytest.param("valid/transforms/rotation", (1, 2), (2, -1), id="rotation"),
        pytest.param("valid/transforms/mapAxis", (1, 2), (2, 1), id="mapAxis"),
        pytest.param("valid/transforms/byDimension", (1, 2), (2, -8), id="byDimension"),
        # moved, doubled, turned round; then by dimension, where the last axis is left out
        pytest.param(
            "valid/image/multiscales_transform_additional_transforms",
            (1, 2, 3),
            (72, 14, 12),
            id="sequence",
        ),
    ],
)
def test_examples_of_the_specification_lead_where_they_say(
    name: str, point: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    affine = _example(f"ngff-0.6-tests/{name}.json").affine

    assert affine is not None
    assert affine(point) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["projectAxis", "projectAxis2", "affineParams"])
def test_what_cannot_be_shown_is_named(name: str) -> None:
    image = _example(f"ngff-0.6-tests/valid/transforms/{name}.json")

    assert image.affine is None
    said = "binary data" if name == "affineParams" else "projectAxis"
    assert any(said in note for note in image.notes)
