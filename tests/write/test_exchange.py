"""One document changed in place: nobody's change is lost, or it is said that it may be."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from napari_omezarr_cloud.api import locate
from napari_omezarr_cloud.errors import WriteError
from napari_omezarr_cloud.store import RemoteStore, io_thread
from napari_omezarr_cloud.write import exchange as exchanging
from napari_omezarr_cloud.write.exchange import exchange

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.fixtures.servers import S3Server


def with_one_more(raw: bytes | None) -> bytes:
    count = 0 if raw is None else json.loads(raw)["count"]
    return json.dumps({"count": count + 1}).encode()


@pytest.fixture(params=["disk", "S3", "S3 that ignores conditions"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> RemoteStore:
    monkeypatch.setattr(exchanging, "_honour", {})
    if request.param == "disk":
        return RemoteStore(locate(tmp_path), anonymous=True)
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    where = f"s3://{s3.private}/exchange-{tmp_path.name}"
    made = RemoteStore(locate(where, endpoint=s3.endpoint), anonymous=False)
    if "ignores" in request.param:

        async def put_anyway(key: str, data: bytes, version: Mapping[str, str] | None) -> bool:
            await made.put(key, data)
            return True

        monkeypatch.setattr(made, "put_version", put_anyway)
    return made


def read(store: RemoteStore, key: str) -> Any:
    raw = io_thread().wait(store.get(key))
    return None if raw is None else json.loads(bytes(raw))


def test_a_document_is_made_and_changed(store: RemoteStore) -> None:
    notes: tuple[str, ...] = ()
    for _ in range(2):
        notes = io_thread().wait(exchange(store, "a/zarr.json", with_one_more))

    assert read(store, "a/zarr.json") == {"count": 2}
    ignores = exchanging._honour and not any(exchanging._honour.values())
    assert bool(notes) == bool(ignores)
    left = {entry.name for entry in io_thread().wait(store.list("a"))}
    assert left == {"zarr.json"}


def test_two_at_once_are_both_counted(store: RemoteStore) -> None:
    async def both() -> list[Any]:
        work = (exchange(store, "zarr.json", with_one_more) for _ in range(4))
        return await asyncio.gather(*work, return_exceptions=True)

    done = io_thread().wait(both())

    failed = [each for each in done if isinstance(each, BaseException)]
    assert all(isinstance(each, WriteError) for each in failed)
    if exchanging._honour and not any(exchanging._honour.values()):
        assert all("somebody else" in str(each) for each in failed)
    else:
        assert not failed
        assert read(store, "zarr.json") == {"count": 4}


def test_what_the_change_refuses_is_not_written(store: RemoteStore) -> None:
    def refuse(raw: bytes | None) -> bytes:
        raise WriteError("No")

    with pytest.raises(WriteError, match="No"):
        io_thread().wait(exchange(store, "gone/zarr.json", refuse))

    assert read(store, "gone/zarr.json") is None
    # Of an image that has been moved away, no empty folder comes back.
    assert store.location.kind != "file" or not os.listdir(store.location.key)


def test_no_change_writes_nothing(store: RemoteStore) -> None:
    io_thread().wait(exchange(store, "zarr.json", with_one_more))
    before = io_thread().wait(store.read_version("zarr.json"))

    io_thread().wait(exchange(store, "zarr.json", lambda raw: raw or b""))

    assert io_thread().wait(store.read_version("zarr.json")) == before
