"""Zip files: read by ranges, voxel for voxel; what is no good says why."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import CloudError, MetadataError, NotFoundError
from tests.fixtures.images import pattern, pyramid, write_directly

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


def packed(
    folder: Path,
    target: Path,
    *,
    top: str = "",
    method: int = zipfile.ZIP_STORED,
    comment: bytes = b"",
    zip64: bool = False,
    json_first: bool = False,
) -> Path:
    """Write a folder into a zip, below ``top``, in the order of the names."""
    paths = sorted(folder.rglob("*"))
    if json_first:
        paths.sort(key=lambda path: (path.name != "zarr.json", len(path.parts)))
    with zipfile.ZipFile(target, "w", method, allowZip64=True) as archive:
        for path in paths:
            if path.is_file():
                name = f"{top}{path.relative_to(folder).as_posix()}"
                info = zipfile.ZipInfo(name)
                info.compress_type = method
                with archive.open(info, "w", force_zip64=zip64) as member:
                    member.write(path.read_bytes())
        archive.comment = comment
    return target


VARIANTS: dict[str, dict[str, Any]] = {
    "stored": {},
    "deflated": {"method": zipfile.ZIP_DEFLATED},
    "bzip2": {"method": zipfile.ZIP_BZIP2},
    "LZMA": {"method": zipfile.ZIP_LZMA},
    "in a folder": {"top": "cells.zarr/"},
    "two folders deep": {"top": "data/cells.zarr/"},
    "with a comment": {"comment": b'{"ome":{"version":"0.5"}} PK\x05\x06'},
    "ZIP64 members": {"zip64": True},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("way", ["file", "http"])
def test_a_zip_is_the_image_in_it(
    image: Written,
    tmp_path: Path,
    slow_server: Callable[..., SlowServer],
    variant: str,
    way: str,
) -> None:
    target = packed(image.path, tmp_path / "cells.zarr.zip", **VARIANTS[variant])
    server = slow_server(tmp_path)

    opened = noc.open(target if way == "file" else f"{server.url}/{target.name}")

    for number, level in enumerate(image.levels):
        np.testing.assert_array_equal(opened.read(number), level)
    assert opened.name == "cells"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("top", ["", "cells.zarr/"])
def test_opening_takes_two_rounds_and_then_ranges(
    tmp_path: Path, slow_server: Callable[..., SlowServer], version: str, top: str
) -> None:
    levels = pyramid(pattern((1024, 1024)), 3)
    image = write_directly(
        tmp_path / "cells.zarr", "yx", levels, version=version, chunks=(64, 64), compressors=None
    )
    target = packed(image.path, tmp_path / "cells.zip", top=top)
    server = slow_server(tmp_path, latency_s=0.1)

    opened = noc.open(f"{server.url}/cells.zip")
    _ = opened.labels

    # The end of the file, then all metadata at once: those near one another in one request.
    tail, *documents = server.log
    assert tail.range == f"bytes=-{1 << 18}"
    assert 1 <= len(documents) <= 3
    assert all(each.start >= (tail.end or 0) for each in documents)
    assert max(each.in_flight for each in documents) == len(documents)
    assert {each.status for each in server.log} == {206}
    assert sum(each.nbytes for each in server.log) < target.stat().st_size / 3
    server.clear_log()

    opened.read(0, (slice(0, 64), slice(0, 128)))

    chunk = "0/0/" if version == "0.4" else "0/c/0/"
    header = 30 + len(f"{top}{chunk}0")
    # Members that lie beside each other come in one request, too.
    assert [each.nbytes for each in server.log] == [2 * (64 * 64 * 2 + header)]


def test_the_directory_is_read_once_for_all_that_is_opened_in_the_file(
    tmp_path: Path, slow_server: Callable[..., SlowServer]
) -> None:
    levels = pyramid(pattern((1024, 1024)), 3)
    image = write_directly(tmp_path / "cells", "yx", levels, chunks=(64, 64), compressors=None)
    packed(image.path, tmp_path / "cells.zip", top="cells.zarr/")
    server = slow_server(tmp_path)

    level = noc.open(f"{server.url}/cells.zip/0")
    whole = noc.open(f"{server.url}/cells.zip")

    assert level.opened.linked_level == 0
    np.testing.assert_array_equal(whole.read(2), levels[2])
    asked = [each.range for each in server.log if each.path == "/cells.zip"]
    assert asked.count(f"bytes=-{1 << 18}") == 1
    assert len(set(asked)) == len(asked), "and no metadata twice"


def test_metadata_that_come_first_cost_one_request(
    tmp_path: Path, slow_server: Callable[..., SlowServer]
) -> None:
    levels = pyramid(pattern((1024, 1024)), 3)
    image = write_directly(tmp_path / "cells", "yx", levels, chunks=(64, 64), compressors=None)
    comment = b'{"ome":{"version":"0.5","zipFile":{"centralDirectory":{"jsonFirst":true}}}}'
    packed(image.path, tmp_path / "cells.ozx", comment=comment, json_first=True)
    server = slow_server(tmp_path)

    opened = noc.open(f"{server.url}/cells.ozx")
    _ = opened.labels

    assert len(server.log) == 2
    np.testing.assert_array_equal(opened.read(2), levels[2])


def test_all_of_a_small_file_comes_at_once(
    image: Written, tmp_path: Path, slow_server: Callable[..., SlowServer]
) -> None:
    packed(image.path, tmp_path / "cells.ozx")
    server = slow_server(tmp_path)

    opened = noc.open(f"{server.url}/cells.ozx")

    np.testing.assert_array_equal(opened.read(0), image.levels[0])
    assert len(server.log) == 1


def test_a_shard_is_read_in_parts(tmp_path: Path, slow_server: Callable[..., SlowServer]) -> None:
    import zarr

    truth = pattern((512, 512))
    folder = tmp_path / "sharded"
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    group.create_array("0", data=truth, chunks=(64, 64), shards=(512, 512), compressors=None)
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [
            {
                "axes": [{"name": n, "type": "space"} for n in "yx"],
                "datasets": [
                    {
                        "path": "0",
                        "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0]}],
                    }
                ],
            }
        ],
    }
    packed(folder, tmp_path / "sharded.ozx")
    server = slow_server(tmp_path)
    opened = noc.open(f"{server.url}/sharded.ozx")
    server.clear_log()

    part = opened.read(0, (slice(0, 64), slice(64, 128)))

    np.testing.assert_array_equal(part, truth[:64, 64:128])
    assert sum(exchange.nbytes for exchange in server.log) < 64 * 64 * 2 + 8192
    np.testing.assert_array_equal(opened.read(0), truth)


def test_one_of_several_is_chosen_by_the_link(image: Written, tmp_path: Path) -> None:
    target = tmp_path / "both.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for top in ("one.zarr", "two.zarr"):
            for path in image.path.rglob("*"):
                if path.is_file():
                    archive.write(path, f"{top}/{path.relative_to(image.path).as_posix()}")

    with pytest.raises(MetadataError, match=r"2 folders.*both\.zip/one\.zarr.*two\.zarr"):
        noc.open(target)

    np.testing.assert_array_equal(noc.open(f"{target}/two.zarr").read(0), image.levels[0])


def test_a_signature_of_a_single_file_is_good_for_it(
    image: Written, tmp_path: Path, slow_server: Callable[..., SlowServer]
) -> None:
    packed(image.path, tmp_path / "cells.ozx")
    server = slow_server(tmp_path)

    opened = noc.open(f"{server.url}/cells.ozx?X-Amz-Signature=s3cr3t")

    assert opened.read(1).shape == image.levels[1].shape
    assert "s3cr3t" not in str(opened.location) + repr(opened)


def test_a_folder_of_that_name_is_a_folder(image: Written, tmp_path: Path) -> None:
    image.path.rename(tmp_path / "unpacked.zip")

    np.testing.assert_array_equal(noc.open(tmp_path / "unpacked.zip").read(0), image.levels[0])


def test_nothing_there_says_so(tmp_path: Path, slow_server: Callable[..., SlowServer]) -> None:
    server = slow_server(tmp_path)

    with pytest.raises(NotFoundError, match=r"Found no file.*nothing\.zip"):
        noc.open(f"{server.url}/nothing.zip")


# ---- what is no good -----------------------------------------------------------------------------


def patched(target: Path, edit: Callable[[bytearray], None]) -> Path:
    raw = bytearray(target.read_bytes())
    edit(raw)
    target.write_bytes(raw)
    return target


def test_what_is_no_zip_says_so(tmp_path: Path) -> None:
    for name, content in {"empty": b"", "text": b"hello" * 100, "half": b"PK\x03\x04" * 9}.items():
        target = tmp_path / f"{name}.zip"
        target.write_bytes(content)
        with pytest.raises(CloudError, match=r"\.zip"):
            noc.open(target)


def test_an_encrypted_member_is_named(image: Written, tmp_path: Path) -> None:
    target = packed(image.path, tmp_path / "locked.zip")

    def lock(raw: bytearray) -> None:
        at = -1
        while (at := raw.find(b"PK\x01\x02", at + 1)) >= 0:
            raw[at + 8] |= 1

    with pytest.raises(MetadataError, match=r"locked\.zip.*encrypted"):
        noc.open(patched(target, lock))


def test_a_damaged_chunk_fails_by_name_and_the_others_do_not(
    image: Written, tmp_path: Path
) -> None:
    target = packed(image.path, tmp_path / "damaged.zip")
    chunk = (image.path / "0/c/0/0").read_bytes()

    def flip(raw: bytearray) -> None:
        raw[raw.find(chunk) + len(chunk) // 2] ^= 0xFF

    opened = noc.open(patched(target, flip))

    with pytest.raises(CloudError, match=r"0/c/0/0.*checksum"):
        opened.read(0, (slice(0, 64), slice(0, 64)))
    part = opened.read(0, (slice(64, 128), slice(0, 64)))
    np.testing.assert_array_equal(part, image.levels[0][64:128, :64])


def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    target = tmp_path / "bomb.zip"
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(600)) + deflate.flush()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zarr.json", json.dumps({"zarr_format": 3, "node_type": "group"}))
    # The same name again, with 600 MB of zeros behind it.
    name, size = b"zarr.json", 600 << 20
    head = struct.pack(
        "<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 8, 0, 0, 0, len(data), size, len(name), 0
    )
    body = head + name + data
    entry = struct.pack(
        "<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, 0, len(data), size,
        len(name), 0, 0, 0, 0, 0, 0,
    ) + name  # fmt: skip
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, len(entry), len(body), 0)
    target.write_bytes(body + entry + end)

    with pytest.raises(MetadataError, match="629 MB are more than can be unpacked safely"):
        noc.open(target)


def test_a_member_that_lies_about_its_size_is_not_unpacked_further(
    image: Written, tmp_path: Path
) -> None:
    target = packed(image.path, tmp_path / "lies.zip", method=zipfile.ZIP_DEFLATED)

    def lie(raw: bytearray) -> None:
        at = raw.rfind(b"zarr.json") - 46
        assert raw[at : at + 4] == b"PK\x01\x02"
        raw[at + 24 : at + 28] = struct.pack("<I", 10)

    with pytest.raises(MetadataError, match=r"zarr\.json.*other than the 10 bytes"):
        noc.open(patched(target, lie))


@pytest.mark.parametrize("cut", [10, 100, 2000])
def test_a_file_that_is_cut_off_says_so(image: Written, tmp_path: Path, cut: int) -> None:
    target = packed(image.path, tmp_path / "cut.zip")
    target.write_bytes(target.read_bytes()[:-cut])

    with pytest.raises(MetadataError, match="cut off"):
        noc.open(target)


def test_paths_that_lead_out_of_the_zip_are_never_read(tmp_path: Path) -> None:
    target = tmp_path / "out.zip"
    ome = {
        "multiscales": [{"version": "0.4", "datasets": [{"path": "../../secret"}], "axes": ["y"]}]
    }
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(".zattrs", json.dumps(ome))
        archive.writestr("../../secret/.zarray", "{}")

    with pytest.raises(MetadataError, match="secret"):
        noc.open(target)
