"""Every codec that zarr-python writes, read voxel for voxel; what unpacks to too much, refused."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numcodecs
import numpy as np
import pytest
import zarr
import zarr.codecs as z3
import zarr.codecs.numcodecs as zn

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import ChunkError, CloudError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.filterwarnings(
    "ignore:Numcodecs codecs are not in:UserWarning",
    "ignore::zarr.errors.ZarrUserWarning",
    "ignore::zarr.errors.UnstableSpecificationWarning",
)


def voxels(dtype: str = "<u2") -> NDArray[Any]:
    kind = np.dtype(dtype)
    values = np.arange(37 * 29).reshape(37, 29) % 251
    if kind.kind == "b":
        return values % 3 == 0
    return (values * (1 + 2j)).astype(kind) if kind.kind == "c" else values.astype(kind)


def check(root: Path, wanted: NDArray[Any]) -> None:
    assert np.array_equal(noc.open(str(root)).read(0), wanted)


def write(root: Path, values: NDArray[Any], version: int, **how: Any) -> None:
    array = zarr.create_array(
        root, shape=values.shape, dtype=values.dtype, zarr_format=version,
        **{"chunks": (16, 10), **how},
    )  # fmt: skip
    array[...] = values


V2 = {
    **{
        f"blosc-{name}-{shuffle}": {"compressors": numcodecs.Blosc(cname=name, shuffle=shuffle)}
        for name in ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
        for shuffle in (0, 1, 2)
    },
    **{
        name: {"compressors": numcodecs.get_codec({"id": name})}
        for name in ("zlib", "gzip", "bz2", "lzma", "zstd", "lz4")
    },
    **{
        name: {"filters": [numcodecs.get_codec({"id": name})], "compressors": numcodecs.Zstd()}
        for name in ("crc32", "crc32c", "adler32", "fletcher32", "jenkins_lookup3")
    },
    "delta": {"filters": [numcodecs.Delta("<u2")]},
    "astype": {"filters": [numcodecs.AsType("<u4", "<u2")]},
    "shuffle": {"filters": [numcodecs.Shuffle(2)], "compressors": numcodecs.GZip()},
    "fixedscaleoffset": {"filters": [numcodecs.FixedScaleOffset(0, 1, "<u2", "<u1")]},
    "f-order": {"order": "F"},
    "none": {"compressors": None},
    "slash": {"chunk_key_encoding": {"name": "v2", "separator": "/"}},
}


@pytest.mark.parametrize("how", V2.values(), ids=V2)
def test_an_array_of_format_2_is_read_voxel_for_voxel(how: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", voxels(), 2, **how)

    check(tmp_path / "a.zarr", voxels())


V3: dict[str, Callable[[], dict[str, Any]]] = {
    "blosc": lambda: {"compressors": z3.BloscCodec()},
    "gzip": lambda: {"compressors": z3.GzipCodec()},
    "zstd-checksum": lambda: {"compressors": z3.ZstdCodec(checksum=True)},
    "crc32c": lambda: {"compressors": [z3.ZstdCodec(), z3.Crc32cCodec()]},
    "transpose": lambda: {"filters": z3.TransposeCodec(order=(1, 0))},
    "big-endian": lambda: {"serializer": z3.BytesCodec(endian="big")},
    "sharded": lambda: {"shards": (32, 20)},
    "v2-keys": lambda: {"chunk_key_encoding": {"name": "v2", "separator": "."}},
    **{
        name: lambda name=name: {"compressors": getattr(zn, name)()}
        for name in "BZ2 LZ4 LZMA Zlib Zstd GZip Blosc CRC32 CRC32C Adler32 Fletcher32".split()
    },
    "Shuffle": lambda: {"compressors": [zn.Shuffle(elementsize=2), zn.Zlib()]},
    "Delta": lambda: {"filters": zn.Delta(dtype="<u2"), "compressors": zn.BZ2()},
}


@pytest.mark.parametrize("how", V3.values(), ids=V3)
def test_an_array_of_format_3_is_read_voxel_for_voxel(
    how: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    write(tmp_path / "a.zarr", voxels(), 3, **how())

    check(tmp_path / "a.zarr", voxels())


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("dtype", "bool i1 u1 <i2 <u2 <i4 <u4 <i8 <u8 <f2 <f4 <f8 <c8 <c16".split())
def test_each_type_of_number_is_read_voxel_for_voxel(
    dtype: str, version: int, tmp_path: Path
) -> None:
    write(tmp_path / "a.zarr", voxels(dtype), version)

    check(tmp_path / "a.zarr", voxels(dtype))


@pytest.mark.parametrize("dtype", [">u2", ">i4", ">f4", ">f8"])
def test_big_endian_numbers_are_read(dtype: str, tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", voxels(dtype), 2)

    check(tmp_path / "a.zarr", voxels(dtype))


def array_v2(root: Path, chunk: bytes, **said: Any) -> str:
    root.mkdir()
    document = {
        "zarr_format": 2, "shape": [64, 64], "chunks": [64, 64], "dtype": "<u2",
        "compressor": None, "fill_value": 0, "order": "C", "filters": None, **said,
    }  # fmt: skip
    (root / ".zarray").write_text(json.dumps(document))
    (root / "0.0").write_bytes(chunk)
    return str(root)


def _zstd_without_sizes(blocks: int) -> bytes:
    """Frame of runs of one byte, 128 KiB each, whose header leaves out the size (RFC 8878)."""
    said = [((1 << 17) << 3 | 2 | (n == blocks - 1)).to_bytes(3, "little") for n in range(blocks)]
    return b"\x28\xb5\x2f\xfd\x00\x38" + b"".join(head + b"\7" for head in said)


MUCH = bytes(64 << 20)
SMALL = numcodecs.Zstd().encode(bytes(8192))
BOMBS = {
    "gzip": gzip.compress(MUCH, 1),
    "zlib": zlib.compress(MUCH, 1),
    "bz2": bz2.compress(MUCH, 1),
    "lzma": lzma.compress(MUCH, preset=0),
    "zstd": numcodecs.Zstd().encode(MUCH),
    "zstd, no size": _zstd_without_sizes(1 << 14),
    "zstd, second frame": SMALL + numcodecs.Zstd().encode(MUCH),
    "zstd, second frame, no size": SMALL + _zstd_without_sizes(1 << 14),
    "lz4": struct.pack("<I", 2**31 - 1) + b"\0" * 40,
    "blosc": struct.pack("<BBBBIII", 2, 1, 1, 1, 2**31 - 1, 4096, 40) + b"\0" * 40,
}


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", BOMBS)
def test_a_chunk_that_unpacks_to_too_much_is_refused(
    name: str, version: int, tmp_path: Path
) -> None:
    codec = name.split(",")[0]
    link = array_v2(tmp_path / "a.zarr", BOMBS[name], compressor={"id": codec})
    if version == 3:
        document = {
            "zarr_format": 3, "node_type": "array", "shape": [64, 64], "data_type": "uint16",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [64, 64]}},
            "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "."}},
            "fill_value": 0, "attributes": {},
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": f"numcodecs.{codec}", "configuration": {}},
            ],
        }  # fmt: skip
        (tmp_path / "a.zarr" / ".zarray").unlink()
        (tmp_path / "a.zarr" / "zarr.json").write_text(json.dumps(document))

    with pytest.raises(ChunkError, match="unpack to more"):
        noc.open(link).read(0)


@pytest.mark.parametrize("length", [0, 1, 4, 15, 16])
@pytest.mark.parametrize("name", ["blosc", "lz4", "zstd", "zlib", "gzip", "bz2", "lzma"])
def test_a_chunk_that_is_shorter_than_a_header_is_refused(
    name: str, length: int, tmp_path: Path
) -> None:
    whole = bytes(numcodecs.get_codec({"id": name}).encode(np.zeros((64, 64), "<u2")))
    link = array_v2(tmp_path / "a.zarr", whole[:length], compressor={"id": name})

    with pytest.raises(ChunkError, match=r"0\.0"):
        noc.open(link).read(0)


def test_zstd_frames_without_a_size_and_in_a_row_are_read(tmp_path: Path) -> None:
    half = np.full((64, 32), 0x0707, "<u2")
    link = array_v2(
        tmp_path / "a.zarr", _zstd_without_sizes(1), compressor={"id": "zstd"},
        chunks=[256, 256], shape=[256, 256],
    )  # fmt: skip
    assert (noc.open(link).read(0) == 0x0707).all()

    frames = numcodecs.Zstd().encode(half.tobytes()) * 2
    link = array_v2(tmp_path / "b.zarr", frames, compressor={"id": "zstd"})
    assert (noc.open(link).read(0) == 0x0707).all()


@pytest.mark.parametrize("name", ["pickle", "json2", "msgpack2", "vlen-utf8", "categorize"])
def test_codecs_of_objects_are_refused_by_name(name: str, tmp_path: Path) -> None:
    more = {"labels": ["a"], "dtype": "<u2"} if name == "categorize" else {}
    link = array_v2(tmp_path / "a.zarr", b"x", filters=[{"id": name, **more}])

    with pytest.raises(UnsupportedError, match=name):
        noc.open(link)


@pytest.mark.parametrize("name", ["imagecodecs_jpeg2k", "jpeg", "nonsense"])
def test_a_codec_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(CloudError, match=name):
        noc.open(array_v2(tmp_path / "a.zarr", b"x", compressor={"id": name}))


@pytest.mark.parametrize("dtype", ["|S8", "<U4", "|O", [["a", "<u2"], ["b", "<f4"]]])
def test_arrays_of_no_numbers_are_refused(dtype: Any, tmp_path: Path) -> None:
    with pytest.raises(CloudError):
        noc.open(array_v2(tmp_path / "a.zarr", b"x", dtype=dtype, fill_value=None))


@pytest.mark.parametrize(
    ("fill", "dtype", "wanted"),
    [
        (None, "<u2", 0), ("NaN", "<f4", np.nan), ("Infinity", "<f8", np.inf),
        ("-Infinity", "<f4", -np.inf), (7, "<i4", 7), (True, "|b1", True),
    ],
)  # fmt: skip
def test_absent_chunks_hold_the_fill_value(
    fill: Any, dtype: str, wanted: Any, tmp_path: Path
) -> None:
    link = array_v2(tmp_path / "a.zarr", b"", fill_value=fill, dtype=dtype)
    (tmp_path / "a.zarr" / "0.0").unlink()

    found = noc.open(link).read(0)

    assert np.array_equal(found, np.full((64, 64), wanted, dtype), equal_nan=dtype[1] == "f")
