"""What lies in zip files of all kinds: methods, names, doubles; bounded, and nothing outside."""

from __future__ import annotations

import bz2
import lzma
import random
import struct
import tracemalloc
import zipfile
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numcodecs.zstd import Zstd

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import CloudError, MetadataError, ServerError
from napari_omezarr_cloud.store.recent_bytes import RecentBytes
from napari_omezarr_cloud.store.zip_directory import Directory, Member, parse_directory
from napari_omezarr_cloud.store.zip_records import END_BYTES, DirectoryPlace, parse_end
from tests.fixtures.images import pattern, pyramid, write_directly
from tests.fixtures.zip_by_hand import Packed, write_zip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.images import Written
    from tests.fixtures.slow_http import SlowServer


@pytest.fixture
def image(tmp_path: Path) -> Written:
    return write_directly(
        tmp_path / "cells.zarr", "yx", pyramid(pattern((300, 260)), 2), chunks=(64, 64)
    )


def members_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def zip_lzma(data: bytes) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16, "lc": 3, "lp": 0, "pb": 2}]
    raw = lzma.compress(data, lzma.FORMAT_RAW, filters=filters)
    return struct.pack("<BBHBI", 9, 4, 5, 93, 1 << 16) + raw


def deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


PACK: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "stored": (0, bytes),
    "deflate": (8, deflate),
    "bzip2": (12, bz2.compress),
    "LZMA": (14, zip_lzma),
    "Zstandard": (93, Zstd().encode),
    "Zstandard, first number": (20, Zstd().encode),
    "XZ": (95, lzma.compress),
}


@pytest.mark.parametrize("name", PACK)
@pytest.mark.parametrize("descriptor", [False, True], ids=["sizes before", "sizes after"])
def test_members_packed_by_any_method_are_read(
    image: Written, tmp_path: Path, name: str, descriptor: bool
) -> None:
    method, pack = PACK[name]
    target = write_zip(
        tmp_path / "cells.zip",
        [
            Packed(key, data, pack(data), method, descriptor=descriptor)
            for key, data in members_of(image.path).items()
        ],
    )

    opened = noc.open(target)

    for number, level in enumerate(image.levels):
        np.testing.assert_array_equal(opened.read(number), level)


@pytest.mark.parametrize("name", [name for name in PACK if name != "stored"])
def test_a_member_that_unpacks_to_more_than_it_says_is_stopped(
    image: Written, tmp_path: Path, name: str
) -> None:
    method, pack = PACK[name]
    bomb = pack(bytes(64 << 20))
    members = [Packed(key, data) for key, data in members_of(image.path).items()]
    members += [Packed("zarr.json", b"{}", bomb, method)]
    target = write_zip(tmp_path / "bomb.zip", members)

    tracemalloc.start()
    with pytest.raises(MetadataError, match=r"bomb\.zip \(key zarr\.json\)"):
        noc.open(target)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 32 << 20


@pytest.mark.parametrize("name", [name for name in PACK if name != "stored"])
@pytest.mark.parametrize("damage", ["cut off", "overwritten", "nothing"])
def test_a_damaged_member_is_named(image: Written, tmp_path: Path, name: str, damage: str) -> None:
    method, pack = PACK[name]
    members = []
    for key, data in members_of(image.path).items():
        raw = pack(data)
        if key == "0/zarr.json":
            half = len(raw) // 2
            raw = {"cut off": raw[:half], "overwritten": raw[:half] + bytes(half), "nothing": b""}[
                damage
            ]
        members.append(Packed(key, data, raw, method))
    target = write_zip(tmp_path / "cells.zip", members)

    with pytest.raises(MetadataError, match=r"key 0/zarr\.json"):
        noc.open(target)


def test_other_methods_are_named(image: Written, tmp_path: Path) -> None:
    members = [Packed(key, data, method=9) for key, data in members_of(image.path).items()]

    with pytest.raises(MetadataError, match="packed with deflate64, which is not supported"):
        noc.open(write_zip(tmp_path / "cells.zip", members))


def test_a_packed_shard_is_fetched_and_unpacked_once(
    tmp_path: Path, slow_server: Callable[..., SlowServer]
) -> None:
    truth = pattern((512, 512))
    written = write_directly(
        tmp_path / "cells", "yx", [truth], chunks=(32, 32), shards=(512, 512), compressors=None
    )
    target = tmp_path / "cells.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for key, data in members_of(written.path).items():
            archive.writestr(key, data)
    server = slow_server(tmp_path)
    opened = noc.open(f"{server.url}/cells.zip")
    server.clear_log()

    for row in range(0, 512, 128):
        part = opened.read(0, (slice(row, row + 128), slice(None)))
        np.testing.assert_array_equal(part, truth[row : row + 128])

    assert len(server.log) <= 1
    assert sum(each.nbytes for each in server.log) < target.stat().st_size


