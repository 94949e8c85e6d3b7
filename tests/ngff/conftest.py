"""Smallest metadata of each version, and the short way from them to models."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from napari_omezarr_cloud.ngff import Image, parse_group, parse_images

Read = Callable[..., Image]


def multiscale_04(**changes: Any) -> dict[str, Any]:
    """Return one entry of ``multiscales``, y and x, two levels; None takes a key away."""
    entry = {
        "version": "0.4",
        "axes": [
            {"name": "y", "type": "space", "unit": "micrometer"},
            {"name": "x", "type": "space", "unit": "micrometer"},
        ],
        "datasets": [
            {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [0.5, 0.5]}]},
            {"path": "1", "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]},
        ],
    }
    return {key: value for key, value in {**entry, **changes}.items() if value is not None}


@pytest.fixture
def multiscale() -> Callable[..., dict[str, Any]]:
    """A function: changes → an entry of ``multiscales`` of version 0.4."""
    return multiscale_04


@pytest.fixture
def read() -> Read:
    """A function: further attributes and changes of the multiscale → the parsed Image."""

    def read_image(attributes: dict[str, Any] | None = None, **changes: Any) -> Image:
        document = {"multiscales": [multiscale_04(**changes)], **(attributes or {})}
        group = parse_group({".zattrs": json.dumps(document).encode()}, where="x.zarr")
        return parse_images(group)[0]

    return read_image


@pytest.fixture
def read_v3() -> Read:
    """A function: what is under ``ome`` → the parsed Image of a Zarr 3 group."""

    def read_image(ome: Any, **beside: Any) -> Image:
        attributes = {"ome": ome, **beside}
        document = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        group = parse_group({"zarr.json": json.dumps(document).encode()}, where="x.zarr")
        return parse_images(group)[0]

    return read_image
