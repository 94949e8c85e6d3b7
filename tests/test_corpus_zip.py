"""Zip files written by other people's tools, from a folder and over HTTP: voxel for voxel."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

import napari_omezarr_cloud as noc
from tests.fixtures.slow_http import SlowServer

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared corpus is not here")

EXPECTED = CORPUS / "expected.json"
DATASETS = json.loads(EXPECTED.read_bytes())["datasets"] if EXPECTED.is_file() else {}
ZIPPED = {
    image["path"]: image
    for name, dataset in DATASETS.items()
    for image in dataset["images"]
    if name.endswith((".zip", ".ozx"))
}


@pytest.fixture(scope="module")
def server() -> Iterator[SlowServer]:
    with SlowServer(CORPUS) as server:
        yield server


@pytest.mark.parametrize("path", ZIPPED)
@pytest.mark.parametrize("way", ["file", "http"])
def test_every_voxel_of_a_zip_is_there(path: str, way: str, server: SlowServer) -> None:
    said: dict[str, Any] = ZIPPED[path]
    link = str(CORPUS / path) if way == "file" else f"{server.url}/{quote(path)}"

    image = noc.open(link)

    assert [axis.name for axis in image.axes] == [axis["name"] for axis in said["axes"]]
    for level, expected in zip(image.levels, said["levels"], strict=True):
        voxels = image.read(level.number)
        little = voxels.astype(voxels.dtype.newbyteorder("<"), order="C")
        assert list(level.shape) == expected["shape"]
        assert hashlib.sha256(little.tobytes()).hexdigest() == expected["sha256"]