# ---- names ---------------------------------------------------------------------------------------


def test_of_a_name_that_repeats_the_last_counts_and_is_said(image: Written, tmp_path: Path) -> None:
    members = [Packed(key, data) for key, data in members_of(image.path).items()]
    first = Packed("zarr.json", b'{"zarr_format": 3, "node_type": "group"}')

    opened = noc.open(write_zip(tmp_path / "cells.zip", [first, *members]))

    np.testing.assert_array_equal(opened.read(1), image.levels[1])
    assert any("'zarr.json' more than once" in note for note in opened.notes)


def test_members_that_overlap_are_refused(image: Written, tmp_path: Path) -> None:
    members = [Packed(key, data) for key, data in members_of(image.path).items()]
    inside = Packed("1/zarr.json", b"{}", offset=40)

    with pytest.raises(MetadataError, match=r"overlap\.zip.*members overlap"):
        noc.open(write_zip(tmp_path / "overlap.zip", [*members, inside]))


def test_a_member_beyond_the_end_is_refused(image: Written, tmp_path: Path) -> None:
    members = [Packed(key, data) for key, data in members_of(image.path).items()]
    beyond = Packed("1/zarr.json", b"{}", offset=1 << 30)

    with pytest.raises(MetadataError, match="members overlap"):
        noc.open(write_zip(tmp_path / "beyond.zip", [*members, beyond]))


@pytest.mark.parametrize(
    "outside", ["../secret", "/etc/zarr.json", "C:/zarr.json", "0/../../zarr.json", "..\\zarr.json"]
)
def test_a_name_that_leads_out_is_left_out_and_said(
    image: Written, tmp_path: Path, outside: str
) -> None:
    members = [Packed(key, data) for key, data in members_of(image.path).items()]

    opened = noc.open(write_zip(tmp_path / "cells.zip", [*members, Packed(outside, b"{}")]))

    np.testing.assert_array_equal(opened.read(1), image.levels[1])
    assert any("would lie outside" in note and repr(outside) in note for note in opened.notes)


@pytest.mark.parametrize("form", ["./{}", "cells.zarr//{}", "cells.zarr/./{}", "backslashes"])
def test_names_are_taken_as_the_paths_that_they_mean(
    image: Written, tmp_path: Path, form: str
) -> None:
    def named(key: str) -> str:
        return key.replace("/", "\\") if form == "backslashes" else form.format(key)

    members = [Packed(named(key), data) for key, data in members_of(image.path).items()]

    opened = noc.open(write_zip(tmp_path / "cells.zip", members))

    np.testing.assert_array_equal(opened.read(0), image.levels[0])


@pytest.mark.parametrize(
    ("name", "encoding", "flags"),
    [("zellen_ü", "utf-8", 1 << 11), ("zellen_ü", "utf-8", 0), ("zellen_ü", "cp437", 0)],
    ids=["UTF-8", "UTF-8 that does not say so", "code page 437"],
)
def test_names_in_old_and_new_alphabets_are_read(
    image: Written, tmp_path: Path, name: str, encoding: str, flags: int
) -> None:
    members = [
        Packed(f"{name}/{key}".encode(encoding), data, flags=flags)
        for key, data in members_of(image.path).items()
    ]
    target = write_zip(tmp_path / "cells.zip", members)

    np.testing.assert_array_equal(noc.open(target).read(0), image.levels[0])
    np.testing.assert_array_equal(noc.open(f"{target}/{name}").read(0), image.levels[0])


def test_a_local_header_longer_than_most_is_read(
    image: Written, tmp_path: Path, slow_server: Callable[..., SlowServer]
) -> None:
    members = [
        Packed(key, data, extra=struct.pack("<HH", 0xCAFE, 3000) + bytes(3000))
        for key, data in members_of(image.path).items()
    ]
    # Longer than what is read of the end, so that members must be asked for.
    members.append(Packed("padding", bytes(1 << 18)))
    write_zip(tmp_path / "cells.zip", members)

    opened = noc.open(f"{slow_server(tmp_path).url}/cells.zip")

    np.testing.assert_array_equal(opened.read(0), image.levels[0])


# ---- many members --------------------------------------------------------------------------------


def test_a_folder_among_very_many_members_is_listed_in_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [Packed(f"0/c/{n // 1000}/{n % 1000}", b"") for n in range(100_000)]
    members += [Packed("0/zarr.json", b"{}"), Packed("zarr.json", b"{}"), Packed("0.txt", b"1")]
    raw = write_zip(tmp_path / "many.zip", members).read_bytes()
    place = parse_end(raw[-END_BYTES:])
    assert isinstance(place, DirectoryPlace)
    directory = parse_directory(place, raw[place.offset :])
    asked: list[str] = []
    get = Directory.get

    def counted(self: Directory, name: str) -> Member | None:
        asked.append(name)
        return get(self, name)

    monkeypatch.setattr(Directory, "get", counted)

    assert sorted(name for name, _ in directory.below("")) == ["0", "0.txt", "zarr.json"]
    rows = [(name, member) for name, member in directory.below("0/c")]
    assert sorted(rows) == sorted((str(n), None) for n in range(100))
    assert len(asked) == 2, "the two files at the top, and none of the chunks"
    assert len(list(directory.below("0/c/17"))) == 1000
    assert len(asked) == 1002


