"""Chunks as large as are let in, in a process of its own: less than a gigabyte all the same."""

from __future__ import annotations

import gzip
import json
import sys
from typing import TYPE_CHECKING, Any

import numcodecs
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.programs import Programs

_MOST_BYTES = 2**30
_MOST_SECONDS = 20
EDGE = 20_000  # squared, the most bytes that a chunk may have

_READ = """
import sys
import napari_omezarr_cloud as noc
image = noc.open(sys.argv[1])
assert not image.read(0, (slice(None), slice(0, int(sys.argv[2])))).any()
(line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(line.split()[1]) * 1024)
"""

CHUNKS: dict[str, tuple[Callable[[bytes], bytes], dict[str, Any]]] = {
    "gzip": (lambda raw: gzip.compress(raw, 1), {"compressor": {"id": "gzip"}}),
    "zstd, last axis first": (
        lambda raw: bytes(numcodecs.Zstd(1).encode(raw)),
        {"compressor": {"id": "zstd"}, "order": "F"},
    ),
    "blosc, cut at the edge": (
        lambda raw: bytes(numcodecs.Blosc("lz4", 1).encode(raw)),
        {"compressor": {"id": "blosc"}, "shape": [EDGE - 1, EDGE]},
    ),
    "zstd, delta": (
        lambda raw: bytes(numcodecs.Zstd(1).encode(raw)),
        {"compressor": {"id": "zstd"}, "filters": [{"id": "delta", "dtype": "|u1"}]},
    ),
}


def write(root: Path, chunk: bytes, count: int, **said: Any) -> None:
    """Write ``count`` equal chunks, one below the other."""
    root.mkdir()
    document = {
        "zarr_format": 2, "shape": [EDGE * count, EDGE], "chunks": [EDGE, EDGE], "dtype": "|u1",
        "compressor": None, "fill_value": 0, "order": "C", "filters": None, **said,
    }  # fmt: skip
    (root / ".zarray").write_text(json.dumps(document))
    for number in range(count):
        (root / f"{number}.0").write_bytes(chunk)


def memory_of_reading(root: Path, columns: int, programs: Programs, **environ: str) -> int:
    done = programs.run(_READ, str(root), str(columns), timeout_s=_MOST_SECONDS, **environ)
    assert done.returncode == 0, done.stderr[-500:]
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="how much memory was used is asked of Linux")
@pytest.mark.parametrize("name", CHUNKS)
def test_the_largest_chunk_takes_less_than_a_gigabyte(
    name: str, tmp_path: Path, programs: Programs
) -> None:
    encode, said = CHUNKS[name]
    write(tmp_path / "a.zarr", encode(bytes(EDGE * EDGE)), 1, **said)

    assert memory_of_reading(tmp_path / "a.zarr", EDGE, programs) < _MOST_BYTES


@pytest.mark.skipif(sys.platform != "linux", reason="how much memory was used is asked of Linux")
def test_many_large_chunks_are_not_decoded_at_once(tmp_path: Path, programs: Programs) -> None:
    encode, said = CHUNKS["zstd, last axis first"]
    write(tmp_path / "a.zarr", encode(bytes(EDGE * EDGE)), 8, compressor=said["compressor"])

    assert memory_of_reading(tmp_path / "a.zarr", 1, programs, OMEZARR_CACHE_MB="64") < _MOST_BYTES
