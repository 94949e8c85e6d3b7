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
    "delta, signed": {"filters": [numcodecs.Delta("<u2", "<i2")]},
    "delta, shuffle, zstd with checksum": {
        "filters": [numcodecs.Delta("<u2"), numcodecs.Shuffle(2)],
        "compressors": numcodecs.Zstd(checksum=True),
    },
    "base64": {"filters": [numcodecs.Base64()]},
    "f-order": {"order": "F"},
    "f-order, delta": {"order": "F", "filters": [numcodecs.Delta("<u2")]},
    "none": {"compressors": None},
    "slash": {"chunk_key_encoding": {"name": "v2", "separator": "/"}},
}


@pytest.mark.parametrize("how", V2.values(), ids=V2)
def test_an_array_of_format_2_is_read_voxel_for_voxel(how: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", voxels(), 2, **how)

    check(tmp_path / "a.zarr", voxels())


def shards(**how: Any) -> dict[str, Any]:
    """Shards of 32 by 20 as a serializer, which leaves all of it open."""
    return {
        "chunks": (32, 20), "serializer": z3.ShardingCodec(chunk_shape=(16, 10), **how),
    }  # fmt: skip


V3: dict[str, Callable[[], dict[str, Any]]] = {
    "blosc": lambda: {"compressors": z3.BloscCodec()},
    "gzip": lambda: {"compressors": z3.GzipCodec()},
    "zstd-checksum": lambda: {"compressors": z3.ZstdCodec(checksum=True)},
    "crc32c": lambda: {"compressors": [z3.ZstdCodec(), z3.Crc32cCodec()]},
    "transpose": lambda: {"filters": z3.TransposeCodec(order=(1, 0))},
    "transpose, gzip": lambda: {
        "filters": z3.TransposeCodec(order=(1, 0)),
        "compressors": z3.GzipCodec(),
    },
    "crc32c twice": lambda: {
        "compressors": [z3.Crc32cCodec(), z3.GzipCodec(), z3.Crc32cCodec()],
    },
    "big-endian": lambda: {"serializer": z3.BytesCodec(endian="big")},
    "sharded": lambda: {"shards": (32, 20)},
    "shard index at the start": lambda: shards(index_location="start"),
    "shard index big-endian, unchecked": lambda: shards(index_codecs=[z3.BytesCodec(endian="big")]),
    "chunks of a shard transposed": lambda: shards(
        codecs=[z3.TransposeCodec(order=(1, 0)), z3.BytesCodec(), z3.ZstdCodec(checksum=True)]
    ),
    "shards in shards": lambda: shards(codecs=[z3.ShardingCodec(chunk_shape=(8, 5))]),
    "shards in shards, index at the start": lambda: shards(
        codecs=[z3.ShardingCodec(chunk_shape=(8, 5), index_location="start")]
    ),
    "shards, compressed": lambda: {**shards(), "compressors": [z3.ZstdCodec()]},
    "shards, checked": lambda: {**shards(), "compressors": [z3.Crc32cCodec()]},
    **{
        f"blosc-{name}-{shuffle}": lambda name=name, shuffle=shuffle: {
            "compressors": z3.BloscCodec(cname=name, shuffle=shuffle, typesize=2)
        }
        for name in ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
        for shuffle in ("noshuffle", "shuffle", "bitshuffle")
    },
    "v2-keys": lambda: {"chunk_key_encoding": {"name": "v2", "separator": "."}},
    **{
        name: lambda name=name: {"compressors": getattr(zn, name)()}
        for name in (
            "BZ2 LZ4 LZMA Zlib Zstd GZip Blosc CRC32 CRC32C Adler32 Fletcher32 JenkinsLookup3"
        ).split()
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


LOSSY: dict[str, tuple[str, Any, Any]] = {
    "quantize": (
        "<f4", lambda: {"filters": [numcodecs.Quantize(1, "<f4")]},
        lambda: {"filters": [zn.Quantize(digits=1, dtype="<f4")]},
    ),
    "quantize, narrower": (
        "<f4", lambda: {"filters": [numcodecs.Quantize(1, "<f4", "<f2")]},
        lambda: {"filters": [zn.Quantize(digits=1, dtype="<f4")]},
    ),
    "bitround": (
        "<f4", lambda: {"filters": [numcodecs.BitRound(3)]},
        lambda: {"filters": [zn.BitRound(keepbits=3)]},
    ),
    "fixedscaleoffset": (
        "<f4", lambda: {"filters": [numcodecs.FixedScaleOffset(10, 2, "<f4", "<u2")]},
        lambda: {"filters": [zn.FixedScaleOffset(offset=10, scale=2, dtype="<f4", astype="<u2")]},
    ),
    "astype": (
        "<f8", lambda: {"filters": [numcodecs.AsType(">f4", "<f8")]},
        lambda: {"filters": [zn.AsType(encode_dtype="<f4", decode_dtype="<f8")]},
    ),
    "packbits": (
        "bool", lambda: {"filters": [numcodecs.PackBits()]}, lambda: {"filters": [zn.PackBits()]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", LOSSY)
def test_a_filter_that_changes_numbers_gives_what_zarr_gives(
    name: str, version: int, tmp_path: Path
) -> None:
    dtype, *how = LOSSY[name]
    write(tmp_path / "a.zarr", voxels(dtype), version, **how[version - 2]())

    found = noc.open(str(tmp_path / "a.zarr")).read(0)

    assert found.dtype == np.dtype(dtype)
    assert np.array_equal(found, zarr.open_array(tmp_path / "a.zarr", mode="r")[...])


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


def array_v3(root: Path, chunk: bytes, **said: Any) -> str:
    (root / "c" / "0").mkdir(parents=True)
    document = {
        "zarr_format": 3, "node_type": "array", "shape": [64, 64], "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [64, 64]}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": 0, "attributes": {},
        "codecs": [BYTES], **said,
    }  # fmt: skip
    (root / "zarr.json").write_text(json.dumps(document))
    (root / "c" / "0" / "0").write_bytes(chunk)
    return str(root)


BYTES = {"name": "bytes", "configuration": {"endian": "little"}}


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


INSTALL = {
    "imagecodecs_jpeg2k": "imagecodecs-",
    "imagecodecs_lzw": "imagecodecs-",
    "jpeg": "imagecodecs-",
    "jpegxl": "imagecodecs-",
    "nonsense": "ask those who wrote it",
}


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", INSTALL)
def test_a_codec_that_is_not_there_is_named_with_what_to_install(
    name: str, version: int, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedError, match=name) as caught:
        if version == 2:
            noc.open(array_v2(tmp_path / "a.zarr", b"x", compressor={"id": name}))
        else:
            codec = {"name": f"numcodecs.{name}", "configuration": {}}
            noc.open(array_v3(tmp_path / "a.zarr", b"x", codecs=[BYTES, codec]))

    assert INSTALL[name] in caught.value.hint


@pytest.mark.parametrize("name", ["zfpy", "pcodec"])
def test_codecs_that_come_with_an_extra_name_it(name: str, tmp_path: Path) -> None:
    if name in numcodecs.registry.codec_registry:
        pytest.skip(f"{name} is installed here")
    with pytest.raises(UnsupportedError, match=name) as caught:
        noc.open(array_v2(tmp_path / "a.zarr", b"x", compressor={"id": name}))

    assert f"pip install 'numcodecs[{name}]'" in caught.value.hint


@pytest.mark.parametrize("name", ["bz2", "zlib", "lz4", "shuffle"])
def test_codecs_of_numcodecs_are_known_without_their_prefix(name: str, tmp_path: Path) -> None:
    values = np.arange(64 * 64, dtype="<u2").reshape(64, 64)
    how = {"elementsize": 2} if name == "shuffle" else {}
    chunk = bytes(numcodecs.get_codec({"id": name, **how}).encode(values))
    codec = {"name": name, **({"configuration": how} if how else {})}
    link = array_v3(tmp_path / "a.zarr", chunk, codecs=["bytes", codec])

    assert np.array_equal(noc.open(link).read(0), values)


REFUSED = {
    "rectilinear": ({"chunk_grid": {"name": "rectilinear"}}, "rectilinear"),
    "no chunk shape": ({"chunk_grid": "regular"}, "chunk_shape"),
    "storage transformer": ({"storage_transformers": [{"name": "caesar"}]}, "caesar"),
    "bfloat16": ({"data_type": "bfloat16"}, "bfloat16"),
    "strings": ({"data_type": "string", "fill_value": ""}, "(?i)string"),
    "no codecs": ({"codecs": []}, "ArrayBytesCodec"),
    "must be understood": ({"x": {"must_understand": True}}, "must_understand"),
    "three shards deep": ({"codecs": [{"name": "sharding_indexed", "configuration": {
        "chunk_shape": [64, 64], "codecs": [{"name": "sharding_indexed", "configuration": {
            "chunk_shape": [64, 64], "codecs": [{"name": "sharding_indexed", "configuration": {
                "chunk_shape": [64, 64], "codecs": [BYTES]}}]}}]}}]}, "nested more than 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_by_name(name: str, tmp_path: Path) -> None:
    said, words = REFUSED[name]
    with pytest.raises(CloudError, match=words):
        noc.open(array_v3(tmp_path / "a.zarr", b"x", **said))


def test_short_forms_of_names_are_read(tmp_path: Path) -> None:
    link = array_v3(
        tmp_path / "a.zarr", np.full((64, 64), 7, "<u2").tobytes(),
        codecs=["bytes"], data_type={"name": "uint16"}, chunk_key_encoding="default",
    )  # fmt: skip

    assert (noc.open(link).read(0) == 7).all()


def test_short_forms_in_shards_are_read(tmp_path: Path) -> None:
    pixels = np.full((64, 64), 7, "<u2").tobytes()
    index = np.array([0, len(pixels)], "<u8").tobytes()
    within = {"chunk_shape": [64, 64], "codecs": ["bytes"], "index_codecs": ["bytes"]}
    link = array_v3(
        tmp_path / "a.zarr", pixels + index,
        codecs=[{"name": "sharding_indexed", "configuration": within}],
    )  # fmt: skip

    assert (noc.open(link).read(0) == 7).all()


@pytest.mark.parametrize("dtype", ["|S8", "<U4", "|O", [["a", "<u2"], ["b", "<f4"]]])
def test_arrays_of_no_numbers_are_refused(dtype: Any, tmp_path: Path) -> None:
    with pytest.raises(CloudError):
        noc.open(array_v2(tmp_path / "a.zarr", b"x", dtype=dtype, fill_value=None))


@pytest.mark.parametrize(
    ("fill", "dtype", "wanted"),
    [
        (None, "<u2", 0), ("BwA=", "<u2", 7), (3.0, "<u2", 3), ("3", "<u2", 3), (1, "|b1", True),
        (2**64 - 1, "<u8", 2**64 - 1), (0, "<c8", 0), ([1, "NaN"], "<c8", complex(1, np.nan)),
        ("AADAfw==", "<f4", np.nan), ("0x7fc00000", "<f4", np.nan), ("NaN", "<f4", np.nan),
        ("Infinity", "<f8", np.inf),
        ("-Infinity", "<f4", -np.inf), (7, "<i4", 7), (True, "|b1", True),
    ],
)  # fmt: skip
def test_absent_chunks_hold_the_fill_value(
    fill: Any, dtype: str, wanted: Any, tmp_path: Path
) -> None:
    link = array_v2(tmp_path / "a.zarr", b"", fill_value=fill, dtype=dtype)
    (tmp_path / "a.zarr" / "0.0").unlink()

    found = noc.open(link).read(0)

    assert np.array_equal(found, np.full((64, 64), wanted, dtype), equal_nan=dtype[1] in "fc")


@pytest.mark.parametrize(
    ("fill", "dtype"),
    [("NaN", "<u2"), (-1, "<u2"), (70000, "<u2"), (0.5, "<i4"), ("x", "<f4"), ([1], "<c8"),
     ({}, "<u2"), (2, "|b1"), (10**400, "<f8"), ("AAAAAAAA", "<u2")],
)  # fmt: skip
def test_a_fill_value_that_the_type_cannot_hold_is_0_with_a_note(
    fill: Any, dtype: str, tmp_path: Path
) -> None:
    link = array_v2(tmp_path / "a.zarr", b"", fill_value=fill, dtype=dtype)
    (tmp_path / "a.zarr" / "0.0").unlink()

    image = noc.open(link)

    assert not image.read(0).any()
    assert any("fill value" in note for note in image.notes)


WIDENING: dict[str, dict[str, Any]] = {
    "delta": {"id": "delta", "dtype": "<u2", "astype": "|i1"},
    "quantize": {"id": "quantize", "digits": 1, "dtype": "<f8", "astype": "<f2"},
    "astype": {"id": "astype", "encode_dtype": "|i1", "decode_dtype": "<u2"},
    "fixedscaleoffset": {
        "id": "fixedscaleoffset", "scale": 1, "offset": 0, "dtype": "<u2", "astype": "|u1",
    },
    "packbits": {"id": "packbits"},
}  # fmt: skip


@pytest.mark.parametrize("name", WIDENING)
def test_a_filter_with_more_numbers_than_a_chunk_holds_is_refused(
    name: str, tmp_path: Path
) -> None:
    dtype = {"packbits": "|b1", "quantize": "<f8"}.get(name, "<u2")
    link = array_v2(tmp_path / "a.zarr", bytes(50_000), filters=[WIDENING[name]], dtype=dtype)

    with pytest.raises(ChunkError, match=f"filter {name}"):
        noc.open(link).read(0)


@pytest.mark.parametrize("dtype", ["<U5000000", "|S9000000", "O", "<M8[s]", "nonsense"])
def test_filters_to_other_types_than_numbers_are_refused(dtype: str, tmp_path: Path) -> None:
    codec = {"id": "astype", "encode_dtype": "<u2", "decode_dtype": dtype}

    with pytest.raises(UnsupportedError, match="decode_dtype"):
        noc.open(array_v2(tmp_path / "a.zarr", b"x", filters=[codec]))


def test_an_lzma_stream_that_asks_for_much_memory_is_refused(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 2**30}]
    stream = lzma.compress(bytes(8192), format=lzma.FORMAT_XZ, filters=filters)

    with pytest.raises(ChunkError):
        noc.open(array_v2(tmp_path / "a.zarr", stream, compressor={"id": "lzma"})).read(0)


@pytest.mark.parametrize("name", ["gzip", "zlib", "bz2", "lzma"])
@pytest.mark.parametrize("parts", [1, 3])
def test_large_chunks_are_unpacked_piece_by_piece(name: str, parts: int, tmp_path: Path) -> None:
    runs = np.repeat(np.random.default_rng(0).integers(0, 9, 70_001, "u1"), 50)
    values = np.resize(runs, (6000, 4000))
    codec = numcodecs.get_codec({"id": name, **({"preset": 0} if name == "lzma" else {})})
    pieces = np.array_split(values.reshape(-1), parts)
    chunk = b"".join(bytes(codec.encode(piece)) for piece in pieces) + bytes(7)
    link = array_v2(
        tmp_path / "a.zarr", chunk, dtype="|u1", shape=[6000, 4000], chunks=[6000, 4000],
        compressor={"id": name},
    )  # fmt: skip

    assert np.array_equal(noc.open(link).read(0), values)


def shard(table: list[tuple[int, int]], *, inner: bytes = b"") -> bytes:
    return inner + np.array(table, "<u8").tobytes()


def sharded(chunk_shape: list[int], codecs: list[Any]) -> dict[str, Any]:
    return {"name": "sharding_indexed", "configuration": {
        "chunk_shape": chunk_shape, "codecs": codecs, "index_codecs": [BYTES],
    }}  # fmt: skip


NOTHING = 2**64 - 1
TABLES = {
    "far outside": [(2**60, 8192)],
    "overflowing": [(2**63, 2**63)],
    "huge": [(0, 2**62)],
    "half missing": [(NOTHING, 8192)],
    "longer than the file": [(0, 8208)],
}


@pytest.mark.parametrize("is_nested", [False, True])
@pytest.mark.parametrize("name", TABLES)
def test_a_shard_index_that_points_elsewhere_is_refused(
    name: str, is_nested: bool, tmp_path: Path
) -> None:
    bad = shard(TABLES[name], inner=bytes(8192))
    codec = sharded([64, 64], [BYTES])
    if is_nested:
        codec, bad = sharded([64, 64], [codec]), shard([(0, len(bad))], inner=bad)
    link = array_v3(tmp_path / "a.zarr", bad, codecs=[codec])

    with pytest.raises(ChunkError, match="shard"):
        noc.open(link).read(0)


def test_chunks_of_a_shard_may_be_the_same_bytes(tmp_path: Path) -> None:
    inner = np.arange(32 * 32, dtype="<u2").tobytes()
    table = [(0, len(inner)), (NOTHING, NOTHING), (0, len(inner)), (0, len(inner))]
    link = array_v3(tmp_path / "a.zarr", shard(table, inner=inner), fill_value=9,
                    codecs=[sharded([32, 32], [BYTES])])  # fmt: skip

    found = noc.open(link).read(0)

    assert (found[:32, 32:] == 9).all()
    assert np.array_equal(found[32:, 32:], np.arange(1024).reshape(32, 32))


@pytest.mark.parametrize("is_nested", [False, True])
def test_a_bomb_inside_a_shard_is_refused(is_nested: bool, tmp_path: Path) -> None:
    bomb = gzip.compress(MUCH, 1)
    codec = sharded([64, 64], [BYTES, {"name": "gzip", "configuration": {"level": 1}}])
    whole = shard([(0, len(bomb))], inner=bomb)
    if is_nested:
        codec, whole = sharded([64, 64], [codec]), shard([(0, len(whole))], inner=whole)
    link = array_v3(tmp_path / "a.zarr", whole, codecs=[codec])

    with pytest.raises(ChunkError, match="unpack to more"):
        noc.open(link).read(0)


@pytest.mark.parametrize("version", [2, 3])
def test_chunks_above_400_megabytes_are_refused_with_what_to_try(
    version: int, tmp_path: Path
) -> None:
    shape = [25_000, 10_000]
    with pytest.raises(UnsupportedError, match=r"0\.5 GB") as caught:
        if version == 2:
            noc.open(array_v2(tmp_path / "a.zarr", b"x", chunks=shape, shape=shape))
        else:
            grid = {"name": "regular", "configuration": {"chunk_shape": shape}}
            noc.open(array_v3(tmp_path / "a.zarr", b"x", chunk_grid=grid, shape=shape))

    assert "400 MB" in caught.value.hint and "chunks=" in caught.value.hint