# ---- where the server sends no ranges ------------------------------------------------------------


def test_a_small_file_is_read_whole_where_there_are_no_ranges_and_said(
    image: Written, tmp_path: Path, slow_server: Callable[..., SlowServer]
) -> None:
    members = [Packed(key, data) for key, data in members_of(image.path).items()]
    target = write_zip(tmp_path / "cells.zip", [*members, Packed("padding", bytes(1 << 19))])
    server = slow_server(tmp_path)
    server.fault("cells.zip", "no-range")

    opened = noc.open(f"{server.url}/cells.zip")

    np.testing.assert_array_equal(opened.read(0), image.levels[0])
    assert any("the whole zip file was read" in note for note in opened.notes)
    whole = [each for each in server.log if each.nbytes == target.stat().st_size]
    assert len([each for each in whole if each.range is None]) == 1


def test_a_large_file_is_not_read_whole_and_the_way_out_is_said(
    tmp_path: Path, slow_server: Callable[..., SlowServer]
) -> None:
    with (tmp_path / "large.zip").open("wb") as file:
        file.truncate((64 << 20) + 1)
    server = slow_server(tmp_path)
    server.fault("large.zip", "no-range")

    with pytest.raises(ServerError) as refusal:
        noc.open(f"{server.url}/large.zip")

    text = str(refusal.value)
    assert "cannot send parts of a file" in text
    assert "67 MB; it is read whole up to 67 MB" in text
    assert "Download the file first" in text
    assert "curl -L -o large.zip" in text


def test_a_service_that_knows_no_suffix_ranges_is_asked_by_offset(
    image: Written, tmp_path: Path, slow_server: Callable[..., SlowServer]
) -> None:
    members = [Packed(key, data) for key, data in members_of(image.path).items()]
    (tmp_path / "container").mkdir()
    write_zip(tmp_path / "container/cells.zip", [*members, Packed("padding", bytes(1 << 19))])
    server = slow_server(tmp_path)

    # Azure's client refuses suffixes by itself.
    opened = noc.open(f"az://container/cells.zip?endpoint={server.url}&account=lab&anonymous=true")

    np.testing.assert_array_equal(opened.read(0), image.levels[0])
    assert {each.status for each in server.log} == {206}


# ---- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_however_a_file_is_damaged_only_our_errors_come_out(
    image: Written, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    kinds = list(PACK.values())
    target = tmp_path / "cells.zip"
    for _ in range(40):
        members = [
            Packed(key, data, pack(data), method, descriptor=chance.random() < 0.3)
            for key, data in members_of(image.path).items()
            for method, pack in [chance.choice(kinds)]
            if not key.startswith("0/c/")
        ]
        raw = bytearray(write_zip(target, members).read_bytes())
        end = raw.rfind(b"PK\x05\x06")
        (directory,) = struct.unpack_from("<I", raw, end + 16)
        for _ in range(chance.choice([1, 1, 2, 4, 16])):
            at = chance.randrange(chance.choice([0, directory, end]), len(raw))
            raw[at] = chance.choice([0, 0xFF, 0x80, raw[at] ^ (1 << chance.randrange(8))])
        if chance.random() < 0.1:
            del raw[chance.randrange(len(raw)) :]
        if chance.random() < 0.1:
            at = chance.randrange(len(raw))
            raw[at:at] = bytes(chance.randrange(100))
        target.write_bytes(raw)

        with suppress(CloudError):
            noc.open(target).read(1)


def test_a_zip_file_behind_other_data_is_read(image: Written, tmp_path: Path) -> None:
    members = [Packed(key, data) for key, data in members_of(image.path).items()]
    target = write_zip(tmp_path / "cells.zip", members)
    target.write_bytes(b"#!/bin/sh\nexit 1\n" * 9 + target.read_bytes())

    np.testing.assert_array_equal(noc.open(target).read(0), image.levels[0])


def test_what_is_kept_of_packed_members_is_bounded() -> None:
    kept = RecentBytes(100)
    for name in "abc":
        kept.put(name, bytes(40))

    assert (kept.get("a"), kept.nbytes) == (None, 80)
    assert kept.get("b") is not None, "and is now the most recent"
    kept.put("d", bytes(40))
    assert (kept.get("b"), kept.get("c"), kept.nbytes) == (bytes(40), None, 80)
    kept.put("large", bytes(300))
    assert kept.get("large") == bytes(300)
    assert kept.nbytes == 300
