"""Connections of one image serve the next one of the same server."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import napari_omezarr_cloud as noc

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.images import Written
    from tests.fixtures.slow_http import SlowServer

NAME = "v05 by ome-zarr-py"
AT_ONCE = 10
"""Documents that are asked for at once, each over a connection of its own."""


@pytest.fixture
def server(
    slow_server: Callable[..., SlowServer], ome_zarr: Callable[[str], Written], tmp_path: Path
) -> Any:
    for name in ("a.zarr", "b.zarr", "in between/c d.zarr"):
        shutil.copytree(ome_zarr(NAME).path, tmp_path / "bucket" / name)
    served = slow_server(tmp_path, latency_s=0.05)
    served.truth = ome_zarr(NAME).levels[-1]
    return served


def connections_of(server: SlowServer, link: str) -> int:
    before = server.connections.opened
    image = noc.open(link)
    np.testing.assert_array_equal(image.read(level=len(image.levels) - 1), server.truth)
    return server.connections.opened - before


@pytest.mark.parametrize("link", ["{url}/bucket/{name}", "s3://bucket/{name}?endpoint={url}"])
def test_another_image_of_a_server_needs_no_new_connections(server: Any, link: str) -> None:
    first = connections_of(server, link.format(url=server.url, name="a.zarr"))
    second = connections_of(server, link.format(url=server.url, name="b.zarr"))

    assert first >= AT_ONCE
    assert second <= AT_ONCE // 2  # one may still be busy with what the first image asked last


def test_what_carries_a_token_has_connections_of_its_own(server: Any) -> None:
    link = f"{server.url}/bucket/a.zarr"
    connections_of(server, link)

    assert connections_of(server, f"{link}?token=secret") >= AT_ONCE


def test_names_that_need_escapes_open_as_before(server: Any) -> None:
    connections_of(server, f"{server.url}/bucket/in%20between/c%20d.zarr")
