"""A store over a server, and a way to ask it from a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.store import RemoteStore, io_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer

BODY = bytes(range(200))


@pytest.fixture
def server(slow_server: Callable[..., SlowServer], tmp_path: Path) -> SlowServer:
    """A server with the objects ``bucket/key`` and ``bucket/other``, each ``BODY``."""
    (tmp_path / "bucket").mkdir()
    for name in ("key", "other"):
        (tmp_path / "bucket" / name).write_bytes(BODY)
    return slow_server(tmp_path)


@pytest.fixture
def store_at() -> Callable[..., RemoteStore]:
    """``store_at(link)`` opens a store that never signs."""
    return lambda link, **more: RemoteStore(parse_location(link, **more), anonymous=True)


@pytest.fixture
def ask() -> Callable[[Awaitable[Any]], Any]:
    """``ask(store.get("key"))`` waits for an answer."""

    async def wait(work: Awaitable[Any]) -> Any:
        return await work

    return lambda work: io_thread().wait(wait(work))
